package main

import (
	"fmt"
	"strings"

	"nsrouter/perf/results"
)

// printMachine says what is measured, and on what.
func printMachine(m results.Machine, o options, tracks []*track) {
	fmt.Printf("64-byte UDP over IPv4 between veths, %d flows, one route; %d rounds of %v in turns\n",
		o.flows, o.rounds, o.measure)
	fmt.Printf("machine:   %s, Linux %s, %s\n", m.CPU, m.Kernel, m.Time.Local().Format("2006-01-02T15:04:05Z07:00"))
	fmt.Printf("placement: %s\n", o.placement.describe(o.sourceCPU, o.workCPU))
	names := make([]string, len(tracks))
	for i, tr := range tracks {
		names[i] = tr.name
		if tr.mode != "" {
			names[i] += " (AF_XDP " + tr.mode + ")"
		}
	}
	fmt.Printf("contenders: %s\n", strings.Join(names, ", "))
}

// newRun takes the results of all tracks.
func newRun(m results.Machine, o options, tracks []*track) *results.Run {
	run := &results.Run{Machine: m, Settings: o.settings(tracks)}
	for _, tr := range tracks {
		for i, one := range tr.results {
			s := results.Series{
				Suite: results.Bench, Scenario: results.IP4One, Contender: tr.name, Placement: o.placement.String(),
				Metric: results.Throughput, Unit: results.PacketsPerSecond,
			}
			run.Add(results.Record{Series: s, Round: i + 1, Value: one.forwarded, Quiet: one.quiet})
			s.Metric = results.Offered
			run.Add(results.Record{Series: s, Round: i + 1, Value: one.offered, Quiet: one.quiet})
		}
	}
	return run
}

// settings are what the figures depend on.
func (o *options) settings(tracks []*track) []results.Setting {
	all := []results.Setting{
		{Name: "traffic", Value: fmt.Sprintf("UDP, frames of 60 bytes without FCS, %d flows", o.flows)},
		{Name: "rounds", Value: fmt.Sprintf("%d of %v after %v", o.rounds, o.measure, o.warmup)},
		{Name: "placement " + o.placement.String(), Value: o.placement.describe(o.sourceCPU, o.workCPU)},
	}
	for _, tr := range tracks {
		if tr.mode != "" {
			all = append(all, results.Setting{Name: tr.name, Value: "AF_XDP in " + tr.mode + " mode"})
		}
	}
	return all
}

// printSummary prints minimum, median and maximum of each series of packets per second, and of the router's ratios to its peers.
func printSummary(run *results.Run) {
	fmt.Printf("\n%-44s %9s %9s %9s   of\n", "", "min", "median", "max")
	line := func(name string, sum results.Summary, unit float64, word string) {
		note := fmt.Sprintf("%d quiet rounds of %d", sum.Quiet, sum.Rounds)
		if sum.Quiet == 0 {
			note = fmt.Sprintf("%d rounds, none quiet: tells little", sum.Rounds)
		}
		fmt.Printf("%-44s %9.3f %9.3f %9.3f   %s%s\n", name, sum.Min/unit, sum.Median/unit, sum.Max/unit, word, note)
	}
	all := run.All()
	for _, s := range all {
		if s.Metric != results.Offered {
			line(s.Contender+" "+s.Metric, run.Summarize(s), 1e6, "Mpps, ")
		}
	}
	for _, s := range all {
		for _, peer := range run.Peers(s) {
			if s.Metric != results.Offered {
				line(s.Contender+" / "+peer.Contender, run.Ratio(s, peer), 1, "")
			}
		}
	}
}

// save writes the run to the files that were asked for.
func save(run *results.Run, jsonFile, csvFile string) error {
	if jsonFile != "" {
		if err := results.SaveJSON(jsonFile, run); err != nil {
			return err
		}
	}
	if csvFile == "" {
		return nil
	}
	return run.SaveCSV(csvFile)
}

func millions(pps float64) string { return fmt.Sprintf("%.3f M", pps/1e6) }
