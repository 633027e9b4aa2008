package nstable

import (
	"errors"
	"strings"
	"testing"
)

func TestXDP(t *testing.T) {
	b := newBench(t)
	name, err := b.AddLink("init", LinkSpec{Name: "p%d", Kind: XDP, XDP: XDPSpec{Host: "eth7", Mode: ModeCopy}})
	b.ok(err)
	b.want(name, "p0")
	l, err := b.Links("init", "p0")
	b.ok(err)
	if x := l[0].XDP; x == nil ||
		*x != (XDPInfo{Host: "eth7", Asked: ModeCopy, Mode: ModeCopy, Queues: 1, Present: true, MaxMTU: 1770}) {
		t.Errorf("%+v", x)
	}
	if l[0].Up || !l[0].Carrier || l[0].MTU != 1500 || l[0].MAC != [6]byte{2, 0, 0, 0, 0, byte(l[0].ID)} {
		t.Errorf("%+v", l[0])
	}
	_, err = b.AddLink("init", LinkSpec{Name: "other", Kind: XDP, XDP: XDPSpec{Host: "eth7"}})
	b.refused(err, Busy, "p0")
	_, err = b.AddLink("init", LinkSpec{Name: "p0", Kind: XDP, XDP: XDPSpec{Host: "eth8"}})
	b.refused(err, Exists, "p0")
	_, err = b.AddLink("init", LinkSpec{Name: "x", Kind: XDP, XDP: XDPSpec{Queues: -1}})
	b.refused(err, Invalid, "queues")
	b.ok(b.DeleteLink("init", "p0"))
	b.want(linkNames(b, "init"), "lo")
	b.want(strings.Join(b.ports.calls, ", "), "attach 2 eth7, detach 2")
	b.xdp("init", "p0") // id and host are free again
}

// TestXDPRefused: when the interface, the configuration or the store refuses, nothing is left.
func TestXDPRefused(t *testing.T) {
	b := newBench(t)
	before, stored := dump(b.Table), b.store.dump()
	b.ports.refuse["eth7"] = errors.New("no such interface")
	b.ports.refuse["configure 2"] = errors.New("mtu too large for the driver")
	spec := LinkSpec{Name: "p", Kind: XDP, XDP: XDPSpec{Host: "eth7"}}
	_, err := b.AddLink("init", spec)
	b.refused(err, Refused, "no such interface")
	spec.XDP.Host, spec.MTU = "eth8", 1600
	_, err = b.AddLink("init", spec)
	b.refused(err, Refused, "mtu too large")
	spec.MTU = 60
	_, err = b.AddLink("init", spec)
	b.refused(err, Invalid, "mtu less")
	spec.MTU = 0
	b.store.setFull(true)
	_, err = b.AddLink("init", spec)
	b.refused(err, Storage, "no space")
	b.store.setFull(false)
	b.want(dump(b.Table), before)
	b.want(b.store.dump(), stored)
	if len(b.reserved) > 0 {
		t.Errorf("still reserved: %v", b.reserved)
	}
	clear(b.ports.refuse)
	b.xdp("init", "p")
	if id := b.deviceID("init", "p"); id != 2 {
		t.Errorf("the device has id %d", id)
	}
}

// TestXDPConfigure: the interface follows the device, goes back when the change is not stored, and a refusal changes
// nothing.
func TestXDPConfigure(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p")
	id := b.deviceID("init", "p")
	now := b.ports.config[id]
	if !now.Up || now.MTU != 1500 {
		t.Fatalf("configured %+v", now)
	}
	before := dump(b.Table)
	b.store.setFull(true)
	b.refused(b.SetLink("init", "p", LinkChange{MTU: 1400}), Storage, "no space")
	b.store.setFull(false)
	if b.ports.config[id] != now {
		t.Errorf("the interface stayed at %+v", b.ports.config[id])
	}
	b.ports.refuse["configure 2"] = errors.New("the driver says no")
	b.refused(b.SetLink("init", "p", LinkChange{MTU: 1400}), Refused, "the driver says no")
	b.want(dump(b.Table), before)
}

