package dataplane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// jumbo is a rig whose devices have an MTU of 9,000.
func jumbo(t testing.TB) *rig {
	r := newRigOf(t, 2048)
	for _, d := range r.view.Devices {
		if d != nil {
			d.MTU = frame.JumboMTU
		}
	}
	return r
}

// large4 and large6 are packets of that many bytes of IP, with contents that show every misplaced byte.
func large4(t testing.TB, dev nstable.DeviceID, src, dst string, ttl uint8, size int) []byte {
	return raw4(t, dev, ip4(src, dst, ttl), size-20)
}

func large6(t testing.TB, dev nstable.DeviceID, src, dst string, hops uint8, size int) []byte {
	ip := ip6(src, dst, hops)
	ip.NextHeader = 253
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv6), ip, gopacket.Payload(pattern(size-40)))
}

// cuts are ways in which a packet may come in pieces; the last piece has what is left.
var cuts = map[string][]int{ //nolint:gochecknoglobals // a constant table
	"full":           nil, // as the kernel cuts
	"headers apart":  {14 + 20, 1700, 1700, 1700, 1700},
	"inside headers": {13, 9, 30, 1700, 1700, 1700, 1700},
	"empty pieces":   {0, 1700, 0, 1700, 1700, 1700, 1700, 0},
	"many":           {1300, 500, 500, 500, 500, 500, 500, 500, 500, 500, 500, 1700, 1700},
	"last is empty":  {1700, 1700, 1700, 1700, 1700, 1792},
}

// arrive lets b come in by a device, cut in one of the ways.
func (r *rig) arrive(dev nstable.DeviceID, b []byte, cut string) {
	r.Helper()
	if sizes := cuts[cut]; sizes != nil {
		r.injectPieces(dev, b, sizes...)
		return
	}
	r.inject(dev, b)
}

// TestChainForwarded: packets of every size around the borders of frames pass whole, in both families, however the driver
// cuts them; only what a router changes is changed, and all frames come back.
func TestChainForwarded(t *testing.T) {
	const piece = frame.MaxPacket - header.EthernetLen
	for cut := range cuts {
		t.Run(cut, func(t *testing.T) {
			r := jumbo(t)
			for _, size := range []int{piece - 1, piece, piece + 1, 2 * piece, 2*piece + 14, 2*piece + 15, 4000, 8999, 9000} {
				four := large4(t, p1, "10.0.1.2", "10.0.2.2", 17, size)
				six := large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", 17, size)
				for _, b := range [][]byte{four, six} {
					r.arrive(p1, b, cut)
				}
				r.step()
				sent := r.ports[p2].take()
				if len(sent) != 2 {
					t.Fatalf("%d: %d sent, drops %v", size, len(sent), r.drops(p1))
				}
				h := header.IPv4(four[14:])
				h.DecrementTTL()
				header.IPv6(six[14:]).SetHopLimit(16)
				for k, want := range [][]byte{four, six} {
					header.Ethernet(want).SetAddresses(hostMAC(p2), deviceMAC(p2))
					if !bytes.Equal(sent[k], want) {
						t.Errorf("%d: %d bytes, want %d", size, len(sent[k]), len(want))
					}
				}
				r.conserved()
			}
			var in, out counters.Totals
			r.view.Devices[p1].Counters.Sum(&in)
			r.view.Devices[p2].Counters.Sum(&out)
			if in.RxBytes != out.TxBytes || in.Forwarded != out.TxPackets {
				t.Errorf("received %d bytes, transmitted %d; forwarded %d, transmitted %d", in.RxBytes, out.TxBytes, in.Forwarded,
					out.TxPackets)
			}
		})
	}
}

// TestChainPadded: what is behind the end of the IP packet does not leave, even where it fills whole pieces.
func TestChainPadded(t *testing.T) {
	for _, size := range []int{60, 1700, 1778, 3000, 3570, 8000} {
		for _, padding := range []int{1, 1791, 1792, 1793, 4000} {
			r := jumbo(t)
			b := large4(t, p1, "10.0.1.2", "10.0.2.2", 17, size)
			six := large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", 17, size)
			for _, p := range [][]byte{b, six} {
				r.inject(p1, append(p, make([]byte, padding)...))
				r.step()
				if sent := r.ports[p2].take(); len(sent) != 1 || len(sent[0]) != len(p) || !bytes.Equal(sent[0][60:], p[60:]) {
					t.Errorf("%d+%d: %d sent", size, padding, len(sent))
				}
				r.conserved()
			}
		}
	}
}

