package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"nsrouter/internal/cycles"
	"nsrouter/perf/results"
)

// print prints a line for each scenario and contender, and for each scenario of the router what its nodes take.
func (f *field) print() {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nscenario\tcontender\tMpps\tmin\tmax\t%s/packet\tx %s\tquiet\t\n", cycles.Unit, results.Testpmd)
	for _, s := range f.run.All() {
		if s.Metric != results.Throughput {
			continue
		}
		of := s
		of.Metric, of.Unit = results.Cycles, results.CyclesPerPacket
		pps, ticks, ratio := f.run.Summarize(s), f.run.Summarize(of), "-"
		of = s
		of.Contender = results.Testpmd
		if r := f.run.Ratio(s, of); r.N > 0 {
			ratio = fmt.Sprintf("%.2f (%.2f-%.2f)", r.Median, r.Min, r.Max)
		}
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%s\t%d/%d\t\n", s.Scenario, s.Contender, pps.Median/1e6, pps.Min/1e6,
			pps.Max/1e6, ticks.Median, ratio, pps.Quiet, pps.Rounds)
	}
	_ = t.Flush()
	for _, e := range f.entrants {
		if f.costs[e] != nil {
			f.printCosts(e)
		}
	}
}

// printCosts prints what each step takes of a packet that comes in, and what of one that passes the step.
func (f *field) printCosts(e *entrant) {
	fmt.Printf("\n%s: %s by step (median, least)\n", e.scenarios[0], cycles.Unit)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "step\tof a packet\tleast\tpackets/call\tpassed by\t\n")
	var sum, least float64
	packets := received(f.costs[e])
	for _, c := range f.costs[e] {
		s := f.run.Summarize(results.Series{
			Suite: results.Pipeline, Scenario: e.scenarios[0], Contender: e.name, Metric: results.Node(c.Step),
			Unit: results.CyclesPerPacket,
		})
		call, share := "-", "-"
		if c.Packets > 0 {
			call = fmt.Sprintf("%.1f", float64(c.Packets)/float64(c.Calls))
			share = fmt.Sprintf("%.0f %%", 100*float64(c.Packets)/packets)
		}
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%s\t%s\t\n", c.Step, s.Median, s.Min, call, share)
		sum += s.Median
		least += s.Min
	}
	fmt.Fprintf(t, "all\t%.1f\t%.1f\t\t\t\n", sum, least)
	_ = t.Flush()
}
