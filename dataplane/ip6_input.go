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
// is for this link alone is for the router itself or for nobody. As in ip4-input, one look is enough for nearly all packets.
//
// Edges: ip6-lookup, ip6-local, ip6-forward, icmp6-error, host-output, drop.
func (w *Worker) ip6Input(v []uint16) {
	w.slot.MIB[counters.IP6Received].Add(uint64(len(v)))
	next := &w.vectors[ip6Lookup]
	n := next.n
	for _, i := range v {
		p := &w.packets[i%vectorSize]
		if p.Len >= header.EthernetLen+header.IPv6HeaderLen {
			b := (*[header.IPv6HeaderLen]byte)(w.mem[p.Addr+header.EthernetLen:])
			h := header.Load6(b)
			total := header.IPv6HeaderLen + h.PayloadLen()
			if h.IsVersion6() && total <= p.Len-header.EthernetLen && h.BothGlobal(b) &&
				h.NextHeader() != header.ExtHopByHop && p.Flags&Group == 0 {
				p.Len = header.EthernetLen + total
				w.dst6[n%vectorSize], next.idx[n%vectorSize] = addr6(header.IPv6(b[:]).Destination()), i
				n++
				continue
			}
		}
		next.n = n
		w.check6(i)
		n = next.n
	}
	next.n = n
}

// check6 makes the tests of ip6-input one by one.
func (w *Worker) check6(i uint16) {
	p := &w.packets[i]
	b := w.network(p)
	if len(b) < header.IPv6HeaderLen {
		w.toDrop(i, counters.IP6Truncated)
		return
	}
	h := header.IPv6(b)
	if h.Version() != 6 {
		w.toDrop(i, counters.IP6BadHeader)
		return
	}
	total := header.IPv6HeaderLen + h.PayloadLen()
	switch {
	case total <= len(b):
		p.Len = uint32(header.EthernetLen + total)
	case !w.holds(p, total):
		w.toDrop(i, counters.IP6Truncated)
		return
	}
	w.ip6Special(i, p, h, addr6(h.Source()), addr6(h.Destination()))
}

// toLookup6 puts packet i on the edge to ip6-lookup, which wants to know its destination.
func (w *Worker) toLookup6(i uint16, dst fib.Addr) {
	w.dst6[w.vectors[ip6Lookup].n] = dst
	w.to(ip6Lookup, i)
}

// ip6Special is about a packet to or from an address with a meaning of its own, with hop-by-hop options, or in a
// link-layer multicast or broadcast.
func (w *Worker) ip6Special(i uint16, p *Packet, h header.IPv6, src, dst fib.Addr) {
	switch {
	case src.Is4(), dst.Is4():
		// IPv4-mapped addresses are none on the wire (RFC 4291 2.5.5.2), and would meet IPv4's routes and neighbours.
		w.toDrop(i, counters.IP6BadSource)
	case src == fib.Addr{} && !isMulticast6(dst):
		w.toDrop(i, counters.IP6BadSource) // only duplicate address detection has no source yet
	case isMulticast6(src), src == loopback6, dst == loopback6, isNodeLocalMulticast(dst):
		w.toDrop(i, counters.IP6BadSource)
	case h.NextHeader() == header.ExtHopByHop && !w.ip6HopByHop(i, p, h):
	case (isMulticast6(dst) || isLinkLocal(dst) || p.Flags&Group != 0) && w.spoofed6(p, src):
		w.toDrop(i, counters.RPFilter)
	case isMulticast6(dst):
		switch {
		case w.listens6(dst):
			w.to(ip6Local, i)
		case w.host != nil && !isSolicitedNode(dst):
			w.to(hostOutput, i)
		default:
			w.toDrop(i, counters.IP6Multicast)
		}
	case p.Flags&Group != 0:
		w.ip6Group(i, dst)
	case isLinkLocal(dst):
		w.ip6LinkLocal(i, dst)
	case dst == fib.Addr{}: // on no link, whatever the routes say (RFC 4291 2.5.2)
		w.toError(icmp6Error, i, counters.NoRoute, header.ICMPv6NoRoute)
	default:
		w.toLookup6(i, dst)
	}
}

