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
		case counters.TTLExpired, counters.ReassemblyTimeout:
			typ = header.ICMPTimeExceeded
		case counters.TooBig:
			rest = uint32(p.Detail)
		default:
		}
		to, source, flags := h.Source(), uint32(0), Own|WantSource
		if wasForUs(p.Reason) {
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

// wasForUs tells the errors about what was for the router itself: they come from the address that it was sent to.
func wasForUs(why reason) bool {
	switch why {
	case counters.NoListener, counters.UnknownProtocol, counters.BadFragment, counters.ReassemblyTimeout:
		return true
	}
	return false
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
