package main

import (
	"errors"
	"fmt"
	"slices"

	"nsrouter/dataplane"
	"nsrouter/internal/cycles"
	"nsrouter/perf/hugepages"
	"nsrouter/perf/results"
	"nsrouter/perf/tables"
)

// field is all that is measured in a run.
type field struct {
	o        *options
	run      *results.Run
	entrants []*entrant
	restore  func()  // gives huge pages back
	tsc      float64 // ticks a second
	// costs are what was measured last of an entrant's steps.
	costs map[*entrant][]dataplane.Cost
}

// entrant is a contender and the scenarios that its values are of: a program that looks nothing up does the same in all.
type entrant struct {
	contender
	name      string
	scenarios []string
}

const (
	// hugePages of 2 MiB are reserved: for the frames of the router, and for DPDK's.
	hugePages = 1200
	// quiet is the part of its CPU that a thread must have had for a measurement to count.
	quiet = 0.98
)

// newField builds all that is to be measured.
func newField(o *options) (f *field, err error) {
	v4, v6, err := tables.Read()
	if err != nil {
		return nil, err
	}
	restore, huge := hugepages.Reserve(hugePages)
	f = &field{
		o: o, restore: restore, run: &results.Run{Machine: results.Here()}, tsc: cycles.PerSecond(),
		costs: make(map[*entrant][]dataplane.Cost),
	}
	f.settings(huge)
	s := &site{frames: o.frames, namespaces: manyNamespaces, v4: v4, v6: v6}
	for _, sc := range scenarios() {
		if !o.wants(sc.name) {
			continue
		}
		c, err := s.build(sc, o.cpu, o.other)
		if err == nil {
			err = c.verify()
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", sc.name, err), f.close())
		}
		f.add(c, sc.contender, sc.name)
	}
	if err := f.addAlone(); err != nil {
		return nil, errors.Join(err, f.close())
	}
	if o.peers {
		f.addTestpmd(huge)
		f.addL3fwd(huge, s)
	}
	return f, nil
}

func (f *field) add(c contender, name string, scenarios ...string) {
	f.entrants = append(f.entrants, &entrant{c, name, scenarios})
}

func (f *field) settings(huge bool) {
	pages := "frames, and DPDK's memory, on reserved ones of 2 MiB"
	if !huge {
		pages = fmt.Sprintf("none for DPDK, transparent ones for the router: %d could not be reserved in %s", hugePages,
			hugepages.File)
	}
	f.run.Settings = []results.Setting{
		{Name: "rounds", Value: fmt.Sprintf("%d of %v", f.o.rounds, f.o.length)},
		{Name: "CPU", Value: fmt.Sprint(f.o.cpu)},
		{Name: "frame", Value: fmt.Sprintf("%d bytes, %d in circulation", frameLen, f.o.frames)},
		{Name: "huge pages", Value: pages},
		{Name: "counters of the processor", Value: "none: time is the thread's CPU time, cycles are those of the time stamp counter"},
	}
}

// addAlone adds the memory port alone with the packets of some scenarios.
func (f *field) addAlone() error {
	for _, e := range f.entrants {
		c, ok := e.contender.(*ours)
		if !ok || len(c.ways) > 1 || !slices.Contains([]string{results.IP4One, results.IP4Full, results.IP6Full}, e.scenarios[0]) {
			continue
		}
		a, err := newAlone(f.o.cpu, f.o.frames, c.ways[0].packets)
		if err != nil {
			return err
		}
		f.add(a, results.MemoryPort, e.scenarios...)
	}
	return nil
}

func (f *field) addTestpmd(huge bool) {
	var all []string
	for _, e := range f.entrants {
		all = append(all, e.scenarios...)
	}
	all = slices.Compact(slices.Sorted(slices.Values(all)))
	for _, mode := range []string{"mac", "io"} {
		name := "testpmd-" + mode
		p, err := newTestpmd(name, mode, f.o.cpu, f.o.other, huge)
		if err != nil {
			f.run.Missing = append(f.run.Missing, fmt.Sprintf("DPDK's testpmd, mode %s: %v (make bench-deps installs it)", mode, err))
			continue
		}
		f.add(p, name, all...)
	}
}

// close ends all contenders.
func (f *field) close() error {
	var errs []error
	for _, e := range f.entrants {
		errs = append(errs, e.close())
	}
	f.restore()
	return errors.Join(errs...)
}

// measure gives each contender a turn in each round, and each of the router's scenarios another with hooks round its nodes.
func (f *field) measure() error {
	for round := range f.o.rounds {
		for _, e := range f.entrants {
			if err := f.turn(e, round+1); err != nil {
				return fmt.Errorf("%s, %s: %w", e.scenarios[0], e.name, err)
			}
		}
	}
	return nil
}

func (f *field) turn(e *entrant, round int) error {
	m, err := measure(e, f.o.length)
	if err != nil {
		return err
	}
	for _, s := range e.scenarios {
		f.record(s, e.name, results.Throughput, results.PacketsPerSecond, round, m.pps, m)
		f.record(s, e.name, results.Cycles, results.CyclesPerPacket, round, f.tsc*float64(m.workers)/m.pps, m)
	}
	c, ok := e.contender.(*ours)
	if !ok || len(c.cpus) > 1 {
		return nil
	}
	costs, m, err := c.profile(f.o.length)
	if err != nil {
		return err
	}
	packets := received(costs)
	for _, cost := range costs {
		f.record(e.scenarios[0], e.name, results.Node(cost.Step), results.CyclesPerPacket, round, cost.Cycles/packets, m)
	}
	f.costs[e] = costs
	return nil
}

func (f *field) record(scenario, contender, metric, unit string, round int, value float64, m measurement) {
	f.run.Add(results.Record{
		Series: results.Series{Suite: results.Pipeline, Scenario: scenario, Contender: contender, Metric: metric, Unit: unit},
		Round:  round, Value: value, Quiet: m.share >= quiet,
	})
}

// received is how many packets came in while costs were measured.
func received(costs []dataplane.Cost) float64 {
	for _, c := range costs {
		if c.Step == dataplane.PortReceive {
			return float64(c.Packets)
		}
	}
	return 0
}
