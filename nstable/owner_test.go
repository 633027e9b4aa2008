package nstable

import (
	"fmt"
	"net/netip"
	"testing"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// TestOwners: owners have roles, of which the highest counts; they are kept, and go with their namespace.
func TestOwners(t *testing.T) {
	b := newBench(t)
	set := func(ns string, owners ...Owner) error {
		return b.Do(func(tx *Tx) error { return tx.SetOwners(ns, owners) })
	}
	user, group := Principal{ID: 1000}, Principal{Group: true, ID: 50}
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("red") }))
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("blue") }))
	b.ok(set("red", Owner{group, Operate}, Owner{user, Read}, Owner{Principal{ID: 1 << 31}, Admin}))
	roles := func(want ...Role) {
		t.Helper()
		for i, has := range []func(Principal) bool{
			func(p Principal) bool { return p == user },
			func(p Principal) bool { return p == user || p == group },
			func(p Principal) bool { return p == Principal{ID: 50} || p == Principal{Group: true, ID: 1000} },
		} {
			if got := b.Role("red", has); got != want[i] {
				t.Errorf("caller %d is %v in red, want %v", i, got, want[i])
			}
			if b.Role("blue", has) != NoRole || b.Role("void", has) != NoRole || b.OwnsAny(has) != (want[i] != NoRole) {
				t.Errorf("caller %d has a role elsewhere", i)
			}
		}
	}
	roles(Read, Operate, NoRole)
	b.reopen()
	roles(Read, Operate, NoRole)
	b.refused(set("red", Owner{group, Admin}, Owner{Principal{ID: 7}, NoRole}), NotFound, "user:7")
	b.refused(set("void", Owner{group, Admin}), NotFound, "void")
	b.ok(set("red", Owner{user, Admin}, Owner{group, NoRole}))
	roles(Admin, Admin, NoRole)
	many := make([]Owner, maxOwners)
	for i := range many {
		many[i] = Owner{Principal{Group: true, ID: uint32(i)}, Read}
	}
	b.refused(set("red", many...), Refused, "256")
	b.ok(b.DeleteNamespace("red"))
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("red") }))
	roles(NoRole, NoRole, NoRole)
	b.reopen()
	roles(NoRole, NoRole, NoRole)
}

// TestDevicesMax: no command makes or moves more devices into a namespace than may be there; what is there stays.
func TestDevicesMax(t *testing.T) {
	b := newBench(t)
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("red") }))
	limit := func(n int) {
		values := []setting.Value{{Name: "devices-max", Value: fmt.Sprint(n)}}
		b.ok(b.Do(func(tx *Tx) error { return tx.SetNamespace("red", values) }))
	}
	add := func(ns string, s LinkSpec) error { _, err := b.AddLink(ns, s); return err }
	limit(3)
	b.link("red", LinkSpec{Name: "d0", Kind: Dummy})
	b.link("red", LinkSpec{Name: "d1", Kind: Dummy})
	b.refused(add("red", LinkSpec{Name: "v0", Kind: Veth, Peer: "v1"}), Refused, "devices-max")
	b.ok(add("red", LinkSpec{Name: "v0", Kind: Veth, Peer: "v1", PeerNamespace: "init"}))
	b.link("init", LinkSpec{Name: "e0", Kind: Dummy})
	before := dump(b.Table)
	b.refused(add("red", LinkSpec{Name: "d2", Kind: Dummy}), Refused, "netns set red devices-max N")
	b.refused(add("init", LinkSpec{Name: "v2", Kind: Veth, Peer: "v3", PeerNamespace: "red"}), Refused, "devices-max")
	b.refused(add("red", LinkSpec{Name: "d0.5", Kind: VLAN, Lower: "d0", Tag: Tag{VLAN8021Q, 5}}), Refused, "devices-max")
	b.refused(add("red", LinkSpec{Name: "p", Kind: XDP}), Refused, "devices-max")
	b.refused(b.SetLink("init", "e0", LinkChange{Namespace: "red"}), Refused, "devices-max")
	b.want(dump(b.Table), before)
	b.ok(b.SetLink("red", "d0", LinkChange{Name: "d9"}))
	limit(1)
	b.reopen()
	b.ok(b.SetLink("red", "d1", LinkChange{Namespace: "init"}))
	b.refused(b.SetLink("init", "d1", LinkChange{Namespace: "red"}), Refused, "devices-max")
	limit(0)
	b.ok(b.SetLink("init", "d1", LinkChange{Namespace: "red"}))
}

