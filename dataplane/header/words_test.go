package header

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestWords: what is read of a header by whole words is what the views read of it byte by byte.
func TestWords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200_000 {
		var b [EthernetLen + IPv6HeaderLen]byte
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		ip := IPv4(b[EthernetLen : EthernetLen+IPv4MinLen])
		switch n % 4 {
		case 0:
			ip[0] = 0x45
			ip.SetChecksum()
		case 1: // all ways to write a sum that is zero
			clear(ip[1:])
			ip[0], ip[10], ip[11] = 0x45, byte(-(n & 1)), byte(-(n & 1))
			ip[2] = byte(^0x45 * (n >> 3 & 1))
		}
		checkWords4(t, b)
		checkWords6(t, b)
	}
}

func checkWords4(t *testing.T, b [EthernetLen + IPv6HeaderLen]byte) {
	t.Helper()
	e, ip := Ethernet(b[:]), IPv4(b[EthernetLen:EthernetLen+IPv4MinLen])
	w := LoadEthernet((*[EthernetLen]byte)(b[:]))
	if w.Destination() != e.Destination() || w.FromGroup() != IsGroup(e.Source()) || w.Type() != e.Type() {
		t.Fatalf("Ethernet % x: %+v", b[:14], w)
	}
	h := Load4((*[IPv4MinLen]byte)(ip))
	if h.Plain() != (ip.Version() == 4 && ip.HeaderLen() == 20) || int(h.TotalLen()) != ip.TotalLen() ||
		h.Source() != ip.Source() || h.Destination() != ip.Destination() {
		t.Fatalf("IPv4 % x: %+v", ip, h)
	}
	if h.Plain() && h.ChecksumOK() != ip.ChecksumOK() {
		t.Fatalf("IPv4 % x: checksum %v", ip, h.ChecksumOK())
	}
	before, want := b, b
	taken := TakeHop4((*[EthernetLen + IPv4MinLen]byte)(b[:]))
	if taken {
		IPv4(want[EthernetLen:]).DecrementTTL()
	}
	if taken != (before[EthernetLen+8] > 1) || !bytes.Equal(b[:], want[:]) {
		t.Fatalf("IPv4 % x: hop taken %v: % x, want % x", before, taken, b, want)
	}
}

func checkWords6(t *testing.T, b [EthernetLen + IPv6HeaderLen]byte) {
	t.Helper()
	ip := IPv6(b[EthernetLen:])
	h := Load6((*[IPv6HeaderLen]byte)(ip))
	src, _ := ip.Source()
	dst, _ := ip.Destination()
	if h.IsVersion6() != (ip.Version() == 6) || int(h.PayloadLen()) != ip.PayloadLen() || h.NextHeader() != ip.NextHeader() ||
		h.BothGlobal((*[IPv6HeaderLen]byte)(ip)) != (src>>61 == 1 && dst>>61 == 1) || ip.FromGlobal() != (src>>61 == 1) {
		t.Fatalf("IPv6 % x: %x", ip, h)
	}
	before, want := b, b
	if want[EthernetLen+7] > 1 {
		want[EthernetLen+7]--
	}
	if taken := TakeHop6(&b); taken != (before[EthernetLen+7] > 1) || b != want {
		t.Fatalf("IPv6 % x: hop taken %v: % x", before, taken, b)
	}
}