// TestChainTruncated: a chain shorter than its IP header says is dropped, and its frames are free.
func TestChainTruncated(t *testing.T) {
	r := jumbo(t)
	for _, b := range [][]byte{
		large4(t, p1, "10.0.1.2", "10.0.2.2", 17, 8000), large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", 17, 8000),
	} {
		r.inject(p1, b[:len(b)-1])
		r.inject(p1, b[:1792+1])
	}
	r.step()
	if d := r.drops(p1); d["ip4-truncated"] != 2 || d["ip6-truncated"] != 2 {
		t.Errorf("drops %v", d)
	}
	r.inject(p1, make([]byte, frame.MaxChain+1))
	r.step()
	if d := r.drops(p1); d["frame-too-long"] != 1 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestChainTooBig: a chain that does not fit the next link is cut (IPv4), with DF or in IPv6 answered; the fragments are
// chains themselves where the link takes them.
func TestChainTooBig(t *testing.T) {
	for _, mtu := range []uint32{68, 576, 1280, 1500, 1778, 1779, 4000, 8999} {
		for cut := range cuts {
			r := jumbo(t)
			r.setMTU(p2, mtu)
			ip := ip4("10.0.1.2", "10.0.2.2", 17)
			ip.Id = 4711
			r.arrive(p1, raw4(t, p1, ip, 8980), cut)
			r.step()
			if got, _, more := join4(t, r.ports[p2].take(), int(mtu)); !bytes.Equal(got, pattern(8980)) || more {
				t.Errorf("MTU %d: %d bytes, more %v; drops %v", mtu, len(got), more, r.drops(p1))
			}
			ip.Flags = layers.IPv4DontFragment
			four, six := raw4(t, p1, ip, 8980), large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", 17, 9000)
			r.arrive(p1, four, cut)
			r.step()
			if m := layer[*layers.ICMPv4](t, r.one(p1), layers.LayerTypeICMPv4); m.TypeCode != layers.CreateICMPv4TypeCode(3, 4) ||
				uint32(m.Seq) != mtu || !bytes.Equal(m.Payload[20:], four[34:34+len(m.Payload)-20]) || len(m.Payload) != 548 {
				t.Errorf("%v %d, %d bytes quoted", m.TypeCode, m.Seq, len(m.Payload))
			}
			r.arrive(p1, six, cut)
			r.step()
			if e := r.ports[p1].take(); len(e) != 1 || len(e[0]) != 14+1280 || e[0][54] != 2 ||
				!bytes.Equal(e[0][62+40:], six[54:54+1280-48-40]) {
				t.Errorf("%d answers", len(e))
			}
			r.conserved()
		}
	}
}

// TestChainLocal: the router answers large echo requests whole where the link takes them, in fragments of its MTU else, and
// says that nobody listens at the port of a large datagram; a damaged one is not answered.
func TestChainLocal(t *testing.T) {
	for _, mtu := range []uint32{1500, 9000} {
		for cut := range cuts {
			r := jumbo(t)
			four := echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 8972)
			six := echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:1::1", 64), 8952)
			r.setMTU(p1, mtu)
			for k, b := range [][]byte{four, six} {
				r.arrive(p1, b, cut)
				r.step()
				sent := r.ports[p1].take()
				if whole := len(sent) == 1; whole != (mtu == 9000) || len(sent) == 0 {
					t.Fatalf("MTU %d: %d frames, drops %v", mtu, len(sent), r.drops(p1))
				}
				if k == 0 {
					got, _, more := join4(t, sent, int(mtu))
					if more || len(got) != 8+8972 || got[0] != 0 || header.Fold(header.Sum(0, got)) != 0xffff ||
						!bytes.Equal(got[8:], pattern(8972)) {
						t.Errorf("%d bytes", len(got))
					}
				} else {
					isEcho6(t, sent, 8952)
				}
				b[8000] ^= 1
				r.arrive(p1, b, cut)
				r.step()
				if sent := r.ports[p1].take(); len(sent) != 0 {
					t.Error("a damaged request is answered")
				}
			}
			r.arrive(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 8000), cut)
			r.step()
			if m := layer[*layers.ICMPv4](t, r.one(p1), layers.LayerTypeICMPv4); m.TypeCode != layers.CreateICMPv4TypeCode(3, 3) {
				t.Error(m.TypeCode)
			}
			r.arrive(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:1::1", 64), 8000), cut)
			r.step()
			if e := r.ports[p1].take(); len(e) != 1 || e[0][54] != 1 || e[0][55] != 4 {
				t.Errorf("%d answers", len(e))
			}
			r.conserved()
		}
	}
}

