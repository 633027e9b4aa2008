// Command bench measures packets forwarded per second by this router and by the Linux kernel, in turns, on one lab of
// veths.
//
// Each contender forwards 64-byte UDP between two hosts, one route, on one CPU: the router's worker, the receive NAPI
// of its port and that of the sink are pinned there; the source has a CPU of its own. -placement changes that.
// perf/README.md says what the figures mean.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// options are the command's flags.
type options struct {
	rounds             int
	warmup, measure    time.Duration
	sourceCPU, workCPU int
	placement          placement
	flows              int
	kernelOnly         bool
	jsonFile, csvFile  string // empty: not written
}

func main() {
	o := options{placement: allOnOne}
	flag.IntVar(&o.rounds, "rounds", 5, "measurements of each contender, in turns")
	flag.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "load before each measurement")
	flag.DurationVar(&o.measure, "time", 2*time.Second, "length of a measurement")
	flag.IntVar(&o.sourceCPU, "source-cpu", 0, "CPU of the source")
	flag.IntVar(&o.workCPU, "cpu", 1, "CPU of everything else: NAPI, router, sink")
	flag.Var(&o.placement, "placement",
		"`where` the router's packets are received: all-on-one, with all else, or receive-apart, on the source's CPU")
	flag.IntVar(&o.flows, "flows", 64, "number of UDP source ports, a power of two")
	flag.BoolVar(&o.kernelOnly, "kernel-only", false, "leave the router out: what the lab and the kernel do")
	flag.StringVar(&o.jsonFile, "json", "", "file for the results as JSON: machine, settings, each round, medians and spread")
	flag.StringVar(&o.csvFile, "csv", "", "file for the same as CSV, with machine and settings as comments")
	flag.Parse()
	if err := o.check(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
	if err := lab.Main(func(t lab.T) { bench(t, o) }); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q: takes no arguments", flag.Arg(0))
	case o.rounds < 1:
		return fmt.Errorf("-rounds %d: want one or more", o.rounds)
	case o.measure <= 0 || o.warmup < 0:
		return fmt.Errorf("-time %v -warmup %v: want a time", o.measure, o.warmup)
	case runtime.NumCPU() < 2:
		return fmt.Errorf("the machine has one CPU: source and router need one each")
	}
	for _, file := range []string{o.jsonFile, o.csvFile} {
		if file == "" {
			continue
		}
		if err := results.Writable(file); err != nil {
			return fmt.Errorf("results could not be written: %w", err)
		}
	}
	return nil
}

// quiet is the share of a CPU that must be free for a measurement to count.
const quiet = 0.9

func bench(t lab.T, o options) {
	l := lab.New(t)
	tracks := []*track{kernelTrack(t, l, o)}
	if !o.kernelOnly {
		tracks = append([]*track{routerTrack(t, l, o)}, tracks...)
	}
	machine := results.Here()
	printMachine(machine, o, tracks)
	for range o.rounds {
		for _, tr := range tracks {
			r := tr.measureQuiet(t, o)
			tr.results = append(tr.results, r)
			fmt.Printf("  %-24s %s forwarded/s of %s offered/s%s\n",
				tr.name, millions(r.forwarded), millions(r.offered), r.note())
		}
	}
	run := newRun(machine, o, tracks)
	printSummary(run)
	for _, tr := range tracks {
		if tr.bad > 0 {
			t.Fatalf("%s: %d packets arrived with a wrong MAC or TTL: what was measured is not forwarding", tr.name, tr.bad)
		}
	}
	if err := save(run, o.jsonFile, o.csvFile); err != nil {
		t.Fatalf("%v", err)
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

// measureQuiet measures until the CPUs were free before and after, and the source's also meanwhile, unless it has more
// to do, three times at most.
func (tr *track) measureQuiet(t lab.T, o options) (r result) {
	for range 3 {
		before := o.free(t)
		var share float64
		r, share = tr.measure(t, o)
		if tr.placement == receiveApart {
			share = 1 // what it receives for the router is not its own time
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
	tr.bad = end.received.Bad
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
