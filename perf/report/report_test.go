package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsrouter/perf/results"
)

// one is data with a value of a series in each round.
func one(t *testing.T, values map[results.Series][]float64, quiet bool) *data {
	t.Helper()
	r := &results.Run{}
	for s, list := range values {
		s.Unit = "x"
		for i, v := range list {
			r.Add(results.Record{Series: s, Round: i + 1, Value: v, Quiet: quiet})
		}
	}
	d, err := newData([]*results.Run{r})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestJudge checks what counts of what was measured, on either side of the limit.
func TestJudge(t *testing.T) {
	ours := veth(results.IP4One, results.Router, results.AllOnOne, results.Throughput)
	theirs := ours
	theirs.Contender = results.Linux
	type values = map[results.Series][]float64
	for _, c := range []struct {
		name   string
		target target
		values values
		want   verdict
		value  string
		share  float64
	}{
		{"ratio of the medians would be 1.5", target{over: ours, under: theirs, limit: 0.4},
			values{ours: {1, 3, 8}, theirs: {4, 2, 20}}, reached, "0.40 (0.33 to 0.95)", 1},
		{"just missed", target{over: ours, under: theirs, limit: 1}, values{ours: {99}, theirs: {100}}, missed, "0.99", 0.99},
		{"at most", target{over: ours, under: theirs, at: atMost, limit: 2}, values{ours: {4}, theirs: {2}}, reached, "2.00", 1},
		{"above", target{over: ours, under: theirs, at: atMost, limit: 2}, values{ours: {5}, theirs: {2}}, missed, "2.50", 0.8},
		{"below is less", target{over: ours, at: below, limit: 1}, values{ours: {1}}, missed, "1.00", 1},
		{"worst of all rounds", target{over: ours, at: atMost, allOfIt: true},
			values{ours: {0, 0, 7}}, missed, "7.00 in the worst of 3 rounds", 0},
		{"none of all rounds", target{over: ours, at: atMost, allOfIt: true},
			values{ours: {0, 0, 0}}, reached, "0 in the worst of 3 rounds", 0},
		{"no peer", target{over: ours, under: theirs, limit: 1}, values{ours: {5}}, notMeasured, "", 0},
		{"nothing", target{over: ours, limit: 1}, values{theirs: {5}}, notMeasured, "", 0},
	} {
		j := one(t, c.values, true).judge(c.target)
		share, _ := j.share()
		if j.verdict != c.want || j.value() != c.value || share.Median != c.share || j.disturbed() {
			t.Errorf("%s: %s, %s, share %v; want %s, %s, %v", c.name, j.verdict, j.value(), share.Median, c.want, c.value, c.share)
		}
	}
	if j := one(t, values{ours: {5}}, false).judge(target{over: ours, limit: 1}); j.verdict != reached || !j.disturbed() {
		t.Errorf("a round that was not quiet is not told: %+v", j)
	}
}

// TestTargets checks that every target is of names that exist, and said once.
func TestTargets(t *testing.T) {
	seen := map[[2]results.Series]bool{}
	for _, tg := range targets() {
		key := [2]results.Series{tg.over, tg.under}
		if seen[key] {
			t.Errorf("%s is there twice", tg.over)
		}
		seen[key] = true
		for _, s := range key {
			known := slices.Contains(knownContenders(), s.Contender) && slices.Contains(knownScenarios(), s.Scenario)
			if s != (results.Series{}) && !known {
				t.Errorf("%s: nobody is called so", s)
			}
		}
		if tg.what == "" || tg.limit <= 0 && !tg.allOfIt || (tg.under == results.Series{}) != (tg.asValue != "") {
			t.Errorf("%+v is no target", tg)
		}
	}
	if all := sampleData(t).judgements(); len(all) < 35 {
		t.Errorf("%d targets", len(all))
	}
}

// TestSections looks for values in the places where they belong.
func TestSections(t *testing.T) {
	sections, err := sampleData(t).sections()
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"machine":      `| machine | a <CPU> & co, 2 CPUs |`,
		"targets":      "latency p99.9 v. before | nsrouter |  | receive-apart | ≤ 2 | 3.08 (3.04 to 3.11) | missed |",
		"throughput":   "| IPv4, full table | Linux kernel |",
		"no-drop-rate": "no-drop-rate-receive-apart.svg",
		"overload":     "| IPv4, 1 route | all-on-one | DPDK testpmd mac |",
		"latency":      "| 50 % | nsrouter, busy |",
		"changes":      "| lost while routes change | IPv4, full table | nsrouter | receive-apart | 0 | 0 to 0 | 0 | packets |",
		"idle":         "| CPU time while idle | idle, 8 queues |",
		"pipeline":     "| ip4-lookup | 30.2 | 30.1 to 30.4 |",
		"transmit":     "| two sockets on one queue | router | 55",
	} {
		i := slices.IndexFunc(sections, func(s section) bool { return s.id == id })
		if i < 0 || !strings.Contains(sections[i].markdown(), want) {
			t.Errorf("%s has not %q:\n%s", id, want, sections[i].markdown())
		}
	}
	if len(sections) != 10 {
		t.Errorf("%d sections, not all are looked at", len(sections))
	}
}

