package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip6Local is ip4Local for IPv6; neighbour discovery goes its own way. Extension headers are gone through in their order
// (RFC 8200 4.1), in ip6_extensions.go.
//
// Edges: ip6-reassemble, nd-input, ip6-output, icmp6-error, host-output, drop.
func (w *Worker) ip6Local(v []uint16) {
	w.slot.MIB[counters.IP6Local].Add(uint64(len(v)))
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.datagram(p))
		switch next := h.NextHeader(); next {
		case header.ExtHopByHop, header.ExtRouting, header.ExtFragment, header.ExtDestination:
			w.ip6Extensions(i, p, h, next, header.IPv6HeaderLen, nextHeaderField, false)
		default:
			w.ip6Upper(i, p, h, next, header.IPv6HeaderLen, nextHeaderField)
		}
	}
}

// nextHeaderField is where the fixed header names the header behind it.
const nextHeaderField = 6

// ip6Upper takes a packet for the router itself whose upper-layer header is at offset; the byte at named says of what
// protocol. h is the whole datagram, as in local4.
func (w *Worker) ip6Upper(i uint16, p *Packet, h header.IPv6, protocol byte, offset, named int) {
	switch {
	case protocol == header.ProtoICMPv6:
		w.icmp6Local(i, p, h, offset)
	case w.host != nil && w.isAll(p, h):
		w.to(hostOutput, i)
	case protocol == header.ProtoUDP:
		datagram := h[offset:]
		// IPv6 demands a checksum (RFC 8200 8.1), and nobody is told about a multicast.
		if len(datagram) < header.UDPLen || header.UDPChecksum(datagram) == 0 || isMulticast6(addr6(h.Destination())) {
			w.toDrop(i, counters.NoListener)
			return
		}
		w.udpLocal(i, icmp6Error, header.ICMPv6PortUnreachable, datagram, header.PseudoSum6(h, protocol, len(datagram)), len(h))
	case protocol == header.ProtoTCP, protocol == header.ProtoNone:
		w.toDrop(i, counters.NoListener)
	default:
		p.Detail = uint16(named)
		w.toError(icmp6Error, i, counters.UnknownProtocol, header.ICMPv6UnrecognizedNextHeader)
	}
}

func (w *Worker) icmp6Local(i uint16, p *Packet, h header.IPv6, offset int) {
	w.count(counters.ICMP6Received)
	m := header.ICMP(h[offset : header.IPv6HeaderLen+h.PayloadLen()])
	if len(m) < header.ICMPLen ||
		header.Fold(header.Sum(header.PseudoSum6(h, header.ProtoICMPv6, len(m)), m)) != 0xffff {
		w.count(counters.ICMP6Errors)
		w.toDrop(i, counters.BadICMP)
		return
	}
	switch m.Type() {
	case header.ICMPv6NeighborSolicit, header.ICMPv6NeighborAdvert, header.ICMPv6RouterSolicit:
		if p.Flags&Chained != 0 { // nobody has so many options to tell
			w.toDrop(i, counters.BadICMP)
			return
		}
		w.to(ndInput, i)
		return
	case header.ICMPv6EchoRequest:
		w.count(counters.ICMP6Echo)
	default:
		w.punt(i)
		return
	}
	if addr6(h.Source()) == (fib.Addr{}) { // which is no destination (RFC 4291 2.5.2)
		w.toDrop(i, counters.IP6BadSource)
		return
	}
	if !w.allow(echoPurse) {
		w.toDrop(i, counters.RateLimited)
		return
	}
	w.slot.Delivered.Add(1)
	w.count(counters.ICMP6EchoReply)
	src, dst, class := addr6(h.Source()), addr6(h.Destination()), h.TrafficClass()
	// Extension headers are not sent back: the fixed header moves up to the message.
	moved := uint64(offset - header.IPv6HeaderLen)
	flags := Own
	if isMulticast6(dst) || w.ownKind6(dst) == fib.Anycast { // nobody answers as a group (RFC 4443 4.2), nor does Linux as an anycast
		flags |= WantSource
	}
	reply := h[moved:]
	header.SetIPv6(reply, class, len(m), header.ProtoICMPv6, ownTTL)
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
