package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
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
