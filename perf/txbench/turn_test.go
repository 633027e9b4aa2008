package main

import (
	"testing"
	"time"

	"nsrouter/dataplane/frame"
	"nsrouter/internal/lab"
)

// TestVariants: names tell variants apart, and the kernel takes the sizes.
func TestVariants(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range variants(false) {
		switch {
		case seen[v.name]:
			t.Errorf("%s is there twice", v.name)
		case v.ring&(v.ring-1) != 0:
			t.Errorf("%s: a ring of %d entries: want a power of two", v.name, v.ring)
		case v.frames > maxFrames || v.length > frameSize || v.batch > v.frames:
			t.Errorf("%s: %+v does not fit", v.name, v)
		}
		seen[v.name] = true
	}
	for _, v := range variants(true) {
		if !seen[v.name] {
			t.Errorf("%s is measured only in a short run", v.name)
		}
	}
}

// TestTurn: each kind of sink takes packets, and costs CPU time.
func TestTurn(t *testing.T) {
	o := options{cpu: 1, apartCPU: 0, measure: 100 * time.Millisecond}
	l := lab.New(t)
	pool, err := frame.NewPool(maxFrames)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for s := threadHere; s <= plain; s++ {
		w := newWire(t, l, s, o)
		v := asRouter()
		v.sink = s
		for range 2 { // the second finds the queue of the first
			m, err := w.turn(&v, pool.Bytes(), o)
			if err != nil {
				t.Fatal(err)
			}
			if m.rate <= 0 || m.sender <= 0 || m.both < m.sender {
				t.Errorf("sink %d: %+v", s, m)
			}
			if m.lost < 0 || m.lost > 100 {
				t.Errorf("sink %d: %v %% lost", s, m.lost)
			}
		}
	}
}
