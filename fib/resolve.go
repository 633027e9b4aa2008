package fib

import (
	"errors"
	"iter"
	"net/netip"
	"slices"
)

// What recursive gateways are refused with; the first text is the kernel's for ELOOP.
var (
	ErrLoop = errors.New("Too many levels of symbolic links")
	ErrDeep = errors.New("too many recursive routes follow each other")
)

const (
	// MaxHeight is how many recursive routes may follow each other from a route that is put.
	MaxHeight = 32
	// maxNesting bounds the stack where routes that came later have made more of them follow each other.
	maxNesting = 1000
)

// found is where a way leads.
type found struct {
	epoch  uint64        // of the RIB; of another one, it is to be found anew
	hops   []WeightedHop // empty: the way cannot be used
	height int           // how many recursive routes follow each other from here
}

// Invalidate says that what ways lead to may have changed: the state of a device.
func (b *RIB) Invalidate() { b.epoch++ }

// hops are the next hops of a way that can be used now; none if it cannot. The list must not be changed. Ways with
// routes are resolved by Install; from then on this, and what it is used by, may be called by several goroutines while
// the RIB is not changed.
func (b *RIB) hops(w *Way) []WeightedHop {
	if w.found.epoch != b.epoch {
		r := resolver{RIB: b}
		r.resolve(w)
	}
	if !w.seen {
		w.seen, w.usable = true, len(w.found.hops) > 0
	}
	return w.found.hops
}

// Usable tells whether a way can be used now.
func (b *RIB) Usable(w *Way) bool { return len(b.hops(w)) > 0 }

// Best is the first route of a list that can be used, or nil.
func (b *RIB) Best(list []*Route) *Route {
	for _, r := range list {
		if b.Usable(r.Way) {
			return r
		}
	}
	return nil
}

// Longest returns the route that packets to an address take; nil if there is none.
func (b *RIB) Longest(a netip.Addr) *Route { return (&resolver{RIB: b}).longest(a) }

// Covering returns the route that packets to an address would take if all devices that are up had carrier: by it the
// kernel validates gateways.
func (b *RIB) Covering(a netip.Addr) *Route { return (&resolver{RIB: b, trial: true}).longest(a) }

// CheckRecursion fails if a way that a route of a prefix was just given leads back to itself by its recursive gateways, or
// if too many routes follow each other from it. Carrier does not count: it comes and goes.
func (b *RIB) CheckRecursion(p netip.Prefix, w *Way) error {
	if w.refs > 1 && !b.tracked.any(p) || !b.recursive(w) {
		return nil // nothing that gateways are looked up by is new
	}
	return b.checkRecursion(w)
}

