package poptrie

import "math"

// appender fills an empty trie. Prefixes in ascending order cost a step or two each, whatever the size of the trie; from the first
// one out of order on, each is searched for.
type appender struct {
	trie     *trie
	spine    []uint32 // the nodes from the top to the last prefix
	limit    int      // bytes that the trie may take
	unsorted bool
}

func (a *appender) add(k Addr, n uint8, id uint32) error {
	t := a.trie
	if err := t.reserve(a.limit - t.bytes()); err != nil {
		return err
	}
	if len(a.spine) == 0 {
		t.count(0, id)
		t.top = t.make(k, n, id)
		a.spine = append(a.spine, t.top)
		return nil
	}
	last := a.spine[len(a.spine)-1]
	lk, ln := t.key(last), t.at(last).bits
	a.unsorted = a.unsorted || less(k, n, lk, ln)
	if a.unsorted || k == lk && n == ln {
		t.insert(k, n, id)
		return nil
	}
	t.count(0, id)
	a.extend(k, n, id)
	return nil
}

// extend hangs a prefix that comes after all others into the right-hand side of the trie.
func (a *appender) extend(k Addr, n uint8, id uint32) {
	t := a.trie
	last := a.spine[len(a.spine)-1]
	c := min(common(t.key(last), k), t.at(last).bits)
	var side uint32 // the subtree that k parts from
	for len(a.spine) > 0 && t.at(a.spine[len(a.spine)-1]).bits > c {
		side = a.spine[len(a.spine)-1]
		a.spine = a.spine[:len(a.spine)-1]
	}
	if side != 0 && (len(a.spine) == 0 || t.at(a.spine[len(a.spine)-1]).bits < c) {
		fork := t.make(k.mask(c), c, 0)
		t.at(fork).child[0] = side
		a.hang(fork)
	}
	a.hang(t.make(k, n, id))
}

// hang puts x below the end of the spine, and makes it the end.
func (a *appender) hang(x uint32) {
	t := a.trie
	if len(a.spine) == 0 {
		t.top = x
	} else {
		p := t.at(a.spine[len(a.spine)-1])
		p.child[t.key(x).bit(p.bits)] = x
	}
	a.spine = append(a.spine, x)
}

// compacted returns a copy of a trie in as little memory as it needs.
func (t *trie) compacted() (*trie, error) {
	a := appender{trie: newTrie(t.v6), limit: math.MaxInt}
	var err error
	t.walk(t.top, func(k Addr, n uint8, id uint32) bool {
		err = a.add(k, n, id)
		return err == nil
	})
	if err != nil {
		a.trie.close()
		return nil, err
	}
	return a.trie, nil
}
