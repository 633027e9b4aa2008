package nstable

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"nsrouter/fib"
)

func (b *bench) deleteRoute(ns string, s RouteSpec) error {
	return b.Do(func(tx *Tx) error { return tx.DeleteRoute(ns, s) })
}

// TestRouteChecks: refusals name the word at fault, and change nothing.
func TestRouteChecks(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.dummy("red", "other", "192.0.9.1/24")
	b.dummy("init", "d", "192.0.2.1/24", "2001:db8::1/64")
	b.dummy("init", "down")
	b.ok(b.up("init", "down", false))
	b.ok(b.route(fib.Add, "init", via("10.0.0.0/8", "192.0.2.2", "")))
	with := func(s RouteSpec, f func(*RouteSpec)) RouteSpec { f(&s); return s }
	before, stored := dump(b.Table), b.store.dump()
	for _, c := range []struct {
		spec RouteSpec
		kind ErrorKind
		word string
	}{
		{via("10.1.0.1/16", "192.0.2.2", ""), Invalid, "Invalid prefix for given prefix length"},
		{via("10.1.0.0/16", "", ""), Invalid, "via ADDRESS or dev NAME"},
		{via("10.1.0.0/16", "", "nope"), NotFound, "nope"},
		{via("10.1.0.0/16", "", "other"), NotFound, "other"},
		{via("10.1.0.0/16", "", "down"), Refused, "link set down up"},
		{via("10.1.0.0/16", "192.0.2.2", "down"), Refused, "Nexthop has invalid gateway"},
		{via("10.1.0.0/16", "192.0.9.2", ""), Refused, "192.0.9.2"},
		{via("10.1.0.0/16", "192.0.2.2", "d2"), NotFound, "d2"},
		{via("10.0.0.0/9", "10.0.0.1", ""), Refused, "through that route itself"},
		{via("10.1.0.0/16", "192.0.2.1", ""), Invalid, "local address"},
		{via("10.1.0.0/16", "192.0.2.255", ""), Refused, "invalid gateway"},
		{via("10.1.0.0/16", "224.0.0.1", ""), Invalid, "invalid gateway"},
		{via("10.1.0.0/16", "127.0.0.1", ""), Invalid, "invalid gateway"},
		{via("2001:db8:1::/48", "192.0.2.2", ""), Invalid, "IPv4 gateway"},
		{via("2001:db8:1::/48", "fe80::1", ""), Invalid, "link-local and needs dev"},
		{via("10.0.0.0/8", "192.0.2.3", ""), Exists, "File exists"},
		{with(via("10.1.0.0/16", "192.0.2.2", ""), func(s *RouteSpec) { s.Source = addrOf("192.0.9.1") }), Invalid, "192.0.9.1"},
		{with(via("10.1.0.0/16", "192.0.2.2", ""), func(s *RouteSpec) { s.Source = addrOf("2001:db8::1") }), Invalid, "prefsrc"},
		{with(via("10.1.0.0/16", "192.0.2.2", ""), func(s *RouteSpec) { s.MTU = 67 }), Invalid, "mtu 67"},
		{with(via("2001:db8:1::/48", "2001:db8::2", ""), func(s *RouteSpec) { s.MTU = 1279 }), Invalid, "mtu 1279"},
		{with(via("10.1.0.0/16", "", "d"), func(s *RouteSpec) { s.Kind = fib.Blackhole }), Invalid, "route type"},
		{with(via("10.1.0.0/16", "192.0.2.2", "d"), func(s *RouteSpec) { s.Kind = fib.Local }), Invalid, "host scope"},
		{with(via("10.1.0.0/16", "", "d"), func(s *RouteSpec) { s.Kind = fib.Broadcast }), Invalid, "add an address"},
		{with(via("10.1.0.0/16", "10.9.9.9", ""), func(s *RouteSpec) { s.Legs[0].OnLink = true }), Invalid, "onlink needs dev"},
		{with(via("10.1.0.0/16", "10.9.9.9", "down"), func(s *RouteSpec) { s.Legs[0].OnLink = true }), Refused, "not up"},
		{RouteSpec{Prefix: netip.MustParsePrefix("::ffff:10.0.0.0/104")}, Invalid, "no prefix"},
		{RouteSpec{}, Invalid, "no prefix"},
	} {
		b.refused(b.route(fib.Add, "init", c.spec), c.kind, c.word)
	}
	b.refused(b.route(fib.Add, "green", via("10.1.0.0/16", "", "d")), NotFound, "green")
	b.refused(b.route(fib.Change, "init", via("10.1.0.0/16", "192.0.2.2", "")), NotFound, "to change")
	b.refused(b.route(fib.Replace, "init", via("192.0.2.0/24", "192.0.2.2", "")), Refused, "comes from an address")
	b.refused(b.deleteRoute("init", via("10.1.0.0/16", "", "")), NotFound, "10.1.0.0/16")
	b.refused(b.deleteRoute("init", via("10.0.0.0/8", "192.0.2.9", "")), NotFound, "10.0.0.0/8")
	b.refused(b.deleteRoute("init", via("192.0.2.0/24", "", "")), Refused, "delete the address")
	b.want(dump(b.Table), before)
	b.want(b.store.dump(), stored)
}

