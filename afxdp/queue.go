package afxdp

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

const (
	// FillTarget is how many frames the receive side of a queue has at most: in the fill ring, with the driver, in the
	// receive ring. All that a ring holds, so that a burst of TCP survives a worker that is off its CPU for a moment:
	// with half of it, one packet in fifty was lost on a shared core.
	FillTarget = ringEntries

	// maxKicks bounds the system calls of one Flush; each sends at most the kernel's budget of packets.
	maxKicks = 16

	// yieldAfter is how many packets Flush has the kernel send before it lets another thread have the CPU. Where a veth's
	// peer receives in a thread on the same CPU (threaded NAPI), the veth holds 256 packets for it and loses the others,
	// after all has been done for them; the two halves of the CPU's time that the scheduler deals out by itself are far
	// longer than that. Where nobody waits for the CPU it costs a system call that does nothing.
	yieldAfter = 64
)

// Statistics are the kernel's counters of one queue (XDP_STATISTICS), in packets unless they say otherwise.
type Statistics struct {
	RxDropped       uint64 // dropped for other reasons than the next ones: longer than a frame carries, for instance
	RxRingFull      uint64 // dropped: the receive ring was full, its worker too slow
	RxFillEmpty     uint64 // dropped, or times the driver found no frame to receive into
	RxInvalidDescs  uint64 // fill ring entries that the kernel refused; a fault of ours
	TxInvalidDescs  uint64 // transmit ring entries that the kernel refused; a fault of ours
	TxRingEmptyDesc uint64 // times the driver found nothing to send; no fault
}

// Queue is one receive queue of an interface and the transmit queue of the same number. Only its worker may call it,
// unless a method says otherwise.
type Queue struct {
	parent *Interface
	pool   *frame.Pool
	id     uint32

	fd         int // -1 once closed
	fill       fillRing
	completion completionRing
	rx         rxRing
	tx         txRing

	target  int         // frames that the receive side should have: FillTarget, or none for a probe
	rxOwner frame.Owner // the receive side
	txOwner frame.Owner // the transmit side
	held    int         // frames that the receive side has
	pending int         // frames that the transmit side has
	kicked  uint32      // packets, or pieces, that the kernel has sent since Flush last yielded

	busy busyPoller

	gone atomic.Bool // the socket is unbound or closed; set by the worker or by a method of Interface
}

// ID is the queue's number at its interface, from 0. Any goroutine may ask.
func (q *Queue) ID() int { return int(q.id) }

// Gone tells whether the socket has lost its interface, as far as has been noticed ([Interface.Gone] looks), or is
// closed. Any goroutine may ask.
func (q *Queue) Gone() bool { return q.gone.Load() }

// Receive moves up to len(d) received packets into d and returns how many. One of several pieces is a chain (package frame).
func (q *Queue) Receive(d []frame.Desc) int {
	if q.gone.Load() {
		return 0
	}
	n, frames := q.rx.receive(q.pool, d, q.rxOwner)
	if n == 0 && q.busy.on && q.pollDriver() {
		n, frames = q.rx.receive(q.pool, d, q.rxOwner)
	}
	q.held -= frames
	return n
}

// Transmit queues the first n packets of d, each with all its pieces, and returns n; the others remain the caller's. It stops
// where the ring is full, and before a packet that is empty, leaves its frame or has more pieces than the socket takes, which
// the kernel would refuse. Zero-copy drivers may
// send before Flush.
func (q *Queue) Transmit(d []frame.Desc) int {
	if q.gone.Load() {
		return 0
	}
	n, frames := q.tx.send(q.pool, d, q.txOwner)
	q.pending += frames
	return n
}

// Pending is the number of frames transmitted and not yet completed: none, once the interface is gone and nothing will
// complete any more.
func (q *Queue) Pending() int {
	if q.gone.Load() {
		return 0
	}
	return q.pending
}

