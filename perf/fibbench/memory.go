package main

import (
	"math/rand/v2"
	"net/netip"
	"runtime"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

// few is the number of routes of a small namespace, namespaces how many of them there are, burst the addresses looked up in one of
// them before another's turn comes.
const (
	few        = 10
	namespaces = 4096
	burst      = 32
)

// footprints reports what tables take.
func (b *bench) footprints(f poptrie.Family, routes []route) error {
	for _, c := range b.contenders {
		if !c.runs(f, len(routes)) || c.steady {
			continue
		}
		b.progress("%v, %d routes: memory of %s", f, len(routes), c.name)
		m, err := c.footprint(f, routes)
		if err != nil {
			return err
		}
		r := row{section: "memory", family: f, prefixes: len(routes), contender: c.name}
		if m.lookup > 0 {
			b.add(r, "look-up", "bytes", results.Once(float64(m.lookup)))
		}
		b.add(r, "all", "bytes", results.Once(float64(m.all)))
	}
	return nil
}

// footprint is what a table says that it takes, or how much the Go heap grows by it, if that is more. Of small tables many are made.
func (c *contender) footprint(f poptrie.Family, routes []route) (footprint, error) {
	tables := make([]table, max(1, 10_000/len(routes)))
	if c.heavy {
		tables = tables[:1]
	}
	before := heap()
	for i := range tables {
		var err error
		if tables[i], err = c.build(f, routes, false); err != nil {
			return footprint{}, err
		}
	}
	grown := (heap() - before) / len(tables)
	m := tables[0].memory()
	m.all = max(m.all, grown)
	for _, t := range tables {
		t.close()
	}
	return m, nil
}

// heap is how many bytes of the Go heap are in use.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// crowd is many small tables of one contender as one table: each burst of queries goes to a table of its own.
type crowd struct {
	table  // the first one, for what crowd does not do itself
	tables []table
}

func (c *crowd) look(q *queries, from, to int, ids []poptrie.ID) {
	for ; from < to; from += burst {
		c.tables[from/burst%len(c.tables)].look(q, from, from+burst, ids)
	}
}

func (c *crowd) close() {
	for _, t := range c.tables {
		t.close()
	}
}

// tenant are the routes of a small namespace: a default route, a site, and its subnets.
func tenant(f poptrie.Family, rnd *rand.Rand) []route {
	all, block := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.MustParsePrefix("10.0.0.0/8")
	site, subnet := 16, 24
	if f == poptrie.IPv6 {
		all, block = netip.PrefixFrom(netip.IPv6Unspecified(), 0), netip.MustParsePrefix("fd00::/8")
		site, subnet = 48, 64
	}
	under := func(p netip.Prefix, bits int) netip.Prefix {
		return netip.PrefixFrom(netipAddr(f, randomIn(p, rnd)), bits).Masked()
	}
	own := under(block, site)
	routes := []route{{all, 1}, {own, 2}}
	for len(routes) < few {
		routes = sorted(append(routes, route{under(own, subnet), 1 + poptrie.ID(len(routes))}))
	}
	return routes
}

// small measures a machine full of small namespaces, visited in random order.
func (b *bench) small(f poptrie.Family) error {
	rnd := rand.New(rand.NewPCG(8, 8))
	sets := make([][]route, namespaces)
	for i := range sets {
		sets[i] = tenant(f, rnd)
	}
	keys := make([]addr, 0, streamLen)
	for len(keys) < streamLen { // once round all namespaces and on
		for _, set := range sets {
			for range burst {
				keys = append(keys, randomIn(set[rnd.IntN(len(set))].prefix, rnd))
			}
		}
	}
	var list []entrant
	defer func() { closeAll(list) }()
	for _, c := range b.contenders {
		if !c.runs(f, few) || c.heavy {
			continue
		}
		b.progress("%v, %d namespaces of %d routes: build %s", f, namespaces, few, c.name)
		before := heap()
		all, err := newCrowd(c, f, sets)
		if err != nil {
			return err
		}
		list = append(list, entrant{c, all})
		r := row{section: "namespaces", family: f, prefixes: few, contender: c.name}
		b.add(r, "memory of one", "bytes", results.Once(float64(heap()-before)/namespaces))
	}
	if !b.smallPages {
		collapse()
	}
	q := newQueries(f, keys)
	times := b.race(list, "small namespaces", func(e entrant, round int) float64 { return e.timeLookups(q, round, b.again) })
	b.addRates(list, times, row{section: "namespaces", family: f, prefixes: few, stream: string(under)})
	return nil
}

// newCrowd builds a table for each set of routes, in another order than that of the visits, so that the places in memory tell nothing.
func newCrowd(c *contender, f poptrie.Family, sets [][]route) (*crowd, error) {
	all := &crowd{tables: make([]table, len(sets))}
	for _, i := range rand.New(rand.NewPCG(9, 9)).Perm(len(sets)) {
		t, err := c.build(f, sets[i], false)
		if err != nil {
			return nil, err
		}
		all.tables[i] = t
	}
	all.table = all.tables[0]
	return all, nil
}
