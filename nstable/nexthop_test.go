package nstable

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

func (b *bench) nexthop(op fib.Op, ns string, s NextHopSpec) error {
	return b.Do(func(tx *Tx) error {
		_, err := tx.NextHop(op, ns, s)
		return err
	})
}

func viaLeg(gateway, dev string) LegSpec {
	l := LegSpec{Device: dev}
	if gateway != "" {
		l.Via = netip.MustParseAddr(gateway)
	}
	return l
}

// byObject makes the spec of a route by a next-hop object.
func byObject(prefix string, id fib.ObjectID) RouteSpec {
	return RouteSpec{Prefix: netip.MustParsePrefix(prefix), Object: id}
}

// nexthopBench has four objects, a group of two of them, and routes by them.
func nexthopBench(t *testing.T) *bench {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24", "2001:db8::1/64")
	b.xdp("init", "q", "198.51.100.1/24")
	for id, l := range map[fib.ObjectID]LegSpec{
		1: viaLeg("192.0.2.2", "p"), 2: viaLeg("198.51.100.2", "q"), 3: viaLeg("2001:db8::2", "p"),
	} {
		b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: id, Leg: l}))
	}
	b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: 4, Blackhole: true}))
	b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: 10, Members: []fib.Member{{ID: 1, Weight: 3}, {ID: 2, Weight: 1}}}))
	b.ok(b.route(fib.Add, "init", byObject("10.0.0.0/8", 10)))
	b.ok(b.route(fib.Add, "init", byObject("10.1.0.0/16", 1)))
	b.ok(b.route(fib.Add, "init", byObject("10.4.0.0/16", 4)))
	b.ok(b.route(fib.Add, "init", byObject("10.6.0.0/16", 3))) // IPv4 by an IPv6 gateway
	return b
}

func TestNextHops(t *testing.T) {
	b := nexthopBench(t)
	leads := func(addr string) string {
		t.Helper()
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf(addr)})
		if err != nil {
			return err.Error()
		}
		return g.Hop.Gateway.String() + " dev " + g.Hop.Device
	}
	b.want(leads("10.1.0.1"), "192.0.2.2 dev p")
	b.want(leads("10.4.0.1"), "Invalid argument: the next hop of route 10.4.0.0/16 for 10.4.0.1 is a blackhole")
	b.want(leads("10.6.0.1"), "2001:db8::2 dev p")
	// A changed object changes its routes; their groups stay the same.
	group := func(addr string) fib.GroupID {
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf(addr)})
		b.ok(err)
		return g.Group
	}
	before := group("10.1.0.1")
	b.ok(b.nexthop(fib.Replace, "init", NextHopSpec{ID: 1, Leg: viaLeg("192.0.2.9", "p")}))
	b.want(leads("10.1.0.1"), "192.0.2.9 dev p")
	if after := group("10.1.0.1"); after != before {
		t.Errorf("group %d became %d", before, after)
	}
	state := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), state)
	// The device takes its objects along, and groups shrink.
	b.ok(b.up("init", "p", false))
	objects, err := b.NextHops("init")
	b.ok(err)
	if len(objects) != 3 || objects[0].ID != 2 || objects[1].ID != 4 || len(objects[2].Members) != 1 {
		t.Errorf("%+v", objects)
	}
	b.want(leads("10.1.0.1"), "198.51.100.2 dev q") // by the group
	b.ok(b.Do(func(tx *Tx) error { return tx.DeleteNextHop("init", 2) }))
	b.want(leads("10.1.0.1"), "Network is unreachable: no route covers 10.1.0.1")
	b.want(b.routesOf("init"), "10.4.0.0/16 metric 0 dev ")
	state = dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), state)
}

