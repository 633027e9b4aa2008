package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// ownTTL is the TTL and hop limit of the router's own packets.
const ownTTL = 64

// ip4Local takes what is for the router itself: it answers echo requests, and says that nothing else listens.
//
// Edges: ip4-output, icmp4-error, drop.
func (w *Worker) ip4Local(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		if h.IsFragment() {
			w.toDrop(i, counters.LocalFragment)
			continue
		}
		switch h.Protocol() {
		case header.ProtoICMP:
			w.icmp4Local(i, p, h)
		case header.ProtoUDP:
			w.udpLocal(
				i,
				icmp4Error,
				header.ICMPPortUnreachable,
				h[h.HeaderLen():],
				header.PseudoSum4(h, h.TotalLen()-h.HeaderLen()),
			)
		case header.ProtoTCP:
			w.toDrop(i, counters.NoListener)
		default:
			w.toError(icmp4Error, i, counters.UnknownProtocol, header.ICMPProtUnreachable)
		}
	}
}

// udpLocal says that nobody listens at the port, unless the datagram is damaged: then nobody knows whose it is.
func (w *Worker) udpLocal(i uint16, next NodeID, code uint8, datagram []byte, pseudo uint64) {
	const noChecksum = 0 // the sender made none (RFC 768)
	if len(datagram) < header.UDPLen ||
		header.UDPChecksum(datagram) != noChecksum && header.Fold(header.Sum(pseudo, datagram)) != 0xffff {
		w.toDrop(i, counters.NoListener)
		return
	}
	w.toError(next, i, counters.NoListener, code)
}

// icmp4Local turns an echo request into its reply, in place (RFC 792, RFC 1812 4.3.3.6), and takes in silence what else
// there is: nobody waits for it.
func (w *Worker) icmp4Local(i uint16, p *Packet, h header.IPv4) {
	hl := h.HeaderLen()
	m := header.ICMP(h[hl:])
	if len(m) < header.ICMPLen || header.Fold(header.Sum(0, m)) != 0xffff {
		w.toDrop(i, counters.BadICMP)
		return
	}
	if m.Type() != header.ICMPEchoRequest || m.Code() != 0 {
		w.consume(i)
		return
	}
	if !w.allow(answerPurse) {
		w.toDrop(i, counters.RateLimited)
		return
	}
	w.slot.Delivered.Add(1)
	m[0] = header.ICMPEchoReply
	m.SetChecksum(header.UpdateSum16(m.Checksum(), header.ICMPEchoRequest<<8, header.ICMPEchoReply<<8))
	src, dst := h.Source(), h.Destination()
	tos := h.TOS()
	// Options are not sent back: the reply's header is a plain one, moved up to the message.
	reply := h[hl-header.IPv4MinLen:]
	w.ipID++
	header.SetIPv4(reply, tos, header.IPv4MinLen+len(m), w.ipID, ownTTL, header.ProtoICMP, dst, src)
	moved := uint64(hl - header.IPv4MinLen)
	*p = Packet{Addr: p.Addr + moved, Len: p.Len - uint32(moved), Flags: Own}
	w.ethernet(p).SetType(header.TypeIPv4)
	w.to(ip4Output, i)
}

// ip6Local is ip4Local for IPv6; neighbour discovery goes its own way.
//
// Edges: nd-input, ip6-output, icmp6-error, drop.
func (w *Worker) ip6Local(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		protocol, offset, fragment, ok := h.Transport()
		switch {
		case !ok:
			w.toDrop(i, counters.IP6BadHeader)
		case fragment || h.NextHeader() == header.ExtFragment:
			w.toDrop(i, counters.LocalFragment)
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
}

func (w *Worker) icmp6Local(i uint16, p *Packet, h header.IPv6, offset int) {
	m := header.ICMP(h[offset : header.IPv6HeaderLen+h.PayloadLen()])
	if len(m) < header.ICMPLen ||
		header.Fold(header.Sum(header.PseudoSum6(h, header.ProtoICMPv6, len(m)), m)) != 0xffff {
		w.toDrop(i, counters.BadICMP)
		return
	}
	switch m.Type() {
	case header.ICMPv6NeighborSolicit, header.ICMPv6NeighborAdvert:
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
	*p = Packet{Addr: p.Addr + moved, Len: p.Len - uint32(moved), Flags: flags}
	reply := header.IPv6(w.network(p))
	header.SetIPv6(reply, 0, len(m), header.ProtoICMPv6, ownTTL)
	reply.SetSource(dst.Hi, dst.Lo)
	reply.SetDestination(src.Hi, src.Lo)
	w.ethernet(p).SetType(header.TypeIPv6)
	m[0] = header.ICMPv6EchoReply
	w.to(ip6Output, i)
}
