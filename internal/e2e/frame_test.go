package e2e

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// What the tests read of frames. Nothing panics for short or damaged ones.

func etherType(f []byte) uint16 { return binary.BigEndian.Uint16(f[12:]) }
func is4(f []byte) bool         { return len(f) >= 34 && etherType(f) == 0x0800 && f[14]>>4 == 4 }
func is6(f []byte) bool         { return len(f) >= 54 && etherType(f) == 0x86dd && f[14]>>4 == 6 }

func source(f []byte) netip.Addr {
	switch {
	case is4(f):
		return netip.AddrFrom4([4]byte(f[26:30]))
	case is6(f):
		return netip.AddrFrom16([16]byte(f[22:38]))
	}
	return netip.Addr{}
}

func destination(f []byte) netip.Addr {
	switch {
	case is4(f):
		return netip.AddrFrom4([4]byte(f[30:34]))
	case is6(f):
		return netip.AddrFrom16([16]byte(f[38:54]))
	}
	return netip.Addr{}
}

// transportOf is the protocol behind the IPv4 header or the fixed IPv6 header, and what follows.
func transportOf(f []byte) (protocol byte, rest []byte) {
	switch {
	case is4(f):
		if hl := int(f[14]&15) * 4; hl >= 20 && 14+hl < len(f) {
			return f[23], f[14+hl:]
		}
	case is6(f) && len(f) > 54:
		return f[20], f[54:]
	}
	return 255, nil
}

func routerAddress(a netip.Addr) bool {
	return slices.Contains([]string{
		"10.0.1.1", "10.0.2.1", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::", "2001:db8:2::",
		"fe80::ff:fe00:1", "fe80::ff:fe00:2", "fe80::",
	}, a.String())
}

func directedBroadcast(a netip.Addr) bool {
	return a == netip.MustParseAddr("10.0.1.255") || a == netip.MustParseAddr("10.0.2.255")
}

// untagged is a frame without its VLAN tags.
func untagged(f []byte) []byte {
	for len(f) >= 18 && (etherType(f) == 0x8100 || etherType(f) == 0x88a8) {
		f = append(slices.Clone(f[:12]), f[16:]...)
	}
	return f
}

// walk goes over the headers behind the fixed IPv6 header, upper layer included, until visit says that it is enough.
func walk(f []byte, visit func(kind byte, b []byte) (enough bool)) {
	f = untagged(f)
	if !is6(f) {
		return
	}
	for kind, b := f[20], f[54:]; ; {
		if visit(kind, b) || !slices.Contains([]byte{0, 43, 44, 51, 60}, kind) || len(b) < 8 {
			return
		}
		n := 8 + int(b[1])*8
		switch kind {
		case 44:
			n = 8
		case 51:
			n = 8 + int(b[1])*4
		}
		kind, b = b[0], b[min(n, len(b)):]
	}
}

// behind is the first header of a kind in the chain of an IPv6 frame, and all behind it.
func behind(f []byte, kind byte) (found []byte) {
	walk(f, func(k byte, b []byte) bool {
		if k == kind {
			found = b
		}
		return k == kind
	})
	return found
}

// headers is how many headers there are behind the fixed one.
func headers(f []byte) (n int) {
	walk(f, func(byte, []byte) bool { n++; return false })
	return n
}

// maxHeaders is how many extension headers the router goes through, with the upper layer's.
const maxHeaders = 17
