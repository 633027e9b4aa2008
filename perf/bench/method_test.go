package main

import (
	"strings"
	"testing"
	"time"

	"nsrouter/perf/results"
)

// value is what was measured in the only round of a run.
func value(t *testing.T, run *results.Run, contender, metric, unit string) float64 {
	t.Helper()
	for _, r := range run.Records {
		if r.Contender == contender && r.Metric == metric && r.Unit == unit {
			return r.Value
		}
	}
	t.Errorf("%s: no %s in %s", contender, metric, unit)
	return 0
}

// TestMethods has the router and the kernel go through the methods that offer a rate, in a short time and at a low one:
// whatever else the machine does, what was counted must fit together.
func TestMethods(t *testing.T) {
	o := short(t)
	o.rounds, o.contenders, o.placement = 1, "router,linux", allOnOne
	o.methods, o.routes = "overload,latency,reconf", "1000"
	o.measure, o.rate = 100*time.Millisecond, 20_000
	run := measured(t, o)
	for _, name := range []string{results.Router, results.Linux} {
		peak := value(t, run, name, results.OverloadPeak, results.PacketsPerSecond)
		steps := 0
		for _, r := range run.Records {
			if _, ok := results.ParseOverload(r.Metric); !ok || r.Contender != name {
				continue
			}
			if steps++; r.Value < 0 || r.Value > peak {
				t.Errorf("%s: %s %v of a peak of %v", name, r.Metric, r.Value, peak)
			}
		}
		if steps == 0 {
			t.Errorf("%s: no step of overload", name)
		}
		for _, load := range []float64{10, 50, 90} {
			last := 0.
			for _, p := range results.Percentiles() {
				us := value(t, run, name, results.Latency(load, p), results.Microseconds)
				if us < last || us <= 0 || us > 10e6 {
					t.Errorf("%s: p%v at %v %%: %v us after %v", name, p, load, us, last)
				}
				last = us
			}
		}
	}
	for _, metric := range []string{results.SteadyTail, results.ReloadTail, results.ChurnTail} {
		if us := value(t, run, results.Router, metric, results.Microseconds); us <= 0 {
			t.Errorf("%s: %v us", metric, us)
		}
	}
	if rate := value(t, run, results.Router, results.ChurnRate, results.ChangesPerSecond); rate <= 0 || rate > 1.1*churnRate {
		t.Errorf("%v changes a second, want %d if the machine can", rate, churnRate)
	}
	for _, metric := range []string{results.SteadyLost, results.ReloadLost, results.ChurnLost} {
		value(t, run, results.Router, metric, results.Packets)
	}
	if all := strings.Join(run.Missing, "\n"); all != "" {
		t.Errorf("missing: %s", all)
	}
}

// TestIdle looks for what a router takes that nobody uses, and that a packet now and then comes through eight queues.
func TestIdle(t *testing.T) {
	o := short(t)
	o.scenario, o.methods, o.placement, o.rounds = results.Idle8, "idle", allOnOne, 1
	o.measure = 200 * time.Millisecond
	run := measured(t, o)
	// Ten milliseconds are the unit; a router that polls all the time takes 100 %.
	if share := value(t, run, results.Router, results.IdleCPU, results.PercentOfCore); share < 0 || share > 50 {
		t.Errorf("an idle router takes %v %% of a CPU", share)
	}
	for _, name := range []string{results.Router, results.Linux} {
		if us := value(t, run, name, results.FirstPacket, results.Microseconds); us <= 0 {
			t.Errorf("%s: first packet after %v us", name, us)
		}
	}
}
