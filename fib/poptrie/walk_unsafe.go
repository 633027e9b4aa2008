package poptrie

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

const (
	// walkMin is the number of addresses of a batch from which on the BMI2 kernel is faster than the plain loop (Zen 1).
	walkMin = 8
	// walkMax is how many addresses it takes at once.
	walkMax = 64
	// walkLevels is how many levels 64 bits of an address last for, and a bit to tell that they have: see [walkBatch6].
	walkLevels = 10
)

// The BMI2 kernel is for IPv6. Most addresses of IPv4 end at the root or one node below it, where there is nothing to overlap: its
// tables take the plain loop.

// walk is a batch on its way down the trie: the addresses that the root has no answer for, lanes 0 to n-1, closed up.
type walk struct {
	x  [walkMax]uint64 // three times the number of the node, which has three words
	h  [walkMax]uint64 // the bits of the address that are yet to be looked at, left-aligned
	at [walkMax]uint16 // where the address is in the batch
	n  uint
}

// descend takes all lanes to their last node, or some levels down. Four go abreast: each waits for its loads most of the time. The
// places of the last four that there are no lanes for follow lane 0.
func (w *walk) descend(s *space, levels int) {
	for i := w.n; i%4 != 0; i++ {
		w.x[i%walkMax], w.h[i%walkMax] = w.x[0], w.h[0]
	}
	walkFour(unsafe.SliceData(s.nodes), &w.x, &w.h, int(w.n), levels)
}

// leafOf is the id that a lane has come to, in its last node.
func (w *walk) leafOf(i uint, s *space) ID {
	n := (*node)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s.nodes)), 8*w.x[i%walkMax]))
	l := n.leaf + uint32(bits.OnesCount64(n.runs&upTo(w.h[i%walkMax]>>58))) - 1
	if s.wide {
		return *index(unsafe.SliceData(s.leaf32), l)
	}
	return ID(*index(unsafe.SliceData(s.leaf16), l))
}

// lookupWalk6 is lookupPlain6 by the BMI2 kernel.
func lookupWalk6(s *space, dst []Addr, ids []ID) {
	for len(dst) > 0 {
		n := min(len(dst), walkMax)
		walkBatch6(s, dst[:n], ids[:n])
		dst, ids = dst[n:], ids[n:]
	}
}

// walkBatch6 goes down in two parts, since a lane has 64 bits: ten levels, 60 bits, from the root on, and what is left from there.
// In the first part the last bit of a lane is set, and tells by where it has come to, the top four, that all ten were taken.
func walkBatch6(s *space, dst []Addr, ids []ID) {
	var w walk
	ids = ids[:len(dst)]
	root, shift, below := unsafe.SliceData(s.root), uint(64-s.rootBits)&63, uint(s.rootBits)&63
	for i := range dst {
		a := &dst[i]
		e := atomic.LoadUint32(index(root, uint32(a.Hi>>shift)))
		ids[i] = e &^ leafBit
		w.x[w.n%walkMax], w.h[w.n%walkMax], w.at[w.n%walkMax] = 3*uint64(e), a.Hi<<below|a.Lo>>shift|1, uint16(i)
		w.n += uint(^e >> 31) // 1 where it is no leaf
	}
	if w.n == 0 {
		return
	}
	w.descend(s, walkLevels)
	deep := uint(0)
	for i := range w.n {
		at := w.at[i%walkMax]
		if w.h[i%walkMax]<<4 == 0 {
			w.x[deep%walkMax], w.h[deep%walkMax], w.at[deep%walkMax] = w.x[i%walkMax], dst[at].Lo<<(below-4), at
			deep++
			continue
		}
		ids[at] = w.leafOf(i, s)
	}
	if w.n = deep; deep == 0 {
		return
	}
	w.descend(s, 128/stride)
	for i := range w.n {
		ids[w.at[i%walkMax]] = w.leafOf(i, s)
	}
}
