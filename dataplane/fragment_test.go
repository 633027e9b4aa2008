package dataplane

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// setMTU replaces a device by one with another MTU.
func (r *rig) setMTU(dev nstable.DeviceID, mtu uint32) {
	d := *r.view.Devices[dev]
	d.MTU = mtu
	view := *r.view
	view.Devices = append([]*nstable.Device(nil), view.Devices...)
	view.Devices[dev] = &d
	r.view = &view
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// raw4 is an IPv4 packet of protocol 253 with a payload that shows every misplaced byte.
func raw4(t testing.TB, dev nstable.DeviceID, ip *layers.IPv4, payload int) []byte {
	ip.Protocol = 253
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv4), ip, gopacket.Payload(pattern(payload)))
}

// join4 puts fragments together that must come in order, without gap or overlap, each with a right checksum and as large
// as the MTU allows. It returns the payload, the offset of the first and whether the last says that more follow.
func join4(t *testing.T, frames [][]byte, mtu int) (payload []byte, offset int, more bool) {
	t.Helper()
	for n, f := range frames {
		h := header.IPv4(f[14:])
		last := n == len(frames)-1
		if !h.ChecksumOK() || h.TotalLen() != len(h) || h.TotalLen() > mtu || h.DontFragment() {
			t.Fatalf("fragment %d: %x", n, h)
		}
		if n == 0 {
			offset = h.FragmentOffset()
		}
		if got := (h.FragmentOffset() - offset) * 8; got != len(payload) {
			t.Fatalf("fragment %d is at %d, want %d", n, got, len(payload))
		}
		if !last && (!h.MoreFragments() || (mtu-h.HeaderLen())&^7 != h.TotalLen()-h.HeaderLen()) {
			t.Fatalf("fragment %d of %d bytes, more %v", n, len(h), h.MoreFragments())
		}
		payload, more = append(payload, h[h.HeaderLen():]...), h.MoreFragments()
	}
	return payload, offset, more
}

// TestFragment4: what does not fit is cut (RFC 791 3.2), also fragments, down to 68 bytes; the counters see one packet.
func TestFragment4(t *testing.T) {
	for _, c := range []struct {
		mtu    uint32
		size   int
		offset uint16
		flags  layers.IPv4Flag
	}{
		{1499, 1480, 0, 0}, {1000, 1480, 0, 0}, {576, 1480, 0, 0}, {68, 1480, 0, 0}, {68, 49, 0, 0}, {69, 50, 0, 0},
		{1000, 1480, 100, layers.IPv4MoreFragments}, {576, 1480, 100, 0}, {68, 1479, 0, 0},
		{576, 1480, 0, layers.IPv4MoreFragments | layers.IPv4EvilBit},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			r := newRig(t)
			r.setMTU(p2, c.mtu)
			ip := ip4("10.0.1.2", "10.0.2.2", 17)
			ip.Id, ip.TOS, ip.FragOffset, ip.Flags = 4711, 0x28, c.offset, c.flags
			r.inject(p1, raw4(t, p1, ip, c.size))
			r.step()
			sent := r.ports[p2].take()
			got, offset, more := join4(t, sent, int(c.mtu))
			if !bytes.Equal(got, pattern(c.size)) || offset != int(c.offset) ||
				more != (c.flags&layers.IPv4MoreFragments != 0) || len(sent) < 2 {
				t.Errorf("%d fragments, payload %x, offset %d, more %v", len(sent), got, offset, more)
			}
			for _, f := range sent {
				h := header.IPv4(f[14:])
				if h.ID() != 4711 || h.TTL() != 16 || h.TOS() != 0x28 || h.Protocol() != 253 ||
					header.Ethernet(f).Destination() != hostMAC(p2) {
					t.Errorf("%x", f)
				}
			}
			var in, out counters.Totals
			r.view.Devices[p1].Counters.Sum(&in)
			r.view.Devices[p2].Counters.Sum(&out)
			if in.Forwarded != 1 || out.TxPackets != uint64(len(sent)) {
				t.Errorf("forwarded %d, transmitted %d of %d", in.Forwarded, out.TxPackets, len(sent))
			}
			r.conserved()
		})
	}
}

