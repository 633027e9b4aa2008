package results

import (
	"fmt"
	"strconv"
	"strings"
)

// Suites: the programs that measure.
const (
	Bench    = "bench"    // perf/bench: between veths, with a Linux kernel below
	Pipeline = "pipeline" // perf/pipeline: in memory, without a kernel
	Transmit = "transmit" // perf/txbench: the transmit half of AF_XDP alone
	FIB      = "fib"      // perf/fibbench: look-ups alone
)

// Scenarios: traffic and tables. Frames are of 64 bytes (with the FCS) and carry UDP.
const (
	IP4One            = "ip4-1route"            // one route, one destination
	IP4Full           = "ip4-full"              // a full table, random destinations in it
	IP6One            = "ip6-1route"            // as IP4One, IPv6
	IP6Full           = "ip6-full"              // as IP4Full, IPv6
	IP4Namespace      = "ip4-1namespace"        // four devices' traffic in one namespace
	IP4ManyNamespaces = "ip4-1024namespaces"    // the same, spread over 1,024 namespaces
	Idle8             = "idle-8queues"          // eight queues without traffic
	IP4FourVLANs      = "ip4-1namespace-4vlans" // as IP4Namespace, with one VLAN device on each device
	IP4Thousand       = "ip4-1000routes"        // routes drawn from the full table, random destinations below them
	IP4FullHot        = "ip4-full-hot"          // a full table of which 1,024 destinations are used in turn
	IP4Veth           = "ip4-veth"              // by a veth pair into another namespace, and on from there
	IP4Leak           = "ip4-leak"              // the same, by a route into it
)

// Contenders. A contender of this router begins with the word router.
const (
	Router          = "router"           // one worker, polling as is the default
	RouterBusy      = "router-busy"      // one worker that never sleeps
	RouterInterrupt = "router-interrupt" // one worker that sleeps whenever there is nothing
	Router2         = "router-2workers"
	Linux           = "linux"       // the kernel's forwarding, in a network namespace of its own
	Testpmd         = "testpmd-mac" // DPDK testpmd, forward mode mac: rewrites MACs, looks nothing up
	TestpmdIO       = "testpmd-io"  // DPDK testpmd, forward mode io: does nothing
	L3fwd           = "l3fwd-fib"   // DPDK l3fwd with rte_fib
	MemoryPort      = "memory-port" // what feeds the router in memory, alone
)

// Placements.
const (
	AllOnOne     = "all-on-one"    // the source on a CPU, the whole way of a packet on another
	ReceiveApart = "receive-apart" // the source's CPU receives for the forwarder too
)

// Metrics. Those with a number in the name are made by the functions below.
const (
	Throughput   = "throughput"    // delivered at all that the source offers
	Offered      = "offered"       // what it offered meanwhile
	NoDropRate   = "no-drop-rate"  // the highest rate at which nothing is lost
	OverloadPeak = "overload-peak" // the most that was delivered at any rate of the sweep
	SteadyLost   = "steady-lost"   // with no change meanwhile
	ReloadLost   = "reload-lost"   // while the full table is loaded anew
	ChurnLost    = "churn-lost"    // while routes change all the time
	SteadyTail   = "steady-p99.9"  // latency with no change meanwhile
	ReloadTail   = "reload-p99.9"
	ChurnTail    = "churn-p99.9"
	ReloadBlock  = "reload-blocked" // loss / offered rate: for how long nothing would have been forwarded
	ChurnBlock   = "churn-blocked"
	ChurnRate    = "churn-rate"
	IdleCPU      = "idle-cpu"
	FirstPacket  = "first-packet" // latency of the first packet after idling, the worst of a round
	Cycles       = "cycles"       // of a packet's whole way
)

// Units.
const (
	PacketsPerSecond = "packets/s"
	Microseconds     = "us"
	Nanoseconds      = "ns"
	Packets          = "packets"
	PercentOfCore    = "% of a core"
	CyclesPerPacket  = "cycles/packet"
	ChangesPerSecond = "changes/s"
	RatioUnit        = "ratio"
)

// IsRouter tells contenders of this router from peers.
func IsRouter(contender string) bool { return strings.HasPrefix(contender, Router) }

// Percentiles are those that latencies are recorded at, ascending.
func Percentiles() []float64 { return []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100} }

// Latency is the metric of latency's percentile p when load % of the no-drop rate are offered.
func Latency(load, p float64) string { return fmt.Sprintf("latency-%v-p%v", load, p) }

// ParseLatency takes apart what Latency has made.
func ParseLatency(metric string) (load, p float64, ok bool) {
	text, ok := strings.CutPrefix(metric, "latency-")
	if !ok {
		return 0, 0, false
	}
	first, second, ok := strings.Cut(text, "-p")
	if !ok {
		return 0, 0, false
	}
	load, err := strconv.ParseFloat(first, 64)
	p, err2 := strconv.ParseFloat(second, 64)
	return load, p, err == nil && err2 == nil
}

// Overload is the metric of what is delivered when times the contender's peak is offered.
func Overload(times float64) string { return fmt.Sprintf("overload-x%v", times) }

// ParseOverload takes apart what Overload has made.
func ParseOverload(metric string) (times float64, ok bool) {
	text, ok := strings.CutPrefix(metric, "overload-x")
	if !ok {
		return 0, false
	}
	times, err := strconv.ParseFloat(text, 64)
	return times, err == nil
}

// Node is the metric of the cycles that a packet takes in a node of the graph.
func Node(name string) string { return "node-" + name }

// ParseNode takes apart what Node has made.
func ParseNode(metric string) (name string, ok bool) { return strings.CutPrefix(metric, "node-") }
