package dataplane

import (
	"net/netip"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
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
		case out.Owner != w.id && !w.mayAsk(out, w.sender(p), handoffRatio):
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
		var why reason
		if q, why = w.inquire(e, p.Via, w.sender(p), out); q == nil {
			w.toDrop(i, why)
			return
		}
	}
	w.hold(q, p)
}

// inquire asks, for a sender, for a neighbour that is not being asked; e is its entry, if there is one. It returns nil and
// why where it may not.
func (w *Worker) inquire(e *neigh.Entry, a fib.Addr, sender uint64, out *nstable.Device) (*question, reason) {
	if !w.mayAsk(out, sender, 1) {
		return nil, counters.NeighborBudget
	}
	if e == nil {
		if e = w.newNeighbor(out, a); e == nil {
			return nil, counters.NeighborTableFull
		}
	}
	return w.begin(e, out), 0
}

// Resolve asks for a neighbour on behalf of somebody beside the data plane, within the limits of those that the router's own
// packets ask for. It does not wait: the answer, or that there is none, comes by [Options.NeighborChanged].
func (d *Dataplane) Resolve(dev *nstable.Device, addr netip.Addr) {
	d.workers[dev.Owner].post(func(w *Worker) {
		out, a := w.view.Device(dev.ID), fib.AddrOf(addr)
		if out == nil || out.Neighbors != dev.Neighbors || !out.Usable() {
			return
		}
		e := out.Neighbors.Lookup(a)
		switch {
		case e != nil && e.State().Valid():
			w.neighbors.changed(out.ID, e, false) // answered meanwhile
		case e == nil || w.neighbors.asked[e] == nil:
			w.inquire(e, a, 0, out)
		}
	})
}
