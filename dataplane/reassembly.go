package dataplane

import (
	"math/bits"
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

const (
	// partShare bounds the fragments that workers keep to one in so many of all frames; leastParts is what a worker may
	// keep with few frames, so that at least one datagram of 64 KiB in packets of 576 bytes fits.
	partShare  = 16
	leastParts = 256
	// maxDatagram is the length of an IPv4 datagram, and of an IPv6 payload, at most (bytes).
	maxDatagram = 1<<16 - 1
	// unit is what fragments are counted in: their offsets, and the length of all but the last (bytes).
	unit = 8
)

// Reassembly of what is for the router itself (RFC 791 3.2, RFC 815, RFC 8200 4.5). One worker has all fragments of a
// datagram, the same for all of them whichever queue they came in by. It keeps them in their frames, unsorted; a bit map
// tells what is there. So a fragment costs the same whatever came before it, and a datagram no more memory than what was
// sent for it. When the last one has come, it takes the others in.

// reassembler is the datagrams of a worker that are not yet complete.
type reassembler struct {
	open  map[fragmentKey]*assembly
	spare []*assembly
	parts []part // all there are; maxParts in length
	free  int32  // list of unused parts
	held  int    // frames of the parts in use, and so no fewer than these
	// heldBy counts the same by namespace and family, since settings limit each.
	heldBy     [][2]int
	whole      []byte // where a datagram larger than a frame, or a chain, is put together
	lastExpiry int64
}

// fragmentKey is what all fragments of a datagram have, and no others (RFC 791 3.2, RFC 8200 4.5).
type fragmentKey struct {
	source, destination fib.Addr
	ns                  nstable.NamespaceID
	device              nstable.DeviceID // where the destination means something on its link only
	id                  uint32
	protocol            uint8 // IPv4
}

func (k *fragmentKey) family() int {
	if k.source.Is4() {
		return 0
	}
	return 1
}

// assembly is what has come of a datagram.
type assembly struct {
	key    fragmentKey
	born   int64 // when the first of its fragments came, nanoseconds
	list   int32 // its parts, newest first
	first  int32 // the part at offset 0
	length int   // of the payload, as far as fragments reach, bytes
	meat   int   // bytes of the payload that are here
	ended  bool  // the last fragment has come: length is that of the whole
	ecn    uint8 // which codepoints its fragments have, a bit each
	cover  [(maxDatagram + 1) / unit / 64]uint64
}

// part is a fragment that is kept, with its frame.
type part struct {
	Packet
	fragment
	next   int32
	frames int32
}

// fragment is what a fragment's headers say.
type fragment struct {
	offset, size int // of its part of the payload, bytes
	data         int // where that begins, from the network header
	more         bool
	ecn          uint8
	optioned     bool // what is known of IPv4 options, where it came to the worker that keeps it
	options      options4
}

// none ends a list of parts.
const none = -1

func newReassembler(frames, workers int) reassembler {
	r := reassembler{
		open:  make(map[fragmentKey]*assembly),
		parts: make([]part, max(frames/partShare/workers, min(leastParts, frames/4/workers))),
		whole: make([]byte, header.IPv6HeaderLen+maxDatagram),
	}
	for k := range r.parts {
		r.parts[k].next = int32(k) + 1
	}
	r.parts[len(r.parts)-1].next = none
	return r
}

// verdict is what a fragment means for its datagram.
type verdict uint8

const (
	fits        verdict = iota
	duplicate           // all of it was here
	overlapping         // some of it was here (RFC 5722)
	impossible          // nothing, or beyond the end, or another end
)

// admit takes note of a fragment. The rules are those of Linux (net/ipv4/ip_fragment.c, ip_frag_queue, and
// inet_frag_queue_insert), for both families.
func (d *assembly) admit(f *fragment) verdict {
	end := f.offset + f.size
	switch {
	case !f.more && (end < d.length || d.ended && end != d.length), f.more && end > d.length && d.ended:
		return impossible
	case !f.more:
		d.ended, d.length = true, end
	case end > d.length:
		d.length = end
	}
	if f.size == 0 {
		return impossible
	}
	switch some, all := d.occupy(f.offset/unit, (end+unit-1)/unit); {
	case all:
		return duplicate
	case some:
		return overlapping
	}
	d.meat += f.size
	d.ecn |= 1 << f.ecn
	return fits
}

// occupy marks the units [from, to) as here where none of them was; it tells whether some or all were.
func (d *assembly) occupy(from, to int) (some, all bool) {
	there := 0
	for k := from; k < to; {
		mask, next := unitMask(k, to)
		there += bits.OnesCount64(d.cover[k/64] & mask)
		k = next
	}
	if there > 0 {
		return true, there == to-from
	}
	for k := from; k < to; {
		mask, next := unitMask(k, to)
		d.cover[k/64] |= mask
		k = next
	}
	return false, false
}

// unitMask has the bits of [k, to) that are in the word of k; next is the first bit of the next word.
func unitMask(k, to int) (mask uint64, next int) {
	next = min((k/64+1)*64, to)
	return (^uint64(0) >> (64 - (next - k))) << (k % 64), next
}

// complete tells whether all of it is here.
func (d *assembly) complete() bool { return d.ended && d.meat == d.length }

// congestion is the ECN codepoint of a datagram put together from fragments with the codepoints of a set: "congestion
// experienced" where one of them has it and the others are ECN-capable; false where capable ones and others are mixed
// (RFC 3168 5.3; Linux, ip_frag_ecn_table).
func congestion(set uint8) (ecn uint8, ok bool) {
	const notCapable, experienced, ce = 1 << 0, 1 << 3, 3
	switch {
	case set&notCapable != 0:
		return 0, set == notCapable
	case set&experienced != 0:
		return ce, true
	}
	return 0, true
}

// limits are a namespace's settings for a family: how long a datagram is waited for (nanoseconds), and how many bytes of
// frames its fragments may take.
func limits(s *setting.Namespace, family int) (wait int64, bytes int) {
	if family == 0 {
		return int64(s.Fragments.Time4) * int64(time.Second), int(s.Fragments.Thresh4)
	}
	return int64(s.Fragments.Time6) * int64(time.Second), int(s.Fragments.Thresh6)
}

// room tells whether one more fragment of a family may be kept for a namespace. Of what is free each namespace gets half
// at most, so that no flood in one keeps fragments out of the others (A. K. Choudhury and E. L. Hahne, "Dynamic Queue
// Length Thresholds for Shared-Memory Packet Switches", 1998).
func (r *reassembler) room(ns *nstable.Namespace, family int) bool {
	for int(ns.ID) >= len(r.heldBy) {
		r.heldBy = append(r.heldBy, [2]int{})
	}
	by := &r.heldBy[ns.ID]
	_, bytes := limits(ns.Settings(), family)
	return by[family]*frame.Size < bytes && by[0]+by[1] < len(r.parts)-r.held
}

// begin makes the datagram of a key.
func (r *reassembler) begin(key *fragmentKey, now int64) *assembly {
	var d *assembly
	if n := len(r.spare); n > 0 {
		d, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		d = new(assembly)
	}
	*d = assembly{key: *key, born: now, list: none, first: none}
	r.open[*key] = d
	return d
}

// end forgets a datagram, whose parts are gone.
func (r *reassembler) end(d *assembly) {
	delete(r.open, d.key)
	r.spare = append(r.spare, d)
}

// keep puts packet p, which has so many frames, into the datagram.
func (r *reassembler) keep(d *assembly, p *Packet, f *fragment, frames int) {
	k := r.free
	q := &r.parts[k]
	r.free = q.next
	*q = part{Packet: *p, fragment: *f, next: d.list, frames: int32(frames)}
	d.list = k
	if f.offset == 0 {
		d.first = k
	}
	r.held += frames
	r.heldBy[d.key.ns][d.key.family()] += frames
}

// take removes the newest part of a datagram, which stays valid until the next keep; nil if it has none.
func (r *reassembler) take(d *assembly) *part {
	k := d.list
	if k == none {
		return nil
	}
	q := &r.parts[k]
	d.list, q.next, r.free = q.next, r.free, k
	r.held -= int(q.frames)
	r.heldBy[d.key.ns][d.key.family()] -= int(q.frames)
	return q
}

// fragmentOwner is the worker that has all fragments of a key.
func (w *Worker) fragmentOwner(k *fragmentKey) int {
	if len(w.peers) == 1 {
		return w.id
	}
	const odd = 0x9e3779b97f4a7c15
	h := w.secret
	for _, x := range [...]uint64{
		k.source.Hi, k.source.Lo, k.destination.Hi, k.destination.Lo,
		uint64(k.ns)<<32 | uint64(k.id), uint64(k.protocol),
	} {
		h = (h ^ x) * odd
		h ^= h >> 32
	}
	return int(h % uint64(len(w.peers)))
}

// gather keeps packet i, a fragment with this key, and returns its datagram if that is complete now.
func (w *Worker) gather(i uint16, key *fragmentKey, f *fragment) *assembly {
	r, p := &w.reassembly, &w.packets[i]
	if !r.room(w.ns, key.family()) {
		w.toDrop(i, counters.ReassemblyFull)
		return nil
	}
	d := r.open[*key]
	if d == nil {
		d = r.begin(key, w.now)
	}
	switch d.admit(f) {
	case duplicate:
		w.toDrop(i, counters.FragmentDuplicate)
	case overlapping:
		w.toDrop(i, counters.ReassemblyOverlap)
		w.abandon(d, counters.ReassemblyOverlap)
	case impossible:
		w.toDrop(i, counters.BadFragment)
		w.abandon(d, counters.BadFragment)
	default:
		r.keep(d, p, f, w.framesOf(p))
		w.slot.Held.Add(1)
		if d.complete() {
			return d
		}
	}
	return nil
}

// join ends a complete datagram, whose last fragment was packet i. It puts the payload behind a header of n bytes, the
// first fragment's, into that one's frame or, where it does not fit, elsewhere, and returns all of it. Packet i is the
// first fragment's frame now, with as much of the datagram as goes in; the other fragments have been delivered.
func (w *Worker) join(i uint16, d *assembly, n int) []byte {
	r, p := &w.reassembly, &w.packets[i]
	first := &r.parts[d.first]
	room := frame.Size - int(first.Addr%frame.Size) - header.EthernetLen
	total := n + d.length
	begin := first.Addr + header.EthernetLen
	head := w.mem[begin : begin+uint64(min(total, room))]
	whole := head
	if total > room {
		whole = r.whole[:total]
		copy(whole, head[:n])
	}
	w.read(whole[n:][:first.size], &first.Packet, first.data) // before its frame takes other parts
	p.Addr, p.Len = first.Addr, uint32(header.EthernetLen+len(head))
	p.Flags &^= Chained
	for newest := true; ; newest = false {
		q := r.take(d)
		if q == nil {
			break
		}
		if q.offset != 0 {
			w.read(whole[n+q.offset:][:q.size], &q.Packet, q.data)
		}
		if s := w.slotOf(q.In); s != nil {
			s.HeldOut.Add(1)
			if !newest {
				s.Delivered.Add(1)
			}
		}
		if q.Addr != first.Addr {
			w.free(&q.Packet)
		} else {
			w.cutRest(&q.Packet)
		}
	}
	if total > room {
		copy(head[n:], whole[n:])
	}
	r.end(d)
	return whole
}
