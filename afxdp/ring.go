package afxdp

import "sync/atomic"

// ringEntries is the size of each of a queue's four rings. A power of two, as the kernel wants.
const ringEntries = 2048

// ring is what all four rings have in common: a circular array shared with the kernel, an index for each side, and
// flags. Indices run freely through 32 bits; an entry's place is its index modulo ringEntries. Each ring has one
// producer and one consumer: on fill and transmit rings we produce and the kernel consumes, on receive and completion
// rings the other way round.
//
// The kernel pairs a release store of an index with an acquire load at the other side
// (Documentation/networking/af_xdp.rst, net/xdp/xsk_queue.h), and sync/atomic gives no less. What an index covers is
// thus written before the index is seen to move. The other side's index lies in a cache line that the other side
// writes to, so it is read only when its copy here does not do.
type ring[E any] struct {
	producer *atomic.Uint32 // written by us on fill and transmit rings, by the kernel on the others
	consumer *atomic.Uint32 // written by the kernel on fill and transmit rings, by us on the others
	flags    *atomic.Uint32 // written by the kernel: XDP_RING_NEED_WAKEUP
	entries  *[ringEntries]E

	ours   uint32 // our own index; the shared one is a copy of it, for the kernel
	theirs uint32 // the kernel's index when it was last read

	mem []byte // the mapping that the fields above point into
}

// room is how many entries we may produce, at least want if there are so many.
func (r *ring[E]) room(want uint32) uint32 {
	room := ringEntries - (r.ours - r.theirs)
	if room < want {
		r.theirs = r.consumer.Load()
		room = ringEntries - (r.ours - r.theirs)
	}
	return room
}

// ready is how many entries we may consume, at least want if there are so many.
func (r *ring[E]) ready(want uint32) uint32 {
	ready := r.theirs - r.ours
	if ready < want {
		r.theirs = r.producer.Load()
		ready = r.theirs - r.ours
	}
	return ready
}

// at is the entry n places after our index.
func (r *ring[E]) at(n uint32) *E {
	return &r.entries[(r.ours+n)%ringEntries]
}

// produced passes the next n entries, now written, to the kernel.
func (r *ring[E]) produced(n uint32) {
	r.ours += n
	r.producer.Store(r.ours)
}

// consumed passes the next n entries, now read, back to the kernel.
func (r *ring[E]) consumed(n uint32) {
	r.ours += n
	r.consumer.Store(r.ours)
}

// waiting is how many of the entries we produced the kernel has not consumed yet.
func (r *ring[E]) waiting() uint32 {
	r.theirs = r.consumer.Load()
	return r.ours - r.theirs
}

// needWakeup tells whether the kernel sleeps until a system call wakes it.
func (r *ring[E]) needWakeup() bool {
	return r.flags.Load()&ringNeedWakeup != 0
}
