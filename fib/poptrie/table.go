// Package poptrie finds the longest prefix that covers an address, for batches of addresses, at a few nanoseconds each, while the
// prefixes change.
//
// A [Table] serves one address family. It maps prefixes to ids. Its look-up structure is a compressed trie after Asai and Ohara
// ("Poptrie", SIGCOMM 2015): an array indexed by the first 6, 12 or 18 bits of the address, the more the larger the table (24 out of a
// [Budget]), below it nodes of 24 bytes that stand for six bits each and find child or leaf by counting bits. Ids of 16 bits are
// stored as such until a larger one comes. The memory is outside Go's heap or, for small tables, free of pointers.
//
// Batches are looked up by a loop in Go or by kernels in assembly: where the processor has AVX-512, by one that takes up to 256
// addresses down the trie together, where it has BMI2, by one that takes four of IPv6; see [Options.Kernel]. All find the same.
//
// # Concurrency
//
// A table has one writer at a time and any number of readers, which take no lock. The writer copies the nodes on the way to what it
// changes, publishes them by one atomic store in the root, and uses the old ones again when no reader can be inside any more, as its
// [Grace] says. Where a prefix has leaves to itself, an update is the store of one id. A table of up to 64 prefixes is built anew for
// each change, and left to the garbage collector.
//
// A look-up finds the table from before or from after any change that runs meanwhile; of a prefix that covers several root entries
// (shorter than the root's bits) it may find some entries changed before others.
//
// # Costs
//
// A change takes about a microsecond in a full Internet table, most of it cache misses in the writer's trie. A prefix shorter than the
// root's bits takes time in proportion to the entries that it covers and that no longer prefix covers: in that table a /12 10 us, a /8
// 60 us, a /4 1 ms, a /1 16 ms. It is prepared aside, in as much memory as what it covers takes, and shown at the end. The default
// route (/0) is kept apart, and costs one store. A table that outgrows its form is built anew aside, 100 ns a prefix, and swapped.
package poptrie

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"sync/atomic"
)

// ID is what a prefix leads to. Zero means no prefix; the largest is 1<<31 - 1.
type ID = uint32

// Family is an address family.
type Family uint8

// Families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// What changes fail with, wrapped with the prefix.
var (
	ErrMemory = errors.New("no memory: the table's limit or the system's is reached (delete prefixes, or raise the limit)")
	ErrPrefix = errors.New("not a prefix of this family without host bits")
	ErrID     = errors.New("id must be 1 to 2147483647")
)

// Options of a table.
type Options struct {
	// MemoryLimit is the most that the look-up structure and the writer's trie may take, in bytes; zero means no limit. While a
	// table is built anew, the old structure stays beside the new one, above the limit. Deletions are not limited.
	MemoryLimit int
	// RootBits fixes how many bits of the address the root is indexed by, 12 to 24. Zero lets it follow the number of prefixes: 6,
	// 12 or 18, and what Fast allows.
	RootBits uint8
	// Fast is memory for faster roots, which tables may share. An IPv4 table of more than 250,000 prefixes takes a root of 24 bits, 64
	// MiB, while there is as much left, and gives it back when it has half as many. Nil allows none.
	Fast *Budget
	// Kernel is how batches are looked up. Empty leaves it to the environment variable ROUTER_FIB (plain, bmi2 or avx512) and, if that
	// names none that the processor has, takes the fastest one.
	Kernel Kernel
	// Grace tells when readers have left what they may have been in. Nil means that no reader runs while the writer does.
	Grace Grace
}

// Table maps prefixes of one family to ids.
type Table struct {
	// For readers; set by the writer.
	current  atomic.Pointer[space]
	fallback atomic.Uint32 // the id of the default route
	kernel   Kernel        // never changed

	// The writer's own.
	family  Family
	form    form
	grace   Grace
	fixed   uint8 // Options.RootBits
	fast    *Budget
	slow    bool // there was no room for a fast root within limit
	limit   int  // bytes
	budget  int  // bytes that the running operation may add
	trie    *trie
	store   *store // nil: the space is small, and never changed
	retired retired
}

// New returns an empty table.
func New(f Family, o Options) (*Table, error) {
	if f != IPv4 && f != IPv6 {
		return nil, fmt.Errorf("poptrie: address family %d: must be 4 or 6", uint8(f))
	}
	if o.RootBits != 0 && (o.RootBits < mediumBits || o.RootBits > maxBits) {
		return nil, fmt.Errorf("poptrie: root of %d bits: must be 12 to 24, or 0 for as many as are needed", o.RootBits)
	}
	kernel, err := chooseKernel(o.Kernel)
	if err != nil {
		return nil, err
	}
	t := &Table{family: f, kernel: kernel, grace: o.Grace, fixed: o.RootBits, fast: o.Fast, limit: o.MemoryLimit}
	t.trie = newTrie(f == IPv6)
	if t.limit <= 0 {
		t.limit = math.MaxInt
	}
	if err := t.rebuild(formFor(0, form{}, false, t.fixed), t.limit); err != nil {
		return nil, err
	}
	return t, nil
}

// Close gives the memory back. No reader may be inside or come any more.
func (t *Table) Close() {
	t.current.Store(new(space))
	t.payBack()
	t.retired.finish(math.MaxUint64)
	if t.store != nil {
		t.store.close()
	}
	t.trie.close()
}

