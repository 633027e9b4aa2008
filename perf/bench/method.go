package main

import (
	"fmt"
	"slices"
	"strings"

	"nsrouter/internal/lab"
)

// method is what is measured of the contenders of a scenario. It makes all rounds, with the contenders in turns.
type method struct {
	name    string
	about   string
	measure func(t lab.T, o options, tracks []*track, record recorder)
}

// methods are all, in the order in which they are used.
func methods() []method {
	return []method{
		{"throughput", "what is forwarded of all that the source can offer", throughput},
		{"nodrop", "the highest rate at which no packet is lost (-loss)", noDropRates},
		{"overload", "what is forwarded of one to ten times the peak", overloads},
		{"latency", "how long packets take at 10, 50 and 90 % of a rate (-rate)", latencies},
		{"reconf", "what is lost while all routes are loaded anew, or change all the time", reconfigurations},
		{"idle", "what a router takes of a CPU without traffic, and how long the first packet takes", idles},
	}
}

// checkMethods looks whether all words are names of methods.
func checkMethods(words string) error {
	for name := range strings.SplitSeq(words, ",") {
		if name != "all" && !slices.Contains(methodNames(), name) {
			return fmt.Errorf("-methods %s: %q is none: want all, or some of %s", words, name, strings.Join(methodNames(), ","))
		}
	}
	return nil
}

// methodsOf are the methods of a scenario that were asked for by names separated by commas, or all that it has.
func methodsOf(s *scenario, words string) (chosen []method) {
	asked := strings.Split(words, ",")
	for _, m := range methods() {
		if slices.Contains(s.methods, m.name) && (slices.Contains(asked, m.name) || slices.Contains(asked, "all")) {
			chosen = append(chosen, m)
		}
	}
	return chosen
}

func methodNames() (names []string) {
	for _, m := range methods() {
		names = append(names, m.name)
	}
	return names
}
