package poptrie

import "math/bits"

// picture is a node with its 64 slots spread out.
type picture struct {
	inner uint64
	child [slots]node
	id    [slots]uint32
}

// paint sets w slots from v on to an id.
func (p *picture) paint(v, w uint64, id uint32) {
	for i := range p.id[v : v+w] {
		p.id[v+uint64(i)] = id
	}
}

// span returns the slots that the prefix of n bits takes in a node whose stride begins at off (off <= n <= off+stride).
func span(k Addr, n, off uint8) (v, w uint64) {
	w = 1 << (off + stride - n)
	return k.stride(off) &^ (w - 1), w
}

// build makes the node for the bits from off on, of all prefixes in the trie from x down; inherited is the id above them.
func (s *store) build(t *trie, x uint32, off uint8, inherited uint32) node {
	var p picture
	p.paint(0, slots, inherited)
	s.fill(t, &p, x, off, inherited)
	return s.compress(&p)
}

// fill draws x and all below it.
func (s *store) fill(t *trie, p *picture, x uint32, off uint8, inherited uint32) {
	n := t.at(x)
	if n.bits >= off+stride && n.deep(off+stride) {
		v := t.key(x).stride(off)
		p.inner |= 1 << v
		p.child[v] = s.build(t, x, off+stride, inherited)
		return
	}
	if n.id != 0 {
		inherited = n.id
		v, w := span(t.key(x), n.bits, off)
		p.paint(v, w, n.id)
	}
	for _, c := range n.child {
		if c != 0 {
			s.fill(t, p, c, off, inherited)
		}
	}
}

// compress allocates what a picture needs and returns the node.
func (s *store) compress(p *picture) node {
	n := node{inner: p.inner}
	if p.inner != 0 {
		i := s.newNodes(bits.OnesCount64(p.inner))
		n.child = i
		for m := p.inner; m != 0; m &= m - 1 {
			s.nodes[i] = p.child[bits.TrailingZeros64(m)]
			i++
		}
	}
	var ids [slots]uint32
	runs, last := 0, uint32(leafBit)
	for m := ^p.inner; m != 0; m &= m - 1 {
		v := bits.TrailingZeros64(m)
		if id := p.id[v&(slots-1)]; id != last {
			last = id
			n.runs |= 1 << v
			ids[runs] = id
			runs++
		}
	}
	if runs > 0 {
		n.leaf = s.newLeaves(runs)
		for i, id := range ids[:runs] {
			s.putID(n.leaf+uint32(i), id)
		}
	}
	return n
}

// expand is the reverse of compress: it draws n.
func (s *store) expand(n node, p *picture) {
	p.inner = n.inner
	child, leaf := n.child, n.leaf-1
	for v := range uint64(slots) {
		leaf += uint32(n.runs >> v & 1)
		if n.has(v) {
			p.child[v] = s.nodes[child]
			child++
		} else {
			p.id[v] = s.id(leaf)
		}
	}
}

// buildAll fills an unpublished store from a trie.
func (s *store) buildAll(t *trie) {
	for i := range s.root {
		s.root[i] = leafBit
	}
	s.fillRoot(t, t.top, 0)
}

func (s *store) fillRoot(t *trie, x uint32, inherited uint32) {
	if x == 0 || s.failed {
		return
	}
	n := t.at(x)
	i := t.key(x).Hi >> (64 - s.rootBits)
	if n.bits >= s.rootBits && n.deep(s.rootBits) {
		s.root[i] = s.newRoot(s.build(t, x, s.rootBits, inherited))
		s.clear()
		return
	}
	if n.id != 0 {
		inherited = n.id
		for j := range s.root[i : i+1<<(s.rootBits-n.bits)] {
			s.root[i+uint64(j)] = leafBit | n.id
		}
	}
	s.fillRoot(t, n.child[0], inherited)
	s.fillRoot(t, n.child[1], inherited)
}

// newRoot puts a node at a place of its own, for a root entry to lead to.
func (s *store) newRoot(n node) uint32 {
	i := s.newNodes(1)
	s.nodes[i] = n
	return i
}
