package procfs

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/netip"
	"slices"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// Flags of routes: RTF_* of linux/route.h and linux/ipv6_route.h.
const (
	routeUp        = 0x1
	routeGateway   = 0x2
	routeHost      = 0x4
	routeReject    = 0x200
	routeAnycast   = 0x100000
	routeNoNextHop = 0x200000
	routeLocal     = 0x80000000
)

// all is the range of the routes of a family, by its unspecified address.
func all(family netip.Addr) nstable.RouteRange {
	return nstable.RouteRange{Root: netip.PrefixFrom(family, 0)}
}

// eachRoute4 calls f with the IPv4 routes in the kernel's order: by address, and those of one address the longest prefix
// first.
func eachRoute4(s *space, f func(r *nstable.RouteInfo) error) error {
	var same []nstable.RouteInfo // of one address
	flush := func() error {
		slices.SortStableFunc(same, func(a, b nstable.RouteInfo) int { return b.Prefix.Bits() - a.Prefix.Bits() })
		for i := range same {
			if err := f(&same[i]); err != nil {
				return err
			}
		}
		same = same[:0]
		return nil
	}
	err := s.tree.Table.Routes(s.name, all(netip.IPv4Unspecified()), func(r *nstable.RouteInfo) error {
		if len(same) > 0 && same[0].Prefix.Addr() != r.Prefix.Addr() {
			if err := flush(); err != nil {
				return err
			}
		}
		same = append(same, *r)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// routeWidth is that of a line of /proc/net/route, without the line feed.
const routeWidth = 127

// writeRoute is /proc/net/route: fib_route_seq_show of the kernel's net/ipv4/fib_trie.c. Of several next hops it has the
// first.
func writeRoute(s *space, o *output) error {
	o.printf("%-*s\n", routeWidth,
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT")
	return eachRoute4(s, func(r *nstable.RouteInfo) error {
		if r.InLocalTable() {
			return nil
		}
		dev, gateway, flags := firstHop(r)
		switch {
		case r.Kind == fib.Unreachable || r.Kind == fib.Prohibit:
			flags |= routeReject
		case gateway.Is4():
			flags |= routeGateway
		}
		if r.Prefix.Bits() == 32 {
			flags |= routeHost
		}
		start := len(o.buf)
		o.printf("%s\t%08X\t%08X\t%04X\t%d\t%d\t%d\t%08X\t%d\t%d\t%d", dev, word(r.Prefix.Addr()), word(gateway), flags, 0, 0,
			r.Metric, mask(r.Prefix.Bits()), 0, 0, 0)
		for len(o.buf)-start < routeWidth {
			o.buf = append(o.buf, ' ')
		}
		o.buf = append(o.buf, '\n')
		return o.ready()
	})
}

// firstHop is the device and the gateway of a route's first next hop, and routeUp if that can be used.
func firstHop(r *nstable.RouteInfo) (dev string, gateway netip.Addr, flags uint32) {
	if len(r.Hops) == 0 {
		// The kernel has the blackhole of a next-hop object on lo, and what enters another namespace comes in by its lo.
		if r.Object != 0 || r.Kind == fib.Netns {
			return "lo", gateway, routeUp
		}
		return "*", gateway, routeUp
	}
	h := &r.Hops[0]
	dev, gateway = h.Device, h.Gateway
	if dev == "" {
		dev = "*"
	}
	if !h.Dead && !h.Unresolved {
		flags = routeUp
	}
	return dev, gateway, flags
}

// word is an IPv4 address as the kernel prints it: the number that its bytes are on this machine.
func word(a netip.Addr) uint32 {
	if !a.Is4() {
		return 0
	}
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

func mask(bits int) uint32 {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(uint64(math.MaxUint32)<<(32-bits)))
	return binary.NativeEndian.Uint32(b[:])
}

// null6 is the entry at the root of each table, fib6_null_entry, which the kernel shows as well.
const null6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 " +
	"ffffffff 00000001 00000000 00200200       lo\n"

// writeRoute6 is /proc/net/ipv6_route: ipv6_route_native_seq_show of the kernel's net/ipv6/ip6_fib.c, the table main and
// then local.
func writeRoute6(s *space, o *output) error {
	var local output
	null := true // of main, where a default route takes its place
	err := s.tree.Table.Routes(s.name, all(netip.IPv6Unspecified()), func(r *nstable.RouteInfo) error {
		to := o
		if r.InLocalTable() {
			to = &local // as many as there are addresses
		} else if r.Prefix.Bits() == 0 {
			null = false
		}
		switch {
		case r.Kind == fib.Netns:
			to.route6(r, "lo", netip.Addr{}, routeUp)
		case len(r.Hops) == 0:
			to.route6(r, "lo", netip.Addr{}, routeReject|routeNoNextHop)
		}
		for i := range r.Hops {
			h := &r.Hops[i]
			to.route6(r, h.Device, h.Gateway, flags6(r, h))
		}
		return o.ready()
	})
	if err != nil {
		return err
	}
	if null {
		o.printf(null6)
	}
	o.buf = append(o.buf, local.buf...)
	o.printf(null6)
	return nil
}

func flags6(r *nstable.RouteInfo, h *nstable.HopInfo) (flags uint32) {
	if !h.Dead && !h.Unresolved {
		flags = routeUp
	}
	if h.Gateway.IsValid() {
		flags |= routeGateway
	}
	switch r.Kind {
	case fib.Local:
		flags |= routeLocal | routeNoNextHop
	case fib.Anycast:
		flags |= routeAnycast | routeNoNextHop
	}
	return flags
}

func (o *output) route6(r *nstable.RouteInfo, dev string, gateway netip.Addr, flags uint32) {
	o.printf("%s %02x %032d 00 %s %08x %08x %08x %08x %8s\n", hex16(r.Prefix.Addr()), r.Prefix.Bits(), 0, hex16(gateway),
		r.Metric, 1, 0, flags, dev)
}

func hex16(a netip.Addr) string {
	var b [16]byte
	if a.Is6() {
		b = a.As16()
	}
	return hex.EncodeToString(b[:])
}
