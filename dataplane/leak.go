package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// A route of the kind fib.Netns leads into another namespace: there the packet is routed again, as one that came in by the
// loopback of that namespace. The namespace that it leaves forwards it like any other packet (TTL, scope, options, MTU where
// the route or that loopback has one), so that it takes one hop off for each namespace, as by a veth pair. It goes on in the
// next round, never by recursion, and not for ever: veth pairs and such routes count together (maxCrossings).

// loopbackOf is the loopback of the namespace that a next hop leads into; nil where that is gone, or its loopback down.
func (w *Worker) loopbackOf(hop *fib.NextHop) *nstable.Device {
	id := hop.Netns()
	if int(id) >= len(w.view.Namespaces) || w.view.Namespaces[id] == nil {
		return nil
	}
	if lo := w.view.Device(w.view.Namespaces[id].Loopback); lo != nil && lo.Up {
		return lo
	}
	return nil
}

// egressNetns is egress for a next hop in another namespace: the device is the loopback there. It has no neighbours, so
// packets for it come to sendVia, which leaks them.
func (w *Worker) egressNetns(adj *adjacency, hop *fib.NextHop) bool {
	lo := w.loopbackOf(hop)
	if lo == nil {
		adj.reason = counters.EgressDown
		return false
	}
	adj.dev, adj.mac, adj.mtu, adj.redirect = lo, 0, lo.MTU, false
	if hop.MTU != 0 {
		adj.mtu = min(adj.mtu, hop.MTU)
	}
	return true
}

// leak passes a packet to another namespace, of which lo is the loopback. There it is one that was received: neither what it
// was here (an own packet, one with options) nor how its link addressed it counts any more.
func (w *Worker) leak(p *Packet, lo *nstable.Device) {
	if !w.mayCross(p) {
		return
	}
	w.tally.add(w.forwarded(p), &w.slot.LeakedOut, nil, 0)
	next := ip4Input
	if w.ethernet(p).Type() == header.TypeIPv6 {
		next = ip6Input
	}
	w.crossings = append(w.crossings, Packet{
		Addr: p.Addr, Len: p.Len, In: lo.ID, Namespace: w.ns.ID, Next: next, Crossings: p.Crossings + 1, Priority: p.Priority,
		Flags: p.Flags & Chained,
	})
}

// countLeaked counts the first n packets of the run, which come from other namespaces, as received by the loopback.
func (w *Worker) countLeaked(n int) {
	var bytes uint64
	for i := range n {
		bytes += uint64(w.length(&w.packets[i]))
	}
	w.slot.LeakedIn.Add(uint64(n))
	w.slot.RxPackets.Add(uint64(n))
	w.slot.RxBytes.Add(bytes)
}