// TestChainReassembly: fragments that are chains themselves are put together, and count as the frames that they are while
// they wait.
func TestChainReassembly(t *testing.T) {
	for _, size := range []int{20000, 65507} {
		r := jumbo(t)
		r.send(r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), size), 9000))
		got, _, _ := join4(t, r.ports[p1].take(), 9000)
		if len(got) != 8+size || !bytes.Equal(got[8:], pattern(size)) {
			t.Errorf("%d bytes of %d; drops %v", len(got), size, r.drops(p1))
		}
		r.send(r.cutFor6(echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:1::1", 64), size-48), 9000))
		if _, got = join6(t, r.ports[p1].take(), 9000); !bytes.Equal(got[8:], pattern(size-48)) {
			t.Errorf("%d bytes", len(got))
		}
		parts := r.cutFor4(echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), size), 9000)
		r.send(parts[1:])
		if want := 6*(len(parts)-2) + (len(parts[len(parts)-1])+1791)/1792; r.w.reassembly.held != want {
			t.Errorf("%d frames are held, want %d", r.w.reassembly.held, want)
		}
		r.conserved()
		for _, d := range r.w.reassembly.open {
			r.w.abandon(d, counters.ReassemblyTimeout)
		}
		if r.w.reassembly.held != 0 {
			t.Error(r.w.reassembly.held, "are held at the end")
		}
		r.conserved()
	}
}

// TestChainTagged: VLAN tags come off chains and go onto them, and the padding behind a tagged packet is cut off.
func TestChainTagged(t *testing.T) {
	r := jumbo(t)
	r.vlan(p1, q(5), 0, "10.5.1.1/24").MTU = frame.JumboMTU
	outer := r.vlan(p2, ad(6), 0)
	outer.MTU = frame.JumboMTU
	r.vlan(outer.ID, q(7), 0, "10.5.2.1/24").MTU = frame.JumboMTU
	for _, size := range []int{1770, 1774, 1778, 3562, 9000} {
		for _, padding := range []int{0, 5, 1800} {
			b := large4(t, p1, "10.5.1.2", "10.5.2.2", 17, size)
			r.inject(p1, append(tagged(b, customer(3, 5)), make([]byte, padding)...))
			r.step()
			sent := r.ports[p2].take()
			if len(sent) != 1 {
				t.Fatalf("%d: %d sent; drops %v", size, len(sent), r.drops(p1))
			}
			tags, rest := tagsOf(t, sent[0])
			if len(tags) != 2 || tags[0] != service(3, 6) || tags[1] != customer(3, 7) || len(rest) != size ||
				!bytes.Equal(rest[20:], pattern(size-20)) {
				t.Errorf("%d+%d: tags %v, %d bytes", size, padding, tags, len(rest))
			}
			r.conserved()
		}
	}
}

// TestChainHost: chains reach programs whole, and programs send them.
func TestChainHost(t *testing.T) {
	r := jumbo(t)
	host := r.join(p1)
	for cut := range cuts {
		b := udp4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 8900)
		r.arrive(p1, b, cut)
		r.step()
		r.conserved()
		if got := host.take(); len(got) != 1 || !bytes.Equal(got[0], b) {
			t.Errorf("%s: %d packets", cut, len(got))
		}
	}
	for _, size := range []int{1778, 1779, 9000, 9001} {
		b := large4(t, p1, "10.0.1.1", "10.0.1.2", 64, size)
		if !r.w.fromHost.put(r.w.mem, host.link, b) {
			t.Fatal("no room")
		}
		if _, n := r.w.hostFrames(); n != (len(b)+frame.MaxPacket-1)/frame.MaxPacket {
			t.Errorf("%d: %d frames are on their way", size, n)
		}
		r.step()
		if sent := r.ports[p1].take(); (len(sent) == 1 && bytes.Equal(sent[0], b)) != (size <= 9000) {
			t.Errorf("%d: %d sent", size, len(sent))
		}
		r.conserved()
	}
}

