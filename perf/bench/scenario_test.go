package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsrouter/perf/results"
)

func namesOf(list []scenario) (names []string) {
	for _, s := range list {
		names = append(names, s.name)
	}
	return names
}

func TestChoose(t *testing.T) {
	for words, want := range map[string][]string{
		"quick":                {results.IP4One},
		"full":                 {results.IP4One, results.IP4Full, results.IP6Full, results.IP4ManyNamespaces},
		"ip6-full,ip4-1route":  {results.IP6Full, results.IP4One},
		"nonsense":             nil,
		"":                     nil,
		"ip6-full, ip4-1route": nil,
	} {
		got, err := choose(words)
		if !slices.Equal(namesOf(got), want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %q, %v; want %q", words, namesOf(got), err, want)
		}
	}
	for _, s := range scenarios() {
		for _, name := range s.contenders {
			if contenders()[name].setup == nil {
				t.Errorf("%s: no contender %s", s.name, name)
			}
		}
	}
}

func TestScenariosOfFlags(t *testing.T) {
	all := strings.Join(scenarios()[0].contenders, ",")
	for _, c := range []struct {
		o          options
		names      string
		contenders string // of the first
	}{
		{options{scenario: "quick", routes: "full"}, "ip4-full", all},
		{options{scenario: "quick", family: 6}, "ip6-1route", all},
		{options{scenario: "quick", routes: "1000", family: 6}, "ip6-1000routes", all},
		{options{scenario: "quick", routes: "/a/rib.gz", family: 4}, "ip4-rib.gz", all},
		{options{scenario: "full", contenders: "linux,router"}, "ip4-1route,ip4-full,ip6-full", "router,linux"},
	} {
		got, err := c.o.scenarios()
		if names := strings.Join(namesOf(got), ","); err != nil || names != c.names {
			t.Errorf("%+v: %s, %v; want %s", c.o, names, err, c.names)
		} else if first := strings.Join(got[0].contenders, ","); first != c.contenders {
			t.Errorf("%+v: %s; want %s", c.o, first, c.contenders)
		}
	}
	o := options{scenario: "quick", contenders: "vpp"}
	if _, err := o.scenarios(); err == nil || !strings.Contains(err.Error(), "testpmd-mac") {
		t.Errorf("a contender that is not there: %v", err)
	}
}

func TestTraffic(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(list, []byte("9.0.0.0/8\n10.0.0.0/8\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		family int
		routes string
		n      int // zero: an error
	}{
		{4, "1", 1}, {6, "", 1}, {4, "full", 901_899}, {6, "full", 160_147}, {6, "500", 500}, {4, list, 2},
		{6, list, 0}, {4, "0", 0}, {4, "nowhere", 0},
	} {
		tr, err := newTraffic(c.family, c.routes)
		if c.n == 0 {
			if err == nil {
				t.Errorf("%+v: accepted", c)
			}
			continue
		}
		if err != nil || len(tr.routes) != c.n {
			t.Fatalf("%+v: %v", c, err)
		}
		want := 1
		if c.n > 1 {
			want = destinations
		}
		if len(tr.destinations) != want {
			t.Errorf("%+v: %d destinations, want %d", c, len(tr.destinations), want)
		}
		for _, to := range tr.destinations[:min(want, 50)] {
			covered := false
			for _, p := range tr.routes {
				covered = covered || p.Contains(to)
			}
			if !covered || tr.nearHost.Contains(to) || tr.farHost.Contains(to) {
				t.Errorf("%+v: nobody routes to %v, or it is on a link", c, to)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	good := options{rounds: 1, measure: 1, workCPU: 1, flows: 1}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(o *options){
		"no such CPU":           func(o *options) { o.workCPU = 1 << 9 },
		"-source-cpu -1":        func(o *options) { o.sourceCPU = -1 },
		"two different":         func(o *options) { o.workCPU = 0 },
		"-rounds":               func(o *options) { o.rounds = 0 },
		"-time":                 func(o *options) { o.measure = 0 },
		"-family 5":             func(o *options) { o.family = 5 },
		"-flows 3":              func(o *options) { o.flows = 3 },
		"could not be written":  func(o *options) { o.jsonFile = "/nowhere/x" },
		"could not be written:": func(o *options) { o.csvFile = "/nowhere/x" },
	} {
		o := good
		change(&o)
		if err := o.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}
