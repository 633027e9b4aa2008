package dataplane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
)

// cutFor4 cuts a whole IPv4 frame into frames for an MTU, with the router's own cutter, which has tests of its own.
func (r *rig) cutFor4(b []byte, mtu int) [][]byte {
	r.Helper()
	if why, ok := r.w.cut4(header.IPv4(b[14:]), &Packet{Out: p1}, mtu); !ok {
		r.Fatal(why)
	}
	return r.takePieces(b)
}

func (r *rig) cutFor6(b []byte, mtu int) [][]byte {
	r.Helper()
	if why, ok := r.w.cut6(header.IPv6(b[14:]), &Packet{Out: p1}, mtu); !ok {
		r.Fatal(why)
	}
	return r.takePieces(b)
}

func (r *rig) takePieces(b []byte) [][]byte {
	var out [][]byte
	for k := range r.w.pieces {
		p := &r.w.pieces[k]
		f := make([]byte, r.w.length(p))
		frame.Read(r.w.mem, p.desc(), 0, f)
		copy(f, b[:14])
		out = append(out, f)
	}
	r.w.takeBack(0)
	return out
}

// send lets frames arrive at p1 in this order and makes rounds.
func (r *rig) send(frames [][]byte) {
	r.Helper()
	for batch := range slices.Chunk(frames, vectorSize) {
		for _, f := range batch {
			r.inject(p1, f)
		}
		r.step()
	}
}

// isEcho4 fails the test unless frames are the answer to echo4 with a payload of that size.
func isEcho4(t *testing.T, frames [][]byte, size int) {
	t.Helper()
	got, _, more := join4(t, frames, 1500)
	if more || len(got) != 8+size || got[0] != 0 || header.Fold(header.Sum(0, got)) != 0xffff ||
		!bytes.Equal(got[8:], pattern(size)) {
		t.Errorf("%d frames, %d bytes, want an answer of %d", len(frames), len(got), size)
	}
	if h := header.IPv4(frames[0][14:]); h.Source() != 10<<24|2<<8|1 || h.Destination() != 10<<24|1<<8|2 {
		t.Errorf("%x", h[:20])
	}
}

func isEcho6(t *testing.T, frames [][]byte, size int) {
	t.Helper()
	h := header.IPv6(frames[0][14:])
	got := h.Payload()
	if len(frames) > 1 {
		_, got = join6(t, frames, 1500)
	}
	if len(got) != 8+size || got[0] != 129 || !bytes.Equal(got[8:], pattern(size)) ||
		header.Fold(header.Sum(header.PseudoSum6(h, 58, len(got)), got)) != 0xffff {
		t.Errorf("%d frames, %d bytes, want an answer of %d", len(frames), len(got), size)
	}
}

// TestEchoAnySize: echo requests in fragments are answered, up to the longest datagram there is, whatever their order.
func TestEchoAnySize(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, size := range []int{9, 1400, 1473, 1480, 1700, 1730, 1750, 1760, 1770, 1800, 2500, 9000, 65000, 65507} {
		for _, order := range []string{"in order", "reverse", "random"} {
			t.Run(fmt.Sprintf("%d %s", size, order), func(t *testing.T) {
				r := newRig(t)
				for _, mtu := range []int{1500, 1006, 604} {
					shuffle := func(f [][]byte) [][]byte {
						switch order {
						case "reverse":
							slices.Reverse(f)
						case "random":
							rnd.Shuffle(len(f), func(a, b int) { f[a], f[b] = f[b], f[a] })
						}
						return f
					}
					mtu = min(mtu, 16+size&^7) // always more than one
					if mtu < 68 {
						mtu = 28
					}
					r.send(shuffle(r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), size), mtu)))
					isEcho4(t, r.ports[p1].take(), size)
					if size > 9 {
						r.send(shuffle(r.cutFor6(echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), size), max(mtu, 100))))
						isEcho6(t, r.ports[p1].take(), size)
					}
					r.conserved()
				}
				if n := r.w.reassembly.held + len(r.w.reassembly.open); n != 0 {
					t.Errorf("%d left", n)
				}
			})
		}
	}
}

