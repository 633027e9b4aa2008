package dataplane

import (
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// Neighbour timing and bounds; the defaults of Linux (ip-sysctl, neigh/default) where it has them.
const (
	holdLimit      = 8                       // packets held for one neighbour; the newest push out the oldest
	heldShare      = 16                      // of all frames, workers hold at most one in so many
	deviceHold     = 256                     // packets held for all neighbours of a device
	maxNeighbors   = 4096                    // entries of one device
	maxProbes      = 3                       // requests before a neighbour counts as failed (mcast_solicit, ucast_solicit)
	probeInterval  = int64(time.Second)      // RFC 1122 2.3.2.1: at most one request a second for an address
	reachableTime  = int64(30 * time.Second) // base_reachable_time
	staleTime      = int64(60 * time.Second) // gc_stale_time: unused for longer, and one of many, it goes
	fewNeighbors   = 128                     // gc_thresh1: below it nothing is collected
	ageingInterval = int64(time.Second)
	// evictionInterval bounds the searches of a full table.
	evictionInterval = int64(100 * time.Millisecond)
)

// neighborKeeper is what a worker remembers about the neighbours of the devices it owns that it is asking at the
// moment.
type neighborKeeper struct {
	asked      map[*neigh.Entry]*question
	spare      []*question
	held       int   // packets held, in all
	maxHeld    int   // at most: a share of the frame area, so that nobody's silent neighbours stop the others' traffic
	heldBy     []int // packets held, by the device that they are to leave by
	lastAgeing int64
	// lastEviction is when a full table was last searched for entries to give up.
	lastEviction int64
	changed      func(nstable.DeviceID, *neigh.Entry, bool) // tells the control plane; must not block
}

// question is a neighbour that is being asked for its address, and the packets that wait for the answer.
type question struct {
	dev  nstable.DeviceID
	next int64 // when to ask again, nanoseconds
	n    int
	held [holdLimit]Packet
}

// waiting tells whether some question is open.
func (k *neighborKeeper) waiting() bool { return len(k.asked) > 0 }

// room tells whether one more packet may be held for a device.
func (k *neighborKeeper) room(dev nstable.DeviceID) bool {
	return k.held < k.maxHeld && k.heldBy[dev] < deviceHold
}

func (k *neighborKeeper) ask(e *neigh.Entry, dev nstable.DeviceID) *question {
	for int(dev) >= len(k.heldBy) {
		k.heldBy = append(k.heldBy, 0)
	}
	var q *question
	if n := len(k.spare); n > 0 {
		q, k.spare = k.spare[n-1], k.spare[:n-1]
		*q = question{dev: dev}
	} else {
		q = &question{dev: dev}
	}
	k.asked[e] = q
	return q
}

func (k *neighborKeeper) close(e *neigh.Entry, q *question) {
	delete(k.asked, e)
	k.spare = append(k.spare, q)
}

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
	if e == nil {
		if e = w.newNeighbor(out, p.Via); e == nil {
			w.toDrop(i, counters.NeighborTableFull)
			return
		}
	} else if mac, ok := e.Use(); ok {
		w.ethernet(p).SetAddresses(mac, header.MAC(out.MAC))
		w.to(transmit, i)
		return
	}
	q := w.neighbors.asked[e]
	if q == nil {
		q = w.neighbors.ask(e, out.ID)
		e.Set(neigh.Incomplete, 0, w.now)
		w.solicit(e, q, out)
	}
	w.hold(q, p)
}

// newNeighbor makes an entry, or returns nil where the device has as many as it may. A full table first loses who does
// not answer, so that a scan of the link does not keep living neighbours out (RFC 6583).
func (w *Worker) newNeighbor(d *nstable.Device, a fib.Addr) *neigh.Entry {
	if d.Neighbors.Len() >= maxNeighbors {
		if w.now-w.neighbors.lastEviction < evictionInterval {
			return nil
		}
		w.neighbors.lastEviction = w.now
		d.Neighbors.All(func(e *neigh.Entry) bool {
			if s := e.State(); s == neigh.Failed || s == neigh.Incomplete && e.Probes > 1 {
				w.remove(d, e)
			}
			return true
		})
		if d.Neighbors.Len() >= maxNeighbors {
			return nil
		}
	}
	return d.Neighbors.Add(a, w.now)
}

// hold appends a packet to a neighbour's queue; the oldest makes room (RFC 4861 7.2.2). Where the device or the worker
// holds as many as it may, the question stays open, and the packet is dropped.
func (w *Worker) hold(q *question, p *Packet) {
	if q.n == holdLimit {
		w.letGo(q, 0, 1)
		w.discard(&q.held[0], counters.NeighborHoldFull)
		q.n = copy(q.held[:], q.held[1:])
	}
	if !w.neighbors.room(q.dev) {
		w.discard(p, counters.NeighborHoldFull)
		return
	}
	q.held[q.n] = *p
	q.n++
	w.neighbors.held++
	w.neighbors.heldBy[q.dev]++
	if p.In != 0 {
		if s := w.slotOf(p.In); s != nil {
			s.Held.Add(1)
		}
	}
}

// letGo counts packets [from, to) of a queue as held no longer. What becomes of them is the caller's matter.
func (w *Worker) letGo(q *question, from, to int) {
	w.neighbors.held -= to - from
	w.neighbors.heldBy[q.dev] -= to - from
	for k := from; k < to; k++ {
		if in := q.held[k].In; in != 0 {
			if s := w.slotOf(in); s != nil {
				s.HeldOut.Add(1)
			}
		}
	}
}

