package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// ip4RPF is unicast reverse path forwarding (RFC 3704), for devices that have rp-filter set: a packet passes if the
// routes lead back to its source. As in Linux (net/ipv4/fib_frontend.c, fib_validate_source), it meets what would be
// forwarded or delivered; what has no route is answered first. No error is sent: the source is not believed.
//
// Edges: ip4-local, ip4-forward, drop.
func (w *Worker) ip4RPF(v []uint16) {
	for k, i := range v {
		w.dst4[k] = header.IPv4(w.network(&w.packets[i])).Source()
	}
	w.fib.Lookup4(w.dst4[:len(v)], w.ids[:len(v)])
	groups := w.fib.Groups()
	// The loose check is strict on a device without an address, as in Linux.
	strict := w.dev.Settings.RPFilter == setting.RPFilterStrict || !hasAddr4(w.dev)
	for k, i := range v {
		g := (*fib.Group)(nil)
		if id := w.ids[k]; id != fib.None {
			g = groups.Of(id)
		}
		switch {
		case g != nil && (g.First().Kind == fib.Local || g.First().Kind == fib.Broadcast):
			// Nobody else sends from an address of ours: a martian, to Linux as well.
			w.toDrop(i, counters.IP4BadSource)
		case !w.leadsBack(&w.packets[i], g, strict):
			w.toDrop(i, counters.RPFilter)
		case w.packets[i].Flags&Local != 0:
			w.to(ip4Local, i)
		default: // a directed broadcast, too
			w.to(ip4Forward, i)
		}
	}
}

// ip6RPF is ip4RPF for IPv6, where Linux has it as a match of netfilter (net/ipv6/netfilter/ip6t_rpfilter.c). A
// link-local source is on the link that it came in by. Where the RFC's rules are asked for (martians rfc1812), the sender is
// told that his address has failed the policy (RFC 4443 3.1, code 5).
//
// Edges: ip6-local, ip6-forward, icmp6-error, drop.
func (w *Worker) ip6RPF(v []uint16) {
	for k, i := range v {
		w.dst6[k] = addr6(header.IPv6(w.network(&w.packets[i])).Source())
	}
	w.fib.Lookup6(w.dst6[:len(v)], w.ids[:len(v)])
	groups := w.fib.Groups()
	strict := w.dev.Settings.RPFilter == setting.RPFilterStrict
	for k, i := range v {
		g := (*fib.Group)(nil)
		if id := w.ids[k]; id != fib.None {
			g = groups.Of(id)
		}
		switch {
		case !isLinkLocal(w.dst6[k]) && !w.leadsBack(&w.packets[i], g, strict):
			if w.set.Martians == setting.MartiansRFC1812 {
				w.toError(icmp6Error, i, counters.RPFilter, header.ICMPv6IngressPolicy)
			} else {
				w.toDrop(i, counters.RPFilter)
			}
		case w.hops[i].Kind.Forwards():
			w.to(ip6Forward, i)
		default:
			w.to(ip6Local, i)
		}
	}
}

// leadsBack tells whether g, the next hops to the source of packet p or nil, is a way back: to the device that it came in
// by, or to the namespace that it came from.
func (w *Worker) leadsBack(p *Packet, g *fib.Group, strict bool) bool {
	switch {
	case g == nil || !g.First().Kind.Forwards():
		return false
	case !strict || g.LeavesBy(w.dev.ID):
		return true
	}
	hop := g.First()
	return hop.Kind == fib.Netns && w.dev.Kind == nstable.Loopback && hop.Netns() == p.Namespace
}

// spoofed4 is the check of ip4-rpf for a single packet: it tells that what comes from src does not pass, and why.
func (w *Worker) spoofed4(p *Packet, src uint32) (reason, bool) {
	filter := w.dev.Settings.RPFilter
	if filter == setting.RPFilterOff {
		return 0, false
	}
	g := w.fib.Lookup(fib.Addr4(src).Netip())
	switch {
	case g != nil && (g.First().Kind == fib.Local || g.First().Kind == fib.Broadcast):
		return counters.IP4BadSource, true
	case !w.leadsBack(p, g, filter == setting.RPFilterStrict || !hasAddr4(w.dev)):
		return counters.RPFilter, true
	}
	return 0, false
}

// spoofed6 is the check of ip6-rpf for a single packet, which ip6-input sorts without a look-up: it tells that what comes
// from src does not pass. Who claims an address of ours does: that is found as a conflict.
func (w *Worker) spoofed6(p *Packet, src fib.Addr) bool {
	filter := w.dev.Settings.RPFilter
	if filter == setting.RPFilterOff || isLinkLocal(src) || src == (fib.Addr{}) {
		return false
	}
	g := w.fib.Lookup(src.Netip())
	return !w.leadsBack(p, g, filter == setting.RPFilterStrict) && (g == nil || g.First().Kind != fib.Local)
}

// hasAddr4 tells whether a device has an IPv4 address.
func hasAddr4(d *nstable.Device) bool {
	for _, a := range d.Addrs {
		if a.Addr().Is4() {
			return true
		}
	}
	return false
}
