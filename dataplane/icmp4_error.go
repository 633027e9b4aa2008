package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
)

const (
	// frame0 is where the router begins a packet of its own in a frame: as far in as the kernel does.
	frame0 = frame.Headroom
	// maxError4 is how long an ICMP error is at most (RFC 1812 4.3.2.3), bytes of IPv4.
	maxError4 = 576
	// precedence is "internetwork control" (RFC 1812 4.3.2.5); tosMask keeps the four bits of RFC 1349 of the packet that
	// the error is about, as Linux does.
	precedence = 0xc0
	tosMask    = 0x1e
	// queries4 has a bit for each type of ICMP that is known to be no error: echo, timestamp, information and address mask,
	// requests and replies (icmp_pointers of the kernel's net/ipv4/icmp.c).
	queries4 = 1<<0 | 1<<8 | 1<<13 | 1<<14 | 1<<15 | 1<<16 | 1<<17 | 1<<18
)

// icmp4Error counts a packet as dropped and, where RFC 1812 4.3.2.7 allows it, turns it into the error about itself, in
// its own frame: the quoted packet stays where it is, and new headers go in front.
//
// Edges: ip4-output, drop.
func (w *Worker) icmp4Error(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		w.countReason(p.Reason, counters.IP4HeaderErrors, counters.IP4NoRoute, counters.IP4UnknownProtocol)
		if !mayError4(p, h) || !w.allowError(p) {
			w.toDrop(i, p.Reason)
			continue
		}
		why, local := p.Reason, p.Flags&Local != 0
		typ, rest := icmp4Type(p)
		if !w.makeError4(i, typ, p.Code, rest, local) {
			w.toDrop(i, why)
			continue
		}
		w.slot.Drops[why].Add(1)
		switch typ {
		case header.ICMPTimeExceeded:
			w.count(counters.ICMP4TimeExceeded)
		case header.ICMPParameter:
			w.count(counters.ICMP4Parameter)
		default:
			w.count(counters.ICMP4Unreachable)
		}
		w.to(ip4Output, i)
	}
}

// countReason counts what an error is due for, in the columns of its family.
func (w *Worker) countReason(why counters.Reason, headers, noRoute, protocol counters.MIB) {
	switch why {
	case counters.TTLExpired:
		w.count(headers)
	case counters.NoRoute:
		w.count(noRoute)
	case counters.UnknownProtocol:
		w.count(protocol)
	default:
	}
}

// neighborFailed4 answers packet i, which waited in vain for a neighbour, with host unreachable. What is known of its
// options is lost since it was forwarded: as in Linux they are walked again, and record this once more
// (ipv4_send_dest_unreach of net/ipv4/route.c).
func (w *Worker) neighborFailed4(i uint16) {
	p := &w.packets[i]
	if h := header.IPv4(w.network(p)); h.HeaderLen() > header.IPv4MinLen {
		w.options[i] = options4{}
		if w.walkOptions(&w.options[i], h, noRoute) != 0 {
			w.toDrop(i, counters.NeighborFailed)
			return
		}
		p.Flags |= Optioned
	}
	w.toError(icmp4Error, i, counters.NeighborFailed, header.ICMPHostUnreachable)
}

// icmp4Type is the type of the error about a packet, and the four bytes behind the checksum.
func icmp4Type(p *Packet) (typ uint8, rest uint32) {
	switch p.Reason {
	case counters.TTLExpired, counters.ReassemblyTimeout:
		return header.ICMPTimeExceeded, 0
	case counters.TooBig:
		return header.ICMPUnreachable, uint32(p.Detail)
	case counters.IP4BadOption:
		return header.ICMPParameter, uint32(p.Detail) << 24
	}
	return header.ICMPUnreachable, 0
}

// makeError4 turns packet i into an ICMP error about itself, from the address that it was sent to if that is the
// router's own, else from one of the device it leaves by (RFC 1812 4.3.2.4). False, with the packet as it was, where
// that is impossible.
func (w *Worker) makeError4(i uint16, typ, code uint8, rest uint32, local bool) bool {
	p := &w.packets[i]
	h := header.IPv4(w.network(p))
	var reply [header.IPv4MaxOptions]byte
	options, to := 0, h.Source()
	if p.Flags&Optioned != 0 {
		if options, to = w.answerOptions(&w.options[i], h, &reply); options < 0 {
			return false
		}
	}
	grow := header.IPv4MinLen + options + header.ICMPLen
	if p.Addr%frame.Size < uint64(grow) {
		return false
	}
	flags, source := p.Flags&Optioned|Own|WantSource, uint32(0)
	if local {
		flags, source = flags&^WantSource, h.Destination()
	}
	tos := h.TOS()&tosMask | precedence
	quoted := min(len(h), maxError4-grow)
	w.cutRest(p)
	*p = Packet{Addr: p.Addr - uint64(grow), Len: uint32(header.EthernetLen + grow + quoted), Flags: flags}
	e := header.IPv4(w.network(p))
	m := header.ICMP(e[header.IPv4MinLen+options:])
	m.Set(typ, code, rest)
	m.SetChecksum(^header.Fold(header.Sum(0, m)))
	w.ipID++
	header.SetIPv4(e, tos, grow+quoted, w.ipID, ownTTL, header.ProtoICMP, source, to)
	e.SetOptions(reply[:options])
	w.ethernet(p).SetType(header.TypeIPv4)
	return true
}

// mayError4 is RFC 1812 4.3.2.7: no error about an ICMP error, a later fragment, a broadcast or multicast on either
// layer, or a source that is not one host. ip4-input has refused bad headers, sources and destinations already. An ICMP
// message that is not known to be none counts as an error (__icmp_send of net/ipv4/icmp.c).
func mayError4(p *Packet, h header.IPv4) bool {
	if p.Flags&(Own|Group|Directed) != 0 || h.FragmentOffset() != 0 {
		return false
	}
	if h.Protocol() != header.ProtoICMP {
		return true
	}
	m := header.ICMP(h[h.HeaderLen():])
	return len(m) >= 1 && queries4>>m.Type()&1 != 0
}

// isError4 tells an own packet that is an ICMP error.
func isError4(h header.IPv4) bool {
	return h.Protocol() == header.ProtoICMP && header.ICMP(h[h.HeaderLen():]).IsError()
}

// fitError4 shortens the quotation of an ICMP error to what an MTU has room for. False where nothing worth sending is
// left.
func fitError4(p *Packet, h header.IPv4, mtu uint32) bool {
	hl := h.HeaderLen()
	if int(mtu) <= hl+header.ICMPLen+header.IPv4MinLen {
		return false
	}
	h.SetTotalLen(int(mtu))
	m := header.ICMP(h[hl:mtu])
	m.SetChecksum(0)
	m.SetChecksum(^header.Fold(header.Sum(0, m)))
	p.Len = header.EthernetLen + mtu
	return true
}
