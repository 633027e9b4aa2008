package dataplane

import (
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
)

// expiryInterval is how often a worker looks for datagrams that waited too long.
const expiryInterval = int64(500 * time.Millisecond)

// abandon drops what has come of a datagram.
func (w *Worker) abandon(d *assembly, why reason) {
	for q := w.reassembly.take(d); q != nil; q = w.reassembly.take(d) {
		w.letPart(q, why)
	}
	w.reassembly.end(d)
}

// letPart drops a part.
func (w *Worker) letPart(q *part, why reason) {
	if s := w.slotOf(q.In); s != nil {
		s.HeldOut.Add(1)
	}
	w.discard(&q.Packet, why)
}

// expireFragments gives up what was not completed in time. Where the first fragment is here, its sender is told (RFC 792,
// RFC 4443 3.3).
func (w *Worker) expireFragments() {
	r := &w.reassembly
	if len(r.open) == 0 || w.now-r.lastExpiry < expiryInterval {
		return
	}
	r.lastExpiry = w.now
	for _, d := range r.open {
		ns := w.view.Namespaces[d.key.ns]
		if ns == nil { // it has ended: forgetFragments is about to come for each of its devices
			continue
		}
		if wait, _ := limits(ns.Settings(), d.key.family()); w.now-d.born >= wait {
			w.expire(d)
		}
	}
}

func (w *Worker) expire(d *assembly) {
	key, next := d.key, icmp4Error
	if key.family() == 1 {
		next = icmp6Error
	}
	found := d.first != none
	var first Packet
	var said fragment
	if found {
		first, said = w.reassembly.parts[d.first].Packet, w.reassembly.parts[d.first].fragment
	}
	for q := w.reassembly.take(d); q != nil; q = w.reassembly.take(d) {
		if !found || q.Addr != first.Addr {
			w.letPart(q, counters.ReassemblyTimeout)
		}
	}
	w.reassembly.end(d)
	if !found {
		return
	}
	if s := w.slotOf(first.In); s != nil {
		s.HeldOut.Add(1)
	}
	if !w.enter(first.In) || w.ns.ID != key.ns || !w.dev.Up {
		w.discard(&first, counters.ReassemblyTimeout)
		return
	}
	w.packets[0] = first
	if said.optioned {
		w.packets[0].Flags |= Optioned
		w.options[0] = said.options
	}
	w.toError(next, 0, counters.ReassemblyTimeout, header.ICMPReassemblyTime)
	w.runGraph()
}

// forgetFragments drops the datagrams that have fragments from a device which leaves its namespace or ends.
func (w *Worker) forgetFragments(dev *nstable.Device) {
	slot := dev.Counters.Worker(w.id)
	for _, d := range w.reassembly.open {
		from := false
		for k := d.list; k != none; k = w.reassembly.parts[k].next {
			from = from || w.reassembly.parts[k].In == dev.ID
		}
		if !from {
			continue
		}
		for q := w.reassembly.take(d); q != nil; q = w.reassembly.take(d) {
			if q.In != dev.ID {
				w.letPart(q, counters.EgressDown)
				continue
			}
			// Not by its number, which may be gone from the view.
			slot.HeldOut.Add(1)
			slot.Drops[counters.DeviceDown].Add(1)
			w.free(&q.Packet)
		}
		w.reassembly.end(d)
	}
}
