package memport

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"nsrouter/dataplane"
	"nsrouter/dataplane/frame"
)

var _, _ dataplane.Port = In{}, Out{}

func newPool(t *testing.T) *frame.Pool {
	t.Helper()
	pool, err := frame.NewPool(512)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

// packets are n of 64 bytes with an EtherType, that differ in bytes from..to of their IP header and are random otherwise.
func packets(n int, l2 []byte, ip byte, from, to int) [][]byte {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	first := make([]byte, 64)
	for i := range first {
		first[i] = byte(rnd.Uint32())
	}
	copy(first[12:], l2)
	at := 12 + len(l2)
	first[at] = ip
	binary.BigEndian.PutUint32(first[at+to-4:], 0)
	list := [][]byte{first}
	for i := 1; i < n; i++ {
		p := bytes.Clone(first)
		binary.BigEndian.PutUint32(p[at+to-4:], uint32(i))
		for k := from; k < to-4; k++ {
			p[at+k] = byte(rnd.Uint32())
		}
		list = append(list, p)
	}
	return list
}

// TestRestores checks that packets come in as they were made, in turn, whatever a router has written meanwhile into link-layer
// addresses, TTL, checksum and destination, and wherever it has moved the beginning of the frame.
func TestRestores(t *testing.T) {
	for name, list := range map[string][][]byte{
		"one":      packets(1, []byte{8, 0}, 0x45, 12, 20),
		"ip4":      packets(128, []byte{8, 0}, 0x45, 12, 20),
		"ip4 vlan": packets(128, []byte{0x81, 0, 0, 5, 8, 0}, 0x45, 12, 20),
		"ip6":      packets(128, []byte{0x86, 0xdd}, 0x60, 28, 40),
		"ip6 vlan": packets(128, []byte{0x81, 0, 0, 5, 0x86, 0xdd}, 0x60, 28, 40),
	} {
		pool := newPool(t)
		l, err := New(Options{Pool: pool, Frames: 100, Packets: list, Windows: Windows(list[0])})
		if err != nil {
			t.Fatal(name, err)
		}
		cache := pool.NewCache()
		in, out := l.In(), l.Out()
		if lacks := in.Refill(cache); lacks != 0 || l.Circulating() != 100 {
			t.Fatalf("%s: lacks %d frames, has %d", name, lacks, l.Circulating())
		}
		l3 := 14
		if list[0][12] == 0x81 {
			l3 = 18
		}
		next := 0
		var d [64]frame.Desc
		for range 50 {
			n := in.Receive(d[:])
			if n != 64 && n != 36 {
				t.Fatalf("%s: %d packets", name, n)
			}
			for i := range d[:n] {
				b := pool.Bytes()[d[i].Addr : d[i].Addr+uint64(d[i].Len)]
				if want := list[next%len(list)]; !bytes.Equal(b, want) {
					t.Fatalf("%s: packet %d is\n% x, want\n% x", name, next, b, want)
				}
				if pool.Owner(d[i].Addr) != frame.Worker {
					t.Fatalf("%s: packet %d is not the worker's", name, next)
				}
				next++
				scribble(b, l3)
				if i%2 == 1 {
					d[i].Addr += 4
				}
			}
			if out.Transmit(d[:n]) != n {
				t.Fatalf("%s: not all are transmitted", name)
			}
		}
		if l.Received() != uint64(next) {
			t.Errorf("%s: %d received, says %d", name, next, l.Received())
		}
		if n := in.Reclaim(cache); n != 100 || pool.Census()[frame.Free] != pool.Frames() {
			t.Errorf("%s: %d frames come back, census %v", name, n, pool.Census())
		}
		l.Close()
	}
}

// scribble writes what a router writes.
func scribble(b []byte, l3 int) {
	for i := range 16 {
		b[i] ^= 0x55
	}
	ip := b[l3:]
	if ip[0]>>4 == 6 {
		ip[7]--
		return
	}
	ip[8]--
	ip[10]++
	ip[11]++
}

// TestOwnership checks that the pool hears of a frame that is transmitted but was not received.
func TestOwnership(t *testing.T) {
	pool := newPool(t)
	l, err := New(Options{Pool: pool, Frames: 64, Packets: packets(1, []byte{8, 0}, 0x45, 12, 20)})
	if err != nil {
		t.Fatal(err)
	}
	in := l.In()
	in.Refill(pool.NewCache())
	var d [1]frame.Desc
	in.Receive(d[:])
	l.Out().Transmit(d[:])
	defer func() {
		if recover() == nil {
			t.Error("a frame can be transmitted twice")
		}
	}()
	l.Out().Transmit(d[:])
}

func TestPauseAndSample(t *testing.T) {
	pool := newPool(t)
	list := packets(4, []byte{8, 0}, 0x45, 12, 20)
	l, err := New(Options{Pool: pool, Frames: 64, Packets: list, Windows: Windows(list[0])})
	if err != nil {
		t.Fatal(err)
	}
	in := l.In()
	in.Refill(pool.NewCache())
	if l.Thread() == 0 {
		t.Error("no thread")
	}
	var d [8]frame.Desc
	l.Pause(true)
	if n := in.Receive(d[:]); n != 0 {
		t.Errorf("%d packets while it is paused", n)
	}
	if got := l.Sample(1, time.Millisecond); got != nil {
		t.Errorf("a sample of %d packets of nothing", len(got))
	}
	l.Pause(false)
	got := make(chan [][]byte)
	go func() { got <- l.Sample(20, time.Minute) }()
	for {
		select {
		case sample := <-got:
			if len(sample) != 20 {
				t.Errorf("%d packets", len(sample))
			}
			for i := range sample {
				if !bytes.Equal(sample[i], list[(i+int(sample[0][33]))%4]) {
					t.Errorf("packet %d: % x", i, sample[i])
				}
			}
			return
		default:
			in.Transmit(d[:in.Receive(d[:])])
		}
	}
}

// TestRefused checks options that would measure something else.
func TestRefused(t *testing.T) {
	pool := newPool(t)
	good := packets(4, []byte{8, 0}, 0x45, 12, 20)
	longer := append(packets(3, []byte{8, 0}, 0x45, 12, 20), make([]byte, 65))
	for name, o := range map[string]Options{
		"no packets":        {Frames: 64},
		"three packets":     {Frames: 64, Packets: good[:3]},
		"no frames":         {Packets: good, Windows: Windows(good[0])},
		"too many frames":   {Frames: 1000, Packets: good, Windows: Windows(good[0])},
		"no window":         {Frames: 64, Packets: good},
		"window behind end": {Frames: 64, Packets: good, Windows: []int{49}},
		"many windows":      {Frames: 64, Packets: good, Windows: []int{16, 20, 40}},
		"other length":      {Frames: 64, Packets: longer, Windows: Windows(good[0])},
	} {
		o.Pool = pool
		if _, err := New(o); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}
