package fib

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// newRIB is one whose devices are all up.
func newRIB() *RIB {
	return NewRIB(func(DeviceID) LinkState { return LinkState{Up: true, Carrier: true} })
}

// direct is a way to neighbours on a device.
func direct(metric uint32, dev DeviceID) Way {
	return Way{Metric: metric, Legs: []Leg{{Device: dev, Weight: 1}}}
}

// drawPrefix makes prefixes that often cover each other: few bits differ.
func drawPrefix(t *rapid.T) netip.Prefix {
	var a netip.Addr
	if rapid.Bool().Draw(t, "is4") {
		a = netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "third") & 3, rapid.Byte().Draw(t, "fourth")})
	} else {
		a = netip.AddrFrom16([16]byte{0x20, 1, 0, 0, 0, 0, 0, rapid.Byte().Draw(t, "seventh") & 3, 15: rapid.Byte().Draw(t, "last")})
	}
	return netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
}

func TestAddr(t *testing.T) {
	for _, s := range []string{"0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "2001:db8::ffff:1", "fe80::1"} {
		a := netip.MustParseAddr(s)
		if back := AddrOf(a).Netip(); back != a {
			t.Errorf("%v became %v", a, back)
		}
		if AddrOf(a).Is4() != a.Is4() {
			t.Errorf("%v: Is4 %v", a, AddrOf(a).Is4())
		}
	}
	if AddrOf(netip.MustParseAddr("fe80::1%eth0")) != AddrOf(netip.MustParseAddr("fe80::1")) {
		t.Error("the zone counts")
	}
	if Addr4(0x0a010203) != AddrOf(netip.MustParseAddr("10.1.2.3")) {
		t.Error("Addr4 and AddrOf differ")
	}
}

// TestRIB compares the RIB with a map: what is in it, its order, and the walk from any place.
func TestRIB(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rib, model := newRIB(), map[netip.Prefix][]*Route{}
		for range rapid.IntRange(1, 200).Draw(t, "operations") {
			p := drawPrefix(t)
			var list []*Route
			for i := range rapid.IntRange(0, 2).Draw(t, "routes") {
				list = append(list, &Route{Prefix: p, Way: rib.Way(direct(uint32(i), 1))})
			}
			rib.Set(p, list)
			if len(list) == 0 {
				delete(model, p)
			} else {
				model[p] = list
			}
		}
		var want []netip.Prefix
		routes := 0
		for p, list := range model {
			want = append(want, p)
			routes += len(list)
			if !slices.Equal(rib.Get(p), list) {
				t.Fatalf("%v: %v, want %v", p, rib.Get(p), list)
			}
		}
		slices.SortFunc(want, ComparePrefixes)
		if rib.Len() != routes {
			t.Fatalf("%d routes, want %d", rib.Len(), routes)
		}
		from := drawPrefix(t)
		at, _ := slices.BinarySearchFunc(want, from, ComparePrefixes)
		for _, start := range []struct {
			p    netip.Prefix
			want []netip.Prefix
		}{{netip.Prefix{}, want}, {from, want[at:]}} {
			var got []netip.Prefix
			for p := range rib.From(start.p) {
				got = append(got, p)
			}
			if !slices.Equal(got, start.want) {
				t.Fatalf("from %v: %v, want %v", start.p, got, start.want)
			}
		}
		a := drawPrefix(t).Addr()
		var covering *Route
		best := -1
		for p, list := range model {
			if p.Contains(a) && p.Bits() > best {
				best, covering = p.Bits(), list[0]
			}
		}
		if got := rib.OnLink(a, 0); got != covering {
			t.Fatalf("on link of %v: %v, want %v", a, got, covering)
		}
	})
}

// TestRIBLarge fills several blocks in three orders.
func TestRIBLarge(t *testing.T) {
	const n = 5000
	prefix := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
	}
	up := make([]int, n)
	for i := range up {
		up[i] = i
	}
	down := slices.Clone(up)
	slices.Reverse(down)
	for _, order := range [][]int{up, down, rand.New(rand.NewPCG(1, 1)).Perm(n)} {
		rib := newRIB()
		for _, i := range order {
			rib.Set(prefix(i), []*Route{{Prefix: prefix(i), Way: rib.Way(direct(0, 1))}})
		}
		i := 0
		for p := range rib.From(netip.Prefix{}) {
			if p != prefix(i) {
				t.Fatalf("place %d has %v", i, p)
			}
			i++
		}
		if i != n || rib.Len() != n {
			t.Fatalf("%d prefixes, %d routes", i, rib.Len())
		}
		for _, i := range order {
			rib.Set(prefix(i), nil)
		}
		if rib.Len() != 0 {
			t.Fatalf("%d routes are left", rib.Len())
		}
	}
}