// TestReassembledErrors: what is put together goes the way of what comes whole; the errors quote the whole packet.
func TestReassembledErrors(t *testing.T) {
	for _, size := range []int{1300, 4000} { // within a frame, and beyond
		r := newRig(t)
		b := udp4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), size)
		r.send(r.cutFor4(b, 1000))
		m := layer[*layers.ICMPv4](t, r.one(p1), layers.LayerTypeICMPv4)
		want := append([]byte(nil), b[14:14+548]...)
		if m.TypeCode != layers.CreateICMPv4TypeCode(3, 3) || !bytes.Equal(m.Payload, want) {
			t.Errorf("%v, quoted\n%x\nwant\n%x", m.TypeCode, m.Payload, want)
		}
		b = udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), size)
		r.send(r.cutFor6(b, 1000))
		frames := r.ports[p1].take()
		if len(frames) != 1 {
			t.Fatalf("%d frames; drops %v", len(frames), r.drops(p1))
		}
		e := frames[0][14:]
		if len(e) != 1280 || e[40] != 1 || e[41] != 4 || !bytes.Equal(e[48:], b[14:14+1232]) {
			t.Errorf("%d bytes\n%x\nwant\n%x", len(e), e[40:], b[14:14+1232])
		}
		b[14+40+8+size-1]++ // a damaged datagram is nobody's
		r.send(r.cutFor6(b, 1000))
		ip := ip4("10.0.1.2", "10.0.2.1", 64)
		r.send(r.cutFor4(raw4(t, p1, ip, size), 1000))
		m = layer[*layers.ICMPv4](t, r.one(p1), layers.LayerTypeICMPv4)
		if m.TypeCode != layers.CreateICMPv4TypeCode(3, 2) {
			t.Errorf("%v", m.TypeCode)
		}
		if d := r.drops(p1); d["no-listener"] != 3 || d["unknown-protocol"] != 1 {
			t.Errorf("drops %v", d)
		}
		r.conserved()
	}
}

// TestReassemblyTimeout: what is not completed is dropped after 30 and 60 seconds; the sender is told if its first
// fragment is here, and then in the name of the address that it sent to.
func TestReassemblyTimeout(t *testing.T) {
	r := newRig(t)
	f4 := r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 4000), 1500)
	f6 := r.cutFor6(echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), 4000), 1500)
	second := echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 4000)
	header.IPv4(second[14:])[4]++ // another identification
	r.send([][]byte{f4[1], f4[0], f6[0], r.cutFor4(second, 1500)[1]})
	var s counters.Totals
	if r.view.Devices[p1].Counters.Sum(&s); s.Held != 4 {
		t.Errorf("%d are held", s.Held)
	}
	r.conserved()
	r.pass(29 * time.Second)
	if n := len(r.ports[p1].take()); n != 0 {
		t.Errorf("%d errors too early", n)
	}
	r.pass(2 * time.Second)
	b := r.ports[p1].take()
	if len(b) != 1 {
		t.Fatalf("%d errors", len(b))
	}
	h := header.IPv4(b[0][14:])
	if h.Source() != 10<<24|2<<8|1 || h[20] != 11 || h[21] != 1 || !bytes.Equal(h[28:], f4[0][14:14+548]) {
		t.Errorf("%x", h)
	}
	if d := r.drops(p1); d["reassembly-timeout"] != 3 {
		t.Errorf("drops %v", d)
	}
	r.pass(30 * time.Second)
	for _, x := range r.ports[p1].take() {
		if e := header.IPv6(x[14:]); e.Version() == 6 && e.NextHeader() == 58 && e[40] == 3 {
			b = append(b, x)
		}
	}
	if len(b) != 2 {
		t.Fatalf("%d errors, drops %v", len(b), r.drops(p1))
	}
	e := header.IPv6(b[1][14:])
	if hi, lo := e.Source(); e[41] != 1 || hi != 0x20010db800020000 || lo != 1 || !bytes.Equal(e[48:], f6[0][14:14+1232]) {
		t.Errorf("%x", e)
	}
	if d := r.drops(p1); d["reassembly-timeout"] != 4 || len(r.w.reassembly.open) != 0 {
		t.Errorf("drops %v, %d open", d, len(r.w.reassembly.open))
	}
	r.conserved()
}

