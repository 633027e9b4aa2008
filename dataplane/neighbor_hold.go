package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// Bounds of what is held for neighbours that are being asked.
const (
	holdLimit  = 8   // packets held for one neighbour; the newest push out the oldest
	deviceHold = 256 // packets held for all neighbours of a device
	heldShare  = 16  // of all frames, workers hold at most one in so many
)

// neighborKeeper is what a worker remembers about the neighbours of the devices it owns that it is asking at the
// moment.
type neighborKeeper struct {
	asked     map[*neigh.Entry]*question
	spare     []*question
	held      int            // frames of packets held, in all
	maxHeld   int            // at most: a share of the frame area, so that nobody's silent neighbours stop the others' traffic
	devices   []deviceKeeper // by DeviceID
	counts    []int          // neighbours of each namespace, by NamespaceID, as counted last
	lastCount int64
	lastSweep int64
	defended  map[ownAddress]int64                               // when an address of ours was last found in use elsewhere
	changed   func(nstable.DeviceID, *neigh.Entry, bool)         // tells the control plane; must not block
	conflict  func(id nstable.DeviceID, a fib.Addr, mac [6]byte) // the same
}

// deviceKeeper is the part of one device.
type deviceKeeper struct {
	first, last  *question // that hold packets, the one that began first in front
	held         int       // packets held for its neighbours
	lastEviction int64     // when the full table was last searched for entries to give up
	budget       askBudget
}

// question is a neighbour that is being asked for its address, and the packets that wait for the answer.
type question struct {
	dev           nstable.DeviceID
	next          int64 // when to ask again, nanoseconds
	before, after *question
	n             int
	held          [holdLimit]Packet
}

// waiting tells whether some question is open.
func (k *neighborKeeper) waiting() bool { return len(k.asked) > 0 }

// of is the part of a device. The pointer is good until the next call.
func (k *neighborKeeper) of(dev nstable.DeviceID) *deviceKeeper {
	for int(dev) >= len(k.devices) {
		k.devices = append(k.devices, deviceKeeper{})
	}
	return &k.devices[dev]
}

// ask opens a question.
func (k *neighborKeeper) ask(e *neigh.Entry, dev nstable.DeviceID) *question {
	var q *question
	if n := len(k.spare); n > 0 {
		q, k.spare = k.spare[n-1], k.spare[:n-1]
		*q = question{dev: dev}
	} else {
		q = &question{dev: dev}
	}
	k.asked[e] = q
	e.Probes.Store(0)
	return q
}

// close ends a question that holds nothing any more.
func (k *neighborKeeper) close(e *neigh.Entry, q *question) {
	delete(k.asked, e)
	if len(k.spare) < deviceHold {
		k.spare = append(k.spare, q)
	}
}

// link puts a question that begins to hold packets behind the others of its device.
func (k *neighborKeeper) link(q *question) {
	d := k.of(q.dev)
	q.before, q.after = d.last, nil
	if d.last == nil {
		d.first = q
	} else {
		d.last.after = q
	}
	d.last = q
}

// unlink takes a question that holds nothing any more from the list of its device.
func (k *neighborKeeper) unlink(q *question) {
	d := k.of(q.dev)
	if q.before == nil {
		d.first = q.after
	} else {
		q.before.after = q.after
	}
	if q.after == nil {
		d.last = q.before
	} else {
		q.after.before = q.before
	}
	q.before, q.after = nil, nil
}

// hold appends a packet to a neighbour's queue; the oldest makes room (RFC 1122 2.3.2.2, RFC 4861 7.2.2).
func (w *Worker) hold(q *question, p *Packet) {
	if q.n == holdLimit {
		w.discardOldest(q)
	}
	if !w.makeRoom(q.dev, w.framesOf(p)) {
		w.discard(p, counters.NeighborHoldFull)
		return
	}
	if q.n == 0 {
		w.neighbors.link(q)
	}
	q.held[q.n] = *p
	q.n++
	w.neighbors.held += w.framesOf(p)
	w.neighbors.of(q.dev).held++
	if p.In != 0 {
		if s := w.slotOf(p.In); s != nil {
			s.Held.Add(1)
		}
	}
}

// makeRoom makes room for one more packet of a device, of so many frames: where the device holds as many as it may, its
// neighbour that has been silent longest loses its oldest, for one that lives answers within milliseconds; where the worker
// does, the device that holds most.
func (w *Worker) makeRoom(dev nstable.DeviceID, frames int) bool {
	k := &w.neighbors
	for {
		victim := k.of(dev)
		switch {
		case victim.held >= deviceHold:
		case k.held+frames <= k.maxHeld:
			return true
		default:
			for i := range k.devices {
				if k.devices[i].held > victim.held {
					victim = &k.devices[i]
				}
			}
		}
		if victim.first == nil {
			return false
		}
		w.discardOldest(victim.first)
	}
}

// discardOldest drops the packet that has waited longest in a queue.
func (w *Worker) discardOldest(q *question) {
	p := q.held[0]
	w.letGo(q, 0, 1)
	q.n = copy(q.held[:], q.held[1:q.n])
	if q.n == 0 {
		w.neighbors.unlink(q)
	}
	w.discard(&p, counters.NeighborHoldFull)
}

// takeAll empties a queue: the packets are the caller's, in its copy, and no longer held.
func (w *Worker) takeAll(q *question) (held [holdLimit]Packet, n int) {
	held, n = q.held, q.n
	if n > 0 {
		w.letGo(q, 0, n)
		w.neighbors.unlink(q)
		q.n = 0
	}
	return held, n
}

// letGo counts packets [from, to) of a queue as held no longer. What becomes of them is the caller's matter.
func (w *Worker) letGo(q *question, from, to int) {
	w.neighbors.of(q.dev).held -= to - from
	for k := from; k < to; k++ {
		w.neighbors.held -= w.framesOf(&q.held[k])
		if in := q.held[k].In; in != 0 {
			if s := w.slotOf(in); s != nil {
				s.HeldOut.Add(1)
			}
		}
	}
}

// releaseHeld sends what waited for a neighbour to its address, and closes the question.
func (w *Worker) releaseHeld(e *neigh.Entry, q *question, dev *nstable.Device, mac uint64) {
	held, n := w.takeAll(q)
	w.neighbors.close(e, q)
	for k := range n {
		w.ethernet(&held[k]).SetAddresses(mac, header.MAC(dev.MAC))
		w.deliver(&held[k], dev)
	}
}

// forget drops what a neighbour holds and closes its question.
func (w *Worker) forget(e *neigh.Entry, why reason) {
	q := w.neighbors.asked[e]
	if q == nil {
		return
	}
	held, n := w.takeAll(q)
	w.neighbors.close(e, q)
	for k := range n {
		w.discard(&held[k], why)
	}
}

// forgetFrom drops the packets that came in by a device which leaves its namespace or ends: what is held for a
// neighbour elsewhere must not be met by whatever has that device, or its number, next.
func (w *Worker) forgetFrom(d *nstable.Device) {
	slot := d.Counters.Worker(w.id)
	for _, q := range w.neighbors.asked {
		kept := 0
		for k := range q.n {
			p := &q.held[k]
			if p.In != d.ID {
				q.held[kept] = *p
				kept++
				continue
			}
			// Not by its number, which may be gone from the view.
			slot.HeldOut.Add(1)
			slot.Drops[counters.EgressDown].Add(1)
			w.neighbors.held -= w.framesOf(p)
			w.free(p)
		}
		w.neighbors.of(q.dev).held -= q.n - kept
		if q.n > 0 && kept == 0 {
			w.neighbors.unlink(q)
		}
		q.n = kept
	}
}
