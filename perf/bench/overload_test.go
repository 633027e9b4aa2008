package main

import (
	"slices"
	"testing"
)

// TestOverloadSteps has sources of several strengths offer multiples to a device that forwards less the more it is offered.
func TestOverloadSteps(t *testing.T) {
	const capacity = 1000
	device := func(strength float64) func(rate float64) result {
		return func(rate float64) result {
			offered := strength
			if rate > 0 {
				offered = min(rate, strength)
			}
			return result{offered: offered, forwarded: min(offered, capacity) - offered/100}
		}
	}
	for _, c := range []struct {
		strength float64
		times    []float64
	}{
		{20_000, []float64{1, 2, 3, 5, 10}},
		{7_300, []float64{1, 2, 3, 5, 7}},
		{5_100, []float64{1, 2, 3, 5}}, // the flood is no other multiple than 5
		{4_500, []float64{1, 2, 3, 4}},
		{2_500, []float64{1, 2}},
		{900, []float64{1}}, // as on a machine that others use
	} {
		peak := 990.
		var times []float64
		for _, s := range overloadSteps(&peak, device(c.strength)) {
			times = append(times, s.times)
			if least := min(c.strength, capacity) - c.strength/100 - 1; s.forwarded < least || s.forwarded > capacity {
				t.Errorf("source of %v, x%v: forwarded %v, want %v to %v", c.strength, s.times, s.forwarded, least, capacity)
			}
		}
		if !slices.Equal(times, c.times) {
			t.Errorf("source of %v: steps %v, want %v", c.strength, times, c.times)
		}
	}
	peak := 500. // too low: a step shows more
	overloadSteps(&peak, device(20_000))
	if peak < 980 {
		t.Errorf("peak %v, though a step showed 990", peak)
	}
}
