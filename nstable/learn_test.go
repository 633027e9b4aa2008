package nstable

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"nsrouter/fib"
)

// learn makes ways all that Linux has for a prefix.
func (b *bench) learn(ns, prefix string, ways ...fib.Way) error {
	b.t.Helper()
	public, err := b.Namespace(ns)
	b.ok(err)
	return b.Learn(public, fib.FromKernel, func(l *Learner) error {
		var list []*fib.Way
		for _, w := range ways {
			list = append(list, l.Way(w))
		}
		return l.Set(netip.MustParsePrefix(prefix), list)
	})
}

// learned prints the routes that Linux has.
func (b *bench) learned(ns string) string {
	b.t.Helper()
	var out []string
	b.ok(b.Routes(ns, RouteRange{}, func(r *RouteInfo) error {
		if r.Origin == fib.FromKernel {
			out = append(out, fmt.Sprintf("%s metric %d dev %s", r.Prefix, r.Metric, devicesOf(r)))
		}
		return nil
	}))
	return strings.Join(out, ", ")
}

func (b *bench) gatewayWay(ns, dev, gateway string, metric uint32) fib.Way {
	return fib.Way{Metric: metric, Protocol: 186, Legs: []fib.Leg{
		{Gateway: netip.MustParseAddr(gateway), Device: b.deviceID(ns, dev), Weight: 1},
	}}
}

// TestLearned: learned routes forward, are not stored, are nobody's but their origin's, and outlast what happens to
// addresses and links here, but not their device.
func TestLearned(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24")
	stored := b.store.dump()
	w := b.gatewayWay("init", "d", "192.0.2.2", 20)
	w.Source = addrOf("192.0.2.1")
	b.ok(b.learn("init", "10.0.0.0/8", w))
	b.ok(b.learn("init", "2001:db8:1::/48", b.gatewayWay("init", "d", "fe80::2", 1024)))
	all := "10.0.0.0/8 metric 20 dev d, 2001:db8:1::/48 metric 1024 dev d"
	b.want(b.learned("init"), all)
	b.want(b.store.dump(), stored)
	if g, err := b.RouteGet("init", GetQuery{Destination: addrOf("10.1.1.1")}); err != nil || g.Hop.Gateway != addrOf("192.0.2.2") {
		t.Errorf("route get: %+v, %v", g.Hop, err)
	}
	b.refused(b.deleteRoute("init", via("10.0.0.0/8", "", "")), Refused, "comes from Linux")
	same := via("10.0.0.0/8", "192.0.2.9", "")
	same.Metric = 20
	b.refused(b.route(fib.Replace, "init", same), Refused, "comes from Linux")
	b.refused(b.route(fib.Add, "init", same), Exists, "metric 20")
	b.ok(b.Do(func(tx *Tx) error {
		n, err := tx.FlushRoutes("init", func(*RouteInfo) bool { return true })
		if n > 0 {
			t.Errorf("flush took %d routes", n)
		}
		return err
	}))
	b.ok(b.up("init", "d", false))
	b.want(b.learned("init"), all)
	b.want(b.fibOf("init"), "")
	b.ok(b.up("init", "d", true))
	b.ok(b.Do(func(tx *Tx) error { return tx.DeleteAddress("init", "d", netip.MustParsePrefix("192.0.2.1/24")) }))
	b.want(b.learned("init"), all)
	b.store.setFull(true) // a store that fails is none of its business
	b.ok(b.learn("init", "10.0.0.0/8"))
	b.store.setFull(false)
	b.want(b.learned("init"), "2001:db8:1::/48 metric 1024 dev d")
	b.ok(b.DeleteLink("init", "d"))
	b.want(b.learned("init"), "")
}

