package fib

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"nsrouter/fib/poptrie"
)

// world is a RIB, its table, and devices that come and go.
type world struct {
	rib     *RIB
	table   *Table
	devices map[DeviceID]LinkState
	touched []netip.Prefix
}

func newWorld(epochs *Epochs) *world {
	w := &world{table: NewTable(TableOptions{Epochs: epochs}), devices: make(map[DeviceID]LinkState)}
	w.rib = NewRIB(func(d DeviceID) LinkState { return w.devices[d] })
	for d := DeviceID(1); d <= 5; d++ {
		w.devices[d] = LinkState{Up: true, Carrier: true}
	}
	return w
}

func (w *world) set(p netip.Prefix, list ...*Route) {
	w.rib.Set(p, list)
	w.touched = append(w.touched, p)
}

// route puts one route in place of all of its prefix.
func (w *world) route(prefix string, way Way) {
	p := netip.MustParsePrefix(prefix)
	w.set(p, &Route{Prefix: p, Way: w.rib.Way(way)})
}

func (w *world) carrier(d DeviceID, up bool) {
	w.devices[d] = LinkState{Up: true, Carrier: up}
	w.rib.Invalidate()
}

func (w *world) install(t rapid.TB) {
	t.Helper()
	if err := w.rib.Install(w.table, w.touched); err != nil {
		t.Fatal(err)
	}
	w.touched = w.touched[:0]
	w.rib.Release(w.table)
}

