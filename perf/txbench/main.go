// Command txbench measures the transmit half of AF_XDP in copy mode alone: what the kernel takes of CPU time for a packet
// on a veth, and what the sender can do about it. Variants (variants.go) take turns; perf/README.md says what came of it.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"nsrouter/dataplane/frame"
	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

// options are the command's flags.
type options struct {
	rounds        int
	measure       time.Duration
	cpu, apartCPU int
	quick         bool
	jsonFile      string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 7, "turns of each variant")
	flag.DurationVar(&o.measure, "time", 300*time.Millisecond, "length of a measurement")
	flag.IntVar(&o.cpu, "cpu", 1, "CPU of the sender")
	flag.IntVar(&o.apartCPU, "apart-cpu", 0, "CPU of the sink where it is apart")
	flag.BoolVar(&o.quick, "quick", false, "three rounds of the variants that tell most")
	flag.StringVar(&o.jsonFile, "json", "", "file for the results as JSON")
	flag.Parse()
	if o.quick {
		o.rounds = min(o.rounds, 3)
	}
	err := o.check()
	if err == nil {
		err = lab.Main(func(t lab.T) { bench(t, o) })
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "txbench: %v\n", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q: takes no arguments", flag.Arg(0))
	case o.rounds < 1 || o.measure <= 0:
		return fmt.Errorf("-rounds %d -time %v: want at least one round, and a time", o.rounds, o.measure)
	case o.cpu == o.apartCPU:
		return fmt.Errorf("-cpu %d -apart-cpu %d: want two CPUs", o.cpu, o.apartCPU)
	case max(o.cpu, o.apartCPU) >= runtime.NumCPU():
		return fmt.Errorf("-cpu %d -apart-cpu %d: the machine has CPUs 0 to %d", o.cpu, o.apartCPU, runtime.NumCPU()-1)
	case o.jsonFile != "":
		return results.Writable(o.jsonFile)
	}
	return nil
}

// maxFrames is the most that a variant has in circulation.
const maxFrames = 4096

func bench(t lab.T, o options) {
	l := lab.New(t)
	pool, err := frame.NewPool(maxFrames)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	var wires [plain + 1]wire
	for s := range wires {
		wires[s] = newWire(t, l, sink(s), o)
	}
	run := &results.Run{Machine: results.Here(), Settings: []results.Setting{
		{Name: "transmit", Value: fmt.Sprintf("sender on CPU %d, a sink apart on CPU %d; rounds of %v", o.cpu, o.apartCPU, o.measure)},
	}}
	list := variants(o.quick)
	for round := range o.rounds {
		for k := range list {
			// Round by round another one comes first.
			v := &list[(k+round)%len(list)]
			m, err := wires[v.sink].turn(v, pool.Bytes(), o)
			if err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
			add(run, v.name, round+1, m)
		}
	}
	report(run, list)
	if o.jsonFile != "" {
		if err := results.SaveJSON(o.jsonFile, run); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// Metrics of this program besides results.Throughput; nanoseconds of CPU time for a packet that the veth took.
const (
	both   = "transmit"        // sender and sink
	sender = "transmit-sender" // the sender's thread, what the kernel does in its softirq included
	lost   = "transmit-lost"   // of the packets sent, those that the veth had no room for
)

func add(run *results.Run, name string, round int, m measurement) {
	for _, r := range []struct {
		metric, unit string
		value        float64
	}{
		{both, results.Nanoseconds, m.both}, {sender, results.Nanoseconds, m.sender},
		{results.Throughput, results.PacketsPerSecond, m.rate}, {lost, "%", m.lost},
	} {
		run.Add(results.Record{
			Series: series(name, r.metric, r.unit), Round: round, Value: r.value, Quiet: m.quiet,
		})
	}
}

func series(name, metric, unit string) results.Series {
	return results.Series{Suite: results.Transmit, Scenario: name, Contender: "af-xdp-copy", Metric: metric, Unit: unit}
}

// report prints medians, and how far the middle half of the rounds spreads.
func report(run *results.Run, list []variant) {
	fmt.Printf("%-14s %28s %10s %10s %8s   quiet\n", "variant", "ns/packet (quartiles)", "sender ns", "Mpps", "lost %")
	for i := range list {
		name := list[i].name
		total := run.Summarize(series(name, both, results.Nanoseconds))
		fmt.Printf("%-14s %8.0f (%6.0f to %6.0f) %15.0f %10.3f %8.1f   %d of %d\n", name, total.Median, total.Low, total.High,
			run.Summarize(series(name, sender, results.Nanoseconds)).Median,
			run.Summarize(series(name, results.Throughput, results.PacketsPerSecond)).Median/1e6,
			run.Summarize(series(name, lost, "%")).Median, total.Quiet, total.Rounds)
	}
}
