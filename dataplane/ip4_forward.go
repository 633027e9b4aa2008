package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// ip4Forward takes a hop off the TTL, checks the MTU and writes the addresses of the next hop's link. Packets that go where
// others of the batch went, with nothing out of the ordinary, are done at one look.
//
// Edges: transmit, resolve, ip4-fragment, icmp4-error, drop.
func (w *Worker) ip4Forward(v []uint16) {
	if w.set.NoForward4 {
		w.slot.MIB[counters.IP4AddressErrors].Add(uint64(len(v)))
		w.dropAll(v, counters.ForwardingOff)
		return
	}
	w.slot.MIB[counters.IP4Forwarded].Add(uint64(len(v)))
	w.forgetAdjacencies()
	next := &w.vectors[transmit]
	n := next.n
	for _, i := range v {
		p, hop := &w.packets[i%vectorSize], w.hops[i%vectorSize]
		adj := w.adjacencyOf(hop)
		if hop == adj.hop && adj.known && p.Flags&(Group|Optioned|Directed|Chained) == 0 && p.Len-header.EthernetLen <= adj.mtu {
			b := (*[header.EthernetLen + header.IPv4MinLen]byte)(w.mem[p.Addr:])
			if adj.leadsTo4(b) && header.TakeHop4(b) {
				w.rewrite(p, adj)
				next.idx[n%vectorSize] = i
				n++
				continue
			}
		}
		next.n = n
		w.forward4(i, p, hop, adj)
		n = next.n
	}
	next.n = n
}

// forward4 is ip4-forward for one packet, whatever it is.
func (w *Worker) forward4(i uint16, p *Packet, hop *fib.NextHop, adj *adjacency) {
	h := header.IPv4(w.network(p))
	switch {
	case !w.egress(adj, hop):
		w.toDrop(i, adj.reason)
	case adj.redirect || p.Flags&(Group|Optioned|Directed) != 0:
		w.forwardRare4(i, p, h, adj)
	case h.TTL() <= 1:
		w.toError(icmp4Error, i, counters.TTLExpired, 0)
	case uint32(h.TotalLen()) > adj.mtu:
		w.tooBig4(i, p, h, adj)
	default:
		h.DecrementTTL()
		w.sendNear(i, p, adj, nextHop4(hop, h))
	}
}

// dropAll drops a batch: in a namespace that does not forward, as Linux does, without an error to the sender.
func (w *Worker) dropAll(v []uint16, r counters.Reason) {
	for _, i := range v {
		w.toDrop(i, r)
	}
}

// tooBig4 has a packet cut (RFC 1812 4.2.2.7), or answers with "fragmentation needed" and the next hop's MTU where that is
// forbidden (RFC 1191).
func (w *Worker) tooBig4(i uint16, p *Packet, h header.IPv4, adj *adjacency) {
	p.Detail = uint16(adj.mtu)
	if h.DontFragment() {
		w.toError(icmp4Error, i, counters.TooBig, header.ICMPFragNeeded)
		return
	}
	h.DecrementTTL()
	p.Out, p.Via = adj.dev.ID, nextHop4(adj.hop, h)
	w.to(ip4Fragment, i)
}

// nextHop4 is the neighbour that a packet goes to: the route's gateway, or its destination itself.
func nextHop4(hop *fib.NextHop, h header.IPv4) fib.Addr {
	if hop.Gateway != (fib.Addr{}) {
		return hop.Gateway
	}
	return fib.Addr4(h.Destination())
}

// forwardRare4 is ip4-forward for packet i of which something is out of the ordinary: a group address on the link, IPv4
// options, the broadcast address of another link, or that it leaves by the device it came in by. The order is that of
// the kernel's ip_forward (net/ipv4/ip_forward.c).
func (w *Worker) forwardRare4(i uint16, p *Packet, h header.IPv4, adj *adjacency) {
	o := &w.options[i]
	optioned := p.Flags&Optioned != 0
	large := uint32(h.TotalLen()) > adj.mtu
	switch {
	case p.Flags&Group != 0: // RFC 1812 5.3.4
		w.toDrop(i, counters.LinkLayerBroadcast)
		return
	case adj.redirect && w.isBroadcast4(h.Source()):
		// Where redirects may be sent, Linux looks at the route to the source first (fib_validate_source).
		w.toDrop(i, counters.IP4BadSource)
		return
	case h.TTL() <= 1:
		w.toError(icmp4Error, i, counters.TTLExpired, 0)
		return
	case optioned && o.strict && adj.hop.Gateway != fib.Addr{}:
		w.toError(icmp4Error, i, counters.IP4SourceRoute, header.ICMPSourceRoute)
		return
	case large && h.DontFragment():
		w.tooBig4(i, p, h, adj)
		return
	}
	if adj.redirect && (!optioned || o.route == 0) {
		w.redirect4(p, h, adj, *o)
	}
	if optioned {
		w.finishOptions(o, h, w.sourceBy4(adj.hop, adj.dev))
	}
	switch {
	case large:
		w.tooBig4(i, p, h, adj)
		if p.Flags&Directed != 0 {
			p.Via = fib.Addr{}
		}
	case p.Flags&Directed != 0:
		h.DecrementTTL()
		w.sendBroadcast(i, p, adj.dev)
	default:
		h.DecrementTTL()
		w.sendVia(i, p, adj.dev, nextHop4(adj.hop, h))
	}
}

