package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"nsrouter/dataplane"
	"nsrouter/internal/cycles"
	"nsrouter/perf/results"
)

// reference is the peer that ratios are to.
const reference = "testpmd mac"

func printRates(all []contender, turns [][]measurement, rate float64, huge bool) {
	var peer []float64
	for i, c := range all {
		if c.name() == reference {
			peer = rates(turns[i])
		}
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tMpps\tmin\tmax\t%s/packet\tx %s\tCPU share\t\n", cycles.Unit, reference)
	for i, c := range all {
		pps := rates(turns[i])
		s := results.SpreadOf(pps)
		ratio := "-"
		if len(peer) == len(pps) {
			r := results.SpreadOf(results.Ratios(pps, peer))
			ratio = fmt.Sprintf("%.2f (%.2f-%.2f)", r.Median, r.Min, r.Max)
		}
		share := 1.0
		for _, m := range turns[i] {
			share = min(share, m.share)
		}
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.0f\t%s\t%.2f\t\n", c.name(), s.Median/1e6, s.Min/1e6, s.Max/1e6, rate/s.Median, ratio,
			share)
	}
	_ = t.Flush()
}

func rates(turns []measurement) []float64 {
	out := make([]float64, len(turns))
	for i, m := range turns {
		out[i] = m.pps
	}
	return out
}

// printCosts prints what each step takes, of each packet received and of each that passes the step.
func printCosts(name string, costs []dataplane.Cost) {
	var packets float64
	for _, c := range costs {
		if c.Step == "port receive" {
			packets = float64(c.Packets)
		}
	}
	fmt.Printf("\n%s: %s of each packet, by step\n", name, cycles.Unit)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "step\tof a packet\tof one in the step\tpackets/call\t\n")
	var sum float64
	for _, c := range costs {
		each, call := "-", "-"
		if c.Packets > 0 {
			each = fmt.Sprintf("%.1f", c.Cycles/float64(c.Packets))
			call = fmt.Sprintf("%.1f", float64(c.Packets)/float64(c.Calls))
		}
		fmt.Fprintf(t, "%s\t%.1f\t%s\t%s\t\n", c.Step, c.Cycles/packets, each, call)
		sum += c.Cycles
	}
	fmt.Fprintf(t, "all\t%.1f\t\t\t\n", sum/packets)
	_ = t.Flush()
}
