package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/memport"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// loop lets port p1 of a rig receive packets in turn for ever; all that p2 transmits comes in again.
func (r *rig) loop(frames int, packets ...[]byte) { r.loopBy(frames, p2, packets...) }

// loopBy is loop with another port that transmits.
func (r *rig) loopBy(frames int, out nstable.DeviceID, packets ...[]byte) {
	l, err := memport.New(memport.Options{Pool: r.pool, Frames: frames, Packets: packets, Windows: memport.Windows(packets[0])})
	if err != nil {
		r.Fatal(err)
	}
	for _, d := range []nstable.DeviceID{p1, out} {
		r.w.removePort(d)
	}
	r.w.addPort(p1, []*boundPort{{Port: l.In(), dev: p1}})
	r.w.addPort(out, []*boundPort{{Port: l.Out(), dev: out}})
	r.w.now = r.now
	r.w.round() // takes the frames
}

func benchmarkPipeline(b *testing.B, template []byte, dsts []uint32, prepare func(*rig)) {
	r := newRig(b)
	packets := [][]byte{template}
	if prepare != nil {
		prepare(r)
		packets = nil
		for _, dst := range dsts {
			p := slices.Clone(template)
			header.IPv4(p[14:]).SetDestination(dst)
			header.IPv4(p[14:]).SetChecksum()
			packets = append(packets, p)
		}
	}
	r.loop(256, packets...)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n += r.w.round()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds()/1e6, "Mpps")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
}

// BenchmarkPipeline is the whole path of a packet without a kernel, on one core: receive, checks, look-up, rewrite,
// transmit. 64-byte frames.
func BenchmarkPipeline(b *testing.B) {
	b.Run("ip4/route=1", func(b *testing.B) {
		benchmarkPipeline(b, udp4(b, p1, ip4("10.0.1.2", "10.0.2.2", 64), 22), nil, nil)
	})
	b.Run("ip6/route=1", func(b *testing.B) {
		benchmarkPipeline(b, udp6(b, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 64), 2), nil, nil)
	})
	for _, routes := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("ip4/route=%d", routes), func(b *testing.B) {
			rnd := rand.New(rand.NewPCG(1, 2))
			dsts := make([]uint32, 1<<16)
			benchmarkPipeline(b, udp4(b, p1, ip4("10.0.1.2", "10.0.2.2", 64), 22), dsts, func(r *rig) {
				hop := fib.NextHop{Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2"))}
				prefixes, list := make([]uint32, routes), make([]netip.Prefix, routes)
				for i := range prefixes {
					prefixes[i] = (rnd.Uint32()%0xd0 + 11) << 24 &^ 0xff
					prefixes[i] |= rnd.Uint32() & 0xffff00
					if prefixes[i]>>24 == 127 {
						prefixes[i] ^= 1 << 24
					}
					var a [4]byte
					binary.BigEndian.PutUint32(a[:], prefixes[i])
					list[i] = netip.PrefixFrom(netip.AddrFrom4(a), 24)
					r.setRoute(0, list[i], hop)
				}
				r.install(0, list...)
				for i := range dsts {
					dsts[i] = prefixes[rnd.IntN(routes)] | rnd.Uint32()&0xff
				}
			})
		})
	}
}

// TestNoAllocation: a round of forwarded packets allocates nothing, nor do the rarer ways of a packet.
func TestNoAllocation(t *testing.T) {
	for name, template := range map[string][]byte{
		"ip4": udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 22),
		"ip6": udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 64), 2),
	} {
		r := newRig(t)
		r.loop(256, template)
		if n := testing.AllocsPerRun(100, func() { r.w.round() }); n != 0 {
			t.Errorf("%s: %v allocations a round", name, n)
		}
	}
	r := newRig(t)
	rare := [][]byte{
		udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 1), 22),                                  // time exceeded
		udp4(t, p1, ip4("10.0.1.2", "203.0.113.1", 64), 22),                              // no route
		udp4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 22),                                 // port unreachable
		udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 1), 2),                         // time exceeded
		arp(t, p1, header.ARPRequest, hostMAC(p1), "10.0.1.2", "10.0.1.1"),               // answered
		solicitation(t, p1, "fe80::7", "ff02::1:ff00:1", "2001:db8:1::1", 255, false),    // answered
		udp4(t, p1, ip4("127.0.0.1", "10.0.1.1", 64), 22),                                // dropped
		raw6(t, "2001:db8:1::2", "2001:db8:2::2", 0, extension(17, 0x9e, 0), datagram()), // unknown option
		raw6(t, "2001:db8:1::2", "2001:db8:2::1", 60, extension(253), datagram()),        // unknown next header
		raw6(t, "2001:db8:1::2", "2001:db8:2::1", 43, extension(17, 0, 1), datagram()),   // RH0
	}
	port := r.ports[p1]
	round := func() {
		for _, b := range rare {
			r.inject(p1, b)
		}
		r.w.round()
		for _, d := range port.tx {
			port.sent = append(port.sent, d.Addr)
		}
		port.tx = port.tx[:0]
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("rare packets: %v allocations a round", n)
	}
}
