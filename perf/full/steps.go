package main

import (
	"time"

	"nsrouter/perf/results"
)

// step is one run of a program that measures. It gets the file for its results by -json.
type step struct {
	name    string // of its file of results, too
	about   string
	program string // its package below perf
	args    []string
	quick   []string // what is added for a short run
	takes   time.Duration
}

// steps are all of the full benchmark, in their order. Each is a process of its own, so that one that fails does not take the others
// with it.
func steps() []step {
	short := []string{"-rounds", "2", "-time", "300ms", "-warmup", "100ms"}
	return []step{
		{"pipeline", "the pipeline in memory, DPDK beside it", "pipeline", nil, []string{"-quick"}, 6 * time.Minute},
		bench("ip4-1route", "veth, IPv4, one route", results.IP4One, short, 60*time.Minute),
		bench("ip4-full", "veth, IPv4, full table", results.IP4Full, short, 45*time.Minute),
		bench("ip6-full", "veth, IPv6, full table", results.IP6Full, short, 10*time.Minute),
		bench("idle", "eight queues without traffic", results.Idle8, short, 5*time.Minute),
		bench("namespaces", "veth, 1,024 namespaces", results.IP4ManyNamespaces, short, 6*time.Minute),
		{"transmit", "transmit alone", "txbench", nil, []string{"-quick"}, 2 * time.Minute},
	}
}

// bench is a scenario of perf/bench, in both placements.
func bench(name, about, scenario string, quick []string, takes time.Duration) step {
	return step{name, about, "bench", []string{"-scenarios", scenario, "-methods", "all"}, quick, takes}
}