// shares tells how many buckets lead where for an address: "dev1 via 10.0.0.1 64, dev2 64".
func (w *world) shares(addr string) string {
	g := w.table.Lookup(netip.MustParseAddr(addr))
	if g == nil {
		return "none"
	}
	count := make(map[NextHop]int)
	for i := range g.Buckets() {
		count[*g.Pick(uint32(i))]++
	}
	var out []string
	for h, n := range count {
		out = append(out, fmt.Sprintf("%s %d", hopString(h), n))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func hopString(h NextHop) string {
	s := fmt.Sprintf("dev%d", h.Device)
	if h.Kind != Unicast {
		s = fmt.Sprintf("kind%d", h.Kind)
	}
	if h.Gateway != (Addr{}) {
		s += " via " + h.Gateway.Netip().String()
	}
	return s
}

func via(dev DeviceID, gateways ...string) Way {
	w := Way{}
	for _, g := range gateways {
		w.Legs = append(w.Legs, Leg{Gateway: netip.MustParseAddr(g), Device: dev, Weight: 1})
	}
	return w
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// golden is the naive table: the best usable route of each prefix, searched from end to end.
func (w *world) golden(a netip.Addr) []WeightedHop {
	best := -1
	var hops []WeightedHop
	for p, list := range w.rib.From(netip.Prefix{}) {
		if r := w.rib.Best(list); r != nil && p.Contains(a) && p.Bits() > best {
			best, hops = p.Bits(), w.rib.hops(r.Way)
		}
	}
	return hops
}

func (w *world) compare(t rapid.TB, addrs []netip.Addr) {
	t.Helper()
	for _, a := range addrs {
		want := w.golden(a)
		ids := []GroupID{^None}
		if a.Is4() {
			b := a.As4()
			w.table.Lookup4([]uint32{binary.BigEndian.Uint32(b[:])}, ids)
		} else {
			w.table.Lookup6([]Addr{AddrOf(a)}, ids)
		}
		g := w.table.Lookup(a)
		if (ids[0] == None) != (g == nil) || g != nil && w.table.Groups().Of(ids[0]) != g {
			t.Fatalf("%v: one by one %v, in a batch %d", a, g, ids[0])
		}
		if (g != nil) != (len(want) > 0) || g != nil && !g.leadsTo(want) {
			t.Fatalf("%v: leads to %v, want %+v", a, g, want)
		}
	}
}

// drawWay makes ways of all sorts, of few gateways and devices.
func drawWay(t *rapid.T, is6 bool) Way {
	w := Way{Metric: uint32(rapid.IntRange(0, 2).Draw(t, "metric"))}
	if rapid.IntRange(0, 9).Draw(t, "special") == 0 {
		w.Kind = rapid.SampledFrom([]Kind{Blackhole, Unreachable, Prohibit, Throw}).Draw(t, "kind")
		return w
	}
	if rapid.IntRange(0, 9).Draw(t, "object") == 0 {
		w.Object = ObjectID(rapid.IntRange(1, 4).Draw(t, "id"))
		return w
	}
	for range rapid.IntRange(1, 3).Draw(t, "legs") {
		w.Legs = append(w.Legs, drawLeg(t, is6))
	}
	return w
}

func drawLeg(t *rapid.T, is6 bool) Leg {
	l := Leg{
		Device: DeviceID(rapid.IntRange(0, 5).Draw(t, "device")),
		Weight: uint32(rapid.IntRange(1, 3).Draw(t, "weight")),
	}
	if l.Device == 0 || rapid.Bool().Draw(t, "gateway") {
		l.Gateway = netip.AddrFrom4([4]byte{10, 0, rapid.Byte().Draw(t, "third") & 3, rapid.Byte().Draw(t, "fourth")})
		if is6 {
			l.Gateway = netip.AddrFrom16([16]byte{0x20, 1, 15: rapid.Byte().Draw(t, "last")})
		}
	}
	return l
}

// TestInstall makes random changes of routes, objects and devices, several to an Install, and compares with the naive
// table. In the end nothing is left.
func TestInstall(t *testing.T) { rapid.Check(t, changes) }

// FuzzInstall is TestInstall driven by coverage.
func FuzzInstall(f *testing.F) { f.Fuzz(rapid.MakeFuzz(changes)) }

func changes(t *rapid.T) {
	w := newWorld(nil)
	var addrs []netip.Addr
	for range rapid.IntRange(1, 20).Draw(t, "installs") {
		for range rapid.IntRange(0, 10).Draw(t, "changes") {
			switch rapid.IntRange(0, 9).Draw(t, "change") {
			case 0:
				w.devices[DeviceID(rapid.IntRange(1, 5).Draw(t, "device"))] = LinkState{
					rapid.Bool().Draw(t, "up"), rapid.Bool().Draw(t, "carrier"),
				}
				w.rib.Invalidate()
			case 1:
				w.drawObject(t)
			default:
				p := drawPrefix(t)
				addrs = append(addrs, p.Addr())
				var list []*Route
				for i := range rapid.IntRange(0, 2).Draw(t, "routes") {
					list = append(list, &Route{Prefix: p, Way: w.rib.Way(drawWay(t, p.Addr().Is6())), Order: int64(i)})
				}
				slices.SortStableFunc(list, compareRoutes)
				w.set(p, list...)
			}
		}
		w.install(t)
		w.compare(t, addrs)
	}
	var all []netip.Prefix
	for p := range w.rib.From(netip.Prefix{}) {
		all = append(all, p)
	}
	for _, p := range all {
		w.set(p)
	}
	for id := range ObjectID(5) {
		w.rib.SetObject(id, nil)
	}
	w.install(t)
	b := w.rib
	n := len(b.ways) + len(b.users) + len(b.src) + len(b.byDev) + len(b.into) + len(b.tracked.uses) + len(b.tracked.sorted)
	if n+w.table.Len() != 0 {
		t.Fatalf("something is left: %+v, %d prefixes", b, w.table.Len())
	}
	if len(w.table.free) != w.table.used {
		t.Fatalf("of %d groups %d are free", w.table.used, len(w.table.free))
	}
}

func (w *world) drawObject(t *rapid.T) {
	o := &Object{ID: ObjectID(rapid.IntRange(1, 4).Draw(t, "id"))}
	switch rapid.IntRange(0, 3).Draw(t, "object") {
	case 0:
		o = nil
	case 1:
		o.Blackhole = true
	default:
		o.Leg = drawLeg(t, false)
	}
	id := ObjectID(rapid.IntRange(1, 3).Draw(t, "id"))
	if o != nil {
		o.ID = id
	}
	if rapid.Bool().Draw(t, "group") {
		id = 4
		o = &Object{ID: 4, Members: []Member{{1, 1}, {2, 2}, {3, 1}}}
	}
	w.rib.SetObject(id, o)
}

// TestLoad installs more routes at once than are put one by one.
func TestLoad(t *testing.T) {
	w := newWorld(nil)
	rnd := rand.New(rand.NewPCG(1, 1))
	var addrs []netip.Addr
	for i := range 3 * bulkFrom {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + i%200), byte(rnd.Uint32()), byte(rnd.Uint32())}), 24)
		if i%3 == 0 {
			p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, byte(i), byte(rnd.Uint32()), byte(rnd.Uint32())}), 40)
		}
		p = p.Masked()
		w.set(p, &Route{Prefix: p, Way: w.rib.Way(direct(0, DeviceID(1+i%5)))})
		if len(addrs) < 300 {
			addrs = append(addrs, p.Addr())
		}
	}
	w.install(t)
	w.compare(t, addrs)
	w.carrier(3, false)
	w.install(t)
	w.compare(t, addrs)
}

