package main

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

// tag is an id that tells its prefix: the length, seven bits of a hash of the address, and a version. So a reader can judge an answer
// without a look-up of its own. Tags fit in 16 bits.
func tag(a addr, length int, version uint32) poptrie.ID {
	h := bits.RotateLeft64(a.Hi*0x9e3779b97f4a7c15, 29) ^ a.Lo*0xc2b2ae3d27d4eb4f + uint64(length)
	h *= 0xff51afd7ed558ccd
	return uint32(length)<<8 | uint32(h>>57)<<1 | version&1
}

// judge tells whether id can be right for an address whose longest permanent prefix has the given length (zero: there is none).
func judge(a addr, permanent int, id poptrie.ID) bool {
	if id == 0 {
		return permanent == 0
	}
	length := int(id >> 8)
	base := tag(firstBits(a, length), length, 0)
	return length > permanent && id&^1 == base&^1 || length == permanent && id == base
}

// churn is a table with a writer and a reader. Half of its prefixes are permanent: they and their ids stay. The others change.
type churn struct {
	entrant
	queries   *queries
	keys      []addr  // the same, for the judge
	permanent []uint8 // length of the longest permanent prefix over each
	changing  []route // with the id that the table has now, or zero
	gone      []int   // those that are not in the table
	rnd       *rand.Rand
	before    footprint // at the beginning
	failed    int       // changes that the table refused
	wrong     atomic.Uint64
	judged    atomic.Uint64
}

// arena is what the churns of all contenders share.
type arena struct {
	family    poptrie.Family
	tagged    []route // the table at the beginning: the next two
	kept      []route
	changing  []route
	keys      []addr
	permanent []uint8
	queries   *queries
}

func newArena(f poptrie.Family, routes []route) *arena {
	a := &arena{family: f, keys: under.draw(f, routes, streamLen/4)}
	for i, r := range shuffled(routes) {
		r.id = tag(addrOf(r.prefix.Addr()), r.prefix.Bits(), 0)
		if i%2 == 0 {
			a.kept = append(a.kept, r)
		} else {
			a.changing = append(a.changing, r)
		}
	}
	a.tagged = sorted(slices.Concat(a.kept, a.changing))
	a.queries = newQueries(f, a.keys)
	a.permanent = lengths(a.queries, a.kept)
	return a
}

// churn begins one with a table of the tagged routes.
func (a *arena) churn(e entrant) *churn {
	return &churn{
		entrant: e, queries: a.queries, keys: a.keys, permanent: a.permanent,
		changing: slices.Clone(a.changing), rnd: rand.New(rand.NewPCG(1, 1)), before: e.memory(),
	}
}

// lengths are the lengths of the longest of the prefixes over each address.
func lengths(q *queries, prefixes []route) []uint8 {
	own := slices.Clone(prefixes)
	for i, r := range own {
		own[i].id = poptrie.ID(r.prefix.Bits())
	}
	t := newBart(own, lookFast)
	out, ids := make([]uint8, len(q.addrs)), make([]poptrie.ID, batch)
	for at := 0; at < len(out); at += batch {
		t.look(q, at, at+batch, ids)
		for i, id := range ids {
			out[at+i] = uint8(id)
		}
	}
	return out
}

// change makes one change: two new ids, a withdrawal and a return in turn.
func (c *churn) change(i int) {
	if i&3 == 3 && len(c.gone) > 0 {
		last := len(c.gone) - 1
		c.set(c.gone[last], 0)
		c.gone = c.gone[:last]
		return
	}
	at := c.rnd.IntN(len(c.changing))
	r := &c.changing[at]
	switch {
	case r.id == 0: // is gone, and stays so
	case i&3 == 2:
		c.report(c.remove(r.prefix))
		r.id = 0
		c.gone = append(c.gone, at)
	default:
		c.set(at, r.id&1^1)
	}
}

// set inserts a changing prefix with a version of its id.
func (c *churn) set(at int, version uint32) {
	r := &c.changing[at]
	r.id = tag(addrOf(r.prefix.Addr()), r.prefix.Bits(), version)
	c.report(c.insert(r.prefix, r.id))
}

func (c *churn) report(err error) {
	if err != nil {
		c.failed++
	}
}

// read judges answers until stop.
func (c *churn) read(stop *atomic.Bool) {
	ids := make([]poptrie.ID, batch)
	wrong, judged := uint64(0), uint64(0)
	for at := 0; !stop.Load(); at = (at + batch) % len(c.keys) {
		c.quiesce()
		c.look(c.queries, at, at+batch, ids)
		for i, id := range ids {
			if !judge(c.keys[at+i], int(c.permanent[at+i]), id) {
				wrong++
			}
		}
		judged += batch
	}
	c.offline()
	c.wrong.Add(wrong)
	c.judged.Add(judged)
}

