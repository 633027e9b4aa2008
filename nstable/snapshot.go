package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// walk tells a subscriber the state, namespace by namespace, and the routes of a namespace a piece at a time, so that
// nobody waits for long. The lock is let go between two pieces: of what changes meanwhile, the reader is told what is
// about something it was told before, in its place among the changes; the rest will be in what is still to be told.
type walk struct {
	order   []*namespace            // still to be begun
	pending map[*Namespace]struct{} // the same
	ns      *namespace              // whose routes are being told; nil: none
	last    netip.Prefix            // of ns, that was told
	piece   int                     // prefixes told at once
	// later are changes to be told after the state. More than a subscriber has room for are told before.
	later []Event
}

// newWalk begins a walk over a namespace, or all for "".
func (t *Table) newWalk(name string) *walk {
	w := &walk{pending: make(map[*Namespace]struct{}), piece: routeChunk}
	for _, info := range t.listNamespaces() {
		if name == "" || name == info.Name {
			ns := t.namespaces[info.ID]
			w.order = append(w.order, ns)
			w.pending[ns.public] = struct{}{}
		}
	}
	return w
}

// told tells whether a change is about something that the reader knows.
func (w *walk) told(e *Event) bool {
	if _, pending := w.pending[e.of]; pending {
		return false
	}
	return w.ns == nil || e.of != w.ns.public || e.Kind != RouteEvent || fib.ComparePrefixes(e.Route.Prefix, w.last) <= 0
}

// next returns what comes next, perhaps nothing; at the end it takes itself away.
func (w *walk) next(s *Subscription) []Event {
	var state []Event
	switch {
	case w.ns != nil:
		state = w.routes(s)
	case len(w.order) > 0:
		state = w.begin(s)
	default:
		s.walk = nil
		return append([]Event{{Kind: SnapshotEvent, Namespace: s.interest.Namespace}}, w.later...)
	}
	if len(w.later) >= subscriptionBuffer {
		state = append(w.later, state...) // they were before this piece
		w.later = nil
	}
	return state
}

// catchUp takes the changes since the last piece, with the table's lock held. It is false when the subscription is closed.
func (w *walk) catchUp(s *Subscription) bool {
	events, closed := s.drain()
	w.later = append(w.later, slices.DeleteFunc(events, func(e Event) bool { return e.Kind != MissedEvent && !w.told(&e) })...)
	if closed {
		s.walk = nil
	}
	return !closed
}

// begin tells all of a namespace but its routes.
func (w *walk) begin(s *Subscription) []Event {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	ns := w.order[0]
	neighbors, news := t.neighborsAnd(ns, s)
	if !w.catchUp(s) {
		return nil
	}
	w.order = w.order[1:]
	delete(w.pending, ns.public)
	if ns.gone {
		return nil
	}
	w.ns, w.last = ns, netip.Prefix{}
	var out []Event
	add := func(e Event) {
		e.Namespace, e.Snapshot, e.of = ns.name, true, ns.public
		if s.hears(&e) {
			out = append(out, e)
		}
	}
	add(Event{Kind: NamespaceEvent, Netns: new(ns.info())})
	devices := ns.ordered()
	for _, d := range devices {
		add(Event{Kind: LinkEvent, Link: new(t.linkInfo(d))})
	}
	for _, d := range devices {
		for i := range d.addrs {
			add(Event{Kind: AddressEvent, Address: new(d.addressInfo(i))})
		}
	}
	for _, o := range ns.rib.Objects() {
		add(Event{Kind: NextHopEvent, NextHop: new(t.nextHopInfo(ns, o))})
	}
	for _, n := range withNews(neighbors, news) {
		add(Event{Kind: NeighborEvent, Neighbor: &n})
	}
	return out
}

// neighborsAnd returns the neighbours of a namespace as they are, and what workers have told until some time after. Workers
// change first and tell then: of a change that is seen in the first, the second has the news, or they were told before. All
// subscribers are told the second.
func (t *Table) neighborsAnd(ns *namespace, s *Subscription) (now []NeighborInfo, news []Event) {
	if ns.gone || s.kinds&(1<<NeighborEvent) == 0 {
		return nil, nil
	}
	for _, d := range ns.ordered() {
		now = append(now, d.neighborInfos()...)
	}
	t.options.Datapath.Quiesce()
	news, missed := t.learnedEvents(nil)
	t.deliver(missed, news)
	return now, slices.DeleteFunc(slices.Clone(news), func(e Event) bool { return e.of != ns.public })
}

// withNews brings neighbours up to date. Those that are only being asked for have no event.
func withNews(list []NeighborInfo, news []Event) []NeighborInfo {
	type key struct {
		device int
		addr   netip.Addr
	}
	last := make(map[key]*Event)
	for i := range news {
		n := news[i].Neighbor
		last[key{n.Index, n.Addr}] = &news[i]
	}
	list = slices.DeleteFunc(list, func(n NeighborInfo) bool {
		k := key{n.Index, n.Addr}
		e := last[k]
		delete(last, k)
		return e != nil && e.Deleted && n.State != neigh.Permanent || n.State == neigh.Incomplete
	})
	for i := range news { // in their order
		n := news[i].Neighbor
		if k := (key{n.Index, n.Addr}); last[k] == &news[i] && !news[i].Deleted {
			list = append(list, *n)
		}
	}
	return list
}

// routes tells some routes of the namespace.
func (w *walk) routes(s *Subscription) []Event {
	t := s.table
	t.mu.RLock()
	defer t.mu.RUnlock()
	if !w.catchUp(s) {
		return nil
	}
	ns := w.ns
	if ns.gone || s.kinds&(1<<RouteEvent) == 0 {
		w.ns = nil
		return nil
	}
	var out []Event
	n := 0
	for p, list := range ns.rib.From(w.last) {
		if p == w.last {
			continue
		}
		if n++; n > w.piece {
			return out
		}
		for _, r := range list {
			e := Event{Kind: RouteEvent, Namespace: ns.name, Snapshot: true, of: ns.public, local: r.InLocalTable()}
			if s.hears(&e) {
				e.Route = new(t.routeInfo(ns, r))
				out = append(out, e)
			}
		}
		w.last = p
	}
	w.ns = nil
	return out
}
