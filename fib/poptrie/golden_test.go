package poptrie

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// golden is the naive table that every test compares with.
type golden map[netip.Prefix]ID

func (g golden) lookup(a netip.Addr) ID {
	for n := a.BitLen(); n >= 0; n-- {
		p, _ := a.Prefix(n)
		if id := g[p]; id != 0 {
			return id
		}
	}
	return 0
}

func newTable(t testing.TB, f Family, o Options) *Table {
	t.Helper()
	tbl, err := New(f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tbl.Close)
	return tbl
}

// addrOf is the address of a key.
func addrOf(f Family, k Addr) netip.Addr {
	n := uint8(32)
	if f == IPv6 {
		n = 128
	}
	return f.prefix(k.mask(n), n).Addr()
}

// lookWith looks a batch up with a given kernel, however short the batch.
func lookWith(tbl *Table, kernel Kernel, keys []Addr, ids []ID) {
	dst := make([]uint32, len(keys))
	for i, k := range keys {
		dst[i] = uint32(k.Hi >> 32)
	}
	s := tbl.current.Load()
	if tbl.family == IPv4 {
		look4(s, kernel, dst, ids)
	} else {
		look6(s, kernel, keys, ids)
	}
	tbl.fallBack(ids)
}

func look4(s *space, kernel Kernel, dst []uint32, ids []ID) {
	map[Kernel]func(*space, []uint32, []ID){
		Plain: lookupPlain4, BMI2: lookupPlain4, AVX512: lookupVector[uint32],
	}[kernel](s, dst, ids)
}

func look6(s *space, kernel Kernel, dst []Addr, ids []ID) {
	map[Kernel]func(*space, []Addr, []ID){
		Plain: lookupPlain6, BMI2: lookupWalk6, AVX512: lookupVector[Addr],
	}[kernel](s, dst, ids)
}

// batchIDs looks addresses up in batches of several sizes and with all kernels, which must agree, and agree with the single look-up.
func batchIDs(t rapid.TB, tbl *Table, keys []Addr) []ID {
	t.Helper()
	ids := make([]ID, len(keys))
	for i, k := range keys {
		ids[i] = tbl.Lookup(addrOf(tbl.family, k))
	}
	for _, kernel := range kernels() {
		for _, size := range []int{len(keys), 7, 83} {
			const untouched = leafBit | 77
			got := slices.Repeat([]ID{untouched}, len(keys)+1)
			for i := 0; i < len(keys); i += size {
				end := min(i+size, len(keys))
				lookWith(tbl, kernel, keys[i:end], got[i:end])
				if got[end] != untouched {
					t.Fatalf("%s: %d addresses looked up, %d answered", kernel, end-i, end-i+1)
				}
			}
			for i, k := range keys {
				if ids[i] != got[i] {
					t.Fatalf("%v: %d in a batch of %d by kernel %s, %d singly", addrOf(tbl.family, k), got[i], size, kernel, ids[i])
				}
			}
		}
	}
	return ids
}

// probes are addresses at and round the borders of prefixes, and random ones.
func probes(f Family, prefixes []netip.Prefix, rnd *rand.Rand, n int) []Addr {
	var keys []Addr
	for _, p := range prefixes {
		first := keyOf(p.Addr())
		last := first
		m := Addr{^uint64(0), ^uint64(0)}
		host := m.mask(uint8(p.Bits()))
		last.Hi, last.Lo = last.Hi|^host.Hi, last.Lo|^host.Lo
		keys = append(keys, first, last)
		if a := p.Addr().Prev(); a.IsValid() {
			keys = append(keys, keyOf(a))
		}
		if a := addrOf(f, last).Next(); a.IsValid() {
			keys = append(keys, keyOf(a))
		}
	}
	for range n {
		keys = append(keys, Addr{rnd.Uint64(), rnd.Uint64()})
	}
	if f == IPv4 {
		for i := range keys {
			keys[i] = Addr{Hi: keys[i].Hi &^ (1<<32 - 1)}
		}
	}
	return keys
}

