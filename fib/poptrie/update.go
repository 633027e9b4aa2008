package poptrie

import "math/bits"

// What an update is about: a prefix that the trie already has, or no longer has.
type subject struct {
	t    *trie
	k    Addr
	bits uint8
}

// stage prepares the change of all that depends on a prefix, in copies; publish or undo must follow.
func (s *store) stage(u subject) {
	if u.bits <= s.rootBits {
		s.stageShort(u)
		return
	}
	i := uint32(u.k.Hi >> (64 - s.rootBits))
	x, inherited := u.t.descend(u.t.top, u.k, s.rootBits, 0)
	old := s.root[i]
	switch {
	case x == 0 || !u.t.at(x).deep(s.rootBits):
		s.stageRoot(i, leafBit|leafID(u.t, x, inherited))
	case old&leafBit != 0:
		s.stageRoot(i, s.newRoot(s.build(u.t, x, s.rootBits, inherited)))
	default:
		n := s.rewrite(u, s.nodes[old], x, s.rootBits, inherited)
		s.change.roots = append(s.change.roots, rootEntry{i, s.newRoot(n)})
		s.drop(old, 1, false)
	}
}

// leafID is the id of a place in the trie below which nothing is.
func leafID(t *trie, x, inherited uint32) uint32 {
	if x != 0 && t.at(x).id != 0 {
		return t.at(x).id
	}
	return inherited
}

// stageRoot gives root entry i a new value; what the old one led to is dropped.
func (s *store) stageRoot(i, e uint32) {
	old := s.root[i]
	if old == e {
		return
	}
	if old&leafBit == 0 {
		s.dropTree(s.nodes[old])
		s.drop(old, 1, false)
	}
	s.change.roots = append(s.change.roots, rootEntry{i, e})
}

// stageShort prepares the change of a prefix that covers one root entry or many. Whatever is under a longer prefix stays.
func (s *store) stageShort(u subject) {
	x, inherited := u.t.descend(u.t.top, u.k, u.bits, 0)
	first := uint32(u.k.Hi >> (64 - s.rootBits))
	end := first + 1<<(s.rootBits-u.bits)
	id := inherited
	if x != 0 && u.t.at(x).bits == u.bits {
		id = leafID(u.t, x, inherited)
	}
	if first = s.stageBelow(u, x, first, id); !s.failed {
		s.stageLeaves(first, end, id)
	}
}

// stageBelow prepares the root entries from next on as far as the subtree x reaches that depend on the changed prefix; those before
// and between longer prefixes become leaves of id. It returns the first entry that it did not look at.
func (s *store) stageBelow(u subject, x, next, id uint32) uint32 {
	if x == 0 || s.failed {
		return next
	}
	n := u.t.at(x)
	i := uint32(u.t.key(x).Hi >> (64 - s.rootBits))
	if n.bits > u.bits && n.id != 0 && n.bits <= s.rootBits {
		s.stageLeaves(next, i, id)
		return i + 1<<(s.rootBits-n.bits)
	}
	if n.bits >= s.rootBits && n.deep(s.rootBits) {
		s.stageLeaves(next, i, id)
		s.stageRoot(i, s.newRoot(s.build(u.t, x, s.rootBits, id)))
		return i + 1
	}
	next = s.stageBelow(u, n.child[0], next, id)
	return s.stageBelow(u, n.child[1], next, id)
}

func (s *store) stageLeaves(first, end, id uint32) {
	for i := first; i < end; i++ {
		s.stageRoot(i, leafBit|id)
	}
}

// rewrite returns node n, whose stride begins at off, as it is to be after the change; x is the trie's subtree at off, which holds
// more than one leaf.
func (s *store) rewrite(u subject, n node, x uint32, off uint8, inherited uint32) node {
	if u.bits <= off+stride {
		return s.redraw(u, n, x, off, inherited)
	}
	v := u.k.stride(off)
	y, inherited := u.t.descend(x, u.k, off+stride, inherited)
	deep := y != 0 && u.t.at(y).deep(off+stride)
	if deep && n.has(v) {
		i := n.childAt(v)
		child := s.rewrite(u, s.nodes[i], y, off+stride, inherited)
		k := bits.OnesCount64(n.inner)
		at := s.newNodes(k)
		copy(s.nodes[at:], s.nodes[n.child:n.child+uint32(k)])
		s.nodes[at+i-n.child] = child
		s.drop(n.child, k, false)
		n.child = at
		return n
	}
	var p picture
	s.expand(n, &p)
	if n.has(v) {
		s.dropTree(p.child[v])
		p.inner &^= 1 << v
	}
	if deep {
		p.inner |= 1 << v
		p.child[v] = s.build(u.t, y, off+stride, inherited)
	} else {
		p.id[v] = leafID(u.t, y, inherited)
	}
	return s.replace(n, &p)
}

