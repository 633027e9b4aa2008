package fib

import (
	"net/netip"
	"slices"
)

// resolution is where a way leads at some instant.
type resolution struct {
	at     uint64        // the RIB's epoch; of another one, it is to be made anew
	hops   []WeightedHop // empty: the way cannot be used
	busy   bool          // being made: who comes by again is in a loop
	seen   bool          // usable is known
	usable bool          // as it was when prefixes were last chosen by it
	group  GroupID       // in the table; None: not installed
	seed   *Group        // whose buckets a new group keeps as far as it can
}

// Invalidate says that what resolutions depend on has changed: a device's state.
func (b *RIB) Invalidate() { b.epoch++ }

// maxDepth bounds how many recursive routes may follow each other. Loops are found before that.
const maxDepth = 16

// resolver finds where ways lead in the RIB's present epoch.
type resolver struct {
	*RIB

	depth  int
	looped bool // a recursive gateway led back to a route that it came from
}

// hops are the next hops of a way that can be used now; none if it cannot. The list must not be changed.
func (b *RIB) hops(w *Way) []WeightedHop {
	if w.at != b.epoch {
		r := resolver{RIB: b}
		r.resolve(w)
	}
	if !w.seen {
		w.seen, w.usable = true, len(w.resolution.hops) > 0
	}
	return w.resolution.hops
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

// Loops tells whether a way that a route of a prefix was just given leads back to itself by its recursive gateways.
func (b *RIB) Loops(p netip.Prefix, w *Way) bool {
	if w.refs > 1 && !b.tracked.any(p) || !b.anyRecursive(w) {
		return false // nothing that gateways are looked up by is new
	}
	return b.leadsBack(w)
}

// LoopsBy tells whether a next-hop object leads back to a route that uses it.
func (b *RIB) LoopsBy(id ObjectID) bool {
	for _, w := range b.ways {
		if w.refs > 0 && b.Sends(w, id) && b.anyRecursive(w) && b.leadsBack(w) {
			return true
		}
	}
	return false
}

// Sends tells whether a way sends by a next-hop object, or by a group that has it as a member.
func (b *RIB) Sends(w *Way, id ObjectID) bool {
	o := b.objects[w.Object]
	return o != nil && (o.ID == id || slices.ContainsFunc(o.Members, func(m Member) bool { return m.ID == id }))
}

func (b *RIB) leadsBack(w *Way) bool {
	b.Invalidate()
	r := resolver{RIB: b}
	r.resolve(w)
	b.Invalidate()
	return r.looped
}

func (b *RIB) anyRecursive(w *Way) bool {
	if w.Object == 0 {
		return w.recursive()
	}
	legs, _ := b.legs(w)
	for i := range legs {
		if legs[i].Recursive() {
			return true
		}
	}
	return false
}

// resolve brings the resolution of a way up to date.
func (r *resolver) resolve(w *Way) []WeightedHop {
	switch {
	case w.at == r.epoch:
		return w.resolution.hops
	case w.busy:
		r.looped = true
		return nil
	case r.depth == maxDepth:
		return nil
	}
	w.busy = true
	r.depth++
	hops := r.find(w)
	r.depth--
	w.busy = false
	if r.depth > 0 && r.looped {
		return hops // maybe not what it finds from another start
	}
	w.at, w.resolution.hops = r.epoch, hops
	return hops
}

func (r *resolver) find(w *Way) []WeightedHop {
	switch w.Kind {
	case Blackhole, Unreachable, Prohibit, Throw:
		return []WeightedHop{{NextHop{Kind: w.Kind}, 1}}
	}
	legs, blackhole := r.legs(w)
	if blackhole {
		return []WeightedHop{{NextHop{Kind: Blackhole}, 1}}
	}
	var out []WeightedHop
	for i := range legs {
		out = r.leg(out, w, &legs[i])
	}
	if len(out) > MaxHops {
		out = out[:MaxHops]
	}
	return out
}

// leg adds where one leg leads.
func (r *resolver) leg(out []WeightedHop, w *Way, l *Leg) []WeightedHop {
	weight := float64(max(1, l.Weight))
	if l.Recursive() {
		return r.recurse(out, w, l.Gateway, weight)
	}
	state := r.links(l.Device)
	if !state.Up || !state.Carrier && !w.InLocalTable() { // an own address answers whatever the link does
		return out
	}
	hop := NextHop{Kind: w.Kind, Device: l.Device, MTU: w.MTU}
	if l.Gateway.IsValid() {
		hop.Gateway = AddrOf(l.Gateway)
	}
	return merge(out, WeightedHop{hop, weight})
}

// recurse adds where a gateway that is itself routed leads, with the share of the leg.
func (r *resolver) recurse(out []WeightedHop, w *Way, gateway netip.Addr, weight float64) []WeightedHop {
	_, via := r.longest(gateway)
	if via == nil {
		return out
	}
	hops := r.resolve(via.Way)
	sum := 0.0
	for i := range hops {
		sum += hops[i].Weight
	}
	for _, h := range hops {
		switch h.Kind {
		case Unicast:
			if h.Gateway == (Addr{}) {
				h.Gateway = AddrOf(gateway)
			}
		case Blackhole, Unreachable, Prohibit: // so that all routes by a gateway can be stopped at once
		default:
			continue
		}
		if h.MTU == 0 || w.MTU != 0 && w.MTU < h.MTU {
			h.MTU = w.MTU
		}
		h.Weight *= weight / sum
		out = merge(out, h)
	}
	return out
}

// merge adds a next hop, to one that is the same if there is one.
func merge(list []WeightedHop, h WeightedHop) []WeightedHop {
	for i := range list {
		if list[i].NextHop == h.NextHop {
			list[i].Weight += h.Weight
			return list
		}
	}
	return append(list, h)
}

// longest returns the route of the longest prefix that covers an address and can be used.
func (r *resolver) longest(a netip.Addr) (netip.Prefix, *Route) {
	family := 0
	if a.Is6() {
		family = 1
	}
	for n := a.BitLen(); n >= 0; n-- {
		if r.lengths[family][n] == 0 {
			continue
		}
		p, _ := a.Prefix(n)
		for _, route := range r.Get(p) {
			if len(r.resolve(route.Way)) > 0 {
				return p, route
			}
		}
	}
	return netip.Prefix{}, nil
}

// Longest returns the route that packets to an address take, and its prefix; nil if there is none.
func (b *RIB) Longest(a netip.Addr) (netip.Prefix, *Route) {
	r := resolver{RIB: b}
	return r.longest(a)
}
