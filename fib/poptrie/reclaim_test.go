package poptrie

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// paused is a reader that was stopped right after it had loaded the root, and all answers that it may still give: those that were
// right at some time since.
type paused struct {
	space *space
	root  []uint32
	epoch uint64
	right []map[uint32]bool // by probe
}

// lookup goes on from where the reader was stopped, with each kernel.
func (p *paused) lookup(f Family, keys []Addr, each func(i int, id ID)) {
	s, fork := *p.space, Table{family: f}
	s.root = p.root
	fork.current.Store(&s)
	for _, kernel := range kernels() {
		ids := make([]ID, len(keys))
		lookWith(&fork, kernel, keys, ids)
		for i, id := range ids {
			each(i, id)
		}
	}
}

// pausedGrace is a [Grace] of paused readers. Unless it lies, it waits for each of them.
type pausedGrace struct {
	now     uint64
	readers []*paused
	lies    bool
}

func (g *pausedGrace) Advance() uint64 { g.now++; return g.now }

func (g *pausedGrace) Safe() uint64 {
	safe := g.now
	for _, r := range g.readers {
		if !g.lies {
			safe = min(safe, r.epoch)
		}
	}
	return safe
}

// pauseAndGoOn changes a table under paused readers, with everything used again at the first moment, and counts their wrong answers.
func pauseAndGoOn(t *testing.T, f Family, g *pausedGrace) (wrong int) {
	rnd := rand.New(rand.NewPCG(5, uint64(f)))
	tbl := newTable(t, f, Options{Grace: g, RootBits: mediumBits})
	all := golden{}
	base := keyOf(netip.MustParseAddr("10.0.0.0"))
	draw := func() netip.Prefix {
		n := uint8(13 + rnd.IntN(18))
		k := base
		k.Hi |= uint64(rnd.Uint32()&0x3f3f) << 38
		return f.prefix(k.mask(n), n)
	}
	var keys []Addr
	for range 40 {
		keys = append(keys, keyOf(draw().Addr()))
	}
	pause := func() *paused {
		s := tbl.current.Load()
		p := &paused{space: s, root: slices.Clone(s.root), epoch: g.now}
		for _, k := range keys {
			p.right = append(p.right, map[uint32]bool{all.lookup(addrOf(f, k)): true})
		}
		return p
	}
	for i := range 6000 {
		p := draw()
		if rnd.IntN(3) == 0 {
			if _, err := tbl.Delete(p); err != nil {
				t.Fatal(err)
			}
			delete(all, p)
		} else {
			id := ID(1 + rnd.IntN(1000))
			if err := tbl.Insert(p, id); err != nil {
				t.Fatal(err)
			}
			all[p] = id
		}
		tbl.Reclaim(g.Safe())
		for j, k := range keys {
			id := all.lookup(addrOf(f, k))
			if got := tbl.Lookup(addrOf(f, k)); got != id {
				t.Fatalf("%v: id %d, want %d", addrOf(f, k), got, id)
			}
			for _, r := range g.readers {
				r.right[j][id] = true
			}
		}
		for _, r := range g.readers {
			r.lookup(f, keys, func(j int, id ID) {
				if !r.right[j][id] {
					wrong++
				}
			})
		}
		if i%7 == 0 && len(g.readers) < 4 {
			g.readers = append(g.readers, pause())
		}
		if i%11 == 0 && len(g.readers) > 0 {
			j := rnd.IntN(len(g.readers))
			g.readers = slices.Delete(g.readers, j, j+1)
		}
	}
	return wrong
}

// TestPausedReaders stops readers at the worst place. That they go wrong where the grace periods are left out shows that the test
// would notice.
func TestPausedReaders(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		if n := pauseAndGoOn(t, f, &pausedGrace{}); n != 0 {
			t.Errorf("%v: %d wrong answers", f, n)
		}
		if n := pauseAndGoOn(t, f, &pausedGrace{lies: true}); n == 0 {
			t.Errorf("%v: no wrong answer without grace periods: the test has lost its teeth", f)
		}
	}
}

// TestStoppedReader keeps one reader from ever reporting: insertions must stay within the limit, all answers right, and all must go
// on when the reader is gone.
func TestStoppedReader(t *testing.T) {
	e := new(Epochs)
	reader := e.Join()
	reader.Quiesce()
	const limit = 12 << 20
	tbl := newTable(t, IPv4, Options{Grace: e, RootBits: largeBits, MemoryLimit: limit})
	rnd := rand.New(rand.NewPCG(8, 8))
	all := golden{}
	refused := 0
	for range 200_000 {
		p := IPv4.prefix(Addr{Hi: uint64(rnd.IntN(1<<9))<<40 | 10<<56}.mask(24), 24)
		p = netip.PrefixFrom(p.Addr(), 19+rnd.IntN(6)).Masked()
		id := ID(1 + rnd.IntN(4))
		before := tbl.held() // deletions may have passed the limit
		switch err := tbl.Insert(p, id); {
		case err != nil:
			refused++
		default:
			all[p] = id
		}
		if n := tbl.held(); n > max(limit, before) {
			t.Fatalf("%d bytes, limit %d, %d before", n, limit, before)
		}
		if rnd.IntN(4) > 0 && refused == 0 {
			if _, err := tbl.Delete(p); err != nil {
				t.Fatal(err)
			}
			delete(all, p)
		}
		if refused > 10 {
			break
		}
	}
	if refused == 0 {
		t.Error("no change was refused")
	}
	var prefixes []netip.Prefix
	for p := range all {
		prefixes = append(prefixes, p)
	}
	check(t, tbl, all, probes(IPv4, prefixes, rnd, 100))
	reader.Offline()
	p := netip.MustParsePrefix("192.0.2.0/24")
	if err := tbl.Insert(p, 9); err != nil {
		t.Fatal(err)
	}
	if n := tbl.Memory().Retired; n > 2*reclaimEvery {
		t.Errorf("%d blocks still wait", n)
	}
}
