package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// ip6Reassemble puts together what comes in fragments for the router itself (RFC 8200 4.5, RFC 5722), and goes on with it
// as ip6-local does.
//
// Edges: ip6-output, icmp6-error, drop.
func (w *Worker) ip6Reassemble(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		at, _ := h.FragmentHeader()
		if at == 0 { // it is not in the first piece
			w.toDrop(i, counters.IP6Extensions)
			continue
		}
		fh := header.Fragment(h[at:])
		key := fragmentKey{source: addr6(h.Source()), destination: addr6(h.Destination()), ns: w.ns.ID, id: fh.ID()}
		if isLinkLocal(key.destination) || isMulticast6(key.destination) {
			key.device = w.dev.ID
		}
		if !w.isMine(i, w.fragmentOwner(&key), ip6Reassemble) {
			continue
		}
		if !w.allow(puntPurse) {
			w.toDrop(i, counters.RateLimited)
			continue
		}
		w.count(counters.IP6ReassemblyRequests)
		f := fragment{
			offset: fh.Offset(), size: header.IPv6HeaderLen + h.PayloadLen() - at - header.FragmentLen,
			data: at + header.FragmentLen, more: fh.More(),
			ecn: h.TrafficClass() & 3,
		}
		if code, pointer, bad := badFragment6(h, &f, at); bad {
			p.Detail = uint16(pointer)
			w.toError(icmp6Error, i, counters.BadFragment, code)
			continue
		}
		if d := w.gather(i, &key, &f); d != nil {
			w.count(counters.IP6Reassembled)
			w.whole6(i, d)
		}
	}
}

// badFragment6 tells what is answered with a parameter problem (RFC 8200 4.5), in the order of Linux: a first fragment that
// ends within the upper layer's header, one that reaches beyond the longest payload, one before the last whose length is
// no multiple of 8.
func badFragment6(h header.IPv6, f *fragment, at int) (code uint8, pointer int, bad bool) {
	const payloadLen, offsetField = 4, 2
	if f.offset == 0 {
		if protocol, upper, _, ok := h.Transport(); ok && upper+leastUpper(protocol) > len(h) {
			return header.ICMPv6IncompleteChain, 0, true
		}
	}
	switch {
	case f.offset+f.size > maxDatagram:
		return header.ICMPv6ErroneousField, at + offsetField, true
	case f.more && f.size%unit != 0:
		return header.ICMPv6ErroneousField, payloadLen, true
	}
	return 0, 0, false
}

// leastUpper is how much of an upper layer's header the first fragment must have, in bytes (Linux,
// ipv6frag_thdr_truncated).
func leastUpper(protocol uint8) int {
	switch protocol {
	case header.ProtoTCP:
		return header.TCPLen
	case header.ProtoUDP:
		return header.UDPLen
	case header.ProtoICMPv6:
		return header.ICMPLen
	case header.ProtoNone:
		return 0
	}
	return 1
}

// whole6 goes on with a complete datagram, whose last fragment was packet i.
func (w *Worker) whole6(i uint16, d *assembly) {
	first := header.IPv6(w.network(&w.reassembly.parts[d.first].Packet))
	at, before := first.FragmentHeader()
	ecn, ok := congestion(d.ecn)
	if !ok || at-header.IPv6HeaderLen+d.length > maxDatagram {
		w.refuse(i, d)
		return
	}
	next := header.Fragment(first[at:]).NextHeader()
	h := header.IPv6(w.join(i, d, at))
	h[before] = next
	h.SetPayloadLen(len(h) - header.IPv6HeaderLen)
	h.SetTrafficClass(h.TrafficClass() | ecn)
	p := &w.packets[i]
	copy(w.network(p), h[:at])
	protocol, upper, _, ok := h.Transport()
	switch large := len(h) > len(w.network(p)); {
	case large && (!ok || upper+header.ICMPLen > len(w.network(p))):
		w.toDrop(i, counters.BadFragment) // an error could not quote the header it is about
	case ok && protocol == header.ProtoICMPv6 && isDiscovery(header.ICMP(h[upper:])):
		w.toDrop(i, counters.BadICMP) // RFC 6980
	default:
		w.ip6Extensions(i, p, h, next, at, before, true)
	}
}

// isDiscovery tells the messages of neighbour discovery, which must not come in fragments (RFC 6980 5).
func isDiscovery(m header.ICMP) bool {
	return len(m) > 0 && m.Type() >= header.ICMPv6RouterSolicit && m.Type() <= header.ICMPv6Redirect
}
