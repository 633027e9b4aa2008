package main

import (
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 901899: "901899", 5: "5"} {
		if got := number(v); got != want {
			t.Errorf("%v prints as %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{1: "1 B", 1536: "1.50 KiB", 64 << 20: "64 MiB"} {
		if got := size(v); got != want {
			t.Errorf("%v prints as %s, want %s", v, got, want)
		}
	}
}

func TestCSV(t *testing.T) {
	rows := []row{
		{"lookup", poptrie.IPv4, 10, "U", `a "b", c`, "time", "ns", results.Spread{Median: 1.5, Low: 1.25, High: 2, N: 21}},
		{"memory", poptrie.IPv6, 901_899, "", "x", "all", "bytes", results.Once(67_108_864)},
	}
	columns, got := csv(rows)
	want := []string{"lookup", "IPv4", "10", "U", `a "b", c`, "time", "ns", "1.5", "1.25", "2", "21"}
	if len(got) != 2 || !slices.Equal(got[0], want) || got[1][7] != "6.71089e+07" || len(columns) != len(want) {
		t.Errorf("columns %q, records %q", columns, got)
	}
}

func TestPrintTables(t *testing.T) {
	rows := []row{
		{"lookup", poptrie.IPv4, 10, "U", "first", "time", "ns", results.Spread{Median: 1.5, Low: 1.25, High: 2, N: 21}},
		{"lookup", poptrie.IPv4, 10, "U", "first", "speed", "x second", results.Spread{Median: 12, Low: 11, High: 13.5, N: 21}},
		{"memory", poptrie.IPv4, 10, "", "first", "all", "bytes", results.Once(1536)},
		{"lookup", poptrie.IPv4, 10, "U", "second", "time", "ns", results.Spread{Median: 18, Low: 17, High: 19, N: 21}},
	}
	var out strings.Builder
	if err := printTables(&out, rows); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"IPv4, 10 routes: look-ups", "U ns", "U x second", "1.50 (1.25-2)", "12 (11-13.5)", "18 (17-19)", "1.50 KiB",
	} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q is there %d times in\n%s", want, strings.Count(out.String(), want), &out)
		}
	}
}

// TestRun runs every part on small tables, and looks for a result of each contender in the files.
func TestRun(t *testing.T) {
	runtime.LockOSThread() // times are the thread's
	defer runtime.UnlockOSThread()
	o := options{only: "poptrie,bart"}
	b := o.bench()
	b.rounds, b.fewRounds, b.churnTime, b.watchTime, b.tty = 2, 1, 5*time.Millisecond, 5*time.Millisecond, false
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		routes := someRoutes(f, 300)
		for _, p := range parts() {
			if err := p.run(b, f, routes); err != nil {
				t.Fatalf("%s: %v", p.name, err)
			}
		}
		if err := b.small(f); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for _, r := range b.rows {
		seen[r.section+" "+r.contender] = true
		if r.metric == "wrong answers" && r.Median != 0 || r.metric == "never seen" && r.Median != 0 {
			t.Errorf("%v, %s: %v %s", r.family, r.contender, r.Median, r.metric)
		}
		if (r.metric == "time" || r.metric == "changes") && r.Median <= 0 {
			t.Errorf("%+v", r)
		}
	}
	for _, section := range []string{"lookup", "build", "churn", "latency", "memory", "namespaces"} {
		for _, name := range []string{b.contenders[0].name, "bart.Fast", "bart.Table"} {
			if !seen[section+" "+name] {
				t.Errorf("no result of %s in part %s", name, section)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "out")
	if err := b.save(dir, nil); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"results.csv", "lookup-ipv4.png", "lookup-ipv6.png"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() < 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPlotRefusesNonsense checks that what is no time does not reach the logarithmic axes, whose ticks would never end.
func TestPlotRefusesNonsense(t *testing.T) {
	for _, low := range []float64{0, -1, math.NaN()} {
		r := row{"lookup", poptrie.IPv4, 10, "U", "x", "time", "ns", results.Spread{Median: 1, Low: low, High: 2, N: 3}}
		if _, err := savePlots(t.TempDir(), []row{r}); err == nil {
			t.Errorf("a time of %v was plotted", low)
		}
	}
}