// key checks a prefix and converts it.
func (t *Table) key(p netip.Prefix) (Addr, uint8, error) {
	if !p.IsValid() || p.Addr().Is4() != (t.family == IPv4) || p != p.Masked() {
		return Addr{}, 0, fmt.Errorf("%v: %w", p, ErrPrefix)
	}
	return keyOf(p.Addr()), uint8(p.Bits()), nil
}

// Insert makes a prefix lead to id, in place of what it led to. If it fails, nothing is changed.
func (t *Table) Insert(p netip.Prefix, id ID) error {
	k, n, err := t.key(p)
	if err != nil {
		return err
	}
	if id == 0 || id > maxID {
		return fmt.Errorf("%v: id %d: %w", p, id, ErrID)
	}
	if n == 0 {
		t.fallback.Store(id)
		return nil
	}
	err = t.trie.reserve(t.limit - t.held())
	if err != nil && t.form.fast && t.slowDown(t.limit) == nil {
		err = t.trie.reserve(t.limit - t.held())
	}
	if err != nil {
		return fmt.Errorf("%v: %w", p, err)
	}
	old := t.trie.insert(k, n, id)
	if old == id {
		return nil
	}
	if err := t.apply(subject{t.trie, k, n}, t.limit); err != nil {
		if old == 0 {
			t.trie.remove(k, n)
		} else {
			t.trie.insert(k, n, old)
		}
		return fmt.Errorf("%v: %w", p, err)
	}
	t.accelerate()
	return nil
}

// Delete removes a prefix and tells whether it was there. It fails only if the system is out of memory; then nothing is changed.
func (t *Table) Delete(p netip.Prefix) (bool, error) {
	k, n, err := t.key(p)
	if err != nil {
		return false, nil //nolint:nilerr // what cannot be in the table is not in it
	}
	if n == 0 {
		return t.fallback.Swap(0) != 0, nil
	}
	old := t.trie.remove(k, n)
	if old == 0 {
		return false, nil
	}
	if err := t.apply(subject{t.trie, k, n}, math.MaxInt); err != nil {
		t.trie.insert(k, n, old) // into the nodes that it left
		return false, fmt.Errorf("%v: %w", p, err)
	}
	t.compact()
	return true, nil
}

// Get returns the id of exactly this prefix. For the writer.
func (t *Table) Get(p netip.Prefix) (ID, bool) {
	k, n, err := t.key(p)
	if err != nil {
		return 0, false
	}
	id := t.fallback.Load()
	if n > 0 {
		id = t.trie.get(k, n)
	}
	return id, id != 0
}

// Match returns the longest prefix that covers an address, and its id. For the writer.
func (t *Table) Match(a netip.Addr) (netip.Prefix, ID, bool) {
	if !t.covers(a) {
		return netip.Prefix{}, 0, false
	}
	k := keyOf(a)
	n, id := t.trie.match(k, uint8(a.BitLen()))
	if id == 0 {
		id = t.fallback.Load()
	}
	return t.family.prefix(k.mask(n), n), id, id != 0
}

func (t *Table) covers(a netip.Addr) bool { return a.IsValid() && a.Is4() == (t.family == IPv4) }

// Lookup returns the id of the longest prefix that covers an address, or zero. For readers.
func (t *Table) Lookup(a netip.Addr) ID {
	if !t.covers(a) {
		return 0
	}
	if id := t.current.Load().lookup(keyOf(a)); id != 0 {
		return id
	}
	return t.fallback.Load()
}

// All walks the prefixes in order: by address, the shorter before the longer. For the writer, who must not change the table meanwhile.
func (t *Table) All() iter.Seq2[netip.Prefix, ID] {
	return func(yield func(netip.Prefix, ID) bool) {
		if id := t.fallback.Load(); id != 0 && !yield(t.family.prefix(Addr{}, 0), id) {
			return
		}
		t.trie.walk(t.trie.top, func(k Addr, n uint8, id uint32) bool {
			return yield(t.family.prefix(k, n), id)
		})
	}
}

// Len is the number of prefixes. For the writer.
func (t *Table) Len() int {
	if t.fallback.Load() != 0 {
		return t.trie.size + 1
	}
	return t.trie.size
}

// Stats tells what a table takes.
type Stats struct {
	Kernel   Kernel
	RootBits uint8
	Wide     bool // ids of 32 bits
	Nodes    int  // given out, free ones among them
	Leaves   int
	Lookup   int // bytes of the look-up structure
	Held     int // bytes that it occupies, with what is ready for more
	Trie     int // bytes of the writer's trie
	Retired  int // blocks that wait for readers
}

// Memory tells what the table takes. For the writer.
func (t *Table) Memory() Stats {
	st := Stats{Kernel: t.kernel, RootBits: t.form.rootBits, Wide: t.form.wide, Trie: t.trie.bytes(), Retired: t.retired.len()}
	if s := t.store; s != nil {
		st.Nodes, st.Leaves = int(s.nodeSlab.used), int(s.leafSlab.used)
		st.Lookup, st.Held = s.bytes(), s.held()
		return st
	}
	s := t.current.Load()
	st.Nodes, st.Leaves = len(s.nodes), max(len(s.leaf16), len(s.leaf32))
	st.Lookup = s.bytes()
	st.Held = st.Lookup
	return st
}

// held is what counts against the limit.
func (t *Table) held() int {
	if t.store != nil {
		return t.trie.bytes() + t.store.held()
	}
	return t.trie.bytes() + t.current.Load().bytes()
}
