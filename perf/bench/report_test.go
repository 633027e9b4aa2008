package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

// someTracks are two contenders with three rounds, of which the second was disturbed.
func someTracks() []*track {
	ours := &track{name: "ours, a", results: []result{{10, 2, true}, {10, 9, true}, {10, 4, true}}}
	theirs := &track{name: "theirs", results: []result{{10, 4, true}, {10, 1, false}, {10, 2, true}}}
	return []*track{ours, theirs}
}

// TestReport checks which rounds count, and the order of what is paired.
func TestReport(t *testing.T) {
	o := options{rounds: 3, measure: time.Second}
	r := newReport(results.Here(), o, someTracks())
	if r.Quiet != 2 || r.Used != 2 || len(r.Rounds) != 6 || len(r.Summary) != 3 {
		t.Fatalf("%+v", r)
	}
	if got, want := r.Summary[2].Spread, results.SpreadOf([]float64{0.5, 2}); got != want {
		t.Errorf("ratio %+v, want %+v", got, want)
	}
	if got := r.Summary[0].Spread; got.Median != 3 || got.Max != 4 || got.N != 2 {
		t.Errorf("ours %+v", got)
	}
	tracks := someTracks()
	for i := range tracks[0].results {
		tracks[0].results[i].quiet = false
	}
	if r := newReport(results.Here(), o, tracks); r.Quiet != 0 || r.Used != 3 || r.Summary[0].Max != 9 {
		t.Errorf("never quiet: %+v", r)
	}
}

// TestFiles reads back what is written.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	r := newReport(results.Here(), options{rounds: 3, flows: 8, measure: time.Second}, someTracks())
	jsonFile, csvFile := filepath.Join(dir, "x.json"), filepath.Join(dir, "x.csv")
	if err := r.save(jsonFile, csvFile); err != nil {
		t.Fatal(err)
	}
	back := readReport(t, jsonFile)
	if back.Machine != r.Machine || back.Settings != r.Settings || !slices.Equal(back.Rounds, r.Rounds) ||
		!slices.Equal(back.Summary, r.Summary) {
		t.Errorf("%+v is read back as %+v", r, back)
	}
	text, err := os.ReadFile(csvFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{r.Machine.Kernel, r.Machine.Commit, "8 flows", "2 of 3 rounds"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the CSV lacks %q:\n%s", want, text)
		}
	}
	in := csv.NewReader(strings.NewReader(string(text)))
	in.Comment = '#'
	records, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ours, a|forwarded|packets/s|round|2|true|9", "theirs|forwarded|packets/s|round|2|false|1",
		"theirs|offered|packets/s|round|3|true|10", "ours, a|forwarded|packets/s|median|||3",
		"ratio, round by round|forwarded|ratio|max|||2",
	} {
		if !slices.ContainsFunc(records, func(r []string) bool { return strings.Join(r, "|") == want }) {
			t.Errorf("no record %s in\n%s", want, text)
		}
	}
	if len(records) != 1+12+15 {
		t.Errorf("%d records", len(records))
	}
}

func readReport(t *testing.T, file string) (r report) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shortRun runs the whole program in short, and returns what it wrote.
func shortRun(t *testing.T, change func(o *options)) report {
	t.Helper()
	o := options{
		rounds: 2, warmup: 20 * time.Millisecond, measure: 100 * time.Millisecond, workCPU: 1, flows: 4,
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
	r := readReport(t, o.jsonFile)
	if len(r.Rounds) != 4 {
		t.Errorf("%d results, want two of each contender", len(r.Rounds))
	}
	for _, one := range r.Rounds {
		if one.Forwarded <= 0 || one.Offered <= 0 {
			t.Errorf("%+v: want some offered, and forwarded", one)
		}
	}
	return r
}

func TestRun(t *testing.T) {
	r := shortRun(t, nil)
	if s := r.Settings; s.Rounds != 2 || s.Flows != 4 || s.ForwarderCPU != 1 || s.FrameBytes != 60 {
		t.Errorf("%+v", s)
	}
	o := options{rounds: 1, measure: time.Second, jsonFile: filepath.Join(t.TempDir(), "none", "x")}
	if err := o.check(); err == nil {
		t.Error("a file in a directory that is not there is accepted")
	}
}
