package nstable

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsrouter/fib"
)

// into is a route that leads into a namespace.
func into(prefix, netns string) RouteSpec {
	return RouteSpec{Prefix: netip.MustParsePrefix(prefix), Kind: fib.Netns, HasKind: true, Netns: netns}
}

// leaks prints the routes of a namespace that lead into others.
func (b *bench) leaks(ns string) string {
	b.t.Helper()
	var out []string
	b.ok(b.Routes(ns, RouteRange{}, func(r *RouteInfo) error {
		if r.Kind == fib.Netns {
			out = append(out, r.Prefix.String()+" "+r.Netns)
		}
		return nil
	}))
	return strings.Join(out, ", ")
}

// TestRouteInto: a route into another namespace is put, shown, found, stored and deleted as any other.
func TestRouteInto(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	b.dummy("red", "d", "192.0.2.1/24")
	b.ok(b.route(fib.Add, "red", into("10.0.0.0/8", "blue")))
	b.ok(b.route(fib.Add, "red", into("2001:db8::/32", "init")))
	b.refused(b.route(fib.Add, "red", into("10.0.0.0/8", "init")), Exists, "File exists")
	b.want(b.leaks("red"), "10.0.0.0/8 blue, 2001:db8::/32 init")
	public, err := b.Namespace("red")
	b.ok(err)
	blue, err := b.Namespace("blue")
	b.ok(err)
	hop := public.FIB.Lookup(netip.MustParseAddr("10.1.1.1")).First()
	if hop.Kind != fib.Netns || hop.Netns() != blue.ID || b.View().Namespaces[hop.Netns()] != blue {
		t.Errorf("next hop %+v", hop)
	}
	if lo := b.View().Device(blue.Loopback); lo == nil || lo.Kind != Loopback || lo.Namespace != blue {
		t.Errorf("loopback of blue: %+v", lo)
	}
	got, err := b.RouteGet("red", GetQuery{Destination: netip.MustParseAddr("10.1.1.1")})
	b.ok(err)
	if got.Route.Netns != "blue" || got.Hop.Device != "" {
		t.Errorf("route get: %+v", got)
	}
	b.ok(b.Do(func(tx *Tx) error { return tx.RenameNamespace("blue", "azure") }))
	b.want(b.leaks("red"), "10.0.0.0/8 azure, 2001:db8::/32 init")
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
	b.ok(b.Do(func(tx *Tx) error { return tx.RenameNamespace("azure", "blue") }))
	b.ok(b.route(fib.Replace, "red", into("10.0.0.0/8", "init")))
	b.want(b.leaks("red"), "10.0.0.0/8 init, 2001:db8::/32 init")
	b.refused(b.deleteRoute("red", into("10.0.0.0/8", "blue")), NotFound, "No such process")
	b.refused(b.deleteRoute("red", into("10.0.0.0/8", "green")), NotFound, "green")
	b.ok(b.deleteRoute("red", into("10.0.0.0/8", "init")))
	b.ok(b.deleteRoute("red", RouteSpec{Prefix: netip.MustParsePrefix("2001:db8::/32")}))
	b.want(b.leaks("red"), "")
}

// TestRouteIntoChecks: refusals change nothing.
func TestRouteIntoChecks(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.dummy("init", "d", "192.0.2.1/24")
	b.ok(b.route(fib.Add, "init", into("10.0.0.0/8", "red")))
	with := func(s RouteSpec, f func(*RouteSpec)) RouteSpec { f(&s); return s }
	before, stored := dump(b.Table), b.store.dump()
	for _, c := range []struct {
		spec RouteSpec
		kind ErrorKind
		word string
	}{
		{into("10.1.0.0/16", "blue"), NotFound, "blue"},
		{into("10.1.0.0/16", ""), NotFound, "namespace"},
		{into("10.1.0.0/16", "init"), Invalid, "leads into that itself"},
		{with(into("10.1.0.0/16", "red"), func(s *RouteSpec) { s.Legs = []LegSpec{{Device: "d"}} }), Invalid, "mutually exclusive"},
		{with(into("10.1.0.0/16", "red"), func(s *RouteSpec) { s.Object = 1 }), Invalid, "mutually exclusive"},
		{with(into("10.1.0.0/16", "red"), func(s *RouteSpec) { s.MTU = 60 }), Invalid, "mtu 60"},
		{via("10.1.0.0/16", "10.9.9.9", ""), Refused, "is in another namespace"},
	} {
		b.refused(b.route(fib.Add, "init", c.spec), c.kind, c.word)
	}
	b.want(dump(b.Table), before)
	b.want(b.store.dump(), stored)
}

