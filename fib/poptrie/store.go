package poptrie

import (
	"math/bits"
	"sync/atomic"
)

// space is the look-up structure as readers see it: a root indexed by the first bits of the address, below it nodes of six bits each.
// The slices' headers never change; a table that needs other sizes builds another space and swaps the pointer.
type space struct {
	// root has an entry for each value of the first rootBits bits: leafBit and an id, or the index of a node. The writer changes
	// entries with atomic stores.
	root     []uint32
	rootBits uint8
	wide     bool     // the ids are in leaf32, else in leaf16
	nodes    []node   // never changed while a reader can reach them
	leaf16   []uint16 // single ids are changed in place, see setLeaf
	leaf32   []uint32
}

// node stands for six bits of the address: 64 slots. Slots whose bit is set in inner lead to a child each, one after another from
// nodes[child] on. The others are leaves; runs of slots with one id share it: a bit in runs begins each run, and ids follow one
// another from leaf on.
type node struct {
	inner       uint64
	child, leaf uint32 // between the words that they go with, so that 16 bytes have all for a step down, or for a leaf
	runs        uint64
}

const (
	stride    = 6
	slots     = 1 << stride
	leafBit   = 1 << 31
	maxID     = leafBit - 1
	maxNarrow = 1<<16 - 1
)

// upTo is a mask of the slots 0 to v.
func upTo(v uint64) uint64 { return 2<<(v&(slots-1)) - 1 }

// childAt is the index of the child in slot v.
func (n *node) childAt(v uint64) uint32 {
	return n.child + uint32(bits.OnesCount64(n.inner&upTo(v))) - 1
}

// leafAt is the index of the leaf in slot v.
func (n *node) leafAt(v uint64) uint32 { return n.leaf + uint32(bits.OnesCount64(n.runs&upTo(v))) - 1 }

func (n *node) has(v uint64) bool { return n.inner>>(v&(slots-1))&1 != 0 }

// lookup finds the id of one address. It is the plain twin of the batch look-ups.
func (s *space) lookup(k Addr) uint32 {
	e := atomic.LoadUint32(&s.root[k.Hi>>(64-s.rootBits)])
	if e&leafBit != 0 {
		return e &^ leafBit
	}
	n := &s.nodes[e]
	for off := s.rootBits; ; off += stride {
		v := k.stride(off)
		if !n.has(v) {
			return s.id(n.leafAt(v))
		}
		n = &s.nodes[n.childAt(v)]
	}
}

// bytes is the size of the slices.
func (s *space) bytes() int {
	return 4*len(s.root) + len(s.nodes)*sizeOf[node]() + 2*len(s.leaf16) + 4*len(s.leaf32)
}

// id returns leaf i.
func (s *space) id(i uint32) uint32 {
	if s.wide {
		return s.leaf32[i]
	}
	return uint32(s.leaf16[i])
}

// putID writes a leaf that no reader can reach yet.
func (s *space) putID(i, id uint32) {
	if s.wide {
		s.leaf32[i] = id
	} else {
		s.leaf16[i] = uint16(id)
	}
}

// block is an array of nodes or of leaves, the part of a space that is allocated and freed at once.
type block struct {
	index  uint32
	size   uint8
	leaves bool
}

// slab hands out the indices of blocks of 1 to 64 elements.
type slab struct {
	used  uint32 // everything below was given out at some time
	ready uint32 // everything below can be touched
	live  uint32 // elements in use, blocks that wait for their grace period included
	free  *[slots + 1][]uint32
}

func (s *slab) take(k int) (uint32, bool) {
	if s.free != nil {
		if f := s.free[k]; len(f) > 0 {
			s.free[k] = f[:len(f)-1]
			s.live += uint32(k)
			return f[len(f)-1], true
		}
	}
	if s.ready-s.used < uint32(k) {
		return 0, false
	}
	i := s.used
	s.used += uint32(k)
	s.live += uint32(k)
	return i, true
}

func (s *slab) give(i uint32, k int) {
	if s.free == nil {
		s.free = new([slots + 1][]uint32)
	}
	s.free[k] = append(s.free[k], i)
	s.live -= uint32(k)
}

// store is a space with what its writer knows about it.
type store struct {
	space
	nodeSlab, leafSlab slab
	maps               [3]*mapping // root, nodes, leaves; nil: on Go's heap
	// growing says that the store is on Go's heap and not yet published, so that its slices may move.
	growing bool
	// failed says that memory ran out. Blocks are at sinkNode and sinkLeaf since then, places that nothing else uses, so that an
	// operation can run to its end before it is undone.
	failed             bool
	sinkNode, sinkLeaf uint32
	// budget is how many bytes the mappings may grow by.
	budget *int
	change change
}

// change collects what an operation did to a published store, to complete or to undo it.
type change struct {
	roots  []rootEntry // to be published
	allocs []block     // to be freed if the operation fails
	frees  []block     // to be retired if it succeeds
}

type rootEntry struct{ index, entry uint32 }

func (s *store) newNodes(k int) uint32 {
	i, ok := s.nodeSlab.take(k)
	if !ok && s.growNodes(k) {
		i, ok = s.nodeSlab.take(k)
	}
	return s.allocated(i, k, false, ok)
}

func (s *store) newLeaves(k int) uint32 {
	i, ok := s.leafSlab.take(k)
	if !ok && s.growLeaves(k) {
		i, ok = s.leafSlab.take(k)
	}
	return s.allocated(i, k, true, ok)
}

func (s *store) allocated(i uint32, k int, leaves, ok bool) uint32 {
	if !ok {
		s.failed = true
		if leaves {
			return s.sinkLeaf
		}
		return s.sinkNode
	}
	if !s.growing {
		s.change.allocs = append(s.change.allocs, block{i, uint8(k), leaves})
	}
	return i
}

// drop notes that a block will be out of use.
func (s *store) drop(i uint32, k int, leaves bool) {
	if k > 0 {
		s.change.frees = append(s.change.frees, block{i, uint8(k), leaves})
	}
}

// dropTree notes that all below n will be out of use.
func (s *store) dropTree(n node) {
	k := bits.OnesCount64(n.inner)
	for i := range uint32(k) {
		s.dropTree(s.nodes[n.child+i])
	}
	s.drop(n.child, k, false)
	s.drop(n.leaf, bits.OnesCount64(n.runs), true)
}

// recycle makes a block available again.
func (s *store) recycle(b block) {
	if b.leaves {
		s.leafSlab.give(b.index, int(b.size))
	} else {
		s.nodeSlab.give(b.index, int(b.size))
	}
}

// undo forgets a change that was not published.
func (s *store) undo() {
	for _, b := range s.change.allocs {
		s.recycle(b)
	}
	s.failed = false
	s.clear()
}

func (s *store) clear() {
	c := &s.change
	c.roots, c.allocs, c.frees = trim(c.roots), trim(c.allocs), trim(c.frees)
}

// trim empties a list for its next use, and lets go of an uncommonly large one.
func trim[T any](list []T) []T {
	const large = 4096
	if cap(list) > large {
		return nil
	}
	return list[:0]
}

// bytes is the memory that readers can touch.
func (s *store) bytes() int {
	return 4*len(s.root) + int(s.nodeSlab.used)*sizeOf[node]() + int(s.leafSlab.used)*s.leafSize()
}

// held is the memory that the store occupies.
func (s *store) held() int {
	if s.maps[0] == nil {
		return s.space.bytes()
	}
	return s.maps[0].committed + s.maps[1].committed + s.maps[2].committed
}

func (s *store) leafSize() int {
	if s.wide {
		return 4
	}
	return 2
}