// TestRouteDefaults: metrics, protocols and scopes are those of ip-route(8).
func TestRouteDefaults(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24", "2001:db8::1/64")
	onlink := via("10.4.0.0/16", "10.9.9.9", "d")
	onlink.Legs[0].OnLink = true
	for _, s := range []RouteSpec{
		via("10.1.0.0/16", "192.0.2.2", ""),
		via("10.2.0.0/16", "", "d"),
		{Prefix: netip.MustParsePrefix("10.3.0.0/16"), Kind: fib.Blackhole},
		onlink,
		via("2001:db8:1::1/48", "2001:db8::2", ""), // IPv6 prefixes are masked
		via("2001:db8:2::/48", "fe80::1", "d"),
	} {
		b.ok(b.route(fib.Add, "init", s))
	}
	var got string
	b.ok(b.Routes("init", RouteRange{}, func(r *RouteInfo) error {
		if r.Origin == fib.FromAPI {
			r.Order = 0
			got += routeLine(r) + "\n"
		}
		return nil
	}))
	b.want(got, `10.1.0.0/16 kind 0 via 192.0.2.2 dev d src invalid IP metric 0 proto 3 scope 0 mtu 0 order 0 down false
10.2.0.0/16 kind 0 via invalid IP dev d src invalid IP metric 0 proto 3 scope 253 mtu 0 order 0 down false
10.3.0.0/16 kind 4 via invalid IP dev  src invalid IP metric 0 proto 3 scope 0 mtu 0 order 0 down false
10.4.0.0/16 kind 0 via 10.9.9.9 dev d src invalid IP metric 0 proto 3 scope 0 mtu 0 order 0 down false
2001:db8:1::/48 kind 0 via 2001:db8::2 dev d src invalid IP metric 1024 proto 3 scope 0 mtu 0 order 0 down false
2001:db8:2::/48 kind 0 via fe80::1 dev d src invalid IP metric 1024 proto 3 scope 0 mtu 0 order 0 down false
`)
}

// TestRouteMetrics: the lowest usable metric is in the forwarding table; the others wait.
func TestRouteMetrics(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24")
	b.dummy("init", "d", "198.51.100.1/24")
	for metric, s := range map[uint32]RouteSpec{
		10: via("10.0.0.0/8", "192.0.2.2", ""), 20: via("10.0.0.0/8", "198.51.100.2", ""),
		30: {Prefix: netip.MustParsePrefix("10.0.0.0/8"), Kind: fib.Unreachable},
	} {
		s.Metric = metric
		b.ok(b.route(fib.Add, "init", s))
	}
	dev := func() string {
		t.Helper()
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf("10.1.1.1")})
		if err != nil {
			return err.Error()
		}
		ns, _ := b.Namespace("init")
		if hop := ns.FIB.Lookup(addrOf("10.1.1.1")).First(); b.deviceName(hop.Device) != g.Hop.Device {
			t.Errorf("route get says %s, the forwarding table %+v", g.Hop.Device, hop)
		}
		return g.Hop.Device
	}
	b.want(dev(), "p")
	b.ok(b.SetCarrier(b.deviceID("init", "p"), false))
	b.want(dev(), "d")
	b.ok(b.SetCarrier(b.deviceID("init", "p"), true))
	b.want(dev(), "p")
	b.ok(b.up("init", "p", false)) // takes the route away for good
	b.ok(b.up("init", "p", true))
	b.want(dev(), "d")
	b.ok(b.deleteRoute("init", RouteSpec{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Metric: 20}))
	b.want(dev(), "No route to host: route 10.0.0.0/8 for 10.1.1.1 is unreachable")
	b.want(b.routesOf("init"), "10.0.0.0/8 metric 30 dev ")
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
}

func TestRouteGet(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24", "2001:db8::1/64")
	b.ok(b.route(fib.Add, "init", via("10.0.0.0/8", "192.0.2.2", "")))
	for kind, p := range map[fib.Kind]string{
		fib.Blackhole: "10.1.0.0/16", fib.Unreachable: "10.2.0.0/16", fib.Prohibit: "10.3.0.0/16", fib.Throw: "10.4.0.0/16",
	} {
		b.ok(b.route(fib.Add, "init", RouteSpec{Prefix: netip.MustParsePrefix(p), Kind: kind}))
	}
	for addr, want := range map[string]string{
		"192.0.2.7": "d from 192.0.2.1", "192.0.2.1": "lo from 192.0.2.1", "10.9.0.1": "d from 192.0.2.1",
		"2001:db8::7": "d from 2001:db8::1", "2001:db8::1": "lo from 2001:db8::1",
		"10.1.0.1": "Invalid argument", "10.2.0.1": "No route to host", "10.3.0.1": "Permission denied",
		"10.4.0.1": "Network is unreachable", "11.0.0.1": "Network is unreachable", "2001:db8:1::1": "Network is unreachable",
	} {
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf(addr), InDevice: "d"})
		if err != nil {
			b.refused(err, Refused, want)
			continue
		}
		b.want(g.Hop.Device+" from "+g.Source.String(), want)
	}
	_, err := b.RouteGet("init", GetQuery{Destination: addrOf("192.0.2.7"), InDevice: "nope"})
	b.refused(err, NotFound, "nope")
}

