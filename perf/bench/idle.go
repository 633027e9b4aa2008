package main

import (
	"fmt"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

const (
	// idleFor is how many times as long as another measurement this one takes: processor time is counted in steps of 10 ms.
	idleFor = 5
	// idleRate is that of the packets that find a contender idle, a second.
	idleRate = 4
)

// idles measures what a router with eight queues takes of a CPU while nothing happens, and how long a packet takes that
// comes after a quarter of a second without any.
func idles(t lab.T, o options, tracks []*track, record recorder) {
	for round := range o.rounds {
		for _, tr := range tracks {
			tr.run()
			// It has not been running, so that packets for it may have come.
			tr.drained(t)
			if tr.router != nil {
				share, quiet := tr.idleShare(t, o)
				record(tr, round+1, results.IdleCPU, results.PercentOfCore, share, quiet)
				fmt.Printf("  %-24s idle: %.2f %% of a core%s\n", tr.name, share, note(quiet))
			}
			r := tr.offerQuietly(t, o, idleRate, func() { time.Sleep(idleFor * o.measure) })
			if r.latencies.TotalCount() == 0 {
				t.Fatalf("%s: no packet of %d came back from idling", tr.name, r.sent)
			}
			record(tr, round+1, results.FirstPacket, results.Microseconds, r.us(100), r.quiet)
			fmt.Printf("  %-24s first packet: %.0f us, at worst %.0f of %d%s\n",
				tr.name, r.us(50), r.us(100), r.latencies.TotalCount(), note(r.quiet))
			tr.halt()
		}
	}
}

// idleShare is what the router's process takes of a CPU, in percent.
func (tr *track) idleShare(t lab.T, o options) (percent float64, quiet bool) {
	quiet = o.free(t)
	time.Sleep(o.warmup)
	before, began := tr.cpu(t), time.Now()
	time.Sleep(idleFor * o.measure)
	used, took := tr.cpu(t)-before, time.Since(began)
	return 100 * used.Seconds() / took.Seconds(), quiet && o.free(t)
}

func (tr *track) cpu(t lab.T) time.Duration {
	used, err := tr.router.Process().CPU()
	if err != nil {
		t.Fatalf("CPU time of %s: %v", tr.name, err)
	}
	return used
}
