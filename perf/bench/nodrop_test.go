package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBisect finds the capacity of simulated devices, from first guesses that are far off and near.
func TestBisect(t *testing.T) {
	for _, capacity := range []float64{1_000, 777_777, 12_345_678} {
		for _, guess := range []float64{0.01, 0.3, 0.99, 1, 1.01, 7, 400} {
			trials := 0
			got := bisect(capacity*guess, 0.02, func(rate float64) bool {
				trials++
				return rate <= capacity
			})
			if got > capacity || got < 0.98*capacity {
				t.Errorf("capacity %v, first tried at %v of it: found %v", capacity, guess, got)
			}
			if limit := 8 + int(2*math.Abs(math.Log2(guess))); trials > limit {
				t.Errorf("capacity %v, first tried at %v of it: %d trials, want at most %d", capacity, guess, trials, limit)
			}
		}
	}
}

// TestBisectNoise: a device that fails now and then below its capacity, and never passes above, is found too low at times, but
// never too high, and with three tries at each rate nearly always right.
func TestBisectNoise(t *testing.T) {
	const capacity, runs = 800_000, 1000
	rnd := rand.New(rand.NewPCG(3, 4))
	right := 0
	for range runs {
		got := bisect(500_000, 0.02, func(rate float64) bool {
			for range tries {
				if rate <= capacity && rnd.Float64() < 0.9 {
					return true
				}
			}
			return false
		})
		if got > capacity {
			t.Fatalf("found %v of %v", got, capacity)
		}
		if got >= 0.98*capacity {
			right++
		}
	}
	if right < runs*95/100 {
		t.Errorf("%d of %d runs found the capacity", right, runs)
	}
}

// TestBisectEnds: what never passes, and what always does, end the search.
func TestBisectEnds(t *testing.T) {
	for _, passes := range []bool{false, true} {
		got := bisect(1000, 0.02, func(float64) bool { return passes })
		if passes && (got < 100_000 || got > 1e6) || !passes && got != 0 {
			t.Errorf("always %t: found %v", passes, got)
		}
	}
	if got := bisect(0, 0.02, func(float64) bool { t.Error("rate 0 is tried"); return true }); got != 0 {
		t.Errorf("first rate 0: found %v", got)
	}
}