// redraw is rewrite in the node in which the changed prefix ends: its slots are drawn again from the trie.
func (s *store) redraw(u subject, n node, x uint32, off uint8, inherited uint32) node {
	var p picture
	s.expand(n, &p)
	v, w := span(u.k, u.bits, off)
	covered := (upTo(w-1) << v) & p.inner
	p.inner &^= covered
	y, inherited := u.t.descend(x, u.k, u.bits, inherited)
	p.paint(v, w, inherited)
	kept := uint64(0)
	if y != 0 {
		kept = s.refill(u, &p, y, off, inherited, covered, false)
	}
	for m := covered &^ kept; m != 0; m &= m - 1 {
		s.dropTree(n.expandChild(s, bits.TrailingZeros64(m)))
	}
	return s.replace(n, &p)
}

// expandChild returns the child in slot v.
func (n *node) expandChild(s *store, v int) node { return s.nodes[n.childAt(uint64(v))] }

// refill is fill, but keeps the old children (in the picture, their slots in old) under prefixes longer than the changed one, which
// shield them. It returns the slots that were kept.
func (s *store) refill(u subject, p *picture, x uint32, off uint8, inherited uint32, old uint64, shielded bool) uint64 {
	n := u.t.at(x)
	if n.bits > u.bits && n.bits <= off+stride && n.id != 0 {
		shielded = true
	}
	if n.bits >= off+stride && n.deep(off+stride) {
		v := u.t.key(x).stride(off)
		p.inner |= 1 << v
		if shielded && old>>v&1 != 0 {
			return 1 << v
		}
		p.child[v] = s.build(u.t, x, off+stride, inherited)
		return 0
	}
	if n.id != 0 {
		inherited = n.id
		v, w := span(u.t.key(x), n.bits, off)
		p.paint(v, w, n.id)
	}
	kept := uint64(0)
	for _, c := range n.child {
		if c != 0 {
			kept |= s.refill(u, p, c, off, inherited, old, shielded)
		}
	}
	return kept
}

// replace drops the arrays of n and makes new ones from a picture.
func (s *store) replace(n node, p *picture) node {
	s.drop(n.child, bits.OnesCount64(n.inner), false)
	s.drop(n.leaf, bits.OnesCount64(n.runs), true)
	return s.compress(p)
}

// inPlace makes the whole change by one store of an id, where the prefix has a run of leaves of its own. It tells whether it could.
func (s *store) inPlace(u subject) bool {
	if raceEnabled || u.bits <= s.rootBits {
		return false
	}
	e := s.root[u.k.Hi>>(64-s.rootBits)]
	if e&leafBit != 0 {
		return false
	}
	n, off := &s.nodes[e], s.rootBits
	for ; u.bits > off+stride; off += stride {
		v := u.k.stride(off)
		if !n.has(v) {
			return false
		}
		n = &s.nodes[n.childAt(v)]
	}
	v, w := span(u.k, u.bits, off)
	mask := upTo(w-1) << v
	if n.inner&mask != 0 || n.runs&mask != 1<<v {
		return false
	}
	// The run must end where the prefix does: the next leaf, if there is one, begins another.
	if rest := ^n.inner &^ upTo(v+w-1); rest != 0 && n.runs>>bits.TrailingZeros64(rest)&1 == 0 {
		return false
	}
	x, inherited := u.t.descend(u.t.top, u.k, u.bits, 0)
	if x != 0 && u.t.at(x).deep(u.bits) {
		return false
	}
	s.setLeaf(n.leafAt(v), leafID(u.t, x, inherited))
	return true
}
