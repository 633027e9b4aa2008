package dataplane

import (
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// minFrame is the shortest Ethernet frame without FCS (IEEE 802.3 4.2.3.3), bytes.
const minFrame = 60

// arpInput answers requests for the router's addresses and learns from what it hears (RFC 826; net/ipv4/arp.c,
// arp_process). The owner of the device does that, since it writes the device's neighbours.
//
// Edges: drop.
func (w *Worker) arpInput(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		if !w.isMine(i, w.dev.Owner, arpInput) {
			continue
		}
		b := w.network(p)
		if len(b) < header.ARPLen || !header.ARP(b).Valid() {
			w.toDrop(i, counters.BadARP)
			continue
		}
		a := header.ARP(b)
		mac, sender, target := a.SenderMAC(), a.SenderIP(), a.TargetIP()
		if header.IsGroup(mac) || mac == 0 || bad4Sender(sender) || mac == header.MAC(w.dev.MAC) {
			w.toDrop(i, counters.BadARP)
			continue
		}
		if hasAddr(w.dev, fib.Addr4(sender)) {
			w.conflict(fib.Addr4(sender), mac)
			w.toDrop(i, counters.AddressConflict)
			continue
		}
		answer := a.Operation() == header.ARPRequest && target != sender &&
			(w.isLocal4(target) || sender != 0 && w.proxies(target))
		if sender != 0 {
			w.learnARP(a, answer, p.Flags&Group == 0)
		}
		if !answer {
			w.consume(i)
			continue
		}
		if !w.allow(neighborPurse) {
			w.toDrop(i, counters.RateLimited)
			continue
		}
		w.slot.Delivered.Add(1)
		own := header.MAC(w.dev.MAC)
		a.Set(header.ARPReply, own, target, mac, sender)
		w.ethernet(p).SetAddresses(mac, own)
		w.cutRest(p)
		*p = Packet{Addr: p.Addr, Len: max(p.Len, minFrame), Out: w.dev.ID, Flags: Own}
		clear(w.network(p)[header.ARPLen:]) // padding: the frame has carried other people's packets
		w.deliver(p, w.dev)
	}
}

// bad4Sender tells an address that no station on a link has; 0 is that of a probe (RFC 5227).
func bad4Sender(a uint32) bool { return a != 0 && bad4Source(a) }

// proxies tells whether the router answers for an address on the receiving device since it reaches it by another one of
// the namespace (RFC 1027; arp_fwd_proxy of the kernel).
func (w *Worker) proxies(target uint32) bool {
	if !w.dev.Settings.ProxyARP || target>>28 >= 0xe || target>>24 == 127 {
		return false
	}
	g := w.fib.Lookup(fib.Addr4(target).Netip())
	if g == nil {
		return false
	}
	hop := g.First()
	if hop.Kind == fib.Netns {
		return w.loopbackOf(hop) != nil
	}
	if hop.Kind != fib.Unicast || hop.Device == w.dev.ID {
		return false
	}
	out := w.view.Device(hop.Device)
	return out != nil && out.Namespace == w.ns && out.Usable()
}

// lockTime is how long the first of several answers counts (locktime of ip-sysctl), nanoseconds.
const lockTime = int64(time.Second)

// learnARP updates a known neighbour from any ARP packet, gratuitous ones included, and makes one for who asks us
// (arp_process of the kernel's net/ipv4/arp.c, with arp_accept=0). Answers of unknown stations, and senders that are not
// on this link, are not believed.
func (w *Worker) learnARP(a header.ARP, asks, unicast bool) {
	sender, mac := fib.Addr4(a.SenderIP()), a.SenderMAC()
	e := w.dev.Neighbors.Lookup(sender)
	if e == nil {
		if !asks || !w.onLink(sender) {
			return
		}
		if e = w.newNeighbor(w.dev, sender); e == nil {
			return
		}
	}
	if asks {
		w.update(e, w.dev, mac, neigh.Stale, override)
		return
	}
	// Of answers that come close together the first counts, so that a proxy which answers later does not take over; an
	// announcement is always believed.
	var f updateFlags
	if w.now-e.Changed.Load() > lockTime || e.State() == neigh.Incomplete || a.Gratuitous() {
		f = override
	}
	// A request or a broadcast tells that it is there, not that it hears us.
	state := neigh.Stale
	if a.Operation() == header.ARPReply && unicast {
		state = neigh.Reachable
	}
	w.update(e, w.dev, mac, state, f)
}

// isLocal4 tells an address of the router itself in this namespace.
func (w *Worker) isLocal4(a uint32) bool {
	g := w.fib.Lookup(fib.Addr4(a).Netip())
	return g != nil && g.First().Kind == fib.Local && a>>24 != 127
}

// onLink tells whether the route to an address is the link of the receiving device itself.
func (w *Worker) onLink(a fib.Addr) bool {
	if isLinkLocal(a) {
		return true
	}
	g := w.fib.Lookup(a.Netip())
	if g == nil || !g.Single() {
		return false
	}
	h := g.First()
	return h.Kind == fib.Unicast && h.Device == w.dev.ID && h.Gateway == fib.Addr{}
}

// consume ends packet i, which was for the router itself.
func (w *Worker) consume(i uint16) { w.end(&w.packets[i]) }

// sendARPRequest asks for target on a device: to everyone, or to the given MAC if it is not zero.
func (w *Worker) sendARPRequest(out *nstable.Device, target uint32, to uint64) {
	source, _ := w.source4(out, target) // without an address the sender is 0.0.0.0, as in an ARP probe (RFC 5227)
	w.sendARP(out, source, target, to)
}

// sendARP sends a request from source for target on a device: to everyone, or to the given MAC if it is not zero.
func (w *Worker) sendARP(out *nstable.Device, source, target uint32, to uint64) {
	addr, ok := w.cache.Get()
	if !ok {
		return // asked again a second later
	}
	p := Packet{Addr: addr + frame0, Len: minFrame, Out: out.ID, Flags: Own}
	e := w.ethernet(&p)
	clear(e)
	own := header.MAC(out.MAC)
	destination := to
	if to == 0 {
		destination = header.BroadcastMAC
	}
	e.SetAddresses(destination, own)
	e.SetType(header.TypeARP)
	header.ARP(w.network(&p)).Set(header.ARPRequest, own, source, to, target)
	w.deliver(&p, out)
}