// TestFragmentOptions: the first fragment has all options, the others only those with the copied flag (RFC 791 3.1).
func TestFragmentOptions(t *testing.T) {
	options := []byte{
		1,                       // no operation
		68, 8, 5, 0, 0, 0, 0, 0, // timestamp: not copied
		0x88, 4, 0, 7, // stream id: copied
		7, 7, 4, 0, 0, 0, 0, // record route: not copied
		0x94, 4, 0, 0, // router alert: copied
		0, 9, 9, 9, // end of options, and what is behind it
	}
	later := []byte{
		1, 1, 1, 1, 1, 1, 1, 1, 1, 0x88, 4, 0, 7, 1, 1, 1, 1, 1, 1, 1, 0x94, 4, 0, 0, 0, 9, 9, 9,
	}
	f := func(offset int) [][]byte {
		b := append(make([]byte, 48), pattern(600)...)
		header.SetIPv4(b, 0, len(b), 9, 64, 253, 10<<24|1<<8|2, 10<<24|2<<8|2)
		b[0] = 0x4c
		copy(b[20:], options)
		h := header.IPv4(b)
		h.SetFragment(offset, false)
		r := newRig(t)
		h.SetChecksum()
		w := r.w
		if why, ok := w.cut4(h, &Packet{In: p1, Out: p2}, 400); !ok {
			t.Fatal(why)
		}
		var out [][]byte
		for k := range w.pieces {
			out = append(out, append([]byte(nil), w.ethernet(&w.pieces[k])...))
		}
		w.takeBack(0)
		return out
	}
	sent := f(0)
	if len(sent) != 2 || !bytes.Equal(sent[0][34:62], options) || !bytes.Equal(sent[1][34:62], later) {
		t.Errorf("options\n%x\n%x", sent[0][34:62], sent[1][34:62])
	}
	if got, _, _ := join4(t, sent, 400); !bytes.Equal(got, pattern(600)) {
		t.Errorf("payload %x", got)
	}
	if sent = f(50); !bytes.Equal(sent[1][34:62], options) {
		t.Errorf("options of a later fragment changed: %x", sent[1][34:62])
	}
}

// TestClearUncopied: malformed options are left alone.
func TestClearUncopied(t *testing.T) {
	for in, want := range map[string]string{
		"\x07": "\x07", "\x07\x01\x01": "\x07\x01\x01", "\x07\x05\x01": "\x07\x05\x01", "\x07\x00": "\x07\x00",
		"\x07\x03\x09\x07\x09": "\x01\x01\x01\x07\x09", "\x00\x07\x02": "\x00\x07\x02", "": "",
	} {
		b := []byte(in)
		if header.ClearUncopied(b); string(b) != want {
			t.Errorf("%x became %x, want %x", in, b, want)
		}
	}
}

