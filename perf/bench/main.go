// Command bench measures packets forwarded per second between veths by this router, the Linux kernel and DPDK's programs, in turns.
//
// A scenario (scenario.go) is traffic and who forwards it; each is measured in each placement (placement.go), on a lab of its own. The
// contenders (contender*.go) forward the smallest UDP packets from a source to a sink: one router worker, one lcore, or the kernel, on
// one CPU; the source has a CPU of its own. perf/README.md says what the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
	"nsrouter/perf/hugepages"
	"nsrouter/perf/results"
)

// options are the command's flags.
type options struct {
	scenario           string
	routes             string // empty: as the scenarios say
	family             int    // zero: as the scenarios say
	contenders         string
	placement          placement // empty: each
	rounds             int
	warmup, measure    time.Duration
	sourceCPU, workCPU int
	flows              int
	jsonFile, csvFile  string // empty: not written

	current scenario // that is being measured
}

func main() {
	var o options
	flag.StringVar(&o.scenario, "scenarios", "quick", "`names` separated by commas, quick, or full: see -list")
	list := flag.Bool("list", false, "say which scenarios and contenders there are, and end")
	flag.StringVar(&o.routes, "routes", "", "measure a scenario of its own: `1, N, full or FILE`, one route, "+
		"so many or all of a full table, or those of a dump")
	flag.IntVar(&o.family, "family", 0, "measure a scenario of its own: of IPv`4 or 6`")
	flag.StringVar(&o.contenders, "contenders", "", "only these `names`, separated by commas")
	flag.Var(&o.placement, "placement", "only this `placement`: all-on-one, the source has a CPU and the whole way of a "+
		"packet another; or receive-apart, the source's CPU receives for user space too")
	flag.IntVar(&o.rounds, "rounds", 5, "measurements of each contender, in turns")
	flag.DurationVar(&o.warmup, "warmup", 500*time.Millisecond, "load before each measurement")
	flag.DurationVar(&o.measure, "time", 2*time.Second, "length of a measurement")
	flag.IntVar(&o.sourceCPU, "source-cpu", 0, "CPU of the source")
	flag.IntVar(&o.workCPU, "cpu", 1, "CPU of everything else: NAPI, forwarder, sink")
	flag.IntVar(&o.flows, "flows", 64, "number of UDP source ports, a power of two")
	flag.StringVar(&o.jsonFile, "json", "", "file for the results as JSON: machine, settings, each round, medians and spread")
	flag.StringVar(&o.csvFile, "csv", "", "file for the same as CSV, with machine and settings as comments")
	flag.Parse()
	if *list {
		printList()
		return
	}
	if err := benchAll(o); err != nil {
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
	case o.family != 0 && o.family != 4 && o.family != 6:
		return fmt.Errorf("-family %d: want 4 or 6", o.family)
	case o.flows < 1 || o.flows&(o.flows-1) != 0 || o.flows > 1<<15:
		return fmt.Errorf("-flows %d: want a power of two, at most 32768", o.flows)
	}
	for _, file := range []string{o.jsonFile, o.csvFile} {
		if file == "" {
			continue
		}
		if err := results.Writable(file); err != nil {
			return fmt.Errorf("results could not be written: %w", err)
		}
	}
	return o.checkCPUs()
}

// checkCPUs looks whether this process may use the two CPUs.
func (o *options) checkCPUs() error {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("read CPU affinity: %w", err)
	}
	if allowed.Count() < 2 {
		return errors.New("there is one CPU that may be used: the source needs one of its own, beside the forwarders")
	}
	if o.sourceCPU == o.workCPU {
		return fmt.Errorf("-source-cpu %d -cpu %d: want two different CPUs", o.sourceCPU, o.workCPU)
	}
	for name, cpu := range map[string]int{"source-cpu": o.sourceCPU, "cpu": o.workCPU} {
		if cpu < 0 || !allowed.IsSet(cpu) {
			return fmt.Errorf("-%s %d: no such CPU, or none that this process may use: see nproc and taskset -p $$", name, cpu)
		}
	}
	return nil
}

