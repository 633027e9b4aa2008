package dataplane

import (
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/nstable"
)

// fewNeighbors is below how many entries of a device nothing is collected (gc_thresh1).
const fewNeighbors = 128

// sweepSlots is how many slots of a table are looked at in a tick at least; of larger tables, all in a second.
const sweepSlots = 1024

func seconds(n uint32) int64 { return int64(n) * int64(time.Second) }
func retransTime(d *nstable.Device) int64 {
	return int64(d.Settings.RetransTime) * int64(time.Millisecond)
}
func delayFirstProbe(d *nstable.Device) int64 { return seconds(d.Settings.DelayFirstProbeTime) }

// reachableTime is how long the last confirmation of a neighbour is good for: 0.5 to 1.5 times the base, by chance (RFC
// 4861 6.3.2), so that neighbours which were confirmed together are not all asked together again.
func reachableTime(d *nstable.Device, e *neigh.Entry) int64 {
	base := seconds(d.Settings.BaseReachableTime)
	chance := (e.Addr.Lo ^ uint64(e.Confirmed.Load())) * 0x9e3779b97f4a7c15
	return base/2 + int64(chance>>1)%base
}

// How a neighbour is updated: the NEIGH_UPDATE_F_* of net/neighbour.h.
type updateFlags uint8

const (
	override     updateFlags = 1 << iota // another MAC takes the place of the known one
	weakOverride                         // another MAC makes the known one suspect
	administrative
	setRouter // the router flag is told: isRouter, or not
	isRouter
)

// update tells a neighbour's MAC (0: not told) and state as heard, and sends what waited for it. It is neigh_update of the
// kernel's net/core/neighbour.c, which implements the table of RFC 4861 7.2.5 and appendix C.
func (w *Worker) update(e *neigh.Entry, dev *nstable.Device, mac uint64, state neigh.State, f updateFlags) {
	old := e.State()
	known, valid := e.MAC()
	if f&administrative == 0 && old.Static() {
		return
	}
	if mac == 0 {
		if !valid { // an answer without an address helps nobody who has none
			return
		}
		mac = known
	}
	switch {
	case !valid:
	case mac != known && f&override != 0:
	case mac != known:
		if f&weakOverride == 0 || old != neigh.Reachable {
			return
		}
		mac, state = known, neigh.Stale
		f &^= setRouter
	case state == neigh.Stale && f&administrative == 0:
		state = old
	}
	w.settle(e, dev, mac, state, f)
}

// settle makes the change that update has decided on.
func (w *Worker) settle(e *neigh.Entry, dev *nstable.Device, mac uint64, state neigh.State, f updateFlags) {
	known, valid := e.MAC()
	moved := !valid || mac != known || state != e.State()
	router := e.Router.Load()
	if f&setRouter != 0 {
		e.Router.Store(f&isRouter != 0)
	}
	if state.Connected() {
		e.Confirmed.Store(w.now)
	} else if mac != known {
		e.Confirmed.Store(w.now - 2*seconds(dev.Settings.BaseReachableTime))
	}
	if moved {
		e.Set(state, mac, w.now)
		if q := w.neighbors.asked[e]; q != nil && state != neigh.Probe {
			w.releaseHeld(e, q, dev, mac)
		}
	}
	if moved || router != e.Router.Load() {
		w.neighbors.changed(dev.ID, e, false)
	}
}

// begin starts to ask for a neighbour: at once, unless it was asked less than a second ago before it failed.
func (w *Worker) begin(e *neigh.Entry, out *nstable.Device) *question {
	e.Set(neigh.Incomplete, 0, w.now)
	q := w.neighbors.ask(e, out.ID)
	if q.next = e.Asked + retransTime(out); e.Asked == 0 || q.next <= w.now {
		w.solicit(e, q, out)
	}
	return q
}

// probe asks a neighbour whether it is still at its address.
func (w *Worker) probe(e *neigh.Entry, dev *nstable.Device) {
	mac, _ := e.MAC()
	e.Set(neigh.Probe, mac, w.now)
	q := w.neighbors.asked[e]
	if q == nil {
		q = w.neighbors.ask(e, dev.ID)
	}
	w.solicit(e, q, dev)
	w.neighbors.changed(dev.ID, e, false)
}

// solicit asks for a neighbour once: all on the link, or in state Probe its old address.
func (w *Worker) solicit(e *neigh.Entry, q *question, out *nstable.Device) {
	e.Probes.Add(1)
	e.Asked = w.now
	q.next = w.now + retransTime(out)
	to, _ := e.MAC()
	if e.Addr.Is4() {
		w.sendARPRequest(out, uint32(e.Addr.Lo), to)
	} else {
		w.sendSolicitation(out, e.Addr, to)
	}
}

// tick asks again, gives up, and ages; ten times a second, once a second where nothing else is to be done.
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
		case e.Probes.Load() < maxProbes(e, dev):
			w.solicit(e, q, dev)
		default:
			w.giveUp(e, q, dev)
		}
	}
	w.tryAddresses()
	w.sweep()
	for own, at := range w.neighbors.defended {
		if w.now-at >= defendInterval {
			delete(w.neighbors.defended, own)
		}
	}
	w.flush()
}

