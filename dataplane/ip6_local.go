package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// ip6Local is ip4Local for IPv6; neighbour discovery goes its own way.
//
// Edges: ip6-reassemble, nd-input, ip6-output, icmp6-error, drop.
func (w *Worker) ip6Local(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		// A fragment that is the whole packet is none (RFC 6946).
		if at, _ := h.FragmentHeader(); at != 0 && !header.Fragment(h[at:]).Atomic() {
			w.to(ip6Reassemble, i)
			continue
		}
		w.local6(i, p, h)
	}
}

// local6 is local4 for IPv6.
func (w *Worker) local6(i uint16, p *Packet, h header.IPv6) {
	protocol, offset, fragment, ok := h.Transport()
	switch {
	case !ok, fragment: // a fragment of a fragment
		w.toDrop(i, counters.IP6BadHeader)
	case protocol == header.ProtoICMPv6:
		w.icmp6Local(i, p, h, offset)
	case protocol == header.ProtoUDP && !isMulticast6(addr6(h.Destination())):
		datagram := h[offset:]
		w.udpLocal(
			i,
			icmp6Error,
			header.ICMPv6PortUnreachable,
			datagram,
			header.PseudoSum6(h, protocol, len(datagram)),
		)
	case protocol == header.ProtoTCP || protocol == header.ProtoUDP || protocol == header.ProtoNone:
		w.toDrop(i, counters.NoListener)
	default:
		p.Detail = uint16(h.NextHeaderOffset(offset))
		w.toError(icmp6Error, i, counters.UnknownProtocol, header.ICMPv6UnrecognizedNextHeader)
	}
}

func (w *Worker) icmp6Local(i uint16, p *Packet, h header.IPv6, offset int) {
	m := header.ICMP(h[offset : header.IPv6HeaderLen+h.PayloadLen()])
	if len(m) < header.ICMPLen ||
		header.Fold(header.Sum(header.PseudoSum6(h, header.ProtoICMPv6, len(m)), m)) != 0xffff {
		w.toDrop(i, counters.BadICMP)
		return
	}
	switch m.Type() {
	case header.ICMPv6NeighborSolicit, header.ICMPv6NeighborAdvert, header.ICMPv6RouterSolicit:
		w.to(ndInput, i)
		return
	case header.ICMPv6EchoRequest:
	default:
		w.consume(i)
		return
	}
	if !w.allow(answerPurse) {
		w.toDrop(i, counters.RateLimited)
		return
	}
	w.slot.Delivered.Add(1)
	src, dst := addr6(h.Source()), addr6(h.Destination())
	// Extension headers are not sent back: the fixed header moves up to the message.
	moved := uint64(offset - header.IPv6HeaderLen)
	flags := Own
	if isMulticast6(dst) {
		flags |= WantSource
	}
	reply := h[moved:]
	header.SetIPv6(reply, 0, len(m), header.ProtoICMPv6, ownTTL)
	reply.SetSource(dst.Hi, dst.Lo)
	reply.SetDestination(src.Hi, src.Lo)
	m[0] = header.ICMPv6EchoReply
	if len(h) > len(w.network(p)) {
		w.sendLarge6(i, p, reply, flags)
		return
	}
	*p = Packet{Addr: p.Addr + moved, Len: p.Len - uint32(moved), Flags: flags}
	w.ethernet(p).SetType(header.TypeIPv6)
	w.to(ip6Output, i)
}
