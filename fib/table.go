package fib

import (
	"iter"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"

	"nsrouter/fib/poptrie"
)

// GroupID names a group of a namespace's table. 32 bits in every interface.
type GroupID uint32

// None is the id of no route.
const None GroupID = 0

type (
	// Epochs tell when readers of tables are where they hold nothing of them.
	Epochs = poptrie.Epochs
	// Reader is one of them.
	Reader = poptrie.Reader
	// Budget is memory that tables share to become faster.
	Budget = poptrie.Budget
)

// NewBudget returns a budget of some bytes.
func NewBudget(bytes int) *Budget { return poptrie.NewBudget(bytes) }

// TableOptions are what all tables of a daemon have in common.
type TableOptions struct {
	Epochs *Epochs // that readers join; nil: none runs while the writer does
	Fast   *Budget // for tables of hundreds of thousands of prefixes; nil: they stay small, and slower
}

// Table is one namespace's forwarding table, of both address families.
type Table struct {
	v4, v6 *poptrie.Table
	groups atomic.Pointer[[]atomic.Pointer[Group]] // by id; the list is replaced when it grows
	seed   uint64

	// The writer's own.
	used int       // ids up to here were given out
	held int       // bytes of groups
	free []GroupID // of them, those that may be given out again
}

// NewTable returns an empty table.
func NewTable(o TableOptions) *Table {
	t := &Table{seed: rand.Uint64()}
	trie := poptrie.Options{Fast: o.Fast}
	if o.Epochs != nil {
		trie.Grace = o.Epochs
	}
	t.v4, t.v6 = newTrie(poptrie.IPv4, trie), newTrie(poptrie.IPv6, trie)
	list := make([]atomic.Pointer[Group], 4)
	t.groups.Store(&list)
	return t
}

func newTrie(f poptrie.Family, o poptrie.Options) *poptrie.Table {
	t, err := poptrie.New(f, o)
	if err != nil {
		panic(err) // an empty table of a known family is on Go's heap
	}
	return t
}

// Close gives the memory back. No reader may be inside or come any more.
func (t *Table) Close() {
	t.v4.Close()
	t.v6.Close()
}

// Lookup4 looks up host-order IPv4 addresses; ids[i] is set for dst[i], to None where no route covers it. len(ids) >=
// len(dst). For readers.
func (t *Table) Lookup4(dst []uint32, ids []GroupID) { t.v4.Lookup4(dst, trieIDs(ids)) }

// Lookup6 is Lookup4 for IPv6.
func (t *Table) Lookup6(dst []Addr, ids []GroupID) { t.v6.Lookup6(trieAddrs(dst), trieIDs(ids)) }

// PrefetchSteps is how many steps Prefetch4 has.
const PrefetchSteps = 1 + poptrie.PrefetchSteps

// Prefetch4 loads what a look-up of an IPv4 address will wait for in one of its steps, and makes a number of it. Who has addresses of
// many tables calls it for all of them step by step, so that what is in no cache comes together; then they are looked up. For readers.
func (t *Table) Prefetch4(dst uint32, step int) uint64 {
	if step == 0 {
		return t.seed
	}
	return t.v4.Prefetch4(dst, step-1)
}

// Lookup finds the group of a single address of either family, or nil. For readers.
func (t *Table) Lookup(a netip.Addr) *Group {
	a = a.WithZone("").Unmap()
	id := GroupID(t.trie(a).Lookup(a))
	if id == None {
		return nil
	}
	return t.Groups().Of(id)
}

func (t *Table) trie(a netip.Addr) *poptrie.Table {
	if a.Is4() {
		return t.v4
	}
	return t.v6
}

// Groups is the list of groups at one instant.
type Groups struct {
	list  []atomic.Pointer[Group]
	table *Table
}

// Groups returns the list, which has all groups that look-ups before it gave out. For readers: once per batch, after
// the look-up.
func (t *Table) Groups() Groups { return Groups{*t.groups.Load(), t} }