// TestRemovedWith: a deletion removes exactly the devices that it was said to.
func TestRemovedWith(t *testing.T) {
	b := newBench(t)
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("red") }))
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("blue") }))
	b.link("red", LinkSpec{Name: "v0", Kind: Veth, Peer: "v1", PeerNamespace: "blue"})
	b.link("red", LinkSpec{Name: "v0.5", Kind: VLAN, Lower: "v0", Tag: Tag{VLAN8021Q, 5}})
	b.link("red", LinkSpec{Name: "v0.5.6", Kind: VLAN, Lower: "v0.5", Tag: Tag{VLAN8021Q, 6}})
	b.link("blue", LinkSpec{Name: "v1.7", Kind: VLAN, Lower: "v1", Tag: Tag{VLAN8021Q, 7}})
	b.ok(b.SetLink("red", "v0.5.6", LinkChange{Namespace: "init"}))
	b.link("red", LinkSpec{Name: "d0", Kind: Dummy})
	said := make(map[string]bool)
	list, err := b.RemovedWith("red", "v0")
	b.ok(err)
	for _, l := range list {
		said[l.Namespace+" "+l.Name] = true
	}
	b.ok(b.DeleteLink("red", "v0"))
	for _, name := range []string{"red v0", "red v0.5", "init v0.5.6", "blue v1", "blue v1.7"} {
		if !said[name] {
			t.Errorf("%s was not said to go", name)
		}
		delete(said, name)
	}
	if len(said) > 0 {
		t.Errorf("%v were said to go", said)
	}
	if links, _ := b.Links("red", ""); len(links) != 2 || links[1].Name != "d0" {
		t.Errorf("red has %v", links)
	}
}

// TestQuotas: of addresses, next-hop objects and permanent neighbours a namespace gets no more than it may have, whatever
// device they are of; replacing one is none more, and another namespace is not concerned.
func TestQuotas(t *testing.T) {
	b := newBench(t)
	for _, ns := range []string{"red", "blue"} {
		b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace(ns) }))
		b.link(ns, LinkSpec{Name: "d0", Kind: Dummy})
		b.link(ns, LinkSpec{Name: "d1", Kind: Dummy})
		b.ok(b.SetLink(ns, "d0", LinkChange{Up: new(true)}))
	}
	add := func(ns, dev, a string) error {
		return b.Do(func(tx *Tx) error {
			return tx.AddAddress(ns, dev, AddressSpec{Prefix: netip.MustParsePrefix(a)})
		})
	}
	neighbor := func(ns, dev, a string, state neigh.State) error {
		return b.Do(func(tx *Tx) error {
			return tx.SetNeighbor(ReplaceNeighbor, ns, dev, netip.MustParseAddr(a), [6]byte{2, 0, 0, 0, 0, 9}, state)
		})
	}
	hop := func(ns string, id fib.ObjectID) error {
		return b.nexthop(fib.Replace, ns, NextHopSpec{ID: id, Blackhole: true})
	}
	b.ok(b.Do(func(tx *Tx) error {
		return tx.SetNamespace("red", []setting.Value{
			{Name: setting.AddressesMax, Value: "4"}, {Name: setting.NextHopsMax, Value: "2"},
			{Name: setting.PermanentMax, Value: "2"},
		})
	}))
	b.ok(add("red", "d0", "10.0.0.1/24"))
	b.ok(add("red", "d1", "10.0.1.1/24"))
	b.ok(neighbor("red", "d0", "10.0.0.9", neigh.Permanent))
	b.ok(neighbor("red", "d1", "10.0.1.9", neigh.Permanent))
	b.ok(hop("red", 1))
	b.ok(hop("red", 2))
	before := dump(b.Table)
	b.refused(add("red", "d0", "10.0.0.2/24"), Refused, "netns set red addresses-max N")
	b.refused(b.Do(func(tx *Tx) error {
		return tx.ReplaceAddress("red", "d1", AddressSpec{Prefix: netip.MustParsePrefix("10.0.2.1/24")})
	}), Refused, "addresses-max")
	b.refused(neighbor("red", "d0", "10.0.0.8", neigh.Permanent), Refused, "neigh-permanent-max")
	b.refused(hop("red", 3), Refused, "nexthops-max")
	b.want(dump(b.Table), before)
	b.ok(neighbor("red", "d0", "10.0.0.9", neigh.Permanent))
	b.ok(neighbor("red", "d0", "10.0.0.8", neigh.Reachable))
	b.ok(hop("red", 2))
	b.ok(add("blue", "d0", "10.0.0.2/24"))
	b.ok(hop("blue", 3))
	b.reopen()
	b.refused(add("red", "d0", "10.0.0.2/24"), Refused, "addresses-max")
	b.ok(neighbor("red", "d0", "10.0.0.9", neigh.Stale)) // makes room
	b.ok(neighbor("red", "d1", "10.0.1.8", neigh.Permanent))
}