// TestFragmentRules sends hand-made fragments: the reasons counted, and what is answered.
func TestFragmentRules(t *testing.T) {
	r := newRig(t)
	b4 := echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 2000)
	b6 := echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), 2000)
	part4 := func(offset, end int, more bool) []byte {
		f := append(append([]byte(nil), b4[:34]...), b4[34+offset:34+end]...)
		h := header.IPv4(f[14:])
		h.SetTotalLen(len(h))
		h.SetFragment(offset/8, more)
		h.SetChecksum()
		return f
	}
	part6 := func(offset, end int, more bool) []byte {
		f := append(append([]byte(nil), b6[:54]...), make([]byte, 8)...)
		f = append(f, b6[54+offset:54+end]...)
		h := header.IPv6(f[14:])
		h.SetPayloadLen(len(h) - 40)
		h.SetNextHeader(44)
		header.Fragment(h[40:]).Set(58, offset/8, more, 9)
		return f
	}
	tos := func(f []byte, tos byte) []byte {
		h := header.IPv4(f[14:])
		h.SetTOS(tos)
		h.SetChecksum()
		return f
	}
	at := func(f []byte, offset int) []byte { // moves an IPv6 fragment
		header.Fragment(f[54:]).Set(58, offset/8, f[57]&1 != 0, 9)
		return f
	}
	at4 := func(f []byte, offset int) []byte {
		h := header.IPv4(f[14:])
		h.SetFragment(offset/8, h.MoreFragments())
		h.SetChecksum()
		return f
	}
	n := len(b4) - 34
	for _, c := range []struct {
		name   string
		frames [][]byte
		drops  map[string]uint64
		answer string // what begins the answer's transport part
	}{
		{"duplicate", [][]byte{part4(0, 1000, true), part4(0, 1000, true), part4(1000, n, false)},
			map[string]uint64{"fragment-duplicate": 1}, "\x00\x00"},
		{"part of what is here", [][]byte{part4(0, 1000, true), part4(8, 504, true), part4(1000, n, false)},
			map[string]uint64{"fragment-duplicate": 1}, "\x00\x00"},
		{"teardrop", [][]byte{part4(0, 1000, true), part4(504, 800, false)}, map[string]uint64{"bad-fragment": 2}, ""},
		{"overlap", [][]byte{part4(0, 1000, true), part4(992, n, false)}, map[string]uint64{"reassembly-overlap": 2}, ""},
		{"overlap before", [][]byte{part4(1000, n, false), part4(0, 1008, true)},
			map[string]uint64{"reassembly-overlap": 2}, ""},
		{"beyond the end", [][]byte{part4(0, 992, true), part4(1000, 1100, false), part4(1104, 1304, true)},
			map[string]uint64{"bad-fragment": 3}, ""},
		{"two ends", [][]byte{part4(1000, 1100, false), part4(1104, 1300, false)}, map[string]uint64{"bad-fragment": 2}, ""},
		{"nothing", [][]byte{part4(0, 1000, true), part4(1000, 1000, false)}, map[string]uint64{"bad-fragment": 2}, ""},
		{"rounded to nothing", [][]byte{part4(0, 7, true)}, map[string]uint64{"bad-fragment": 1}, ""},
		{"not a multiple of 8", [][]byte{part4(0, 1003, true), part4(1000, n, false)}, nil, "\x00\x00"},
		{"beyond 65,535", [][]byte{at4(part4(0, 1000, false), 65528)}, map[string]uint64{"bad-fragment": 1}, ""},
		{"congested", [][]byte{tos(part4(0, 1000, true), 2), tos(part4(1000, n, false), 3)}, nil, "\x00\x00"},
		{"congested, not capable", [][]byte{tos(part4(0, 1000, true), 0), tos(part4(1000, n, false), 3)},
			map[string]uint64{"bad-fragment": 2}, ""},
		{"IPv6 duplicate", [][]byte{part6(0, 1000, true), part6(0, 1000, true), part6(1000, n, false)},
			map[string]uint64{"fragment-duplicate": 1}, "\x81\x00"},
		{"IPv6 overlap", [][]byte{part6(0, 1000, true), part6(992, n, false)},
			map[string]uint64{"reassembly-overlap": 2}, ""},
		{"IPv6 not a multiple of 8", [][]byte{part6(0, 1001, true)}, map[string]uint64{"bad-fragment": 1},
			"\x04\x00\x00\x00\x00\x04"},
		{"IPv6 beyond 65,535", [][]byte{at(part6(0, 1000, false), 65528)}, map[string]uint64{"bad-fragment": 1},
			"\x04\x00\x00\x00\x00\x2a"},
		{"IPv6 without the upper layer's header", [][]byte{part6(0, 4, true)}, map[string]uint64{"bad-fragment": 1},
			"\x04\x03\x00\x00\x00\x00"},
		{"IPv6 atomic", [][]byte{part6(0, 1000, true), part6(0, 0, false)}, map[string]uint64{"bad-icmp": 1}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.TB = t
			before := r.drops(p1)
			r.send(c.frames)
			after := r.drops(p1)
			for k, v := range before {
				if after[k] -= v; after[k] == 0 {
					delete(after, k)
				}
			}
			if fmt.Sprint(after) != fmt.Sprint(c.drops) && len(after)+len(c.drops) > 0 {
				t.Errorf("drops %v, want %v", after, c.drops)
			}
			sent := r.ports[p1].take()
			got := ""
			if len(sent) > 0 {
				switch {
				case sent[0][14]>>4 == 4:
					got = string(sent[0][34:])
				case sent[0][20] == 44:
					got = string(sent[0][62:])
				default:
					got = string(sent[0][54:])
				}
			}
			if len(c.answer) > 2 && len(got) > 8 { // but for the checksum
				got = got[:2] + "\x00\x00" + got[6:8]
			}
			if len(got) < len(c.answer) || got[:len(c.answer)] != c.answer || c.answer == "" && got != "" {
				t.Errorf("answered %x", got)
			}
			r.conserved()
			for _, d := range r.w.reassembly.open {
				r.w.abandon(d, counters.ReassemblyTimeout)
			}
		})
	}
}

