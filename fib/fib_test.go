package fib

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// golden is the naive table: all prefixes, searched from end to end.
type golden map[netip.Prefix]NextHop

func (g golden) lookup(a netip.Addr) (hop NextHop, ok bool) {
	best := -1
	for p, h := range g {
		if p.Contains(a) && p.Bits() > best {
			best, hop, ok = p.Bits(), h, true
		}
	}
	return hop, ok
}

// compare checks every way of looking an address up against the golden table.
func (g golden) compare(t rapid.TB, s *Snapshot, addrs []netip.Addr) {
	t.Helper()
	for _, a := range addrs {
		want, ok := g.lookup(a)
		ids := []NextHopID{^None}
		if a.Is4() {
			b := a.As4()
			s.Lookup4([]uint32{binary.BigEndian.Uint32(b[:])}, ids)
		} else {
			s.Lookup6([]Addr{AddrOf(a)}, ids)
		}
		if single := s.Lookup(a); single != ids[0] {
			t.Fatalf("%v: one by one %d, in a batch %d", a, single, ids[0])
		}
		if (ids[0] != None) != ok || ok && *s.NextHop(ids[0]) != want {
			t.Fatalf("%v: id %d, want %+v %v", a, ids[0], want, ok)
		}
	}
	if s.Len() != len(g) {
		t.Fatalf("%d prefixes, want %d", s.Len(), len(g))
	}
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

func drawHop(t *rapid.T) NextHop {
	return NextHop{
		Kind: Kind(
			rapid.IntRange(0, int(Throw)).Draw(t, "kind"),
		), Device: DeviceID(rapid.IntRange(0, 5).Draw(t, "device")),
		Gateway: Addr4(uint32(rapid.IntRange(0, 20).Draw(t, "gateway"))),
	}
}

// TestTable compares random updates, several in a publication, with the golden table; snapshots taken before an update
// stay as they were.
func TestTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, g := NewTable(), golden{}
		var addrs []netip.Addr
		type old struct {
			s *Snapshot
			g golden
		}
		var olds []old
		for range rapid.IntRange(1, 20).Draw(t, "updates") {
			olds = append(olds, old{table.Load(), cloned(g)})
			table.Update(func(w *Writer) {
				for range rapid.IntRange(0, 10).Draw(t, "changes") {
					p := drawPrefix(t)
					addrs = append(addrs, p.Addr())
					if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
						w.Delete(p)
						delete(g, p)
						continue
					}
					h := drawHop(t)
					w.Insert(p, h)
					g[p] = h
				}
			})
			g.compare(t, table.Load(), addrs)
		}
		for _, o := range olds {
			o.g.compare(t, o.s, addrs)
		}
		table.Update(func(w *Writer) {
			for p := range g {
				w.Delete(p)
			}
		})
		if n := len(table.ids); n != 0 {
			t.Fatalf("%d next hops are left without a prefix", n)
		}
	})
}

func cloned(g golden) golden {
	c := make(golden, len(g))
	for p, h := range g {
		c[p] = h
	}
	return c
}

// TestReaders: while one goroutine changes next hops, readers only ever get the hop that belongs to the prefix they
// asked for.
func TestReaders(t *testing.T) {
	table := NewTable()
	prefix := func(i int) netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16) }
	hop := func(i, generation int) NextHop {
		return NextHop{Device: DeviceID(i + 1), Gateway: Addr4(uint32(generation))}
	}
	table.Update(func(w *Writer) {
		for i := range 100 {
			w.Insert(prefix(i), hop(i, 0))
		}
	})
	var stop atomic.Bool
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			dst, ids := make([]uint32, 100), make([]NextHopID, 100)
			for i := range dst {
				dst[i] = 10<<24 | uint32(i)<<16 | 7
			}
			for !stop.Load() {
				s := table.Load()
				s.Lookup4(dst, ids)
				for i, id := range ids {
					if id == None || s.NextHop(id).Device != DeviceID(i+1) {
						t.Errorf("prefix %d leads to %+v", i, *s.NextHop(id))
						return
					}
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	for generation := range 3000 {
		i := rnd.IntN(100)
		table.Update(func(w *Writer) { w.Insert(prefix(i), hop(i, generation)) })
	}
	stop.Store(true)
	wait.Wait()
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
		rib, model := NewRIB(), map[netip.Prefix][]*Route{}
		for range rapid.IntRange(1, 200).Draw(t, "operations") {
			p := drawPrefix(t)
			var list []*Route
			for i := range rapid.IntRange(0, 2).Draw(t, "routes") {
				list = append(list, &Route{Prefix: p, Metric: uint32(i), Device: 1})
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
		rib := NewRIB()
		for _, i := range order {
			rib.Set(prefix(i), []*Route{{Prefix: prefix(i)}})
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

func BenchmarkUpdate(b *testing.B) {
	table := NewTable()
	rnd := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for b.Loop() {
		table.Update(func(w *Writer) {
			for range 1000 {
				p := netip.PrefixFrom(
					netip.AddrFrom4([4]byte{byte(1 + rnd.IntN(200)), byte(rnd.Uint32()), byte(rnd.Uint32())}),
					24,
				)
				w.Insert(p, NextHop{Device: 1, Gateway: Addr4(rnd.Uint32() % 250)})
			}
		})
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "routes/s")
}

// TestInsert: `ip route add|replace|append|change` on a list of one prefix, as fib_table_insert of the kernel does it.
func TestInsert(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.0/8")
	via := func(gateway string, metric uint32) Route {
		return Route{Prefix: p, Gateway: netip.MustParseAddr(gateway), Device: 1, Metric: metric}
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
				if list, err = Insert(list, Append, r); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Insert(list, c.op, c.r)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			var gateways []string
			for _, r := range got {
				gateways = append(gateways, r.Gateway.String())
			}
			if !slices.Equal(gateways, c.want) {
				t.Errorf("%v, want %v", gateways, c.want)
			}
		})
	}
}
