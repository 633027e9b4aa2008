package fib

import (
	"net/netip"
	"slices"
)

// Way returns the RIB's way that says the same as w.
func (b *RIB) Way(w Way) *Way {
	b.scratch = w.appendKey(b.scratch[:0])
	if known := b.ways[string(b.scratch)]; known != nil {
		return known
	}
	w.key, w.refs, w.Record, w.resolution = string(b.scratch), 0, nil, resolution{}
	b.ways[w.key] = &w
	b.idle = append(b.idle, &w)
	return &w
}

// retain counts a route of a way.
func (b *RIB) retain(w *Way) {
	w.refs++
	if w.refs == 1 {
		b.countWay(w, 1)
	}
}

// release counts a route less. The way stays known until [RIB.Release]: it may come back by an undo.
func (b *RIB) release(w *Way) {
	w.refs--
	if w.refs == 0 {
		b.countWay(w, -1)
		b.idle = append(b.idle, w)
	}
}

func (b *RIB) countWay(w *Way, n int) {
	if w.Source.IsValid() {
		count(b.src, w.Source, n)
	}
	if w.Origin != Connected {
		for i := range w.Legs {
			if d := w.Legs[i].Device; d != 0 {
				count(b.byDev, d, n)
			}
		}
	}
	b.track(w.Legs, n)
}

// track follows the gateways of recursive legs.
func (b *RIB) track(legs []Leg, n int) {
	for i := range legs {
		if legs[i].Recursive() {
			b.tracked.count(legs[i].Gateway, n)
			b.Invalidate()
		}
	}
}

func count[K comparable](m map[K]int, k K, n int) {
	if m[k] += n; m[k] == 0 {
		delete(m, k)
	}
}

// gateways are addresses, how often each is used, and their order.
type gateways struct {
	uses   map[netip.Addr]int
	sorted []netip.Addr
}

func (g *gateways) count(a netip.Addr, n int) {
	if g.uses == nil {
		g.uses = make(map[netip.Addr]int)
	}
	before := g.uses[a]
	count(g.uses, a, n)
	at, _ := slices.BinarySearchFunc(g.sorted, a, netip.Addr.Compare)
	switch after := g.uses[a]; {
	case before == 0 && after > 0:
		g.sorted = slices.Insert(g.sorted, at, a)
	case before > 0 && after == 0:
		g.sorted = slices.Delete(g.sorted, at, at+1)
	}
}

// any tells whether one of the gateways is in a prefix.
func (g *gateways) any(p netip.Prefix) bool {
	if len(g.sorted) == 0 {
		return false
	}
	at, _ := slices.BinarySearchFunc(g.sorted, p.Addr(), netip.Addr.Compare)
	return at < len(g.sorted) && p.Contains(g.sorted[at])
}
