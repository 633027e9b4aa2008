package dataplane

import "sync/atomic"

// handoffSize is how many items wait at most between two threads. A power of two.
const handoffSize = 1024

// handoffRing carries packets from one worker to one other.
type handoffRing = ring[Packet]

// ring carries items from one producer to one consumer without a lock (after Lamport, "Proving the Correctness of
// Multiprocess Programs", 1977, with the cached index of the other side as in FastForward-like rings).
type ring[T any] struct {
	_        [64]byte
	head     atomic.Uint32 // next to read; written by the consumer
	tailSeen uint32        // the consumer's copy of tail
	_        [56]byte
	tail     atomic.Uint32 // next to write; written by the producer
	headSeen uint32        // the producer's copy of head
	_        [56]byte
	slots    [handoffSize]T
}

// push appends p; false if the ring is full. The producer's.
func (r *ring[T]) push(p *T) bool {
	t := r.tail.Load()
	if t-r.headSeen == handoffSize {
		if r.headSeen = r.head.Load(); t-r.headSeen == handoffSize {
			return false
		}
	}
	r.slots[t%handoffSize] = *p
	r.tail.Store(t + 1)
	return true
}

// peek returns the oldest packet, valid until pop, or nil. The consumer's.
func (r *ring[T]) peek() *T {
	h := r.head.Load()
	if h == r.tailSeen {
		if r.tailSeen = r.tail.Load(); h == r.tailSeen {
			return nil
		}
	}
	return &r.slots[h%handoffSize]
}

// pop removes what peek returned. The consumer's.
func (r *ring[T]) pop() { r.head.Store(r.head.Load() + 1) }

// each calls f with each item, while neither side runs.
func (r *ring[T]) each(f func(*T)) {
	for k, end := r.head.Load(), r.tail.Load(); k != end; k++ {
		f(&r.slots[k%handoffSize])
	}
}

// len is the number of items in the ring; an estimate while both sides run.
func (r *ring[T]) len() int { return int(r.tail.Load() - r.head.Load()) }