func maxProbes(e *neigh.Entry, d *nstable.Device) int32 {
	if e.State() == neigh.Probe {
		return int32(d.Settings.UcastSolicit)
	}
	return int32(d.Settings.McastSolicit)
}

// giveUp marks a neighbour as failed and tells the senders of what it held (RFC 1812 3.3.2; RFC 4861 7.2.2).
func (w *Worker) giveUp(e *neigh.Entry, q *question, dev *nstable.Device) {
	e.Set(neigh.Failed, 0, w.now)
	w.neighbors.changed(dev.ID, e, false)
	held, n := w.takeAll(q)
	w.neighbors.close(e, q)
	for k := range n {
		// Who is told is a neighbour of the device that the packet came in by, in this namespace and no other.
		if held[k].Flags&Own != 0 || !w.enter(held[k].In) || w.ns != dev.Namespace {
			w.discard(&held[k], counters.NeighborFailed)
			continue
		}
		w.packets[0] = held[k]
		// By the packet, not by the neighbour: IPv4 may go by an IPv6 next hop (RFC 8950).
		if w.ethernet(&held[k]).Type() == header.TypeIPv4 {
			w.neighborFailed4(0)
		} else {
			w.toError(icmp6Error, 0, counters.NeighborFailed, header.ICMPv6AddressUnreachable)
		}
		w.runGraph()
	}
}

// sweep ages a part of the neighbours of each device.
func (w *Worker) sweep() {
	elapsed := min(w.now-w.neighbors.lastSweep, int64(time.Second))
	w.neighbors.lastSweep = w.now
	for _, d := range w.view.Devices {
		if d == nil || d.Owner != w.id || d.Neighbors.Len() == 0 {
			continue
		}
		pressed := w.pressed(d)
		share := int(int64(d.Neighbors.Slots()) * elapsed / int64(time.Second))
		d.Neighbors.Sweep(max(share, sweepSlots), func(e *neigh.Entry) { w.age(d, e, pressed) })
	}
}

// age lets time pass for a neighbour (RFC 4861 7.3.3; neigh_timer_handler and neigh_periodic_work of the kernel). Its
// last use is known to a second or so: packets only leave a mark.
func (w *Worker) age(d *nstable.Device, e *neigh.Entry, pressed bool) {
	used := e.TakeUsed()
	if used {
		e.Used.Store(w.now)
	}
	mac, _ := e.MAC()
	switch e.State() {
	case neigh.Reachable:
		switch {
		case w.now-e.Confirmed.Load() <= reachableTime(d, e):
		case w.now-e.Used.Load() <= delayFirstProbe(d):
			e.Set(neigh.Delay, mac, w.now)
		default:
			e.Set(neigh.Stale, mac, w.now)
			w.neighbors.changed(d.ID, e, false)
		}
	case neigh.Stale:
		if used {
			e.Set(neigh.Delay, mac, w.now)
		} else if w.unwanted(d, e, pressed) {
			w.remove(d, e)
		}
	case neigh.Delay:
		if w.now-e.Changed.Load() >= delayFirstProbe(d) {
			w.probe(e, d)
		}
	case neigh.NoARP:
		if w.unwanted(d, e, pressed) {
			w.remove(d, e)
		}
	case neigh.Failed:
		// Not sooner than it may be asked again.
		if idle := w.now - e.Changed.Load(); idle > seconds(d.Settings.GCStaleTime) ||
			idle > retransTime(d) && d.Neighbors.Len() > fewNeighbors {
			w.remove(d, e)
		}
	default:
	}
}

// unwanted tells whether a neighbour that nobody uses can go: there are many, and it was not used for gc_stale_time, or
// for a few seconds where the table is nearly full.
func (w *Worker) unwanted(d *nstable.Device, e *neigh.Entry, pressed bool) bool {
	idle := w.idle(e)
	return pressed && idle > freshTime || d.Neighbors.Len() > fewNeighbors && idle > seconds(d.Settings.GCStaleTime)
}

func (w *Worker) remove(d *nstable.Device, e *neigh.Entry) {
	w.forget(e, counters.NeighborFailed)
	d.Neighbors.Delete(e)
	w.neighbors.changed(d.ID, e, true)
}

// administer does what the operator says of a neighbour.
func (w *Worker) administer(e *neigh.Entry, dev *nstable.Device, mac uint64, state neigh.State) {
	switch state {
	case neigh.Failed:
		if q := w.neighbors.asked[e]; q != nil {
			w.giveUp(e, q, dev)
			return
		}
		e.Set(neigh.Failed, 0, w.now)
		w.neighbors.changed(dev.ID, e, false)
	case neigh.Probe:
		w.update(e, dev, mac, neigh.Delay, administrative|override)
		w.probe(e, dev)
	default:
		w.update(e, dev, mac, state, administrative|override)
	}
}