// TestCarrier: without carrier addresses and routes are kept, unused; learned neighbours are forgotten, permanent ones
// are not.
func TestCarrier(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24")
	b.ok(b.route(0, "init", via("203.0.113.0/24", "192.0.2.2", "")))
	b.ok(b.Do(func(tx *Tx) error {
		if err := tx.SetNeighbor(AddNeighbor, "init", "p", addrOf("192.0.2.2"), [6]byte{2, 2}, permanent); err != nil {
			return err
		}
		return tx.SetNeighbor(AddNeighbor, "init", "p", addrOf("192.0.2.3"), [6]byte{2, 3}, reachable)
	}))
	id := b.deviceID("init", "p")
	full := dump(b.Table)
	stored := b.store.dump()
	const up = `192.0.2.0/24 kind 0 dev p
192.0.2.1/32 kind 1 dev p
192.0.2.255/32 kind 2 dev p
203.0.113.0/24 kind 0 dev p via 192.0.2.2`
	only4 := func() string {
		return strings.Join(strings.Split(b.fibOf("init"), "\n")[:len(strings.Split(up, "\n"))], "\n")
	}
	b.want(only4(), up)

	b.ok(b.SetCarrier(id, false))
	if s := b.fibOf("init"); strings.Contains(s, "kind 0") || !strings.Contains(s, "192.0.2.1/32 kind 1 dev p") {
		t.Errorf("without carrier:\n%s", s)
	}
	b.want(b.routesOf("init"), "203.0.113.0/24 metric 0 dev p")
	if n, err := b.Neighbors("init", ""); err != nil || len(n) != 1 || n[0].State != permanent {
		t.Errorf("neighbours without carrier: %v %v", n, err)
	}
	b.want(b.store.dump(), stored)
	b.ok(b.SetCarrier(id, true))
	b.want(only4(), up)

	b.ok(b.PortGone(id))
	if l, _ := b.Links("init", "p"); l[0].XDP.Present || l[0].Carrier || !l[0].Up {
		t.Errorf("gone: %+v %+v", l[0], l[0].XDP)
	}
	b.ok(
		b.PortBack(
			id,
			PortInfo{MAC: [6]byte{2, 0, 0, 0, 0, byte(id)}, MTU: 1500, Mode: ModeCopy, Queues: 1, Carrier: true},
		),
	)
	learned := "" // all but the learned neighbour is as it was
	for line := range strings.Lines(full) {
		if !strings.Contains(line, "192.0.2.3 ") {
			learned += line
		}
	}
	b.want(dump(b.Table), learned)
	b.refused(b.SetCarrier(99, true), NotFound, "99")
	b.refused(b.SetCarrier(0, true), NotFound, "0")
}

// TestPortMAC: the MAC follows the interface until the operator sets one.
func TestPortMAC(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p")
	id := b.deviceID("init", "p")
	mac := func() [6]byte { return b.View().Device(id).MAC }
	b.ok(b.PortBack(id, PortInfo{MAC: [6]byte{2, 7}, MTU: 1500, Carrier: true}))
	if mac() != [6]byte{2, 7} {
		t.Errorf("MAC %x", mac())
	}
	b.ok(b.SetLink("init", "p", LinkChange{MAC: &[6]byte{2, 8}}))
	b.ok(b.PortBack(id, PortInfo{MAC: [6]byte{2, 9}, MTU: 1500, Carrier: true}))
	if mac() != [6]byte{2, 8} {
		t.Errorf("MAC %x", mac())
	}
	b.reopen()
	if mac() != [6]byte{2, 8} {
		t.Errorf("MAC %x after a restart", mac())
	}
}

// TestStartWithout: an interface that is not there at start leaves its device as it was, without carrier; it may come
// later.
func TestStartWithout(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24")
	b.ok(b.route(0, "init", via("203.0.113.0/24", "192.0.2.2", "")))
	before := dump(b.Table)
	b.ports.refuse["p"] = errors.New("not yet")
	b.reopen()
	id := b.deviceID("init", "p")
	if d := b.View().Device(id); !d.Up || d.Carrier {
		t.Errorf("%+v", d)
	}
	b.want(b.routesOf("init"), "203.0.113.0/24 metric 0 dev p")
	b.ok(b.SetLink("init", "p", LinkChange{MTU: 1400})) // no interface to ask
	b.ok(b.SetLink("init", "p", LinkChange{MTU: 1500}))
	b.ok(
		b.PortBack(
			id,
			PortInfo{MAC: [6]byte{2, 0, 0, 0, 0, byte(id)}, MTU: 1500, Mode: ModeCopy, Queues: 1, Carrier: true},
		),
	)
	b.want(dump(b.Table), before)
}

// TestXDPMTU: a device takes the MTU that driver and kernel allow it, and the error says which that is, why, and what helps.
func TestXDPMTU(t *testing.T) {
	b := newBench(t)
	_, err := b.AddLink("init", LinkSpec{Name: "p", Kind: XDP, XDP: XDPSpec{Host: "eth7", Mode: ModeCopy}})
	b.ok(err)
	l, err := b.Links("init", "p")
	b.ok(err)
	b.ok(b.SetLink("init", "p", LinkChange{MTU: 1770}))
	err = b.SetLink("init", "p", LinkChange{MTU: 9000})
	for _, part := range []string{"maximum: 9000", "68 to 1770", "driver and kernel", "Linux 6.6", "mode copy"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	b.ok(b.PortBack(l[0].ID, PortInfo{MTU: 1500, MaxMTU: 9000, Mode: ModeCopy, Queues: 1}))
	b.ok(b.SetLink("init", "p", LinkChange{MTU: 9000}))
	if err := b.SetLink("init", "p", LinkChange{MTU: 9001}); err == nil || !strings.Contains(err.Error(), "68 to 9000") {
		t.Error(err)
	}
	_, err = b.AddLink("init", LinkSpec{Name: "d", Kind: Dummy, MTU: 9000})
	b.ok(err)
}
