package results

import (
	"encoding/csv"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func seriesOf(contender, metric string) Series {
	return Series{Bench, IP4One, contender, AllOnOne, metric, PacketsPerSecond}
}

// someRun has a router of three rounds, the second disturbed, and a peer of which the third was never measured.
func someRun() *Run {
	r := &Run{Machine: Here(), Settings: []Setting{{"flows", "8, of \"UDP\""}}, Missing: []string{"l3fwd: not installed"}}
	for _, c := range []struct {
		who    string
		values []float64
		quiet  []bool
	}{
		{Router, []float64{2, 9, 4}, []bool{true, false, true}},
		{RouterBusy, []float64{1, 1, 1}, []bool{false, false, false}},
		{Linux, []float64{4, 1}, []bool{true, true}},
		{Testpmd, []float64{0, 3, 2.0000001}, []bool{true, true, true}},
	} {
		for i, v := range c.values {
			r.Add(Record{seriesOf(c.who, Throughput), i + 1, v, c.quiet[i]})
			r.Add(Record{seriesOf(c.who, Offered), i + 1, 10, c.quiet[i]})
		}
	}
	return r
}

// TestSummaries checks which rounds count, what is paired with what, and in what order.
func TestSummaries(t *testing.T) {
	r := someRun()
	if got, want := r.Summarize(seriesOf(Router, Throughput)), (Summary{SpreadOf([]float64{2, 4}), 2, 3}); got != want {
		t.Errorf("router %+v, want %+v", got, want)
	}
	if got := r.Summarize(seriesOf(RouterBusy, Throughput)); got.Quiet != 0 || got.N != 3 {
		t.Errorf("never quiet: %+v", got)
	}
	for _, c := range []struct {
		over, under string
		want        Summary
	}{
		{Router, Linux, Summary{SpreadOf([]float64{0.5}), 1, 2}},
		{Linux, Router, Summary{SpreadOf([]float64{2}), 1, 2}},
		{RouterBusy, Linux, Summary{SpreadOf([]float64{0.25, 1}), 0, 2}}, // disturbed, both
		{Router, L3fwd, Summary{}},
	} {
		if got := r.Ratio(seriesOf(c.over, Throughput), seriesOf(c.under, Throughput)); got != c.want {
			t.Errorf("%s / %s: %+v, want %+v", c.over, c.under, got, c.want)
		}
	}
	if got := r.Ratio(seriesOf(Router, Throughput), seriesOf(Testpmd, Throughput)); got.Rounds != 2 || got.Quiet != 1 {
		t.Errorf("a round of a zero counts: %+v", got)
	}
	want := []Series{seriesOf(Linux, Throughput), seriesOf(Testpmd, Throughput)}
	if got := r.Peers(seriesOf(Router, Throughput)); !slices.Equal(got, want) {
		t.Errorf("peers of the router: %v, want %v", got, want)
	}
	if got := r.Peers(seriesOf(Linux, Throughput)); got != nil {
		t.Errorf("peers of Linux: %v", got)
	}
}

func TestAddRefuses(t *testing.T) {
	good := Record{seriesOf(Router, Throughput), 1, 1, true}
	for name, change := range map[string]func(*Record){
		"round 0": func(r *Record) { r.Round = 0 }, "NaN": func(r *Record) { r.Value = math.NaN() },
		"infinite": func(r *Record) { r.Value = math.Inf(1) }, "no unit": func(r *Record) { r.Unit = "" },
		"no contender": func(r *Record) { r.Contender = "" },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			change(&bad)
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was added", bad)
				}
			}()
			(&Run{}).Add(bad)
		})
	}
}

func TestMerge(t *testing.T) {
	a, b := someRun(), &Run{Missing: []string{"x"}}
	b.Add(Record{seriesOf(Router, NoDropRate), 1, 5, true})
	all, err := Merge(a, b)
	if err != nil || len(all.Records) != len(a.Records)+1 || len(all.Missing) != 2 || all.Machine != a.Machine {
		t.Errorf("%+v, %v", all, err)
	}
	b.Add(Record{seriesOf(Linux, Throughput), 2, 7, true})
	if _, err := Merge(a, b); err == nil || !strings.Contains(err.Error(), "linux all-on-one throughput, round 2") {
		t.Errorf("a round that is there twice: %v", err)
	}
}

