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
		for _, end := range []string{"ri0", "rf", "ki0", "kf"} {
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
	for p, want := range map[placement][]string{allOnOne: {"kf", "ki0", "rf", "ri0"}, receiveApart: {"kf", "ki0", "rf"}} {
		t.Run(string(p), func(t *testing.T) {
			before := receivers(t) // those of an earlier lab may take a while to end
			traffic, err := newTraffic(4, "1")
			if err != nil {
				t.Fatal(err)
			}
			s := &stand{t: t, lab: lab.New(t), o: short(t), where: p, traffic: traffic}
			for _, name := range []string{results.Router, results.Linux} {
				if _, err := contenders()[name].setup(s); err != nil {
					t.Fatal(err)
				}
			}
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
