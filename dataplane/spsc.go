package dataplane

import "sync/atomic"

// handoffSize is how many packets wait at most between two workers. A power of two.
const handoffSize = 1024

// handoffRing carries packets from one worker to one other without a lock (after Lamport, "Proving the Correctness of
// Multiprocess Programs", 1977, with the cached index of the other side as in FastForward-like rings).
type handoffRing struct {
	_        [64]byte
	head     atomic.Uint32 // next to read; written by the consumer
	tailSeen uint32        // the consumer's copy of tail
	_        [56]byte
	tail     atomic.Uint32 // next to write; written by the producer
	headSeen uint32        // the producer's copy of head
	_        [56]byte
	slots    [handoffSize]Packet
}

// push appends p; false if the ring is full. The producer's.
func (r *handoffRing) push(p *Packet) bool {
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
func (r *handoffRing) peek() *Packet {
	h := r.head.Load()
	if h == r.tailSeen {
		if r.tailSeen = r.tail.Load(); h == r.tailSeen {
			return nil
		}
	}
	return &r.slots[h%handoffSize]
}

// pop removes what peek returned. The consumer's.
func (r *handoffRing) pop() { r.head.Store(r.head.Load() + 1) }

// len is the number of packets in the ring; an estimate while both sides run.
func (r *handoffRing) len() int { return int(r.tail.Load() - r.head.Load()) }