// check compares a table with the golden one.
func check(t rapid.TB, tbl *Table, g golden, keys []Addr) {
	t.Helper()
	if tbl.Len() != len(g) {
		t.Fatalf("%d prefixes, want %d", tbl.Len(), len(g))
	}
	ids := batchIDs(t, tbl, keys)
	for i, k := range keys {
		a := addrOf(tbl.family, k)
		if want := g.lookup(a); ids[i] != want {
			t.Fatalf("%v: id %d, want %d", a, ids[i], want)
		}
		p, id, ok := tbl.Match(a)
		if id != ids[i] || ok != (id != 0) || ok && g[p] != id {
			t.Fatalf("Match(%v) = %v, %d, %v; looked up %d", a, p, id, ok, ids[i])
		}
	}
	var last netip.Prefix
	for p, id := range tbl.All() {
		if g[p] != id {
			t.Fatalf("All: %v is %d, want %d", p, id, g[p])
		}
		if last.IsValid() && !less(keyOf(last.Addr()), uint8(last.Bits()), keyOf(p.Addr()), uint8(p.Bits())) {
			t.Fatalf("All: %v comes before %v", last, p)
		}
		last = p
		if got, ok := tbl.Get(p); !ok || got != id {
			t.Fatalf("Get(%v) = %d, %v, want %d", p, got, ok, id)
		}
	}
}

// dense draws prefixes from a few bits at a few places, so that they nest, adjoin and come again.
func dense(f Family) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		width := 32
		if f == IPv6 {
			width = 128
		}
		base := rapid.SampledFrom([]Addr{{Hi: 0x0a << 56}, {Hi: 0x0aff << 48}, {Hi: 0x20010db8 << 32}, {}}).Draw(t, "base")
		at := rapid.SampledFrom([]int{0, 4, 10, 16, 22, 52, 58, 64, 118}).Draw(t, "at")
		k := base
		x := rapid.Uint64Range(0, 1023).Draw(t, "bits")
		if at < 54 {
			k.Hi ^= x << (54 - at)
		} else if at >= 64 {
			k.Lo ^= x << (118 - at)
		} else {
			k.Hi ^= x >> (at - 54)
			k.Lo ^= x << (118 - at)
		}
		n := rapid.IntRange(0, width).Draw(t, "len")
		if rapid.Bool().Draw(t, "near") {
			n = min(width, at+rapid.IntRange(0, 12).Draw(t, "rel"))
		}
		return f.prefix(k.mask(uint8(n)), uint8(n))
	})
}

// operations changes a table and the golden one alike, and compares them.
func operations(t *rapid.T, f Family) {
	e := new(Epochs)
	reader := e.Join()
	tbl, err := New(f, Options{Grace: e, RootBits: rapid.SampledFrom([]uint8{0, 0, 12, 17, 18}).Draw(t, "root")})
	if err != nil {
		t.Fatal(err)
	}
	defer tbl.Close()
	g := golden{}
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	fill := rapid.SampledFrom([]int{0, 0, 60, 200, 4090}).Draw(t, "fill")
	for len(g) < fill { // a background that brings the table near a change of form
		n := uint8(8 + rnd.IntN(25))
		p := f.prefix(Addr{Hi: rnd.Uint64()}.mask(n), n)
		g[p] = ID(1 + rnd.IntN(9))
		if err := tbl.Insert(p, g[p]); err != nil {
			t.Fatal(err)
		}
	}
	prefix, id := dense(f), rapid.SampledFrom([]ID{1, 2, 3, 4, 65535, 65536, maxID})
	var touched []netip.Prefix
	t.Repeat(map[string]func(*rapid.T){
		"insert": func(t *rapid.T) {
			p, id := prefix.Draw(t, "prefix"), id.Draw(t, "id")
			if err := tbl.Insert(p, id); err != nil {
				t.Fatal(err)
			}
			g[p] = id
			touched = append(touched, p)
		},
		"delete": func(t *rapid.T) {
			p := prefix.Draw(t, "prefix")
			if len(touched) > 0 && rapid.Bool().Draw(t, "known") {
				p = rapid.SampledFrom(touched).Draw(t, "prefix")
			}
			there, err := tbl.Delete(p)
			if err != nil || there != (g[p] != 0) {
				t.Fatalf("Delete(%v) = %v, %v, want %v", p, there, err, g[p] != 0)
			}
			delete(g, p)
		},
		"load": func(t *rapid.T) {
			if err := tbl.Load(g.all); err != nil {
				t.Fatal(err)
			}
		},
		"quiesce": func(*rapid.T) { reader.Quiesce() },
		"offline": func(*rapid.T) { reader.Offline() },
		"": func(t *rapid.T) {
			if len(touched) > 0 {
				check(t, tbl, g, probes(f, touched[max(0, len(touched)-8):], rnd, 4))
			}
		},
	})
	check(t, tbl, g, probes(f, touched, rnd, 100))
}

func TestOperations4(t *testing.T) { rapid.Check(t, func(t *rapid.T) { operations(t, IPv4) }) }

func TestOperations6(t *testing.T) { rapid.Check(t, func(t *rapid.T) { operations(t, IPv6) }) }
