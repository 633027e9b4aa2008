package main

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/tables"
)

// route is a prefix and the id that it leads to.
type route struct {
	prefix netip.Prefix
	id     poptrie.ID
}

// nextHops is how many ids the routes of a table share.
const nextHops = 250

// readTables reads the real prefixes of both families, sorted. A prefix has the same random id in every run.
func readTables() (v4, v6 []route, err error) {
	p4, p6, err := tables.Read()
	rnd := rand.New(rand.NewPCG(7, 7))
	return routesOf(p4, rnd), routesOf(p6, rnd), err
}

func routesOf(prefixes []netip.Prefix, rnd *rand.Rand) []route {
	routes := make([]route, len(prefixes))
	for i, p := range prefixes {
		routes[i] = route{p, 1 + poptrie.ID(rnd.IntN(nextHops))}
	}
	return routes
}

// sorted sorts routes and drops the repeated ones.
func sorted(routes []route) []route {
	slices.SortFunc(routes, func(a, b route) int { return a.prefix.Compare(b.prefix) })
	return slices.CompactFunc(routes, func(a, b route) bool { return a.prefix == b.prefix })
}

// sample takes n routes at random, the same ones each time, in order; zero or more than there are means all.
func sample(routes []route, n int) []route {
	if n == 0 || n >= len(routes) {
		return routes
	}
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	out := make([]route, n)
	for i, at := range rnd.Perm(len(routes))[:n] {
		out[i] = routes[at]
	}
	return sorted(out)
}

// shuffled is a copy of routes in an order that is random and the same each time.
func shuffled(routes []route) []route {
	out := slices.Clone(routes)
	rand.New(rand.NewPCG(1, 9)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// groupsBelow counts how many blocks of 256 entries a table has that takes the first 24 bits in one step and the others by eight:
// one for each step and each prefix of its length that longer routes lie below.
func groupsBelow(routes []route) int {
	n := 0
	for step := 24; step < 128; step += 8 {
		var last netip.Prefix
		for _, r := range routes {
			if r.prefix.Bits() <= step {
				continue
			}
			if p, _ := r.prefix.Addr().Prefix(step); p != last {
				last = p
				n++
			}
		}
	}
	return n
}
