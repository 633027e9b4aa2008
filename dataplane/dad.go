package dataplane

import (
	"math/rand/v2"
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

const (
	// probeDelay is the longest random delay before the first probe of a device that came up: half of what RFC 4862
	// 5.4.2 allows (MAX_RTR_SOLICITATION_DELAY), since the address is of no use so long.
	probeDelay = int64(500 * time.Millisecond)
	// retransTimer is between two probes, and after the last (RFC 4861 10).
	retransTimer = int64(time.Second)
	// nonceMask is what a nonce option holds: as much as a link-layer address option (RFC 3971 5.3.2).
	nonceMask = 1<<48 - 1
)

// trial is an address that is being tried for duplicates (RFC 4862 5.4), by the worker that owns its device.
type trial struct {
	next  int64  // when to go on, nanoseconds
	left  uint32 // probes still to be sent
	nonce uint64 // in the probes, to know those that the link sends back (RFC 7527)
	done  bool   // the table has been told
	seen  int64  // the last tick at which the table still asked for it
}

// tryAddresses begins the trials that the view asks for, sends what is due, tells what is through, and forgets what is
// asked for no more. Once a tick.
func (w *Worker) tryAddresses() {
	for _, id := range w.view.Probing {
		d := w.view.Device(id)
		if d == nil || d.Owner != w.id {
			continue
		}
		for i := range d.Probing {
			p := &d.Probing[i]
			t := w.trials[p.Round]
			if t == nil {
				t = &trial{next: w.now, left: p.Transmits, nonce: rand.Uint64() & nonceMask}
				if p.Delay {
					t.next += rand.Int64N(probeDelay)
				}
				w.trials[p.Round] = t
			}
			t.seen = w.now
			w.try(d, p, t)
		}
	}
	for round, t := range w.trials {
		if t.seen != w.now {
			delete(w.trials, round)
		}
	}
}

func (w *Worker) try(d *nstable.Device, p *nstable.Probe, t *trial) {
	switch {
	case t.done || w.now < t.next:
	case t.left > 0:
		t.left--
		t.next = w.now + retransTimer
		w.sendProbe(d, fib.AddrOf(p.Addr), t.nonce)
	default:
		t.done = true
		w.probed(nstable.ProbeResult{Device: d.ID, Round: p.Round})
	}
}

// probeOf returns the trial of an address on a device, or nil.
func probeOf(d *nstable.Device, a fib.Addr) *nstable.Probe {
	for i := range d.Probing {
		if fib.AddrOf(d.Probing[i].Addr) == a {
			return &d.Probing[i]
		}
	}
	return nil
}

// claimed ends a trial: another node has the address, or tries it as well (RFC 4862 5.4.3, 5.4.4).
func (w *Worker) claimed(p *nstable.Probe, mac uint64) {
	t := w.trials[p.Round]
	switch {
	case t == nil: // not begun yet
		t = new(trial)
		w.trials[p.Round] = t
	case t.done: // told once, however often it is claimed
		return
	}
	t.done = true
	w.probed(nstable.ProbeResult{Device: w.dev.ID, Round: p.Round, Duplicate: true, MAC: header.MACBytes(mac)})
}

// solicitedTrial is about a valid solicitation for an address that is being tried: another node's probe claims it, what
// a node asks that wants to send to it means nothing yet. It is never answered (RFC 4862 5.4.3).
func (w *Worker) solicitedTrial(probe *nstable.Probe, p *Packet, h header.IPv6, n header.ND) {
	if addr6(h.Source()) != (fib.Addr{}) {
		return
	}
	nonce, found, _ := n.LinkLayer(header.NDNonce)
	if t := w.trials[probe.Round]; t != nil && found && nonce == t.nonce {
		return // our own, sent back
	}
	w.claimed(probe, w.ethernet(p).Source())
}

// sendProbe asks whether anybody has an address that is being tried: from nobody, since it may not be used yet.
func (w *Worker) sendProbe(out *nstable.Device, target fib.Addr, nonce uint64) {
	addr, ok := w.cache.Get()
	if !ok {
		return // without a frame nothing else gets through either
	}
	const length = header.NDLen + header.NDLinkLayerLen
	p := Packet{Addr: addr + frame0, Len: header.EthernetLen + header.IPv6HeaderLen + length, Out: out.ID, Flags: Own}
	destination := solicitedNode(target)
	n := w.newND(&p, out, fib.Addr{}, destination, groupMAC(destination))
	header.ICMP(n).Set(header.ICMPv6NeighborSolicit, 0, 0)
	n.SetTarget(target.Hi, target.Lo)
	n.SetLinkLayer(header.NDNonce, nonce)
	w.finishND(&p)
	w.deliver(&p, out)
}
