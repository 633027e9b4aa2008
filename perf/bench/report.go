package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nsrouter/perf/results"
)

// report is what a run says: what is written as JSON.
type report struct {
	Machine  results.Machine `json:"machine"`
	Settings settings        `json:"settings"`
	Rounds   []roundOf       `json:"rounds"`
	// Used is how many rounds the summary is of: those that had the CPUs to themselves or, if there were none, all.
	Used    int       `json:"rounds_used"`
	Quiet   int       `json:"rounds_quiet"`
	Summary []summary `json:"summary"`
}

// settings are what the figures depend on.
type settings struct {
	FrameBytes   int       `json:"frame_bytes"` // without the FCS
	Flows        int       `json:"flows"`
	Rounds       int       `json:"rounds"`
	Warmup       float64   `json:"warmup_seconds"`
	Time         float64   `json:"time_seconds"`
	Placement    placement `json:"placement"`
	SourceCPU    int       `json:"source_cpu"`
	ForwarderCPU int       `json:"forwarder_cpu"`
}

// roundOf is the measurement of one contender in a round.
type roundOf struct {
	Round     int     `json:"round"` // from 1 on
	Contender string  `json:"contender"`
	Offered   float64 `json:"offered_pps"`
	Forwarded float64 `json:"forwarded_pps"`
	Quiet     bool    `json:"quiet"`
}

// summary is what a contender forwarded in the rounds used, or the ratio of the first to the last, round by round.
type summary struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	results.Spread
}

const (
	packets = "packets/s"
	ratio   = "ratio"
)

// printMachine says what is measured, and on what.
func printMachine(m results.Machine, o options, tracks []*track) {
	fmt.Printf("64-byte UDP over IPv4 between veths, %d flows, one route; %d rounds of %v in turns\n",
		o.flows, o.rounds, o.measure)
	fmt.Printf("machine:   %s, Linux %s, %s\n", m.CPU, m.Kernel, m.Time.Local().Format(time.RFC3339))
	fmt.Printf("placement: %s\n", o.placement.describe(o.sourceCPU, o.workCPU))
	names := make([]string, len(tracks))
	for i, tr := range tracks {
		names[i] = tr.name
	}
	fmt.Printf("contenders: %s\n", strings.Join(names, ", "))
}

// newReport takes the results of all tracks. Rounds in which a measurement was disturbed are left out of the summary if
// there are others.
func newReport(m results.Machine, o options, tracks []*track) *report {
	r := &report{Machine: m, Settings: o.settings()}
	var all, quiet []int
	for i := range tracks[0].results {
		all = append(all, i)
		if !slices.ContainsFunc(tracks, func(tr *track) bool { return !tr.results[i].quiet }) {
			quiet = append(quiet, i)
		}
		for _, tr := range tracks {
			one := tr.results[i]
			r.Rounds = append(r.Rounds, roundOf{i + 1, tr.name, one.offered, one.forwarded, one.quiet})
		}
	}
	used := quiet
	if len(quiet) == 0 {
		used = all
	}
	r.Quiet, r.Used = len(quiet), len(used)
	for _, tr := range tracks {
		r.Summary = append(r.Summary, summary{tr.name, packets, results.SpreadOf(tr.forwarded(used))})
	}
	if len(tracks) > 1 {
		each := results.Ratios(tracks[0].forwarded(used), tracks[len(tracks)-1].forwarded(used))
		r.Summary = append(r.Summary, summary{"ratio, round by round", ratio, results.SpreadOf(each)})
	}
	return r
}

func (o *options) settings() settings {
	return settings{
		FrameBytes: 60, Flows: o.flows, Rounds: o.rounds, Warmup: o.warmup.Seconds(), Time: o.measure.Seconds(),
		Placement: o.placement, SourceCPU: o.sourceCPU, ForwarderCPU: o.workCPU,
	}
}

func (tr *track) forwarded(rounds []int) []float64 {
	values := make([]float64, len(rounds))
	for i, round := range rounds {
		values[i] = tr.results[round].forwarded
	}
	return values
}

// print prints minimum, median and maximum of each line of the summary.
func (r *report) print() {
	fmt.Printf("\n%d of %d rounds had the CPUs to themselves", r.Quiet, r.Settings.Rounds)
	if r.Quiet == 0 {
		fmt.Print(": what follows is of the others, and tells little")
	}
	fmt.Printf("\n%-28s %9s %9s %9s   Mpps forwarded\n", "", "min", "median", "max")
	for _, s := range r.Summary {
		unit := 1e6
		if s.Unit == ratio {
			unit = 1
		}
		fmt.Printf("%-28s %9.3f %9.3f %9.3f\n", s.Name, s.Min/unit, s.Median/unit, s.Max/unit)
	}
}

// save writes the report to the files that were asked for.
func (r *report) save(jsonFile, csvFile string) error {
	if jsonFile != "" {
		if err := results.SaveJSON(jsonFile, r); err != nil {
			return err
		}
	}
	if csvFile == "" {
		return nil
	}
	columns, records := r.csv()
	return results.SaveCSV(csvFile, r.header(), columns, records)
}

// header is what the CSV has of machine and settings, as comments.
func (r *report) header() []string {
	s := r.Settings
	return append(r.Machine.Lines(),
		fmt.Sprintf("UDP over IPv4 between veths, frames of %d bytes without FCS, %d flows; %d rounds of %v s after %v s",
			s.FrameBytes, s.Flows, s.Rounds, s.Time, s.Warmup),
		fmt.Sprintf("placement %s: %s", s.Placement, s.Placement.describe(s.SourceCPU, s.ForwarderCPU)),
		fmt.Sprintf("%d of %d rounds had the CPUs to themselves; the summary is of %d", r.Quiet, s.Rounds, r.Used))
}

// csv has a record for each value: those of a round have its number, those of the summary have none.
func (r *report) csv() (columns []string, records [][]string) {
	for _, one := range r.Rounds {
		for _, v := range []struct {
			metric string
			value  float64
		}{{"offered", one.Offered}, {"forwarded", one.Forwarded}} {
			records = append(records, []string{
				one.Contender, v.metric, packets, "round", fmt.Sprint(one.Round), fmt.Sprint(one.Quiet), results.Float(v.value),
			})
		}
	}
	for _, s := range r.Summary {
		for _, v := range []struct {
			statistic string
			value     float64
		}{{"min", s.Min}, {"p25", s.Low}, {"median", s.Median}, {"p75", s.High}, {"max", s.Max}} {
			records = append(records, []string{s.Name, "forwarded", s.Unit, v.statistic, "", "", results.Float(v.value)})
		}
	}
	return strings.Split("contender,metric,unit,statistic,round,quiet,value", ","), records
}

func millions(pps float64) string { return fmt.Sprintf("%.3f M", pps/1e6) }
