package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// resolve holds packets for neighbours whose address on the link is not known, and asks for it. Only the owner of the
// device does that; other workers hand their packets over.
//
// Edges: transmit, drop.
func (w *Worker) resolve(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		out := w.view.Device(p.Out)
		switch {
		case out == nil || !out.Usable():
			w.toDrop(i, counters.EgressDown)
		case out.Namespace != w.ns:
			w.toDrop(i, counters.OtherNamespace)
		case out.Owner != w.id && !w.mayAsk(out, p, handoffRatio):
			w.toDrop(i, counters.NeighborBudget) // a scan must not fill the ring to the other worker
		case out.Owner != w.id:
			w.handoff(out.Owner, resolve, p)
		default:
			w.await(i, p, out)
		}
	}
}

// await sends packet i on if its neighbour has answered meanwhile, else puts it into the neighbour's queue.
func (w *Worker) await(i uint16, p *Packet, out *nstable.Device) {
	e := out.Neighbors.Lookup(p.Via)
	var q *question
	if e != nil {
		if mac, ok := e.Use(); ok {
			w.ethernet(p).SetAddresses(mac, header.MAC(out.MAC))
			w.to(transmit, i)
			return
		}
		q = w.neighbors.asked[e]
	}
	if q == nil {
		if !w.mayAsk(out, p, 1) {
			w.toDrop(i, counters.NeighborBudget)
			return
		}
		if e == nil {
			if e = w.newNeighbor(out, p.Via); e == nil {
				w.toDrop(i, counters.NeighborTableFull)
				return
			}
		}
		q = w.begin(e, out)
	}
	w.hold(q, p)
}

// source4 chooses the source of a request or an own packet on a device: an address that shares the target's prefix,
// else the first, else any of the namespace (RFC 1812 4.3.2.4; Linux inet_select_addr).
func (w *Worker) source4(d *nstable.Device, target uint32) (uint32, bool) {
	want := fib.Addr4(target).Netip()
	var first fib.Addr
	found := false
	for _, a := range d.Addrs {
		if !a.Addr().Is4() {
			continue
		}
		if a.Contains(want) {
			return uint32(fib.AddrOf(a.Addr()).Lo), true
		}
		if !found {
			first, found = fib.AddrOf(a.Addr()), true
		}
	}
	if found {
		return uint32(first.Lo), true
	}
	for _, other := range w.view.Devices {
		if other == nil || other.Namespace != d.Namespace || other.Kind == nstable.Loopback || !other.Up {
			continue
		}
		for _, a := range other.Addrs {
			if a.Addr().Is4() {
				return uint32(fib.AddrOf(a.Addr()).Lo), true
			}
		}
	}
	return 0, false
}
