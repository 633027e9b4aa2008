// Command pipeline measures the data plane alone, in memory, without a kernel: packets per second of one core, and what each node of
// the graph takes of a packet's way, side by side with DPDK's programs in memory.
//
// Frames go round by package memport. perf/README.md says what the figures mean.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/perf/results"
)

// options are the command's flags.
type options struct {
	quick             bool
	rounds            int
	length            time.Duration
	cpu, other        int
	frames            int
	only              string
	peers             bool
	jsonFile, csvFile string // empty: not written
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "few and short rounds of few scenarios, for development")
	flag.IntVar(&o.rounds, "rounds", 0, "measurements of each contender, in turns (default 11, with -quick 3)")
	flag.DurationVar(&o.length, "time", 0, "length of a measurement (default 500ms, with -quick 200ms)")
	flag.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "CPU to measure on")
	flag.IntVar(&o.other, "other-cpu", 0, "CPU for what measures, and for the second of two workers")
	flag.IntVar(&o.frames, "frames", 256, "frames that go round")
	flag.StringVar(&o.only, "only", "", "only these scenarios, separated by commas: "+strings.Join(scenarioNames(), ","))
	flag.BoolVar(&o.peers, "peers", true, "measure DPDK's programs in the same rounds")
	flag.StringVar(&o.jsonFile, "json", "", "file for the results as JSON: machine, settings, each round, medians and spread")
	flag.StringVar(&o.csvFile, "csv", "", "file for the same as CSV")
	flag.Parse()
	err := o.check()
	if err == nil {
		err = run(&o)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "pipeline: %v\n", err)
		os.Exit(1)
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

func (o *options) check() error {
	rounds, length := 11, 500*time.Millisecond
	if o.quick {
		rounds, length = 3, 200*time.Millisecond
		if o.only == "" {
			o.only = strings.Join([]string{results.IP4One, results.IP4Full, results.IP6Full}, ",")
		}
	}
	if o.rounds == 0 {
		o.rounds = rounds
	}
	if o.length == 0 {
		o.length = length
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if o.only != "" && !slices.Contains(scenarioNames(), name) {
			return fmt.Errorf("-only: %q is none of %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	for _, file := range []string{o.jsonFile, o.csvFile} {
		if file != "" {
			if err := results.Writable(file); err != nil {
				return fmt.Errorf("results could not be written: %w", err)
			}
		}
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q: takes no arguments", flag.Arg(0))
	case o.rounds < 1 || o.length <= 0:
		return fmt.Errorf("-rounds %d -time %v: want one or more, and a time", o.rounds, o.length)
	case o.frames < 64 || o.frames > poolFrames/2:
		return fmt.Errorf("-frames %d: want 64, which is a batch, to %d", o.frames, poolFrames/2)
	case o.cpu == o.other:
		return fmt.Errorf("-cpu %d -other-cpu %d: want two different CPUs", o.cpu, o.other)
	}
	return nil
}

func (o *options) wants(name string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), name)
}

// run measures, prints and saves.
func run(o *options) (err error) {
	if err := keepOff(o.cpu, o.other); err != nil {
		return err
	}
	f, err := newField(o)
	if err != nil {
		return err
	}
	end := sync.OnceValue(f.close)
	defer func() { err = errors.Join(err, end()) }()
	onInterrupt(func() { _ = end() })
	fmt.Println(strings.Join(f.run.Machine.Lines(), "\n"))
	for _, s := range f.run.Settings {
		fmt.Printf("%s: %s\n", s.Name, s.Value)
	}
	for _, m := range f.run.Missing {
		fmt.Println("not measured:", m)
	}
	if err := f.measure(); err != nil {
		return err
	}
	f.print()
	if o.jsonFile != "" {
		err = results.SaveJSON(o.jsonFile, f.run)
	}
	if o.csvFile != "" {
		err = errors.Join(err, f.run.SaveCSV(o.csvFile))
	}
	return err
}

// onInterrupt ends the program after a signal, once stop has run: huge pages and DPDK's files do not go by themselves. A reader of the
// output that has gone ends nothing.
func onInterrupt(stop func()) {
	signal.Ignore(unix.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	go func() {
		<-signals
		stop()
		fmt.Fprintln(os.Stderr, "pipeline: interrupted: nothing was written")
		os.Exit(130)
	}()
}

// keepOff keeps what runs of this program, but for workers, off a CPU.
func keepOff(cpu, on int) error {
	var set unix.CPUSet
	set.Set(on)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("keep off CPU %d, on CPU %d: %w (-cpu, -other-cpu)", cpu, on, err)
		}
	}
	return nil
}
