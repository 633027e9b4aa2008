package nstable

// news are the events of a transaction. Of each kind in a namespace it keeps as many as a subscriber has room for; the
// others are only counted, so that a table that is loaded costs no more because somebody listens.
type news struct {
	events []Event
	counts map[newsKind]int
	base   int // where the events of the innermost Try begin
}

type newsKind struct {
	ns    *Namespace
	name  string // it may have two in a transaction
	kind  EventKind
	local bool
}

func (e *Event) newsKind() newsKind { return newsKind{e.of, e.Namespace, e.Kind, e.local} }

// event queues an event, if anybody listens, and returns it to be filled in; nil: it need not be. local is about routes: that of
// the local table.
func (tx *Tx) event(ns *namespace, kind EventKind, deleted, local bool) *Event {
	if !tx.t.wants(ns, kind) {
		return nil
	}
	return tx.news.add(Event{Namespace: ns.name, Kind: kind, Deleted: deleted, of: ns.public, local: local})
}

func (n *news) add(e Event) *Event {
	if n.counts == nil {
		n.counts = make(map[newsKind]int)
	}
	k := e.newsKind()
	n.counts[k]++
	if n.counts[k] <= subscriptionBuffer {
		n.events = append(n.events, e)
		return &n.events[len(n.events)-1]
	}
	e.lost = 1
	n.events = append(n.events, e)
	n.join(n.base)
	return nil
}

// join makes one of the last two events if they only stand for others, and none of them is before the first that may be
// changed.
func (n *news) join(first int) {
	last := len(n.events) - 1
	if last-1 < first {
		return
	}
	a, b := &n.events[last-1], &n.events[last]
	if a.lost > 0 && b.lost > 0 && a.newsKind() == b.newsKind() {
		a.lost += b.lost
		n.events = n.events[:last]
	}
}

// begin notes where the events of a Try begin, and returns what is to be given to end.
func (n *news) begin() (outer int) {
	outer, n.base = n.base, len(n.events)
	return outer
}

// undo takes the events back.
func (n *news) undo() {
	for i := n.base; i < len(n.events); i++ {
		e := &n.events[i]
		n.counts[e.newsKind()] -= int(max(1, e.lost))
	}
	clear(n.events[n.base:])
	n.events = n.events[:n.base]
}

func (n *news) end(outer int) {
	if len(n.events) == n.base+1 {
		n.join(outer)
	}
	n.base = outer
}
