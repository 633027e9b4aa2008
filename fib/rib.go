package fib

import (
	"iter"
	"net/netip"
	"slices"
	"sort"

	"github.com/gaissmai/bart"
)

// RIB holds all routes of a namespace, by prefix, in the order in which they are shown. It knows nothing of what can be
// used: its user chooses the best of each prefix and installs it in a [Table].
//
// It has one user at a time. Lists that it was given or gave out are never changed in place, so a user can undo what it
// did by setting the list that was there before.
type RIB struct {
	// blocks are the entries in order, cut into pieces of at most maxBlock: an ordered map in which a million prefixes
	// cost two binary searches, and which can be walked in steps.
	blocks [][]ribEntry
	routes int
	onlink bart.Table[struct{}] // prefixes with a unicast or local route that has no gateway
	src    map[netip.Addr]int   // how many routes prefer that source
	byDev  map[DeviceID]int     // how many routes that are not connected use that device
}

type ribEntry struct {
	prefix netip.Prefix
	routes []*Route // sorted by compareRoutes, never empty
}

const maxBlock = 512

// NewRIB returns an empty RIB.
func NewRIB() *RIB { return &RIB{src: make(map[netip.Addr]int), byDev: make(map[DeviceID]int)} }

// Len is the number of routes.
func (b *RIB) Len() int { return b.routes }

// ComparePrefixes is the order of routes: IPv4 first, then by address, shorter prefixes first.
func ComparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// find returns where prefix is, or would be.
func (b *RIB) find(p netip.Prefix) (block, i int, ok bool) {
	block = sort.Search(len(b.blocks), func(i int) bool { return ComparePrefixes(b.blocks[i][0].prefix, p) > 0 }) - 1
	if block < 0 {
		return 0, 0, false
	}
	i, ok = slices.BinarySearchFunc(b.blocks[block], p, func(e ribEntry, p netip.Prefix) int {
		return ComparePrefixes(e.prefix, p)
	})
	return block, i, ok
}

// Get returns the routes of a prefix, best rank first. The list must not be changed.
func (b *RIB) Get(p netip.Prefix) []*Route {
	block, i, ok := b.find(p)
	if !ok {
		return nil
	}
	return b.blocks[block][i].routes
}

// Set replaces the routes of a prefix, by none if the list is empty. The list is sorted and becomes the RIB's.
func (b *RIB) Set(p netip.Prefix, list []*Route) {
	block, i, ok := b.find(p)
	var old []*Route
	switch {
	case ok && len(list) > 0:
		e := &b.blocks[block][i]
		old, e.routes = e.routes, list
	case ok:
		old = b.blocks[block][i].routes
		b.blocks[block] = slices.Delete(b.blocks[block], i, i+1)
		if len(b.blocks[block]) == 0 {
			b.blocks = slices.Delete(b.blocks, block, block+1)
		}
	case len(list) > 0:
		b.insert(block, i, ribEntry{p, list})
	}
	b.account(p, old, list)
}

func (b *RIB) insert(block, i int, e ribEntry) {
	if len(b.blocks) == 0 {
		b.blocks = append(b.blocks, nil)
	}
	s := slices.Insert(b.blocks[block], i, e)
	if len(s) < maxBlock {
		b.blocks[block] = s
		return
	}
	half := len(s) / 2
	if i == len(s)-1 {
		half = len(s) - 1 // sorted input fills its blocks
	}
	right := append(make([]ribEntry, 0, maxBlock), s[half:]...)
	clear(s[half:])
	b.blocks[block] = s[:half]
	b.blocks = slices.Insert(b.blocks, block+1, right)
}

func (b *RIB) account(p netip.Prefix, old, list []*Route) {
	b.routes += len(list) - len(old)
	for _, r := range old {
		b.count(r, -1)
	}
	for _, r := range list {
		b.count(r, 1)
	}
	switch was, is := slices.ContainsFunc(old, (*Route).onLink), slices.ContainsFunc(list, (*Route).onLink); {
	case is && !was:
		b.onlink.Insert(p, struct{}{})
	case was && !is:
		b.onlink.Delete(p)
	}
}

func (b *RIB) count(r *Route, n int) {
	if r.Source.IsValid() {
		if b.src[r.Source] += n; b.src[r.Source] == 0 {
			delete(b.src, r.Source)
		}
	}
	if r.Device != 0 && r.Origin != Connected {
		if b.byDev[r.Device] += n; b.byDev[r.Device] == 0 {
			delete(b.byDev, r.Device)
		}
	}
}

// onLink tells a route whose destinations are neighbours or the router itself.
func (r *Route) onLink() bool {
	return !r.Gateway.IsValid() && r.Device != 0 && (r.Kind == Unicast || r.InLocalTable())
}

// OnLink returns the route without a gateway that covers addr most closely, among those of device dev unless that is
// zero, or nil: what fib_check_nh of the kernel looks for to validate a gateway.
func (b *RIB) OnLink(addr netip.Addr, dev DeviceID) *Route {
	for p := range b.onlink.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		for _, r := range b.Get(p) {
			if r.onLink() && (dev == 0 || r.Device == dev) {
				return r
			}
		}
	}
	return nil
}

// Prefers tells whether any route has src as its preferred source.
func (b *RIB) Prefers(src netip.Addr) bool { return b.src[src] > 0 }

// Uses tells whether any route that is not a connected one leads through a device.
func (b *RIB) Uses(dev DeviceID) bool { return b.byDev[dev] > 0 }

// From walks the prefixes and their routes in order, from the first at or after p; the zero Prefix starts at the
// beginning. The RIB must not be changed meanwhile.
func (b *RIB) From(p netip.Prefix) iter.Seq2[netip.Prefix, []*Route] {
	return func(yield func(netip.Prefix, []*Route) bool) {
		block, i := 0, 0
		if p.IsValid() {
			block, i, _ = b.find(p)
		}
		for ; block < len(b.blocks); block++ {
			for ; i < len(b.blocks[block]); i++ {
				if e := &b.blocks[block][i]; !yield(e.prefix, e.routes) {
					return
				}
			}
			i = 0
		}
	}
}

// Best is the first route of a list that can be used, or nil.
func Best(list []*Route, usable func(*Route) bool) *Route {
	for _, r := range list {
		if usable(r) {
			return r
		}
	}
	return nil
}
