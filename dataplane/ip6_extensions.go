package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// ip6Extensions goes through the extension headers of a packet for the router itself, in their order, from the one of
// type next at offset at on; the byte at named says that it is there. whole tells that the packet was put together from
// fragments, and of which only what was behind the fragment header is looked at. ip6-input has looked at hop-by-hop options
// already; anywhere but right behind the fixed header they are no header known (RFC 8200 4.1).
func (w *Worker) ip6Extensions(i uint16, p *Packet, h header.IPv6, next byte, at, named int, whole bool) {
	for range header.MaxExtensions {
		good := true
		switch next {
		case header.ExtHopByHop:
			if named != nextHeaderField || whole {
				w.ip6Upper(i, p, h, next, at, named)
				return
			}
		case header.ExtRouting:
			good = w.ip6RoutingHeader(i, p, h, at)
		case header.ExtDestination:
			good = w.ip6Options(i, p, h, at, false)
		case header.ExtFragment:
			if good = w.ip6Atomic(i, p, h, at, whole); good {
				whole = true
			}
		default:
			w.ip6Upper(i, p, h, next, at, named)
			return
		}
		if !good {
			return
		}
		var ok bool
		named = at
		if next, at, ok = h.Extension(next, at); !ok {
			w.toDrop(i, counters.IP6BadHeader)
			return
		}
	}
	w.toDrop(i, counters.IP6Extensions)
}

// ip6Atomic lets a packet go on behind a fragment header which says that it is all there (RFC 6946). Of others it passes the
// fragment on to be put together. A second fragment header, and one that is cut off, is an error, as in Linux (ipv6_frag_rcv).
func (w *Worker) ip6Atomic(i uint16, p *Packet, h header.IPv6, at int, whole bool) bool {
	switch _, _, ok := h.Extension(header.ExtFragment, at); {
	case !ok, whole:
		p.Detail = uint16(at)
		w.toError(icmp6Error, i, counters.BadFragment, header.ICMPv6ErroneousField)
	case header.Fragment(h[at:]).Atomic():
		return true
	default:
		w.to(ip6Reassemble, i)
	}
	return false
}

// Routing types that the kernel knows, and follows only where it is told to.
const (
	routingMobile  = 2 // RFC 6275
	routingRPL     = 3 // RFC 6554
	routingSegment = 4 // RFC 8754
)

// ip6RoutingHeader follows no routing header, as Linux by default (accept_source_route, seg6_enabled, rpl_seg_enabled):
// one with no segments left is passed over, another is refused (RFC 8200 4.4), type 0 among them (RFC 5095 3). True where
// the packet goes on.
func (w *Worker) ip6RoutingHeader(i uint16, p *Packet, h header.IPv6, at int) bool {
	const typeField, segmentsField = 2, 3
	switch _, _, ok := h.Extension(header.ExtRouting, at); {
	case !ok:
		w.toDrop(i, counters.IP6BadHeader)
	case isMulticast6(addr6(h.Destination())) || p.Flags&Group != 0:
		w.toDrop(i, counters.IP6RoutingHeader)
	case h[at+typeField] >= routingMobile && h[at+typeField] <= routingSegment:
		w.toDrop(i, counters.IP6RoutingHeader) // known, and switched off: in silence
	case h[at+segmentsField] == 0:
		return true
	default:
		p.Detail = uint16(at + typeField)
		w.toError(icmp6Error, i, counters.IP6RoutingHeader, header.ICMPv6ErroneousField)
	}
	return false
}