// TestNextHopRefused: what is refused names the reason, and changes nothing.
func TestNextHopRefused(t *testing.T) {
	b := nexthopBench(t)
	b.ok(b.up("init", "q", true))
	before, stored := dump(b.Table), b.store.dump()
	member := func(ids ...fib.ObjectID) []fib.Member {
		list := []fib.Member{}
		for _, id := range ids {
			list = append(list, fib.Member{ID: id, Weight: 1})
		}
		return list
	}
	for _, c := range []struct {
		op   fib.Op
		spec NextHopSpec
		kind ErrorKind
		word string
	}{
		{fib.Add, NextHopSpec{ID: 1, Blackhole: true}, Exists, "File exists: nexthop id 1"},
		{fib.Change, NextHopSpec{ID: 9, Blackhole: true}, NotFound, "id 9"},
		{fib.Replace, NextHopSpec{Blackhole: true}, Invalid, "requires nexthop id"},
		{fib.Add, NextHopSpec{ID: 9}, Invalid, "via ADDRESS or dev NAME"},
		{fib.Add, NextHopSpec{ID: 9, Leg: viaLeg("192.0.9.9", "p")}, Refused, "192.0.9.9"},
		{fib.Add, NextHopSpec{ID: 9, Leg: viaLeg("", "nope")}, NotFound, "nope"},
		{fib.Add, NextHopSpec{ID: 9, Members: member()}, Invalid, "needs members"},
		{fib.Add, NextHopSpec{ID: 9, Members: member(1, 8)}, NotFound, "no nexthop 8"},
		{fib.Add, NextHopSpec{ID: 9, Members: member(1, 1)}, Invalid, "twice"},
		{fib.Add, NextHopSpec{ID: 9, Members: member(1, 10)}, Invalid, "group can not be a nexthop within a group: 10"},
		{fib.Add, NextHopSpec{ID: 9, Members: member(1, 4)}, Invalid, "Blackhole"},
		{fib.Add, NextHopSpec{ID: 9, Members: []fib.Member{{ID: 1, Weight: 257}}}, Invalid, "weight: 257"},
		{fib.Add, NextHopSpec{ID: 9, Members: member(1), Blackhole: true}, Invalid, "group"},
		{fib.Replace, NextHopSpec{ID: 10, Blackhole: true}, Invalid, "group with a nexthop"},
		{fib.Replace, NextHopSpec{ID: 1, Members: member(2)}, Invalid, "nexthop with a nexthop group"},
		{fib.Replace, NextHopSpec{ID: 1, Blackhole: true}, Invalid, "Blackhole"},
		{fib.Replace, NextHopSpec{ID: 1, Leg: viaLeg("", "p"), IPv6: true}, Invalid, "could not send"},
		{fib.Replace, NextHopSpec{ID: 3, Leg: viaLeg("", "p"), IPv6: true}, Invalid, "could not send"},
		{fib.Replace, NextHopSpec{ID: 1, Leg: viaLeg("10.1.2.3", "")}, Refused, "symbolic links"},
	} {
		b.refused(b.nexthop(c.op, "init", c.spec), c.kind, c.word)
	}
	for _, c := range []struct {
		spec RouteSpec
		kind ErrorKind
		word string
	}{
		{byObject("10.9.0.0/16", 77), NotFound, "nhid 77"},
		{byObject("2001:db8:9::/48", 1), Invalid, "IPv6 routes can not use an IPv4 nexthop"},
		{byObject("2001:db8:9::/48", 4), Invalid, "IPv6 routes can not use an IPv4 nexthop"},
		{RouteSpec{
			Prefix: netip.MustParsePrefix("2001:db8:9::/48"), Legs: []LegSpec{viaLeg("2001:db8::9", ""), viaLeg("", "p")},
		}, Invalid, "Device only routes"},
		{RouteSpec{
			Prefix: netip.MustParsePrefix("2001:db8:9::/48"), Legs: []LegSpec{viaLeg("2001:db8::9", ""), viaLeg("2001:db8::9", "")},
		}, Exists, "twice"},
		{RouteSpec{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Object: 1, Legs: []LegSpec{viaLeg("", "p")}}, Invalid, "exclusive"},
	} {
		b.refused(b.route(fib.Add, "init", c.spec), c.kind, c.word)
	}
	b.refused(b.Do(func(tx *Tx) error { return tx.DeleteNextHop("init", 77) }), NotFound, "id 77")
	b.want(dump(b.Table), before)
	b.want(b.store.dump(), stored)
}

