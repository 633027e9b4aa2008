package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip4Output routes the router's own packets: chooses their source address by the device they leave by, and completes
// the header.
//
// Edges: transmit, resolve, drop.
func (w *Worker) ip4Output(v []uint16) {
	var adj adjacency
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		hop := w.routeOwn(fib.Addr4(h.Destination()), p)
		if hop == nil {
			w.toDrop(i, counters.NoRoute)
			continue
		}
		if !w.egress(&adj, hop) {
			w.toDrop(i, adj.reason)
			continue
		}
		if uint32(h.TotalLen()) > adj.mtu {
			w.toDrop(i, counters.TooBig)
			continue
		}
		via := hop.Gateway
		if via == (fib.Addr{}) {
			via = fib.Addr4(h.Destination())
		}
		if p.Flags&WantSource != 0 {
			target := via
			if !target.Is4() {
				target = fib.Addr4(h.Destination())
			}
			source, ok := w.source4(adj.dev, uint32(target.Lo))
			if !ok {
				w.toDrop(i, counters.NoRoute)
				continue
			}
			h.SetSource(source)
		}
		h.SetChecksum()
		w.sendVia(i, p, adj.dev, via)
	}
}

// routeOwn returns the next hop of an own packet, or nil where there is none to send it to.
func (w *Worker) routeOwn(dst fib.Addr, p *Packet) *fib.NextHop {
	g := w.fib.Lookup(dst.Netip())
	if g == nil {
		return nil
	}
	if hop := w.pick(g, p, !dst.Is4()); hop.Kind == fib.Unicast {
		return hop
	}
	return nil
}
