package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

const (
	// frame0 is where the router begins a packet of its own in a frame: as far in as the kernel does.
	frame0 = frame.Headroom
	// maxError4 is how long an ICMP error is at most (RFC 1812 4.3.2.3), bytes of IPv4.
	maxError4 = 576
	// precedence is "internetwork control" (RFC 1812 4.3.2.5).
	precedence = 0xc0
)

// icmp4Error counts a packet as dropped and, where RFC 1812 4.3.2.7 allows it, turns it into the error about itself, in
// its own frame: the quoted packet stays where it is, and new headers go in front.
//
// Edges: ip4-output, drop.
func (w *Worker) icmp4Error(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		const grow = header.IPv4MinLen + header.ICMPLen
		if p.Addr%frame.Size < grow || !mayError4(p, h) {
			w.toDrop(i, p.Reason)
			continue
		}
		if !w.allow(errorPurse) {
			w.toDrop(i, p.Reason)
			continue
		}
		w.slot.Drops[p.Reason].Add(1)
		typ, rest := uint8(header.ICMPUnreachable), uint32(0)
		switch p.Reason {
		case counters.TTLExpired:
			typ = header.ICMPTimeExceeded
		case counters.TooBig:
			rest = uint32(p.Detail)
		default:
		}
		to, source, flags := h.Source(), uint32(0), Own|WantSource
		if p.Reason == counters.NoListener || p.Reason == counters.UnknownProtocol {
			source, flags = h.Destination(), Own
		}
		tos := h.TOS()&0x1e | precedence
		code := p.Code
		quoted := min(h.TotalLen(), maxError4-grow)
		*p = Packet{Addr: p.Addr - grow, Len: uint32(header.EthernetLen + grow + quoted), Flags: flags}
		e := header.IPv4(w.network(p))
		m := header.ICMP(e[header.IPv4MinLen:])
		m.Set(typ, code, rest)
		m.SetChecksum(^header.Fold(header.Sum(0, m)))
		w.ipID++
		header.SetIPv4(e, tos, grow+quoted, w.ipID, ownTTL, header.ProtoICMP, source, to)
		w.ethernet(p).SetType(header.TypeIPv4)
		w.to(ip4Output, i)
	}
}

// mayError4 is RFC 1812 4.3.2.7: no error about an ICMP error, a later fragment, a broadcast or multicast on either
// layer, or a source that is not one host. ip4-input has refused bad headers, sources and destinations already.
func mayError4(p *Packet, h header.IPv4) bool {
	if p.Flags&(Own|Group) != 0 || h.FragmentOffset() != 0 {
		return false
	}
	if h.Protocol() != header.ProtoICMP {
		return true
	}
	m := header.ICMP(h[h.HeaderLen():])
	return len(m) >= 1 && !m.IsError()
}

// icmp6Error is icmp4Error after RFC 4443 2.4.
//
// Edges: ip6-output, drop.
func (w *Worker) icmp6Error(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		const grow = header.IPv6HeaderLen + header.ICMPLen
		if p.Addr%frame.Size < grow || !mayError6(p, h) || !w.allow(errorPurse) {
			w.toDrop(i, p.Reason)
			continue
		}
		w.slot.Drops[p.Reason].Add(1)
		typ, rest := uint8(header.ICMPv6Unreachable), uint32(0)
		switch p.Reason {
		case counters.TTLExpired:
			typ = header.ICMPv6TimeExceeded
		case counters.TooBig:
			typ, rest = header.ICMPv6TooBig, uint32(p.Detail)
		case counters.UnknownProtocol:
			typ, rest = header.ICMPv6Parameter, uint32(p.Detail)
		default:
		}
		to, from, flags := addr6(h.Source()), addr6(h.Destination()), Own|WantSource
		if p.Reason == counters.NoListener || p.Reason == counters.UnknownProtocol {
			flags = Own
		}
		code := p.Code
		quoted := min(len(h), header.IPv6MinMTU-grow)
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
// big"), or a source that is not one host.
func mayError6(p *Packet, h header.IPv6) bool {
	src := addr6(h.Source())
	if p.Flags&Own != 0 || src == (fib.Addr{}) || isMulticast6(src) {
		return false
	}
	if p.Reason != counters.TooBig && (p.Flags&Group != 0 || isMulticast6(addr6(h.Destination()))) {
		return false
	}
	protocol, offset, fragment, ok := h.Transport()
	if !ok || fragment {
		return ok
	}
	if protocol != header.ProtoICMPv6 {
		return true
	}
	end := header.IPv6HeaderLen + h.PayloadLen()
	return offset < end && h[offset] >= 128 && h[offset] != header.ICMPv6Redirect
}
