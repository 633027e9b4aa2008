package header

import (
	"bytes"
	"net"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func serialize(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// naiveSum is RFC 1071 word by word.
func naiveSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		sum += w
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if len(a)%2 == 1 {
			a = a[1:]
		}
		if got, want := Fold(Sum(Sum(0, a), b)), naiveSum(append(bytes.Clone(a), b...)); got != want {
			t.Errorf("sum %#x, want %#x", got, want)
		}
	})
}

// TestDecrementTTL: for every TTL and many checksums the header stays right.
func TestDecrementTTL(t *testing.T) {
	for id := range 1 << 16 {
		h := make(IPv4, 20)
		SetIPv4(h, 0, 20, uint16(id), byte(1+id%255), 17, 0x0a000001, 0x0a000002)
		ttl := h.TTL()
		h.DecrementTTL()
		if h.TTL() != ttl-1 || !h.ChecksumOK() {
			t.Fatalf("id %d: %x", id, h)
		}
	}
}

func TestUpdateSum16(t *testing.T) {
	for old := 0; old < 1<<16; old += 7 {
		b := []byte{0x12, 0x34, byte(old >> 8), byte(old), 0xab, 0xcd}
		hc := ^naiveSum(b)
		b[2], b[3] = 0x77, 0x01
		if got, want := UpdateSum16(hc, uint16(old), 0x7701), ^naiveSum(b); got != want {
			t.Fatalf("old %#x: %#x, want %#x", old, got, want)
		}
	}
}

// TestIPv4 reads what gopacket wrote, and gopacket reads what SetIPv4 wrote.
func TestIPv4(t *testing.T) {
	e := &layers.Ethernet{
		SrcMAC:       net.HardwareAddr{2, 0, 0, 0, 0, 1},
		DstMAC:       net.HardwareAddr{0x33, 0x33, 3, 4, 5, 6},
		EthernetType: 0x800,
	}
	ip := &layers.IPv4{
		Version:    4,
		TOS:        0xb9,
		Id:         9,
		Flags:      layers.IPv4DontFragment,
		FragOffset: 185,
		TTL:        3,
		Protocol:   89,
		SrcIP: net.IP{
			10,
			1,
			2,
			3,
		},
		DstIP:   net.IP{192, 0, 2, 255},
		Options: []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}},
	}
	b := serialize(t, e, ip, gopacket.Payload("hello"))
	eth := Ethernet(b)
	if eth.Source() != 0x020000000001 || eth.Destination() != 0x333303040506 || eth.Type() != TypeIPv4 ||
		!IsGroup(eth.Destination()) {
		t.Errorf("%x %x %x", eth.Source(), eth.Destination(), eth.Type())
	}
	eth.SetAddresses(0x0a0b0c0d0e0f, 0x102030405060)
	if eth.Destination() != 0x0a0b0c0d0e0f || eth.Source() != 0x102030405060 || eth.Type() != TypeIPv4 {
		t.Errorf("%x", b[:14])
	}
	h := IPv4(b[14:])
	if h.Version() != 4 || h.HeaderLen() != 24 || h.TOS() != 0xb9 || h.TotalLen() != 29 || !h.DontFragment() || !h.IsFragment() ||
		h.FragmentOffset() != 185 || h.TTL() != 3 || h.Protocol() != 89 || h.Source() != 0x0a010203 ||
		h.Destination() != 0xc00002ff ||
		!h.ChecksumOK() {
		t.Errorf("%x", h)
	}
	own := make([]byte, 20)
	SetIPv4(own, 0xc0, 20, 77, 64, 1, 0x0a010203, 0xc0000201)
	p, ok := gopacket.NewPacket(own, layers.LayerTypeIPv4, gopacket.Default).Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok || p.TOS != 0xc0 || p.Id != 77 || p.TTL != 64 || p.SrcIP.String() != "10.1.2.3" ||
		p.DstIP.String() != "192.0.2.1" {
		t.Errorf("%+v", p)
	}
	if again := serialize(t, p); !bytes.Equal(again, own) {
		t.Errorf("checksum: %x, gopacket %x", own, again)
	}
}

func TestIPv6(t *testing.T) {
	ip := &layers.IPv6{Version: 6, TrafficClass: 0xb9, FlowLabel: 0xabcde, HopLimit: 7, NextHeader: 17,
		SrcIP: net.ParseIP("2001:db8::1"), DstIP: net.ParseIP("fe80::2")}
	u := &layers.UDP{SrcPort: 1, DstPort: 2}
	_ = u.SetNetworkLayerForChecksum(ip)
	h := IPv6(serialize(t, ip, u, gopacket.Payload("odd")))
	if hi, lo := h.Source(); hi != 0x20010db800000000 || lo != 1 {
		t.Errorf("%x %x", hi, lo)
	}
	if hi, lo := h.Destination(); hi != 0xfe80<<48 || lo != 2 || h.Version() != 6 || h.PayloadLen() != 11 ||
		h.NextHeader() != 17 ||
		h.HopLimit() != 7 {
		t.Errorf("%x", h)
	}
	if proto, at, fragment, ok := h.Transport(); proto != 17 || at != 40 || fragment || !ok {
		t.Errorf("transport %d at %d", proto, at)
	}
	if Fold(Sum(PseudoSum6(h, 17, h.PayloadLen()), h.Payload())) != 0xffff {
		t.Error("gopacket's UDP checksum is not ours")
	}
}

// FuzzTransport: the walk over extension headers ends within the packet, whatever is in it.
func FuzzTransport(f *testing.F) {
	f.Add([]byte{ExtHopByHop, 0, 0, 0, 0, 0, 0, 0}, byte(ExtRouting))
	f.Add([]byte{17, 0, 0, 0, 0, 0, 0, 0}, byte(ExtFragment))
	f.Fuzz(func(t *testing.T, payload []byte, next byte) {
		if len(payload) > 1000 {
			return
		}
		p := make(IPv6, 40, 40+len(payload))
		SetIPv6(p, 0, len(payload), next, 64)
		p = append(p, payload...)
		if _, at, fragment, ok := p.Transport(); ok && (at < 40 || at > len(p)) && !fragment {
			t.Errorf("transport at %d of %d", at, len(p))
		}
		if len(payload) >= NDLen {
			ND(payload).LinkLayer(NDSourceLinkLayer)
		}
	})
}

func TestARP(t *testing.T) {
	a := make(ARP, ARPLen)
	a.Set(ARPReply, 0x020000000001, 0x0a000001, 0x020000000002, 0x0a000002)
	p, ok := gopacket.NewPacket(a, layers.LayerTypeARP, gopacket.Default).Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok || p.Operation != 2 || net.IP(p.SourceProtAddress).String() != "10.0.0.1" ||
		net.HardwareAddr(p.DstHwAddress).String() != "02:00:00:00:00:02" ||
		p.AddrType != 1 ||
		p.Protocol != 0x800 {
		t.Errorf("%+v", p)
	}
	if !a.Valid() || a.SenderMAC() != 0x020000000001 || a.SenderIP() != 0x0a000001 || a.TargetIP() != 0x0a000002 {
		t.Errorf("%x", a)
	}
	for i := range 8 {
		bad := bytes.Clone(a)
		bad[i] ^= 0x40
		if ARP(bad).Valid() {
			t.Errorf("byte %d wrong and still valid", i)
		}
	}
}

func TestMAC(t *testing.T) {
	m := [6]byte{1, 2, 3, 4, 5, 6}
	if MAC(m) != 0x010203040506 || MACBytes(0x010203040506) != m {
		t.Errorf("%x", MAC(m))
	}
}
