package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// ndInput answers neighbour solicitations, learns from solicitations and advertisements (RFC 4861 7.1, 7.2), and tells
// the control plane of router solicitations.
// ip6-local has verified the checksum. The owner of the device does that, since it writes the device's neighbours.
//
// Edges: drop.
func (w *Worker) ndInput(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		if !w.isMine(i, w.dev.Owner, ndInput) {
			continue
		}
		h := header.IPv6(w.network(p))
		n := header.ND(h.Payload())
		// RFC 4861 6.1.1, 7.1: from this link (hop limit 255), code 0, whole, and for a unicast target.
		if h.NextHeader() != header.ProtoICMPv6 || h.HopLimit() != 255 || header.ICMP(n).Code() != 0 {
			w.toDrop(i, counters.BadICMP)
			continue
		}
		if header.ICMP(n).Type() == header.ICMPv6RouterSolicit {
			w.count(counters.ICMP6RouterSolicit)
			if !w.routerSolicitation(p, h, header.ICMP(n)) {
				w.toDrop(i, counters.BadICMP)
			}
			continue
		}
		if len(n) < header.NDLen || isMulticast6(addr6(n.Target())) || addr6(n.Target()).Is4() {
			w.toDrop(i, counters.BadICMP)
			continue
		}
		solicit := header.ICMP(n).Type() == header.ICMPv6NeighborSolicit
		if solicit {
			w.count(counters.ICMP6NeighborSolicit)
		} else {
			w.count(counters.ICMP6NeighborAdvert)
		}
		switch {
		case solicit && w.solicitation(p, h, n): // which has spent the packet
		case !solicit && w.advertisement(p, h, n):
		default:
			w.toDrop(i, counters.BadICMP)
		}
	}
}

// end frees a packet that was for the router itself.
func (w *Worker) end(p *Packet) {
	w.slot.Delivered.Add(1)
	w.free(p)
}

// solicitation learns the sender and answers where the target is ours (RFC 4861 7.2.3, 7.2.4). False where the message
// is invalid; else the packet is spent.
func (w *Worker) solicitation(p *Packet, h header.IPv6, n header.ND) bool {
	src, target := addr6(h.Source()), addr6(n.Target())
	mac, found, ok := n.LinkLayer(header.NDSourceLinkLayer)
	probing := src == fib.Addr{} // duplicate address detection (RFC 4862 5.4.3)
	if !ok || probing && (found || addr6(h.Destination()) != solicitedNode(target)) || found && !w.stationMAC(mac) {
		return false
	}
	if probe := probeOf(w.dev, target); probe != nil {
		w.solicitedTrial(probe, p, h, n)
		w.end(p)
		return true
	}
	if hasAddr(w.dev, src) && w.stationMAC(w.ethernet(p).Source()) {
		w.conflict(src, w.ethernet(p).Source())
		w.discard(p, counters.AddressConflict)
		return true
	}
	anycast := isAnycast(w.dev, target)
	if !anycast && !hasAddr(w.dev, target) {
		w.end(p)
		return true
	}
	if !found {
		mac = w.ethernet(p).Source()
	}
	if !probing {
		w.learnSolicitor(src, mac, found)
	}
	if !w.allow(neighborPurse) {
		w.discard(p, counters.RateLimited)
		return true
	}
	w.slot.Delivered.Add(1)
	to, flags := src, uint32(header.NDRouter|header.NDOverride|header.NDSolicited)
	if probing {
		to, mac, flags = allNodes, groupMAC(allNodes), header.NDRouter|header.NDOverride
	}
	if anycast { // others may answer as well (RFC 4861 7.2.7)
		flags &^= header.NDOverride
	}
	w.sendAdvertisement(w.dev, p.Addr, to, mac, target, flags)
	return true
}

// learnSolicitor makes or updates the neighbour that asks for us.
func (w *Worker) learnSolicitor(src fib.Addr, mac uint64, option bool) {
	e := w.dev.Neighbors.Lookup(src)
	if e == nil {
		if !option || !w.onLink(src) {
			return
		}
		if e = w.newNeighbor(w.dev, src); e == nil {
			return
		}
	}
	if option {
		w.update(e, w.dev, mac, neigh.Stale, override)
	}
}

// stationMAC tells whether another station can have a MAC address.
func (w *Worker) stationMAC(mac uint64) bool {
	return !header.IsGroup(mac) && mac != 0 && mac != header.MAC(w.dev.MAC)
}

