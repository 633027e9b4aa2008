// Package neigh holds the neighbours of a device: the IPv4 (ARP) and IPv6 (ND) addresses on its link and their MAC
// addresses.
//
// A [Table] has one writer, the worker that owns the device, and any number of readers without locks: the other
// workers, which ask it for every packet, and the control plane, which shows it. It is a hash with open addressing; the
// array is replaced when it grows, and a reader that still has the old one finds what was there before.
package neigh

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"nsrouter/fib"
)

// State is the reachability of a neighbour (RFC 4861 7.3.2, the NUD_* of linux/neighbour.h).
//
//	           asked                no answer
//	(new) -> Incomplete ---------------------------> Failed -- packet --> Incomplete
//	             | answer                              ^
//	             v        30 s          packet     5 s  |  no answer
//	         Reachable ----------> Stale -----> Delay -----> Probe
//	             ^    (Delay, if in use)                      |  asks the known address
//	             +-------------------- answer ----------------+
//
// A router forwards packets of others, and so never learns from an upper layer that a neighbour receives what it is
// sent (RFC 4861 7.3.1, the first kind of confirmation): Delay always ends in Probe, unless the neighbour answers or asks
// by itself meanwhile.
type State uint8

// States. A packet is sent straight on in all but Incomplete and Failed.
const (
	Incomplete State = iota // asked, no answer yet
	Reachable               // confirmed a short while ago
	Stale                   // not confirmed lately, used all the same
	Delay                   // used while stale: waits a while before it asks
	Probe                   // asking again, unicast
	Failed                  // does not answer
	Permanent               // set by the operator; never ages, is never collected
	NoARP                   // set by the operator; is never asked, is collected when unused
	// NumStates is how many states there are.
	NumStates
)

var stateNames = [NumStates]string{
	"INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED", "PERMANENT", "NOARP",
}

// String is the state as ip-neighbour(8) prints it.
func (s State) String() string { return stateNames[s] }

// Valid tells whether the MAC address may be used (NUD_VALID).
func (s State) Valid() bool { return s != Incomplete && s != Failed }

// Connected tells whether the MAC address is known to be right (NUD_CONNECTED).
func (s State) Connected() bool { return s == Reachable || s == Permanent || s == NoARP }

// Static tells whether only the operator may change it.
func (s State) Static() bool { return s == Permanent || s == NoARP }

// Entry is one neighbour. Its address never changes.
type Entry struct {
	Addr fib.Addr
	// word is the MAC address (48 bits, first byte on top), valid flag, used flag and state; written by the owner, but
	// for the used flag, which any worker sets.
	word atomic.Uint64
	// Changed is when state or MAC changed, Confirmed when it was last heard to receive us, Used when the owner last
	// found that packets were sent to it: nanoseconds of the monotonic clock, written by the owner.
	Changed, Confirmed, Used atomic.Int64
	// Router says that a neighbour advertisement had the router flag.
	Router atomic.Bool
	// Probes is how often it was asked since it was last asked anew; written by the owner.
	Probes atomic.Int32
	// Asked is when it was last asked, nanoseconds; 0: never. The owner's.
	Asked int64
}

const (
	stateMask = 0xff
	validFlag = 1 << 8 // the MAC may be used
	usedFlag  = 1 << 9 // a packet was sent to it since the owner last looked
)

// MAC returns the neighbour's address on the link as 48 bits, first byte on top, and whether it may be used.
func (e *Entry) MAC() (uint64, bool) {
	w := e.word.Load()
	return w >> 16, w&validFlag != 0
}

// Use is MAC for a packet about to be sent: it leaves a mark, so that the owner knows that the neighbour is in use.
func (e *Entry) Use() (uint64, bool) {
	w := e.word.Load()
	if w&(validFlag|usedFlag) == validFlag {
		e.word.Or(usedFlag)
	}
	return w >> 16, w&validFlag != 0
}

// TakeUsed tells whether a packet was sent to the neighbour since the last call. The owner's.
func (e *Entry) TakeUsed() bool {
	return e.word.Load()&usedFlag != 0 && e.word.And(^uint64(usedFlag))&usedFlag != 0
}

// InUse tells whether a packet was sent to the neighbour since the last TakeUsed.
func (e *Entry) InUse() bool { return e.word.Load()&usedFlag != 0 }

// State returns the reachability.
func (e *Entry) State() State { return State(e.word.Load() & stateMask) }