// TestFragmentDF: what must not be cut is answered, with the MTU of the route.
func TestFragmentDF(t *testing.T) {
	r := newRig(t)
	r.route(0, "198.51.100.0/24", fib.NextHop{
		Kind: fib.Unicast, Device: p2, MTU: 700, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2"))})
	ip := ip4("10.0.1.2", "198.51.100.1", 17)
	ip.Flags = layers.IPv4DontFragment
	r.inject(p1, raw4(t, p1, ip, 681))
	r.inject(p1, raw4(t, p1, ip4("10.0.1.2", "198.51.100.1", 17), 681))
	r.step()
	p := r.one(p1)
	m := layer[*layers.ICMPv4](t, p, layers.LayerTypeICMPv4)
	if m.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || m.Id != 0 || m.Seq != 700 {
		t.Errorf("%+v", m)
	}
	if quoted := header.IPv4(m.Payload); quoted.TTL() != 17 || !quoted.DontFragment() {
		t.Errorf("quoted %x", quoted)
	}
	if n := len(r.ports[p2].take()); n != 2 {
		t.Errorf("%d fragments", n)
	}
	r.conserved()
}

// TestFragmentNoFrame: all fragments are sent or none, and no frame is lost.
func TestFragmentNoFrame(t *testing.T) {
	r := newRig(t)
	r.setMTU(p2, 576)
	r.inject(p1, raw4(t, p1, ip4("10.0.1.2", "10.0.2.2", 17), 1480))
	var kept []uint64
	for {
		a, ok := r.w.cache.Get()
		if !ok {
			break
		}
		kept = append(kept, a)
	}
	for range 2 { // one too few for three fragments
		r.w.cache.Put(kept[len(kept)-1])
		kept = kept[:len(kept)-1]
	}
	r.step()
	if n := len(r.ports[p2].take()); n != 0 {
		t.Errorf("%d fragments", n)
	}
	if d := r.drops(p1); d["no-frame"] != 1 {
		t.Errorf("drops %v", d)
	}
	for _, a := range kept {
		r.w.cache.Put(a)
	}
	r.conserved()
}

// TestFragmentMany: a full batch makes more fragments than a vector holds; order is kept within each packet.
func TestFragmentMany(t *testing.T) {
	r := newRig(t)
	r.setMTU(p2, 296)
	for i := range vectorSize {
		ip := ip4("10.0.1.2", "10.0.2.2", 17)
		ip.Id = uint16(i)
		r.inject(p1, raw4(t, p1, ip, 1480))
	}
	r.step()
	sent := r.ports[p2].take()
	const each = 6
	if len(sent) != vectorSize*each {
		t.Fatalf("%d fragments, drops %v", len(sent), r.drops(p1))
	}
	for i := range vectorSize {
		got, _, _ := join4(t, sent[i*each:(i+1)*each], 296)
		if !bytes.Equal(got, pattern(1480)) || header.IPv4(sent[i*each][14:]).ID() != uint16(i) {
			t.Errorf("packet %d", i)
		}
	}
	r.conserved()
}

// TestFragmentHeld: fragments for a neighbour that is not known wait for it, and only the first is told of its failure.
func TestFragmentHeld(t *testing.T) {
	for _, answer := range []bool{true, false} {
		r := newRig(t)
		r.setMTU(p2, 576)
		r.inject(p1, raw4(t, p1, ip4("10.0.1.2", "10.0.2.9", 17), 1480))
		r.step()
		r.one(p2)
		if answer {
			r.inject(p2, arp(t, p2, header.ARPReply, 0x020000000909, "10.0.2.9", "10.0.2.1"))
			r.step()
			if got, _, _ := join4(t, r.ports[p2].take(), 576); !bytes.Equal(got, pattern(1480)) {
				t.Errorf("%x", got)
			}
		} else {
			r.pass(4e9)
			m := layer[*layers.ICMPv4](t, r.one(p1), layers.LayerTypeICMPv4)
			if m.TypeCode != layers.CreateICMPv4TypeCode(3, 1) || !header.IPv4(m.Payload).MoreFragments() {
				t.Errorf("%+v", m)
			}
		}
		r.conserved()
	}
}

// TestFragmentVeth: fragments go on behind a veth pair, and count there as packets of their own.
func TestFragmentVeth(t *testing.T) {
	r := newRig(t)
	r.setMTU(v1, 576)
	r.route(0, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: v1, Gateway: fib.Addr4(10<<24 | 9<<8 | 2)})
	r.route(1, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: p3, Gateway: fib.Addr4(10<<24 | 1<<8 | 2)})
	r.inject(p1, raw4(t, p1, ip4("10.0.1.2", "198.51.100.1", 17), 1480))
	r.step()
	if got, _, _ := join4(t, r.ports[p3].take(), 576); !bytes.Equal(got, pattern(1480)) {
		t.Errorf("%x, drops %v %v", got, r.drops(p1), r.drops(v2))
	}
	var s counters.Totals
	r.view.Devices[v2].Counters.Sum(&s)
	if s.RxPackets-s.Delivered != 3 || s.Forwarded != 3 { // delivered: ARP
		t.Errorf("v2 received %d, delivered %d, forwarded %d", s.RxPackets, s.Delivered, s.Forwarded)
	}
	r.conserved()
}

// echo4 and echo6 are whole echo requests with a patterned payload.
func echo4(t testing.TB, dev nstable.DeviceID, ip *layers.IPv4, payload int) []byte {
	ip.Protocol = layers.IPProtocolICMPv4
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv4), ip,
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 5, Seq: 6}, gopacket.Payload(pattern(payload)))
}

