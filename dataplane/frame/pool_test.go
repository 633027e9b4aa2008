package frame

import (
	"math/rand/v2"
	"sync"
	"testing"
)

func newPool(t *testing.T, frames int) *Pool {
	p, err := NewPool(frames)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// TestConserved: caches on several threads take and free frames at random, each other's too; at the end every frame is
// there, once.
func TestConserved(t *testing.T) {
	const frames, workers = 2048, 4
	p := newPool(t, frames)
	caches := make([]*Cache, workers)
	hand := make(chan uint64, 256) // frames that one worker passes to another
	var wait sync.WaitGroup
	for i := range caches {
		caches[i] = p.NewCache()
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		wait.Go(func() {
			c := caches[i]
			var mine []uint64
			for range 100_000 {
				switch rnd.IntN(4) {
				case 0, 1:
					if a, ok := c.Get(); ok {
						mine = append(mine, a)
					}
				case 2:
					if n := len(mine); n > 0 {
						select {
						case hand <- mine[n-1]:
							mine = mine[:n-1]
						default:
						}
					}
				case 3:
					select {
					case a := <-hand:
						c.Put(a + 99) // any address within the frame
					default:
					}
				}
				if len(mine) > 300 {
					for _, a := range mine {
						c.Put(a)
					}
					mine = mine[:0]
				}
			}
			for _, a := range mine {
				c.Put(a)
			}
		})
	}
	wait.Wait()
	close(hand)
	for a := range hand {
		caches[0].Put(a)
	}
	if n := p.Census(); n[Free] != frames {
		t.Errorf("census %v", n)
	}
	total := p.FreeInDepot()
	for _, c := range caches {
		total += c.Len()
	}
	if total != frames {
		t.Errorf("%d frames in caches and depot", total)
	}
	seen := make(map[uint64]bool)
	for _, c := range caches {
		for a, ok := c.Get(); ok; a, ok = c.Get() {
			if seen[a] {
				t.Fatalf("frame %d is there twice", a/Size)
			}
			seen[a] = true
		}
	}
	if len(seen) != frames {
		t.Errorf("%d frames can be had", len(seen))
	}
}

// TestOwnership: what the owner table forbids panics.
func TestOwnership(t *testing.T) {
	p := newPool(t, 64)
	c := p.NewCache()
	rx, err := p.AddOwner()
	if err != nil {
		t.Fatal(err)
	}
	panics := func(what string, f func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s does not panic", what)
			}
		}()
		f()
	}
	a, _ := c.Get()
	p.Lend(a, rx)
	panics("free of a lent frame", func() { c.Put(a) })
	panics("second loan", func() { p.Lend(a, rx) })
	p.Return(a+300, rx)
	panics("second return", func() { p.Return(a, rx) })
	c.Put(a)
	panics("double free", func() { c.Put(a) })

	for range 10 {
		a, _ := c.Get()
		p.Lend(a, rx)
	}
	if n := p.Reclaim(rx, c); n != 10 {
		t.Errorf("reclaimed %d", n)
	}
	if n := p.Census(); n[Free] != 64 {
		t.Errorf("census %v", n)
	}
}

// TestExhausted: an empty area gives nothing, and everything again later.
func TestExhausted(t *testing.T) {
	p := newPool(t, 100) // rounded up to 128
	c := p.NewCache()
	var all []uint64
	for a, ok := c.Get(); ok; a, ok = c.Get() {
		all = append(all, a)
	}
	if len(all) != 128 || p.Frames() != 128 || len(p.Bytes()) != 128*Size {
		t.Errorf("%d frames of %d, %d bytes", len(all), p.Frames(), len(p.Bytes()))
	}
	for _, a := range all {
		c.Put(a)
	}
	c.Drain()
	if c.Len() != 0 || p.FreeInDepot() != 128 {
		t.Errorf("%d left in the cache, %d in the depot", c.Len(), p.FreeInDepot())
	}
}
