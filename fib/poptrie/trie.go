package poptrie

// trie holds the prefixes of a table for its writer, which refills parts of the look-up structure from it. It is a binary trie
// whose chains are compressed: a node stands for a prefix of the table, or for a place where two of them part. Nodes are numbers in
// pointer-free memory; zero is no node.
type trie struct {
	nodes buffer[trieNode]
	lows  buffer[uint64] // IPv6 only: the lower words of the nodes' keys
	top   uint32
	free  uint32 // list of unused nodes, linked by child[0]
	live  int    // nodes in use
	size  int    // prefixes
	wide  int    // prefixes whose id needs more than 16 bits
	v6    bool
}

type trieNode struct {
	hi    uint64 // upper word of the key, masked
	child [2]uint32
	id    uint32 // zero: no prefix of the table
	bits  uint8  // length of the prefix
}

// deep tells whether there is anything below the first d bits of node x, which has at least d bits.
func (n *trieNode) deep(d uint8) bool { return n.bits > d || n.child[0]|n.child[1] != 0 }

func newTrie(v6 bool) *trie { return &trie{v6: v6} }

// close gives the memory back.
func (t *trie) close() {
	t.nodes.close()
	t.lows.close()
}

// bytes is the memory that the trie holds.
func (t *trie) bytes() int { return t.nodes.bytes() + t.lows.bytes() }

func (t *trie) at(x uint32) *trieNode { return &t.nodes.mem[x] }

func (t *trie) key(x uint32) Addr {
	k := Addr{Hi: t.nodes.mem[x].hi}
	if t.v6 {
		k.Lo = t.lows.mem[x]
	}
	return k
}

// reserve makes sure that two more nodes can be made, for at most budget bytes. Only here does the memory move.
func (t *trie) reserve(budget int) error {
	if t.free != 0 && t.at(t.free).child[0] != 0 {
		return nil
	}
	n := 2
	if len(t.nodes.mem) == 0 {
		n++ // node zero
	}
	if err := t.nodes.reserve(n, budget); err != nil {
		return err
	}
	if t.v6 {
		if err := t.lows.reserve(n, budget); err != nil {
			return err
		}
	}
	if len(t.nodes.mem) == 0 {
		t.push(trieNode{}, Addr{})
	}
	return nil
}

func (t *trie) push(n trieNode, k Addr) uint32 {
	t.nodes.mem = append(t.nodes.mem, n)
	if t.v6 {
		t.lows.mem = append(t.lows.mem, k.Lo)
	}
	return uint32(len(t.nodes.mem) - 1)
}

// make returns a new node; there must be room for it.
func (t *trie) make(k Addr, n uint8, id uint32) uint32 {
	t.live++
	node := trieNode{hi: k.Hi, bits: n, id: id}
	x := t.free
	if x == 0 {
		return t.push(node, k)
	}
	t.free = t.at(x).child[0]
	*t.at(x) = node
	if t.v6 {
		t.lows.mem[x] = k.Lo
	}
	return x
}

func (t *trie) drop(x uint32) {
	t.live--
	*t.at(x) = trieNode{child: [2]uint32{t.free, 0}}
	t.free = x
}

// count keeps size and wide when the id of a prefix changes.
func (t *trie) count(old, id uint32) {
	if old != 0 {
		t.size--
	}
	if id != 0 {
		t.size++
	}
	if old > maxNarrow {
		t.wide--
	}
	if id > maxNarrow {
		t.wide++
	}
}

// insert gives a prefix (masked) an id and returns the one that it had. There must be room for two nodes.
func (t *trie) insert(k Addr, n uint8, id uint32) (old uint32) {
	defer func() { t.count(old, id) }()
	link := &t.top
	for *link != 0 {
		x := *link
		node := t.at(x)
		c := min(common(t.key(x), k), node.bits, n)
		if c == node.bits {
			if c == n {
				old, node.id = node.id, id
				return old
			}
			link = &node.child[k.bit(c)]
			continue
		}
		side := t.key(x).bit(c)
		y := t.make(k, n, id)
		if c < n {
			leaf := y
			y = t.make(k.mask(c), c, 0)
			t.at(y).child[1-side] = leaf
		}
		t.at(y).child[side] = x
		*link = y
		return 0
	}
	*link = t.make(k, n, id)
	return 0
}

// remove takes a prefix out and returns its id, zero if it was not there.
func (t *trie) remove(k Addr, n uint8) (old uint32) {
	var above *uint32 // leads to the parent
	link := &t.top
	for {
		x := *link
		if x == 0 {
			return 0
		}
		node := t.at(x)
		if node.bits > n || common(t.key(x), k) < node.bits {
			return 0
		}
		if node.bits == n {
			break
		}
		above, link = link, &node.child[k.bit(node.bits)]
	}
	node := t.at(*link)
	old, node.id = node.id, 0
	t.count(old, 0)
	if t.splice(link) && above != nil && t.at(*above).id == 0 {
		t.splice(above)
	}
	return old
}

// splice takes the node that link leads to out of its chain, unless it has two children.
func (t *trie) splice(link *uint32) bool {
	x := *link
	c := t.at(x).child
	if c[0] != 0 && c[1] != 0 {
		return false
	}
	*link = c[0] | c[1]
	t.drop(x)
	return *link == 0
}

// get returns the id of a prefix, zero if it is not there.
func (t *trie) get(k Addr, n uint8) uint32 {
	x, _ := t.descend(t.top, k, n, 0)
	if x == 0 || t.at(x).bits != n {
		return 0
	}
	return t.at(x).id
}

// descend goes from node x, whose key agrees with k as far as k leads to it, down to the first node of at least d bits that lies
// under the first d bits of k, or zero. inherited becomes the id of the longest prefix shorter than d bits met on the way.
func (t *trie) descend(x uint32, k Addr, d uint8, inherited uint32) (uint32, uint32) {
	for x != 0 {
		n := t.at(x)
		c := common(t.key(x), k)
		if n.bits >= d {
			if c < d {
				return 0, inherited
			}
			return x, inherited
		}
		if c < n.bits {
			return 0, inherited
		}
		if n.id != 0 {
			inherited = n.id
		}
		x = n.child[k.bit(n.bits)]
	}
	return 0, inherited
}

// match returns the longest prefix that covers the first width bits of k.
func (t *trie) match(k Addr, width uint8) (bits uint8, id uint32) {
	for x := t.top; x != 0; {
		n := t.at(x)
		if n.bits > width || common(t.key(x), k) < n.bits {
			break
		}
		if n.id != 0 {
			bits, id = n.bits, n.id
		}
		if n.bits == width {
			break
		}
		x = n.child[k.bit(n.bits)]
	}
	return bits, id
}

// walk visits the prefixes in order.
func (t *trie) walk(x uint32, yield func(k Addr, n uint8, id uint32) bool) bool {
	if x == 0 {
		return true
	}
	n := *t.at(x)
	if n.id != 0 && !yield(t.key(x), n.bits, n.id) {
		return false
	}
	return t.walk(n.child[0], yield) && t.walk(n.child[1], yield)
}