func echo6(t testing.TB, dev nstable.DeviceID, ip *layers.IPv6, payload int) []byte {
	ip.NextHeader = layers.IPProtocolICMPv6
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
	_ = m.SetNetworkLayerForChecksum(ip)
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv6), ip, m,
		gopacket.Payload(append([]byte{0, 5, 0, 6}, pattern(payload)...)))
}

// join6 is join4 for IPv6; it returns what the fragments carry.
func join6(t *testing.T, frames [][]byte, mtu int) (next byte, payload []byte) {
	t.Helper()
	var id uint32
	for n, b := range frames {
		h := header.IPv6(b[14:])
		f := header.Fragment(h.Payload())
		if h.NextHeader() != header.ExtFragment || len(h) > mtu || len(h) != 40+h.PayloadLen() ||
			f.Offset() != len(payload) || f.More() != (n < len(frames)-1) {
			t.Fatalf("fragment %d: %x", n, h[:48])
		}
		if n == 0 {
			id, next = f.ID(), f.NextHeader()
		}
		if f.ID() != id || f.NextHeader() != next || f.More() && (mtu-48)&^7 != h.PayloadLen()-8 {
			t.Fatalf("fragment %d: %x", n, h[:48])
		}
		payload = append(payload, f[8:]...)
	}
	return next, payload
}

// TestOwnFragments: answers that are larger than the MTU of their way back are cut, in both families.
func TestOwnFragments(t *testing.T) {
	r := newRig(t)
	r.setMTU(p1, 1280)
	r.inject(p1, echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 1400))
	r.inject(p1, echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), 1400))
	r.step()
	sent := r.ports[p1].take()
	if len(sent) != 4 {
		t.Fatalf("%d packets", len(sent))
	}
	got, _, _ := join4(t, sent[:2], 1280)
	if len(got) < 8 || got[0] != 0 || header.Fold(header.Sum(0, got)) != 0xffff || !bytes.Equal(got[8:], pattern(1400)) {
		t.Errorf("%x", got)
	}
	next, got := join6(t, sent[2:], 1280)
	h := header.IPv6(sent[2][14:])
	if next != 58 || got[0] != 129 || !bytes.Equal(got[8:], pattern(1400)) ||
		header.Fold(header.Sum(header.PseudoSum6(h, 58, len(got)), got)) != 0xffff {
		t.Errorf("%d %x", next, got)
	}
	r.conserved()
}

// TestPermute: no identification comes twice, and they do not count up.
func TestPermute(t *testing.T) {
	seen := make(map[uint32]bool)
	near := 0
	for n := range uint32(1 << 16) {
		p := permute(n, 0x123456789abcdef0)
		if seen[p] {
			t.Fatalf("%d comes twice", p)
		}
		seen[p] = true
		if d := p - permute(n+1, 0x123456789abcdef0); d+1000 < 2000 {
			near++
		}
	}
	if near > 10 {
		t.Errorf("%d of 65536 are near the next", near)
	}
}

// TestFragmentNoAllocation: cutting allocates nothing, in either family.
func TestFragmentNoAllocation(t *testing.T) {
	r := newRig(t)
	r.setMTU(p2, 576)
	r.setMTU(p1, 1280)
	r.noAllocation([][]byte{
		raw4(t, p1, ip4("10.0.1.2", "10.0.2.2", 17), 1480),
		echo4(t, p1, ip4("10.0.1.2", "10.0.2.1", 64), 1400),
		echo6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::1", 64), 1400),
	})
}

// noAllocation fails the test if a round with these frames, received by p1, allocates.
func (r *rig) noAllocation(frames [][]byte) {
	r.Helper()
	round := func() {
		for _, b := range frames {
			r.inject(p1, b)
		}
		r.now += 1e6 // so that answers are not limited
		r.w.now = r.now
		r.w.round()
		for _, port := range r.ports {
			for _, d := range port.tx {
				port.sent = append(port.sent, d.Addr)
			}
			port.tx = port.tx[:0]
		}
	}
	for range 10 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		r.Errorf("%v allocations a round", n)
	}
}
