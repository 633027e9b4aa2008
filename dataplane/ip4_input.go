package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// ip4Input makes the tests of RFC 1812 5.2.2 in their order, and refuses what is never forwarded.
//
// Edges: ip4-lookup, drop.
func (w *Worker) ip4Input(v []uint16) {
	w.samplePartialSum4(v[0])
	for _, i := range v {
		p := &w.packets[i]
		b := w.network(p)
		// (1) The link layer's length holds a least header.
		if len(b) < header.IPv4MinLen {
			w.toDrop(i, counters.IP4Truncated)
			continue
		}
		h := header.IPv4(b)
		// (3) version, (4) header length, before (2) the checksum, which needs the length.
		hl, total := h.HeaderLen(), h.TotalLen()
		if h.Version() != 4 || hl < header.IPv4MinLen || total < hl {
			w.toDrop(i, counters.IP4BadHeader)
			continue
		}
		// (5) total length; what is behind it is padding of the link layer.
		if total > len(b) || hl > len(b) {
			w.toDrop(i, counters.IP4Truncated)
			continue
		}
		if !h.ChecksumOK() {
			w.toDrop(i, counters.IP4BadChecksum)
			continue
		}
		p.Len = uint32(header.EthernetLen + total)
		if bad4Source(h.Source()) {
			w.toDrop(i, counters.IP4BadSource)
			continue
		}
		dst := h.Destination()
		switch {
		case dst>>28 == 0xe, dst == 1<<32-1, dst>>24 == 127, dst == 0:
			// Multicast, limited broadcast, loopback and "this host" stay on their link or host (RFC 1812 5.3.5,
			// 5.3.7).
			w.toDrop(i, counters.IP4Multicast)
		case p.Flags&Group != 0:
			w.toDrop(i, counters.LinkLayerBroadcast)
		case hl > header.IPv4MinLen && hasSourceRoute(b[header.IPv4MinLen:hl]):
			w.toDrop(i, counters.IP4SourceRoute)
		default:
			w.to(ip4Lookup, i)
		}
	}
}

// bad4Source tells the source addresses that Linux refuses to forward (net/ipv4/route.c, ip_route_input_slow):
// multicast, limited broadcast, loopback, and the unspecified address.
func bad4Source(a uint32) bool {
	return a>>28 == 0xe || a == 1<<32-1 || a>>24 == 127 || a == 0
}

// hasSourceRoute walks IPv4 options (RFC 791 3.1) for loose or strict source routes.
func hasSourceRoute(o []byte) bool {
	for len(o) > 0 {
		switch o[0] {
		case 0: // end of options
			return false
		case 1: // no operation
			o = o[1:]
			continue
		case 131, 137:
			return true
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return false
		}
		o = o[o[1]:]
	}
	return false
}

// samplePartialSum4 looks at one TCP or UDP packet of the batch: is its checksum only the sum over the pseudo-header?
// Then the sender left the rest to hardware that a veth does not have: "ping works and TCP does not" (DESIGN.md;
// ethtool -K PEER tx off).
func (w *Worker) samplePartialSum4(i uint16) {
	h := header.IPv4(w.network(&w.packets[i]))
	if len(h) < header.IPv4MinLen+8 || h[0] != 0x45 || h.TotalLen() > len(h) || h.IsFragment() {
		return
	}
	t := h[header.IPv4MinLen:]
	var sum uint16
	switch {
	case h.Protocol() == header.ProtoTCP && len(t) >= 20:
		sum = uint16(t[16])<<8 | uint16(t[17])
	case h.Protocol() == header.ProtoUDP:
		sum = uint16(t[6])<<8 | uint16(t[7])
	default:
		return
	}
	if sum != 0 && sum == header.Fold(header.PseudoSum4(h, h.TotalLen()-header.IPv4MinLen)) {
		w.slot.PartialSum.Add(1)
	}
}

// ip4Lookup asks the FIB for the whole batch and sorts by what the routes say.
//
// Edges: ip4-local, ip4-forward or ip4-rpf, icmp4-error, drop.
func (w *Worker) ip4Lookup(v []uint16) {
	for k, i := range v {
		w.dst4[k] = header.IPv4(w.network(&w.packets[i])).Destination()
	}
	w.fib.Lookup4(w.dst4[:len(v)], w.ids[:len(v)])
	groups := w.fib.Groups()
	local, forward := ip4Local, ip4Forward
	if w.dev.Settings.RPFilter != setting.RPFilterOff {
		local, forward = ip4RPF, ip4RPF
	}
	for k, i := range v {
		id := w.ids[k]
		if id == fib.None {
			w.toError(icmp4Error, i, counters.NoRoute, header.ICMPNetUnreachable)
			continue
		}
		hop := w.pick(groups.Of(id), &w.packets[i], false)
		w.hops[i] = hop
		switch hop.Kind {
		case fib.Unicast:
			w.to(forward, i)
		case fib.Local:
			w.to(local, i)
		case fib.Broadcast, fib.Anycast:
			w.toDrop(i, counters.IP4Multicast)
		case fib.Blackhole:
			w.toDrop(i, counters.RouteBlackhole)
		case fib.Prohibit:
			w.toError(icmp4Error, i, counters.RouteProhibit, header.ICMPAdminProhibited)
		case fib.Unreachable:
			w.toError(icmp4Error, i, counters.RouteUnreachable, header.ICMPHostUnreachable)
		default:
			w.toError(icmp4Error, i, counters.NoRoute, header.ICMPNetUnreachable)
		}
	}
}
