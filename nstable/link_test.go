package nstable

import (
	"strings"
	"testing"
)

func TestLinkNames(t *testing.T) {
	b := newBench(t)
	add := func(name string) error {
		_, err := b.AddLink("init", LinkSpec{Name: name, Kind: Dummy})
		return err
	}
	for _, name := range []string{"a", "123456789012345", "p1.10", "größe"} {
		b.ok(add(name))
		b.refused(add(name), Exists, name)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a:b", "a b", "a%", "%d%d", "%s", "1234567890123456", "a\t"} {
		b.refused(add(name), Invalid, "is not a valid ifname")
	}
	for _, want := range []string{"d0", "d1", "d2"} {
		name, err := b.AddLink("init", LinkSpec{Name: "d%d", Kind: Dummy})
		b.ok(err)
		b.want(name, want)
	}
	b.ok(b.DeleteLink("init", "d1"))
	b.ok(b.SetLink("init", "a", LinkChange{Name: "d%d"}))
	b.want(linkNames(b, "init"), "lo d1 123456789012345 p1.10 größe d0 d2")
	_, err := b.AddLink("red", LinkSpec{Name: "x", Kind: Dummy})
	b.refused(err, NotFound, "red")
	b.refused(b.DeleteLink("init", "nope"), NotFound, "nope")
	b.refused(b.SetLink("init", "nope", LinkChange{MTU: 1400}), NotFound, "nope")
}

// TestLinkNameEverywhere: names and ifindexes count within a namespace only.
func TestLinkNameEverywhere(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.dummy("init", "d", "192.0.2.1/24")
	b.dummy("red", "d", "192.0.2.1/24")
	i, r := b.View().Device(b.deviceID("init", "d")), b.View().Device(b.deviceID("red", "d"))
	if i.ID == r.ID || i.Index != r.Index || i.Namespace == r.Namespace {
		t.Errorf("d of init is %+v, d of red is %+v", i, r)
	}
	b.refused(b.SetLink("red", "d", LinkChange{Namespace: "init"}), Exists, "name NEW")
	b.refused(b.SetLink("red", "d", LinkChange{Namespace: "green"}), NotFound, "green")
	b.ok(b.SetLink("red", "d", LinkChange{Namespace: "init", Name: "e"}))
	b.want(linkNames(b, "init"), "lo d e")
	b.want(linkNames(b, "red"), "lo")
}

func TestLinkChecks(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "2001:db8::1/64")
	b.dummy("init", "e", "192.0.2.1/24")
	before := dump(b.Table)
	up := true
	for _, c := range []struct {
		change LinkChange
		kind   ErrorKind
		word   string
	}{
		{LinkChange{MTU: 67}, Invalid, "mtu less than device minimum"},
		{LinkChange{MTU: 65536}, Invalid, "mtu greater than device maximum"},
		{LinkChange{MTU: 1279}, Refused, "minimum of IPv6"},
		{LinkChange{MAC: &[6]byte{1}}, Invalid, "Cannot assign requested address"},
		{LinkChange{MAC: &[6]byte{}}, Invalid, "Cannot assign requested address"},
		{LinkChange{Name: "e", Up: &up, MTU: 1400}, Exists, "e"},
		{LinkChange{Name: "a/b"}, Invalid, "a/b"},
	} {
		b.refused(b.SetLink("init", "d", c.change), c.kind, c.word)
		b.want(dump(b.Table), before)
	}
	b.ok(b.SetLink("init", "d", LinkChange{MTU: 1280, MAC: &[6]byte{2, 1, 1, 1, 1, 1}, Name: "f"}))
	l, err := b.Links("init", "f")
	b.ok(err)
	if l[0].MTU != 1280 || l[0].MAC != [6]byte{2, 1, 1, 1, 1, 1} || !l[0].Up {
		t.Errorf("%+v", l[0])
	}
	b.reopen()
	again, err := b.Links("init", "f")
	b.ok(err)
	if again[0].MTU != l[0].MTU || again[0].MAC != l[0].MAC {
		t.Errorf("after a restart %+v", again[0])
	}
}

// TestLinkLocal: the automatic address is there while the device is up and its MTU carries IPv6, and is made of the
// MAC.
func TestLinkLocal(t *testing.T) {
	b := newBench(t)
	_, err := b.AddLink("init", LinkSpec{Name: "d", Kind: Dummy, MAC: &[6]byte{2, 0, 0, 0, 0, 1}})
	b.ok(err)
	show := func() string {
		a, err := b.Addresses("init", "d")
		b.ok(err)
		var out []string
		for _, a := range a {
			out = append(out, a.Prefix.String())
		}
		return strings.Join(out, " ")
	}
	b.want(show(), "")
	b.ok(b.up("init", "d", true))
	b.want(show(), "fe80::ff:fe00:1/64")
	b.ok(b.addr("init", "d", "192.0.2.1/24"))
	b.want(show(), "192.0.2.1/24 fe80::ff:fe00:1/64") // it stays the last
	b.ok(b.SetLink("init", "d", LinkChange{MAC: &[6]byte{2, 0, 0, 0, 0, 2}}))
	b.want(show(), "192.0.2.1/24 fe80::ff:fe00:2/64")
	b.ok(b.SetLink("init", "d", LinkChange{MTU: 1000}))
	b.want(show(), "192.0.2.1/24")
	b.ok(b.SetLink("init", "d", LinkChange{MTU: 1500}))
	b.want(show(), "192.0.2.1/24 fe80::ff:fe00:2/64")
	b.ok(b.up("init", "d", false))
	b.want(show(), "192.0.2.1/24")
	b.ok(b.addr("init", "d", "fe80::ff:fe00:2/64")) // the operator's own stays
	b.ok(b.up("init", "d", true))
	b.ok(b.up("init", "d", false))
	b.want(show(), "192.0.2.1/24 fe80::ff:fe00:2/64")
}

