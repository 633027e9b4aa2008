package main

import (
	"fmt"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

// latencies takes the times of packets of each contender at shares of one rate, the same for all: o.rate or, if that is 0, the
// lowest of their no-drop rates.
func latencies(t lab.T, o options, tracks []*track, record recorder) {
	base := o.commonRate(t, tracks)
	for round := range o.rounds {
		for _, load := range []float64{10, 50, 90} {
			for _, tr := range tracks {
				tr.run()
				r := tr.offerQuietly(t, o, base*load/100, func() { time.Sleep(o.measure) })
				tr.halt()
				if r.latencies.TotalCount() == 0 {
					fmt.Printf("  %-24s at %s/s: no packet of %d arrived\n", tr.name, millions(r.offered), r.sent)
					continue
				}
				for _, p := range results.Percentiles() {
					record(tr, round+1, results.Latency(load, p), results.Microseconds, r.us(p), r.quiet)
				}
				fmt.Printf("  %-24s at %s/s: p50 %.1f, p90 %.1f, p99 %.1f, p99.9 %.1f, max %.1f us; lost %d of %d%s\n",
					tr.name, millions(r.offered), r.us(50), r.us(90), r.us(99), r.us(99.9), r.us(100),
					r.lost(), r.sent, note(r.quiet))
			}
		}
	}
}

// commonRate is what 100 % are for all contenders, packets per second.
func (o *options) commonRate(t lab.T, tracks []*track) float64 {
	lowest := float64(o.rate)
	if lowest > 0 {
		return lowest
	}
	for _, tr := range tracks {
		tr.run()
		rate, quiet := tr.carried(t, *o)
		tr.halt()
		fmt.Printf("  %-24s no-drop rate %s/s%s\n", tr.name, millions(rate), note(quiet))
		if lowest == 0 || rate < lowest {
			lowest = rate
		}
	}
	fmt.Printf("100 %% are %s/s for all\n", millions(lowest))
	return lowest
}
