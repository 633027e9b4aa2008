package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// ip6Output is ip4Output for IPv6. All own packets that come here are ICMPv6; to a link-local destination they leave by
// the device that the cause came in by.
//
// Edges: transmit, resolve, ip6-fragment, drop.
func (w *Worker) ip6Output(v []uint16) {
	w.slot.MIB[counters.IP6Output].Add(uint64(len(v)))
	var adj adjacency
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv6(w.network(p))
		out, mtu, ok := w.prepare6(i, p, h, &adj)
		if !ok {
			continue
		}
		if uint32(len(h)) > mtu {
			p.Out, p.Detail = out.ID, uint16(mtu)
			w.to(ip6Fragment, i)
			continue
		}
		w.sendVia(i, p, out, p.Via)
	}
}

// prepare6 routes the own packet i with header h: it sets Via, completes source address and checksum, and returns the
// device it leaves by with the MTU there; false where the packet had to be dropped. adj is the last egress.
func (w *Worker) prepare6(i uint16, p *Packet, h header.IPv6, adj *adjacency) (*nstable.Device, uint32, bool) {
	dst := addr6(h.Destination())
	out, mtu := w.dev, w.dev.MTU
	p.Via = dst
	if !isLinkLocal(dst) {
		hop := w.routeOwn(dst, p)
		if hop == nil {
			w.toDrop(i, counters.NoRoute)
			return nil, 0, false
		}
		if !w.egress(adj, hop) {
			w.toDrop(i, adj.reason)
			return nil, 0, false
		}
		out, mtu = adj.dev, adj.mtu
		if hop.Gateway != (fib.Addr{}) {
			p.Via = hop.Gateway
		}
	}
	if p.Flags&WantSource != 0 {
		// The address of the device that the cause came in by helps most in diagnosing (RFC 4443 2.2); Linux does
		// the same.
		source, ok := w.source6(w.dev, dst)
		if !ok {
			w.toDrop(i, counters.NoRoute)
			return nil, 0, false
		}
		h.SetSource(source.Hi, source.Lo)
	}
	setICMPv6Checksum(h)
	return out, mtu, true
}
