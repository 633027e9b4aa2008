package poptrie

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Lookup4 sets ids[i] to the id of the longest prefix that covers the host-order IPv4 address dst[i], to zero if there is none.
// len(ids) >= len(dst). For readers, of IPv4 tables.
func (t *Table) Lookup4(dst []uint32, ids []ID) {
	ids = ids[:len(dst)]
	s := t.current.Load()
	if t.kernel == AVX512 && len(dst) >= vectorMin4 {
		lookupVector(s, dst, ids)
	} else {
		lookupPlain4(s, dst, ids)
	}
	t.fallBack(ids)
}

// Lookup6 is Lookup4 for IPv6 tables.
func (t *Table) Lookup6(dst []Addr, ids []ID) {
	ids = ids[:len(dst)]
	s := t.current.Load()
	switch {
	case t.kernel == AVX512 && len(dst) >= vectorMin6:
		lookupVector(s, dst, ids)
	case t.kernel == BMI2 && len(dst) >= walkMin:
		lookupWalk6(s, dst, ids)
	default:
		lookupPlain6(s, dst, ids)
	}
	t.fallBack(ids)
}

// PrefetchSteps is how many steps Prefetch4 has.
const PrefetchSteps = 4

// Prefetch4 loads what a look-up of a host-order IPv4 address in a table that is in no cache waits for, in steps: the table, its
// present form, the root entry, the first node. The sum of what it returns has no meaning but that it was loaded. For readers, of
// IPv4 tables.
func (t *Table) Prefetch4(dst uint32, step int) uint64 {
	s := t.current.Load()
	switch step {
	case 0:
		return uint64(t.fallback.Load())
	case 1:
		return uint64(s.rootBits)
	}
	e := atomic.LoadUint32(index(unsafe.SliceData(s.root), dst>>(uint(32-s.rootBits)&31)))
	if step == 2 || e&leafBit != 0 {
		return uint64(e)
	}
	return index(unsafe.SliceData(s.nodes), e).inner
}

// fallBack gives what no other prefix covers to the default route.
func (t *Table) fallBack(ids []ID) {
	f := t.fallback.Load()
	if f == 0 {
		return
	}
	for i, id := range ids {
		if id == 0 {
			id = f
		}
		ids[i] = id
	}
}

// The plain loops, which run on short batches, where there is no kernel for the processor, and as the kernel's twins in tests. They
// take one address after another down the trie and leave it to the processor to run several at once. Going level by level for the
// whole batch, as the kernel does, was slower in Go almost everywhere. A test watches over what the compiler makes of them.

func lookupPlain4(s *space, dst []uint32, ids []ID) {
	if s.wide {
		lookup4(s, s.leaf32, dst, ids)
	} else {
		lookup4(s, s.leaf16, dst, ids)
	}
}

func lookupPlain6(s *space, dst []Addr, ids []ID) {
	if s.wide {
		lookup6(s, s.leaf32, dst, ids)
	} else {
		lookup6(s, s.leaf16, dst, ids)
	}
}

// leaf is the stored form of an id.
type leaf interface{ uint16 | uint32 }

// index is &base[i], unchecked: what a root entry or a node of a space leads to is inside the space.
func index[T any](base *T, i uint32) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(base), uintptr(i)*unsafe.Sizeof(*base)))
}

func lookup4[L leaf](s *space, leaves []L, dst []uint32, ids []ID) {
	ids = ids[:len(dst)]
	root, nodes, leaf0 := unsafe.SliceData(s.root), unsafe.SliceData(s.nodes), unsafe.SliceData(leaves)
	shift, below := uint(32-s.rootBits)&31, uint(32+s.rootBits)&63
	for i, a := range dst {
		e := atomic.LoadUint32(index(root, a>>shift))
		if int32(e) < 0 { // leafBit
			ids[i] = e &^ leafBit
			continue
		}
		n := index(nodes, e)
		h := uint64(a) << below // the bits yet to be looked at, left-aligned
		for n.inner>>(h>>58)&1 != 0 {
			n = index(nodes, n.child+uint32(bits.OnesCount64(n.inner&upTo(h>>58)))-1)
			h <<= stride
		}
		ids[i] = uint32(*index(leaf0, n.leaf+uint32(bits.OnesCount64(n.runs&upTo(h>>58)))-1))
	}
}

func lookup6[L leaf](s *space, leaves []L, dst []Addr, ids []ID) {
	ids = ids[:len(dst)]
	root, nodes, leaf0 := unsafe.SliceData(s.root), unsafe.SliceData(s.nodes), unsafe.SliceData(leaves)
	shift := uint(64-s.rootBits) & 63
	for i := range dst {
		a := &dst[i]
		e := atomic.LoadUint32(index(root, uint32(a.Hi>>shift)))
		if int32(e) < 0 { // leafBit
			ids[i] = e &^ leafBit
			continue
		}
		n, off := index(nodes, e), s.rootBits
		v := a.stride(off)
		for n.inner>>(v&63)&1 != 0 {
			n = index(nodes, n.child+uint32(bits.OnesCount64(n.inner&upTo(v)))-1)
			off += stride
			v = a.stride(off)
		}
		ids[i] = uint32(*index(leaf0, n.leaf+uint32(bits.OnesCount64(n.runs&upTo(v)))-1))
	}
}
