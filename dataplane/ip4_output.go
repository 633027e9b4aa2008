package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip4Output routes the router's own packets: chooses their source address by the device they leave by, and completes
// the header. What does not fit there is cut.
//
// Edges: transmit, resolve, ip4-fragment, drop.
func (w *Worker) ip4Output(v []uint16) {
	w.slot.MIB[counters.IP4Output].Add(uint64(len(v)))
	var adj adjacency
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		via, ok := w.prepare4(i, p, h, &adj)
		if !ok {
			continue
		}
		if uint32(h.TotalLen()) > adj.mtu {
			p.Out, p.Via, p.Detail = adj.dev.ID, via, uint16(adj.mtu)
			w.to(ip4Fragment, i)
			continue
		}
		w.sendVia(i, p, adj.dev, via)
	}
}

// prepare4 routes the own packet i with header h, makes adj its egress, and completes the header. It returns the
// neighbour that the packet goes to, or false where it had to be dropped.
func (w *Worker) prepare4(i uint16, p *Packet, h header.IPv4, adj *adjacency) (fib.Addr, bool) {
	hop := w.routeOwn(fib.Addr4(h.Destination()), p)
	if hop == nil {
		w.toDrop(i, counters.NoRoute)
		return fib.Addr{}, false
	}
	if !w.egress(adj, hop) {
		w.toDrop(i, adj.reason)
		return fib.Addr{}, false
	}
	via := nextHop4(hop, h)
	if p.Flags&WantSource != 0 {
		h.SetSource(w.sourceBy4(hop, adj.dev))
	}
	if p.Flags&Optioned != 0 {
		w.fillAnswer(&w.options[i], h)
	}
	if uint32(h.TotalLen()) > adj.mtu && isError4(h) && !fitError4(p, h, adj.mtu) {
		w.toDrop(i, counters.TooBig)
		return fib.Addr{}, false
	}
	h.SetChecksum()
	return via, true
}

// routeOwn returns the next hop of an own packet, or nil where there is none to send it to.
func (w *Worker) routeOwn(dst fib.Addr, p *Packet) *fib.NextHop {
	g := w.fib.Lookup(dst.Netip())
	if g == nil {
		return nil
	}
	if hop := w.pick(g, p, !dst.Is4()); hop.Kind.Forwards() {
		return hop
	}
	return nil
}
