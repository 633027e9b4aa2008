package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nsrouter/perf/results"
)

// scenario is what is compared in one run of rounds: who forwards what. It is measured in each placement.
type scenario struct {
	name       string // of package results, unless it was asked for by flags
	about      string // the traffic and the tables, in words
	family     int    // 4 or 6
	routes     string // 1, a number, "full", or the file of a table
	contenders []string
	methods    []string
	queues     int // of each interface; zero is one
	// quick is whether the scenario is of those that `make bench` has.
	quick bool
}

// scenarios are all, in the order in which they are measured.
func scenarios() []scenario {
	all := []string{results.Router, results.Linux, results.Testpmd, results.L3fwd}
	polling := append([]string{results.RouterBusy, results.RouterInterrupt}, all...)
	return []scenario{
		{
			name: results.IP4One, about: "IPv4, one route, one destination", family: 4, routes: "1", contenders: polling,
			methods: []string{"throughput", "nodrop", "overload", "latency"}, quick: true,
		},
		{
			name: results.IP4Full, about: "IPv4, a full table, destinations all over it", family: 4, routes: "full",
			contenders: all, methods: []string{"throughput", "nodrop", "reconf"},
		},
		{
			name: results.IP6Full, about: "IPv6, a full table, destinations all over it", family: 6, routes: "full",
			contenders: all, methods: []string{"throughput"},
		},
		{
			name:   results.IP4ManyNamespaces,
			about:  "IPv4, four devices with 256 VLANs each in 1,024 namespaces or in one",
			family: 4, contenders: []string{manyNamespaces, oneNamespace}, methods: []string{"throughput"},
		},
		{
			name: results.Idle8, about: "IPv4, no traffic, or four packets a second, on eight queues", family: 4, routes: "1",
			contenders: []string{results.Router, results.Linux}, methods: []string{"idle"}, queues: 4,
		},
	}
}

// Contenders of the last scenario. Both are the router; the results of the second are of [results.IP4Namespace].
const (
	manyNamespaces = "router-1024namespaces"
	oneNamespace   = "router-1namespace"
)

// choose finds scenarios by the value of -scenarios: quick, full, or names separated by commas.
func choose(words string) (chosen []scenario, err error) {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
		if words == "full" || words == "quick" && s.quick {
			chosen = append(chosen, s)
		}
	}
	if chosen != nil {
		return chosen, nil
	}
	for name := range strings.SplitSeq(words, ",") {
		i := slices.Index(names, name)
		if i < 0 {
			return nil, fmt.Errorf("%q is no scenario: want quick, full, or some of %s", name, strings.Join(names, ","))
		}
		chosen = append(chosen, scenarios()[i])
	}
	return chosen, nil
}

// scenarios are those of the run.
func (o *options) scenarios() ([]scenario, error) {
	chosen, err := choose(o.scenario)
	if err != nil {
		return nil, err
	}
	if o.routes != "" || o.family != 0 {
		s := scenarios()[0]
		s.routes, s.family = o.routes, o.family
		if s.routes == "" {
			s.routes = "1"
		}
		if s.family == 0 {
			s.family = 4
		}
		s.name = fmt.Sprintf("ip%d-%s", s.family, routeName(s.routes))
		s.about = fmt.Sprintf("IPv%d, routes: %s", s.family, s.routes)
		s.methods = []string{"throughput", "nodrop", "overload"}
		if s.family == 4 {
			s.methods = append(s.methods, "latency", "reconf") // no room for a time in the smallest frames of IPv6
		}
		chosen = []scenario{s}
	}
	for i := range chosen {
		if err := chosen[i].only(o.contenders); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(chosen, func(s scenario) bool { return len(s.contenders) == 0 }), nil
}

// only leaves the contenders that are named, separated by commas; the empty string names all.
func (s *scenario) only(words string) error {
	if words == "" {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(words, ",") {
		if contenders()[name].setup == nil {
			return fmt.Errorf("%q is no contender: want some of %s", name,
				strings.Join(slices.Sorted(maps.Keys(contenders())), ","))
		}
		names = append(names, name)
	}
	s.contenders = slices.DeleteFunc(s.contenders, func(name string) bool { return !slices.Contains(names, name) })
	return nil
}