// TestRouteIntoGone: routes go with the namespace that they lead into, with an event each, in the same transaction; they are
// not there for the next one of that name. What could not be stored leaves them as they were.
func TestRouteIntoGone(t *testing.T) {
	b := newBench(t)
	for _, ns := range []string{"red", "blue", "green"} {
		b.ok(b.addNamespace(ns))
	}
	b.ok(b.route(fib.Add, "red", into("10.0.0.0/8", "green")))
	b.ok(b.route(fib.Add, "red", into("10.0.0.0/9", "blue")))
	b.ok(b.route(fib.Add, "blue", into("2001:db8::/32", "green")))
	b.ok(b.route(fib.Add, "init", into("10.0.0.0/8", "green")))
	before := dump(b.Table)
	b.store.setFull(true)
	b.refused(b.DeleteNamespace("green"), Storage, "no space left")
	b.store.setFull(false)
	b.want(dump(b.Table), before)
	s, err := b.Subscribe(Interest{Namespace: "red"})
	b.ok(err)
	defer s.Close()
	b.ok(b.DeleteNamespace("green"))
	if got := b.events(s); !slices.Equal(got, []string{"red -route 10.0.0.0/8 dev  kind 8"}) {
		t.Errorf("events %q", got)
	}
	b.want(b.leaks("red"), "10.0.0.0/9 blue")
	b.want(b.leaks("blue"), "")
	b.want(b.leaks("init"), "")
	b.ok(b.addNamespace("green"))
	b.want(b.leaks("red"), "10.0.0.0/9 blue")
	before = dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
	// A pair that lead into each other go one after the other.
	b.ok(b.route(fib.Add, "blue", into("10.0.0.0/8", "red")))
	b.ok(b.DeleteNamespace("red"))
	b.want(b.leaks("blue"), "")
	b.ok(b.DeleteNamespace("blue"))
}

// TestRouteIntoRecursive: a gateway that only another namespace knows is none.
func TestRouteIntoRecursive(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.dummy("init", "d", "192.0.2.1/24")
	b.ok(b.route(fib.Add, "init", via("10.9.0.0/16", "192.0.2.2", "")))
	b.ok(b.route(fib.Add, "init", via("172.16.0.0/16", "10.9.9.9", "")))
	if _, err := b.RouteGet("init", GetQuery{Destination: netip.MustParseAddr("172.16.0.1")}); err != nil {
		t.Fatal(err)
	}
	b.ok(b.route(fib.Add, "init", into("10.9.9.0/24", "red")))
	_, err := b.RouteGet("init", GetQuery{Destination: netip.MustParseAddr("172.16.0.1")})
	b.refused(err, Refused, "unreachable")
}

// TestRouteIntoDamaged: a store in which a route leads nowhere is refused.
func TestRouteIntoDamaged(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.route(fib.Add, "init", into("10.0.0.0/8", "red")))
	b.Close()
	for k, v := range b.store.data[BucketRoute] {
		v[len(v)-1] = 7
		b.store.data[BucketRoute][k] = v
	}
	if _, err := Open(Options{Store: b.store}); err == nil || !strings.Contains(err.Error(), "cannot be restored") {
		t.Errorf("opened: %v", err)
	}
}
