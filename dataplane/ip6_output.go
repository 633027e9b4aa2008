package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip6Output is ip4Output for IPv6. All own packets that come here are ICMPv6; to a link-local destination they leave by
// the device that the cause came in by.
//
// Edges: transmit, resolve, drop.
func (w *Worker) ip6Output(v []uint16) {
	var adj adjacency
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		dst := addr6(h.Destination())
		out, via := w.dev, dst
		if !isLinkLocal(dst) {
			hop := w.routeOwn(dst, p)
			if hop == nil {
				w.toDrop(i, counters.NoRoute)
				continue
			}
			if !w.egress(&adj, hop) {
				w.toDrop(i, adj.reason)
				continue
			}
			out = adj.dev
			if hop.Gateway != (fib.Addr{}) {
				via = hop.Gateway
			}
		}
		if p.Flags&WantSource != 0 {
			// The address of the device that the cause came in by helps most in diagnosing (RFC 4443 2.2); Linux does
			// the same.
			source, ok := w.source6(w.dev, dst)
			if !ok {
				w.toDrop(i, counters.NoRoute)
				continue
			}
			h.SetSource(source.Hi, source.Lo)
		}
		if uint32(len(h)) > out.MTU {
			w.toDrop(i, counters.TooBig)
			continue
		}
		setICMPv6Checksum(h)
		w.sendVia(i, p, out, via)
	}
}
