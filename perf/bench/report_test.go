package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

// someTracks are two contenders with three rounds, of which the second was disturbed.
func someTracks() []*track {
	ours := &track{name: results.Router, mode: "copy", results: []result{{10, 2, true}, {10, 9, true}, {10, 4, true}}}
	theirs := &track{name: results.Linux, results: []result{{10, 4, true}, {10, 1, false}, {10, 2, true}}}
	return []*track{ours, theirs}
}

func throughputOf(contender string, o options) results.Series {
	return results.Series{
		Suite: results.Bench, Scenario: results.IP4One, Contender: contender, Placement: o.placement.String(),
		Metric: results.Throughput, Unit: results.PacketsPerSecond,
	}
}

// TestRecords checks what becomes of the measurements, in memory and in the files.
func TestRecords(t *testing.T) {
	dir := t.TempDir()
	o := options{rounds: 3, flows: 8, measure: time.Second, placement: receiveApart}
	jsonFile, csvFile := filepath.Join(dir, "x.json"), filepath.Join(dir, "x.csv")
	if err := save(newRun(results.Here(), o, someTracks()), jsonFile, csvFile); err != nil {
		t.Fatal(err)
	}
	runs, err := results.ReadJSON(jsonFile)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	r := runs[0]
	if len(r.Records) != 12 {
		t.Errorf("%d records", len(r.Records))
	}
	ours, theirs := throughputOf(results.Router, o), throughputOf(results.Linux, o)
	if got, want := r.Ratio(ours, theirs).Spread, results.SpreadOf([]float64{0.5, 2}); got != want {
		t.Errorf("ratio %+v, want %+v", got, want)
	}
	ours.Metric = results.Offered
	if got := r.Summarize(ours); got.Median != 10 || got.N != 3 {
		t.Errorf("offered %+v", got)
	}
	text, err := os.ReadFile(csvFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		r.Machine.Kernel, r.Machine.Commit, "8 flows", "3 of 1s", "AF_XDP in copy mode", "receive-apart: source and",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the CSV lacks %q:\n%s", want, text)
		}
	}
}

// shortRun runs the whole program in short, and returns what it wrote.
func shortRun(t *testing.T, change func(o *options)) *results.Run {
	t.Helper()
	o := options{
		rounds: 2, warmup: 20 * time.Millisecond, measure: 100 * time.Millisecond, workCPU: 1, flows: 4, placement: allOnOne,
		jsonFile: filepath.Join(t.TempDir(), "x.json"),
	}
	if change != nil {
		change(&o)
	}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Main(func(t lab.T) { bench(t, o) }); err != nil {
		t.Fatal(err)
	}
	runs, err := results.ReadJSON(o.jsonFile)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	// On a machine that is loaded a contender may not come to anything in one short measurement.
	for _, contender := range []string{results.Router, results.Linux} {
		if s := runs[0].Summarize(throughputOf(contender, o)); s.Max <= 0 || s.Rounds != 2 {
			t.Errorf("%s: %+v: nothing forwarded, or not in two rounds", contender, s)
		}
	}
	return runs[0]
}

func TestRun(t *testing.T) {
	shortRun(t, nil)
	o := options{rounds: 1, measure: time.Second, jsonFile: filepath.Join(t.TempDir(), "none", "x")}
	if err := o.check(); err == nil {
		t.Error("a file in a directory that is not there is accepted")
	}
}