// TestMultipath: legs die with their devices; the route goes with the last of them.
func TestMultipath(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24", "2001:db8:1::1/64")
	b.xdp("init", "q", "198.51.100.1/24", "2001:db8:2::1/64")
	s := RouteSpec{
		Prefix: netip.MustParsePrefix("10.0.0.0/8"),
		Legs:   []LegSpec{viaLeg("192.0.2.2", ""), viaLeg("198.51.100.2", "")},
	}
	b.ok(b.route(fib.Add, "init", s))
	hops := func() int {
		ns, _ := b.Namespace("init")
		if g := ns.FIB.Lookup(addrOf("10.0.0.1")); g != nil {
			return len(g.Hops())
		}
		return 0
	}
	for _, c := range []struct {
		change func() error
		hops   int
	}{
		{func() error { return nil }, 2},
		{func() error { return b.SetCarrier(b.deviceID("init", "p"), false) }, 1},
		{func() error { return b.SetCarrier(b.deviceID("init", "p"), true) }, 2},
		{func() error { return b.up("init", "p", false) }, 1},
		{func() error { return b.up("init", "p", true) }, 2},
		{func() error { return b.up("init", "q", false) }, 1},
		{func() error { return b.up("init", "p", false) }, 0},
		{func() error { return b.up("init", "p", true) }, 0},
	} {
		b.ok(c.change())
		if got := hops(); got != c.hops {
			t.Fatalf("%d next hops, want %d", got, c.hops)
		}
	}
	// IPv6 routes gain and lose gateways one by one.
	b.ok(b.up("init", "q", true))
	for _, gateway := range []string{"2001:db8:1::2", "2001:db8:1::3", "2001:db8:2::2"} {
		b.ok(b.route(fib.Append, "init", via("2001:db8:9::/48", gateway, "")))
	}
	b.want(b.routesOf("init"), "2001:db8:9::/48 metric 1024 dev p+p+q")
	b.refused(b.route(fib.Append, "init", via("2001:db8:9::/48", "2001:db8:1::3", "")), Exists, "File exists")
	b.ok(b.deleteRoute("init", via("2001:db8:9::/48", "2001:db8:1::2", "")))
	b.want(b.routesOf("init"), "2001:db8:9::/48 metric 1024 dev p+q")
	// A device that leaves takes IPv4 routes along, and the legs of IPv6 ones.
	b.ok(b.route(fib.Add, "init", s))
	b.ok(b.addNamespace("red"))
	b.ok(b.SetLink("init", "q", LinkChange{Namespace: "red"}))
	b.want(b.routesOf("init"), "2001:db8:9::/48 metric 1024 dev p")
	state := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), state)
}

// TestRecursive: a gateway behind a gateway follows the routes, over a restart as well.
func TestRecursive(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24")
	b.xdp("init", "q", "198.51.100.1/24")
	b.ok(b.route(fib.Add, "init", via("172.16.0.0/16", "192.0.2.2", "")))
	b.ok(b.route(fib.Add, "init", via("10.0.0.0/8", "172.16.0.1", "")))
	dev := func() string {
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf("10.1.1.1")})
		if err != nil {
			return "none"
		}
		return g.Hop.Gateway.String() + " dev " + g.Hop.Device
	}
	b.want(dev(), "192.0.2.2 dev p")
	more := via("172.16.0.0/24", "198.51.100.2", "")
	b.ok(b.route(fib.Add, "init", more))
	b.want(dev(), "198.51.100.2 dev q")
	b.ok(b.SetCarrier(b.deviceID("init", "q"), false))
	b.want(dev(), "192.0.2.2 dev p")
	b.ok(b.SetCarrier(b.deviceID("init", "q"), true))
	b.want(dev(), "198.51.100.2 dev q")
	state := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), state)
	b.refused(b.route(fib.Replace, "init", via("172.16.0.0/24", "10.1.1.1", "")), Refused, "that route itself")
	b.ok(b.deleteRoute("init", more))
	b.want(dev(), "192.0.2.2 dev p")
	b.ok(b.up("init", "p", false))
	b.want(dev(), "none")
	b.want(b.routesOf("init"), "10.0.0.0/8 metric 0 dev ")
	b.ok(b.up("init", "p", true))
	b.ok(b.route(fib.Add, "init", via("172.16.0.0/16", "192.0.2.2", "")))
	b.want(dev(), "192.0.2.2 dev p")
}

// TestNoCarrier: what is accepted does not depend on carrier, which comes later: a gateway on a link without it is on that
// link.
func TestNoCarrier(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24")
	b.xdp("init", "q", "198.51.100.1/24")
	b.ok(b.SetCarrier(b.deviceID("init", "p"), false))
	b.ok(b.route(fib.Add, "init", via("0.0.0.0/0", "198.51.100.2", "")))
	b.ok(b.route(fib.Add, "init", via("10.0.0.0/8", "192.0.2.2", "")))
	first := via("0.0.0.0/0", "192.0.2.2", "")
	first.Metric = 10
	b.ok(b.route(fib.Add, "init", first))
	b.want(b.routesOf("init"), "0.0.0.0/0 metric 0 dev q, 0.0.0.0/0 metric 10 dev p, 10.0.0.0/8 metric 0 dev p")
	b.refused(
		b.nexthop(fib.Add, "init", NextHopSpec{ID: 1, Leg: viaLeg("192.0.2.2", "p")}),
		Refused,
		"Carrier for nexthop device",
	)
	b.ok(b.SetCarrier(b.deviceID("init", "p"), true))
	g, err := b.RouteGet("init", GetQuery{Destination: addrOf("10.1.1.1")})
	b.ok(err)
	b.want(g.Hop.Device, "p")
}

