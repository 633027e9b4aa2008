package main

import (
	"fmt"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

const (
	// resolution of a no-drop rate, of itself.
	resolution = 0.02
	// tries is how often a rate is tried before it counts as too high: a shared machine takes the CPU away now and then for
	// longer than any ring holds packets.
	tries = 3
)

// noDropRates finds the highest rate of each contender at which no more than the share o.loss of the packets is lost, by
// bisection as RFC 2544, 26.1 has it.
func noDropRates(t lab.T, o options, tracks []*track, record recorder) {
	for round := range o.rounds {
		for _, tr := range tracks {
			tr.run()
			rate, quiet := tr.noDropRate(t, o)
			tr.halt()
			record(tr, round+1, results.NoDropRate, results.PacketsPerSecond, rate, quiet)
			fmt.Printf("  %-24s %s/s with no more than %v%% lost%s\n", tr.name, millions(rate), o.loss, note(quiet))
		}
	}
}

// noDropRate is 0 if even the lowest rate tried loses too many. The first rate tried is what is forwarded of all that the
// source offers.
func (tr *track) noDropRate(t lab.T, o options) (rate float64, quiet bool) {
	quiet = o.free(t)
	late := false // in the trial that was the last to pass
	rate = bisect(tr.flood(t, o), resolution, func(rate float64) bool {
		for range tries {
			r := tr.offer(t, o, rate, func() { time.Sleep(o.measure) })
			if r.offered < 0.98*rate {
				break // the source can send no more, or somebody else has its CPU
			}
			if float64(r.lost()) <= o.loss/100*float64(r.sent) {
				late = r.late()
				return true
			}
		}
		return false
	})
	return rate, quiet && !late && o.free(t)
}

// carried is noDropRate for what is to offer a share of it: there has to be one.
func (tr *track) carried(t lab.T, o options) (rate float64, quiet bool) {
	rate, quiet = tr.noDropRate(t, o)
	if rate == 0 {
		t.Fatalf("%s loses more than %v%% at any rate: name a rate (-rate), or allow more loss (-loss)", tr.name, o.loss)
	}
	return rate, quiet
}

// bisect finds the highest rate that passes, to a resolution relative to the rate: below it all pass, and above none. It begins
// at first, and goes up and down by a half from there until it has a rate that passes and one that does not. It returns 0 if none
// passes within a thousandth of first, and does not go higher than a thousand times first.
func bisect(first, resolution float64, pass func(rate float64) bool) float64 {
	low, high := 0.0, 0.0 // the highest that has passed, the lowest that has not; 0: none
	for rate := first; rate > first/1000 && rate < first*1000; {
		if pass(rate) {
			low = rate
		} else {
			high = rate
		}
		switch {
		case high == 0:
			rate = low * 3 / 2
		case low == 0:
			rate = high / 2
		case high-low <= resolution*high:
			return low
		default:
			rate = (low + high) / 2
		}
	}
	return low
}
