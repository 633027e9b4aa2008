package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/perf/dpdk"
	"nsrouter/perf/results"
)

// short are options for a run that takes seconds.
func short(t *testing.T) options {
	dir := t.TempDir()
	return options{
		scenario: "quick", rounds: 2, warmup: 20 * time.Millisecond, measure: 100 * time.Millisecond, workCPU: 1, flows: 4,
		jsonFile: filepath.Join(dir, "x.json"), csvFile: filepath.Join(dir, "x.csv"),
	}
}

// measured is what a run has written.
func measured(t *testing.T, o options) *results.Run {
	t.Helper()
	if err := benchAll(o); err != nil {
		t.Fatal(err)
	}
	runs, err := results.ReadJSON(o.jsonFile)
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	return runs[0]
}

// TestRun has all contenders that are installed forward, in both placements.
func TestRun(t *testing.T) {
	o := short(t)
	run := measured(t, o)
	_, noTestpmd := dpdk.Testpmd()
	_, noL3fwd := dpdk.L3fwd()
	for _, c := range []struct {
		name    string
		missing error
	}{{results.Router, nil}, {results.RouterBusy, nil}, {results.RouterInterrupt, nil}, {results.Linux, nil},
		{results.Testpmd, noTestpmd}, {results.L3fwd, noL3fwd}} {
		for _, where := range placements() {
			tr := track{name: c.name, scenario: results.IP4One}
			sum := run.Summarize(tr.series(where, results.Throughput, results.PacketsPerSecond))
			if c.missing == nil {
				// On a machine that is loaded a contender may not come to anything in one short measurement.
				if sum.Max <= 0 || sum.Rounds != 2 {
					t.Errorf("%s, %s: %+v: nothing forwarded, or not in two rounds", c.name, where, sum)
				}
			} else if all := strings.Join(run.Missing, "\n"); sum.Rounds != 0 || !strings.Contains(all, "make bench-deps") {
				t.Errorf("%s is not installed: measured %+v, missing: %s", c.name, sum, all)
			}
		}
	}
	text, err := os.ReadFile(o.csvFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{run.Machine.Kernel, run.Machine.Commit, "4 flows", "2 of 100ms", "AF_XDP in copy mode",
		"placement receive-apart: source and"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the CSV lacks %q:\n%s", want, text)
		}
	}
}

// TestRoutes measures over a table of IPv6.
func TestRoutes(t *testing.T) {
	o := short(t)
	o.family, o.routes, o.contenders, o.placement = 6, "1000", "router,linux", allOnOne
	run := measured(t, o)
	for _, name := range []string{results.Router, results.Linux} {
		tr := track{name: name, scenario: "ip6-1000routes"}
		if sum := run.Summarize(tr.series(allOnOne, results.Throughput, results.PacketsPerSecond)); sum.Max <= 0 || sum.Rounds != 2 {
			t.Errorf("%s: %+v", name, sum)
		}
	}
}

// TestNamespaces has packets go through 16 namespaces, and through the same VLANs in one.
func TestNamespaces(t *testing.T) {
	o := short(t)
	o.current = scenario{name: results.IP4ManyNamespaces, contenders: []string{manyNamespaces, oneNamespace}}
	traffic, err := newTraffic(4, "")
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, lab: lab.New(t), o: o, where: allOnOne, traffic: traffic, portVLANs: 4}
	var missing results.Run
	tracks := s.setUp(&missing)
	if len(tracks) != 2 || tracks[0].scenario == tracks[1].scenario {
		t.Fatalf("%d tracks, missing %q", len(tracks), missing.Missing)
	}
	for i, want := range []int{16 + 1, 1 + 1} { // and init
		tracks[i].run()
		if got := len(strings.Fields(tracks[i].router.Must("netns list"))); got < want || got > want+1 {
			t.Errorf("%s: %d namespaces, want %d", tracks[i].label(), got, want)
		}
		if sent, arrived, err := tracks[i].send(2000, 10_000); err != nil || arrived < sent/2 {
			t.Errorf("%s: %d packets of %d, %v", tracks[i].label(), arrived, sent, err)
		}
		tracks[i].halt()
	}
	checkForwarding(t, tracks)
}

// TestLeftOut replaces testpmd by what is not there, and by what ends at once.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	traffic, err := newTraffic(4, "1")
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, lab: lab.New(t), o: short(t), where: allOnOne, traffic: traffic}
	s.o.current = scenario{name: results.IP4One, contenders: []string{results.Testpmd, results.Linux}}
	path := os.Getenv("PATH")
	t.Setenv("PATH", dir)
	if _, err := s.testpmd(); !errors.Is(err, dpdk.ErrNotInstalled) {
		t.Errorf("not installed: %v", err)
	}
	t.Setenv("PATH", dir+":"+path)
	if err := os.WriteFile(filepath.Join(dir, "dpdk-testpmd"), []byte("#!/bin/sh\necho no such vdev\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var run results.Run
	if tracks := s.setUp(&run); len(tracks) != 1 || tracks[0].name != results.Linux {
		t.Errorf("%d tracks", len(tracks))
	}
	if !slices.ContainsFunc(run.Missing, func(m string) bool {
		return strings.Contains(m, "testpmd") && strings.Contains(m, "no such vdev")
	}) {
		t.Errorf("missing: %q", run.Missing)
	}
}

// TestLackingRoutes has a contender forward to one destination of four.
func TestLackingRoutes(t *testing.T) {
	traffic, err := newTraffic(4, "1000")
	if err != nil {
		t.Fatal(err)
	}
	all := *traffic
	traffic.routes = traffic.routes[:250]
	s := &stand{t: t, lab: lab.New(t), o: short(t), where: allOnOne, traffic: traffic}
	if _, err := s.linux(); err == nil || !strings.Contains(err.Error(), "were forwarded") {
		t.Errorf("250 routes of %d: %v", len(all.routes), err)
	}
}