// TestMixedGroup: a group of both families serves IPv4 alone, and one that serves IPv6 takes no IPv4 member.
func TestMixedGroup(t *testing.T) {
	b := nexthopBench(t)
	both := []fib.Member{{ID: 1, Weight: 1}, {ID: 3, Weight: 1}}
	b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: 20, Members: both}))
	b.ok(b.route(fib.Add, "init", byObject("10.9.0.0/16", 20)))
	b.refused(b.route(fib.Add, "init", byObject("2001:db8:9::/48", 20)), Invalid, "IPv4 nexthop")
	b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: 21, Members: both[1:]}))
	b.ok(b.route(fib.Add, "init", byObject("2001:db8:9::/48", 21)))
	b.refused(b.nexthop(fib.Replace, "init", NextHopSpec{ID: 21, Members: both}), Invalid, "could not send")
	b.refused(
		b.nexthop(fib.Replace, "init", NextHopSpec{ID: 3, Leg: viaLeg("192.0.2.7", "p")}),
		Invalid,
		"could not send",
	)
}

// TestRouteLimit: one route too many is refused, and in a bulk only that one.
func TestRouteLimit(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24")
	n := uint32(b.Namespaces()[0].Routes)
	limit := func(n uint32) {
		b.ok(b.Do(func(tx *Tx) error {
			return tx.SetNamespace("init", []setting.Value{{Name: "max-routes", Value: fmt.Sprint(n)}})
		}))
	}
	limit(n + 2)
	b.ok(b.route(fib.Add, "init", via("10.1.0.0/16", "192.0.2.2", "")))
	b.ok(b.route(fib.Add, "init", via("10.2.0.0/16", "192.0.2.2", "")))
	b.refused(b.route(fib.Add, "init", via("10.3.0.0/16", "192.0.2.2", "")), Refused, "max-routes")
	b.ok(b.route(fib.Replace, "init", via("10.2.0.0/16", "192.0.2.3", "")))
	b.reopen()
	b.refused(b.route(fib.Add, "init", via("10.3.0.0/16", "192.0.2.2", "")), Refused, "max-routes")
	limit(0)
	b.ok(b.route(fib.Add, "init", via("10.3.0.0/16", "192.0.2.2", "")))
}

// TestDamagedObjects: a store with objects that could not have been made is refused.
func TestDamagedObjects(t *testing.T) {
	for name, o := range map[string]*fib.Object{
		"in itself":    {ID: 10, Members: []fib.Member{{ID: 10, Weight: 1}}},
		"of nobody":    {ID: 10, Members: []fib.Member{{ID: 77, Weight: 1}}},
		"weightless":   {ID: 10, Members: []fib.Member{{ID: 1}}},
		"nothing":      {ID: 10},
		"two in one":   {ID: 10, Blackhole: true, Leg: fib.Leg{Device: 2, Weight: 1}},
		"black holes":  {ID: 10, Members: []fib.Member{{ID: 1, Weight: 1}, {ID: 4, Weight: 1}}},
		"not there":    nil,
		"other family": {ID: 3, Leg: fib.Leg{Device: 2, Weight: 1}, IPv6: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := nexthopBench(t)
			b.Close()
			if o == nil {
				delete(b.store.data[BucketNextHop], string(nextHopKey(Init, 10)))
			} else {
				b.store.data[BucketNextHop][string(nextHopKey(Init, o.ID))] = encodeNextHop(o)
			}
			_, err := Open(Options{Store: b.store})
			b.refused(err, Storage, "cannot be restored")
		})
	}
}

// TestTableMemory: routes beyond what the forwarding table may take are refused, and in a bulk the first of them is named.
func TestTableMemory(t *testing.T) {
	table, err := Open(Options{TableMemory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	up := true
	if _, err := table.AddLink("init", LinkSpec{Name: "d", Kind: Dummy}); err != nil {
		t.Fatal(err)
	}
	if err := table.SetLink("init", "d", LinkChange{Up: &up}); err != nil {
		t.Fatal(err)
	}
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
	}
	put := func(from, n int) ([]Failure, error) {
		return table.Bulk(
			n,
			false,
			func(tx *Tx, i int) error { return tx.Route(fib.Add, "init", via(prefix(from+i).String(), "", "d")) },
		)
	}
	n := 0
	for ; n < 60_000; n += 1000 {
		failed, err := put(n, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(failed) == 0 {
			continue
		}
		if KindOf(failed[0].Err) != Refused || !strings.Contains(failed[0].Err.Error(), "--table-memory") {
			t.Fatal(failed[0].Err)
		}
		n += failed[0].Index
		break
	}
	ns, _ := table.Namespace("init")
	if got := ns.FIB.Bytes(); n < 2000 || n > 40_000 || got > 1<<20 {
		t.Errorf("%d routes fit into 1 MiB: they take %d bytes", n, got)
	}
}
