package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// printMachine says what is measured, and on what.
func printMachine(o options, tracks []*track) {
	var u unix.Utsname
	release := "?"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	fmt.Printf("64-byte UDP over IPv4 between veths, %d flows, one route; %d rounds of %v in turns\n",
		o.flows, o.rounds, o.measure)
	fmt.Printf("machine:   %s, Linux %s, %s\n", cpuModel(), release, time.Now().Format(time.RFC3339))
	fmt.Printf("placement: source on CPU %d; receive NAPI, forwarder and sink on CPU %d\n", o.sourceCPU, o.workCPU)
	names := make([]string, len(tracks))
	for i, tr := range tracks {
		names[i] = tr.name
	}
	fmt.Printf("contenders: %s\n", strings.Join(names, ", "))
}

// cpuModel is the first CPU's, as /proc/cpuinfo has it.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}

// printSummary prints minimum, median and maximum of each track, and the ratio of the first to the last, round by
// round. Rounds in which a measurement was disturbed are left out if there are others.
func printSummary(tracks []*track) {
	var rounds []int
	for i := range tracks[0].results {
		if !slices.ContainsFunc(tracks, func(tr *track) bool { return !tr.results[i].quiet }) {
			rounds = append(rounds, i)
		}
	}
	all := len(tracks[0].results)
	fmt.Printf("\n%d of %d rounds had the CPUs to themselves", len(rounds), all)
	if len(rounds) == 0 {
		fmt.Print(": what follows is of the others, and tells little")
		for i := range all {
			rounds = append(rounds, i)
		}
	}
	fmt.Printf("\n%-28s %9s %9s %9s   Mpps forwarded\n", "", "min", "median", "max")
	for _, tr := range tracks {
		printSpread(tr.name, tr.forwarded(rounds), 1e6)
	}
	if len(tracks) > 1 {
		ours, theirs := tracks[0].forwarded(rounds), tracks[len(tracks)-1].forwarded(rounds)
		ratios := make([]float64, len(ours))
		for i := range ours {
			ratios[i] = ours[i] / theirs[i]
		}
		printSpread("ratio, round by round", ratios, 1)
	}
}

func (tr *track) forwarded(rounds []int) []float64 {
	values := make([]float64, len(rounds))
	for i, round := range rounds {
		values[i] = tr.results[round].forwarded
	}
	return values
}

func printSpread(name string, values []float64, unit float64) {
	s := slices.Sorted(slices.Values(values))
	median := (s[(len(s)-1)/2] + s[len(s)/2]) / 2
	fmt.Printf("%-28s %9.3f %9.3f %9.3f\n", name, s[0]/unit, median/unit, s[len(s)-1]/unit)
}

func millions(pps float64) string { return fmt.Sprintf("%.3f M", pps/1e6) }
