package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// icmp6Error is icmp4Error after RFC 4443 2.4.
//
// Edges: ip6-output, drop.
func (w *Worker) icmp6Error(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		const grow = header.IPv6HeaderLen + header.ICMPLen
		w.countReason(p.Reason, counters.IP6HeaderErrors, counters.IP6NoRoute, counters.IP6UnknownProtocol)
		if p.Addr%frame.Size < grow || !mayError6(p, h) || !w.allowError(p) {
			w.toDrop(i, p.Reason)
			continue
		}
		w.slot.Drops[p.Reason].Add(1)
		typ, rest, sent := uint8(header.ICMPv6Unreachable), uint32(0), counters.ICMP6Unreachable
		switch p.Reason {
		case counters.TTLExpired, counters.ReassemblyTimeout:
			typ, sent = header.ICMPv6TimeExceeded, counters.ICMP6TimeExceeded
		case counters.TooBig:
			typ, rest, sent = header.ICMPv6TooBig, uint32(p.Detail), counters.ICMP6PacketTooBig
			w.count(counters.IP6TooBig)
		case counters.UnknownProtocol, counters.IP6Option, counters.IP6Jumbo, counters.IP6RoutingHeader, counters.BadFragment:
			typ, rest, sent = header.ICMPv6Parameter, uint32(p.Detail), counters.ICMP6Parameter
		default:
		}
		w.count(sent)
		to, from, flags := addr6(h.Source()), addr6(h.Destination()), Own|WantSource
		if !isMulticast6(from) && w.isOwn6(from) {
			flags = Own // the address that the cause was sent to (RFC 4443 2.2)
		}
		code := p.Code
		quoted := min(len(h), header.IPv6MinMTU-grow)
		w.cutRest(p)
		*p = Packet{Addr: p.Addr - grow, Len: uint32(header.EthernetLen + grow + quoted), Flags: flags}
		e := header.IPv6(w.network(p))
		header.SetIPv6(e, 0, header.ICMPLen+quoted, header.ProtoICMPv6, ownTTL)
		e.SetSource(from.Hi, from.Lo)
		e.SetDestination(to.Hi, to.Lo)
		header.ICMP(e.Payload()).Set(typ, code, rest)
		w.ethernet(p).SetType(header.TypeIPv6)
		w.to(ip6Output, i)
	}
}

// mayError6 is RFC 4443 2.4(e): no error about an ICMPv6 error or redirect, a multicast on either layer (but for "too
// big", and an unknown option that demands it), or a source that is not one host. That an anycast source is none either
// is found by ip6-output, which has no route to send to one.
func mayError6(p *Packet, h header.IPv6) bool {
	src := addr6(h.Source())
	if p.Flags&Own != 0 || src == (fib.Addr{}) || isMulticast6(src) {
		return false
	}
	if p.Flags&Group != 0 || isMulticast6(addr6(h.Destination())) {
		option := p.Reason == counters.IP6Option && int(p.Detail) < len(h) && h[p.Detail]&header.OptActionMask == header.OptReport
		if p.Reason != counters.TooBig && !option {
			return false
		}
	}
	protocol, offset, fragment, ok := h.Transport()
	if fragment || protocol != header.ProtoICMPv6 {
		return true // as far as can be seen it is no ICMPv6
	}
	// It is, but where the header is not here nobody knows of which type, unless it comes with a later fragment (net/ipv6/
	// icmp.c, is_ineligible).
	if !ok || offset >= min(header.IPv6HeaderLen+h.PayloadLen(), len(h)) {
		return h.MoreFragments()
	}
	return h[offset] >= 128 && h[offset] != header.ICMPv6Redirect
}
