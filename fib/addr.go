package fib

import (
	"encoding/binary"
	"net/netip"
)

// DeviceID names a logical device of the daemon (not of Linux), unique over all namespaces. Zero is no device.
type DeviceID uint32

// NamespaceID names a namespace for as long as it exists.
type NamespaceID uint32

// Addr is an address as two host-order words: IPv6 as it is, IPv4 mapped (::ffff:0:0/96), so that one table of
// neighbours serves both.
type Addr struct{ Hi, Lo uint64 }

// AddrOf converts from netip; an IPv4 address becomes a mapped one, a zone is ignored.
func AddrOf(a netip.Addr) Addr {
	b := a.As16()
	return Addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Addr4 is the mapped form of a host-order IPv4 address.
func Addr4(a uint32) Addr { return Addr{0, 0xffff<<32 | uint64(a)} }

// Is4 tells a mapped IPv4 address.
func (a Addr) Is4() bool { return a.Hi == 0 && a.Lo>>32 == 0xffff }

// Netip converts back; mapped addresses become IPv4.
func (a Addr) Netip() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.AddrFrom16(b).Unmap()
}