// settle counts the wrong answers to all keys when the changes are over: ids that a change should have replaced, or lost ones.
func (c *churn) settle(a *arena) (wrong int) {
	now := slices.Clone(a.kept)
	for _, r := range c.changing {
		if r.id != 0 {
			now = append(now, r)
		}
	}
	oracle, want, got := newBart(now, lookTable), make([]poptrie.ID, batch), make([]poptrie.ID, batch)
	for at := 0; at < len(c.keys); at += batch {
		oracle.look(c.queries, at, at+batch, want)
		c.look(c.queries, at, at+batch, got)
		for i, id := range got {
			if id != want[i] {
				wrong++
			}
		}
	}
	c.wrong.Add(uint64(wrong))
	return wrong
}

// beside runs work on this thread and read on the reader's CPU until work is done.
func (b *bench) beside(read func(stop *atomic.Bool), work func()) error {
	var stop atomic.Bool
	started, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		err := pin(b.readerCPU)
		started <- err
		if err == nil {
			read(&stop)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	work()
	stop.Store(true)
	<-ended
	return nil
}

// rate is how many thousand changes a second the table takes, of the writer's CPU time and of the clock's.
func (c *churn) rate(length time.Duration) (cpu, clock float64) {
	runtime.GC()
	start, used, n := time.Now(), threadTime(), 0
	failed := c.failed
	for time.Since(start) < length {
		for range 64 {
			c.change(n)
			n++
		}
	}
	n -= c.failed - failed
	return float64(n) * 1e6 / nanoseconds(threadTime()-used), float64(n) * 1e6 / nanoseconds(time.Since(start))
}

// churns measures changes with a reader on the other CPU, and how soon it sees them.
func (b *bench) churns(f poptrie.Family, routes []route) error {
	a := newArena(f, routes)
	list, err := b.enter(f, a.tagged, func(c *contender) bool { return !c.steady })
	if err != nil {
		return err
	}
	defer closeAll(list)
	all := make([]*churn, len(list))
	for i, e := range list {
		all[i] = a.churn(e)
	}
	seen := make([]sight, len(list))
	cpu, clock := make([][]float64, len(list)), make([][]float64, len(list))
	targets := a.targets()
	rnd := rand.New(rand.NewPCG(2, 2))
	for round := range b.fewRounds {
		b.progress("%v, %d routes: change, round %d of %d", f, len(routes), round+1, b.fewRounds)
		for _, i := range rnd.Perm(len(list)) {
			c := all[i]
			var perCPU, perClock float64
			if err := b.beside(c.read, func() { perCPU, perClock = c.rate(b.churnTime) }); err != nil {
				return err
			}
			cpu[i], clock[i] = append(cpu[i], perCPU), append(clock[i], perClock)
			if err := b.watch(c, targets, &seen[i]); err != nil {
				return err
			}
		}
	}
	for i, c := range all {
		r := row{section: "churn", family: f, prefixes: len(routes), contender: c.name}
		b.add(r, "changes", "k/s", results.SpreadOf(cpu[i]))
		b.add(r, "changes by the clock", "k/s", results.SpreadOf(clock[i]))
		b.add(r, "look-ups judged", "", results.Once(float64(c.judged.Load())))
		if before := c.before.all; before > 0 {
			b.add(r, "memory", "x before", results.Once(float64(c.memory().all)/float64(before)))
		}
		b.add(r, "wrong answers", "", results.Once(float64(c.wrong.Load())))
		b.add(r, "wrong afterwards", "", results.Once(float64(c.settle(a))))
		b.add(r, "refused changes", "", results.Once(float64(c.failed)))
		seen[i].report(b, r)
	}
	return b.mistakes(all)
}

// mistakes fails for a contender of ours with a wrong answer.
func (b *bench) mistakes(all []*churn) error {
	var errs []error
	for _, c := range all {
		if c.ours && (c.wrong.Load() > 0 || c.failed > 0) {
			errs = append(errs, fmt.Errorf("%s: %d wrong answers in %d, %d changes refused",
				c.name, c.wrong.Load(), c.judged.Load(), c.failed))
		}
	}
	return errors.Join(errs...)
}

// target is an address whose longest prefix is a changing one, whatever becomes of the others.
type target struct {
	at  int // in arena.changing
	key int // in arena.keys
}

// targets finds one for each changing prefix that one of the keys is under.
func (a *arena) targets() []target {
	index := make(map[netip.Prefix]int, len(a.changing))
	for i, r := range a.changing {
		index[r.prefix] = i
	}
	var out []target
	for key, n := range lengths(a.queries, a.tagged) {
		p, err := a.queries.addrs[key].Prefix(int(n))
		if err != nil {
			continue
		}
		if at, ok := index[p]; ok {
			out = append(out, target{at, key})
			delete(index, p)
		}
	}
	return out
}
