package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// ip4Input makes the tests of RFC 1812 5.2.2, and refuses what is never forwarded. Of nearly all packets it sees at one look,
// by three loads, that they pass; check4 looks at the others.
//
// Edges: ip4-lookup, ip4-options, host-output, drop.
func (w *Worker) ip4Input(v []uint16) {
	w.slot.MIB[counters.IP4Received].Add(uint64(len(v)))
	w.samplePartialSum4(v[0])
	own, strict := w.ns.OwnAddrs(), w.set.Martians == setting.MartiansRFC1812
	next := &w.vectors[ip4Lookup]
	n := next.n
	for _, i := range v {
		p := &w.packets[i%vectorSize]
		if p.Len >= header.EthernetLen+header.IPv4MinLen {
			h := header.Load4((*[header.IPv4MinLen]byte)(w.mem[p.Addr+header.EthernetLen:]))
			total := h.TotalLen()
			src, dst := h.Source(), h.Destination()
			if h.Plain() && total >= header.IPv4MinLen && total <= p.Len-header.EthernetLen && h.ChecksumOK() &&
				special4[src>>24]|special4[dst>>24] == 0 && !strict && !own.MayHave(src) {
				p.Len = header.EthernetLen + total
				w.dst4[n%vectorSize], next.idx[n%vectorSize] = dst, i
				n++
				continue
			}
		}
		next.n = n
		w.check4(i, own, strict)
		n = next.n
	}
	next.n = n
}

// check4 makes the tests of ip4-input one by one, in the order of RFC 1812 5.2.2.
func (w *Worker) check4(i uint16, own *nstable.OwnAddrs, strict bool) {
	p := &w.packets[i]
	b := w.network(p)
	// (1) The link layer's length holds a least header.
	if len(b) < header.IPv4MinLen {
		w.toDrop(i, counters.IP4Truncated)
		return
	}
	h := header.IPv4(b)
	// (3) version, (4) header length, before (2) the checksum, which needs the length.
	hl, total := h.HeaderLen(), h.TotalLen()
	if h.Version() != 4 || hl < header.IPv4MinLen || total < hl {
		w.toDrop(i, counters.IP4BadHeader)
		return
	}
	// (5) total length; what is behind it is padding of the link layer.
	switch {
	case total <= len(b):
		p.Len = uint32(header.EthernetLen + total)
	case !w.holds(p, total):
		w.toDrop(i, counters.IP4Truncated)
		return
	}
	if !h.ChecksumOK() {
		w.toDrop(i, counters.IP4BadChecksum)
		return
	}
	src, dst := h.Source(), h.Destination()
	switch {
	case bad4Source(src), bad4Destination(dst):
		w.stays4(i, src, dst)
	case strict && w.martian4(i, src, dst):
	case own.MayHave(src) && w.isLocal4(src):
		w.toDrop(i, counters.IP4OwnSource)
	case hl > header.IPv4MinLen:
		w.to(ip4Options, i)
	default:
		w.dst4[w.vectors[ip4Lookup].n] = dst
		w.to(ip4Lookup, i)
	}
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

// ip4Lookup asks the FIB for the whole batch, of which ip4-input has noted the destinations in order, and sorts by what the
// routes say.
//
// Edges: ip4-local, ip4-forward or ip4-rpf, icmp4-error, host-output, drop.
func (w *Worker) ip4Lookup(v []uint16) {
	w.fib.Lookup4(w.dst4[:len(v)], w.ids[:len(v)])
	groups := w.fib.Groups()
	local, forward := ip4Local, ip4Forward
	if w.dev.Settings.RPFilter != setting.RPFilterOff {
		local, forward = ip4RPF, ip4RPF
	}
	next := &w.vectors[forward]
	n := next.n
	for k, i := range v {
		id := w.ids[uint(k)%vectorSize]
		if id != fib.None {
			hop := w.pick(groups.Of(id), &w.packets[i%vectorSize], false)
			w.hops[i%vectorSize] = hop
			if hop.Kind == fib.Unicast {
				next.idx[n%vectorSize] = i
				n++
				continue
			}
			next.n = n
			w.sort4(i, hop, local, forward)
			n = next.n
			continue
		}
		w.toError(icmp4Error, i, counters.NoRoute, header.ICMPNetUnreachable)
	}
	next.n = n
}

// sort4 puts a packet on the edge that its route says; local and forward are where it goes if the router takes it.
func (w *Worker) sort4(i uint16, hop *fib.NextHop, local, forward NodeID) {
	p := &w.packets[i]
	switch hop.Kind {
	case fib.Unicast, fib.Netns:
		w.to(forward, i)
	case fib.Local:
		p.Flags |= Local
		w.to(local, i)
	case fib.Broadcast:
		// For us as well as for others on that link. To echo requests nobody answers, as in Linux
		// (icmp_echo_ignore_broadcasts). Forwarded only where it came in by a device that allows it (RFC 2644).
		switch {
		case w.dev.Settings.BroadcastForwarding:
			p.Flags |= Directed
			w.to(forward, i)
		case w.host != nil:
			w.to(hostOutput, i)
		default:
			w.toDrop(i, counters.IP4Multicast)
		}
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
