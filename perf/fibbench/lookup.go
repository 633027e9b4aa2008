package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

// checked is how many addresses all contenders must answer alike before anything is measured.
const checked = 100_000

// entrant is a contender with its table.
type entrant struct {
	*contender
	table
}

// enter builds the tables of the contenders that run with these routes.
func (b *bench) enter(f poptrie.Family, routes []route, which func(*contender) bool) ([]entrant, error) {
	var out []entrant
	for _, c := range b.contenders {
		if !c.runs(f, len(routes)) || !which(c) {
			continue
		}
		b.progress("%v, %d routes: build %s", f, len(routes), c.name)
		t, err := c.build(f, routes, false)
		if err != nil {
			closeAll(out)
			return nil, err
		}
		out = append(out, entrant{c, t})
	}
	return out, nil
}

func closeAll(list []entrant) {
	for _, e := range list {
		e.close()
	}
}

// lookups measures look-ups in all tables of a family, after a check that all give the same answers.
func (b *bench) lookups(f poptrie.Family, routes []route) error {
	list, err := b.enter(f, routes, func(*contender) bool { return true })
	if err != nil {
		return err
	}
	defer closeAll(list)
	if !b.smallPages {
		collapse()
	}
	if err := check(f, routes, list); err != nil {
		return err
	}
	b.progress("")
	fmt.Printf("\n%v, %d routes: all tables give the same answers; on huge pages: %v\n", f, len(routes), hugePages())
	for _, s := range allStreams() {
		q := newQueries(f, s.draw(f, routes, streamLen))
		what := fmt.Sprintf("%v, %d routes, stream %s: look up", f, len(routes), s)
		times := b.race(list, what, func(e entrant, round int) float64 { return e.timeLookups(q, round, b.again) })
		b.addRates(list, times, row{section: "lookup", family: f, prefixes: len(routes), stream: string(s)})
	}
	return nil
}

// race runs the rounds: in each, every contender once, in random order. It returns what run returned, by contender and round.
func (b *bench) race(list []entrant, what string, run func(e entrant, round int) float64) [][]float64 {
	values := make([][]float64, len(list))
	rnd := rand.New(rand.NewPCG(5, 5))
	for round := range b.rounds {
		b.progress("%s, round %d of %d", what, round+1, b.rounds)
		for _, i := range rnd.Perm(len(list)) {
			values[i] = append(values[i], run(list[i], round))
		}
	}
	return values
}

// timeLookups is the nanoseconds that a look-up takes in half of the stream, after one quarter of the other half has warmed the
// caches: the contender before had them. With again it is one quarter of the stream that is looked up for the second time.
func (e entrant) timeLookups(q *queries, round int, again bool) float64 {
	const half, quarter = streamLen / 2, streamLen / 4
	ids := make([]poptrie.ID, batch)
	first, n := round%2*half, half
	warm := (first + half) % streamLen
	if again {
		first = round % 4 * quarter
		warm, n = first, quarter
	}
	e.look(q, warm, warm+quarter, ids)
	start := threadTime()
	e.look(q, first, first+n, ids)
	return nanoseconds(threadTime()-start) / float64(n)
}

func nanoseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) }

// addRates reports times per look-up, and how many times as fast as the measure each contender is, round by round; and ours as
// compared with each of the rivals.
func (b *bench) addRates(list []entrant, times [][]float64, r row) {
	base := slices.IndexFunc(list, func(e entrant) bool { return e.name == measure })
	for i, e := range list {
		r.contender = e.name
		b.add(r, "time", "ns", results.SpreadOf(times[i]))
		b.add(r, "speed", "x "+measure, results.SpreadOf(results.Ratios(times[base], times[i])))
	}
	r.section = "rivals"
	for i, e := range list {
		for j, rival := range list {
			if e.ours && rival.rival {
				r.contender = e.name
				b.add(r, "speed", "x "+rival.name, results.SpreadOf(results.Ratios(times[j], times[i])))
			}
		}
	}
}

// check compares the answers of all tables.
func check(f poptrie.Family, routes []route, list []entrant) error {
	keys := append(under.draw(f, routes, checked/2), uniform.draw(f, routes, checked/2)...)
	q := newQueries(f, keys)
	want, got := make([]poptrie.ID, batch), make([]poptrie.ID, batch)
	list = slices.DeleteFunc(slices.Clone(list), func(e entrant) bool { return e.bound })
	for at := 0; at < len(keys); at += batch {
		to := min(at+batch, len(keys))
		list[0].look(q, at, to, want)
		for _, e := range list[1:] {
			e.look(q, at, to, got)
			for i := range to - at {
				if got[i] != want[i] {
					return fmt.Errorf("%v, %d routes: %v leads to %d in %s and to %d in %s",
						f, len(routes), q.addrs[at+i], want[i], list[0].name, got[i], e.name)
				}
			}
		}
	}
	return nil
}
