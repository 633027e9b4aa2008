package dataplane

import (
	"math/bits"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// source6 chooses the source of an own IPv6 packet that has to do with device d, by RFC 6724 5 as Linux does it
// (ipv6_dev_get_saddr): among the addresses of all devices of the namespace that are up, or of d alone where the
// destination is link-local or multicast. False where there is none.
func (w *Worker) source6(d *nstable.Device, target fib.Addr) (best fib.Addr, ok bool) {
	rank, index := 0, 0
	try := func(other *nstable.Device) {
		for _, p := range other.Addrs {
			if !p.Addr().Is6() {
				continue
			}
			a := fib.AddrOf(p.Addr())
			r := rank6(a, p.Bits(), other == d, target)
			// Among equals the address that came last (it is the first of the kernel's list), of the first device.
			if !ok || r > rank || r == rank && other.Index <= index {
				best, rank, index, ok = a, r, other.Index, true
			}
		}
	}
	if scope6(target) <= scopeLinkLocal || isMulticast6(target) {
		try(d)
		return best, ok
	}
	for _, other := range w.devicesOf(d.Namespace) {
		if other.Up {
			try(other)
		}
	}
	return best, ok
}

// rank6 puts the rules of RFC 6724 5 that apply to a router, whose addresses are neither deprecated nor temporary, into
// one number, the first of them on top: 1 same address, 2 scope, 5 device, 6 label, 8 common prefix.
func rank6(a fib.Addr, length int, onDevice bool, target fib.Addr) int {
	scope := scope6(a)
	fit := 2*scopeGlobal - scope // large enough: the smallest is best
	if scope < scope6(target) {
		fit = scope // too small: the largest is best, after all that are large enough
	}
	return flag(a == target)<<16 | fit<<10 | flag(onDevice)<<9 | flag(label6(a) == label6(target))<<8 |
		min(commonPrefix(a, target), length)
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// commonPrefix is how many leading bits two addresses share.
func commonPrefix(a, b fib.Addr) int {
	if x := a.Hi ^ b.Hi; x != 0 {
		return bits.LeadingZeros64(x)
	}
	return 64 + bits.LeadingZeros64(a.Lo^b.Lo)
}

// Scopes of addresses (RFC 4291 2.7, RFC 6724 3.1).
const (
	scopeLinkLocal = 0x2
	scopeSiteLocal = 0x5
	scopeGlobal    = 0xe
)

func scope6(a fib.Addr) int {
	switch {
	case isMulticast6(a):
		return int(a.Hi >> 48 & 0xf)
	case isLinkLocal(a), a == loopback6:
		return scopeLinkLocal
	case a.Hi>>54 == 0xfec0>>6:
		return scopeSiteLocal
	}
	return scopeGlobal
}

// label6 is the label of an address (RFC 6724 2.1; the initial table of the kernel's net/ipv6/addrlabel.c).
func label6(a fib.Addr) int {
	switch {
	case a == loopback6:
		return 0
	case a.Hi == 0 && a.Lo>>32 == 0xffff:
		return 4
	case a.Hi == 0 && a.Lo>>32 == 0:
		return 3
	case a.Hi>>32 == 0x20010000:
		return 6
	case a.Hi>>36 == 0x2001001:
		return 7
	case a.Hi>>48 == 0x2002:
		return 2
	case a.Hi>>57 == 0xfc>>1:
		return 5
	}
	return 1
}

// linkLocal6 is the device's first link-local address.
func linkLocal6(d *nstable.Device) (fib.Addr, bool) {
	for _, p := range d.Addrs {
		if a := fib.AddrOf(p.Addr()); p.Addr().Is6() && isLinkLocal(a) {
			return a, true
		}
	}
	return fib.Addr{}, false
}
