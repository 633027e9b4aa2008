package nstable

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Duplicate address detection (RFC 4862 5.4): an IPv6 address is tentative when it comes, or when its device comes up,
// until the data plane has asked the link and nobody claims it. Till then it is not the router's own: no local route, no
// source, no answer. One that somebody claims stays, unused, until its device comes up again.

// addressState says whether an IPv6 address is used.
type addressState uint8

const (
	valid     addressState = iota
	tentative              // to be tried, or being tried
	duplicate              // another node has it
)

// Probe is an address that the owner of its device is to try.
type Probe struct {
	Addr netip.Addr
	// Round is another number for each trial, of this address or of any.
	Round uint32
	// Transmits is how many neighbour solicitations are sent, at least one (DupAddrDetectTransmits).
	Transmits uint32
	// Delay asks for a random delay before the first: the device has come up with others, perhaps (RFC 4862 5.4.2).
	Delay bool
}

// ProbeResult is what a trial has found out.
type ProbeResult struct {
	Device    DeviceID
	Round     uint32
	Duplicate bool
	MAC       [6]byte // of the other node, where that is known
}

// initialState is what an address of d begins with.
func (t *Table) initialState(d *device, a *address) addressState {
	shared := d.kind != Loopback && d.kind != Dummy // others may be on the link
	if t.options.DetectDuplicates && shared && a.prefix.Addr().Is6() && !a.nodad &&
		d.settings.DADTransmits > 0 && d.settings.AcceptDAD > 0 {
		return tentative
	}
	return valid
}

// try begins the trial of an address that is about to be, or has just come to be, an address of d.
func (tx *Tx) try(d *device, a *address, delay bool) {
	a.state = tx.t.initialState(d, a)
	tx.t.round++
	a.round, a.delay = tx.t.round, delay
}

// tryAll begins the trials of all addresses of a device that goes up or down.
func (tx *Tx) tryAll(d *device) {
	before := d.addrs
	d.addrs = slices.Clone(d.addrs)
	for i := range d.addrs {
		tx.try(d, &d.addrs[i], true)
		if d.addrs[i].state != before[i].state {
			tx.announceAddress(d, i, false)
		}
	}
}

// setState changes the state of the i-th address of d, and has it announced when it comes into use.
func (tx *Tx) setState(d *device, i int, s addressState) {
	was := d.addrs[i].state
	tx.edit(d)
	d.addrs = slices.Clone(d.addrs)
	d.addrs[i].state = s
	tx.connect(d)
	tx.announceAddress(d, i, false)
	if s == valid && was != valid {
		tx.announceAddresses(d, d.addrs[i])
	}
}

// probes are the addresses of d that can be tried now.
func (t *Table) probes(d *device) []Probe {
	if !d.up || !t.carrier(d) {
		return nil
	}
	var out []Probe
	for i := range d.addrs {
		if a := &d.addrs[i]; a.state == tentative {
			out = append(out, Probe{
				Addr: a.prefix.Addr(), Round: a.round, Transmits: max(d.settings.DADTransmits, 1), Delay: a.delay,
			})
		}
	}
	return out
}

// probedQueue takes the results of trials from workers to the committer.
type probedQueue struct {
	wake chan struct{} // one token: there is something to take
	mu   sync.Mutex    // held for a few instructions only, as workers take it
	list []ProbeResult
}

// AddressProbed takes the result of a trial. Workers may call it: nothing waits.
func (t *Table) AddressProbed(r ProbeResult) {
	q := &t.probed
	q.mu.Lock()
	q.list = append(q.list, r)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns a change of the table that makes what the trials have found out so.
func (q *probedQueue) take() *request {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = nil
	return &request{volatile: true, done: make(chan struct{}), fn: func(tx *Tx) error {
		for i := range list {
			tx.probed(&list[i])
		}
		return nil
	}}
}

// probed ends a trial. One that has been overtaken meanwhile says nothing any more.
func (tx *Tx) probed(r *ProbeResult) {
	d := tx.t.deviceByID(r.Device)
	if d == nil || d.gone {
		return
	}
	i := slices.IndexFunc(d.addrs, func(a address) bool { return a.round == r.Round && a.state == tentative })
	switch {
	case i < 0:
	case !r.Duplicate:
		tx.setState(d, i, valid)
	default:
		tx.setState(d, i, duplicate)
		by := "another node"
		if r.MAC != [6]byte{} {
			by = net.HardwareAddr(r.MAC[:]).String()
		}
		msg := fmt.Sprintf("%s in namespace %s: IPv6 duplicate address %s detected, used by %s: it is not used here",
			d.name, d.ns.name, d.addrs[i].prefix.Addr(), by)
		tx.hooks = append(tx.hooks, func() { tx.t.log(msg, nil) })
	}
}
