package main

import (
	"math"
	"strconv"
	"strings"

	"nsrouter/perf/results"
)

func knownContenders() []string {
	return []string{
		results.Router, results.RouterBusy, results.RouterInterrupt, results.Router2,
		results.Linux, results.Testpmd, results.TestpmdIO, results.L3fwd, results.MemoryPort,
	}
}

func contenderWords(contender string) string {
	switch contender {
	case results.Router:
		return "nsrouter"
	case results.RouterBusy:
		return "nsrouter, busy"
	case results.RouterInterrupt:
		return "nsrouter, interrupt"
	case results.Router2:
		return "nsrouter, 2 workers"
	case results.Linux:
		return "Linux kernel"
	case results.Testpmd:
		return "DPDK testpmd mac"
	case results.TestpmdIO:
		return "DPDK testpmd io"
	case results.MemoryPort:
		return "memory port alone"
	case results.L3fwd:
		return "DPDK l3fwd, rte_fib"
	}
	return contender
}

func knownScenarios() []string {
	return []string{
		results.IP4One, results.IP4Full, results.IP6One, results.IP6Full,
		results.IP4Namespace, results.IP4ManyNamespaces, results.IP4FourVLANs,
		results.IP4Thousand, results.IP4FullHot, results.IP4Veth, results.IP4Leak,
		results.Idle8,
	}
}

func scenarioWords(scenario string) string {
	switch scenario {
	case results.IP4One:
		return "IPv4, 1 route"
	case results.IP4Full:
		return "IPv4, full table"
	case results.IP6One:
		return "IPv6, 1 route"
	case results.IP6Full:
		return "IPv6, full table"
	case results.IP4Namespace:
		return "IPv4, 4 devices, 1 namespace"
	case results.IP4ManyNamespaces:
		return "IPv4, 4 devices, 1,024 namespaces"
	case results.IP4FourVLANs:
		return "IPv4, 4 devices, 1 VLAN each"
	case results.IP4Thousand:
		return "IPv4, 1,000 routes"
	case results.IP4FullHot:
		return "IPv4, full table, hot"
	case results.IP4Veth:
		return "IPv4, 2 namespaces, by veth"
	case results.IP4Leak:
		return "IPv4, 2 namespaces, by route"
	case results.Idle8:
		return "idle, 8 queues"
	}
	return scenario
}

// twoLines breaks a scenario's words after the comma, for a label below bars.
func twoLines(words string) string { return strings.ReplaceAll(words, ", ", "\n") }

// digits prints three digits, or all of a larger number's before the point.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95 || v == 0:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.0995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// thousands puts commas into the digits of a whole number.
func thousands(number string) string {
	sign := ""
	if rest, ok := strings.CutPrefix(number, "-"); ok {
		sign, number = "-", rest
	}
	for i := len(number) - 3; i > 0; i -= 3 {
		number = number[:i] + "," + number[i:]
	}
	return sign + number
}

// plain prints a round number without an exponent.
func plain(v float64) string { return thousandsOf(strconv.FormatFloat(v, 'f', -1, 64)) }

func thousandsOf(number string) string {
	whole, rest, ok := strings.Cut(number, ".")
	if !ok {
		return thousands(whole)
	}
	return thousands(whole) + "." + rest
}

// quartiles prints where half of the values lie.
func quartiles(s results.Spread, scale float64) string {
	return digits(s.Low/scale) + " to " + digits(s.High/scale)
}

// spread prints a median and, if there is more than one value, the quartiles.
func spread(s results.Spread, scale float64) string {
	if s.N < 2 {
		return digits(s.Median / scale)
	}
	return digits(s.Median/scale) + " (" + quartiles(s, scale) + ")"
}
