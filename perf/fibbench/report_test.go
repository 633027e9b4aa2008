package main

import (
	"bytes"
	"encoding/csv"
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
)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		p, want float64
	}{
		{nil, .5, 0}, {[]float64{7}, .999, 7}, {[]float64{3, 1, 2}, .5, 2}, {[]float64{4, 1, 3, 2}, .5, 2.5},
		{[]float64{5, 1, 2, 3, 4}, .25, 2}, {[]float64{5, 1, 2, 3, 4}, 1, 5}, {[]float64{5, 1, 2, 3, 4}, 0, 1},
	} {
		before := slices.Clone(c.values)
		if got := quantile(c.values, c.p); got != c.want {
			t.Errorf("quantile %v of %v: %v, want %v", c.p, c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("%v was sorted to %v: rounds would be paired wrongly", before, c.values)
		}
	}
	if s := spreadOf([]float64{10, 30, 20, 50, 40}); s != (spread{30, 20, 40, 5}) {
		t.Errorf("spread %+v", s)
	}
	if r := ratios([]float64{6, 2}, []float64{3, 4}); !slices.Equal(r, []float64{2, .5}) {
		t.Errorf("ratios %v", r)
	}
}

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
		{"lookup", poptrie.IPv4, 10, "U", `a "b", c`, "time", "ns", spread{1.5, 1.25, 2, 21}},
		{"memory", poptrie.IPv6, 901_899, "", "x", "all", "bytes", once(67_108_864)},
	}
	var out bytes.Buffer
	if err := writeCSV(&out, []string{"a machine, with a comma", `and "quotes"`}, rows); err != nil {
		t.Fatal(err)
	}
	r := csv.NewReader(&out)
	r.Comment = '#'
	got, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"lookup", "IPv4", "10", "U", `a "b", c`, "time", "ns", "1.5", "1.25", "2", "21"}
	if len(got) != 3 || !slices.Equal(got[1], want) || got[2][7] != "6.71089e+07" {
		t.Errorf("read back %q", got)
	}
}

func TestPrintTables(t *testing.T) {
	rows := []row{
		{"lookup", poptrie.IPv4, 10, "U", "first", "time", "ns", spread{1.5, 1.25, 2, 21}},
		{"lookup", poptrie.IPv4, 10, "U", "first", "speed", "x second", spread{12, 11, 13.5, 21}},
		{"memory", poptrie.IPv4, 10, "", "first", "all", "bytes", once(1536)},
		{"lookup", poptrie.IPv4, 10, "U", "second", "time", "ns", spread{18, 17, 19, 21}},
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
		if r.metric == "wrong answers" && r.median != 0 || r.metric == "never seen" && r.median != 0 {
			t.Errorf("%v, %s: %v %s", r.family, r.contender, r.median, r.metric)
		}
		if (r.metric == "time" || r.metric == "changes") && r.median <= 0 {
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
		r := row{"lookup", poptrie.IPv4, 10, "U", "x", "time", "ns", spread{1, low, 2, 3}}
		if _, err := savePlots(t.TempDir(), []row{r}); err == nil {
			t.Errorf("a time of %v was plotted", low)
		}
	}
}
