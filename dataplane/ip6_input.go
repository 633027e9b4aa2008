package dataplane

import (
	"net/netip"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// ip6Input checks the fixed header (RFC 8200 3), addresses that are never forwarded, and the scopes of RFC 4291: what
// is for this link alone is for the router itself or for nobody.
//
// Edges: ip6-lookup, ip6-local, icmp6-error, drop.
func (w *Worker) ip6Input(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		b := w.network(p)
		if len(b) < header.IPv6HeaderLen {
			w.toDrop(i, counters.IP6Truncated)
			continue
		}
		h := header.IPv6(b)
		if h.Version() != 6 {
			w.toDrop(i, counters.IP6BadHeader)
			continue
		}
		total := header.IPv6HeaderLen + h.PayloadLen()
		if total > len(b) {
			w.toDrop(i, counters.IP6Truncated)
			continue
		}
		p.Len = uint32(header.EthernetLen + total)
		src, dst := addr6(h.Source()), addr6(h.Destination())
		switch {
		case src.Is4(), dst.Is4():
			// IPv4-mapped addresses are none on the wire (RFC 4291 2.5.5.2), and would meet IPv4's routes and
			// neighbours.
			w.toDrop(i, counters.IP6BadSource)
		case src == fib.Addr{} && !isMulticast6(dst):
			w.toDrop(i, counters.IP6BadSource) // only duplicate address detection has no source yet
		case isMulticast6(src), src == loopback6, dst == loopback6, isInterfaceLocalMulticast(dst):
			w.toDrop(i, counters.IP6BadSource)
		case isMulticast6(dst):
			if w.listens6(dst) {
				w.to(ip6Local, i)
			} else {
				w.toDrop(i, counters.IP6Multicast)
			}
		case p.Flags&Group != 0:
			w.toDrop(i, counters.LinkLayerBroadcast)
		case dst.Hi == linkLocalPrefix:
			if hasAddr(w.dev, dst) {
				w.to(ip6Local, i)
			} else {
				w.toDrop(i, counters.IP6Scope)
			}
		default:
			w.to(ip6Lookup, i)
		}
	}
}

var (
	loopback6 = fib.Addr{Lo: 1}                                  //nolint:gochecknoglobals // a constant: ::1
	allNodes  = fib.Addr{Hi: 0xff02 << 48, Lo: 1}                //nolint:gochecknoglobals // a constant: ff02::1
	allRouter = fib.Addr{Hi: 0xff02 << 48, Lo: 2}                //nolint:gochecknoglobals // a constant: ff02::2
	solicited = fib.Addr{Hi: 0xff02 << 48, Lo: 1<<32 | 0xff<<24} //nolint:gochecknoglobals // a constant: ff02::1:ff00:0
)

// linkLocalPrefix is fe80::/64, the upper half of every link-local address in use (RFC 4291 2.5.6).
const linkLocalPrefix = 0xfe80 << 48

func addr6(hi, lo uint64) fib.Addr              { return fib.Addr{Hi: hi, Lo: lo} }
func isMulticast6(a fib.Addr) bool              { return a.Hi>>56 == 0xff }
func isInterfaceLocalMulticast(a fib.Addr) bool { return a.Hi>>48&0xff0f == 0xff01 }
func isLinkLocal(a fib.Addr) bool               { return a.Hi>>54 == 0xfe80>>6 }

// solicitedNode is the multicast group in which the owner of an address hears solicitations for it (RFC 4291 2.7.1).
func solicitedNode(a fib.Addr) fib.Addr {
	return fib.Addr{Hi: solicited.Hi, Lo: solicited.Lo | a.Lo&0xffffff}
}

// listens6 tells whether the router is in a multicast group on the receiving device: all nodes, all routers, and the
// solicited-node groups of the device's addresses.
func (w *Worker) listens6(group fib.Addr) bool {
	if group == allNodes || group == allRouter {
		return true
	}
	for _, a := range w.dev.Addrs {
		if a.Addr().Is6() && (solicitedNode(fib.AddrOf(a.Addr())) == group ||
			hasAnycast(a) && solicitedNode(fib.AddrOf(a.Masked().Addr())) == group) {
			return true
		}
	}
	return false
}

// hasAnycast tells whether the prefix of a device's address brings a subnet-router anycast address (RFC 4291 2.6.1);
// one of two or fewer addresses does not (RFC 6164).
func hasAnycast(a netip.Prefix) bool {
	return a.Addr().Is6() && a.Bits() < 127 && !a.Addr().IsLinkLocalUnicast()
}

// isAnycast tells whether an address is the device's by anycast only.
func isAnycast(d *nstable.Device, a fib.Addr) bool {
	for _, own := range d.Addrs {
		if hasAnycast(own) && fib.AddrOf(own.Masked().Addr()) == a {
			return !hasAddr(d, a)
		}
	}
	return false
}

// hasAddr tells whether an address is one of the device's own.
func hasAddr(d *nstable.Device, a fib.Addr) bool {
	for _, own := range d.Addrs {
		if fib.AddrOf(own.Addr()) == a {
			return true
		}
	}
	return false
}

// ip6Lookup asks the FIB for the whole batch and sorts by what the routes say.
//
// Edges: ip6-local, ip6-forward or ip6-rpf, icmp6-error, drop.
func (w *Worker) ip6Lookup(v []uint16) {
	for k, i := range v {
		w.dst6[k] = addr6(header.IPv6(w.network(&w.packets[i])).Destination())
	}
	w.fib.Lookup6(w.dst6[:len(v)], w.ids[:len(v)])
	groups := w.fib.Groups()
	local, forward := ip6Local, ip6Forward
	if w.dev.Settings.RPFilter != setting.RPFilterOff {
		local, forward = ip6RPF, ip6RPF
	}
	for k, i := range v {
		id := w.ids[k]
		if id == fib.None {
			w.toError(icmp6Error, i, counters.NoRoute, header.ICMPv6NoRoute)
			continue
		}
		hop := w.pick(groups.Of(id), &w.packets[i], true)
		w.hops[i] = hop
		switch hop.Kind {
		case fib.Unicast:
			w.to(forward, i)
		case fib.Local, fib.Anycast:
			w.to(local, i)
		case fib.Blackhole:
			w.toDrop(i, counters.RouteBlackhole)
		case fib.Prohibit:
			w.toError(icmp6Error, i, counters.RouteProhibit, header.ICMPv6AdminProhibited)
		case fib.Unreachable:
			w.toError(icmp6Error, i, counters.RouteUnreachable, header.ICMPv6NoRoute)
		default:
			w.toError(icmp6Error, i, counters.NoRoute, header.ICMPv6NoRoute)
		}
	}
}
