package afxdp

import (
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"nsrouter/dataplane/frame"
)

// memoryRing is a ring in plain memory whose indices start at start, and the kernel's end of it.
func memoryRing[E any](start uint32) ring[E] {
	r := ring[E]{
		producer: new(atomic.Uint32), consumer: new(atomic.Uint32), flags: new(atomic.Uint32),
		entries: new([ringEntries]E), ours: start, theirs: start,
	}
	r.producer.Store(start)
	r.consumer.Store(start)
	return r
}

// TestProduce checks the side that produces (fill, transmit) against a queue in a slice, across the wrap of the
// indices.
func TestProduce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := memoryRing[uint64](-uint32(rapid.IntRange(0, 3*ringEntries).Draw(t, "before the wrap")))
		var queued []uint64
		next := uint64(0)
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			want := uint32(rapid.IntRange(0, ringEntries+10).Draw(t, "produce"))
			n := min(want, r.room(want))
			if n != min(want, uint32(ringEntries-len(queued))) {
				t.Fatalf("room for %d of %d with %d queued", n, want, len(queued))
			}
			for k := range n {
				*r.at(k) = next
				queued, next = append(queued, next), next+1
			}
			r.produced(n)
			if got := r.waiting(); int(got) != len(queued) {
				t.Fatalf("%d waiting, want %d", got, len(queued))
			}
			// The kernel consumes.
			for range rapid.IntRange(0, len(queued)).Draw(t, "consume") {
				at := r.consumer.Load()
				if at == r.producer.Load() || r.entries[at%ringEntries] != queued[0] {
					t.Fatalf("the kernel reads entry %d, want %d", r.entries[at%ringEntries], queued[0])
				}
				r.consumer.Store(at + 1)
				queued = queued[1:]
			}
		}
	})
}

// TestConsume checks the side that consumes (receive, completion) in the same way.
func TestConsume(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := memoryRing[uint64](-uint32(rapid.IntRange(0, 3*ringEntries).Draw(t, "before the wrap")))
		next, expected := uint64(0), uint64(0)
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			// The kernel produces.
			queued := int(next - expected)
			for range rapid.IntRange(0, ringEntries-queued).Draw(t, "produce") {
				at := r.producer.Load()
				r.entries[at%ringEntries] = next
				r.producer.Store(at + 1)
				next++
			}
			want := uint32(rapid.IntRange(0, ringEntries+10).Draw(t, "consume"))
			n := min(want, r.ready(want))
			if uint64(n) != min(uint64(want), next-expected) {
				t.Fatalf("%d of %d ready with %d queued", n, want, next-expected)
			}
			for k := range n {
				if got := *r.at(k); got != expected {
					t.Fatalf("read entry %d, want %d", got, expected)
				}
				expected++
			}
			r.consumed(n)
			if r.consumer.Load() != r.ours {
				t.Fatal("the kernel does not see what was consumed")
			}
		}
	})
}

// BenchmarkRound is a worker's round of 64 packets on the four rings, with the kernel's part done in plain memory:
// what this package itself costs, in nanoseconds a packet.
func BenchmarkRound(b *testing.B) {
	pool, err := frame.NewPool(4096)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	cache := pool.NewCache()
	q := Queue{pool: pool, target: FillTarget}
	q.fill.ring, q.completion.ring = memoryRing[uint64](0), memoryRing[uint64](0)
	q.rx.ring, q.tx = memoryRing[frame.Desc](0), txRing{ring: memoryRing[frame.Desc](0), maxPieces: 1}
	if q.rxOwner, err = pool.AddOwner(); err != nil {
		b.Fatal(err)
	}
	if q.txOwner, err = pool.AddOwner(); err != nil {
		b.Fatal(err)
	}
	const batch = 64
	var d [batch]frame.Desc
	b.ReportAllocs()
	for b.Loop() {
		q.Refill(cache)
		from, to := q.fill.consumer.Load(), q.rx.producer.Load()
		for k := range uint32(batch) { // the kernel receives
			q.rx.entries[(to+k)%ringEntries] = frame.Desc{Addr: q.fill.entries[(from+k)%ringEntries], Len: 60}
		}
		q.fill.consumer.Store(from + batch)
		q.rx.producer.Store(to + batch)
		q.Transmit(d[:q.Receive(d[:])])
		q.Flush()
		from, to = q.tx.consumer.Load(), q.completion.producer.Load()
		for k := range uint32(batch) { // the kernel sends
			q.completion.entries[(to+k)%ringEntries] = q.tx.entries[(from+k)%ringEntries].Addr
		}
		q.tx.consumer.Store(from + batch)
		q.completion.producer.Store(to + batch)
		q.Complete(cache)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batch, "ns/packet")
}
