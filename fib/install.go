package fib

import (
	"errors"
	"iter"
	"net/netip"

	"nsrouter/fib/poptrie"
)

// Install brings a table in line with the RIB: the best usable route of each of the given prefixes, which are all that
// were set since the last Install, and the groups of all ways that have changed. Groups change before prefixes. What fails
// for want of memory stays as it was, is told, and is tried again with the next Install.
//
// After it, once no reader holds anything older, comes [RIB.Release].
func (b *RIB) Install(t *Table, touched []netip.Prefix) error {
	touched = append(b.failed, touched...)
	b.failed = nil
	for _, w := range b.idle { // the new ones; others may only look from now on
		if w.refs > 0 {
			b.hops(w)
		}
	}
	if b.installed != b.epoch {
		if flipped := b.refresh(t); len(flipped) > 0 {
			touched = b.appendUsers(touched, flipped)
		}
		b.installed = b.epoch
	}
	if len(touched) > bulkFrom && len(touched) > t.Len()/bulkShare {
		err := b.reload(t)
		if err != nil {
			b.failed = touched
		}
		return err
	}
	var failure error
	for _, p := range touched {
		if err := b.installPrefix(t, p); err != nil {
			b.failed = append(b.failed, p)
			failure = err // one tells as much as all
		}
	}
	return failure
}

// To build tables anew is a tenth of the work of as many single changes.
const (
	bulkFrom  = 4 << 10
	bulkShare = 8
)

func (b *RIB) installPrefix(t *Table, p netip.Prefix) error {
	block, i, ok := b.find(p)
	b.hint = place{block, i} // touched prefixes often come in order
	if ok {
		if best := b.Best(b.blocks[block][i].routes); best != nil {
			return t.insert(p, b.groupOf(t, best.Way))
		}
	}
	return t.remove(p)
}

// reload replaces all prefixes of the table.
func (b *RIB) reload(t *Table) error {
	return errors.Join(t.load(poptrie.IPv4, b.best(t, false)), t.load(poptrie.IPv6, b.best(t, true)))
}

// best walks the prefixes of a family that have a usable route, with the groups of their best ones.
func (b *RIB) best(t *Table, v6 bool) iter.Seq2[netip.Prefix, poptrie.ID] {
	start := netip.Prefix{}
	if v6 {
		start = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return func(yield func(netip.Prefix, poptrie.ID) bool) {
		for p, list := range b.From(start) {
			if p.Addr().Is6() != v6 {
				return
			}
			if best := b.Best(list); best != nil && !yield(p, poptrie.ID(b.groupOf(t, best.Way))) {
				return
			}
		}
	}
}

// groupOf is the id of a usable way's group, which it makes if need be.
func (b *RIB) groupOf(t *Table, w *Way) GroupID {
	if w.group == None {
		w.group = t.addGroup(NewGroup(b.hops(w), w.seed))
		w.seed = nil
	}
	return w.group
}

// Group is the id under which a way is in the table; None if no prefix leads by it.
func (w *Way) Group() GroupID { return w.group }

// Follow makes a way that is not installed yet keep the flows of another one that it takes the place of, as far as they
// have next hops in common.
func (b *RIB) Follow(t *Table, w, before *Way) {
	if w.group == None && before.group != None {
		w.seed = t.group(before.group)
	}
}

// refresh resolves all ways again and changes the groups of those that lead elsewhere now. It returns the ways that can be
// used now and could not, or the other way round.
func (b *RIB) refresh(t *Table) map[*Way]bool {
	flipped := make(map[*Way]bool)
	for _, w := range b.ways {
		if w.refs == 0 {
			continue
		}
		hops := b.hops(w)
		if usable := len(hops) > 0; usable != w.usable {
			w.usable = usable
			flipped[w] = true
		}
		if w.group == None {
			continue
		}
		old := t.group(w.group)
		switch {
		case len(hops) == 0:
			// Its prefixes will lead elsewhere. When it is back, flows go where they went.
			w.seed = old
			b.retired = append(b.retired, w.group)
			w.group = None
		case !old.leadsTo(hops):
			t.setGroup(w.group, NewGroup(hops, old))
		}
	}
	return flipped
}

// appendUsers appends the prefixes that have a route by one of the ways.
func (b *RIB) appendUsers(list []netip.Prefix, ways map[*Way]bool) []netip.Prefix {
	for p, routes := range b.From(netip.Prefix{}) {
		for _, r := range routes {
			if ways[r.Way] {
				list = append(list, p)
				break
			}
		}
	}
	return list
}

// Release lets go of ways without routes, and of the groups of ways that cannot be used: no prefix leads to them since the
// last Install, and the caller says that no reader holds them.
func (b *RIB) Release(t *Table) {
	if len(b.failed) > 0 {
		return // they may lead there
	}
	for _, w := range b.idle {
		if w.refs > 0 || b.ways[w.key] != w {
			continue
		}
		delete(b.ways, w.key)
		if w.group != None {
			t.dropGroup(w.group)
			w.group = None
		}
	}
	for _, id := range b.retired {
		t.dropGroup(id)
	}
	clear(b.idle)
	b.idle, b.retired = b.idle[:0], b.retired[:0]
}