// TestChainHeld: chains wait for neighbours and are sent or dropped whole; all that is held is counted in frames.
func TestChainHeld(t *testing.T) {
	r := jumbo(t)
	for range holdLimit + 2 {
		r.inject(p1, large4(t, p1, "10.0.1.2", "10.0.2.9", 17, 9000))
	}
	r.step()
	if r.w.neighbors.held != 6*holdLimit {
		t.Errorf("%d frames are held", r.w.neighbors.held)
	}
	r.conserved()
	r.ports[p2].take()
	r.inject(p2, arp(t, p2, header.ARPReply, 0x020000000999, "10.0.2.9", "10.0.2.1"))
	r.step()
	if sent := r.ports[p2].take(); len(sent) != holdLimit || len(sent[0]) != 9014 {
		t.Errorf("%d sent", len(sent))
	}
	for range 3 {
		r.inject(p1, large4(t, p1, "10.0.1.2", "10.0.2.8", 17, 9000))
	}
	r.step()
	r.pass(5e9) // nobody answers
	r.conserved()
	if r.w.neighbors.held != 0 {
		t.Errorf("%d frames are held", r.w.neighbors.held)
	}
	var small int
	r.w.neighbors.maxHeld = 13 // two chains, and one frame
	for n := range 20 {
		size := 100
		if n%2 == 0 {
			size = 9000
		}
		r.inject(p1, large4(t, p1, "10.0.1.2", fmt.Sprint("10.0.2.", 20+n), 17, size))
		r.step()
		if r.w.neighbors.held > 13 {
			t.Fatalf("%d frames are held, of 13 that may be", r.w.neighbors.held)
		}
		small = max(small, r.w.neighbors.held)
		r.conserved()
	}
	if small < 8 {
		t.Errorf("at most %d frames were held", small)
	}
}

// TestChainCrosses: chains pass veth pairs, and a full transmit ring drops them whole.
func TestChainCrosses(t *testing.T) {
	r := jumbo(t)
	r.route(0, "10.99.0.0/16", fib.NextHop{Kind: fib.Unicast, Device: v1, Gateway: fib.Addr4(10<<24 | 9<<8 | 2)})
	r.route(1, "10.99.0.0/16", fib.NextHop{Kind: fib.Unicast, Device: p3, Gateway: fib.Addr4(10<<24 | 1<<8 | 2)})
	b := large4(t, p1, "10.0.1.2", "10.99.0.1", 17, 9000)
	r.inject(p1, b)
	r.step()
	if sent := r.ports[p3].take(); len(sent) != 1 || !bytes.Equal(sent[0][34:], b[34:]) {
		t.Errorf("%d sent; drops %v, %v", len(sent), r.drops(p1), r.drops(v2))
	}
	r.conserved()
	r.ports[p2].refuse = true
	r.inject(p1, large4(t, p1, "10.0.1.2", "10.0.2.2", 17, 9000))
	r.step()
	if d := r.drops(p1); d["tx-full"] != 1 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestChainNoFrames: where no frames are left, what needs some is dropped whole, and what does not goes on.
func TestChainNoFrames(t *testing.T) {
	r := jumbo(t)
	r.setMTU(p2, 1500)
	for _, cut := range []string{"headers apart", "full"} {
		r.arrive(p1, large4(t, p1, "10.0.1.2", "10.0.2.2", 17, 9000), cut)
	}
	r.arrive(p1, echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 8972), "full")
	var taken []uint64
	for a, ok := r.w.cache.Get(); ok; a, ok = r.w.cache.Get() {
		taken = append(taken, a)
	}
	r.step()
	if d := r.drops(p1); d["no-frame"] != 2 || len(r.ports[p1].tx)+len(r.ports[p2].tx) != 0 { // the echo's answer is nobody's
		t.Errorf("drops %v", d)
	}
	for _, a := range taken {
		r.w.cache.Put(a)
	}
	r.conserved()
}

