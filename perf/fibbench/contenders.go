package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"nsrouter/fib/poptrie"
)

// measure is the contender that ratios are to.
const measure = "bart.Fast"

// contender is a way to find the longest prefix.
type contender struct {
	name string
	// make makes a table of sorted routes; with single set, by one call for each route, in the order given.
	make func(f poptrie.Family, routes []route, single bool) (table, error)
	// min and max are the numbers of routes for which it is worth a run; zero max means any.
	min, max int
	only     poptrie.Family // zero: both
	// steady contenders have no place among those that are changed: another form of them shows it, or they cannot.
	steady bool
	heavy  bool // takes tens of MiB even for ten routes
	rival  bool // ours are compared with it apart
	ours   bool
	bound  bool // gives no answers: a bound for what does
}

func (c *contender) runs(f poptrie.Family, n int) bool {
	return (c.only == 0 || c.only == f) && n >= c.min && (c.max == 0 || n <= c.max)
}

func (c *contender) build(f poptrie.Family, routes []route, single bool) (table, error) {
	t, err := c.make(f, routes, single)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return t, nil
}

// table is a contender's table. Each has one writer, and one reader that may run meanwhile.
type table interface {
	// look finds the ids of the queries from up to to, in batches of [batch]. The ids of the last batch stand in ids. For the reader.
	look(q *queries, from, to int, ids []poptrie.ID)
	// quiesce says that the reader is inside no look-up, and offline that it makes none until the next quiesce.
	quiesce()
	offline()
	// insert and remove change the table in a way that is safe with the reader. For the writer.
	insert(p netip.Prefix, id poptrie.ID) error
	remove(p netip.Prefix) error
	memory() footprint
	close()
}

// footprint is what a table takes, in bytes. Zero means that the Go heap must be asked.
type footprint struct{ lookup, all int }

// contenders are all, or those whose names have one of the words in only, and the measure.
func contenders(only string) []*contender {
	all := append(poptries(),
		&contender{name: measure, make: func(_ poptrie.Family, routes []route, _ bool) (table, error) {
			return newBart(routes, lookFast), nil
		}},
		&contender{name: "bart.Table", make: func(_ poptrie.Family, routes []route, _ bool) (table, error) {
			return newBart(routes, lookTable), nil
		}})
	all = append(append(all, dpdkContenders()...), roots()...)
	var out []*contender
	for _, c := range all {
		if c.name == measure || matches(c.name, only) {
			out = append(out, c)
		}
	}
	return out
}

// matches tells whether one of the words, separated by commas, stands in a name.
func matches(name, words string) bool {
	for word := range strings.SplitSeq(words, ",") {
		if strings.Contains(name, strings.TrimSpace(word)) {
			return true
		}
	}
	return false
}

// poptries are the forms of package poptrie: the root that follows the number of prefixes, in little memory, and the IPv4 root of 24
// bits, each with the kernels that this processor has. Only the first kernel of each is changed, since the writer knows no kernel.
func poptries() []*contender {
	var out []*contender
	for _, bits := range []uint8{0, 24} {
		first := true
		for _, k := range []poptrie.Kernel{poptrie.AVX512, poptrie.BMI2, poptrie.Plain} {
			o := poptrie.Options{RootBits: bits, Kernel: k}
			t, err := poptrie.New(poptrie.IPv4, o)
			if err != nil {
				continue
			}
			t.Close()
			c := newPoptrie("poptrie "+string(k), o)
			if bits != 0 {
				c.name = fmt.Sprintf("poptrie/%d %s", bits, k)
				c.only, c.min, c.heavy = poptrie.IPv4, 100_000, true
			}
			c.ours, c.steady, first = true, !first, false
			out = append(out, c)
		}
	}
	return out
}

// roots are bounds for the forms of package poptrie: tables without the prefixes that are longer than the root, so that each
// look-up ends in the root. They show what the root costs, which no way to go on from it can mend.
func roots() []*contender {
	var out []*contender
	for _, o := range []struct {
		family poptrie.Family
		bits   uint8
	}{{poptrie.IPv4, 18}, {poptrie.IPv4, 24}, {poptrie.IPv6, 18}} {
		c := newPoptrie(fmt.Sprintf("root/%d alone", o.bits), poptrie.Options{RootBits: o.bits})
		build := c.make
		c.make = func(f poptrie.Family, routes []route, single bool) (table, error) {
			long := func(r route) bool { return r.prefix.Bits() > int(o.bits) }
			return build(f, slices.DeleteFunc(slices.Clone(routes), long), single)
		}
		c.only, c.min, c.steady, c.heavy, c.bound = o.family, 100_000, true, true, true
		out = append(out, c)
	}
	return out
}

