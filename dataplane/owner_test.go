package dataplane

import (
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// withPeer gives a rig a second worker, which is not stepped: what is handed over to it is in its inbox.
func (r *rig) withPeer() *Worker {
	other, err := newWorker(1, -1, Options{CPUs: []int{-1, -1}, Pool: r.pool, View: r.w.views,
		Epochs: new(fib.Epochs), NeighborChanged: r.w.neighbors.changed})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = unix.Close(other.wake.event) })
	for _, d := range r.view.Devices {
		if d != nil {
			d.Counters = counters.NewDevice(2)
		}
	}
	r.w.inbox, r.w.notify = append(r.w.inbox, handoffRing{}), append(r.w.notify, false)
	pair := []*Worker{r.w, other}
	for _, w := range pair {
		w.peers = pair
		w.outbox = []*handoffRing{&r.w.inbox[w.id], &other.inbox[w.id]}
	}
	r.w.leave()
	return other
}

// TestMovedOnTheWay: what a worker hands to another is not met in the namespace that its device has gone to meanwhile, even
// if it is up there already and has the same addresses.
func TestMovedOnTheWay(t *testing.T) {
	if n := unsafe.Sizeof(Packet{}); n != 48 {
		t.Errorf("a packet is of %d bytes", n)
	}
	for name, b := range map[string][]byte{
		"ARP":      arp(t, p1, header.ARPRequest, hostMAC(p1), "10.0.1.2", "10.0.1.1"),
		"fragment": newRig(t).cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 3000), 1500)[0],
	} {
		for _, moves := range []bool{false, true} {
			r := newRig(t)
			other := r.withPeer()
			d := *r.view.Devices[p1]
			d.Owner = 1
			r.view.Devices[p1] = &d
			for id := range 8 { // some datagrams are the other worker's
				if name == "fragment" {
					header.IPv4(b[14:])[5] = byte(id)
					header.IPv4(b[14:]).SetChecksum()
				}
				r.inject(p1, b)
			}
			r.step()
			n := other.inbox[0].len()
			if n == 0 {
				t.Fatalf("%s: nothing handed over", name)
			}
			if moves {
				moved := d
				moved.Namespace = r.view.Namespaces[1]
				view := *r.view
				view.Devices = slices.Clone(view.Devices)
				view.Devices[p1] = &moved
				r.view = &view
			}
			other.now = r.now
			other.round()
			if got := r.drops(p1)["other-namespace"]; moves && got != uint64(n) || !moves && got != 0 {
				t.Errorf("%s, moves %v: dropped %v of %d", name, moves, r.drops(p1), n)
			}
		}
	}
}

// TestDevicesOf: the devices of a namespace are those of the present view.
func TestDevicesOf(t *testing.T) {
	r := newRig(t)
	of := func(ns nstable.NamespaceID) (ids []nstable.DeviceID) {
		for _, d := range r.w.devicesOf(r.view.Namespaces[ns]) {
			ids = append(ids, d.ID)
		}
		return ids
	}
	r.w.look()
	if a, b := of(0), of(1); !slices.Equal(a, []nstable.DeviceID{p1, p2, v1, dummy0}) ||
		!slices.Equal(b, []nstable.DeviceID{p3, v2}) {
		t.Errorf("devices %v and %v", a, b)
	}
	moved := *r.view.Devices[p2]
	moved.Namespace = r.view.Namespaces[1]
	view := *r.view
	view.Devices = slices.Clone(view.Devices)
	view.Devices[p1], view.Devices[p2] = nil, &moved
	r.view = &view
	r.w.look()
	if a, b := of(0), of(1); !slices.Equal(a, []nstable.DeviceID{v1, dummy0}) ||
		!slices.Equal(b, []nstable.DeviceID{p2, p3, v2}) {
		t.Errorf("devices %v and %v after a move", a, b)
	}
	if n := r.w.devicesOf(&nstable.Namespace{ID: 9}); n != nil {
		t.Errorf("devices of no namespace: %v", n)
	}
}