// CheckObject is CheckRecursion for an object that was just changed.
func (b *RIB) CheckObject(id ObjectID) error {
	for _, w := range b.ways {
		if w.refs > 0 && b.Sends(w, id) && b.recursive(w) {
			if err := b.checkRecursion(w); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *RIB) checkRecursion(w *Way) error {
	r := resolver{RIB: b, trial: true}
	f, _ := r.resolve(w)
	switch {
	case r.visits[w].looped:
		return ErrLoop
	case f.height > MaxHeight:
		return ErrDeep
	}
	return nil
}

// Sends tells whether a way sends by a next-hop object, or by a group that has it as a member.
func (b *RIB) Sends(w *Way, id ObjectID) bool {
	o := b.objects[w.Object]
	return o != nil && (o.ID == id || slices.ContainsFunc(o.Members, func(m Member) bool { return m.ID == id }))
}

// recursive tells whether any gateway of a way is looked up among the routes.
func (b *RIB) recursive(w *Way) bool {
	legs, _ := b.legs(w)
	return slices.ContainsFunc(legs, func(l Leg) bool { return l.Recursive() })
}

// Covers walks the routes that cover an address, longest prefix and best rank first, whether they can be used or not.
func (b *RIB) Covers(a netip.Addr) iter.Seq[*Route] {
	family := 0
	if a.Is6() {
		family = 1
	}
	return func(yield func(*Route) bool) {
		for n := a.BitLen(); n >= 0; n-- {
			if b.lengths[family][n] == 0 {
				continue
			}
			p, _ := a.Prefix(n)
			for _, route := range b.Get(p) {
				if !yield(route) {
					return
				}
			}
		}
	}
}

// resolver finds where ways lead, each once.
//
// Recursive ways are the nodes of a graph: a gateway leads to the ways of the routes that cover it, as far as they had to
// be looked at. The walk is Tarjan's ("Depth-first search and linear graph algorithms", 1972): ways that lead to each
// other are found together. A leg among them leads nowhere, wherever the walk began.
type resolver struct {
	*RIB

	trial  bool // devices that are up count as if they had carrier, and ways do not keep what is found
	visits map[*Way]*visit
	stack  []*Way // those that are not known to be no part of a loop
}

// visit is what the walk knows of a recursive way.
type visit struct {
	found

	index, low int
	open       bool // on the stack
	looped     bool // some leg leads back
}

// resolve finds where a way leads. open tells that it is part of a loop that is not walked to its end.
func (r *resolver) resolve(w *Way) (f found, open bool) {
	if !r.trial && w.found.epoch == r.epoch {
		return w.found, false
	}
	if v := r.visits[w]; v != nil {
		return v.found, v.open
	}
	legs, hop := r.legs(w)
	switch {
	case hop != nil:
		f.hops = []WeightedHop{{*hop, 1}}
	case slices.ContainsFunc(legs, func(l Leg) bool { return l.Recursive() }):
		v := r.visit(w, legs)
		return v.found, v.open
	default:
		f.hops = r.direct(w, legs)
	}
	r.keep(w, f)
	return f, false
}

// keep notes what was found for the way.
func (r *resolver) keep(w *Way, f found) {
	if !r.trial {
		f.epoch = r.epoch
		w.found = f
	}
}

// visit walks on from a recursive way.
func (r *resolver) visit(w *Way, legs []Leg) *visit {
	if r.visits == nil {
		r.visits = make(map[*Way]*visit)
	}
	v := &visit{index: len(r.visits), low: len(r.visits), open: true}
	r.visits[w] = v
	r.stack = append(r.stack, w)
	var set hopSet
	for i := range legs {
		if l := &legs[i]; !l.Recursive() {
			r.leg(&set, w, l)
		} else if len(r.stack) < maxNesting {
			r.recurse(&set, w, v, l)
		}
	}
	v.hops = set.list
	if v.low == v.index {
		at := slices.Index(r.stack, w)
		for _, member := range r.stack[at:] {
			r.visits[member].open = false
			r.keep(member, r.visits[member].found)
		}
		r.stack = r.stack[:at]
	}
	return v
}

// direct finds the next hops of a way that is not recursive.
func (r *resolver) direct(w *Way, legs []Leg) []WeightedHop {
	var set hopSet
	for i := range legs {
		r.leg(&set, w, &legs[i])
	}
	return set.list
}

// leg adds the next hop of one leg, if its device can be used.
func (r *resolver) leg(set *hopSet, w *Way, l *Leg) {
	state := r.links(l.Device)
	// An own address answers whatever the link does.
	if !state.Up || !state.Carrier && !r.trial && !w.InLocalTable() {
		return
	}
	hop := NextHop{Kind: w.Kind, Device: l.Device, MTU: w.MTU, Source4: w.source4()}
	if l.Gateway.IsValid() {
		hop.Gateway = AddrOf(l.Gateway)
	}
	set.add(WeightedHop{hop, float64(max(1, l.Weight))})
}

// recurse adds where a gateway that is itself routed leads, with the share of the leg.
func (r *resolver) recurse(set *hopSet, w *Way, v *visit, l *Leg) {
	for route := range r.Covers(l.Gateway) {
		f, open := r.resolve(route.Way)
		if open {
			v.low = min(v.low, r.visits[route.Way].low)
			v.looped = true
			return
		}
		if len(f.hops) > 0 && f.hops[0].Kind == Netns {
			return // a gateway in another namespace is none: there is no link to it
		}
		if len(f.hops) > 0 {
			v.height = max(v.height, f.height+1)
			set.addVia(f.hops, w, l)
			return
		}
	}
}

// longest returns the route of the longest prefix that covers an address and can be used, or nil.
func (r *resolver) longest(a netip.Addr) *Route {
	for route := range r.Covers(a) {
		if f, _ := r.resolve(route.Way); len(f.hops) > 0 {
			return route
		}
	}
	return nil
}

// hopSet collects different next hops, at most MaxHops: others are left out.
type hopSet struct {
	list  []WeightedHop
	index map[NextHop]int // once the list is long
}

const longList = 16

func (s *hopSet) add(h WeightedHop) {
	at := -1
	switch {
	case s.index != nil:
		if i, ok := s.index[h.NextHop]; ok {
			at = i
		}
	default:
		at = slices.IndexFunc(s.list, func(o WeightedHop) bool { return o.NextHop == h.NextHop })
	}
	switch {
	case at >= 0:
		s.list[at].Weight += h.Weight
		return
	case len(s.list) == MaxHops:
		return
	}
	s.list = append(s.list, h)
	if s.index == nil && len(s.list) > longList {
		s.index = make(map[NextHop]int)
		for i := range s.list {
			s.index[s.list[i].NextHop] = i
		}
	} else if s.index != nil {
		s.index[h.NextHop] = len(s.list) - 1
	}
}

// addVia adds the next hops that lead to the gateway of leg l of w.
func (s *hopSet) addVia(hops []WeightedHop, w *Way, l *Leg) {
	sum := 0.0
	for i := range hops {
		sum += hops[i].Weight
	}
	for _, h := range hops {
		switch h.Kind {
		case Unicast:
			if h.Gateway == (Addr{}) {
				h.Gateway = AddrOf(l.Gateway)
			}
		case Blackhole, Unreachable, Prohibit: // so that all routes by a gateway can be stopped at once
		default:
			continue
		}
		if h.MTU == 0 || w.MTU != 0 && w.MTU < h.MTU {
			h.MTU = w.MTU
		}
		if w.Source.IsValid() {
			h.Source4 = w.source4()
		}
		h.Weight *= float64(max(1, l.Weight)) / sum
		s.add(h)
	}
}
