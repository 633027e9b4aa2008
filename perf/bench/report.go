package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"nsrouter/perf/results"
)

// settings are what the figures depend on.
func (o *options) settings(dpdkMemory string) []results.Setting {
	settings := []results.Setting{
		{Name: "rounds", Value: fmt.Sprintf("%d of %v, each after %v of load", o.rounds, o.measure, o.warmup)},
		{Name: "frames", Value: fmt.Sprintf("UDP, as short as the headers allow, %d flows", o.flows)},
	}
	if dpdkMemory != "" {
		settings = append(settings, results.Setting{Name: "memory of DPDK", Value: dpdkMemory})
	}
	for _, p := range placements() {
		settings = append(settings, results.Setting{Name: "placement " + string(p), Value: p.describe(o.sourceCPU, o.workCPU)})
	}
	return settings
}

// printList says what there is to choose from.
func printList() {
	fmt.Println("scenarios (* those of quick), and the contenders of each:")
	for _, s := range scenarios() {
		mark := " "
		if s.quick {
			mark = "*"
		}
		fmt.Printf(" %s %-20s %s\n   %-20s %s\n", mark, s.name, s.about, "", strings.Join(s.contenders, ","))
	}
	fmt.Println("contenders:")
	for _, name := range slices.Sorted(maps.Keys(contenders())) {
		fmt.Printf("   %-22s %s\n", name, contenders()[name].title)
	}
}

// printHead says on what is measured.
func printHead(r *results.Run) {
	fmt.Printf("machine: %s, Linux %s, %s\n", r.Machine.CPU, r.Machine.Kernel, r.Machine.Time.Local().Format(time.RFC3339))
	for _, s := range r.Settings {
		fmt.Printf("%s: %s\n", s.Name, s.Value)
	}
}

func printScenario(s *stand) {
	about := s.traffic.String()
	if s.o.current.routes == "" {
		about = s.o.current.about
	}
	fmt.Printf("\n%s, %s: %s\n", s.o.current.name, s.where, about)
}

// progress says on a terminal what is being done; the empty string ends it.
func progress(format string, args ...any) {
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintf(os.Stderr, "\r\x1b[K  "+format, args...)
	}
}

// printSummary prints what each contender forwarded, and what the first did in comparison with each of the others.
func printSummary(r *results.Run, where placement, tracks []*track) {
	fmt.Printf("  %-46s %9s %9s %9s  quiet rounds\n", "Mpps forwarded", "min", "median", "max")
	line := func(name string, s results.Summary, unit float64) {
		fmt.Printf("  %-46s %9.3f %9.3f %9.3f  %d of %d\n", name, s.Min/unit, s.Median/unit, s.Max/unit, s.Quiet, s.Rounds)
	}
	series := func(tr *track) results.Series { return tr.series(where, results.Throughput, results.PacketsPerSecond) }
	for _, tr := range tracks {
		line(tr.label(), r.Summarize(series(tr)), 1e6)
	}
	for _, tr := range tracks[1:] {
		line(tracks[0].label()+" / "+tr.label(), r.Ratio(series(tracks[0]), series(tr)), 1)
	}
}

// label tells contenders apart whose results differ in the scenario only.
func (tr *track) label() string {
	if tr.scenario == results.IP4Namespace {
		return oneNamespace
	}
	if tr.scenario == results.IP4ManyNamespaces {
		return manyNamespaces
	}
	return tr.name
}

// save writes the results to the files that were asked for.
func (o *options) save(r *results.Run) (err error) {
	if o.jsonFile != "" {
		err = results.SaveJSON(o.jsonFile, r)
	}
	if o.csvFile != "" {
		err = errors.Join(err, r.SaveCSV(o.csvFile))
	}
	return err
}

func millions(pps float64) string { return fmt.Sprintf("%.3f M", pps/1e6) }

// tail is the last lines of a text, each cut if it is long.
func tail(text string) string {
	const most, columns = 8, 200
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = lines[max(0, len(lines)-most):]
	for i, line := range lines {
		lines[i] = line[:min(len(line), columns)]
	}
	return strings.Join(lines, "\n")
}