// ip6Group is about a unicast packet in a link-layer multicast or broadcast: taken if it is for the router itself, as
// Linux does (drop_unicast_in_l2_multicast), and never forwarded.
func (w *Worker) ip6Group(i uint16, dst fib.Addr) {
	if w.isOwn6(dst) {
		w.to(ip6Local, i)
	} else {
		w.toDrop(i, counters.LinkLayerBroadcast)
	}
}

// ip6LinkLocal is about a packet to a link-local address: for the device itself, or for a neighbour on the same link,
// which it never leaves (RFC 4291 2.5.6).
func (w *Worker) ip6LinkLocal(i uint16, dst fib.Addr) {
	switch {
	case w.isOwn6(dst):
		w.to(ip6Local, i)
	case dst.Hi != linkLocalPrefix: // the rest of fe80::/10 is on no link
		w.toError(icmp6Error, i, counters.NoRoute, header.ICMPv6NoRoute)
	default:
		w.sameLink = fib.NextHop{Kind: fib.Unicast, Device: w.dev.ID}
		w.hops[i] = &w.sameLink
		w.to(ip6Forward, i)
	}
}

// isOwn6 tells whether a unicast address is the router's, also by anycast.
func (w *Worker) isOwn6(a fib.Addr) bool {
	kind := w.ownKind6(a)
	return kind == fib.Local || kind == fib.Anycast
}

// ownKind6 is Local or Anycast for an address of the router: one of the device's if it is link-local, else one that the
// routes say so of.
func (w *Worker) ownKind6(a fib.Addr) fib.Kind {
	if isLinkLocal(a) {
		switch {
		case hasAddr(w.dev, a):
			return fib.Local
		case isAnycast(w.dev, a):
			return fib.Anycast
		}
		return fib.Unicast
	}
	if g := w.fib.Lookup(a.Netip()); g != nil {
		return g.First().Kind
	}
	return fib.Unreachable
}

var (
	loopback6  = fib.Addr{Lo: 1}                                  //nolint:gochecknoglobals // a constant: ::1
	allNodes   = fib.Addr{Hi: 0xff02 << 48, Lo: 1}                //nolint:gochecknoglobals // a constant: ff02::1
	allRouter  = fib.Addr{Hi: 0xff02 << 48, Lo: 2}                //nolint:gochecknoglobals // a constant: ff02::2
	siteRouter = fib.Addr{Hi: 0xff05 << 48, Lo: 2}                //nolint:gochecknoglobals // a constant: ff05::2
	solicited  = fib.Addr{Hi: 0xff02 << 48, Lo: 1<<32 | 0xff<<24} //nolint:gochecknoglobals // a constant: ff02::1:ff00:0
)

// linkLocalPrefix is fe80::/64, the upper half of every link-local address in use (RFC 4291 2.5.6).
const linkLocalPrefix = 0xfe80 << 48

func addr6(hi, lo uint64) fib.Addr { return fib.Addr{Hi: hi, Lo: lo} }

func isMulticast6(a fib.Addr) bool { return a.Hi>>56 == 0xff }
func isLinkLocal(a fib.Addr) bool  { return a.Hi>>54 == 0xfe80>>6 }

// isNodeLocalMulticast tells a group of scope interface-local, or of the reserved scope 0 (RFC 4291 2.7, erratum 3480):
// neither is ever on a link.
func isNodeLocalMulticast(a fib.Addr) bool { return a.Hi>>48&0xff0e == 0xff00 }

// solicitedNode is the multicast group in which the owner of an address hears solicitations for it (RFC 4291 2.7.1).
func solicitedNode(a fib.Addr) fib.Addr {
	return fib.Addr{Hi: solicited.Hi, Lo: solicited.Lo | a.Lo&0xffffff}
}

