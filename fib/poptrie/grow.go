package poptrie

// form is how a space is laid out; a table that needs another one than it has is built anew.
type form struct {
	rootBits uint8
	wide     bool
	huge     bool // mapped with huge pages
	fast     bool // the root is larger than it need be, out of the budget
}

// Sizes of tables, in prefixes, from which on the next larger form pays.
const (
	smallMax  = 64      // one root of 6 bits; built anew for each change, so that nothing needs a grace period
	mediumMax = 4 << 10 // 12 bits, on Go's heap
	hugeMin   = 64 << 10
)

const (
	smallBits  = 6
	mediumBits = 12
	largeBits  = 18
	maxBits    = 24
)

// formFor chooses the form of a table of n prefixes. A smaller one than now is taken only well below its limit, so that a table whose
// size swings round a limit is not rebuilt each time. fixed is the root that the user wants, or zero.
func formFor(n int, now form, wide bool, fixed uint8) form {
	f := form{rootBits: largeBits, wide: wide}
	slack := func(limit int, larger bool) int {
		if larger {
			return limit / 2
		}
		return limit
	}
	switch {
	case fixed != 0:
		f.rootBits = fixed
		f.huge = fixed >= largeBits && n > slack(hugeMin, now.huge)
	case now.fast && n > fastMin/2:
		f.rootBits, f.huge, f.fast = maxBits, true, true
	case n <= slack(smallMax, now.rootBits > smallBits):
		f.rootBits = smallBits
	case n <= slack(mediumMax, now.rootBits > mediumBits):
		f.rootBits = mediumBits
	default:
		f.huge = n > slack(hugeMin, now.huge)
	}
	return f
}

// newStore returns an empty store. Mapped ones reserve addresses for several times the prefixes that they are to hold.
func newStore(f form, prefixes int, budget *int) (*store, error) {
	s := &store{growing: true, budget: budget}
	s.rootBits, s.wide = f.rootBits, f.wide
	if f.rootBits < largeBits {
		s.root = make([]uint32, 1<<f.rootBits)
		return s, nil
	}
	s.growing = false
	sizes := [3]int{4 << f.rootBits, max(64<<20, 128*prefixes), max(64<<20, 128*prefixes)}
	for i, size := range sizes {
		m, err := reserve(size, f.huge)
		if err != nil {
			s.close()
			return nil, err
		}
		s.maps[i] = m
	}
	if !s.commit(0, 4<<f.rootBits) {
		s.close()
		return nil, ErrMemory
	}
	s.root = slice[uint32](s.maps[0])[:1<<f.rootBits]
	s.nodes = slice[node](s.maps[1])
	if s.wide {
		s.leaf32 = slice[uint32](s.maps[2])
	} else {
		s.leaf16 = slice[uint16](s.maps[2])
	}
	s.setSink()
	return s, nil
}

// setSink sets a block of each kind aside for operations that ran out of memory.
func (s *store) setSink() {
	s.sinkNode, s.sinkLeaf = s.newNodes(slots), s.newLeaves(slots)
	s.clear()
}

// seal ends the building of a store on Go's heap: its slices get their final size, of which spare is for later changes.
func (s *store) seal(spare bool) {
	if !s.growing {
		s.clear()
		return
	}
	n, l := len(s.nodes), max(len(s.leaf16), len(s.leaf32))
	if spare {
		n, l = n+n/4+4*slots, (l+l/4+8*slots)&^1 // even: see setLeaf
	}
	s.nodes = resize(s.nodes, n)
	if s.wide {
		s.leaf32 = resize(s.leaf32, l)
	} else {
		s.leaf16 = resize(s.leaf16, l)
	}
	s.nodeSlab.ready, s.leafSlab.ready = uint32(n), uint32(l)
	s.growing = false
	if spare {
		s.setSink()
	}
}

func resize[T any](list []T, n int) []T {
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	copy(out, list)
	return out
}

// growNodes makes room for k more nodes.
func (s *store) growNodes(k int) bool {
	if s.growing {
		s.nodes = append(s.nodes, make([]node, k)...)
		s.nodeSlab.ready = uint32(len(s.nodes))
		return true
	}
	size := sizeOf[node]()
	if !s.commit(1, (int(s.nodeSlab.used)+k)*size) {
		return false
	}
	s.nodeSlab.ready = uint32(min(s.maps[1].committed/size, len(s.nodes)))
	return true
}

// growLeaves makes room for k more leaves.
func (s *store) growLeaves(k int) bool {
	if s.growing {
		if s.wide {
			s.leaf32 = append(s.leaf32, make([]uint32, k)...)
		} else {
			s.leaf16 = append(s.leaf16, make([]uint16, k)...)
		}
		s.leafSlab.ready = uint32(max(len(s.leaf16), len(s.leaf32)))
		return true
	}
	if !s.commit(2, (int(s.leafSlab.used)+k)*s.leafSize()) {
		return false
	}
	s.leafSlab.ready = uint32(s.maps[2].committed / s.leafSize())
	return true
}

// commit makes the first size bytes of a mapping usable, if the budget allows it.
func (s *store) commit(i, size int) bool {
	m := s.maps[i]
	if m == nil || size > m.reserved {
		return false
	}
	size = m.round(size)
	more := size - m.committed
	if more > *s.budget || m.commit(size) != nil {
		return false
	}
	*s.budget -= more
	return true
}

// close gives mapped memory back; no reader may be inside.
func (s *store) close() {
	for _, m := range s.maps {
		m.release()
	}
}