// TestAtomicFragment: a fragment that is the whole packet is answered at once, whatever else has its identification
// (RFC 6946), and neighbour discovery in fragments is refused (RFC 6980).
func TestAtomicFragment(t *testing.T) {
	r := newRig(t)
	b := echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), 100)
	atomic := append(append([]byte(nil), b[:54]...), 58, 0, 0, 0, 0, 0, 0, 1)
	atomic = append(atomic, b[54:]...)
	h := header.IPv6(atomic[14:])
	h.SetNextHeader(44)
	h.SetPayloadLen(len(h) - 40)
	more := append([]byte(nil), atomic...)
	more[57] |= 1
	more = more[:len(more)-len(more[54:])%8]
	header.IPv6(more[14:]).SetPayloadLen(len(more) - 54)
	r.send([][]byte{more, atomic})
	isEcho6(t, r.ports[p1].take(), 100)
	ns := solicitation(t, p1, "2001:db8:1::7", "ff02::1:ff00:1", "2001:db8:1::1", 255, true)
	r.send(r.cutFor6(ns, 72))
	if n := len(r.ports[p1].take()); n != 0 {
		t.Errorf("%d answers", n)
	}
	if d := r.drops(p1); d["bad-icmp"] != 1 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestFirstFragmentFlood: first fragments without end take a bounded number of frames, leave half of it to the other
// namespaces, and forwarding goes on.
func TestFirstFragmentFlood(t *testing.T) {
	r := newRig(t)
	limit := len(r.w.reassembly.parts)
	flood := func(dev nstable.DeviceID, count int) {
		f := r.cutFor4(echo4(t, dev, ip4("10.0.1.2", "10.0.1.1", 64), 3000), 1500)[0]
		for n := range count {
			h := header.IPv4(f[14:])
			h[4], h[5] = byte(n>>8), byte(n)
			h.SetChecksum()
			r.inject(dev, f)
			if n%32 == 0 {
				r.step()
			}
		}
		r.step()
	}
	flood(p1, 3*limit)
	if n := r.w.reassembly.held; n != limit/2 {
		t.Errorf("%d frames held, limit %d", n, limit)
	}
	if d := r.drops(p1); d["reassembly-full"] != uint64(3*limit-limit/2) {
		t.Errorf("drops %v", d)
	}
	// Another namespace is answered.
	for _, f := range r.cutFor4(echo4(t, p3, ip4("10.0.1.2", "10.0.1.1", 64), 9000), 1500) {
		r.inject(p3, f)
	}
	r.step()
	if n := len(r.ports[p3].take()); n != 7 {
		t.Errorf("%d frames of the answer; drops %v", n, r.drops(p3))
	}
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20))
	r.step()
	r.one(p2)
	r.pass(31 * time.Second)
	if n := r.w.reassembly.held; n != 0 {
		t.Errorf("%d held after all", n)
	}
	r.conserved()
}

// TestForgetFragments: what came in by a device that leaves its namespace is not completed there.
func TestForgetFragments(t *testing.T) {
	r := newRig(t)
	f := r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 4000), 1500)
	r.send(f[:2])
	r.w.forgetFragments(r.view.Devices[p2])
	if r.w.reassembly.held != 2 {
		t.Errorf("%d held", r.w.reassembly.held)
	}
	// Its namespace is gone before the worker is told that the device is.
	view := *r.view
	view.Namespaces = []*nstable.Namespace{nil, view.Namespaces[1]}
	old := r.view
	r.view = &view
	r.w.look()
	r.w.now += int64(time.Minute)
	r.w.expireFragments()
	r.view = old
	r.w.look()
	r.w.forgetFragments(r.view.Devices[p1])
	r.send(f[2:])
	if n := len(r.ports[p1].take()); n != 0 || r.drops(p1)["device-down"] != 2 || r.w.reassembly.held != 1 {
		t.Errorf("%d answers, drops %v, held %d", n, r.drops(p1), r.w.reassembly.held)
	}
	r.conserved()
}

