// Package fib finds the next hop of an address: routes, next hops and longest-prefix match of one namespace.
//
// A [Table] serves one namespace, both address families. The control plane is its only writer ([Table.Update], one at a
// time); workers read it without a lock: they load a [Snapshot] once per batch and ask it for whole batches. A snapshot
// never changes, so the ids that its look-ups return name next hops of that same snapshot.
//
// [RIB] stands in front of it on the control side: all routes with their metrics and protocols, of which the best of
// each prefix is in the table.
package fib

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// NextHopID names a next hop within one snapshot of a namespace's table. 32 bits in every interface.
type NextHopID uint32

// None is the id of no route.
const None NextHopID = 0

// DeviceID names a logical device of the daemon (not of Linux), unique over all namespaces. Zero is no device.
type DeviceID uint32

// Addr is an address as two host-order words: IPv6 as it is, IPv4 mapped (::ffff:0:0/96), so that one table of
// neighbours serves both.
type Addr struct{ Hi, Lo uint64 }

// AddrOf converts from netip; an IPv4 address becomes a mapped one, a zone is ignored.
func AddrOf(a netip.Addr) Addr {
	b := a.As16()
	return Addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Addr4 is the mapped form of a host-order IPv4 address.
func Addr4(a uint32) Addr { return Addr{0, 0xffff<<32 | uint64(a)} }

// Is4 tells a mapped IPv4 address.
func (a Addr) Is4() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// Netip converts back; mapped addresses become IPv4.
func (a Addr) Netip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// Kind is what a route does with a packet; the route types of ip-route(8).
type Kind uint8

// Route kinds.
const (
	Unicast     Kind = iota // send by Device, to Gateway or, without one, to the destination itself
	Local                   // the router's own address
	Broadcast               // the broadcast address of a connected IPv4 prefix
	Anycast                 // the subnet-router anycast address of a connected IPv6 prefix (RFC 4291 2.6.1)
	Blackhole               // drop silently
	Unreachable             // drop, answer host unreachable
	Prohibit                // drop, answer administratively prohibited
	Throw                   // as if there were no route
)

// NextHop is what becomes of a packet. It is comparable: equal next hops of a table share an id.
type NextHop struct {
	Kind   Kind
	Device DeviceID // the device it leaves by; for Local the device that has the address
	// Gateway is the neighbour to send to; zero means the packet's destination ("attached").
	Gateway Addr
	// MTU limits the packet size on this route in bytes; zero means the device's.
	MTU uint32
}

// Table is one namespace's forwarding table.
type Table struct {
	write   sync.Mutex // writers only
	current atomic.Pointer[Snapshot]
	ids     map[NextHop]nextHopUse // under write
	free    []NextHopID            // under write
}

type nextHopUse struct {
	id       NextHopID
	prefixes int // how many prefixes lead to it
}

// Snapshot is a table as it was at one instant. It is immutable and may be read by any number of workers.
type Snapshot struct {
	prefixes *bart.Table[NextHopID]
	hops     []NextHop // by id; hops[None] is unused
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{ids: make(map[NextHop]nextHopUse)}
	t.current.Store(&Snapshot{prefixes: new(bart.Table[NextHopID]), hops: make([]NextHop, 1)})
	return t
}

// Load returns the present snapshot: one atomic load, meant once per batch.
func (t *Table) Load() *Snapshot { return t.current.Load() }

// Lookup4 looks up host-order IPv4 addresses; ids[i] is set for dst[i], to None where no route covers it. len(ids) >=
// len(dst).
func (s *Snapshot) Lookup4(dst []uint32, ids []NextHopID) {
	var b [4]byte
	for i, d := range dst {
		binary.BigEndian.PutUint32(b[:], d)
		ids[i], _ = s.prefixes.Lookup(netip.AddrFrom4(b))
	}
}

// Lookup6 is Lookup4 for IPv6.
func (s *Snapshot) Lookup6(dst []Addr, ids []NextHopID) {
	var b [16]byte
	for i, d := range dst {
		binary.BigEndian.PutUint64(b[:8], d.Hi)
		binary.BigEndian.PutUint64(b[8:], d.Lo)
		ids[i], _ = s.prefixes.Lookup(netip.AddrFrom16(b))
	}
}

// Lookup is the look-up of a single address of either family.
func (s *Snapshot) Lookup(a netip.Addr) NextHopID {
	id, _ := s.prefixes.Lookup(a.WithZone("").Unmap())
	return id
}

// Match returns the prefix that covers an address most closely.
func (s *Snapshot) Match(a netip.Addr) (netip.Prefix, bool) {
	a = a.WithZone("").Unmap()
	p, _, ok := s.prefixes.LookupPrefixLPM(netip.PrefixFrom(a, a.BitLen()))
	return p, ok
}

// NextHop returns the next hop of an id that this snapshot gave out (not None).
func (s *Snapshot) NextHop(id NextHopID) *NextHop { return &s.hops[id] }

// All walks the prefixes in order, with the next hops they lead to.
func (s *Snapshot) All() iter.Seq2[netip.Prefix, NextHopID] { return s.prefixes.AllSorted() }

// Len is the number of prefixes.
func (s *Snapshot) Len() int { return s.prefixes.Size() }

// Writer changes a table inside [Table.Update].
type Writer struct {
	table  *Table
	next   Snapshot
	copied bool // next.hops is no longer the readers'
}

// Update runs fn and publishes all that it changed at once: readers see the table from before or from after it.
func (t *Table) Update(fn func(w *Writer)) {
	t.write.Lock()
	defer t.write.Unlock()
	w := Writer{table: t, next: *t.current.Load()}
	fn(&w)
	t.current.Store(&w.next)
}

// Insert makes prefix (masked) lead to hop, in place of whatever it led to.
func (w *Writer) Insert(prefix netip.Prefix, hop NextHop) {
	id := w.acquire(hop)
	if old, ok := w.next.prefixes.Get(prefix); ok {
		w.release(old)
	}
	w.next.prefixes = w.next.prefixes.InsertPersist(prefix, id)
}

// Delete removes prefix; one that is not there is no fault.
func (w *Writer) Delete(prefix netip.Prefix) {
	old, ok := w.next.prefixes.Get(prefix)
	if !ok {
		return
	}
	w.release(old)
	w.next.prefixes = w.next.prefixes.DeletePersist(prefix)
}

func (w *Writer) acquire(hop NextHop) NextHopID {
	t := w.table
	use, ok := t.ids[hop]
	if !ok {
		w.own()
		if n := len(t.free); n > 0 {
			use.id, t.free = t.free[n-1], t.free[:n-1]
			w.next.hops[use.id] = hop
		} else {
			use.id = NextHopID(len(w.next.hops))
			w.next.hops = append(w.next.hops, hop)
		}
	}
	use.prefixes++
	t.ids[hop] = use
	return use.id
}

func (w *Writer) release(id NextHopID) {
	t := w.table
	hop := w.next.hops[id]
	use := t.ids[hop]
	if use.prefixes--; use.prefixes > 0 {
		t.ids[hop] = use
		return
	}
	delete(t.ids, hop)
	t.free = append(t.free, id)
}

// own makes the slice of next hops the writer's: readers of the snapshot before still use theirs.
func (w *Writer) own() {
	if !w.copied {
		w.next.hops = append(make([]NextHop, 0, len(w.next.hops)+16), w.next.hops...)
		w.copied = true
	}
}
