package dataplane

import (
	"runtime"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/frame"
)

// TestFlowHash: packets of one flow have one hash, whatever else of them differs, and those of others most often another.
func TestFlowHash(t *testing.T) {
	r := newRig(t)
	of := func(b []byte) uint32 {
		addr, _ := r.w.cache.Get()
		copy(r.pool.Bytes()[addr:], b)
		defer r.w.cache.Put(addr)
		return r.w.flowHash(&Packet{Addr: addr, Len: uint32(len(b))})
	}
	tagged := func(b []byte) []byte {
		return append(append(append([]byte(nil), b[:12]...), 0x88, 0xa8, 0, 5, 0x81, 0, 0, 7), b[12:]...)
	}
	udp := func(source uint16) []byte {
		ip, u := ip4("10.0.1.2", "10.0.2.2", 64), &layers.UDP{SrcPort: layers.UDPPort(source), DstPort: 9}
		_ = u.SetNetworkLayerForChecksum(ip)
		return packet(t, ethernetTo(p1, layers.EthernetTypeIPv4), ip, u, gopacket.Payload("x"))
	}
	one := of(udp(1))
	short, long := udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 5), udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 9), 30)
	if of(tagged(udp(1))) != one || of(short) != of(long) {
		t.Error("one flow has several hashes")
	}
	seen := map[uint32]bool{}
	for port := range uint16(100) {
		seen[of(udp(port))] = true
	}
	if len(seen) < 99 {
		t.Errorf("100 flows have %d hashes", len(seen))
	}
	six := func(dst string, hops uint8) uint32 { return of(udp6(t, p1, ip6("2001:db8:1::2", dst, hops), 9)) }
	if six("2001:db8:2::2", 64) == six("2001:db8:2::3", 64) || six("2001:db8:2::2", 64) != six("2001:db8:2::2", 3) {
		t.Error("IPv6 flows are not told apart")
	}
	fragments := r.cutFor4(udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 1400), 576)
	if a, b := of(fragments[0]), of(fragments[1]); a != b {
		t.Error("the fragments of a datagram have several hashes")
	}
	for n := range udp(1) { // cut anywhere, it is not read beyond its end
		of(udp(1)[:n])
	}
}

// TestSharedOnTheWay: what was received in one namespace is not met in the one that its device has gone to meanwhile, and what
// finds no room is counted.
func TestSharedOnTheWay(t *testing.T) {
	r := newRigOf(t, 4096)
	other := r.withPeer()
	settings := *r.view.Devices[p1].Settings
	settings.Spread = true
	r.view.Devices[p1].Settings = &settings
	b := udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20)
	for range 64 {
		b[34]++ // another flow
		r.inject(p1, b)
	}
	r.w.now = r.now
	r.w.round()
	n := uint64(other.inbox[0].len())
	if n == 0 || n == 64 {
		t.Fatalf("%d of 64 packets were handed over", n)
	}
	r.view.Devices[p1].Namespace = r.view.Namespaces[1]
	other.now = r.now
	other.round()
	if got := r.drops(p1)["other-namespace"]; got != n {
		t.Errorf("%d dropped of %d", got, n)
	}
	r.view.Devices[p1].Namespace = r.view.Namespaces[0]
	for range 3 * handoffSize / 64 {
		for range 64 {
			b[34]++
			r.inject(p1, b)
		}
		r.w.leave()
		r.w.round()
		r.ports[p2].take()
	}
	if r.drops(p1)["handoff-full"] == 0 {
		t.Error("a full ring refused nothing")
	}
	for other.inbox[0].len() > 0 {
		other.leave()
		other.round()
	}
	for r.w.inbox[1].len() > 0 {
		r.w.round()
		r.ports[p2].take()
	}
	r.ports[p2].take()
	r.w.round()
	var sum uint64
	s := r.view.Devices[p1].Counters
	for id := range 2 {
		slot := s.Worker(id)
		sum += slot.Forwarded.Load()
		for i := range slot.Drops {
			sum += slot.Drops[i].Load()
		}
		sum -= slot.RxPackets.Load()
	}
	if sum != 0 {
		t.Errorf("what was received and what has become of it differ by %d", int64(sum))
	}
}

// BenchmarkShare is what it costs to share out packets: the hash, and the way through a ring to another worker, which runs at
// the same time on another CPU and only takes them out. A packet an operation, on the dearer of the two sides.
func BenchmarkShare(b *testing.B) {
	r := newRig(b)
	other := r.withPeer()
	r.w.view = r.view
	if !r.w.enter(p1) {
		b.Fatal("no device")
	}
	addr, _ := r.w.cache.Get()
	copy(r.pool.Bytes()[addr:], udp4(b, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20))
	p := Packet{Addr: addr, Len: frame.Size / 2, In: p1, Next: ethernetInput}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n < b.N; {
			if other.inbox[0].peek() == nil {
				runtime.Gosched()
				continue
			}
			other.inbox[0].pop()
			n++
		}
	}()
	b.ResetTimer()
	for range b.N {
		if r.w.flowHash(&p) == 0 {
			b.Fatal("no hash")
		}
		for !r.w.outbox[1].push(&p) {
			runtime.Gosched()
		}
	}
	<-done
}
