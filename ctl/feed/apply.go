package feed

import (
	"cmp"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// applier makes the changes of Linux those of the router, inside a transaction. It must leave nothing behind that
// matters, as a transaction may be made twice.
type applier struct {
	learner *nstable.Learner
	origin  fib.Origin
	// device is the router's device of an ifindex of Linux; 0: none.
	device func(index int) nstable.DeviceID

	devices map[fib.DeviceID]nstable.DeviceID // those asked for, by ifindex
	before  []*fib.Way
	legs    []fib.Leg

	// doubtful says that Linux said something that does not fit what the router has: it is to be read whole.
	doubtful bool
	// refused is the first refusal, and count how many there were.
	refused error
	count   int
}

func newApplier(l *nstable.Learner, origin fib.Origin, device func(index int) nstable.DeviceID) *applier {
	return &applier{learner: l, origin: origin, device: device, devices: make(map[fib.DeviceID]nstable.DeviceID)}
}

// apply makes a change.
func (a *applier) apply(c *change) {
	switch c.kind {
	case routeAdded:
		a.add(c)
	case routeDeleted:
		a.remove(c)
	case nexthopSet:
		a.setNexthop(c.nexthop)
	case nexthopDeleted:
		number := c.nexthop.object.ID.Number()
		a.learner.DeleteObjects(func(n uint32) bool { return n == number })
	}
}

// way is what the router has for a route of Linux. One that it cannot send as it says is unreachable: its packets must not
// go by a shorter prefix, as around a tunnel.
func (a *applier) way(r *route) *fib.Way {
	w := r.way
	if w.Object != 0 {
		w.Object = fib.ObjectOf(a.origin, w.Object.Number())
		if a.origin == fib.FromKernel && a.learner.Object(w.Object.Number()) == nil { // FPM may tell it later
			a.doubtful = true
			w.Object, w.Kind = 0, fib.Unreachable
		}
		return a.learner.Way(w)
	}
	if w.Kind != fib.Unicast {
		return a.learner.Way(w)
	}
	a.legs = a.legs[:0]
	for _, l := range w.Legs {
		if known := a.deviceOf(l.Device); known != 0 {
			l.Device = known
			a.legs = append(a.legs, l)
		}
	}
	w.Legs = a.legs
	if r.prefix.Addr().Is6() { // of which each message has another order
		sortLegs(w.Legs)
	}
	if len(w.Legs) == 0 || r.strange {
		w.Legs, w.Kind = nil, fib.Unreachable
	}
	return a.learner.Way(w)
}

// sortLegs gives the legs of an IPv6 route an order that does not depend on who tells of it.
func sortLegs(legs []fib.Leg) {
	slices.SortFunc(legs, func(x, y fib.Leg) int {
		return cmp.Or(x.Gateway.Compare(y.Gateway), cmp.Compare(x.Device, y.Device))
	})
}

func (a *applier) deviceOf(index fib.DeviceID) nstable.DeviceID {
	id, asked := a.devices[index]
	if !asked {
		id = a.device(int(index))
		a.devices[index] = id
	}
	return id
}

// add follows RTM_NEWROUTE: fib_table_insert of the kernel's net/ipv4/fib_trie.c, fib6_add_rt2node of net/ipv6/ip6_fib.c.
func (a *applier) add(c *change) {
	w := a.way(&c.route)
	a.before = a.learner.Ways(a.before[:0], c.prefix)
	place := a.place4
	if c.prefix.Addr().Is6() {
		place = a.place6
	}
	if ways, changed := place(a.before, w, c.flags); changed {
		a.set(c.prefix, ways)
	}
}

// place4 puts an IPv4 route among those of its prefix.
func (a *applier) place4(ways []*fib.Way, w *fib.Way, flags uint16) ([]*fib.Way, bool) {
	first, end := rank(ways, w)
	at := slices.Index(ways, w)
	switch {
	case flags&unix.NLM_F_REPLACE != 0:
		if first == end {
			a.doubtful = true
			return slices.Insert(ways, first, w), true
		}
		if at == first {
			return ways, false
		}
		ways[first] = w
		if at > first { // said before, and seen by a dump since
			a.doubtful = true
			ways = slices.Delete(ways, at, at+1)
		}
		return ways, true
	case at >= 0:
		return ways, false
	case flags&unix.NLM_F_APPEND != 0:
		return slices.Insert(ways, end, w), true
	}
	// Nothing is there of that metric, unless it is put before the others (NLM_F_CREATE alone), which is not said.
	a.doubtful = a.doubtful || first < end
	return slices.Insert(ways, first, w), true
}

// place6 puts an IPv6 route among those of its prefix. What is told of several gateways is told whole: it takes the place
// of those that were known, with NLM_F_REPLACE or not.
func (a *applier) place6(ways []*fib.Way, w *fib.Way, flags uint16) ([]*fib.Way, bool) {
	known := slices.Contains(ways, w)
	first, end := rank(ways, w)
	replace := flags&unix.NLM_F_REPLACE != 0
	if known && !replace {
		return ways, false
	}
	a.doubtful = a.doubtful || known // what is replaced may come to be there twice
	for i := first; i < end; i++ {
		if spreads(ways[i]) == spreads(w) && (spreads(w) || replace) {
			if !replace && ways[i].Protocol != w.Protocol { // one more gateway: the first speaks for all
				same := *w
				same.Protocol = ways[i].Protocol
				w = a.learner.Way(same)
			}
			ways[i] = w
			return ways, true
		}
	}
	if replace && first < end {
		ways[first] = w
		return ways, true
	}
	return slices.Insert(ways, end, w), true
}

// spreads tells a way that IPv6 gateways can be added to: rt6_qualify_for_ecmp of the kernel.
func spreads(w *fib.Way) bool { return w.Kind == fib.Unicast && w.Object == 0 && w.Gateway().IsValid() }

// rank is the range of the ways that have the metric of w, or the place of such.
func rank(ways []*fib.Way, w *fib.Way) (first, end int) {
	for first < len(ways) && ways[first].Metric < w.Metric {
		first++
	}
	end = first
	for end < len(ways) && ways[end].Metric == w.Metric {
		end++
	}
	return first, end
}

// remove follows RTM_DELROUTE, which tells the route as it was, for IPv6 perhaps of some of its gateways alone.
func (a *applier) remove(c *change) {
	w := a.way(&c.route)
	ways := a.learner.Ways(a.before[:0], c.prefix)
	a.before = ways
	if at := slices.Index(ways, w); at >= 0 {
		a.set(c.prefix, slices.Delete(ways, at, at+1))
		return
	}
	first, end := rank(ways, w)
	if c.prefix.Addr().Is6() && spreads(w) {
		for i := first; i < end; i++ {
			if left, some := without(ways[i], w); some {
				if len(left) == 0 {
					a.set(c.prefix, slices.Delete(ways, i, i+1))
					return
				}
				less := *ways[i]
				less.Legs = left
				ways[i] = a.learner.Way(less)
				a.set(c.prefix, ways)
				a.doubtful = true // each gateway may have come with a protocol of its own
				return
			}
		}
	}
	a.doubtful = a.doubtful || first < end
}

// without returns the legs of w that gone does not have, and whether it has any of them.
func without(w, gone *fib.Way) (left []fib.Leg, some bool) {
	if !spreads(w) {
		return nil, false
	}
	left = slices.DeleteFunc(slices.Clone(w.Legs), func(l fib.Leg) bool {
		return slices.ContainsFunc(gone.Legs, func(g fib.Leg) bool { return g.Gateway == l.Gateway && g.Device == l.Device })
	})
	return left, len(left) < len(w.Legs)
}

// set makes the ways all that Linux has for a prefix.
func (a *applier) set(p netip.Prefix, ways []*fib.Way) {
	a.refuse(a.learner.Set(p, ways))
}

// refuse notes that the router does not take something, unless err is nil.
func (a *applier) refuse(err error) {
	if err == nil {
		return
	}
	a.count++
	if a.refused == nil {
		a.refused = err
	}
}

// setNexthop follows RTM_NEWNEXTHOP.
func (a *applier) setNexthop(n *nexthop) {
	o := n.object
	o.ID = fib.ObjectOf(a.origin, o.ID.Number())
	if o.IsGroup() {
		o.Members = slices.Clone(o.Members)
		for i := range o.Members {
			o.Members[i].ID = fib.ObjectOf(a.origin, o.Members[i].ID.Number())
			a.doubtful = a.doubtful || a.learner.Object(o.Members[i].ID.Number()) == nil
		}
	} else if !o.Blackhole {
		o.Leg.Device = a.deviceOf(o.Leg.Device)
		if o.Leg.Device == 0 || n.strange { // see way
			o.Leg, o.Blackhole = fib.Leg{}, true
		}
	}
	a.refuse(a.learner.SetObject(&o))
}