// Complete frees into c the frames whose transmission is done, and returns how many.
func (q *Queue) Complete(c *frame.Cache) int {
	if q.gone.Load() {
		return 0
	}
	n := q.completion.free(q.pool, c, q.txOwner)
	q.pending -= n
	return n
}

// Refill lends free frames of c to the receive side up to its target, wakes the driver where it asks for that, and
// returns how many frames the receive side still lacks.
func (q *Queue) Refill(c *frame.Cache) int {
	if q.gone.Load() {
		return 0
	}
	if lacks := q.target - q.held; lacks > 0 {
		q.held += q.fill.lend(q.pool, c, q.rxOwner, lacks)
	}
	// Not only after a refill: the driver may have asked just after it found the ring empty and just before the last
	// refill.
	if q.fill.needWakeup() && q.fill.waiting() > 0 {
		q.heed(kickReceive(q.fd))
	}
	return q.target - q.held
}

// Flush makes the kernel send what is queued, with a bounded number of system calls; what is left then waits for the
// next call. Now and then it yields the CPU to whoever waits for it.
func (q *Queue) Flush() {
	if q.gone.Load() {
		return
	}
	for range maxKicks {
		waiting := q.tx.waiting()
		if waiting == 0 || !q.tx.needWakeup() {
			return
		}
		errno := kickTransmit(q.fd)
		left := q.tx.waiting()
		if q.kicked += waiting - left; q.kicked >= yieldAfter {
			q.kicked = 0
			yield()
		}
		switch errno {
		case unix.EINTR:
		case unix.EAGAIN, unix.EBUSY, unix.ENOBUFS:
			// The kernel's budget for one call is used up, a packet was dropped, or memory or completions are short: go on as
			// long as that helps.
			if left == waiting {
				return
			}
		default:
			q.heed(errno)
			return
		}
	}
}

// heed acts on what a wake-up call says of the interface. ENXIO is a socket unbound for good; an interface that is
// down (ENETDOWN) may come up again, and costs a call a round until then.
func (q *Queue) heed(errno unix.Errno) {
	if errno == unix.ENXIO {
		q.gone.Store(true)
	}
}

// FD is the descriptor to poll for input when idle, or -1 if there is none any more.
func (q *Queue) FD() int {
	if q.gone.Load() {
		return -1
	}
	return q.fd
}

// Reclaim frees into c all frames that the queue still has, once the interface is closed, and returns how many. It is the
// last call.
func (q *Queue) Reclaim(c *frame.Cache) int {
	n := q.reclaim(c)
	q.pool.RemoveOwner(q.rxOwner)
	q.pool.RemoveOwner(q.txOwner)
	return n
}

// reclaim is Reclaim for a queue whose owners are used again.
func (q *Queue) reclaim(c *frame.Cache) int {
	n := q.pool.Reclaim(q.rxOwner, c) + q.pool.Reclaim(q.txOwner, c)
	q.held, q.pending = 0, 0
	return n
}

// FillLevel is how many frames lie in the fill ring. A queue whose level stays 0 while RxFillEmpty rises is starved.
// Any goroutine may ask.
func (q *Queue) FillLevel() int {
	q.parent.mu.Lock()
	defer q.parent.mu.Unlock()
	if q.fd < 0 {
		return 0
	}
	return int(q.fill.producer.Load() - q.fill.consumer.Load())
}

// Stats asks the kernel for the queue's counters. Any goroutine may ask; the counters of a closed queue are zero.
func (q *Queue) Stats() (Statistics, error) {
	q.parent.mu.Lock()
	defer q.parent.mu.Unlock()
	if q.fd < 0 {
		return Statistics{}, nil
	}
	s, err := socketStatistics(q.fd)
	return Statistics{
		RxDropped: s.Rx_dropped, RxRingFull: s.Rx_ring_full, RxFillEmpty: s.Rx_fill_ring_empty_descs,
		RxInvalidDescs: s.Rx_invalid_descs, TxInvalidDescs: s.Tx_invalid_descs, TxRingEmptyDesc: s.Tx_ring_empty_descs,
	}, err
}