// TestMultipath: shares follow the weights; a next hop that fails moves its own flows only, and gets as many back.
func TestMultipath(t *testing.T) {
	w := newWorld(nil)
	way := via(1, "10.0.0.1", "10.0.0.2", "10.0.0.3")
	way.Legs[0].Weight, way.Legs[1].Device, way.Legs[2].Device = 2, 2, 3
	w.route("192.0.2.0/24", way)
	w.route("198.51.100.0/24", way)
	w.install(t)
	const all = "dev1 via 10.0.0.1 128, dev2 via 10.0.0.2 64, dev3 via 10.0.0.3 64"
	want(t, w.shares("192.0.2.1"), all)
	if w.table.Lookup(netip.MustParseAddr("192.0.2.1")) != w.table.Lookup(netip.MustParseAddr("198.51.100.1")) {
		t.Error("routes that say the same have groups of their own")
	}
	before := w.table.Lookup(netip.MustParseAddr("192.0.2.1"))
	w.carrier(2, false)
	w.install(t)
	after := w.table.Lookup(netip.MustParseAddr("192.0.2.1"))
	for i := range before.Buckets() {
		if was := *before.Pick(uint32(i)); was.Device != 2 && was != *after.Pick(uint32(i)) {
			t.Fatalf("bucket %d moved from %v to %v", i, was, *after.Pick(uint32(i)))
		}
	}
	want(t, w.shares("192.0.2.1"), "dev1 via 10.0.0.1 171, dev3 via 10.0.0.3 85")
	w.carrier(2, true)
	w.install(t)
	want(t, w.shares("192.0.2.1"), all)
	back := w.table.Lookup(netip.MustParseAddr("192.0.2.1"))
	for i := range before.Buckets() {
		if was, is := *before.Pick(uint32(i)), *back.Pick(uint32(i)); was != is {
			t.Fatalf("bucket %d came back to %v, it was %v", i, is, was)
		}
	}
	w.carrier(1, false)
	w.carrier(2, false)
	w.carrier(3, false)
	w.install(t)
	want(t, w.shares("192.0.2.1"), "none")
	w.carrier(3, true)
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev3 via 10.0.0.3 1")
	w.carrier(1, true)
	w.carrier(2, true)
	w.install(t)
	back = w.table.Lookup(netip.MustParseAddr("192.0.2.1"))
	for i := range before.Buckets() {
		if was, is := *before.Pick(uint32(i)), *back.Pick(uint32(i)); was != is {
			t.Fatalf("after all were away, bucket %d came back to %v, it was %v", i, is, was)
		}
	}
}

// TestSpread: hashes of many flows fill buckets evenly, whatever part of the flow differs.
func TestSpread(t *testing.T) {
	g := NewGroup([]WeightedHop{{NextHop{Device: 1}, 1}, {NextHop{Device: 2}, 1}, {NextHop{Device: 3}, 2}}, nil)
	base := Flow{
		Source: Addr4(0x0a000001), Destination: Addr4(0xc0000201), Protocol: 6, Ports: 1234<<16 | 80, HasPorts: true,
	}
	for name, differ := range map[string]func(*Flow, uint32){
		"source":      func(f *Flow, i uint32) { f.Source = Addr4(0x0a000000 + i) },
		"destination": func(f *Flow, i uint32) { f.Destination = Addr4(0xc0000000 + i*256) },
		"ports":       func(f *Flow, i uint32) { f.Ports = i<<16 | 443 },
		"port":        func(f *Flow, i uint32) { f.Ports = 443<<16 | i },
		"label":       func(f *Flow, i uint32) { f.HasPorts, f.Label = false, i },
		"IPv6":        func(f *Flow, i uint32) { f.Source = Addr{0x20010db8 << 32, uint64(i) << 32} },
	} {
		count := make(map[DeviceID]int)
		const n = 40000
		for i := range uint32(n) {
			f := base
			differ(&f, i)
			count[g.Pick(f.Hash(HashFiveTuple, 7)).Device]++
		}
		for d, share := range map[DeviceID]float64{1: .25, 2: .25, 3: .5} {
			if got := float64(count[d]) / n; math.Abs(got-share) > .02 {
				t.Errorf("flows by %s: next hop %d has %.3f of them, want %.3f", name, d, got, share)
			}
		}
	}
}

