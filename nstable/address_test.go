package nstable

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"nsrouter/fib"
)

func (b *bench) deleteAddr(ns, dev, a string) error {
	return b.Do(func(tx *Tx) error { return tx.DeleteAddress(ns, dev, netip.MustParsePrefix(a)) })
}

func TestAddressChecks(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24", "2001:db8::1/64")
	_, err := b.AddLink("init", LinkSpec{Name: "small", Kind: Dummy, MTU: 1000})
	b.ok(err)
	before, stored := dump(b.Table), b.store.dump()
	for _, c := range []struct {
		dev, addr string
		kind      ErrorKind
		word      string
	}{
		{"d", "192.0.2.1/24", Exists, "already assigned"},
		{"d", "2001:db8::1/48", Exists, "already assigned"},
		{"d", "0.0.0.0/0", Invalid, "not unicast"},
		{"d", "::/64", Invalid, "not unicast"},
		{"d", "224.0.0.1/4", Invalid, "not unicast"},
		{"d", "ff02::1/64", Invalid, "not unicast"},
		{"d", "::1/128", Invalid, "loopback address"},
		{"d", "255.255.255.255/32", Invalid, "not unicast"},
		{"d", "::ffff:192.0.2.2/120", Invalid, "no address"},
		{"e", "192.0.2.2/24", NotFound, `"e"`},
		{"small", "2001:db8::2/64", Refused, "mtu 1280"},
	} {
		b.refused(b.addr("init", c.dev, c.addr), c.kind, c.word)
	}
	b.refused(b.deleteAddr("init", "d", "192.0.2.1/25"), NotFound, "192.0.2.1/25")
	b.refused(b.Do(func(tx *Tx) error { return tx.AddAddress("init", "d", AddressSpec{}) }), Invalid, "no address")
	b.want(dump(b.Table), before)
	b.want(b.store.dump(), stored)
	b.ok(b.addr("init", "d", "192.0.2.1/25")) // another prefix length is another address, as in Linux
	b.ok(b.addr("init", "small", "192.0.2.1/24"))
	b.ok(b.Do(func(tx *Tx) error {
		return tx.ReplaceAddress("init", "d", AddressSpec{Prefix: netip.MustParsePrefix("192.0.2.1/25")})
	}))
	b.want(b.addrsOf("init", "d"), "192.0.2.1/24, 2001:db8::1/64, 192.0.2.1/25, auto")
}

// TestConnected checks the routes that follow from addresses, as the kernel has them in its tables local and main.
func TestConnected(t *testing.T) {
	for _, c := range []struct{ addrs, routes string }{
		{"192.0.2.1/24", "192.0.2.0/24 kind 0 dev d; 192.0.2.1/32 kind 1 dev d; 192.0.2.255/32 kind 2 dev d"},
		{"192.0.2.1/31", "192.0.2.0/31 kind 0 dev d; 192.0.2.1/32 kind 1 dev d"},
		{"192.0.2.1/32", "192.0.2.1/32 kind 1 dev d"},
		{"10.255.3.1/9", "10.128.0.0/9 kind 0 dev d; 10.255.3.1/32 kind 1 dev d; 10.255.255.255/32 kind 2 dev d"},
		{"192.0.2.255/24", "192.0.2.0/24 kind 0 dev d; 192.0.2.255/32 kind 1 dev d"}, // its own address before broadcast
		{"2001:db8::1/64", "2001:db8::/64 kind 0 dev d; 2001:db8::/128 kind 3 dev d; 2001:db8::1/128 kind 1 dev d"},
		{"2001:db8::1/127", "2001:db8::/127 kind 0 dev d; 2001:db8::1/128 kind 1 dev d"},
		{"2001:db8::1/128", "2001:db8::1/128 kind 1 dev d"},
		{"2001:db8::1/64 2001:db8::/64", "2001:db8::/64 kind 0 dev d; 2001:db8::/128 kind 1 dev d; 2001:db8::1/128 kind 1 dev d"},
		{"2001:db8::/64 2001:db8::1/64", "2001:db8::/64 kind 0 dev d; 2001:db8::/128 kind 1 dev d; 2001:db8::1/128 kind 1 dev d"},
	} {
		b := newBench(t)
		b.dummy("init", "d")
		b.ok(b.Do(func(tx *Tx) error { _, err := tx.FlushAddresses("init", "d", nil); return err }))
		for a := range strings.FieldsSeq(c.addrs) {
			b.ok(b.addr("init", "d", a))
		}
		b.want(strings.ReplaceAll(b.fibOf("init"), "\n", "; "), c.routes)
		before := dump(b.Table)
		b.reopen()
		b.ok(b.Do(func(tx *Tx) error {
			_, err := tx.FlushAddresses("init", "d", func(a AddressInfo) bool { return a.Automatic })
			return err
		}))
		b.want(dump(b.Table), before)
		b.ok(b.up("init", "d", false))
		b.want(b.fibOf("init"), "")
	}
}

