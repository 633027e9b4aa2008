package main

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/client"
	"nsrouter/internal/lab"
	"nsrouter/perf/results"
)

const (
	// share of a contender's no-drop rate that is forwarded meanwhile.
	reconfLoad = 0.8
	// churnRate is how many routes a second are to change, in transactions of churnBatch.
	churnRate, churnBatch = 100_000, 1000
)

// reconfigurations has routers forward at a share of their no-drop rate: with no change meanwhile, while the full IPv4 table is
// loaded anew, and while routes change all the time. Loss is counted from the first packet to the last. Peers are left out:
// they have other ways to be told of routes.
func reconfigurations(t lab.T, o options, tracks []*track, record recorder) {
	for _, tr := range tracks {
		if tr.router == nil {
			continue
		}
		tr.run()
		c := newChanger(t, tr)
		rate := float64(o.rate)
		if rate == 0 {
			rate, _ = tr.carried(t, o)
		}
		fmt.Printf("  %-24s %d routes, %v of %s/s\n", tr.name, len(tr.traffic.routes), reconfLoad, millions(rate))
		for round := range o.rounds {
			c.round(o, round+1, rate*reconfLoad, record)
		}
		c.client.Close()
		tr.halt()
	}
}

// changer changes the routes of a router. One goroutine uses it.
type changer struct {
	t        lab.T
	tr       *track
	client   *client.Client
	gateways [2]string // both are the far host
	by       []uint8   // by route: which of them it has, so that each change is one
	rnd      *rand.Rand
}

func newChanger(t lab.T, tr *track) *changer {
	far := tr.traffic.farHost.Addr()
	c := &changer{
		t: t, tr: tr, client: client.New(tr.router.Socket), gateways: [2]string{far.String(), far.Next().String()},
		by:  make([]uint8, len(tr.traffic.routes)), // all have the far host itself, which the first change takes from them
		rnd: rand.New(rand.NewPCG(1, 2)),
	}
	tr.router.Must(fmt.Sprintf("neigh replace %s lladdr %s dev out nud permanent", c.gateways[1], tr.sink.MAC()))
	return c
}

// replace has routes, by their numbers, lead to the other gateway than now, in one stream.
func (c *changer) replace(which iter.Seq[int]) {
	l, err := c.client.NewLoader(context.Background(), "init", v1.Verb_VERB_REPLACE, client.KeepBefore)
	if err != nil {
		c.t.Fatalf("%s: change routes: %v", c.tr.name, err)
	}
	var route [2]uint32
	for g, gateway := range c.gateways {
		route[g] = l.Route(&v1.RouteChange{Prefix: c.tr.traffic.pick("0.0.0.0/0", "::/0"), Gateway: gateway})
	}
	for i := range which {
		c.by[i] ^= 1
		if !l.Put(route[c.by[i]], c.tr.traffic.routes[i]) {
			break // Finish tells why
		}
	}
	if _, err := l.Finish(); err != nil {
		c.t.Fatalf("%s: change routes: %v", c.tr.name, err)
	}
}

// load replaces all routes, and lets a time pass if that was quicker: a few packets tell nothing.
func (c *changer) load(atLeast time.Duration) {
	began := time.Now()
	c.replace(func(yield func(int) bool) {
		for i := range c.tr.traffic.routes {
			if !yield(i) {
				return
			}
		}
	})
	time.Sleep(time.Until(began.Add(atLeast)))
}

// churn changes random routes for a time, at churnRate or as fast as they are taken, and returns the rate.
func (c *changer) churn(length time.Duration) float64 {
	began, changed := time.Now(), 0
	for time.Since(began) < length {
		c.replace(func(yield func(int) bool) {
			for range churnBatch {
				if !yield(c.rnd.IntN(len(c.tr.traffic.routes))) {
					return
				}
			}
		})
		changed += churnBatch
		time.Sleep(time.Until(began.Add(time.Duration(changed) * time.Second / churnRate)))
	}
	return float64(changed) / time.Since(began).Seconds()
}

func (c *changer) round(o options, round int, rate float64, record recorder) {
	var changes float64
	for _, phase := range []struct {
		lost, blocked, tail string
		meanwhile           func()
	}{
		{results.SteadyLost, "", results.SteadyTail, func() { time.Sleep(o.measure) }},
		{results.ReloadLost, results.ReloadBlock, results.ReloadTail, func() { c.load(o.measure) }},
		{results.ChurnLost, results.ChurnBlock, results.ChurnTail, func() { changes = c.churn(o.measure) }},
	} {
		r := c.tr.offerQuietly(c.t, o, rate, phase.meanwhile)
		blocked := float64(r.lost()) / rate * 1e6
		record(c.tr, round, phase.lost, results.Packets, float64(r.lost()), r.quiet)
		if r.latencies.TotalCount() > 0 {
			record(c.tr, round, phase.tail, results.Microseconds, r.us(99.9), r.quiet)
		}
		if phase.blocked != "" {
			record(c.tr, round, phase.blocked, results.Microseconds, blocked, r.quiet)
		}
		fmt.Printf("  %-24s %-11s lost %d of %d (blocked for %.0f us), p50 %.1f, p99.9 %.1f us, not offered %d%s\n",
			c.tr.name, phase.lost, r.lost(), r.sent, blocked, r.us(50), r.us(99.9), r.missed, note(r.quiet))
	}
	record(c.tr, round, results.ChurnRate, results.ChangesPerSecond, changes, true)
	fmt.Printf("  %-24s %.0f changes/s\n", c.tr.name, changes)
}
