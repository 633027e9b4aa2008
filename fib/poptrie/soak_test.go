package poptrie

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaissmai/bart"
)

// soakTime is shared by the families and kernels.
var soakTime = flag.Duration("soak", 4*time.Second, "how long TestSoak changes tables under verifying readers")

// soaked is a table under test. Half of the real table's prefixes are always there, the others come and go; each has two ids in turn.
type soaked struct {
	*Table
	routes  []route // in any order; those with an even index stay
	version []uint8 // of each route: its next id, the same in bit 0, or that it is not in the table
	ids     int     // how many different ids there are
	keys    []Addr
	dst     []uint32 // keys, for IPv4
	allowed [][]ID   // the right answers for each key: the longest of the prefixes that stay, or any longer one
}

const gone = 2

func (s *soaked) id(i int, version uint8) ID { return ID(1 + (2*i+int(version&1))%s.ids) }

func newSoaked(t *testing.T, f Family, ids int, o Options) *soaked {
	rnd := rand.New(rand.NewPCG(11, uint64(f)))
	s := &soaked{ids: ids, routes: slices.Clone(realTable(f))}
	s.Table = newTable(t, f, o)
	if raceEnabled {
		s.routes = sample(s.routes, 60_000)
	}
	s.version = make([]uint8, len(s.routes))
	index := make(map[netip.Prefix]int, len(s.routes))
	for i := range s.routes {
		s.routes[i].id = s.id(i, 0)
		index[s.routes[i].prefix] = i
	}
	if err := s.Load(seq(s.routes)); err != nil {
		t.Fatal(err)
	}
	s.keys = under(s.routes, rnd, 64*benchBatch)
	for _, k := range s.keys {
		s.dst = append(s.dst, uint32(k.Hi>>32))
		s.allowed = append(s.allowed, s.answers(index, addrOf(f, k)))
	}
	return s
}

func (s *soaked) answers(index map[netip.Prefix]int, a netip.Addr) (ids []ID) {
	for n := a.BitLen(); n >= 0; n-- {
		p, _ := a.Prefix(n)
		i, ok := index[p]
		if !ok {
			continue
		}
		ids = append(ids, s.id(i, 0), s.id(i, 1))
		if i%2 == 0 {
			return ids
		}
	}
	return append(ids, 0)
}

// read verifies answers until done, and returns how many.
func (s *soaked) read(r *Reader, done *atomic.Bool) (n int, err error) {
	defer r.Offline()
	got := make([]ID, benchBatch)
	for at := 0; !done.Load(); at = (at + benchBatch) % len(s.keys) {
		r.Quiesce()
		if s.family == IPv4 {
			s.Lookup4(s.dst[at:at+benchBatch], got)
		} else {
			s.Lookup6(s.keys[at:at+benchBatch], got)
		}
		for i, id := range got {
			if !slices.Contains(s.allowed[at+i], id) {
				return n, fmt.Errorf("%v: id %d, want one of %v", addrOf(s.family, s.keys[at+i]), id, s.allowed[at+i])
			}
		}
		n += benchBatch
		if n%(64*benchBatch) == 0 {
			r.Offline()
			runtime.Gosched()
		}
	}
	return n, nil
}

// change gives a random route its other id, or takes it out, or puts it back.
func (s *soaked) change(rnd *rand.Rand) error {
	i := rnd.IntN(len(s.routes))
	if i%2 == 1 && s.version[i] != gone && rnd.IntN(2) == 0 {
		s.version[i] = gone
		_, err := s.Delete(s.routes[i].prefix)
		return err
	}
	s.version[i] = ^s.version[i] & 1
	return s.Insert(s.routes[i].prefix, s.id(i, s.version[i]))
}

// verify compares the whole table with an oracle, and what it takes with a fresh one.
func (s *soaked) verify(t *testing.T) {
	oracle := new(bart.Table[ID])
	for i, r := range s.routes {
		if s.version[i] != gone {
			oracle.Insert(r.prefix, s.id(i, s.version[i]))
		}
	}
	compare(t, s.Table, oracle, s.keys)
	if s.Len() != oracle.Size() {
		t.Errorf("%d prefixes, want %d", s.Len(), oracle.Size())
	}
	fresh := newTable(t, s.family, Options{Kernel: s.kernel, RootBits: s.form.rootBits})
	if err := fresh.Load(s.All()); err != nil {
		t.Fatal(err)
	}
	before, now := fresh.Memory(), s.Memory()
	t.Logf("a fresh table: %+v", before)
	t.Logf("this one:      %+v", now)
	// Blocks of which less than half is in use are built anew; an eighth is ready for more, in huge pages for nodes and leaves each.
	root := 4 << now.RootBits
	if limit := (before.Lookup-root)*2*9/8 + root + 3*hugePage; now.Held > limit {
		t.Errorf("%d bytes held, %d by a fresh table: want at most %d", now.Held, before.Held, limit)
	}
	if limit := 2 * before.Trie; now.Trie > limit {
		t.Errorf("%d bytes of trie, %d in a fresh table: want at most %d", now.Trie, before.Trie, limit)
	}
}

// TestSoak changes full tables as fast as it can while a reader verifies each answer. It bounds how the memory fragments. The plain
// loop goes with narrow ids and a small root, the kernel with wide ones and a fast root.
func TestSoak(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		for i, kernel := range kernels() {
			t.Run(fmt.Sprintf("%v/%s", f, kernel), func(t *testing.T) {
				e, rnd := new(Epochs), rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
				o := Options{Kernel: kernel, Grace: e, Fast: NewBudget(i * fastCost)}
				s := newSoaked(t, f, []int{maxNarrow, maxID}[i], o)
				var done atomic.Bool
				read := make(chan error)
				looked := 0
				go func() {
					r := e.Join()
					defer e.Leave(r)
					var err error
					looked, err = s.read(r, &done)
					read <- err
				}()
				changes, start := 0, time.Now()
				for time.Since(start) < *soakTime/time.Duration(2*len(kernels())) {
					for range 1000 {
						if err := s.change(rnd); err != nil {
							t.Fatal(err)
						}
					}
					changes += 1000
				}
				took := time.Since(start)
				done.Store(true)
				if err := <-read; err != nil {
					t.Errorf("after %d look-ups: %v", looked, err)
				}
				t.Logf("%d changes (%.0f a ms), %d look-ups", changes, float64(changes)/float64(took.Milliseconds()), looked)
				s.Reclaim(e.Safe())
				if _, err := s.Delete(s.routes[1].prefix); err != nil { // a chance to give memory back
					t.Fatal(err)
				}
				s.version[1] = gone
				s.verify(t)
			})
		}
	}
}
