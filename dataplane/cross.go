package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/nstable"
)

// A packet crosses from namespace to namespace by a veth pair, or by a route into another one (leak.go). It enters the graph
// again in the next round, never by recursion, and not for ever.

// maxCrossings is how many veth pairs, and routes into other namespaces, a packet may pass between reception and
// transmission (DESIGN.md: Ownership).
const maxCrossings = 8

// crossingLimit is how many packets may wait for the next round after they have crossed.
const crossingLimit = 1024

// cross passes a packet to the other end of a veth pair.
func (w *Worker) cross(p *Packet, out *nstable.Device) {
	peer := w.view.Device(out.Peer)
	if peer == nil || !peer.Up || !out.Up {
		w.discard(p, counters.EgressDown)
		return
	}
	if !w.mayCross(p) {
		return
	}
	if s := w.slotOf(out.ID); s != nil {
		w.tally.add(w.forwarded(p), &s.TxPackets, &s.TxBytes, uint64(w.length(p)))
	}
	w.crossings = append(w.crossings, Packet{
		Addr: p.Addr, Len: p.Len, In: peer.ID, Crossings: p.Crossings + 1, Flags: p.Flags & Chained,
	})
}

// mayCross tells whether a packet may cross once more; it has dropped those that may not.
func (w *Worker) mayCross(p *Packet) bool {
	switch {
	case p.Crossings >= maxCrossings:
		w.discard(p, counters.Loop)
		return false
	case len(w.crossings) >= crossingLimit:
		w.discard(p, counters.HandoffFull)
		return false
	}
	return true
}

// forwarded is the counter of packets forwarded for the device that p came in by; nil for an own packet, or where it is gone.
func (w *Worker) forwarded(p *Packet) *counters.Counter {
	if p.Flags&Own == 0 {
		if s := w.slotOf(p.In); s != nil {
			return &s.Forwarded
		}
	}
	return nil
}

// tally is what the crossings of this round add to some counters, for as long as one after the other adds to the same: to
// count each alone would be a third of what a crossing costs. The round ends by settling it.
type tally struct {
	from, packets, bytes *counters.Counter // from and bytes may be nil
	n, sum               uint64
}

func (t *tally) add(from, packets, bytes *counters.Counter, length uint64) {
	if t.from != from || t.packets != packets {
		t.settle()
		t.from, t.packets, t.bytes = from, packets, bytes
	}
	t.n++
	t.sum += length
}

func (t *tally) settle() {
	if t.n == 0 {
		return
	}
	t.packets.Add(t.n)
	if t.from != nil {
		t.from.Add(t.n)
	}
	if t.bytes != nil {
		t.bytes.Add(t.sum)
	}
	*t = tally{}
}

// takeCrossings takes the packets that crossed in the last round through the graph, in batches by the device that they
// come in by.
func (w *Worker) takeCrossings() int {
	if len(w.crossings) == 0 {
		return 0
	}
	list := w.crossings
	w.crossings, w.crossed = w.crossed[:0], list
	for i := 0; i < len(list); {
		n := 0
		first := &list[i]
		for n < vectorSize && i+n < len(list) && list[i+n].In == first.In {
			w.packets[n] = list[i+n]
			n++
		}
		if w.enter(first.In) {
			if w.dev.Kind == nstable.Loopback {
				w.countLeaked(n)
			}
			for k := range n {
				w.to(w.packets[k].Next, uint16(k))
			}
			w.runGraph()
			w.takeTagged()
		} else {
			w.freeAll(list[i : i+n])
		}
		i += n
	}
	return len(list)
}

// relieve takes crossings through the graph in the middle of a round, where those of the next batch might not fit: a worker
// can have more queues and peers than the list has room for.
func (w *Worker) relieve() int {
	if len(w.crossings) <= crossingLimit-2*vectorSize {
		return 0
	}
	return w.takeCrossings()
}
