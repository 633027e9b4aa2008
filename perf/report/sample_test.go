package main

import (
	"math"
	"testing"
	"time"

	"nsrouter/perf/results"
)

// sampleRun has all that a full run measures, with values that are made up: the i-th contender is slower than the one before.
func sampleRun() *results.Run {
	r := &results.Run{
		Machine: results.Machine{
			CPU: "a <CPU> & co", CPUs: 2, Kernel: "6.1", Go: "go1.26", Platform: "linux/amd64", Commit: "abc-dirty", Load: "0.1",
			Time: time.Date(2026, 12, 1, 2, 3, 0, 0, time.UTC),
		},
		Settings: []results.Setting{{Name: "rounds", Value: "5 | of 2 s"}},
		Missing:  []string{"vpp: not installed"},
	}
	peers := []string{results.Router, results.RouterBusy, results.Linux, results.Testpmd, results.L3fwd}
	add := func(s results.Series, unit string, v float64) {
		s.Unit = unit
		for round := 1; round <= 5; round++ {
			r.Add(results.Record{Series: s, Round: round, Value: v * (1 + 0.03*math.Sin(float64(round)*v)), Quiet: round != 5})
		}
	}
	for _, p := range []string{results.AllOnOne, results.ReceiveApart} {
		for i, scenario := range []string{
			results.IP4One, results.IP4Full, results.IP6One, results.IP6Full, results.IP4Namespace, results.IP4ManyNamespaces,
		} {
			for j, c := range peers {
				v := 1.3e6 / float64(i+4) * 4 / (1 + 0.2*float64(j))
				add(veth(scenario, c, p, results.Throughput), results.PacketsPerSecond, v)
				add(veth(scenario, c, p, results.NoDropRate), results.PacketsPerSecond, v*0.8)
			}
		}
		for j, c := range peers {
			sampleLoad(add, p, c, float64(j))
		}
	}
	for _, m := range []string{results.ReloadLost, results.ChurnLost} {
		add(veth(results.IP4Full, results.Router, results.ReceiveApart, m), results.Packets, 0)
	}
	add(veth(results.IP4Full, results.Router, results.ReceiveApart, results.SteadyTail), results.Microseconds, 100)
	add(veth(results.IP4Full, results.Router, results.ReceiveApart, results.ReloadTail), results.Microseconds, 300)
	add(veth(results.Idle8, results.Router, results.AllOnOne, results.IdleCPU), results.PercentOfCore, 0.2)
	sampleMemory(add)
	return r
}

func sampleLoad(add func(results.Series, string, float64), placement, contender string, j float64) {
	peak := 1.3e6 / (1 + 0.2*j)
	add(veth(results.IP4One, contender, placement, results.OverloadPeak), results.PacketsPerSecond, peak)
	for _, x := range []float64{0.5, 0.8, 1, 1.5, 2, 5, 10} {
		v := peak * min(x, 1) * math.Pow(max(x, 1), -0.03*j)
		add(veth(results.IP4One, contender, placement, results.Overload(x)), results.PacketsPerSecond, v)
	}
	for _, load := range []float64{10, 50, 90} {
		for _, p := range results.Percentiles() {
			v := (5 + load/10) * (1 + 0.3*j) * math.Exp(min(4, ninesOf(min(p, 99.999))))
			add(veth(results.IP4One, contender, placement, results.Latency(load, p)), results.Microseconds, v)
		}
	}
}

func sampleMemory(add func(results.Series, string, float64)) {
	for i, scenario := range []string{
		results.IP4One, results.IP4Full, results.IP6Full, results.IP4Namespace, results.IP4ManyNamespaces,
	} {
		for j, c := range []string{results.Router, results.Router2, results.Testpmd, results.L3fwd} {
			add(memory(scenario, c), results.PacketsPerSecond, 20e6/(1+0.1*float64(i+j)))
		}
	}
	for i, node := range []string{"receive", "ethernet-input", "ip4-input", "ip4-lookup", "ip4-forward", "transmit"} {
		s := memory(results.IP4Full, results.Router)
		s.Metric = results.Node(node)
		add(s, results.CyclesPerPacket, 10+7*float64(i))
	}
	for i, variant := range []string{"batch 1", "batch 16", "batch 64", "two sockets on one queue"} {
		add(results.Series{Suite: results.Transmit, Scenario: variant, Contender: results.Router, Metric: "transmit"},
			results.Nanoseconds, 700-50*float64(i))
	}
}

// sampleData are the data of sampleRun.
func sampleData(t *testing.T) *data {
	t.Helper()
	d, err := newData([]*results.Run{sampleRun()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
