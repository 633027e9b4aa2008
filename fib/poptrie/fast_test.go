package poptrie

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
)

// fastTest is a table beside its oracle.
type fastTest struct {
	*Table
	oracle *bart.Table[ID]
	keys   []Addr
}

func newFastTest(t *testing.T, o Options) *fastTest {
	return &fastTest{newTable(t, IPv4, o), new(bart.Table[ID]), under(realTable(IPv4), rand.New(rand.NewPCG(4, 4)), 10_000)}
}

func (f *fastTest) load(t *testing.T, routes []route) {
	t.Helper()
	if err := f.Load(seq(routes)); err != nil {
		t.Fatal(err)
	}
	f.oracle = new(bart.Table[ID])
	for _, r := range routes {
		f.oracle.Insert(r.prefix, r.id)
	}
}

func (f *fastTest) insert(t *testing.T, p netip.Prefix, id ID) {
	t.Helper()
	if err := f.Insert(p, id); err != nil {
		t.Fatal(err)
	}
	f.oracle.Insert(p, id)
}

func (f *fastTest) check(t *testing.T, root uint8, b *Budget, left int) {
	t.Helper()
	if got := f.Memory().RootBits; got != root || b.Left() != left {
		t.Errorf("%d prefixes: root of %d bits, %d bytes left, want %d and %d", f.Len(), got, b.Left(), root, left)
	}
	compare(t, f.Table, f.oracle, f.keys)
}

// TestFast takes two tables through a budget for one fast root.
func TestFast(t *testing.T) {
	b := NewBudget(fastCost)
	first, second := newFastTest(t, Options{Fast: b}), newFastTest(t, Options{Fast: b})
	routes := realTable(IPv4)
	some := sample(routes, fastMin)
	another := netip.MustParsePrefix("240.1.0.0/25")

	first.load(t, some)
	first.check(t, largeBits, b, fastCost)
	first.insert(t, another, 7)
	first.check(t, maxBits, b, 0)
	first.insert(t, another, maxNarrow+1) // and a wide one
	first.check(t, maxBits, b, 0)
	second.load(t, sample(routes, 300_000))
	second.check(t, largeBits, b, 0)
	first.load(t, routes)
	first.check(t, maxBits, b, 0)
	first.load(t, some[:1000])
	first.check(t, mediumBits, b, fastCost)

	second.insert(t, another, 8)
	second.check(t, maxBits, b, 0)
	for _, r := range sample(routes, 300_000)[:300_000-fastMin/2+1] {
		second.oracle.Delete(r.prefix)
		if _, err := second.Delete(r.prefix); err != nil {
			t.Fatal(err)
		}
	}
	second.check(t, largeBits, b, fastCost)
	second.load(t, routes)
	second.check(t, maxBits, b, 0)
	second.Close()
	if left := b.Left(); left != fastCost {
		t.Errorf("%d bytes left when the table is closed, want %d", left, fastCost)
	}
}

// TestFastAtLimit gives tables a budget that their own limit leaves no room for, at once or later.
func TestFastAtLimit(t *testing.T) {
	b := NewBudget(2 * fastCost)
	f := newFastTest(t, Options{Fast: b, MemoryLimit: fastCost})
	f.load(t, realTable(IPv4))
	f.check(t, largeBits, b, 2*fastCost)

	g := newFastTest(t, Options{Fast: b})
	g.load(t, sample(realTable(IPv4), 300_000))
	g.check(t, maxBits, b, fastCost)
	g.limit = g.held()
	for i := range uint32(1 << 14) {
		g.insert(t, IPv4.prefix(Addr{Hi: 240<<56 | uint64(i)<<40}, 24), 1+i%5)
	}
	for i := range uint32(1 << 14) {
		g.insert(t, IPv4.prefix(Addr{Hi: 241<<56 | uint64(i)<<38}, 26), 1+i%5)
	}
	g.check(t, largeBits, b, 2*fastCost)
}
