package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// ownTTL is the TTL and hop limit of the router's own packets.
const ownTTL = 64

// ip4Local takes what is for the router itself: it answers echo requests. The rest is for programs; where the device is not
// in Linux, there are none, and it says so.
//
// Edges: ip4-reassemble, ip4-output, icmp4-error, host-output, drop.
func (w *Worker) ip4Local(v []uint16) {
	w.slot.MIB[counters.IP4Local].Add(uint64(len(v)))
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.datagram(p))
		if h.IsFragment() {
			if w.host != nil {
				w.to(hostOutput, i) // what they are parts of may be for a program
			} else {
				w.to(ip4Reassemble, i)
			}
			continue
		}
		w.local4(i, p, h)
	}
}

// count counts one for the device that the batch came in by. It is not for the packets that are forwarded.
func (w *Worker) count(m counters.MIB) { w.slot.MIB[m].Add(1) }

// local4 sorts by protocol. h is the whole datagram, also where it is larger than the first piece of packet i, or larger than
// all of the packet, which has only the beginning of one that was put together.
func (w *Worker) local4(i uint16, p *Packet, h header.IPv4) {
	switch protocol := h.Protocol(); {
	case protocol == header.ProtoICMP:
		w.icmp4Local(i, p, h)
	case w.host != nil && w.isAll(p, h):
		w.to(hostOutput, i)
	case protocol == header.ProtoUDP:
		datagram := h[h.HeaderLen():]
		w.udpLocal(i, icmp4Error, header.ICMPPortUnreachable, datagram, header.PseudoSum4(h, len(datagram)), len(h))
	case protocol == header.ProtoTCP:
		w.toDrop(i, counters.NoListener)
	case protocol == header.ProtoIGMP:
		w.punt(i) // heard, as by every host, though the router is in no group
	default:
		w.toError(icmp4Error, i, counters.UnknownProtocol, header.ICMPProtUnreachable)
	}
}

// udpLocal says that nobody listens at the port, unless the datagram is damaged: then nobody knows whose it is. What is
// behind the length that its header says is none of it. pseudo is the sum over the pseudo-header for all of datagram, total
// the length of the whole packet, of which packet i may have only the beginning.
func (w *Worker) udpLocal(i uint16, next NodeID, code uint8, datagram []byte, pseudo uint64, total int) {
	const noChecksum = 0 // the sender made none (RFC 768)
	if len(datagram) < header.UDPLen {
		w.toDrop(i, counters.NoListener)
		return
	}
	n := header.UDPLength(datagram)
	if n < header.UDPLen || n > len(datagram) {
		w.toDrop(i, counters.NoListener)
		return
	}
	rest := len(datagram) - n
	if header.UDPChecksum(datagram) != noChecksum &&
		header.Fold(header.Sum(pseudo-uint64(rest), datagram[:n])) != 0xffff {
		w.toDrop(i, counters.NoListener)
		return
	}
	p := &w.packets[i]
	p.Len = min(p.Len, uint32(header.EthernetLen+total-rest))
	w.toError(next, i, counters.NoListener, code)
}

// icmp4Local turns an echo or timestamp request into its reply, in place (RFC 792, RFC 1812 4.3.3.6, 4.3.3.8), and takes
// in silence what else there is: nobody waits for it. As in Linux, the code of an echo request does not matter and comes
// back.
func (w *Worker) icmp4Local(i uint16, p *Packet, h header.IPv4) {
	w.count(counters.ICMP4Received)
	m := header.ICMP(h[h.HeaderLen():])
	if len(m) < header.ICMPLen || header.Fold(header.Sum(0, m)) != 0xffff {
		w.count(counters.ICMP4Errors)
		w.toDrop(i, counters.BadICMP)
		return
	}
	switch {
	case m.Type() == header.ICMPEchoRequest:
		w.count(counters.ICMP4Echo)
	case m.Type() == header.ICMPTimestamp && len(m) >= header.ICMPLen+4:
	default:
		w.punt(i)
		return
	}
	var reply [header.IPv4MaxOptions]byte
	options, to := 0, h.Source()
	if p.Flags&Optioned != 0 {
		if options, to = w.answerOptions(&w.options[i], h, &reply); options < 0 {
			w.toDrop(i, counters.IP4BadOption)
			return
		}
	}
	if !w.allow(echoPurse) {
		w.toDrop(i, counters.RateLimited)
		return
	}
	w.slot.Delivered.Add(1)
	if m.Type() == header.ICMPEchoRequest {
		w.count(counters.ICMP4EchoReply)
	} else {
		w.count(counters.ICMP4TimestampReply)
	}
	if len(h) > len(w.network(p)) && m.Type() == header.ICMPEchoRequest {
		w.echoLarge4(i, p, h)
		return
	}
	w.answer4(p, h, reply[:options], to)
	w.to(ip4Output, i)
}

// answer4 makes the reply of echo or timestamp request p, with header h, in place. Its own header is as long as its
// options need; the message stays where it is.
func (w *Worker) answer4(p *Packet, h header.IPv4, options []byte, to uint32) {
	w.cutRest(p) // of a timestamp request; an echo request is no longer than its piece
	source, tos := h.Destination(), h.TOS()
	m := header.ICMP(h[h.HeaderLen():])
	if m.Type() == header.ICMPEchoRequest {
		m[0] = header.ICMPEchoReply
		m.SetChecksum(header.UpdateSum16(m.Checksum(), header.ICMPEchoRequest<<8, header.ICMPEchoReply<<8))
	} else {
		at := p.Addr + header.EthernetLen + uint64(h.HeaderLen())
		m = header.ICMP(w.mem[at : at+header.ICMPTimestampLen])
		m[0], m[1] = header.ICMPTimestampReply, 0
		m.SetTimestamps(w.dayTime(), w.dayTime())
		m.SetChecksum(0)
		m.SetChecksum(^header.Fold(header.Sum(0, m)))
	}
	moved := uint64(h.HeaderLen() - header.IPv4MinLen - len(options))
	total := header.IPv4MinLen + len(options) + len(m)
	*p = Packet{
		Addr: p.Addr + moved, Len: uint32(header.EthernetLen + total), Flags: p.Flags&Optioned | Own,
		Crossings: p.Crossings,
	}
	reply := header.IPv4(w.network(p))
	w.ipID++
	header.SetIPv4(reply, tos, total, w.ipID, ownTTL, header.ProtoICMP, source, to)
	reply.SetOptions(options)
	w.ethernet(p).SetType(header.TypeIPv4)
}
