package main

import "nsrouter/perf/results"

// target is what shall be reached: a value, or the ratio of two.
type target struct {
	what    string
	over    results.Series // units are left out
	under   results.Series // the zero Series: the value of over itself
	at      comparison
	limit   float64
	allOfIt bool   // the worst round counts, not the median
	asValue string // the limit's unit in words, of a value
}

type comparison int

const (
	atLeast comparison = iota
	atMost
	below
)

func (c comparison) String() string { return [...]string{"≥", "≤", "<"}[c] }

// holds tells whether v reaches the limit.
func (c comparison) holds(v, limit float64) bool {
	switch c {
	case atLeast:
		return v >= limit
	case atMost:
		return v <= limit
	}
	return v < limit
}

// targets are all: this is the place to change one.
func targets() []target {
	var all []target
	for _, list := range [][]target{rates(), inMemory(), underLoad(), latencies(), changes()} {
		all = append(all, list...)
	}
	return all
}

func veth(scenario, contender, placement, metric string) results.Series {
	return results.Series{
		Suite: results.Bench, Scenario: scenario, Contender: contender, Placement: placement, Metric: metric,
	}
}

func memory(scenario, contender string) results.Series {
	return results.Series{Suite: results.Pipeline, Scenario: scenario, Contender: contender, Metric: results.Throughput}
}

// against compares the router with a peer in the same traffic.
func against(what, scenario, peer, placement string, limit float64) target {
	return target{
		what:  what,
		over:  veth(scenario, results.Router, placement, results.Throughput),
		under: veth(scenario, peer, placement, results.Throughput), limit: limit,
	}
}

// rates are those between veths.
func rates() []target {
	const one, full4, full6 = "veth, IPv4, 1 route", "veth, IPv4, full table", "veth, IPv6, full table"
	return []target{
		against(one, results.IP4One, results.Testpmd, results.AllOnOne, 1),
		against(one, results.IP4One, results.Testpmd, results.ReceiveApart, 1),
		against(one, results.IP4One, results.Linux, results.AllOnOne, 0.75),
		against(one, results.IP4One, results.Linux, results.ReceiveApart, 1),
		against(full4, results.IP4Full, results.Linux, results.AllOnOne, 1.1),
		against(full4, results.IP4Full, results.Linux, results.ReceiveApart, 2),
		against(full4, results.IP4Full, results.L3fwd, results.AllOnOne, 1),
		against(full4, results.IP4Full, results.L3fwd, results.ReceiveApart, 1),
		against(full6, results.IP6Full, results.Linux, results.AllOnOne, 1.1),
		against(full6, results.IP6Full, results.Linux, results.ReceiveApart, 2),
	}
}

// inMemory are those of the pipeline without a kernel.
func inMemory() []target {
	const what = "in memory, IPv4, full table"
	ours := memory(results.IP4Full, results.Router)
	return []target{
		{what: what, over: ours, under: memory(results.IP4Full, results.L3fwd), limit: 1.5},
		{what: what, over: ours, under: memory(results.IP4Full, results.Testpmd), limit: 0.9},
		{what: "in memory, IPv6 v. IPv4, full tables", over: memory(results.IP6Full, results.Router), under: ours, limit: 0.8},
		{what: "in memory, 2 workers v. 1", over: memory(results.IP4One, results.Router2),
			under: memory(results.IP4One, results.Router), limit: 1.95},
		{
			what:  "in memory, 1,024 namespaces v. 1",
			over:  memory(results.IP4ManyNamespaces, results.Router),
			under: memory(results.IP4Namespace, results.Router), limit: 0.95,
		},
	}
}

// underLoad are namespaces, overload and idling.
func underLoad() []target {
	var all []target
	for _, p := range []string{results.AllOnOne, results.ReceiveApart} {
		all = append(all, target{
			what:  "veth, 1,024 namespaces v. 1, 4 devices",
			over:  veth(results.IP4ManyNamespaces, results.Router, p, results.Throughput),
			under: veth(results.IP4Namespace, results.Router, p, results.Throughput), limit: 0.95,
		})
	}
	for _, p := range []string{results.AllOnOne, results.ReceiveApart} {
		all = append(all, target{
			what:  "veth, 10x the peak offered, v. the peak",
			over:  veth(results.IP4One, results.Router, p, results.Overload(10)),
			under: veth(results.IP4One, results.Router, p, results.OverloadPeak), limit: 0.9,
		})
	}
	for _, p := range []string{results.AllOnOne, results.ReceiveApart} {
		all = append(all,
			target{
				what: "idle, 8 queues, CPU", over: veth(results.Idle8, results.Router, p, results.IdleCPU),
				at: below, limit: 1, asValue: "% of a core",
			},
			target{
				what: "idle, 8 queues, first packet", over: veth(results.Idle8, results.Router, p, results.FirstPacket),
				at: below, limit: 200, asValue: "us",
			})
	}
	return all
}

// latencies are those beside the kernel's at shares of one rate, the same for all.
func latencies() []target {
	var all []target
	for _, p := range []string{results.AllOnOne, results.ReceiveApart} {
		for _, load := range []float64{10, 50} {
			for _, l := range []struct {
				contender  string
				percentile float64
				limit      float64
			}{
				{results.RouterBusy, 50, 1}, {results.RouterBusy, 99.9, 1}, {results.Router, 50, 1.2}, {results.Router, 99.9, 1},
			} {
				metric := results.Latency(load, l.percentile)
				all = append(all, target{
					what: "veth, latency p" + plain(l.percentile) + " at " + plain(load) + " % load",
					over: veth(results.IP4One, l.contender, p, metric), under: veth(results.IP4One, results.Linux, p, metric),
					at: atMost, limit: l.limit,
				})
			}
		}
	}
	return all
}

// changes are what shall not be felt by traffic at 80 % of the no-drop rate.
func changes() []target {
	var all []target
	for _, p := range []string{results.AllOnOne, results.ReceiveApart} {
		ours := func(metric string) results.Series { return veth(results.IP4Full, results.Router, p, metric) }
		lost := target{at: atMost, allOfIt: true, asValue: "packets"}
		tail := target{under: ours(results.SteadyTail), at: atMost, limit: 2}
		reloadLost, churnLost, reloadTail, churnTail := lost, lost, tail, tail
		reloadLost.what, reloadLost.over = "full table loaded anew, packets lost", ours(results.ReloadLost)
		reloadTail.what, reloadTail.over = "full table loaded anew, latency p99.9 v. before", ours(results.ReloadTail)
		churnLost.what, churnLost.over = "route changes, packets lost", ours(results.ChurnLost)
		churnTail.what, churnTail.over = "route changes, latency p99.9 v. before", ours(results.ChurnTail)
		rate := target{what: "route changes, rate", over: ours(results.ChurnRate), limit: 100_000, asValue: "changes/s"}
		all = append(all, reloadLost, reloadTail, rate, churnLost, churnTail)
	}
	return all
}