// TestRecursive: gateways that are routed follow the routes that lead to them.
func TestRecursive(t *testing.T) {
	w := newWorld(nil)
	w.route("10.0.1.0/24", direct(0, 1))
	w.route("10.0.2.0/24", direct(0, 2))
	w.route("172.16.0.0/16", via(1, "10.0.1.9"))
	w.route("192.0.2.0/24", via(0, "172.16.0.1"))
	w.route("198.51.100.0/24", via(0, "192.0.2.7")) // two steps
	w.route("203.0.113.0/24", via(0, "10.0.2.5"))   // one that is on the link
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev1 via 10.0.1.9 1")
	want(t, w.shares("198.51.100.1"), "dev1 via 10.0.1.9 1")
	want(t, w.shares("203.0.113.1"), "dev2 via 10.0.2.5 1")

	group := w.rib.Get(netip.MustParsePrefix("198.51.100.0/24"))[0].Group()
	w.route("172.16.0.0/24", via(2, "10.0.2.8", "10.0.2.9")) // a longer one
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev2 via 10.0.2.8 64, dev2 via 10.0.2.9 64")
	want(t, w.shares("198.51.100.1"), "dev2 via 10.0.2.8 64, dev2 via 10.0.2.9 64")
	if got := w.rib.Get(netip.MustParsePrefix("198.51.100.0/24"))[0].Group(); got != group {
		t.Errorf("the prefix got group %d for %d: its group should have changed", got, group)
	}
	w.carrier(2, false)
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev1 via 10.0.1.9 1")
	want(t, w.shares("203.0.113.1"), "none")
	w.set(netip.MustParsePrefix("172.16.0.0/16"))
	w.install(t)
	want(t, w.shares("198.51.100.1"), "none")
	w.route("172.16.0.0/16", Way{Kind: Blackhole})
	w.install(t)
	want(t, w.shares("198.51.100.1"), "kind4 1")
}

// TestLoops: a route that its own gateway is looked up by is told from one that is not.
func TestLoops(t *testing.T) {
	w := newWorld(nil)
	w.route("0.0.0.0/0", via(1, "10.0.0.1"))
	loops := func(prefix, gateway string) bool {
		p := netip.MustParsePrefix(prefix)
		way := w.rib.Way(via(0, gateway))
		old := w.rib.Get(p)
		w.rib.Set(p, []*Route{{Prefix: p, Way: way}})
		defer func() { w.rib.Set(p, old) }()
		return errors.Is(w.rib.CheckRecursion(p, way), ErrLoop)
	}
	for _, c := range []struct {
		prefix, gateway string
		want            bool
	}{
		{"192.0.2.0/24", "192.0.2.1", true},
		{"192.0.2.0/24", "198.51.100.1", false},
		{"192.0.0.0/8", "192.0.2.1", true},
	} {
		if got := loops(c.prefix, c.gateway); got != c.want {
			t.Errorf("%s via %s: %v", c.prefix, c.gateway, got)
		}
	}
	w.route("192.0.2.0/24", via(0, "198.51.100.1"))
	w.install(t)
	if !loops("198.51.100.0/24", "192.0.2.1") {
		t.Error("two routes by each other are no loop")
	}
	// A loop that a removal brings about leads nowhere, wherever one begins to look.
	w.route("198.51.100.0/25", direct(0, 1))
	w.route("198.51.100.0/24", via(0, "192.0.2.1"))
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev1 via 198.51.100.1 1")
	w.set(netip.MustParsePrefix("198.51.100.0/25"))
	for range 20 {
		w.rib.Invalidate()
		w.install(t)
		want(t, w.shares("192.0.2.1"), "dev1 via 10.0.0.1 1") // of the default route
		want(t, w.shares("198.51.100.1"), "dev1 via 10.0.0.1 1")
	}
	if n := w.table.Len(); n != 1 {
		t.Errorf("%d prefixes are in the table", n)
	}
}

