package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// ip4Forward takes a hop off the TTL, checks the MTU and writes the addresses of the next hop's link.
//
// Edges: transmit, resolve, ip4-fragment, icmp4-error, drop.
func (w *Worker) ip4Forward(v []uint16) {
	if w.set.NoForward4 {
		w.slot.MIB[counters.IP4AddressErrors].Add(uint64(len(v)))
		w.dropAll(v, counters.ForwardingOff)
		return
	}
	w.slot.MIB[counters.IP4Forwarded].Add(uint64(len(v)))
	var adj adjacency
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		hop := w.hops[i]
		if !w.egress(&adj, hop) {
			w.toDrop(i, adj.reason)
			continue
		}
		if adj.redirect || p.Flags&(Group|Optioned|Directed) != 0 {
			w.forwardRare4(i, p, h, &adj)
			continue
		}
		if h.TTL() <= 1 {
			w.toError(icmp4Error, i, counters.TTLExpired, 0)
			continue
		}
		if uint32(h.TotalLen()) > adj.mtu {
			w.tooBig4(i, p, h, &adj)
			continue
		}
		h.DecrementTTL()
		w.sendNear(i, p, &adj, nextHop4(hop, h))
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

// adjacency is the egress side of the last next hop that a batch used: packets of a batch often share it.
type adjacency struct {
	hop    *fib.NextHop
	dev    *nstable.Device
	mtu    uint32
	reason reason
	// redirect says that the packet leaves by the device it came in by, which sends redirects.
	redirect bool
	// near is the neighbour that the last packet went to, mac the device's own address.
	near *neigh.Entry
	mac  uint64
}

// egress makes adj the egress of hop: its device, if that may be used from this namespace, and the MTU. False, with
// adj.reason, if not. The check of the namespace is what keeps a packet inside while a device moves: routes may be a
// moment older than the device.
func (w *Worker) egress(adj *adjacency, hop *fib.NextHop) bool {
	if adj.hop == hop {
		return adj.dev != nil
	}
	adj.hop, adj.dev, adj.near = hop, nil, nil
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

// sendNear is sendVia by an adjacency: the packets of a batch often go to one neighbour, which is looked up once.
func (w *Worker) sendNear(i uint16, p *Packet, adj *adjacency, via fib.Addr) {
	n := adj.near
	if n == nil || n.Addr != via {
		n = adj.dev.Neighbors.Lookup(via)
		adj.near = n
	}
	if n != nil {
		if mac, ok := n.Use(); ok {
			p.Out, p.Via = adj.dev.ID, via
			w.ethernet(p).SetAddresses(mac, adj.mac)
			w.to(transmit, i)
			return
		}
	}
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