// Set changes state and MAC at once. The owner's. mac is 48 bits; it is usable in every state but Incomplete and
// Failed.
func (e *Entry) Set(state State, mac uint64, now int64) {
	w := mac<<16 | uint64(state)
	if state.Valid() {
		w |= validFlag
	}
	e.word.Store(w)
	e.Changed.Store(now)
}

// Table is the neighbours of one device.
type Table struct {
	slots atomic.Pointer[[]atomic.Pointer[Entry]] // length a power of two, never full
	key   [2]uint64                               // random
	count atomic.Int32
	used  int // slots that are not nil, tombstones included; the owner's
	// cursor is where the next sweep begins; the owner's.
	cursor int
}

var tombstone = new(Entry)

const minSlots = 16

// unconfirmed is how long ago a neighbour that never answered counts as confirmed, nanoseconds: twice
// base_reachable_time, as neigh_create of the kernel has it.
const unconfirmed = 60e9

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{key: [2]uint64{rand.Uint64() | 1, rand.Uint64() | 1}}
	s := make([]atomic.Pointer[Entry], minSlots)
	t.slots.Store(&s)
	return t
}

// Lookup finds the entry of an address, or nil. Any goroutine.
func (t *Table) Lookup(a fib.Addr) *Entry {
	s := *t.slots.Load()
	mask := uint64(len(s) - 1)
	for i := t.hash(a) & mask; ; i = (i + 1) & mask {
		e := s[i].Load()
		if e == nil {
			return nil
		}
		if e.Addr == a && e != tombstone {
			return e
		}
	}
}

// hash folds a 64x64 -> 128 bit multiplication, and mixes it once more, so that neighbouring addresses spread whatever the
// key. The key keeps senders, who choose the addresses of a scan, from aiming at a chain of slots.
func (t *Table) hash(a fib.Addr) uint64 {
	hi, lo := bits.Mul64(a.Lo^t.key[0], a.Hi^t.key[1])
	h := (hi ^ lo) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

// Len is the number of entries. Any goroutine.
func (t *Table) Len() int { return int(t.count.Load()) }

// Add makes an Incomplete entry for an address that has none. The owner's.
func (t *Table) Add(a fib.Addr, now int64) *Entry {
	e := &Entry{Addr: a}
	e.Changed.Store(now)
	e.Used.Store(now)
	e.Confirmed.Store(now - unconfirmed)
	if s := *t.slots.Load(); 4*(t.used+1) > 3*len(s) {
		t.rebuild()
	}
	s := *t.slots.Load()
	mask := uint64(len(s) - 1)
	i := t.hash(a) & mask
	for s[i].Load() != nil {
		i = (i + 1) & mask
	}
	s[i].Store(e)
	t.used++
	t.count.Add(1)
	return e
}

// Delete removes an entry. The owner's.
func (t *Table) Delete(e *Entry) {
	s := *t.slots.Load()
	mask := uint64(len(s) - 1)
	for i := t.hash(e.Addr) & mask; ; i = (i + 1) & mask {
		switch s[i].Load() {
		case e:
			s[i].Store(tombstone)
			t.count.Add(-1)
			return
		case nil:
			return
		}
	}
}

// All calls f for every entry until it returns false. Any goroutine; entries made meanwhile may be missed. f may
// delete, if it is the owner's.
func (t *Table) All(f func(*Entry) bool) {
	s := *t.slots.Load()
	for i := range s {
		if e := s[i].Load(); e != nil && e != tombstone && !f(e) {
			return
		}
	}
}

// Sweep calls f for the entries in about n slots from the place on where the last sweep ended; after enough calls all
// have had their turn. f may delete. The owner's.
func (t *Table) Sweep(n int, f func(*Entry)) {
	s := *t.slots.Load()
	for range min(n, len(s)) {
		t.cursor &= len(s) - 1
		if e := s[t.cursor].Load(); e != nil && e != tombstone {
			f(e)
		}
		t.cursor++
	}
}

// Slots is the size of the table's array. Any goroutine.
func (t *Table) Slots() int { return len(*t.slots.Load()) }

// rebuild moves the entries to an array with room, without the tombstones.
func (t *Table) rebuild() {
	size := minSlots
	for size < 4*(t.Len()+1) {
		size *= 2
	}
	s := make([]atomic.Pointer[Entry], size)
	mask := uint64(size - 1)
	t.used = 0
	t.All(func(e *Entry) bool {
		i := t.hash(e.Addr) & mask
		for s[i].Load() != nil {
			i = (i + 1) & mask
		}
		s[i].Store(e)
		t.used++
		return true
	})
	t.slots.Store(&s)
}