// TestSecondary: of several addresses in a prefix the first is the primary one, and the next takes its place.
func TestSecondary(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24", "192.0.2.2/24", "192.0.2.3/25", "192.0.2.4/24")
	b.want(b.addrsOf("init", "d"), "192.0.2.1/24, 192.0.2.2/24 secondary, 192.0.2.3/25, 192.0.2.4/24 secondary, auto")
	source := func() netip.Addr {
		t.Helper()
		g, err := b.RouteGet("init", GetQuery{Destination: addrOf("192.0.2.200")})
		b.ok(err)
		return g.Source
	}
	if s := source(); s != addrOf("192.0.2.1") {
		t.Errorf("source %s", s)
	}
	b.ok(b.deleteAddr("init", "d", "192.0.2.1/24"))
	b.want(b.addrsOf("init", "d"), "192.0.2.2/24, 192.0.2.3/25, 192.0.2.4/24 secondary, auto")
	if s := source(); s != addrOf("192.0.2.2") {
		t.Errorf("source %s", s)
	}
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
}

// TestAddressGone: what an address leaves behind when it goes.
func TestAddressGone(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "192.0.2.1/24", "192.0.3.1/24", "2001:db8::1/64", "2001:db8::2/64")
	b.dummy("init", "e", "198.51.100.1/24")
	src := func(s RouteSpec, a string) RouteSpec { s.Source = addrOf(a); return s }
	b.ok(b.route(fib.Add, "init", src(via("10.1.0.0/16", "198.51.100.2", ""), "192.0.2.1")))
	b.ok(b.route(fib.Add, "init", src(via("10.2.0.0/16", "198.51.100.2", ""), "198.51.100.1")))
	b.ok(b.route(fib.Add, "init", via("10.3.0.0/16", "192.0.2.2", "")))
	b.ok(b.route(fib.Add, "init", src(via("2001:db8:1::/48", "2001:db8::9", ""), "2001:db8::2")))
	b.want(b.routesOf("init"), "10.1.0.0/16 metric 0 dev e, 10.2.0.0/16 metric 0 dev e, 10.3.0.0/16 metric 0 dev d, "+
		"2001:db8:1::/48 metric 1024 dev d")

	b.ok(b.deleteAddr("init", "d", "192.0.2.1/24")) // IPv4: the route that prefers it goes, the one by its prefix stays
	b.want(
		b.routesOf("init"),
		"10.2.0.0/16 metric 0 dev e, 10.3.0.0/16 metric 0 dev d, 2001:db8:1::/48 metric 1024 dev d",
	)
	b.ok(b.deleteAddr("init", "d", "192.0.3.1/24")) // the last IPv4 address takes the device's IPv4 routes
	b.want(b.routesOf("init"), "10.2.0.0/16 metric 0 dev e, 2001:db8:1::/48 metric 1024 dev d")
	b.ok(b.deleteAddr("init", "d", "2001:db8::2/64")) // IPv6: the preference goes, the route stays
	b.want(b.routesOf("init"), "10.2.0.0/16 metric 0 dev e, 2001:db8:1::/48 metric 1024 dev d")
	g, err := b.RouteGet("init", GetQuery{Destination: addrOf("2001:db8:1::1")})
	b.ok(err)
	if g.Source != addrOf("2001:db8::1") || g.Route.Source.IsValid() {
		t.Errorf("%+v", g)
	}
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
}

// TestOwnAddrs: what workers ask of a source address follows the devices of each namespace, also when one leaves.
func TestOwnAddrs(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	own := func(ns, a string) bool {
		public, err := b.Namespace(ns)
		b.ok(err)
		ip := addrOf(a).As4()
		return public.OwnAddrs().MayHave(binary.BigEndian.Uint32(ip[:]))
	}
	b.dummy("init", "d", "192.0.2.1/24")
	b.dummy("init", "e", "192.0.2.65/26")
	if !own("init", "192.0.2.1") || !own("init", "192.0.2.65") || own("red", "192.0.2.1") {
		t.Error("the addresses of init are not known, or in red too")
	}
	b.ok(b.SetLink("init", "d", LinkChange{Namespace: "red"}))
	if own("init", "192.0.2.1") {
		t.Error("init has the address of a device that has moved away")
	}
	b.ok(b.DeleteLink("init", "e"))
	if own("init", "192.0.2.65") {
		t.Error("init has the address of a deleted device")
	}
}
