// Package memport is a port without a kernel, for measuring the pipeline alone: frames go round in it. What one device transmits
// another receives again, at once, with its headers as they were.
//
// It stands for a card that delivers frames by DMA, so it should cost next to nothing: a frame keeps its payload, and of its
// headers only windows of 16 bytes are written again, in which everything lies that a router changes and that differs from packet to
// packet. Whose each frame is goes through the pool's table as with a socket's rings (package frame). What the port takes by itself
// is to be measured beside what is measured with it; frames do not pass a cache on their way round.
package memport

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// windowSize is how many bytes a window has: as many as are written at once.
const windowSize = 16

// maxWindows is how many windows a packet has at most: link-layer addresses and a tag, TTL, destination.
const maxWindows = 3

// Options of a loop.
type Options struct {
	Pool *frame.Pool
	// Frames is how many go round. Few stay in the processor's caches; a worker takes 64 at a time.
	Frames int
	// Packets are received in turn, for ever, a power of two. All have the length of the first and differ from it only in Windows.
	Packets [][]byte
	// Windows are the offsets of what is written before a frame is received again, three at most. The link-layer addresses (0) are
	// always written.
	Windows []int
}

// Loop is the way of some frames from the device that receives them, through a worker, and back by devices that transmit. Unless
// a method says otherwise, the one worker that serves both calls it.
type Loop struct {
	mem     []byte
	pool    *frame.Pool
	owner   frame.Owner
	packet  []byte
	windows []window
	packets uint32 // number of packets less one
	next    uint32 // packet to be received next

	// ring holds the frames that can be received, first in, first out. Its length is a power of two, which frames never exceed.
	ring       []uint64
	head, tail uint32
	frames     int // that are to go round
	lent       int // that have been taken for that

	received atomic.Uint64
	paused   atomic.Bool
	thread   atomic.Int32
	sample   atomic.Pointer[sample] // being taken; else nil
}

// window is one place in all packets that is written for each.
type window struct {
	at    int
	mask  uint32 // of a packet's number in list: 0 if it is the same in all
	bytes [][windowSize]byte
}

// New prepares a loop; frames are taken once a worker serves it.
func New(o Options) (*Loop, error) {
	n := len(o.Packets)
	switch {
	case n == 0 || n&(n-1) != 0:
		return nil, fmt.Errorf("%d packets: want a power of two", n)
	case o.Frames < 1 || o.Frames > o.Pool.Frames():
		return nil, fmt.Errorf("%d frames: want 1 to the %d of the pool", o.Frames, o.Pool.Frames())
	case len(o.Packets[0]) > frame.MaxPacket:
		return nil, fmt.Errorf("a packet of %d bytes: want %d at most", len(o.Packets[0]), frame.MaxPacket)
	}
	owner, err := o.Pool.AddOwner()
	if err != nil {
		return nil, err
	}
	size := 1
	for size < o.Frames {
		size *= 2
	}
	l := &Loop{
		mem: o.Pool.Bytes(), pool: o.Pool, owner: owner, packet: o.Packets[0], packets: uint32(n - 1), ring: make([]uint64, size),
		frames: o.Frames,
	}
	if err := l.setWindows(o); err != nil {
		o.Pool.RemoveOwner(owner)
		return nil, err
	}
	return l, nil
}

func (l *Loop) setWindows(o Options) error {
	places := append([]int{0}, o.Windows...)
	if len(places) > maxWindows {
		return fmt.Errorf("%d windows: want %d at most, the one at 0 included", len(places), maxWindows)
	}
	covered := make([]bool, len(l.packet))
	for _, at := range places {
		if at < 0 || at+windowSize > len(l.packet) {
			return fmt.Errorf("window at %d: is not in a packet of %d bytes", at, len(l.packet))
		}
		w := window{at: at, bytes: make([][windowSize]byte, len(o.Packets))}
		for i, p := range o.Packets {
			if len(p) != len(l.packet) {
				return fmt.Errorf("packet %d: %d bytes, the first has %d", i, len(p), len(l.packet))
			}
			copy(w.bytes[i][:], p[at:])
			if w.bytes[i] != w.bytes[0] {
				w.mask = l.packets
			}
		}
		if w.mask == 0 {
			w.bytes = w.bytes[:1:1]
		}
		l.windows = append(l.windows, w)
		for i := range windowSize {
			covered[at+i] = true
		}
	}
	for i, p := range o.Packets {
		for at := range p {
			if !covered[at] && p[at] != l.packet[at] {
				return fmt.Errorf("packet %d differs from the first at %d, which no window covers", i, at)
			}
		}
	}
	return nil
}

// Receive is that of [Loop.In].
func (l *Loop) receive(d []frame.Desc) int {
	if l.paused.Load() {
		return 0
	}
	n := min(uint32(len(d)), l.tail-l.head)
	ring := l.ring
	for i := range d[:n] {
		addr := ring[(l.head+uint32(i))&uint32(len(ring)-1)]
		l.pool.Return(addr, l.owner)
		d[i] = frame.Desc{Addr: addr, Len: uint32(len(l.packet))}
	}
	l.head += n
	for i := range l.windows {
		l.restore(&l.windows[i], d[:n])
	}
	l.next += n
	l.received.Store(l.received.Load() + uint64(n))
	return int(n)
}

