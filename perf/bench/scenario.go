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
	// quick is whether the scenario is of those that `make bench` has.
	quick bool
}

// scenarios are all, in the order in which they are measured.
func scenarios() []scenario {
	all := []string{results.Router, results.Linux, results.Testpmd, results.L3fwd}
	polling := append([]string{results.RouterBusy, results.RouterInterrupt}, all...)
	return []scenario{
		{results.IP4One, "IPv4, one route, one destination", 4, "1", polling, true},
		{results.IP4Full, "IPv4, a full table, destinations all over it", 4, "full", all, false},
		{results.IP6Full, "IPv6, a full table, destinations all over it", 6, "full", all, false},
		{
			results.IP4ManyNamespaces, "IPv4, four devices with 256 VLANs each in 1,024 namespaces or in one", 4, "",
			[]string{manyNamespaces, oneNamespace}, false,
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