// TestVeth: the ends tell each other's carrier, find each other across namespaces, and go together.
func TestVeth(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	_, err := b.AddLink("init", LinkSpec{Name: "v", Kind: Veth, Peer: "w", PeerNamespace: "red"})
	b.ok(err)
	b.ok(b.up("init", "v", true))
	v, w := b.View().Device(b.deviceID("init", "v")), b.View().Device(b.deviceID("red", "w"))
	if v.Peer != w.ID || w.Peer != v.ID || v.Usable() || !w.Carrier || w.Usable() {
		t.Fatalf("v %+v\nw %+v", v, w)
	}
	b.ok(b.up("red", "w", true))
	if v = b.View().Device(v.ID); !v.Usable() {
		t.Errorf("v has no carrier although w is up: %+v", v)
	}
	b.ok(b.SetLink("red", "w", LinkChange{Namespace: "init"}))
	l, err := b.Links("init", "v")
	b.ok(err)
	if l[0].PeerNamespace != "init" || l[0].PeerName != "w" || l[0].Carrier {
		t.Errorf("v after the move of its peer: %+v", l[0])
	}
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
	b.ok(b.DeleteLink("init", "w"))
	b.want(linkNames(b, "init"), "lo")

	_, err = b.AddLink("init", LinkSpec{Name: "v", Kind: Veth, Peer: "v"})
	b.refused(err, Exists, "v")
	_, err = b.AddLink("init", LinkSpec{Name: "v", Kind: Veth, Peer: "w", PeerNamespace: "green"})
	b.refused(err, NotFound, "green")
	b.want(linkNames(b, "init"), "lo")
	_, err = b.AddLink("init", LinkSpec{Name: "v%d", Kind: Veth})
	b.ok(err)
	_, err = b.AddLink("init", LinkSpec{Name: "v%d", Kind: Veth, Peer: "v%d"})
	b.ok(err)
	b.want(linkNames(b, "init"), "lo veth0 v0 v2 v1")
}

// TestMove: a device arrives down, without addresses, neighbours and routes, and leaves none of them behind.
func TestMove(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.xdp("red", "p1", "192.0.2.1/24", "2001:db8::1/64")
	b.dummy("red", "d", "198.51.100.1/24")
	b.ok(b.route(0, "red", via("203.0.113.0/24", "192.0.2.2", "")))
	b.ok(b.route(0, "red", via("203.0.112.0/24", "198.51.100.2", "")))
	b.ok(b.Do(func(tx *Tx) error {
		return tx.SetNeighbor(AddNeighbor, "red", "p1", addrOf("192.0.2.2"), [6]byte{2}, permanent)
	}))
	id := b.deviceID("red", "p1")
	old := b.View().Device(id)
	b.datapath.take()
	up, mtu := true, uint32(1400)
	b.ok(b.SetLink("red", "p1", LinkChange{Namespace: "init", Name: "q1", Up: &up, MTU: mtu}))

	d := b.View().Device(id)
	if d.Namespace.ID != Init || d.Name != "q1" || !d.Up || d.MTU != mtu || len(d.Addrs) != 1 ||
		d.Neighbors == old.Neighbors {
		t.Errorf("arrived as %+v", d)
	}
	if d.Counters != old.Counters {
		t.Error("the counters did not come along")
	}
	if c := b.ports.config[id]; !c.Up || c.MTU != mtu {
		t.Errorf("the host interface is %+v", c)
	}
	b.want(b.routesOf("red"), "203.0.112.0/24 metric 0 dev d")
	b.want(b.routesOf("init"), "")
	if n, _ := b.Neighbors("init", ""); len(n) > 0 {
		t.Errorf("neighbours came along: %v", n)
	}
	// The workers are waited for before what they use is flushed, and it is the old device's neighbours that are.
	calls := strings.Join(b.datapath.take(), ", ")
	if !strings.HasPrefix(calls, "quiesce, flush p1@red false") {
		t.Errorf("calls of the data plane: %s", calls)
	}
	if old.Neighbors.Len() != 0 {
		t.Error("the old neighbours are still there")
	}
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
}

// TestIndexMoves: a device keeps its ifindex where it is free, and gets the next one where it is not, as in Linux.
func TestIndexMoves(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.dummy("init", "a") // 2
	b.dummy("init", "b") // 3
	b.dummy("red", "c")  // 2
	b.ok(b.SetLink("init", "a", LinkChange{Namespace: "red"}))
	b.ok(b.SetLink("init", "b", LinkChange{Namespace: "red"}))
	b.want(linkNames(b, "red"), "lo c a b")
	links, err := b.Links("red", "")
	b.ok(err)
	for i, l := range links {
		if l.Index != i+1 {
			t.Errorf("%s has index %d", l.Name, l.Index)
		}
	}
}
