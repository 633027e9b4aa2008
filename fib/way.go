package fib

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// ObjectID names a next-hop object of a namespace (ip-nexthop(8)): its number, and above that, so that each origin has
// numbers of its own, the origin. Zero is none. A number as it is names the operator's.
type ObjectID uint64

// ObjectOf is the id of the object that an origin calls by a number.
func ObjectOf(o Origin, number uint32) ObjectID { return ObjectID(o)<<32 | ObjectID(number) }

// Number is what the object's origin calls it.
func (id ObjectID) Number() uint32 { return uint32(id) }

// Origin is whom the object belongs to.
func (id ObjectID) Origin() Origin { return Origin(id >> 32) }

// Leg is one of the ways that a route sends by.
type Leg struct {
	Gateway netip.Addr // invalid: the destination itself is on the link
	Device  DeviceID   // zero: none (blackhole and its like), or the one that leads to the gateway (recursive)
	Weight  uint32     // at least 1
	// OnLink says that the gateway is on the link although no route says so.
	OnLink bool
}

// Recursive tells that the gateway is looked up among the routes.
func (l *Leg) Recursive() bool { return l.Gateway.IsValid() && l.Device == 0 }

// Way is everything about a route but its prefix. Routes of a [RIB] that say the same share one, see [RIB.Way].
type Way struct {
	Kind     Kind
	Protocol Protocol
	Scope    Scope
	Origin   Origin
	Metric   uint32      // the lowest is used
	MTU      uint32      // bytes; zero: the device's
	Source   netip.Addr  // preferred source of what the router itself sends; invalid: none
	Object   ObjectID    // the next-hop object to send by; there are no Legs then
	Netns    NamespaceID // of the kind Netns: where to look up again; there are no Legs then
	Legs     []Leg       // by which packets are sent, or the device of a route of the local table

	// Record is the form in which the RIB's user stores the way, once it was needed.
	Record []byte

	// The RIB's.
	key    string
	refs   int // routes in the RIB
	found  found
	seen   bool    // usable is known, for all ways with routes since the last Install: others than the writer only read
	usable bool    // as it was when prefixes were last chosen by it
	group  GroupID // in the table; None: not installed
	seed   *Group  // whose buckets a new group keeps as far as it can
}

// Gateway is that of the first leg, or none.
func (w *Way) Gateway() netip.Addr {
	if len(w.Legs) == 0 {
		return netip.Addr{}
	}
	return w.Legs[0].Gateway
}

// Device is that of the first leg, or none.
func (w *Way) Device() DeviceID {
	if len(w.Legs) == 0 {
		return 0
	}
	return w.Legs[0].Device
}

// source4 is the preferred source if it is one of IPv4, else zero.
func (w *Way) source4() uint32 {
	if !w.Source.Is4() {
		return 0
	}
	b := w.Source.As4()
	return binary.BigEndian.Uint32(b[:])
}

// Uses tells whether any leg leads through a device.
func (w *Way) Uses(dev DeviceID) bool {
	return slices.ContainsFunc(w.Legs, func(l Leg) bool { return l.Device == dev })
}

// InLocalTable tells routes that Linux keeps in its table "local": they come before all others of their prefix, and are
// not shown by a plain `route show`.
func (w *Way) InLocalTable() bool {
	return w.Kind == Local || w.Kind == Broadcast || w.Kind == Anycast
}

// onLink tells a way whose destinations are neighbours or the router itself.
func (w *Way) onLink() bool {
	return len(w.Legs) > 0 && !w.Legs[0].Gateway.IsValid() && w.Legs[0].Device != 0 &&
		(w.Kind == Unicast || w.InLocalTable())
}

// appendKey appends what tells ways apart.
func (w *Way) appendKey(b []byte) []byte {
	b = append(b, byte(w.Kind), byte(w.Protocol), byte(w.Scope), byte(w.Origin))
	b = binary.LittleEndian.AppendUint32(b, w.Metric)
	b = binary.LittleEndian.AppendUint32(b, w.MTU)
	b = binary.LittleEndian.AppendUint64(b, uint64(w.Object))
	b = appendAddr(b, w.Source)
	if w.Kind == Netns {
		b = binary.LittleEndian.AppendUint32(b, uint32(w.Netns))
	}
	for i := range w.Legs {
		l := &w.Legs[i]
		b = appendAddr(b, l.Gateway)
		b = binary.LittleEndian.AppendUint32(b, uint32(l.Device))
		b = binary.LittleEndian.AppendUint32(b, l.Weight)
		if l.OnLink {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(b, 0)
	case a.Is4():
		v := a.As4()
		return append(append(b, 4), v[:]...)
	}
	v := a.As16()
	return append(append(b, 6), v[:]...)
}

// Way returns the RIB's way that says the same as w. The legs stay the caller's.
func (b *RIB) Way(w Way) *Way {
	b.scratch = w.appendKey(b.scratch[:0])
	if known := b.ways[string(b.scratch)]; known != nil {
		return known
	}
	made := &Way{
		Kind: w.Kind, Protocol: w.Protocol, Scope: w.Scope, Origin: w.Origin, Metric: w.Metric, MTU: w.MTU, Source: w.Source,
		Object: w.Object, Netns: w.Netns, Legs: slices.Clone(w.Legs), key: string(b.scratch),
	}
	b.ways[made.key] = made
	b.idle = append(b.idle, made)
	return made
}

// Ways is how many ways are known.
func (b *RIB) Ways() int { return len(b.ways) }

// retain counts a route of a way.
func (b *RIB) retain(w *Way) {
	w.refs++
	if w.refs == 1 {
		b.countWay(w, 1)
		w.found = found{} // its gateways may not have been tracked for a while
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
	if w.Object != 0 {
		count(b.users, w.Object, n)
	}
	if w.Kind == Netns {
		count(b.into, w.Netns, n)
	}
	b.track(w.Legs, n)
}

// track follows the gateways of recursive legs.
func (b *RIB) track(legs []Leg, n int) {
	for i := range legs {
		if legs[i].Recursive() {
			b.tracked.count(legs[i].Gateway, n)
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