// TestLearnedObjects: Linux and the operator have next-hop objects of the same numbers.
func TestLearnedObjects(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24")
	b.dummy("init", "e", "198.51.100.1/24")
	b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: 1, Leg: viaLeg("192.0.2.9", "d")}))
	stored := b.store.dump()
	public, err := b.Namespace("init")
	b.ok(err)
	one, group := fib.ObjectOf(fib.FromKernel, 1), fib.ObjectOf(fib.FromKernel, 2)
	leg := func(dev, gateway string) fib.Leg {
		return fib.Leg{Gateway: netip.MustParseAddr(gateway), Device: b.deviceID("init", dev), Weight: 1}
	}
	near, far := leg("d", "192.0.2.2"), leg("e", "198.51.100.2")
	b.ok(b.Learn(public, fib.FromKernel, func(l *Learner) error {
		return errors.Join(l.SetObject(&fib.Object{ID: one, Leg: near}),
			l.SetObject(&fib.Object{ID: group, Members: []fib.Member{{ID: one, Weight: 1}}}))
	}))
	b.ok(b.learn("init", "10.0.0.0/8", fib.Way{Object: one}))
	b.ok(b.learn("init", "10.1.0.0/16", fib.Way{Object: group}))
	b.ok(b.route(fib.Add, "init", byObject("10.2.0.0/16", 1)))
	gateway := func(addr string) string {
		t.Helper()
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf(addr)})
		if err != nil {
			return err.Error()
		}
		return g.Hop.Gateway.String()
	}
	b.want(gateway("10.0.0.1"), "192.0.2.2")
	b.want(gateway("10.1.0.1"), "192.0.2.2")
	b.want(gateway("10.2.0.1"), "192.0.2.9")
	b.ok(b.Learn(public, fib.FromKernel, func(l *Learner) error {
		return l.SetObject(&fib.Object{ID: one, Leg: far})
	}))
	b.want(gateway("10.1.0.1"), "198.51.100.2")
	b.refused(b.Do(func(tx *Tx) error { return tx.DeleteNextHop("init", 2) }), Refused, "comes from Linux")
	b.ok(b.up("init", "e", false))
	b.ok(b.up("init", "e", true))
	b.want(gateway("10.1.0.1"), "198.51.100.2")
	b.ok(b.Learn(public, fib.FromKernel, func(l *Learner) error {
		l.DeleteObjects(func(n uint32) bool { return n == 1 })
		return nil
	}))
	b.want(b.learned("init"), "")
	b.want(gateway("10.2.0.1"), "192.0.2.9")
	b.ok(b.deleteRoute("init", via("10.2.0.0/16", "", "")))
	b.want(b.store.dump(), stored)
}

// TestLearnedGone: what was learned for a namespace is refused once that is deleted, also if there is one of its name.
func TestLearnedGone(t *testing.T) {
	b := newBench(t)
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("red") }))
	old, err := b.Namespace("red")
	b.ok(err)
	b.ok(b.DeleteNamespace("red"))
	b.ok(b.Do(func(tx *Tx) error { return tx.AddNamespace("red") }))
	b.refused(b.Learn(old, fib.FromKernel, func(*Learner) error { return nil }), NotFound, "deleted")
}

// TestMixedPlaces: of the routes of one prefix, one that is replaced does not keep the record of one that is deleted.
func TestMixedPlaces(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "2001:db8:d::1/64")
	b.dummy("init", "e", "2001:db8:e::1/64")
	b.ok(b.route(fib.Add, "init", via("2001:db8:1::/48", "2001:db8:d::2", "d")))
	two := RouteSpec{Prefix: netip.MustParsePrefix("2001:db8:1::/48"), Metric: 9, Legs: []LegSpec{
		viaLeg("2001:db8:d::3", "d"), viaLeg("2001:db8:e::3", "e"),
	}}
	b.ok(b.route(fib.Add, "init", two))
	b.ok(b.DeleteLink("init", "d"))
	b.want(b.routesOf("init"), "2001:db8:1::/48 metric 9 dev e")
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
}