// benchAll measures all scenarios, and writes what there is also if something failed.
func benchAll(o options) (err error) {
	if err = o.check(); err != nil {
		return err
	}
	chosen, err := o.scenarios()
	if err != nil {
		return err
	}
	huge, release, pages := o.reserve(chosen)
	defer release()
	// The lab's own handler ends what is being measured; this one, the rest.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()

	run := &results.Run{Machine: results.Here(), Settings: o.settings(pages)}
	printHead(run)
	known := map[string]*traffic{} // by family and routes
	for _, o.current = range chosen {
		key := fmt.Sprint(o.current.family, o.current.routes)
		if known[key] == nil {
			t, err := newTraffic(o.current.family, o.current.routes)
			if err != nil {
				return err
			}
			known[key] = t
		}
		for _, where := range placements() {
			if o.placement != "" && o.placement != where || ctx.Err() != nil {
				continue
			}
			err = errors.Join(err, one(o, where, known[key], huge, run))
		}
	}
	return errors.Join(err, o.save(run))
}

// one measures one scenario in one placement, on a lab of its own. What was measured is added to run if all went well.
func one(o options, where placement, traffic *traffic, huge bool, run *results.Run) error {
	var measured results.Run
	if err := lab.Main(func(t lab.T) {
		s := &stand{t: t, lab: lab.New(t), o: o, where: where, traffic: traffic, hugePages: huge, portVLANs: portVLANs}
		printScenario(s)
		tracks := s.setUp(&measured)
		throughput(t, o, tracks, func(tr *track, round int, metric, unit string, value float64, quiet bool) {
			measured.Add(results.Record{Series: tr.series(where, metric, unit), Round: round, Value: value, Quiet: quiet})
		})
		checkForwarding(t, tracks)
		printSummary(&measured, where, tracks)
	}); err != nil {
		return fmt.Errorf("%s, %s: %w", o.current.name, where, err)
	}
	for _, s := range measured.Settings {
		if !slices.Contains(run.Settings, s) {
			run.Settings = append(run.Settings, s)
		}
	}
	run.Records, run.Missing = append(run.Records, measured.Records...), append(run.Missing, measured.Missing...)
	return nil
}

// setUp sets up all contenders of the scenario that can be, and says which cannot.
func (s *stand) setUp(run *results.Run) []*track {
	var tracks []*track
	for _, name := range s.o.current.contenders {
		c := contenders()[name]
		progress("setting up: %s", c.title)
		tr, err := c.setup(s)
		progress("")
		if err != nil {
			left := fmt.Sprintf("%s in %s, %s: %v", c.title, s.o.current.name, s.where, err)
			run.Missing = append(run.Missing, strings.ReplaceAll(left, "\n", " | "))
			fmt.Printf("  left out: %s: %v\n", c.title, err)
			continue
		}
		tracks = append(tracks, tr)
		if mode := (results.Setting{Name: "router", Value: "AF_XDP in " + tr.mode + " mode"}); tr.mode != "" {
			run.Settings = []results.Setting{mode}
		}
	}
	if len(tracks) == 0 {
		s.t.Fatalf("no contender is left: %s", strings.Join(run.Missing, "; "))
	}
	return tracks
}

// reserve reserves huge pages if there are programs of DPDK among the contenders, and says which pages they have.
func (o *options) reserve(chosen []scenario) (huge bool, release func(), pages string) {
	if !slices.ContainsFunc(chosen, func(s scenario) bool {
		return slices.Contains(s.contenders, results.Testpmd) || slices.Contains(s.contenders, results.L3fwd)
	}) {
		return false, func() {}, ""
	}
	if release, huge = hugepages.Reserve((testpmdMiB + l3fwdMiB) / 2); huge {
		return true, release, "huge pages of 2 MiB"
	}
	return false, release, "pages of 4 KiB: no huge ones could be reserved in " + hugepages.File
}