// sendBroadcast passes packet i on to transmit for all stations on the link of out.
func (w *Worker) sendBroadcast(i uint16, p *Packet, out *nstable.Device) {
	if out.Kind == nstable.Dummy || out.Kind == nstable.Loopback {
		w.toDrop(i, counters.DummyDevice)
		return
	}
	p.Out = out.ID
	w.ethernet(p).SetAddresses(header.BroadcastMAC, header.MAC(out.MAC))
	w.to(transmit, i)
}

// adjacency is the egress side of a next hop that a batch uses, and of the neighbour that it led to last: packets of a batch
// often share both.
type adjacency struct {
	hop    *fib.NextHop
	dev    *nstable.Device
	mtu    uint32
	reason reason
	// redirect says that the packet leaves by the device it came in by, which sends redirects.
	redirect bool
	mac      uint64 // the device's own address

	// known says that packets for via on dev need nothing but the header link: dev may be used, there is no redirect to send,
	// and the neighbour's address is known. The look-ups of the batch hold for all of it.
	known    bool
	attached bool // packets go to their destination, so that each must be that of via
	via      fib.Addr
	// link is the Ethernet header after two bytes of no meaning, so that it ends where layer 3 begins, and is one store of
	// 16 bytes.
	link [linkLen]byte
}

const linkLen = 16

// adjacencySlots is how many next hops a batch can use without that one takes the place of another; a power of two.
const adjacencySlots = 16

// adjacencyOf is where the adjacency of a next hop is, if it is known. Neighbours differ in the last bits of their addresses,
// attached routes in their devices.
func (w *Worker) adjacencyOf(hop *fib.NextHop) *adjacency {
	return &w.adjacencies[(uint32(hop.Gateway.Lo)+uint32(hop.Device))%adjacencySlots]
}

// forgetAdjacencies makes all of them unknown: they hold for one batch.
func (w *Worker) forgetAdjacencies() {
	for i := range w.adjacencies {
		w.adjacencies[i].hop = nil
	}
}

// rewrite makes p a packet to the neighbour of an adjacency that is known.
func (w *Worker) rewrite(p *Packet, adj *adjacency) {
	*(*[linkLen]byte)(w.mem[p.Addr+header.EthernetLen-linkLen:]) = adj.link
	p.Out = adj.dev.ID
}

// leadsTo4 tells whether the neighbour of adj, which is known, is the one that an IPv4 packet goes to.
func (adj *adjacency) leadsTo4(b *[header.EthernetLen + header.IPv4MinLen]byte) bool {
	return !adj.attached || adj.via == fib.Addr4(header.IPv4(b[header.EthernetLen:]).Destination())
}

// leadsTo6 is leadsTo4 for IPv6.
func (adj *adjacency) leadsTo6(b *[header.EthernetLen + header.IPv6HeaderLen]byte) bool {
	return !adj.attached || adj.via == addr6(header.IPv6(b[header.EthernetLen:]).Destination())
}

// egress makes adj the egress of hop: its device, if that may be used from this namespace, and the MTU. False, with
// adj.reason, if not. The check of the namespace is what keeps a packet inside while a device moves: routes may be a
// moment older than the device.
func (w *Worker) egress(adj *adjacency, hop *fib.NextHop) bool {
	if adj.hop == hop {
		return adj.dev != nil
	}
	adj.hop, adj.dev, adj.known = hop, nil, false
	dev := w.view.Device(hop.Device)
	switch {
	case dev == nil && hop.Kind == fib.Netns:
		return w.egressNetns(adj, hop)
	case dev == nil:
		adj.reason = counters.EgressDown
	case dev.Namespace != w.ns:
		adj.reason = counters.OtherNamespace
	case !dev.Usable():
		adj.reason = counters.EgressDown
	default:
		adj.dev, adj.mac = dev, header.MAC(dev.MAC)
		adj.redirect = dev == w.dev && dev.Settings.SendRedirects
		adj.mtu = dev.MTU
		if hop.MTU != 0 && hop.MTU < adj.mtu {
			adj.mtu = hop.MTU
		}
		return true
	}
	return false
}

// sendNear is sendVia by an adjacency, which remembers the neighbour if its address is known.
func (w *Worker) sendNear(i uint16, p *Packet, adj *adjacency, via fib.Addr) {
	if n := adj.dev.Neighbors.Lookup(via); n != nil {
		if mac, ok := n.Use(); ok {
			e := w.ethernet(p)
			e.SetAddresses(mac, adj.mac)
			p.Out, p.Via = adj.dev.ID, via
			w.to(transmit, i)
			adj.known, adj.via, adj.attached = !adj.redirect, via, adj.hop.Gateway == fib.Addr{}
			copy(adj.link[linkLen-header.EthernetLen:], e)
			return
		}
	}
	adj.known = false
	w.sendVia(i, p, adj.dev, via)
}

// sendVia writes the link-layer addresses for the neighbour via on out and passes packet i on to transmit; to resolve
// where the neighbour's address is not known.
func (w *Worker) sendVia(i uint16, p *Packet, out *nstable.Device, via fib.Addr) {
	p.Out, p.Via = out.ID, via
	if n := out.Neighbors.Lookup(via); n != nil {
		if mac, ok := n.Use(); ok {
			w.ethernet(p).SetAddresses(mac, header.MAC(out.MAC))
			w.to(transmit, i)
			return
		}
	}
	switch {
	case out.Kind == nstable.Loopback && out.Namespace != w.ns:
		w.leak(p, out)
	case out.Kind == nstable.Dummy || out.Kind == nstable.Loopback:
		w.toDrop(i, counters.DummyDevice) // nobody answers there
	default:
		w.to(resolve, i)
	}
}
