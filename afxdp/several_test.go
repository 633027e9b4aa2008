package afxdp

import (
	"testing"

	"pgregory.net/rapid"

	"nsrouter/dataplane/frame"
)

// kernelEnd is the kernel's end of a queue in plain memory.
type kernelEnd struct {
	*Queue
	cache *frame.Cache
	open  int   // pieces still to be written of the last packet
	wrote []int // pieces of the packets written, in their order
}

// write receives up to n pieces of random packets.
func (k *kernelEnd) write(t *rapid.T, n int) {
	for range n {
		at := k.rx.producer.Load()
		if at-k.rx.consumer.Load() == ringEntries {
			return
		}
		addr, ok := k.cache.Get()
		if !ok {
			return
		}
		if k.open == 0 {
			k.open = rapid.IntRange(1, frame.MaxPieces).Draw(t, "pieces")
			k.wrote = append(k.wrote, k.open)
		}
		k.open--
		k.pool.Lend(addr, k.rxOwner)
		e := frame.Desc{Addr: addr + frame.Headroom, Len: uint32(k.open + 1)}
		if k.open > 0 {
			e.Options = more
		}
		k.rx.entries[at%ringEntries] = e
		k.rx.producer.Store(at + 1)
	}
}

// read sends up to n pieces, and completes them; they must be whole packets, each with as many pieces as sizes says.
func (k *kernelEnd) read(t *rapid.T, n int, sizes []int) []int {
	for range n {
		at := k.tx.consumer.Load()
		if at == k.tx.producer.Load() {
			break
		}
		e := k.tx.entries[at%ringEntries]
		if int(e.Len) != sizes[0] || e.Options != 0 && e.Options != more || (e.Options == 0) != (sizes[0] == 1) {
			t.Fatalf("piece of %d bytes, options %d, want %d left", e.Len, e.Options, sizes[0])
		}
		if sizes[0]--; sizes[0] == 0 {
			sizes = sizes[1:]
		}
		k.tx.consumer.Store(at + 1)
		k.pool.Return(e.Addr, k.txOwner)
		k.cache.Put(e.Addr)
		k.pending--
	}
	return sizes
}

// TestPieces passes packets of up to MaxPieces frames from a receive ring to a transmit ring, with a kernel that writes and
// reads piece by piece, across the wrap of the indices: packets come and go whole and in order, one of which pieces are still
// to come waits, and one for which there is no room stays the caller's.
func TestPieces(t *testing.T) {
	pool := newPool(t, 8192)
	rx, err := pool.AddOwner()
	must(t, err)
	tx, err := pool.AddOwner()
	must(t, err)
	cache := pool.NewCache()
	rapid.Check(t, func(t *rapid.T) {
		start := -uint32(rapid.IntRange(0, 3*ringEntries).Draw(t, "before the wrap"))
		q := Queue{pool: pool, rxOwner: rx, txOwner: tx}
		q.rx.ring, q.tx = memoryRing[frame.Desc](start), txRing{memoryRing[frame.Desc](start), frame.MaxPieces}
		k := kernelEnd{Queue: &q, cache: cache}
		var d [64]frame.Desc
		var sizes []int // of the packets in the transmit ring
		waiting, received := 0, 0
		for range rapid.IntRange(1, 30).Draw(t, "rounds") {
			k.write(t, rapid.IntRange(0, 300).Draw(t, "write"))
			whole := len(k.wrote)
			if k.open > 0 {
				whole--
			}
			n := q.Receive(d[waiting:])
			if want := min(len(d)-waiting, whole-received); n != want {
				t.Fatalf("%d packets received of %d", n, want)
			}
			for _, p := range d[waiting : waiting+n] {
				if got := frame.Pieces(pool.Bytes(), p); got != k.wrote[received] {
					t.Fatalf("packet %d has %d pieces of %d", received, got, k.wrote[received])
				}
				received++
			}
			waiting += n
			n = q.Transmit(d[:waiting])
			for _, p := range d[:n] {
				sizes = append(sizes, frame.Pieces(pool.Bytes(), p))
			}
			if room := ringEntries - int(q.tx.producer.Load()-q.tx.consumer.Load()); n < waiting &&
				frame.Pieces(pool.Bytes(), d[n]) <= room {
				t.Fatalf("%d of %d packets taken with room for %d pieces", n, waiting, room)
			}
			waiting = copy(d[:], d[n:waiting])
			sizes = k.read(t, rapid.IntRange(0, 300).Draw(t, "read"), sizes)
		}
		if sizes = k.read(t, ringEntries, sizes); len(sizes) > 0 {
			t.Fatalf("%d packets do not come out", len(sizes))
		}
		if q.pending != 0 {
			t.Fatalf("%d frames are pending", q.pending)
		}
		for _, p := range d[:waiting] {
			k.cache.PutChain(p)
		}
		pool.Reclaim(rx, k.cache)
		if n := pool.Census()[frame.Worker]; n != 0 {
			t.Fatalf("%d frames are lost", n)
		}
	})
}

// TestTooManyPieces: a packet with more pieces than the socket takes, or one that the kernel would refuse, is not taken, and
// those before it are.
func TestTooManyPieces(t *testing.T) {
	pool := newPool(t, 64)
	cache := pool.NewCache()
	tx, err := pool.AddOwner()
	must(t, err)
	q := Queue{pool: pool, txOwner: tx}
	q.tx = txRing{memoryRing[frame.Desc](0), 2}
	packet := func(length int) frame.Desc {
		d, ok := cache.New(length)
		if !ok {
			t.Fatal("no frames")
		}
		return d
	}
	d := []frame.Desc{packet(60), packet(2 * frame.MaxPacket), packet(2*frame.MaxPacket + 1), packet(60)}
	if n := q.Transmit(d); n != 2 || q.pending != 3 || q.tx.waiting() != 3 {
		t.Errorf("%d packets are taken, %d frames, %d in the ring", n, q.pending, q.tx.waiting())
	}
	empty := packet(2 * frame.MaxPacket)
	next := frame.Next(pool.Bytes(), empty)
	next.Len = 0
	frame.Link(pool.Bytes(), empty.Addr, next)
	if q.Transmit([]frame.Desc{empty}) != 0 {
		t.Error("a packet with an empty piece is taken")
	}
}