// TestFragmentOwner: fragments that come to different workers meet at one, the same for all fragments of a datagram, and
// not always at the same.
func TestFragmentOwner(t *testing.T) {
	r := newRig(t)
	other := r.withPeer()
	pair := []*Worker{r.w, other}
	for range p2 { // the other worker reaches every device by the first
		other.outputs = append(other.outputs, output{owner: 0})
	}
	other.outputs = append(other.outputs, output{owner: 0})
	owners := map[int]int{}
	for n := range 40 {
		b := echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 9000)
		header.IPv4(b[14:])[5] = byte(n)
		for k, f := range r.cutFor4(b, 1500) {
			w := pair[k%2]
			w.now = r.now
			a, _ := w.cache.Get()
			copy(r.pool.Bytes()[a+frame0:a+frame.Size], f)
			w.look()
			w.enter(p1)
			w.packets[0] = Packet{Addr: a + frame0, Len: uint32(len(f)), In: p1}
			w.to(ethernetInput, 0)
			w.runGraph()
		}
		owners[len(r.w.reassembly.open)]++
		for range 3 {
			other.round()
			r.step()
		}
		isEcho4(t, r.ports[p1].take(), 9000)
	}
	if len(owners) != 2 {
		t.Errorf("owners %v", owners)
	}
	r.step()
	var s counters.Totals
	r.view.Devices[p1].Counters.Sum(&s)
	if s.RxPackets != 40*7 || s.RxPackets != s.Delivered || s.Held != 0 {
		t.Errorf("received %d, delivered %d, held %d", s.RxPackets, s.Delivered, s.Held)
	}
}

// TestReassemblyNoAllocation: reassembly allocates nothing, nor does the answer.
func TestReassemblyNoAllocation(t *testing.T) {
	r := newRig(t)
	var frames [][]byte
	frames = append(frames, r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 9000), 1500)...)
	frames = append(frames, r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 1500), 1500)...)
	frames = append(frames, r.cutFor6(echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), 9000), 1500)...)
	r.noAllocation(frames)
	if n := r.drops(p1); len(n) != 0 {
		t.Errorf("drops %v", n)
	}
}

// naive is a datagram as an array of bytes, each here or not.
type naive struct {
	here   [1 << 17]bool
	length int
	ended  bool
}

func (d *naive) admit(f *fragment) verdict {
	end := f.offset + f.size
	if !f.more {
		if end < d.length || d.ended && end != d.length {
			return impossible
		}
		d.ended = true
	} else if d.ended && end > d.length {
		return impossible
	}
	d.length = max(d.length, end)
	if f.size == 0 {
		return impossible
	}
	n := 0
	for k := f.offset; k < end; k++ {
		if d.here[k] {
			n++
		}
	}
	switch n {
	case 0:
	case f.size:
		return duplicate
	default:
		return overlapping
	}
	for k := f.offset; k < end; k++ {
		d.here[k] = true
	}
	return fits
}

func (d *naive) complete() bool {
	for k := range d.length {
		if !d.here[k] {
			return false
		}
	}
	return d.ended
}

// FuzzReassembly compares the bit map with the array of bytes, over any fragments.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 0, 125, 1, 0, 125, 125, 0})
	f.Add([]byte{0, 10, 5, 0, 0, 0, 10, 1, 0, 5, 5, 1})
	f.Add([]byte{31, 255, 255, 1, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		d, n := &assembly{list: none, first: none}, &naive{}
		for ; len(b) >= 4; b = b[4:] {
			g := fragment{offset: (int(b[0])<<8 | int(b[1])) & 0x1fff * unit, more: b[3]&1 != 0}
			if g.size = int(b[2]) * unit; !g.more {
				g.size += int(b[3] >> 5)
			}
			if g.offset+g.size > maxDatagram {
				continue
			}
			got, want := d.admit(&g), n.admit(&g)
			if got != want {
				t.Fatalf("%+v: %d, want %d", g, got, want)
			}
			if got == overlapping || got == impossible {
				return // the datagram ends
			}
			if got == fits && d.complete() != n.complete() {
				t.Fatalf("%+v: complete %v", g, d.complete())
			}
		}
	})
}
