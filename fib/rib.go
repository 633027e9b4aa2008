package fib

import (
	"iter"
	"net/netip"
	"slices"
	"sort"

	"github.com/gaissmai/bart"
)

// RIB holds all routes of a namespace, by prefix, in the order in which they are shown, and its next-hop objects. It
// finds out which of them can be used, and installs the best of each prefix in a [Table].
//
// It has one user at a time. Lists that it was given or gave out are never changed in place, so a user can undo what it
// did by setting the list that was there before.
type RIB struct {
	links func(DeviceID) LinkState

	// blocks are the entries in order, cut into pieces of at most maxBlock: an ordered map in which a million prefixes
	// cost two binary searches, and which can be walked in steps.
	blocks  [][]ribEntry
	hint    place // where the writer was last: sorted input goes on from there
	routes  int
	lengths [2][129]int // number of prefixes by family (0: IPv4) and length

	ways    map[string]*Way
	idle    []*Way         // ways that had no routes at some time since the last Release
	retired []GroupID      // groups of ways that cannot be used any more, until the next Release
	failed  []netip.Prefix // that the table had no memory for: tried again with the next Install
	scratch []byte         // for keys

	onlink  bart.Table[struct{}] // prefixes with a unicast or local route that has no gateway
	src     map[netip.Addr]int   // how many ways prefer that source
	byDev   map[DeviceID]int     // how many ways that are not connected use that device
	into    map[NamespaceID]int  // how many lead into that namespace
	tracked gateways             // of recursive legs

	objects map[ObjectID]*Object
	users   map[ObjectID]int // how many ways send by that object

	// epoch changes with everything that resolutions depend on; installed is the epoch that the table shows.
	epoch, installed uint64
}

// LinkState is what a device is good for.
type LinkState struct {
	Up      bool // administratively
	Carrier bool
}

type ribEntry struct {
	prefix netip.Prefix
	routes []*Route // sorted by compareRoutes, never empty
}

const maxBlock = 512

// NewRIB returns an empty RIB. links tells the state of devices; a change of it is to be followed by Invalidate.
func NewRIB(links func(DeviceID) LinkState) *RIB {
	return &RIB{
		links: links, ways: make(map[string]*Way), src: make(map[netip.Addr]int), byDev: make(map[DeviceID]int),
		into:    make(map[NamespaceID]int),
		objects: make(map[ObjectID]*Object), users: make(map[ObjectID]int), epoch: 1,
	}
}

// Len is the number of routes.
func (b *RIB) Len() int { return b.routes }

// ComparePrefixes is the order of routes: IPv4 first, then by address, shorter prefixes first.
func ComparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// place is an entry: its block, and its index there.
type place struct{ block, i int }

// find returns where prefix is, or would be.
func (b *RIB) find(p netip.Prefix) (block, i int, ok bool) {
	block = b.hint.block
	if i, ok, near := b.near(p); near {
		return block, i, ok
	}
	block = sort.Search(len(b.blocks), func(i int) bool { return ComparePrefixes(b.blocks[i][0].prefix, p) > 0 }) - 1
	if block < 0 {
		return 0, 0, false
	}
	i, ok = slices.BinarySearchFunc(b.blocks[block], p, func(e ribEntry, p netip.Prefix) int {
		return ComparePrefixes(e.prefix, p)
	})
	return block, i, ok
}

// near looks at the hint and at what follows it there.
func (b *RIB) near(p netip.Prefix) (i int, ok, near bool) {
	if b.hint.block >= len(b.blocks) || b.hint.i >= len(b.blocks[b.hint.block]) {
		return 0, false, false
	}
	list := b.blocks[b.hint.block]
	i = b.hint.i
	c := ComparePrefixes(list[i].prefix, p)
	if c < 0 && i+1 < len(list) {
		i++
		if c = ComparePrefixes(list[i].prefix, p); c > 0 {
			return i, false, true
		}
	}
	if c < 0 && i+1 == len(list) {
		last := b.hint.block+1 == len(b.blocks) || ComparePrefixes(b.blocks[b.hint.block+1][0].prefix, p) > 0
		return i + 1, false, last
	}
	return i, true, c == 0
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
	b.hint = place{block, i}
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
		b.length(p, -1)
	case len(list) > 0:
		b.insert(block, i, ribEntry{p, list})
		b.length(p, 1)
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

func (b *RIB) length(p netip.Prefix, n int) {
	family := 0
	if p.Addr().Is6() {
		family = 1
	}
	b.lengths[family][p.Bits()] += n
}

// account follows a change of the routes of a prefix.
func (b *RIB) account(p netip.Prefix, old, list []*Route) {
	b.routes += len(list) - len(old)
	for _, r := range list {
		b.retain(r.Way)
	}
	for _, r := range old {
		b.release(r.Way)
	}
	if b.tracked.any(p) {
		b.Invalidate()
	}
	switch was, is := slices.ContainsFunc(old, isOnLink), slices.ContainsFunc(list, isOnLink); {
	case is && !was:
		b.onlink.Insert(p, struct{}{})
	case was && !is:
		b.onlink.Delete(p)
	}
}

func isOnLink(r *Route) bool { return r.onLink() }

// OnLink returns the route without a gateway that covers addr most closely, among those of device dev unless that is
// zero, or nil: what fib_check_nh of the kernel looks for to validate a gateway.
func (b *RIB) OnLink(addr netip.Addr, dev DeviceID) *Route {
	for p := range b.onlink.Supernets(netip.PrefixFrom(addr, addr.BitLen())) {
		for _, r := range b.Get(p) {
			if r.onLink() && (dev == 0 || r.Device() == dev) {
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

// LeadsInto tells whether any route leads into a namespace.
func (b *RIB) LeadsInto(ns NamespaceID) bool { return b.into[ns] > 0 }

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
