package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip6Forward takes a hop off the hop limit, checks MTU and scope, and writes the addresses of the next hop's link.
//
// Edges: transmit, resolve, icmp6-error, drop.
func (w *Worker) ip6Forward(v []uint16) {
	var adj adjacency
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		hop := w.hops[i]
		if !w.egress(&adj, hop) {
			w.toDrop(i, adj.reason)
			continue
		}
		src := addr6(h.Source())
		switch {
		case isLinkLocal(src):
			// A link-local source has no meaning on another link (RFC 4291 2.5.6).
			w.toError(icmp6Error, i, counters.IP6Scope, header.ICMPv6BeyondScope)
			continue
		case h.HopLimit() <= 1:
			w.toError(icmp6Error, i, counters.TTLExpired, 0)
			continue
		case p.Len-header.EthernetLen > adj.mtu:
			p.Detail = uint16(adj.mtu)
			w.toError(icmp6Error, i, counters.TooBig, 0)
			continue
		}
		h.SetHopLimit(h.HopLimit() - 1)
		via := hop.Gateway
		if via == (fib.Addr{}) {
			via = addr6(h.Destination())
		}
		w.sendVia(i, p, adj.dev, via)
	}
}
