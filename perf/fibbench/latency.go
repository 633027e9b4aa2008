package main

import (
	"sync/atomic"
	"time"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

// sight is how long changes took until a reader saw them, in microseconds, for each round.
type sight struct {
	rounds [][]float64 // from the call until the reader on the other CPU found the new id
	calls  [][]float64 // from the call until its return
	quiet  [][]float64 // as rounds, without those during which a thread was taken off its CPU
	lost   int         // changes that were refused, or that the reader never saw
}

// relay is how writer and reader meet for each change that is watched. Times are since base.
type relay struct {
	base   time.Time
	target atomic.Int64  // the query to look up
	want   atomic.Uint32 // the id to wait for
	asked  atomic.Uint64 // written by the writer: number of the change
	ready  atomic.Uint64 // written by the reader: it looks for that change
	found  atomic.Uint64 // written by the reader: it has seen it
	seen   atomic.Int64  // nanoseconds
	upset  atomic.Bool   // the reader was taken off its CPU meanwhile
}

// read looks one address up over and over, until what the writer wants is found.
func (y *relay) read(c *churn, stop *atomic.Bool) {
	ids := make([]poptrie.ID, batch)
	for last := uint64(0); !stop.Load(); {
		c.quiesce()
		n := y.asked.Load()
		if n == last {
			continue
		}
		last = n
		at, want := int(y.target.Load()), y.want.Load()
		before := preemptions()
		y.ready.Store(n)
		for ids[0] = 0; ids[0] != want && y.asked.Load() == n && !stop.Load(); {
			c.quiesce()
			c.look(c.queries, at, at+1, ids)
		}
		y.seen.Store(int64(time.Since(y.base)))
		y.upset.Store(preemptions() != before)
		y.found.Store(n)
	}
	c.offline()
}

// between is how many unwatched changes come before a watched one.
const between = 15

// watch makes changes for a while, of which the reader watches every sixteenth.
func (b *bench) watch(c *churn, targets []target, s *sight) error {
	y := &relay{base: time.Now()}
	var rounds, calls, quiet []float64
	err := b.beside(func(stop *atomic.Bool) { y.read(c, stop) }, func() {
		n := 0
		for end := time.Now().Add(b.watchTime); time.Now().Before(end); {
			for range between {
				c.change(n)
				n++
			}
			seen, call, upset := y.ask(c, targets[c.rnd.IntN(len(targets))])
			if seen < 0 {
				s.lost++
				continue
			}
			rounds, calls = append(rounds, seen), append(calls, call)
			if !upset {
				quiet = append(quiet, seen)
			}
		}
	})
	s.rounds, s.calls, s.quiet = append(s.rounds, rounds), append(s.calls, calls), append(s.quiet, quiet)
	return err
}

// patience is how long the reader may take to see a change; a table that loses changes must not stop the run.
const patience = time.Second

// ask changes a target's id and waits until the reader has found the new one. Times are microseconds; seen is negative if it never
// did, or could not.
func (y *relay) ask(c *churn, t target) (seen, call float64, upset bool) {
	r := &c.changing[t.at]
	version := r.id&1 ^ 1
	a := addrOf(r.prefix.Addr())
	n := y.asked.Load() + 1
	y.target.Store(int64(t.key))
	y.want.Store(tag(a, r.prefix.Bits(), version))
	y.asked.Store(n)
	for y.ready.Load() != n { //revive:disable-line:empty-block // the reader is on its CPU, and answers at once
	}
	before := preemptions()
	failed := c.failed
	start := time.Since(y.base)
	c.set(t.at, version)
	end := time.Since(y.base)
	for y.found.Load() != n {
		if c.failed > failed || time.Since(y.base)-end > patience {
			return -1, 0, true
		}
	}
	upset = preemptions() != before || y.upset.Load()
	return nanoseconds(time.Duration(y.seen.Load())-start) / 1e3, nanoseconds(end-start) / 1e3, upset
}

// report gives the percentiles.
func (s *sight) report(b *bench, r row) {
	r.section = "latency"
	b.add(r, "never seen", "", results.Once(float64(s.lost)))
	for _, what := range []struct {
		name   string
		values [][]float64
		p      float64
	}{
		{"undisturbed p50", s.quiet, .5}, {"p99", s.quiet, .99}, {"p99.9", s.quiet, .999},
		{"with disturbance p99.9", s.rounds, .999},
		{"call p50", s.calls, .5}, {"call p99.9", s.calls, .999},
	} {
		var each []float64
		for _, values := range what.values {
			each = append(each, results.Quantile(values, what.p))
		}
		b.add(r, what.name, "us", results.SpreadOf(each))
	}
}