// TestJSON reads back what is written, one run and several.
func TestJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	nothing := &Run{Machine: Here(), Settings: []Setting{}}
	for _, runs := range [][]*Run{{nothing}, {someRun()}, {nothing, someRun()}} {
		if err := SaveJSON(path, runs...); err != nil {
			t.Fatal(err)
		}
		back, err := ReadJSON(path)
		if err != nil || len(back) != len(runs) {
			t.Fatalf("%d runs, %v", len(back), err)
		}
		for i, want := range runs {
			for j := range want.Records {
				want.Records[j].Value = sixDigits(want.Records[j].Value)
			}
			if got := back[i]; got.Machine != want.Machine || !reflect.DeepEqual(got.Settings, want.Settings) ||
				!slices.Equal(got.Missing, want.Missing) || !sameRecords(got, want) {
				t.Errorf("%+v is read back as %+v", want, got)
			}
		}
	}
	text, _ := os.ReadFile(path)
	for _, want := range []string{
		`"contender":"router","placement":"all-on-one","metric":"throughput","unit":"packets/s","rounds":[1,2,3],"values":[2,9,4],` +
			`"quiet":[true,false,true],"summary":{"median":3,`, `"unit":"ratio","peer":"linux","summary":{"median":0.5,`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// sameRecords compares series by series: a file has them in this order.
func sameRecords(a, b *Run) bool {
	if !slices.Equal(a.All(), b.All()) {
		return false
	}
	for _, s := range a.All() {
		if !slices.Equal(a.Of(s), b.Of(s)) {
			return false
		}
	}
	return true
}

func TestBadJSON(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		``: "unexpected end", `{}`: "no series", `[{"series":null}]`: "no series", `{"series":7}`: "cannot unmarshal",
		`{"series":[{"suite":"bench","scenario":"a","contender":"b","metric":"c","rounds":[1,2],` +
			`"values":[1],"quiet":[true,true]}]}`: "1 values",
	} {
		path := filepath.Join(dir, "x.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadJSON(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	if _, err := ReadJSON(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := someRun().SaveCSV(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# flows: 8, of", "# not measured: l3fwd", "# " + Here().CPU} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	in := csv.NewReader(strings.NewReader(string(text)))
	in.Comment = '#'
	records, err := in.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	const rest = "|all-on-one|throughput|"
	for _, want := range []string{
		"bench|ip4-1route|router" + rest + "packets/s|round|2|false|9", "bench|ip4-1route|router" + rest + "packets/s|median|||3",
		"bench|ip4-1route|router / linux" + rest + "ratio|max|||0.5",
	} {
		if !slices.ContainsFunc(records, func(r []string) bool { return strings.Join(r, "|") == want }) {
			t.Errorf("no record %s in\n%s", want, text)
		}
	}
}

// TestNames takes apart what was put together.
func TestNames(t *testing.T) {
	for _, load := range []float64{10, 50, 90} {
		for _, p := range Percentiles() {
			if gotLoad, gotP, ok := ParseLatency(Latency(load, p)); !ok || gotLoad != load || gotP != p {
				t.Errorf("%s is %v %v %v", Latency(load, p), gotLoad, gotP, ok)
			}
		}
	}
	if times, ok := ParseOverload(Overload(1.5)); !ok || times != 1.5 {
		t.Errorf("%s is %v %v", Overload(1.5), times, ok)
	}
	if name, ok := ParseNode(Node("ip4-lookup")); !ok || name != "ip4-lookup" {
		t.Errorf("%s is %q %v", Node("ip4-lookup"), name, ok)
	}
	for _, other := range []string{Throughput, OverloadPeak, ReloadTail, "latency-", "latency-10-50", "latency-x-p5", "overload-x"} {
		_, _, latency := ParseLatency(other)
		_, overload := ParseOverload(other)
		if latency || overload {
			t.Errorf("%s is taken for a latency or a load", other)
		}
	}
	if Latency(10, 99.9) != "latency-10-p99.9" || Overload(10) != "overload-x10" {
		t.Error("the names are not those of the table of targets")
	}
}