// advertisement updates a known neighbour after RFC 4861 7.2.5, and spends the packet. False where the message is invalid
// (7.1.2). One for an address of the router itself is a conflict; it does not become a neighbour (ndisc_recv_na of the
// kernel).
func (w *Worker) advertisement(p *Packet, h header.IPv6, n header.ND) bool {
	mac, found, ok := n.LinkLayer(header.NDTargetLinkLayer)
	flags := n.Flags()
	solicited := flags&header.NDSolicited != 0
	if !ok || found && !w.stationMAC(mac) || solicited && isMulticast6(addr6(h.Destination())) {
		return false
	}
	target := addr6(n.Target())
	if probe := probeOf(w.dev, target); probe != nil {
		if !found {
			mac = w.ethernet(p).Source()
		}
		w.claimed(probe, mac)
		w.end(p)
		return true
	}
	if hasAddr(w.dev, target) && w.stationMAC(w.ethernet(p).Source()) {
		w.conflict(target, w.ethernet(p).Source())
		w.discard(p, counters.AddressConflict)
		return true
	}
	// A failed entry is none (RFC 4861 7.3.3).
	if e := w.dev.Neighbors.Lookup(target); e != nil && e.State() != neigh.Failed {
		state, f := neigh.Stale, weakOverride|setRouter
		if solicited {
			state = neigh.Reachable
		}
		if flags&header.NDOverride != 0 {
			f |= override
		}
		if flags&header.NDRouter != 0 {
			f |= isRouter
		}
		if !found {
			mac = 0
		}
		w.update(e, w.dev, mac, state, f)
	}
	w.end(p)
	return true
}

// groupMAC is the Ethernet address of an IPv6 multicast group (RFC 2464 7).
func groupMAC(a fib.Addr) uint64 { return 0x3333<<32 | a.Lo&0xffffffff }

// sendAdvertisement sends an advertisement by a device, in the frame at addr.
func (w *Worker) sendAdvertisement(d *nstable.Device, addr uint64, to fib.Addr, mac uint64, target fib.Addr, flags uint32) {
	const length = header.NDLen + header.NDLinkLayerLen
	p := Packet{Addr: addr, Len: header.EthernetLen + header.IPv6HeaderLen + length, Out: d.ID, Flags: Own}
	source := target
	if isAnycast(d, target) { // which is no source (ndisc_send_na of the kernel)
		if a, ok := w.source6(d, to); ok {
			source = a
		}
	}
	n := w.newND(&p, d, source, to, mac)
	header.ICMP(n).Set(header.ICMPv6NeighborAdvert, 0, flags)
	n.SetTarget(target.Hi, target.Lo)
	n.SetLinkLayer(header.NDTargetLinkLayer, header.MAC(d.MAC))
	w.finishND(&p)
	w.countSent(d, counters.ICMP6AdvertSent)
	w.deliver(&p, d)
}

// countSent counts one for a device that the router sends by, whatever is being done.
func (w *Worker) countSent(d *nstable.Device, m counters.MIB) {
	if s := w.slotOf(d.ID); s != nil {
		s.MIB[m].Add(1)
	}
}

// sendSolicitation asks for target on a device: its solicited-node group, or the given MAC if it is not zero.
func (w *Worker) sendSolicitation(out *nstable.Device, target fib.Addr, to uint64) {
	source, ok := linkLocal6(out)
	if !ok {
		if source, ok = w.source6(out, target); !ok {
			return // no address to ask from; tried again a second later
		}
	}
	addr, ok := w.cache.Get()
	if !ok {
		return
	}
	const length = header.NDLen + header.NDLinkLayerLen
	p := Packet{Addr: addr + frame0, Len: header.EthernetLen + header.IPv6HeaderLen + length, Out: out.ID, Flags: Own}
	destination, mac := target, to
	if to == 0 {
		destination = solicitedNode(target)
		mac = groupMAC(destination)
	}
	n := w.newND(&p, out, source, destination, mac)
	header.ICMP(n).Set(header.ICMPv6NeighborSolicit, 0, 0)
	n.SetTarget(target.Hi, target.Lo)
	n.SetLinkLayer(header.NDSourceLinkLayer, header.MAC(out.MAC))
	w.finishND(&p)
	w.countSent(out, counters.ICMP6SolicitSent)
	w.deliver(&p, out)
}

// newND writes the Ethernet and IPv6 headers of a neighbour discovery message and returns its place.
func (w *Worker) newND(p *Packet, out *nstable.Device, source, destination fib.Addr, mac uint64) header.ND {
	e := w.ethernet(p)
	e.SetAddresses(mac, header.MAC(out.MAC))
	e.SetType(header.TypeIPv6)
	h := header.IPv6(w.network(p))
	header.SetIPv6(h, 0, len(h)-header.IPv6HeaderLen, header.ProtoICMPv6, 255)
	h.SetSource(source.Hi, source.Lo)
	h.SetDestination(destination.Hi, destination.Lo)
	return header.ND(h.Payload())
}

func (w *Worker) finishND(p *Packet) { setICMPv6Checksum(header.IPv6(w.network(p))) }

// setICMPv6Checksum computes the checksum of the ICMPv6 message behind a fixed header without extensions (RFC 4443
// 2.3).
func setICMPv6Checksum(h header.IPv6) {
	m := header.ICMP(h.Payload())
	m.SetChecksum(0)
	m.SetChecksum(^header.Fold(header.Sum(header.PseudoSum6(h, header.ProtoICMPv6, len(m)), m)))
}
