package poptrie

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// batch is the most addresses that one pass of a look-up takes: their numbers fit into a byte.
const batch = 256

// direct is the size of batches below which going down for one address after another is faster.
const direct = 32

type leaf interface{ uint16 | uint32 }

// Lookup4 sets ids[i] to the id of the longest prefix that covers the host-order IPv4 address dst[i], to zero if there is none.
// len(ids) >= len(dst). For readers, of IPv4 tables.
func (t *Table) Lookup4(dst []uint32, ids []ID) {
	s := t.current.Load()
	ids = ids[:len(dst)]
	for i := 0; i < len(dst); i += batch {
		end := min(i+batch, len(dst))
		if s.wide {
			lookup4(s, s.leaf32, dst[i:end], ids[i:end])
		} else {
			lookup4(s, s.leaf16, dst[i:end], ids[i:end])
		}
	}
	t.fallBack(ids)
}

// Lookup6 is Lookup4 for IPv6.
func (t *Table) Lookup6(dst []Addr, ids []ID) {
	s := t.current.Load()
	ids = ids[:len(dst)]
	for i := 0; i < len(dst); i += batch {
		end := min(i+batch, len(dst))
		if s.wide {
			lookup6(s, s.leaf32, dst[i:end], ids[i:end])
		} else {
			lookup6(s, s.leaf16, dst[i:end], ids[i:end])
		}
	}
	t.fallBack(ids)
}

// fallBack applies the default route.
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

func lookup4[L leaf](s *space, leaves []L, dst []uint32, ids []ID) {
	if len(dst) < direct {
		loop4(s, leaves, dst, ids)
	} else {
		staged4(s, leaves, dst, ids)
	}
}

func lookup6[L leaf](s *space, leaves []L, dst []Addr, ids []ID) {
	if len(dst) < direct {
		loop6(s, leaves, dst, ids)
	} else {
		staged6(s, leaves, dst, ids)
	}
}

// index is &base[i], without a check.
func index[T any](base *T, i uint32) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(base), uintptr(i)*unsafe.Sizeof(*base)))
}

// loop4 takes one address after another.
func loop4[L leaf](s *space, leaves []L, dst []uint32, ids []ID) {
	ids = ids[:len(dst)]
	root, nodes, leaf0 := unsafe.SliceData(s.root), unsafe.SliceData(s.nodes), unsafe.SliceData(leaves)
	shift, off := uint(32-s.rootBits)&31, uint(32+s.rootBits)&63
	for i, a := range dst {
		e := atomic.LoadUint32(index(root, a>>shift))
		if int32(e) < 0 {
			ids[i] = e &^ leafBit
			continue
		}
		n := index(nodes, e)
		h := uint64(a) << off
		for n.inner>>(h>>58)&1 != 0 {
			n = index(nodes, n.child+uint32(bits.OnesCount64(n.inner&upTo(h>>58)))-1)
			h <<= stride
		}
		ids[i] = uint32(*index(leaf0, n.leaf+uint32(bits.OnesCount64(n.runs&upTo(h>>58)))-1))
	}
}

// staged4 takes a level of the trie for all addresses, then the next: the loads of one level do not wait for each other, and no branch
// depends on them. todo lists the addresses that are not yet at a leaf; ids[i] is the node that address i has reached.
func staged4[L leaf](s *space, leaves []L, dst []uint32, ids []ID) {
	ids = ids[:len(dst)]
	root, nodes, leaf0 := unsafe.SliceData(s.root), unsafe.SliceData(s.nodes), unsafe.SliceData(leaves)
	shift, off := uint(32-s.rootBits)&31, uint(32+s.rootBits)&63
	var todo [batch]uint8
	n := 0
	for i, a := range dst {
		e := atomic.LoadUint32(index(root, a>>shift))
		ids[i] = e &^ leafBit
		todo[n&(batch-1)] = uint8(i)
		n += int(^e >> 31)
	}
	for ; n > 0; off += stride {
		deeper := 0
		for _, i := range todo[:n] {
			id := index(unsafe.SliceData(ids), uint32(i))
			v := uint64(*index(unsafe.SliceData(dst), uint32(i))) << (off & 63) >> 58
			next, inner := step(index(nodes, *id), leaf0, v)
			*id = next
			todo[deeper&(batch-1)] = i
			deeper += int(inner)
		}
		n = deeper
	}
}

