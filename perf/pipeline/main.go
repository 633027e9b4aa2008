// Command pipeline measures the data plane alone, in memory, without a kernel: packets per second of one core, and what each node of
// the graph takes of a packet's way, side by side with DPDK's testpmd over net_null.
//
// Frames go round by package memport. perf/README.md says what the figures mean.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/cycles"
	"nsrouter/perf/hugepages"

	"nsrouter/perf/tables"
)

// options are the command's flags.
type options struct {
	quick  bool
	rounds int
	length time.Duration
	cpu    int
	frames int
	only   string
	nodes  bool
	peers  bool
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "few and short rounds of few scenarios, for development")
	flag.IntVar(&o.rounds, "rounds", 0, "measurements of each contender, in turns (default 9, with -quick 3)")
	flag.DurationVar(&o.length, "time", 0, "length of a measurement (default 500ms, with -quick 200ms)")
	flag.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "CPU to measure on; two workers take the one before it besides")
	flag.IntVar(&o.frames, "frames", 256, "frames that go round")
	flag.StringVar(&o.only, "only", "", "only these scenarios, separated by commas: "+strings.Join(scenarioNames(), ","))
	flag.BoolVar(&o.nodes, "nodes", true, "measure what each node takes")
	flag.BoolVar(&o.peers, "peers", true, "measure DPDK's programs in the same rounds")
	flag.Parse()
	if err := o.check(); err != nil {
		fmt.Fprintf(os.Stderr, "pipeline: %v\n", err)
		os.Exit(1)
	}
	if err := run(&o); err != nil {
		fmt.Fprintf(os.Stderr, "pipeline: %v\n", err)
		os.Exit(1)
	}
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

func (o *options) check() error {
	if o.rounds == 0 {
		o.rounds = map[bool]int{false: 9, true: 3}[o.quick]
	}
	if o.length == 0 {
		o.length = map[bool]time.Duration{false: 500 * time.Millisecond, true: 200 * time.Millisecond}[o.quick]
	}
	if o.quick && o.only == "" {
		o.only = "ip4-1,ip4-full,ip6-full"
	}
	for name := range strings.SplitSeq(o.only, ",") {
		if o.only != "" && !slices.Contains(scenarioNames(), name) {
			return fmt.Errorf("-only: %q is none of %s", name, strings.Join(scenarioNames(), ", "))
		}
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q: takes no arguments", flag.Arg(0))
	case o.rounds < 1 || o.length <= 0:
		return fmt.Errorf("-rounds %d -time %v: want one or more, and a time", o.rounds, o.length)
	case o.frames < 64 || o.frames > poolFrames/2:
		return fmt.Errorf("-frames %d: want 64, which is a batch, to %d", o.frames, poolFrames/2)
	case runtime.NumCPU() < 2:
		return fmt.Errorf("the machine has one CPU: what measures needs another than what is measured")
	}
	return nil
}

func (o *options) wants(name string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), name)
}

func run(o *options) error {
	v4, v6, err := tables.Read()
	if err != nil {
		return err
	}
	restore, huge := hugepages.Reserve(hugePages)
	defer restore()
	other := (o.cpu + runtime.NumCPU() - 1) % runtime.NumCPU()
	if err := keepOff(o.cpu, other); err != nil {
		return err
	}
	var all []contender
	defer func() {
		for _, c := range all {
			if err := c.close(); err != nil {
				fmt.Fprintf(os.Stderr, "pipeline: %s: %v\n", c.name(), err)
			}
		}
	}()
	s := &site{frames: o.frames, v4: v4, v6: v6}
	for _, sc := range scenarios() {
		if !o.wants(sc.name) {
			continue
		}
		c, err := s.build(sc, o.cpu, other)
		if err != nil {
			return fmt.Errorf("%s: %w", sc.name, err)
		}
		all = append(all, c)
	}
	if o.peers {
		for _, mode := range []string{"mac", "io"} {
			p, err := newTestpmd(mode, o.cpu, other, huge)
			if err != nil {
				fmt.Printf("without DPDK's testpmd %s: %v (make bench-deps installs it)\n", mode, err)
				continue
			}
			all = append(all, p)
		}
	}
	return measureAll(o, all, huge)
}

// hugePages of 2 MiB are reserved, for the router's frames and for DPDK's.
const hugePages = 256

// build makes a scenario's router.
func (s *site) build(sc scenario, cpu, other int) (*ours, error) {
	cpus := []int{cpu}
	if sc.workers == 2 {
		cpus = []int{cpu, other}
	}
	r, err := newRouter(cpus)
	if err != nil {
		return nil, err
	}
	sc.make(s, r)
	if r.err != nil {
		return nil, errors.Join(r.err, r.close())
	}
	return &ours{r, sc}, nil
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
			return fmt.Errorf("keep off CPU %d: %w (-cpu)", cpu, err)
		}
	}
	return nil
}

// measureAll gives each contender a turn in each round, then profiles, and prints.
func measureAll(o *options, all []contender, huge bool) error {
	turns := make([][]measurement, len(all))
	for range o.rounds {
		for i, c := range all {
			m, err := measure(c, o.length)
			if err != nil {
				return err
			}
			turns[i] = append(turns[i], m)
		}
	}
	rate := cycles.PerSecond()
	printRates(all, turns, rate, huge)
	if !o.nodes {
		return nil
	}
	for _, c := range all {
		if c, ok := c.(*ours); ok {
			costs, err := c.profile(o.length)
			if err != nil {
				return err
			}
			printCosts(c.name(), costs)
		}
	}
	return nil
}
