package nstable

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsrouter/dataplane/neigh"
	"nsrouter/nstable/setting"
)

// TestNeighborsInOrder: commands about a neighbour that share a transaction see each other, though the data plane hears of
// them only at its end.
func TestNeighborsInOrder(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	a, mac := netip.MustParseAddr("10.0.0.9"), [6]byte{2, 0, 0, 0, 0, 9}
	add := func(tx *Tx, state neigh.State) error { return tx.SetNeighbor(AddNeighbor, "init", "d", a, mac, state) }
	del := func(tx *Tx) error { return tx.DeleteNeighbor("init", "d", a) }
	b.ok(b.Do(func(tx *Tx) error { return add(tx, neigh.Permanent) }))
	steps := []func(*Tx) error{
		del,
		func(tx *Tx) error { return add(tx, neigh.Permanent) },
		del,
		func(tx *Tx) error { return add(tx, neigh.Reachable) },
		del,
	}
	failed, err := b.Bulk(len(steps), false, func(tx *Tx, i int) error { return steps[i](tx) })
	b.ok(err)
	if len(failed) != 0 {
		t.Fatalf("step %d: %v", failed[0].Index, failed[0].Err)
	}
	err = b.Do(func(tx *Tx) error {
		b.refused(del(tx), NotFound, "10.0.0.9")
		b.ok(add(tx, neigh.Stale))
		b.refused(tx.Try(func() error { return add(tx, neigh.Permanent) }), Exists, "10.0.0.9")
		return nil
	})
	b.ok(err)
	neighbors, err := b.Neighbors("init", "d")
	b.ok(err)
	if len(neighbors) != 1 || neighbors[0].State != neigh.Stale {
		t.Errorf("%+v", neighbors)
	}
}

// TestNeighborWithoutMAC: a change of state alone keeps the address that is known, within a transaction too; failed needs
// none.
func TestNeighborWithoutMAC(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	a, mac := netip.MustParseAddr("10.0.0.9"), [6]byte{2, 0, 0, 0, 0, 9}
	put := func(tx *Tx, op NeighborOp, mac [6]byte, state neigh.State) error {
		return tx.SetNeighbor(op, "init", "d", a, mac, state)
	}
	b.refused(b.Do(func(tx *Tx) error { return put(tx, AddNeighbor, [6]byte{}, neigh.Stale) }), Invalid, "10.0.0.9")
	b.refused(b.Do(func(tx *Tx) error { return put(tx, AddNeighbor, mac, neigh.Incomplete) }), Invalid, "INCOMPLETE")
	b.refused(b.Do(func(tx *Tx) error { return put(tx, ChangeNeighbor, mac, neigh.Failed) }), NotFound, "10.0.0.9")
	b.ok(b.Do(func(tx *Tx) error {
		b.ok(put(tx, AddNeighbor, mac, neigh.Reachable))
		return put(tx, ChangeNeighbor, [6]byte{}, neigh.Permanent)
	}))
	shown := func(want neigh.State, has bool) {
		t.Helper()
		list, err := b.Neighbors("init", "d")
		b.ok(err)
		if len(list) != 1 || list[0].State != want || list[0].HasMAC != has || has && list[0].MAC != mac {
			t.Errorf("%+v, want %v", list, want)
		}
	}
	shown(neigh.Permanent, true)
	b.ok(b.Do(func(tx *Tx) error { return put(tx, ChangeNeighbor, [6]byte{}, neigh.NoARP) }))
	shown(neigh.NoARP, true)
	b.ok(b.Do(func(tx *Tx) error { return put(tx, ChangeNeighbor, [6]byte{}, neigh.Failed) }))
	shown(neigh.Failed, false)
	b.refused(b.Do(func(tx *Tx) error { return put(tx, ChangeNeighbor, [6]byte{}, neigh.Stale) }), Invalid, "No link layer address")
}

// TestAnnounceAddresses: with arp-notify and ndisc-notify the data plane announces addresses when the device comes up,
// gets one, gets another MAC or its carrier; without, and while it is down, it does not.
func TestAnnounceAddresses(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24", "2001:db8::1/64")
	announced := func(c LinkChange) string {
		t.Helper()
		b.datapath.take()
		b.ok(b.SetLink("init", "d", c))
		return strings.Join(slices.DeleteFunc(b.datapath.take(), func(s string) bool {
			return !strings.HasPrefix(s, "announce")
		}), ";")
	}
	up, down := new(true), new(false)
	turnOn := func(name string) LinkChange { return LinkChange{Settings: []setting.Value{{Name: name, Value: "on"}}} }
	if got := announced(LinkChange{MAC: &[6]byte{2, 7}}); got != "" {
		t.Errorf("announced without the setting: %s", got)
	}
	announced(turnOn("arp-notify"))
	if got := announced(LinkChange{MAC: &[6]byte{2, 8}}); got != "announce d@init [10.0.0.1]" {
		t.Errorf("another MAC: %s", got)
	}
	if got := announced(LinkChange{Up: down}); got != "" {
		t.Errorf("down: %s", got)
	}
	b.datapath.take()
	b.ok(b.Do(func(tx *Tx) error {
		return tx.AddAddress("init", "d", AddressSpec{Prefix: netip.MustParsePrefix("10.0.1.1/24")})
	}))
	if got := strings.Join(b.datapath.take(), ";"); strings.Contains(got, "announce") {
		t.Errorf("an address while down: %s", got)
	}
	if got := announced(LinkChange{Up: up}); got != "announce d@init [10.0.0.1 10.0.1.1]" {
		t.Errorf("up: %s", got)
	}
	b.datapath.take()
	b.ok(b.Do(func(tx *Tx) error {
		return tx.AddAddress("init", "d", AddressSpec{Prefix: netip.MustParsePrefix("10.0.2.1/24")})
	}))
	if got := strings.Join(b.datapath.take(), ";"); !strings.Contains(got, "announce d@init [10.0.2.1]") {
		t.Errorf("an address while up: %s", got)
	}
	announced(turnOn("ndisc-notify"))
	announced(LinkChange{Up: down})
	const all = "announce d@init [10.0.0.1 2001:db8::1 10.0.1.1 10.0.2.1 fe80::"
	if got := announced(LinkChange{Up: up}); !strings.HasPrefix(got, all) {
		t.Errorf("up: %s", got)
	}
}
