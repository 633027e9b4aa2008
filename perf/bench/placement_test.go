package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

// receivers are the NAPI threads of the ends of this process's wires: the tag and letter of an end by the thread's
// directory in /proc.
func receivers(t *testing.T) map[string]string {
	t.Helper()
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	threads := map[string]string{}
	for _, file := range comms {
		comm, _ := os.ReadFile(file) // processes come and go
		for _, end := range []string{"ri", "rf", "ki", "kf"} {
			if strings.HasPrefix(string(comm), fmt.Sprintf("napi/%s%d-", end, os.Getpid())) {
				threads[file] = end
			}
		}
	}
	return threads
}

// TestPlacement looks for the threads that receive: the router's port has none when the source's CPU receives for it, the
// kernel's has one always.
func TestPlacement(t *testing.T) {
	for p, want := range map[placement][]string{allOnOne: {"kf", "ki", "rf", "ri"}, receiveApart: {"kf", "ki", "rf"}} {
		t.Run(string(p), func(t *testing.T) {
			before := receivers(t) // those of an earlier lab may take a while to end
			l := lab.New(t)
			o := options{placement: p, workCPU: 1}
			routerTrack(t, l, o)
			kernelTrack(t, l, o)
			threads := receivers(t)
			maps.DeleteFunc(threads, func(file, _ string) bool { return before[file] != "" })
			if got := slices.Sorted(maps.Values(threads)); !slices.Equal(got, want) {
				t.Errorf("threads receive for %q, want %q", got, want)
			}
		})
	}
	var p placement
	if err := p.Set("nowhere"); err == nil || !strings.Contains(err.Error(), "all-on-one or receive-apart") {
		t.Errorf("nowhere: %v", err)
	}
	if err := p.Set("receive-apart"); err != nil || p != receiveApart {
		t.Errorf("%v, %v", p, err)
	}
}

func TestRunReceiveApart(t *testing.T) {
	r := shortRun(t, func(o *options) { o.placement = receiveApart })
	for _, rec := range r.Records {
		if rec.Placement != "receive-apart" {
			t.Errorf("%+v: has another placement", rec)
		}
	}
	if !slices.ContainsFunc(r.Settings, func(s results.Setting) bool {
		return s.Name == "placement receive-apart" && strings.HasPrefix(s.Value, "source and what receives")
	}) {
		t.Errorf("the settings do not tell the placement: %q", r.Settings)
	}
}
