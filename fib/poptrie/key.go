package poptrie

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Addr is an IPv6 address as two host-order words.
type Addr struct{ Hi, Lo uint64 }

// Addresses of both families are keys of 128 bits, left-aligned: an IPv4 address stands in the upper half of Hi, all else is zero.

// keyOf converts an address of either family.
func keyOf(a netip.Addr) Addr {
	if a.Is4() {
		b := a.As4()
		return Addr{Hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return Addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// bit returns bit i, counted from the most significant one.
func (k Addr) bit(i uint8) uint64 {
	if i < 64 {
		return k.Hi >> (63 - i) & 1
	}
	return k.Lo >> (127 - i) & 1
}

// stride returns the six bits from off on; bits past the end read as zero.
func (k Addr) stride(off uint8) uint64 {
	switch {
	case off <= 64-stride:
		return k.Hi << off >> (64 - stride)
	case off >= 64:
		return k.Lo << (off - 64) >> (64 - stride)
	}
	return (k.Hi<<off | k.Lo>>(64-off)) >> (64 - stride)
}

// mask keeps the first n bits.
func (k Addr) mask(n uint8) Addr {
	if n < 64 {
		return Addr{Hi: k.Hi &^ (^uint64(0) >> n)}
	}
	return Addr{Hi: k.Hi, Lo: k.Lo &^ (^uint64(0) >> (n - 64))}
}

// common is the number of leading bits that two keys share.
func common(a, b Addr) uint8 {
	if x := a.Hi ^ b.Hi; x != 0 {
		return uint8(bits.LeadingZeros64(x))
	}
	return 64 + uint8(bits.LeadingZeros64(a.Lo^b.Lo))
}

// less orders prefixes by address, the shorter one first.
func less(a Addr, an uint8, b Addr, bn uint8) bool {
	switch {
	case a.Hi != b.Hi:
		return a.Hi < b.Hi
	case a.Lo != b.Lo:
		return a.Lo < b.Lo
	}
	return an < bn
}

// prefix converts back.
func (f Family) prefix(k Addr, n uint8) netip.Prefix {
	if f == IPv4 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(k.Hi>>32))
		return netip.PrefixFrom(netip.AddrFrom4(b), int(n))
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), int(n))
}