// TestRoutesInSteps: a listing takes the lock in steps; it has all routes, once each, and ends at the first error.
func TestRoutesInSteps(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24")
	const n = 3*routeChunk + 7
	_, err := b.Bulk(
		n,
		false,
		func(tx *Tx, i int) error { return tx.Route(fib.Add, "init", via(nth(i), "192.0.2.2", "")) },
	)
	b.ok(err)
	seen := make(map[netip.Prefix]int)
	b.ok(b.Routes("init", RouteRange{}, func(r *RouteInfo) error {
		if seen[r.Prefix]++; len(seen) == routeChunk {
			b.ok(b.route(fib.Add, "init", via("9.0.0.0/8", "192.0.2.2", ""))) // behind us: no deadlock, no disorder
		}
		return nil
	}))
	for i := range n {
		if p := netip.MustParsePrefix(nth(i)); seen[p] != 1 {
			t.Fatalf("%s was listed %d times", p, seen[p])
		}
	}
	stop, calls := errors.New("enough"), 0
	err = b.Routes("init", RouteRange{}, func(*RouteInfo) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	calls = 0
	b.ok(
		b.Routes(
			"init",
			RouteRange{Exact: netip.MustParsePrefix(nth(5))},
			func(*RouteInfo) error { calls++; return nil },
		),
	)
	if calls != 1 {
		t.Errorf("%d routes of one prefix", calls)
	}
	var flushed int
	b.ok(b.Do(func(tx *Tx) (err error) {
		flushed, err = tx.FlushRoutes("init", func(r *RouteInfo) bool { return devicesOf(r) == "d" })
		return err
	}))
	if flushed != n+1 {
		t.Errorf("%d routes flushed", flushed)
	}
	b.want(b.routesOf("init"), "")
}

// nth is the i-th of many prefixes.
func nth(i int) string {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>16), byte(i >> 8), byte(i), 0}), 24).String()
}

// TestRouteRange: a listing of some prefixes has those that a filter over all would choose.
func TestRouteRange(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d")
	prefixes := []string{
		"0.0.0.0/0",
		"10.0.0.0/8",
		"10.0.0.0/16",
		"10.0.0.0/24",
		"10.0.1.0/24",
		"10.1.0.0/16",
		"11.0.0.0/8",
		"2001:db8::/32",
	}
	for _, p := range prefixes {
		b.ok(b.route(fib.Add, "init", via(p, "", "d")))
	}
	within := func(outer, inner string) bool {
		o, i := netip.MustParsePrefix(outer), netip.MustParsePrefix(inner)
		return o.Bits() <= i.Bits() && o.Contains(i.Addr())
	}
	for _, about := range prefixes {
		p := netip.MustParsePrefix(about)
		for name, c := range map[string]struct {
			in    RouteRange
			wants func(string) bool
		}{
			"exact": {RouteRange{Exact: p}, func(s string) bool { return s == about }},
			"match": {RouteRange{Match: p}, func(s string) bool { return within(s, about) }},
			"root":  {RouteRange{Root: p}, func(s string) bool { return within(about, s) }},
		} {
			var got, want []string
			b.ok(b.Routes("init", c.in, func(r *RouteInfo) error {
				if r.Origin == fib.FromAPI {
					got = append(got, r.Prefix.String())
				}
				return nil
			}))
			for _, s := range prefixes {
				if c.wants(s) {
					want = append(want, s)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s %s: %v, want %v", name, about, got, want)
			}
		}
	}
}

// TestNoRoute: route get tells why nothing can be used.
func TestNoRoute(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p", "192.0.2.1/24")
	b.ok(b.route(fib.Add, "init", via("172.16.0.0/16", "192.0.2.2", "")))
	b.ok(b.route(fib.Add, "init", via("10.0.0.0/8", "172.16.0.1", "")))
	b.ok(b.deleteRoute("init", via("172.16.0.0/16", "", "")))
	b.ok(b.route(fib.Add, "init", via("11.0.0.0/8", "192.0.2.2", "")))
	b.ok(b.SetCarrier(b.deviceID("init", "p"), false))
	b.ok(b.route(fib.Add, "init", RouteSpec{Prefix: netip.MustParsePrefix("12.0.0.0/8"), Kind: fib.Throw}))
	for addr, want := range map[string]string{
		"10.0.0.1": "goes by 172.16.0.1, to which no route leads", "11.0.0.1": "goes by p, which has no carrier",
		"12.0.0.1": "route 12.0.0.0/8 for 12.0.0.1 is throw", "13.0.0.1": "no route covers 13.0.0.1",
		"224.0.0.1": "no unicast address", "255.255.255.255": "no unicast address", "ff02::1": "no unicast address",
	} {
		_, err := b.RouteGet("init", GetQuery{Destination: addrOf(addr)})
		b.refused(err, Refused, want)
	}
}