// solicit asks for a neighbour once: to all on the link, or in state Probe to its old address.
func (w *Worker) solicit(e *neigh.Entry, q *question, out *nstable.Device) {
	e.Probes++
	q.next = w.now + probeInterval
	var to uint64
	if mac, ok := e.MAC(); ok {
		to = mac
	}
	if e.Addr.Is4() {
		w.sendARPRequest(out, uint32(e.Addr.Lo), to)
	} else {
		w.sendSolicitation(out, e.Addr, to)
	}
}

// learn sets a neighbour's address and state, and sends what waited for it.
func (w *Worker) learn(e *neigh.Entry, dev *nstable.Device, mac uint64, state neigh.State) {
	old, known := e.MAC()
	was := e.State()
	e.Set(state, mac, w.now)
	if state == neigh.Reachable {
		e.Confirmed.Store(w.now)
	}
	if q := w.neighbors.asked[e]; q != nil {
		w.letGo(q, 0, q.n)
		for k := range q.n {
			p := &q.held[k]
			w.ethernet(p).SetAddresses(mac, header.MAC(dev.MAC))
			w.deliver(p, dev)
		}
		w.neighbors.close(e, q)
	}
	if !known || old != mac || was != state {
		w.neighbors.changed(dev.ID, e, false)
	}
}

// forget drops what a neighbour holds and closes its question.
func (w *Worker) forget(e *neigh.Entry, why reason) {
	q := w.neighbors.asked[e]
	if q == nil {
		return
	}
	w.letGo(q, 0, q.n)
	for k := range q.n {
		w.discard(&q.held[k], why)
	}
	w.neighbors.close(e, q)
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
			w.cache.Put(p.Addr)
		}
		w.neighbors.held -= q.n - kept
		w.neighbors.heldBy[q.dev] -= q.n - kept
		q.n = kept
	}
}

// tick asks again, gives up, and ages; ten times a second.
func (w *Worker) tick() {
	w.readWall()
	for e, q := range w.neighbors.asked {
		if w.now < q.next {
			continue
		}
		dev := w.view.Device(q.dev)
		switch {
		case dev == nil || dev.Neighbors.Lookup(e.Addr) != e:
			w.forget(e, counters.EgressDown)
		case e.Probes < maxProbes:
			w.solicit(e, q, dev)
		default:
			w.giveUp(e, q, dev)
		}
	}
	w.tryAddresses()
	if w.now-w.neighbors.lastAgeing >= ageingInterval {
		w.neighbors.lastAgeing = w.now
		for _, d := range w.view.Devices {
			if d != nil && d.Owner == w.id && d.Neighbors.Len() > 0 {
				w.age(d)
			}
		}
	}
	w.flush()
}

// giveUp marks a neighbour as failed and tells the senders of what it held (RFC 1812 3.3.2; RFC 4861 7.2.2).
func (w *Worker) giveUp(e *neigh.Entry, q *question, dev *nstable.Device) {
	e.Set(neigh.Failed, 0, w.now)
	w.neighbors.changed(dev.ID, e, false)
	w.letGo(q, 0, q.n)
	held := q.held
	n := q.n
	w.neighbors.close(e, q)
	for k := range n {
		// Who is told is a neighbour of the device that the packet came in by, in this namespace and no other.
		if held[k].Flags&Own != 0 || !w.enter(held[k].In) || w.ns != dev.Namespace {
			w.discard(&held[k], counters.NeighborFailed)
			continue
		}
		w.packets[0] = held[k]
		// By the packet, not by the neighbour: IPv4 may go by an IPv6 next hop (RFC 8950). Its options were acted on when it
		// was forwarded; the error has none.
		w.packets[0].Flags &^= Optioned
		if w.ethernet(&held[k]).Type() == header.TypeIPv4 {
			w.toError(icmp4Error, 0, counters.NeighborFailed, header.ICMPHostUnreachable)
		} else {
			w.toError(icmp6Error, 0, counters.NeighborFailed, header.ICMPv6AddressUnreachable)
		}
		w.runGraph()
	}
}

// age lets confirmations grow old (RFC 4861 7.3.3): a stale neighbour in use is asked again, one that nobody uses goes
// when there are many.
func (w *Worker) age(d *nstable.Device) {
	d.Neighbors.All(func(e *neigh.Entry) bool {
		idle := w.now - e.Changed.Load()
		switch e.State() {
		case neigh.Reachable:
			if w.now-e.Confirmed.Load() > reachableTime {
				mac, _ := e.MAC()
				e.Set(neigh.Stale, mac, w.now)
				w.neighbors.changed(d.ID, e, false)
			}
		case neigh.Stale:
			if e.TakeUsed() {
				mac, _ := e.MAC()
				e.Set(neigh.Probe, mac, w.now)
				w.solicit(e, w.neighbors.ask(e, d.ID), d)
			} else if idle > staleTime && d.Neighbors.Len() > fewNeighbors {
				w.remove(d, e)
			}
		case neigh.Failed:
			if idle > staleTime || d.Neighbors.Len() > fewNeighbors {
				w.remove(d, e)
			}
		default:
		}
		return true
	})
}

func (w *Worker) remove(d *nstable.Device, e *neigh.Entry) {
	w.forget(e, counters.NeighborFailed)
	d.Neighbors.Delete(e)
	w.neighbors.changed(d.ID, e, true)
}
