package main

import (
	"fmt"
	"math"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

// overloads offers each contender more and more: first about what it forwards of a flood, to find its peak, then multiples of
// that peak, up to ten or what the source can.
func overloads(t lab.T, o options, tracks []*track, record recorder) {
	for round := range o.rounds {
		for _, tr := range tracks {
			tr.run()
			s := tr.sweep(t, o)
			tr.halt()
			record(tr, round+1, results.OverloadPeak, results.PacketsPerSecond, s.peak, s.quiet)
			fmt.Printf("  %-24s peak %s/s%s", tr.name, millions(s.peak), note(s.quiet))
			for _, step := range s.steps {
				record(tr, round+1, results.Overload(step.times), results.PacketsPerSecond, step.forwarded, s.quiet)
				fmt.Printf(", x%v: %.2f", step.times, step.forwarded/s.peak)
			}
			fmt.Println()
		}
	}
}

// sweep is what one contender has forwarded in a round.
type sweep struct {
	peak  float64 // packets per second, the most at any rate
	steps []overloadStep
	quiet bool
}

type overloadStep struct{ times, forwarded float64 }

func (tr *track) sweep(t lab.T, o options) (s sweep) {
	s.quiet = o.free(t)
	tr.start(t, 0)
	time.Sleep(o.warmup)
	flood := tr.step(t, o, 0).forwarded
	// The peak is near what is forwarded of a flood, on either side.
	for _, share := range []float64{0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5} {
		s.peak = max(s.peak, tr.step(t, o, share*flood).forwarded)
	}
	s.steps = overloadSteps(&s.peak, func(rate float64) result { return tr.step(t, o, rate) })
	if _, err := tr.source.Stop(); err != nil {
		t.Fatalf("%v", err)
	}
	tr.drained(t)
	s.quiet = s.quiet && o.free(t)
	return s
}

// overloadSteps offers multiples of the peak, which it raises if one of them shows a higher one. Where the source cannot offer a
// multiple, it offers all that it can, and the step has the multiple that this is, rounded down; there is one step at least.
func overloadSteps(peak *float64, offer func(rate float64) result) (steps []overloadStep) {
	last := 0.0
	for _, times := range []float64{1, 2, 3, 5, 10} {
		r := offer(times * *peak)
		short := r.offered < 0.95*times**peak
		if short {
			r = offer(0)
			times = max(min(times, math.Floor(r.offered / *peak)), 1)
		}
		if times > last {
			steps, last = append(steps, overloadStep{times, r.forwarded}), times
		}
		*peak = max(*peak, r.forwarded)
		if short {
			break
		}
	}
	return steps
}
