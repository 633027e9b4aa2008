package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip6Forward takes a hop off the hop limit, checks scope and MTU, and writes the addresses of the next hop's link; as
// ip4-forward does, most at one look.
//
// Edges: transmit, resolve, icmp6-error, drop.
func (w *Worker) ip6Forward(v []uint16) {
	if w.set.NoForward6 {
		w.slot.MIB[counters.IP6AddressErrors].Add(uint64(len(v)))
		w.dropAll(v, counters.ForwardingOff)
		return
	}
	w.slot.MIB[counters.IP6Forwarded].Add(uint64(len(v)))
	w.forgetAdjacencies()
	next := &w.vectors[transmit]
	n := next.n
	for _, i := range v {
		p, hop := &w.packets[i%vectorSize], w.hops[i%vectorSize]
		adj := w.adjacencyOf(hop)
		if hop == adj.hop && adj.known && p.Flags&Chained == 0 && p.Len-header.EthernetLen <= adj.mtu {
			b := (*[header.EthernetLen + header.IPv6HeaderLen]byte)(w.mem[p.Addr:])
			if adj.leadsTo6(b) && header.IPv6(b[header.EthernetLen:]).FromGlobal() && header.TakeHop6(b) {
				w.rewrite(p, adj)
				next.idx[n%vectorSize] = i
				n++
				continue
			}
		}
		next.n = n
		w.forward6(i, p, hop, adj)
		n = next.n
	}
	next.n = n
}

// forward6 is ip6-forward for one packet, whatever it is.
func (w *Worker) forward6(i uint16, p *Packet, hop *fib.NextHop, adj *adjacency) {
	h := header.IPv6(w.network(p))
	switch {
	case !w.egress(adj, hop):
		w.toDrop(i, adj.reason)
	case h.HopLimit() <= 1:
		w.toError(icmp6Error, i, counters.TTLExpired, 0)
	case isLinkLocal(addr6(h.Source())) && adj.dev.ID != p.In:
		// A link-local source has no meaning on another link (RFC 4291 2.5.6).
		w.toError(icmp6Error, i, counters.IP6Scope, header.ICMPv6BeyondScope)
	case uint32(header.IPv6HeaderLen+h.PayloadLen()) > adj.mtu && !w.fits6(i, p, h, adj):
	default:
		h.SetHopLimit(h.HopLimit() - 1)
		via := hop.Gateway
		if via == (fib.Addr{}) {
			via = addr6(h.Destination())
		}
		w.sendNear(i, p, adj, via)
	}
}

// fits6 is about a packet longer than the MTU that route and device say. It is not fragmented on the way (RFC 8200 4.5)
// but answered with that MTU, unless it fits the least MTU of a link (RFC 8200 5) that the device has: less than that may
// not be said, and is not held against a packet. True where the packet goes on.
func (w *Worker) fits6(i uint16, p *Packet, h header.IPv6, adj *adjacency) bool {
	mtu := max(adj.mtu, header.IPv6MinMTU)
	if length := uint32(header.IPv6HeaderLen + h.PayloadLen()); length <= mtu && length <= adj.dev.MTU {
		return true
	}
	p.Detail = uint16(mtu)
	w.toError(icmp6Error, i, counters.TooBig, 0)
	return false
}
