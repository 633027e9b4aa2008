package poptrie

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// touched are the places that the look-ups of a batch load, found out beforehand, in the kernel's order: level by level. Those of
// nodes count words.
type touched struct{ roots, nodes, leaves []uint32 }

func touch(s *space, keys []Addr) (x touched) {
	type walker struct {
		key  Addr
		node uint32
	}
	var walk []walker
	for _, k := range keys {
		i := uint32(k.Hi >> (64 - s.rootBits))
		x.roots = append(x.roots, i)
		if e := s.root[i]; e&leafBit == 0 {
			walk = append(walk, walker{k, e})
		}
	}
	for off := s.rootBits; len(walk) > 0; off += stride {
		var on []walker
		for _, w := range walk {
			x.nodes = append(x.nodes, 3*w.node)
			n, v := &s.nodes[w.node], w.key.stride(off)
			if n.has(v) {
				on = append(on, walker{w.key, n.childAt(v)})
			} else {
				x.leaves = append(x.leaves, n.leafAt(v))
			}
		}
		walk = on
	}
	return x
}

// load loads them, none waiting for another.
func (x *touched) load(s *space) uint64 {
	sum := uint64(loadAll(s.root, x.roots)) + loadAll(nodeWords(s), x.nodes)
	if s.wide {
		return sum + uint64(loadAll(s.leaf32, x.leaves))
	}
	return sum + uint64(loadAll(s.leaf16, x.leaves))
}

// nodeWords are the nodes as words, of which each node has three.
func nodeWords(s *space) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(s.nodes))), 3*len(s.nodes))
}

// loadAll adds list[at] for each at, four at a time.
func loadAll[T uint16 | uint32 | uint64](list []T, at []uint32) (sum T) {
	base := unsafe.SliceData(list)
	for ; len(at) >= 4; at = at[4:] {
		sum += *index(base, at[0]) + *index(base, at[1]) + (*index(base, at[2]) + *index(base, at[3]))
	}
	for _, i := range at {
		sum += *index(base, i)
	}
	return sum
}

// BenchmarkFloor sets look-ups in full tables beside the loads that they make, alone: what the structure costs on a machine whatever
// the code. Like BenchmarkLookup it runs b.N rounds.
func BenchmarkFloor(b *testing.B) {
	var sink uint64
	for _, f := range []Family{IPv4, IPv6} {
		routes := realTable(f)
		for _, kind := range []string{"uniform", "under", "zipf"} {
			b.Run(fmt.Sprintf("%v/%s", f, kind), func(b *testing.B) {
				keys := stream(kind, f, routes)
				list := contenders(b, f, routes, keys)
				for _, budget := range []*Budget{nil, NewBudget(2 * fastCost)} {
					tbl := loaded(b, f, routes, Options{Fast: budget})
					s := tbl.current.Load()
					batches := make([]touched, len(keys)/benchBatch)
					for i := range batches {
						batches[i] = touch(s, keys[i*benchBatch:(i+1)*benchBatch])
					}
					if budget == nil || tbl.form.fast {
						list = append(list, contender{fmt.Sprintf("loads-%d", s.rootBits), func(i int) {
							sink += batches[i/benchBatch].load(s)
						}})
					}
				}
				hugeHeap(b) // the lists above shall not cost more than need be
				race(b, list)
			})
		}
	}
	_ = sink
}

// BenchmarkChurnFloor sets changes of a full IPv4 table with the fast root beside what none can do without: finding the prefix in the
// writer's trie, and storing the root entries that change, in a root that nobody reads. A change gives a random prefix a new id.
func BenchmarkChurnFloor(b *testing.B) {
	runtime.LockOSThread() // whose time is measured
	defer runtime.UnlockOSThread()
	routes := realTable(IPv4)
	tbl := loaded(b, IPv4, routes, Options{Fast: NewBudget(2 * fastCost)})
	s, rnd := tbl.store, rand.New(rand.NewPCG(1, 1))
	twin, err := reserve(len(s.root)*4, true)
	if err != nil {
		b.Fatal(err)
	}
	defer twin.release()
	if err := twin.commit(len(s.root) * 4); err != nil {
		b.Fatal(err)
	}
	other := slice[uint32](twin)
	copy(other, s.root)
	picked := make([]route, b.N)
	for i := range picked {
		picked[i] = routes[rnd.IntN(len(routes))]
	}
	var stores []rootEntry
	for _, r := range picked {
		k, n, _ := tbl.key(r.prefix)
		first := uint32(k.Hi >> (64 - s.rootBits))
		covered := s.root[first : first+1<<(s.rootBits-min(n, s.rootBits))]
		before := slices.Clone(covered)
		set(b, tbl, r.prefix, r.id%250+1)
		for i, e := range covered {
			if e != before[i] {
				stores = append(stores, rootEntry{first + uint32(i), e})
			}
		}
	}
	start := threadTime(b)
	for _, r := range picked { // the same changes back
		set(b, tbl, r.prefix, r.id)
	}
	whole := threadTime(b) - start
	start = threadTime(b)
	for _, r := range picked {
		k, n, _ := tbl.key(r.prefix)
		tbl.trie.get(k, n)
	}
	find := threadTime(b) - start
	start = threadTime(b)
	for _, e := range stores {
		atomic.StoreUint32(&other[e.index], e.entry)
	}
	store := threadTime(b) - start
	b.ReportMetric(0, "ns/op")
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) }
	b.ReportMetric(each(whole), "ns/whole")
	b.ReportMetric(each(find), "ns/find")
	b.ReportMetric(each(store), "ns/stores")
	b.ReportMetric(float64(len(stores))/float64(b.N), "stores")
}

func set(b *testing.B, tbl *Table, p netip.Prefix, id ID) {
	if err := tbl.Insert(p, id); err != nil {
		b.Fatal(err)
	}
}
