package poptrie

import (
	"fmt"
	"iter"
	"math"
	"net/netip"
	"sync/atomic"
)

// apply brings the look-up structure in line with the trie after the change of one prefix; limit is in bytes.
func (t *Table) apply(u subject, limit int) error {
	t.budget = limit - t.held()
	want := formFor(t.trie.size, t.form, t.form.wide || t.trie.wide > 0, t.fixed)
	if want != t.form || t.store == nil {
		want.wide = t.trie.wide > 0
		return t.rebuild(want, limit)
	}
	s := t.store
	if s.inPlace(u) {
		return nil
	}
	s.stage(u)
	if s.failed {
		s.undo()
		t.reclaim()
		s.stage(u)
	}
	if s.failed {
		s.undo()
		switch {
		case s.worthRebuilding():
			return t.rebuild(t.form, limit)
		case t.form.fast:
			return t.slowDown(limit)
		}
		return ErrMemory
	}
	t.publish()
	return nil
}

// compact gives memory back that deletions left unused, once it is most of what there is. Its failure leaves a table that is right,
// and larger than need be.
func (t *Table) compact() {
	if s := t.store; s != nil && s.fragmented() {
		_ = t.rebuild(t.form, math.MaxInt)
	}
	const large = 1024
	if n := len(t.trie.nodes.mem); n > large && t.trie.live < n/4 {
		if next, err := t.trie.compacted(); err == nil {
			t.trie.close()
			t.trie = next
		}
	}
}

// worthRebuilding tells whether a store that has no room left would have some if built anew: its memory is of fixed size, or has
// holes.
func (s *store) worthRebuilding() bool {
	if s.maps[0] == nil {
		return true
	}
	const near = 2 * slots * 32 // what one path can take
	nodes, leaves := &s.nodeSlab, &s.leafSlab
	return int(nodes.used)+near > len(s.nodes) || int(leaves.used)+near > max(len(s.leaf16), len(s.leaf32)) ||
		nodes.used-nodes.live > nodes.used/8 || leaves.used-leaves.live > leaves.used/8
}

// fragmented tells whether most of a store is free blocks.
func (s *store) fragmented() bool {
	const large = 8 << 10
	hollow := func(b *slab) bool { return b.used > large && b.live < b.used/2 }
	return hollow(&s.nodeSlab) || hollow(&s.leafSlab)
}

// publish shows a staged change to the readers.
func (t *Table) publish() {
	s := t.store
	for _, r := range s.change.roots {
		atomic.StoreUint32(&s.root[r.index], r.entry)
	}
	if len(s.change.frees) > 0 {
		t.retire()
	}
	s.clear()
}

// rebuild makes the look-up structure anew from the trie, in a given form, and swaps it in.
func (t *Table) rebuild(f form, limit int) error {
	s, err := t.construct(t.trie, f, limit)
	switch {
	case err == nil:
		t.swap(s, f)
		return nil
	case f.fast:
		return t.slowDown(limit)
	}
	return err
}

// construct builds a store from a trie.
func (t *Table) construct(from *trie, f form, limit int) (*store, error) {
	t.budget = limit - from.bytes()
	s, err := newStore(f, from.size, &t.budget)
	if err != nil {
		return nil, err
	}
	s.buildAll(from)
	if !s.failed {
		s.seal(f.rootBits > smallBits)
	}
	if s.failed || s.maps[0] == nil && s.held() > t.budget {
		s.close()
		return nil, ErrMemory
	}
	return s, nil
}

// swap replaces the look-up structure. What is mapped of the old one is unmapped when the readers have left it.
func (t *Table) swap(s *store, f form) {
	old := t.store
	if !f.fast {
		t.payBack()
	}
	t.form, t.store = f, s
	t.current.Store(&s.space)
	if f.rootBits == smallBits {
		// Nothing is ever changed in it, so that all else of the store can go.
		small := s.space
		t.current.Store(&small)
		t.store = nil
	}
	t.retired.forget()
	if old != nil && old.maps[0] != nil {
		t.retireStore(old)
	}
}

// Load replaces all prefixes by those of a sequence, visible at once (but for the default route, which follows). A sequence in the
// order of [Table.All] is fastest; if a prefix comes twice, the later one counts. If it fails, nothing is changed.
func (t *Table) Load(seq iter.Seq2[netip.Prefix, ID]) error {
	next := newTrie(t.family == IPv6)
	fallback, err := t.collect(next, seq)
	if err != nil {
		next.close()
		return err
	}
	t.slow = false
	s, f, ok := t.constructFast(next)
	if !ok {
		f = formFor(next.size, form{}, next.wide > 0, t.fixed)
		if s, err = t.construct(next, f, t.limit); err != nil {
			next.close()
			return err
		}
	}
	t.trie.close()
	t.trie = next
	t.swap(s, f)
	t.fallback.Store(fallback)
	return nil
}

// collect fills an empty trie from a sequence, and returns the id of the default route in it.
func (t *Table) collect(next *trie, seq iter.Seq2[netip.Prefix, ID]) (fallback ID, err error) {
	a := appender{trie: next, limit: t.limit}
	for p, id := range seq {
		k, n, err := t.key(p)
		switch {
		case err != nil:
			return 0, err
		case id == 0 || id > maxID:
			err = fmt.Errorf("id %d: %w", id, ErrID)
		case n == 0:
			fallback = id
		default:
			err = a.add(k, n, id)
		}
		if err != nil {
			return 0, fmt.Errorf("%v: %w", p, err)
		}
	}
	return fallback, nil
}
