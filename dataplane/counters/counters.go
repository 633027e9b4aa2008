// Package counters holds what the data plane counts and why it drops.
//
// Each worker has a slot of its own in every counter set, so that counting never shares a cache line between workers; a
// reader sums the slots. A slot has one writer, which stores with [Counter.Add]; readers on any goroutine see each
// counter whole, and a set of counters roughly at one instant.
//
// For the packets that came in by one device, once the pipeline is empty:
//
//	RxPackets = Forwarded + Delivered + Held + the sum of Drops
package counters

import "sync/atomic"

// Counter has one writer and any number of readers.
type Counter struct{ v atomic.Uint64 }

// Add is for the one writer only.
func (c *Counter) Add(n uint64) { c.v.Store(c.v.Load() + n) }

// Load may be called by anyone.
func (c *Counter) Load() uint64 { return c.v.Load() }

// Slot is what one worker counts for one device.
type Slot struct {
	RxPackets, RxBytes Counter // arrived at the device, before any check
	TxPackets, TxBytes Counter // accepted by the device for transmission
	Multicast          Counter // received link-layer multicast and broadcast
	Forwarded          Counter // received here and sent on by some device of the namespace
	Delivered          Counter // received here and taken by the router itself (echo, ARP, ND)
	Held               Counter // received here, waiting for a neighbour or for other fragments: Held - HeldOut
	HeldOut            Counter // left the wait again (then forwarded or dropped)
	LeakedOut          Counter // sent into another namespace by a route, own packets included
	LeakedIn           Counter // came from another namespace so: at the loopback
	PartialSum         Counter // sampled TCP/UDP packets whose checksum was only the pseudo-header's
	Drops              [NumReasons]Counter
	Suppressed         [NumAnswers]Counter // answers due to packets received here that a rate limit kept back
	MIB                [NumMIB]Counter
	_                  [64]byte // slots of two workers do not share a line
}

// Device is the set of one device: a slot for each worker.
type Device struct{ slots []Slot }

// NewDevice makes a set for the given number of workers.
func NewDevice(workers int) *Device { return &Device{slots: make([]Slot, workers)} }

// Worker is the slot that worker w writes.
func (d *Device) Worker(w int) *Slot { return &d.slots[w] }

// Totals is the sum over all workers of a device, or of all devices of a namespace.
type Totals struct {
	RxPackets, RxBytes, TxPackets, TxBytes uint64
	Multicast, Forwarded, Delivered, Held  uint64
	LeakedOut, LeakedIn                    uint64
	PartialSum                             uint64
	Drops                                  [NumReasons]uint64
	Suppressed                             [NumAnswers]uint64
	MIB                                    [NumMIB]uint64
}

// Sum adds the device's counters to t.
func (d *Device) Sum(t *Totals) {
	for i := range d.slots {
		s := &d.slots[i]
		t.RxPackets += s.RxPackets.Load()
		t.RxBytes += s.RxBytes.Load()
		t.TxPackets += s.TxPackets.Load()
		t.TxBytes += s.TxBytes.Load()
		t.Multicast += s.Multicast.Load()
		t.Forwarded += s.Forwarded.Load()
		t.Delivered += s.Delivered.Load()
		t.Held += s.Held.Load() - s.HeldOut.Load() // one of the two may be another worker's: the sum is right, wrapping or not
		t.LeakedOut += s.LeakedOut.Load()
		t.LeakedIn += s.LeakedIn.Load()
		t.PartialSum += s.PartialSum.Load()
		for r := range t.Drops {
			t.Drops[r] += s.Drops[r].Load()
		}
		for k := range t.Suppressed {
			t.Suppressed[k] += s.Suppressed[k].Load()
		}
		for m := range t.MIB {
			t.MIB[m] += s.MIB[m].Load()
		}
	}
}

// Add adds o to t.
func (t *Totals) Add(o *Totals) { t.each(o, func(a *uint64, b uint64) { *a += b }) }

// Sub takes o from t; Held may wrap round zero and back, as its two sides are counted apart.
func (t *Totals) Sub(o *Totals) { t.each(o, func(a *uint64, b uint64) { *a -= b }) }

// each calls f for each counter of t with that of o.
func (t *Totals) each(o *Totals, f func(*uint64, uint64)) {
	f(&t.RxPackets, o.RxPackets)
	f(&t.RxBytes, o.RxBytes)
	f(&t.TxPackets, o.TxPackets)
	f(&t.TxBytes, o.TxBytes)
	f(&t.Multicast, o.Multicast)
	f(&t.Forwarded, o.Forwarded)
	f(&t.Delivered, o.Delivered)
	f(&t.Held, o.Held)
	f(&t.LeakedOut, o.LeakedOut)
	f(&t.LeakedIn, o.LeakedIn)
	f(&t.PartialSum, o.PartialSum)
	for r := range t.Drops {
		f(&t.Drops[r], o.Drops[r])
	}
	for k := range t.Suppressed {
		f(&t.Suppressed[k], o.Suppressed[k])
	}
	for m := range t.MIB {
		f(&t.MIB[m], o.MIB[m])
	}
}

// RxDropped is the sum of all drops of packets that came in.
func (t *Totals) RxDropped() uint64 {
	var n uint64
	for r := Reason(0); r < NumReasons; r++ {
		n += t.Drops[r]
	}
	return n
}
