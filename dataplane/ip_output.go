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
		id := w.fib.Lookup(fib.Addr4(h.Destination()).Netip())
		if id == fib.None || w.fib.NextHop(id).Kind != fib.Unicast {
			w.toDrop(i, counters.NoRoute)
			continue
		}
		hop := w.fib.NextHop(id)
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
			source, ok := w.source4(adj.dev, uint32(via.Lo))
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
			id := w.fib.Lookup(dst.Netip())
			if id == fib.None || w.fib.NextHop(id).Kind != fib.Unicast {
				w.toDrop(i, counters.NoRoute)
				continue
			}
			hop := w.fib.NextHop(id)
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