// TestInsert: `ip route add|replace|append|change` on a list of one prefix, as fib_table_insert of the kernel does it.
func TestInsert(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.0/8")
	rib := newRIB()
	via := func(gateway string, metric uint32) Route {
		w := Way{Metric: metric, Legs: []Leg{{Gateway: netip.MustParseAddr(gateway), Device: 1, Weight: 1}}}
		return Route{Prefix: p, Way: rib.Way(w)}
	}
	for _, c := range []struct {
		name string
		list []Route
		op   Op
		r    Route
		want []string
		err  error
	}{
		{"first", nil, Add, via("192.0.2.1", 0), []string{"192.0.2.1"}, nil},
		{"same metric", []Route{via("192.0.2.1", 5)}, Add, via("192.0.2.2", 5), nil, ErrExists},
		{"other metric", []Route{via("192.0.2.1", 5)}, Add, via("192.0.2.2", 4), []string{"192.0.2.2", "192.0.2.1"}, nil},
		{"append", []Route{via("192.0.2.1", 5)}, Append, via("192.0.2.2", 5), []string{"192.0.2.1", "192.0.2.2"}, nil},
		{"append the same", []Route{via("192.0.2.1", 5)}, Append, via("192.0.2.1", 5), nil, ErrExists},
		{"replace", []Route{via("192.0.2.1", 5)}, Replace, via("192.0.2.2", 5), []string{"192.0.2.2"}, nil},
		{"replace makes one", []Route{via("192.0.2.1", 5)}, Replace, via("192.0.2.2", 6), []string{"192.0.2.1", "192.0.2.2"}, nil},
		{"change", []Route{via("192.0.2.1", 5)}, Change, via("192.0.2.2", 5), []string{"192.0.2.2"}, nil},
		{"change nothing", []Route{via("192.0.2.1", 5)}, Change, via("192.0.2.2", 6), nil, ErrNoEntry},
	} {
		t.Run(c.name, func(t *testing.T) {
			var list []*Route
			for _, r := range c.list {
				var err error
				if list, err = rib.Insert(list, Append, r); err != nil {
					t.Fatal(err)
				}
			}
			got, err := rib.Insert(list, c.op, c.r)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			var gateways []string
			for _, r := range got {
				gateways = append(gateways, r.Gateway().String())
			}
			if !slices.Equal(gateways, c.want) {
				t.Errorf("%v, want %v", gateways, c.want)
			}
		})
	}
}

// TestInsert6: what IPv6 does otherwise (fib6_add_rt2node of the kernel): gateways of one metric are one route, and a
// replacement takes the place of a route of its own sort first.
func TestInsert6(t *testing.T) {
	rib := newRIB()
	p := netip.MustParsePrefix("2001:db8::/32")
	via := func(gateway string) Way {
		return Way{Legs: []Leg{{Gateway: netip.MustParseAddr(gateway), Device: 1, Weight: 1}}}
	}
	var list []*Route
	for _, c := range []struct {
		op   Op
		way  Way
		want string // legs of each route
		err  error
	}{
		{Add, Way{Kind: Prohibit}, "0", nil},
		{Append, via("fe80::2"), "0 1", nil},
		{Append, via("fe80::3"), "0 2", nil},
		{Append, via("fe80::3"), "0 2", ErrExists},
		{Add, via("fe80::4"), "0 2", ErrExists},
		{Replace, via("fe80::4"), "0 1", nil},
		{Replace, Way{Kind: Blackhole}, "0 1", nil},
		{Append, direct(0, 1), "0 1 1", nil},
		{Replace, direct(0, 2), "1 1 1", nil},
		{Change, via("fe80::5"), "1 1 1", nil},
	} {
		next, err := rib.Insert(list, c.op, Route{Prefix: p, Way: rib.Way(c.way)})
		if !errors.Is(err, c.err) {
			t.Fatalf("%+v: error %v", c, err)
		}
		if err == nil {
			list = next
		}
		var legs []string
		for _, r := range list {
			legs = append(legs, strconv.Itoa(len(r.Legs)))
		}
		if got := strings.Join(legs, " "); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
