package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

// builds measures how fast tables are made, of sorted routes and one by one in random order.
func (b *bench) builds(f poptrie.Family, routes []route) error {
	for _, way := range []struct {
		name   string
		routes []route
		single bool
	}{{"load, sorted", routes, false}, {"insert, random order", shuffled(routes), true}} {
		rnd := rand.New(rand.NewPCG(6, 6))
		rates := make([][]float64, len(b.contenders))
		for round := range b.fewRounds {
			b.progress("%v, %d routes: %s, round %d of %d", f, len(routes), way.name, round+1, b.fewRounds)
			for _, i := range rnd.Perm(len(b.contenders)) {
				c := b.contenders[i]
				if !c.runs(f, len(routes)) || c.steady {
					continue
				}
				rate, err := c.timeBuild(f, way.routes, way.single)
				if err != nil {
					return fmt.Errorf("%s: %w", way.name, err)
				}
				rates[i] = append(rates[i], rate)
			}
		}
		for i, c := range b.contenders {
			if rates[i] != nil {
				r := row{section: "build", family: f, prefixes: len(routes), contender: c.name}
				b.add(r, way.name, "M routes/s", results.SpreadOf(rates[i]))
			}
		}
	}
	return nil
}

// timeBuild is how many million routes a second go into a new table. Small tables are built again and again.
func (c *contender) timeBuild(f poptrie.Family, routes []route, single bool) (float64, error) {
	const enough = 200_000 // routes that make a measurable time
	times := max(1, enough/len(routes))
	if c.heavy {
		times = 1
	}
	runtime.GC()
	start := threadTime()
	for range times {
		t, err := c.build(f, routes, single)
		if err != nil {
			return 0, err
		}
		t.close()
	}
	return float64(times*len(routes)) * 1e3 / nanoseconds(threadTime()-start), nil
}
