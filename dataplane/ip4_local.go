package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// ownTTL is the TTL and hop limit of the router's own packets.
const ownTTL = 64

// ip4Local takes what is for the router itself: it answers echo requests, and says that nothing else listens.
//
// Edges: ip4-reassemble, ip4-output, icmp4-error, drop.
func (w *Worker) ip4Local(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		if h.IsFragment() {
			w.to(ip4Reassemble, i)
			continue
		}
		w.local4(i, p, h)
	}
}

// local4 sorts by protocol. h is the whole datagram: packet i has only the beginning of one that is larger than a frame.
func (w *Worker) local4(i uint16, p *Packet, h header.IPv4) {
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
	if len(h) > len(w.network(p)) {
		w.sendLarge4(i, p, reply)
		return
	}
	moved := uint64(hl - header.IPv4MinLen)
	*p = Packet{Addr: p.Addr + moved, Len: p.Len - uint32(moved), Flags: Own}
	w.ethernet(p).SetType(header.TypeIPv4)
	w.to(ip4Output, i)
}