// TestHeight: routes that follow each other are counted when they are put, and all that were put are used.
func TestHeight(t *testing.T) {
	w := newWorld(nil)
	w.route("10.0.0.0/24", direct(0, 1))
	gateway := "10.0.0.1"
	for i := range MaxHeight + 2 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i), 0}), 24)
		way := w.rib.Way(via(0, gateway))
		w.set(p, &Route{Prefix: p, Way: way})
		err := w.rib.CheckRecursion(p, way)
		if deep := i >= MaxHeight; deep != errors.Is(err, ErrDeep) {
			t.Fatalf("route %d: %v", i, err)
		}
		gateway = p.Addr().Next().String()
	}
	w.install(t)
	if n := w.table.Len(); n != MaxHeight+3 {
		t.Errorf("%d prefixes are in the table", n)
	}
}

// TestLayers: routes by two gateways each, which are routed by two gateways each, and so on; the last layer leads back to
// the first. All of it is walked once.
func TestLayers(t *testing.T) {
	w := newWorld(nil)
	const layers = 200
	prefix := func(layer, i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(16 + i), byte(layer), 0}), 24)
	}
	for layer := range layers {
		next := (layer + 1) % layers
		for i := range 2 {
			p := prefix(layer, i)
			way := w.rib.Way(via(0, prefix(next, 0).Addr().Next().String(), prefix(next, 1).Addr().Next().String()))
			w.set(p, &Route{Prefix: p, Way: way})
			if err := w.rib.CheckRecursion(p, way); (err != nil) != (layer == layers-1) {
				t.Fatalf("layer %d: %v", layer, err)
			}
		}
	}
	w.install(t)
	if n := w.table.Len(); n != 0 {
		t.Errorf("%d prefixes are in the table", n)
	}
}

// TestManyLegs: the next hops of many recursive legs are merged.
func TestManyLegs(t *testing.T) {
	w := newWorld(nil)
	base, many := Way{}, Way{}
	for i := range 256 {
		base.Legs = append(base.Legs, Leg{Device: 1, Weight: 1, Gateway: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})})
	}
	for i := range MaxHops {
		l := Leg{Weight: 1, Gateway: netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)})}
		many.Legs = append(many.Legs, l)
	}
	w.route("172.16.0.0/12", base)
	w.route("192.0.2.0/24", many)
	w.install(t)
	if n := len(w.table.Lookup(netip.MustParseAddr("192.0.2.1")).Hops()); n != 256 {
		t.Errorf("%d next hops", n)
	}
}

// TestNoMemory: what the table has no room for stays as it was, with its group, and comes when there is room.
func TestNoMemory(t *testing.T) {
	for _, n := range []int{bulkFrom - 100, 5 * bulkFrom} {
		w := newWorld(nil)
		var err error
		if w.table.v4, err = poptrie.New(poptrie.IPv4, poptrie.Options{MemoryLimit: 40 << 10}); err != nil {
			t.Fatal(err)
		}
		prefix := func(i int) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
		}
		fill := func(dev DeviceID, n int) error {
			for i := range n {
				w.set(prefix(i), &Route{Prefix: prefix(i), Way: w.rib.Way(direct(0, dev))})
			}
			err := w.rib.Install(w.table, w.touched)
			w.touched = w.touched[:0]
			w.rib.Release(w.table)
			return err
		}
		if err := fill(1, 100); err != nil {
			t.Fatal(err)
		}
		if err := fill(2, n); !errors.Is(err, poptrie.ErrMemory) {
			t.Fatalf("%d prefixes: %v", n, err)
		}
		for p, id := range w.table.All() {
			if h := w.table.Group(id).First(); h.Kind != Unicast || h.Device != 1 && h.Device != 2 {
				t.Fatalf("%s leads to %+v", p, h)
			}
		}
		for i := 100; i < n; i++ {
			w.set(prefix(i))
		}
		w.install(t)
		if got := w.shares("10.0.0.1"); got != "dev2 1" {
			t.Errorf("after there was room again: %s", got)
		}
	}
}