// trie is a table of package poptrie.
type trie struct {
	t      *poptrie.Table
	reader *poptrie.Reader
}

func newPoptrie(name string, o poptrie.Options) *contender {
	epochs := new(poptrie.Epochs) // one for all tables of the contender, of which one is read at a time
	reader := epochs.Join()
	o.Grace = epochs
	return &contender{name: name, make: func(f poptrie.Family, routes []route, single bool) (table, error) {
		t, err := poptrie.New(f, o)
		if err != nil {
			return nil, err
		}
		if !single {
			err = t.Load(func(yield func(netip.Prefix, poptrie.ID) bool) {
				for _, r := range routes {
					if !yield(r.prefix, r.id) {
						return
					}
				}
			})
		}
		for i := 0; single && err == nil && i < len(routes); i++ {
			err = t.Insert(routes[i].prefix, routes[i].id)
		}
		if err != nil {
			t.Close()
			return nil, err
		}
		return &trie{t, reader}, nil
	}}
}

func (x *trie) look(q *queries, from, to int, ids []poptrie.ID) {
	if q.v4 != nil {
		for ; from < to; from += batch {
			x.t.Lookup4(q.v4[from:min(from+batch, to)], ids)
		}
		return
	}
	for ; from < to; from += batch {
		x.t.Lookup6(q.v6[from:min(from+batch, to)], ids)
	}
}

func (x *trie) quiesce()                                   { x.reader.Quiesce() }
func (x *trie) offline()                                   { x.reader.Offline() }
func (x *trie) insert(p netip.Prefix, id poptrie.ID) error { return x.t.Insert(p, id) }

func (x *trie) remove(p netip.Prefix) error {
	_, err := x.t.Delete(p)
	return err
}

func (x *trie) memory() footprint {
	m := x.t.Memory()
	return footprint{m.Lookup, m.Held + m.Trie}
}

func (x *trie) close() { x.t.Close() }

// bartKind is one of bart's tables.
type bartKind[T any] interface {
	*T
	Insert(netip.Prefix, poptrie.ID)
	InsertPersist(netip.Prefix, poptrie.ID) *T
	DeletePersist(netip.Prefix) *T
}

// barts is a table of bart: built in place, then replaced by a changed copy at each change, as its reader needs it.
type barts[T any, P bartKind[T]] struct {
	current atomic.Pointer[T]
	some    func(t *T, addrs []netip.Addr, ids []poptrie.ID)
}

func newBart[T any, P bartKind[T]](routes []route, some func(*T, []netip.Addr, []poptrie.ID)) *barts[T, P] {
	t := P(new(T))
	for _, r := range routes {
		t.Insert(r.prefix, r.id)
	}
	b := &barts[T, P]{some: some}
	b.current.Store(t)
	return b
}

// lookFast and lookTable call the methods directly: through a type parameter it would not be a fair race.
func lookFast(t *bart.Fast[poptrie.ID], addrs []netip.Addr, ids []poptrie.ID) {
	for i, a := range addrs {
		ids[i], _ = t.Lookup(a)
	}
}

func lookTable(t *bart.Table[poptrie.ID], addrs []netip.Addr, ids []poptrie.ID) {
	for i, a := range addrs {
		ids[i], _ = t.Lookup(a)
	}
}

func (b *barts[T, P]) look(q *queries, from, to int, ids []poptrie.ID) {
	for ; from < to; from += batch {
		b.some(b.current.Load(), q.addrs[from:min(from+batch, to)], ids)
	}
}

func (b *barts[T, P]) quiesce() {}
func (b *barts[T, P]) offline() {}

func (b *barts[T, P]) insert(p netip.Prefix, id poptrie.ID) error {
	b.current.Store(P(b.current.Load()).InsertPersist(p, id))
	return nil
}

func (b *barts[T, P]) remove(p netip.Prefix) error {
	b.current.Store(P(b.current.Load()).DeletePersist(p))
	return nil
}

func (b *barts[T, P]) memory() footprint { return footprint{} }
func (b *barts[T, P]) close()            { b.current.Store(nil) }