// restore writes one window of the packets that are received next.
func (l *Loop) restore(w *window, d []frame.Desc) {
	at := uint64(w.at)
	if w.mask == 0 {
		b := w.bytes[0]
		for i := range d {
			*(*[windowSize]byte)(l.mem[d[i].Addr+at:]) = b
		}
		return
	}
	for i := range d {
		*(*[windowSize]byte)(l.mem[d[i].Addr+at:]) = w.bytes[(l.next+uint32(i))&w.mask]
	}
}

// transmit takes packets, whose frames can be received again at once. A frame's first byte may have moved (VLAN tags); it is received
// where the kernel would put it.
func (l *Loop) transmit(d []frame.Desc) int {
	if s := l.sample.Load(); s != nil {
		l.copyTo(s, d)
	}
	ring := l.ring
	for i := range d {
		addr := d[i].Addr
		l.pool.Lend(addr, l.owner)
		ring[l.tail&uint32(len(ring)-1)] = addr&^(frame.Size-1) + frame.Headroom
		l.tail++
	}
	return len(d)
}

// fill takes the frames that are to go round from the worker's cache.
func (l *Loop) fill(c *frame.Cache) {
	l.thread.CompareAndSwap(0, int32(unix.Gettid()))
	for l.lent < l.frames {
		addr, ok := c.Get()
		if !ok {
			return
		}
		copy(l.mem[addr+frame.Headroom:], l.packet)
		l.pool.Lend(addr, l.owner)
		l.ring[l.tail&uint32(len(l.ring)-1)] = addr + frame.Headroom
		l.tail++
		l.lent++
	}
}

// Received is how many packets the loop has delivered. Any goroutine.
func (l *Loop) Received() uint64 { return l.received.Load() }

// sample is a copy of packets that were transmitted.
type sample struct {
	packets [][]byte
	full    chan struct{} // closed once there are as many as packets has room for
}

// Sample is a copy of the next n packets that are transmitted, in their order; none, if that takes longer than wait. Any goroutine,
// one at a time.
func (l *Loop) Sample(n int, wait time.Duration) [][]byte {
	s := &sample{packets: make([][]byte, 0, n), full: make(chan struct{})}
	l.sample.Store(s)
	select {
	case <-s.full:
		return s.packets
	case <-time.After(wait):
		l.sample.Store(nil)
		return nil
	}
}

func (l *Loop) copyTo(s *sample, d []frame.Desc) {
	for i := range d {
		s.packets = append(s.packets, slices.Clone(l.mem[d[i].Addr:d[i].Addr+uint64(d[i].Len)]))
		if len(s.packets) == cap(s.packets) {
			l.sample.Store(nil)
			close(s.full)
			return
		}
	}
}

// Pause has the loop deliver nothing, or deliver again. A worker that has gone to sleep meanwhile must be woken besides. Any
// goroutine.
func (l *Loop) Pause(paused bool) { l.paused.Store(paused) }

// Thread is the thread of the worker that serves the loop; 0 as long as none does. Any goroutine.
func (l *Loop) Thread() int { return int(l.thread.Load()) }

// Circulating is how many frames can be received now: all, while no packet is in a pipeline and none was dropped.
func (l *Loop) Circulating() int { return int(l.tail - l.head) }

// Close gives back what is the loop's own; no worker may serve it any more.
func (l *Loop) Close() { l.pool.RemoveOwner(l.owner) }

// In receives.
func (l *Loop) In() In { return In{l} }

// Out transmits. A loop may have any number.
func (l *Loop) Out() Out { return Out{l} }

// In is the receiving side of a loop, a [nsrouter/dataplane.Port].
type In struct{ *Loop }

// Out is a transmitting side of a loop, a [nsrouter/dataplane.Port].
type Out struct{ *Loop }

// Receive delivers packets.
func (p In) Receive(d []frame.Desc) int { return p.receive(d) }

// Transmit takes packets.
func (p In) Transmit(d []frame.Desc) int { return p.transmit(d) }

// Refill takes the frames that are to go round, at first.
func (p In) Refill(c *frame.Cache) int {
	if p.lent < p.frames {
		p.fill(c)
	}
	return p.frames - p.lent
}

// Reclaim frees all frames of the loop.
func (p In) Reclaim(c *frame.Cache) int {
	n := p.pool.Reclaim(p.owner, c)
	p.head, p.tail, p.lent = 0, 0, 0
	return n
}

// Receive delivers nothing.
func (p Out) Receive([]frame.Desc) int { return 0 }

// Transmit takes packets.
func (p Out) Transmit(d []frame.Desc) int { return p.transmit(d) }

// Refill takes nothing.
func (p Out) Refill(*frame.Cache) int { return 0 }

// Reclaim frees nothing: the frames are the receiving side's.
func (p Out) Reclaim(*frame.Cache) int { return 0 }

// Flush has nothing to do: what is transmitted is received again already.
func (l *Loop) Flush() {}

// Pending is always 0.
func (l *Loop) Pending() int { return 0 }

// Complete frees nothing.
func (l *Loop) Complete(*frame.Cache) int { return 0 }

// FD is none.
func (l *Loop) FD() int { return -1 }

// Windows says where a packet of IPv4 or IPv6, tagged or not, is written for each reception: where routers change it, and where its
// destination is.
func Windows(packet []byte) []int {
	const tagged1, tagged2, ip6 = 0x8100, 0x88a8, 0x86dd
	at := 12
	etherType := func() uint16 { return uint16(packet[at])<<8 | uint16(packet[at+1]) }
	for etherType() == tagged1 || etherType() == tagged2 {
		at += 4
	}
	if etherType() == ip6 {
		return []int{at + 4, at + 26} // up to the hop limit; the destination
	}
	return []int{at + 6} // from the identification to the destination
}