// TestObjects: a next-hop object changes all routes by it at once.
func TestObjects(t *testing.T) {
	w := newWorld(nil)
	leg := func(dev DeviceID, gateway string) Leg {
		return Leg{Gateway: netip.MustParseAddr(gateway), Device: dev, Weight: 1}
	}
	w.rib.SetObject(1, &Object{ID: 1, Leg: leg(1, "10.0.0.1")})
	w.rib.SetObject(2, &Object{ID: 2, Leg: leg(2, "10.0.0.2")})
	w.rib.SetObject(10, &Object{ID: 10, Members: []Member{{1, 3}, {2, 1}}})
	w.route("192.0.2.0/24", Way{Object: 10})
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev1 via 10.0.0.1 96, dev2 via 10.0.0.2 32")
	w.rib.SetObject(1, &Object{ID: 1, Leg: leg(3, "10.0.0.3")})
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev2 via 10.0.0.2 32, dev3 via 10.0.0.3 96")
	w.rib.SetObject(2, &Object{ID: 2, Leg: leg(0, "192.0.2.200")})
	if !errors.Is(w.rib.CheckObject(2), ErrLoop) {
		t.Error("an object that is looked up by its own route is no loop")
	}
	w.rib.SetObject(2, nil)
	w.install(t)
	want(t, w.shares("192.0.2.1"), "dev3 via 10.0.0.3 1")
}

// TestReaders: while one goroutine changes routes, readers only ever get the next hop that belongs to the prefix they
// asked for: ids are not used again while a reader holds them.
func TestReaders(t *testing.T) {
	epochs := new(Epochs)
	w := newWorld(epochs)
	const prefixes, generations = 100, 3000
	for d := range DeviceID(prefixes + 1) {
		w.devices[d] = LinkState{true, true}
	}
	prefix := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16) }
	set := func(i, generation int) {
		gateway := netip.AddrFrom4([4]byte{172, 16, byte(generation >> 8), byte(generation)})
		l := Leg{Device: DeviceID(i + 1), Weight: 1, Gateway: gateway}
		w.set(prefix(i), &Route{Prefix: prefix(i), Way: w.rib.Way(Way{Legs: []Leg{l}})})
	}
	for i := range prefixes {
		set(i, 0)
	}
	w.install(t)
	var stop atomic.Bool
	var wait sync.WaitGroup
	var rounds [2]atomic.Int64
	for n := range rounds {
		reader := epochs.Join()
		wait.Go(func() {
			defer epochs.Leave(reader)
			dst, ids := make([]uint32, prefixes), make([]GroupID, prefixes)
			for i := range dst {
				dst[i] = 10<<24 | uint32(i)<<16 | 7
			}
			for !stop.Load() {
				reader.Quiesce()
				w.table.Lookup4(dst, ids)
				groups := w.table.Groups()
				for i, id := range ids {
					if id == None || groups.Of(id).First().Device != DeviceID(i+1) {
						t.Errorf("prefix %d leads to %v", i, groups.Of(id))
						return
					}
				}
				rounds[n].Add(1)
				runtime.Gosched()
			}
			reader.Offline()
		})
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for generation := range generations {
		set(rnd.IntN(prefixes), generation)
		if err := w.rib.Install(w.table, w.touched); err != nil {
			t.Fatal(err)
		}
		w.touched = w.touched[:0]
		for n := range rounds { // what Datapath.Quiesce does
			for at := rounds[n].Load(); rounds[n].Load() < at+2 && !t.Failed(); {
				runtime.Gosched()
			}
		}
		w.rib.Release(w.table)
	}
	stop.Store(true)
	wait.Wait()
}

func BenchmarkInstall(b *testing.B) {
	w := newWorld(nil)
	rnd := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		for range 1000 {
			p := netip.PrefixFrom(
				netip.AddrFrom4([4]byte{byte(1 + rnd.IntN(200)), byte(rnd.Uint32()), byte(rnd.Uint32())}), 24)
			w.set(p, &Route{Prefix: p, Way: w.rib.Way(direct(0, DeviceID(1+rnd.IntN(5))))})
		}
		if err := w.rib.Install(w.table, w.touched); err != nil {
			b.Fatal(err)
		}
		w.touched = w.touched[:0]
		w.rib.Release(w.table)
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "routes/s")
}