// TestChainFuzz: packets of the corpus and random ones, cut anywhere, never lose a frame nor end the router.
func TestChainFuzz(t *testing.T) {
	r := newCorpusRig(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	makers := []func(size int) []byte{
		func(n int) []byte { return large4(t, p1, "10.0.1.2", "10.0.2.2", byte(rnd.IntN(3)), n) },
		func(n int) []byte { return large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", byte(rnd.IntN(3)), n) },
		func(n int) []byte { return echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), n-28) },
		func(n int) []byte { return echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:1::1", 64), n-48) },
		func(n int) []byte {
			next := []byte{0, 43, 44, 60}[rnd.IntN(4)]
			body := pattern(n - 40)
			for k := range 64 {
				body[k*8*rnd.IntN(4)%len(body)] = next
			}
			return raw6(t, "2001:db8:1::2", "2001:db8:1::1", next, body)
		},
	}
	for range 3000 {
		b := makers[rnd.IntN(len(makers))](100 + rnd.IntN(9000))
		for range rnd.IntN(4) {
			b[14+rnd.IntN(min(80, len(b)-14))] = byte(rnd.Uint32())
		}
		if rnd.IntN(2) == 0 && b[14]>>4 == 4 && header.IPv4(b[14:]).HeaderLen() >= 20 {
			header.IPv4(b[14:]).SetChecksum()
		}
		var sizes []int
		for range rnd.IntN(10) {
			sizes = append(sizes, rnd.IntN([]int{3, 60, 1793}[rnd.IntN(3)]))
		}
		for rest, k := len(b), 0; rest > frame.MaxPacket || k < len(sizes); k++ {
			if k == len(sizes) {
				sizes = append(sizes, min(rest, frame.MaxPacket))
			}
			rest = max(0, rest-sizes[k])
		}
		r.injectPieces(p1, b, sizes...)
		r.step()
		for _, p := range r.ports {
			p.take()
		}
	}
	r.pass(60e9)
	r.conserved()
}

// TestChainNoAllocation: chains that are forwarded, cut, answered, and put together anew cost no allocation.
func TestChainNoAllocation(t *testing.T) {
	r := jumbo(t)
	r.setMTU(p2, 4000)
	fits := ip4("10.0.1.2", "10.0.2.2", 64)
	fits.Flags = layers.IPv4DontFragment
	packets := [][]byte{
		large4(t, p1, "10.0.1.2", "10.0.2.2", 64, 3900),               // forwarded
		large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", 64, 3900),     // forwarded
		large4(t, p1, "10.0.1.2", "10.0.2.2", 64, 9000),               // cut
		raw4(t, p1, fits, 8980),                                       // fragmentation needed
		large6(t, p1, "2001:db8:1::2", "2001:db8:2::2", 64, 9000),     // packet too big
		echo4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 8972),           // answered
		echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:1::1", 64), 8952), // answered
	}
	mem := r.pool.Bytes()
	round := func() {
		for _, b := range packets {
			r.inject(p1, b)
			d, _ := r.w.cache.New(40)
			rest, _ := r.w.cache.New(1000)
			frame.Write(mem, d, b[:40])
			frame.Link(mem, d.Addr, rest)
			d.Options = frame.Chained
			r.ports[p1].rx = append(r.ports[p1].rx, d) // to be packed anew; truncated
		}
		r.w.round()
		for _, port := range []*memPort{r.ports[p1], r.ports[p2]} {
			for _, d := range port.tx {
				for port.sent = append(port.sent, d.Addr); d.Options&frame.Chained != 0; port.sent = append(port.sent, d.Addr) {
					d = frame.Next(mem, d)
				}
			}
			port.tx = port.tx[:0]
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	r.conserved()
}

// BenchmarkChain is the whole path of packets of 9,000 bytes without a kernel.
func BenchmarkChain(b *testing.B) {
	r := jumbo(b)
	packet := large4(b, p1, "10.0.1.2", "10.0.2.2", 64, 9000)
	mem, port := r.pool.Bytes(), r.ports[p2]
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for range 32 {
			d, _ := r.w.cache.New(len(packet))
			frame.Write(mem, d, packet[:64])
			r.ports[p1].rx = append(r.ports[p1].rx, d)
		}
		n += r.w.round()
		for _, d := range port.tx {
			for port.sent = append(port.sent, d.Addr); d.Options&frame.Chained != 0; port.sent = append(port.sent, d.Addr) {
				d = frame.Next(mem, d)
			}
		}
		port.tx = port.tx[:0]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
}