// TestFigures checks that each picture is XML, has the texts in it and, drawn again, is the same.
func TestFigures(t *testing.T) {
	draw := func() map[string]string {
		sections, err := sampleData(t).sections()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, s := range sections {
			for _, f := range s.figures {
				svg, err := f.svg()
				if err != nil {
					t.Fatal(err)
				}
				if out[f.name] != "" {
					t.Errorf("two figures are called %s", f.name)
				}
				out[f.name] = string(svg)
			}
		}
		return out
	}
	figures, again := draw(), draw()
	for name, want := range map[string][]string{
		"throughput-all-on-one":            {"million packets/s", "nsrouter", "Linux kernel", "full table"},
		"targets":                          {"veth, IPv4, 1 route, v. Linux kernel, all-on-one", "multiple of the target"},
		"latency-ip4-1route-receive-apart": {"90 % of the no-drop rate", "99.99", "latency, us", "percentile"},
		"overload-ip4-1route":              {"delivered, million packets/s", ">10<"},
		"nodes-ip4-full":                   {"ethernet-input", "cycles/packet"},
		"pipeline":                         {"nsrouter, 2 workers"},
		"transmit-transmit":                {"batch 64", ">ns<"},
	} {
		for _, text := range want {
			if !strings.Contains(figures[name], text) {
				t.Errorf("%s shows no %q", name, text)
			}
		}
	}
	for name, svg := range figures {
		wellFormed(t, name, []byte(svg))
		if svg != again[name] {
			t.Errorf("%s is another one each time: the document could not be checked", name)
		}
		if len(svg) > 100_000 {
			t.Errorf("%s: %d bytes are too many for a picture in the documentation", name, len(svg))
		}
	}
}

func wellFormed(t *testing.T, name string, text []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Errorf("%s is no XML: %v", name, err)
			return
		}
	}
}

// TestHTML checks that the page needs nothing besides it, and that texts of the results are escaped.
func TestHTML(t *testing.T) {
	d := sampleData(t)
	sections, err := d.sections()
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.htmlReport(sections)
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, want := range []string{
		"a &lt;CPU&gt; &amp; co", "Linux 6.1", "abc-dirty", "5 | of 2 s", "vpp: not installed", `<h2 id="targets">`,
		"missed</td>", "not measured</td>",
		"<td class=\"left\">latency-50-p99.9</td>",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has not %q", want)
		}
	}
	if n := strings.Count(page, "<svg "); n != 11 {
		t.Errorf("%d pictures", n)
	}
	for _, bad := range []string{"<CPU>", "<?xml", "<script", "<link", " src="} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

// TestRun makes everything of files, twice: the second run has fewer results, and leaves no picture of the first.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	prose, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("performance.md", prose)
	file := filepath.Join(dir, "all.json")
	if err := results.SaveJSON(file, sampleRun()); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "report.html")
	if err := run(page, dir, []string{file}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(page); err != nil {
		t.Error(err)
	}
	checkDocs(t, dir)
	few := &results.Run{Missing: []string{"nearly all"}}
	few.Add(results.Record{Series: results.Series{
		Suite: results.Transmit, Scenario: "batch 1", Contender: results.Router, Metric: "transmit", Unit: "ns",
	}, Round: 1, Value: 700})
	if err := results.SaveJSON(file, few); err != nil {
		t.Fatal(err)
	}
	if err := run("", dir, []string{file}); err != nil {
		t.Fatal(err)
	}
	checkDocs(t, dir)
	if left, _ := filepath.Glob(filepath.Join(dir, pictures, "*.svg")); len(left) != 1 {
		t.Errorf("pictures left: %v", left)
	}
	if err := run("", dir, []string{file, file}); err == nil || !strings.Contains(err.Error(), "is there twice") {
		t.Errorf("the same results twice: %v", err)
	}
	write("performance.md", bytes.Replace(prose, []byte(begin("latency")), nil, 1))
	if err := run("", dir, []string{file}); err == nil || !strings.Contains(err.Error(), "for section latency") {
		t.Errorf("a document without markers: %v", err)
	}
	write("performance.md", append(prose, []byte(begin("old")+"\n"+end("old")+"\n")...))
	if err := run("", dir, []string{file}); err == nil || !strings.Contains(err.Error(), "11 beginnings") {
		t.Errorf("a document with a section that is no more: %v", err)
	}
	if err := run("", "", nil); err == nil {
		t.Error("nothing is to be done, and no error")
	}
}

// TestDocumentation checks that docs/performance.md and its pictures are what its results yield.
func TestDocumentation(t *testing.T) { checkDocs(t, "../../docs") }

func checkDocs(t *testing.T, docs string) {
	t.Helper()
	d, err := read([]string{filepath.Join(docs, pictures, "results.json")})
	if err != nil {
		t.Fatal(err)
	}
	sections, err := d.sections()
	if err != nil {
		t.Fatal(err)
	}
	prose, err := os.ReadFile(filepath.Join(docs, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.documents(prose, sections)
	if err != nil {
		t.Fatal(err)
	}
	there, _ := filepath.Glob(filepath.Join(docs, pictures, "*.svg"))
	if len(there) != len(want)-1 {
		t.Errorf("%d pictures, want %d: run the report anew (perf/README.md)", len(there), len(want)-1)
	}
	for name, text := range want {
		if got, err := os.ReadFile(filepath.Join(docs, name)); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s is not what %s/results.json yields (%v): run `go run ./perf/report -docs docs docs/performance/results.json`",
				name, pictures, err)
		}
	}
}