// isSolicitedNode tells the groups of [solicitedNode].
func isSolicitedNode(a fib.Addr) bool { return a.Hi == solicited.Hi && a.Lo>>24 == solicited.Lo>>24 }

// listens6 tells whether the router is in a multicast group on the receiving device: all nodes, all routers of link and
// site, and the solicited-node groups of the device's addresses (RFC 4291 2.8), of those too that are being tried.
func (w *Worker) listens6(group fib.Addr) bool {
	if group == allNodes || group == allRouter || group == siteRouter {
		return true
	}
	for _, a := range w.dev.Addrs {
		if a.Addr().Is6() && (solicitedNode(fib.AddrOf(a.Addr())) == group ||
			hasAnycast(a) && solicitedNode(fib.AddrOf(a.Masked().Addr())) == group) {
			return true
		}
	}
	for i := range w.dev.Probing {
		if solicitedNode(fib.AddrOf(w.dev.Probing[i].Addr)) == group {
			return true
		}
	}
	return false
}

// hasAnycast tells whether the prefix of a device's address brings a subnet-router anycast address (RFC 4291 2.6.1);
// one of two or fewer addresses does not (RFC 6164).
func hasAnycast(a netip.Prefix) bool {
	return a.Addr().Is6() && a.Bits() < 127
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

// ip6Lookup asks the FIB for the whole batch, of which ip6-input has noted the destinations in order, and sorts by what the
// routes say.
//
// Edges: ip6-local, ip6-forward or ip6-rpf, icmp6-error, drop.
func (w *Worker) ip6Lookup(v []uint16) {
	w.fib.Lookup6(w.dst6[:len(v)], w.ids[:len(v)])
	groups := w.fib.Groups()
	local, forward := ip6Local, ip6Forward
	if w.dev.Settings.RPFilter != setting.RPFilterOff {
		local, forward = ip6RPF, ip6RPF
	}
	next := &w.vectors[forward]
	n := next.n
	for k, i := range v {
		id := w.ids[uint(k)%vectorSize]
		if id != fib.None {
			hop := w.pick(groups.Of(id), &w.packets[i%vectorSize], true)
			w.hops[i%vectorSize] = hop
			if hop.Kind == fib.Unicast {
				next.idx[n%vectorSize] = i
				n++
				continue
			}
			next.n = n
			w.sort6(i, hop, local, forward)
			n = next.n
			continue
		}
		w.toError(icmp6Error, i, counters.NoRoute, header.ICMPv6NoRoute)
	}
	next.n = n
}

// sort6 puts a packet on the edge that its route says; local and forward are where it goes if the router takes it.
func (w *Worker) sort6(i uint16, hop *fib.NextHop, local, forward NodeID) {
	switch hop.Kind {
	case fib.Unicast, fib.Netns:
		w.to(forward, i)
	case fib.Local, fib.Anycast:
		w.to(local, i)
	case fib.Blackhole:
		w.toDrop(i, counters.RouteBlackhole)
	case fib.Prohibit:
		w.toError(icmp6Error, i, counters.RouteProhibit, header.ICMPv6AdminProhibited)
	case fib.Unreachable:
		w.toError(icmp6Error, i, counters.RouteUnreachable, w.rejectCode())
	default:
		w.toError(icmp6Error, i, counters.NoRoute, header.ICMPv6NoRoute)
	}
}

// rejectCode is what an unreachable route answers with: "no route" as Linux (net/ipv6/route.c, ip6_pkt_discard), or
// "reject route to destination" (RFC 4443 3.1) where the RFC's rules are asked for.
func (w *Worker) rejectCode() uint8 {
	if w.set.Martians == setting.MartiansRFC1812 {
		return header.ICMPv6RejectRoute
	}
	return header.ICMPv6NoRoute
}