// Of returns the group of an id other than None.
func (g Groups) Of(id GroupID) *Group {
	if int(id) < len(g.list) {
		if group := g.list[id].Load(); group != nil {
			return group
		}
	}
	// Processors with a weak order of loads may have read the leaf after the list that it is in.
	return g.table.group(id)
}

// Seed is what flows of this table are hashed with: see [Flow.Hash].
func (t *Table) Seed() uint64 { return t.seed }

// addGroup gives a group an id.
func (t *Table) addGroup(g *Group) GroupID {
	var id GroupID
	if n := len(t.free); n > 0 {
		id, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.used++
		id = GroupID(t.used)
		if old := *t.groups.Load(); int(id) >= len(old) {
			list := make([]atomic.Pointer[Group], 2*len(old))
			for i := range old {
				list[i].Store(old[i].Load())
			}
			t.groups.Store(&list)
		}
	}
	t.setGroup(id, g)
	return id
}

// setGroup replaces a group: all prefixes that lead to it change with one store.
func (t *Table) setGroup(id GroupID, g *Group) {
	if old := t.group(id); old != nil {
		t.held -= old.bytes()
	}
	t.held += g.bytes()
	(*t.groups.Load())[id].Store(g)
}

func (t *Table) group(id GroupID) *Group { return (*t.groups.Load())[id].Load() }

// dropGroup gives an id back, to which no prefix leads and which no reader holds.
func (t *Table) dropGroup(id GroupID) {
	t.setGroup(id, &Group{first: NextHop{Kind: Blackhole}})
	t.free = append(t.free, id)
}

// insert makes prefix (masked) lead to a group, in place of whatever it led to. It fails for want of memory only.
func (t *Table) insert(p netip.Prefix, id GroupID) error {
	return t.trie(p.Addr()).Insert(p, uint32(id))
}

// remove removes prefix; one that is not there is no fault.
func (t *Table) remove(p netip.Prefix) error {
	_, err := t.trie(p.Addr()).Delete(p)
	return err
}

// load replaces all prefixes of a family by those of a sequence in order, which is much faster than one after another.
func (t *Table) load(family poptrie.Family, seq iter.Seq2[netip.Prefix, poptrie.ID]) error {
	if family == poptrie.IPv4 {
		return t.v4.Load(seq)
	}
	return t.v6.Load(seq)
}

// Match returns the prefix that covers an address most closely, and its group. For the writer, and for whoever keeps it
// out.
func (t *Table) Match(a netip.Addr) (netip.Prefix, GroupID, bool) {
	a = a.WithZone("").Unmap()
	p, id, ok := t.trie(a).Match(a)
	return p, GroupID(id), ok
}

// Group returns the group of an id. For the writer, and for whoever keeps it out.
func (t *Table) Group(id GroupID) *Group { return t.group(id) }

// All walks the prefixes in order, IPv4 first, with the groups that they lead to. For the writer.
func (t *Table) All() iter.Seq2[netip.Prefix, GroupID] {
	return func(yield func(netip.Prefix, GroupID) bool) {
		for _, trie := range []*poptrie.Table{t.v4, t.v6} {
			for p, id := range trie.All() {
				if !yield(p, GroupID(id)) {
					return
				}
			}
		}
	}
}

// Len is the number of prefixes. For the writer.
func (t *Table) Len() int { return t.v4.Len() + t.v6.Len() }

// Bytes is the memory that the table takes. For the writer.
func (t *Table) Bytes() int {
	m4, m6 := t.v4.Memory(), t.v6.Memory()
	return m4.Held + m4.Trie + m6.Held + m6.Trie + t.held
}

// What a table grows by: prefixes alone in their corners, and the root of a table that becomes a large one.
const (
	prefixBytes = 160
	largeFrom   = 4 << 10 // prefixes
	largeRoot   = 4 << 18
)

// BytesWith is about what the table would take with some prefixes more, of any family. For the writer.
func (t *Table) BytesWith(more int) int {
	bytes := t.Bytes() + more*prefixBytes
	for _, trie := range []*poptrie.Table{t.v4, t.v6} {
		if trie.Len() <= largeFrom && trie.Len()+more > largeFrom {
			bytes += largeRoot
		}
	}
	return bytes
}
