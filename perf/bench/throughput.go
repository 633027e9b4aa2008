package main

import (
	"fmt"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// recorder takes a value that was measured.
type recorder func(tr *track, round int, metric, unit string, value float64, quiet bool)

// throughput measures what the contenders forward of all that the source can offer, in turns.
func throughput(t lab.T, o options, tracks []*track, record recorder) {
	for round := 1; round <= o.rounds; round++ {
		for _, tr := range tracks {
			r := tr.measureQuiet(t, o)
			record(tr, round, results.Throughput, results.PacketsPerSecond, r.forwarded, r.quiet)
			record(tr, round, results.Offered, results.PacketsPerSecond, r.offered, r.quiet)
			fmt.Printf("  %d/%d  %-24s %s forwarded/s of %s offered/s%s\n",
				round, o.rounds, tr.label(), millions(r.forwarded), millions(r.offered), r.note())
		}
	}
}

// result is one measurement.
type result struct {
	offered, forwarded float64 // packets per second
	quiet              bool    // nobody else is known to have used the CPUs
}

func (r result) note() string {
	if r.quiet {
		return ""
	}
	return "  (beside other users of the CPUs)"
}

// quiet is the share of a CPU that must be free for a measurement to count.
const quiet = 0.9

// measureQuiet measures until the CPUs were free before and after, and the source's also meanwhile, unless it has more
// to do, three times at most.
func (tr *track) measureQuiet(t lab.T, o options) (r result) {
	for range 3 {
		before := o.free(t)
		var share float64
		r, share = tr.measure(t, o)
		if tr.placement == receiveApart {
			share = 1 // what it receives for the forwarder is not its own time
		}
		if r.quiet = before && share >= quiet && o.free(t); r.quiet {
			break
		}
	}
	return r
}

// free tells whether nobody else uses the two CPUs.
func (o *options) free(t lab.T) bool {
	for _, cpu := range []int{o.sourceCPU, o.workCPU} {
		share, err := load.Available(cpu, 50*time.Millisecond)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if share < quiet {
			return false
		}
	}
	return true
}

// measure sends for a while and counts what arrives at the sink. share is the part of its CPU that the source had.
func (tr *track) measure(t lab.T, o options) (r result, share float64) {
	tr.run()
	defer tr.halt()
	if err := tr.source.Start(); err != nil {
		t.Fatalf("%v", err)
	}
	time.Sleep(o.warmup)
	begin := tr.read(t)
	time.Sleep(o.measure)
	end := tr.read(t)
	if _, err := tr.source.Stop(); err != nil {
		t.Fatalf("%v", err)
	}
	seconds := end.at.Sub(begin.at).Seconds()
	return result{
		offered:   float64(end.sent-begin.sent) / seconds,
		forwarded: float64(end.received.Packets-begin.received.Packets) / seconds,
	}, (end.used - begin.used).Seconds() / seconds
}

// reading is what source and sink have counted at one time.
type reading struct {
	at       time.Time
	used     time.Duration // CPU time of the source
	sent     uint64
	received load.Counts
}

func (tr *track) read(t lab.T) reading {
	sent, err := tr.source.Sent()
	if err != nil {
		t.Fatalf("%v", err)
	}
	received, err := tr.sink.Counts()
	if err != nil {
		t.Fatalf("%v", err)
	}
	used, err := tr.source.CPUTime()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return reading{at: time.Now(), used: used, sent: sent, received: received}
}

// checkForwarding fails if more than a stray packet of a contender arrived otherwise than it should have.
func checkForwarding(t lab.T, tracks []*track) {
	for _, tr := range tracks {
		counts, err := tr.sink.Counts()
		if err != nil {
			t.Fatalf("%v", err)
		}
		if counts.Bad > 1 {
			t.Fatalf("%s: of %d packets %d arrived with a wrong MAC, TTL, VLAN or checksum: what was measured is not forwarding",
				tr.name, counts.Packets, counts.Bad)
		}
	}
}