// step goes one level down from n by slot v, without a branch: to the child's index and 1, or to the leaf's id and 0.
func step[L leaf](n *node, leaf0 *L, v uint64) (next uint32, inner uint64) {
	inner = n.inner >> (v & 63) & 1
	sel := -inner // all ones for a child
	word := n.runs ^ (n.runs^n.inner)&sel
	base := n.leaf ^ (n.leaf^n.child)&uint32(sel)
	i := base + uint32(bits.OnesCount64(word&upTo(v))) - 1
	id := uint32(*index(leaf0, i&^uint32(sel))) // for a child leaf 0, which belongs to no node
	return id ^ (id^i)&uint32(sel), inner
}

func loop6[L leaf](s *space, leaves []L, dst []Addr, ids []ID) {
	ids = ids[:len(dst)]
	root, nodes, leaf0 := unsafe.SliceData(s.root), unsafe.SliceData(s.nodes), unsafe.SliceData(leaves)
	shift := uint(64-s.rootBits) & 63
	for i := range dst {
		e := atomic.LoadUint32(index(root, uint32(dst[i].Hi>>shift)))
		if int32(e) < 0 {
			ids[i] = e &^ leafBit
			continue
		}
		ids[i] = descend6(index(nodes, e), nodes, leaf0, dst[i], s.rootBits)
	}
}

// descend6 goes down from n, whose stride begins at off, to the id.
func descend6[L leaf](n, nodes *node, leaf0 *L, a Addr, off uint8) ID {
	for {
		v := a.stride(off)
		if n.inner>>(v&63)&1 == 0 {
			return uint32(*index(leaf0, n.leaf+uint32(bits.OnesCount64(n.runs&upTo(v)))-1))
		}
		n = index(nodes, n.child+uint32(bits.OnesCount64(n.inner&upTo(v)))-1)
		off += stride
	}
}

// staged6 is staged4 for IPv6, as far as the upper word of the address reaches; the few that go deeper are taken singly.
func staged6[L leaf](s *space, leaves []L, dst []Addr, ids []ID) {
	ids = ids[:len(dst)]
	root, nodes, leaf0 := unsafe.SliceData(s.root), unsafe.SliceData(s.nodes), unsafe.SliceData(leaves)
	shift := uint(64-s.rootBits) & 63
	var todo [batch]uint8
	n := 0
	for i := range dst {
		e := atomic.LoadUint32(index(root, uint32(dst[i].Hi>>shift)))
		ids[i] = e &^ leafBit
		todo[n&(batch-1)] = uint8(i)
		n += int(^e >> 31)
	}
	off := s.rootBits
	for ; n > 0 && off <= 64-stride; off += stride {
		deeper := 0
		for _, i := range todo[:n] {
			id := index(unsafe.SliceData(ids), uint32(i))
			v := index(unsafe.SliceData(dst), uint32(i)).Hi << (off & 63) >> 58
			next, inner := step(index(nodes, *id), leaf0, v)
			*id = next
			todo[deeper&(batch-1)] = i
			deeper += int(inner)
		}
		n = deeper
	}
	for _, i := range todo[:n] {
		ids[i] = descend6(index(nodes, ids[i]), nodes, leaf0, dst[i], off)
	}
}

// setLeaf changes the id of a leaf that readers may be looking at. A leaf of 16 bits is stored together with its neighbour, which only
// the writer changes as well: Go has no atomic store of 16 bits. Readers see the old id or the new one.
func (s *space) setLeaf(i, id uint32) {
	if s.wide {
		atomic.StoreUint32(&s.leaf32[i], id)
		return
	}
	pair := [2]uint16{s.leaf16[i&^1], s.leaf16[i|1]}
	pair[i&1] = uint16(id)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&s.leaf16[i&^1])), *(*uint32)(unsafe.Pointer(&pair)))
}
