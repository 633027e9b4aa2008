package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// connect brings the connected routes of d in the RIB in line with its addresses and its admin state.
func (tx *Tx) connect(d *device) {
	old, now := d.connected, d.connectedRoutes()
	for _, r := range old {
		if !slices.ContainsFunc(now, r.same) {
			list := d.ns.rib.Get(r.prefix)
			if i := slices.IndexFunc(list, r.isIn); i >= 0 {
				tx.setRoutes(d.ns, r.prefix, list, fib.Without(list, i))
			}
		}
	}
	for _, r := range now {
		if !slices.ContainsFunc(old, r.same) {
			list := d.ns.rib.Get(r.prefix)
			route := fib.Route{Way: d.ns.rib.Way(r.way), Prefix: r.prefix, Order: int64(d.id)}
			if next, err := d.ns.rib.Insert(list, fib.Append, route); err == nil {
				tx.setRoutes(d.ns, r.prefix, list, next)
			}
		}
	}
	d.connected = now
}

// connectedRoute is a route that follows from an address.
type connectedRoute struct {
	prefix netip.Prefix
	way    fib.Way
}

func (r *connectedRoute) same(o *connectedRoute) bool {
	return r.prefix == o.prefix && r.way.Kind == o.way.Kind && r.way.Source == o.way.Source &&
		r.way.Metric == o.way.Metric && r.way.Scope == o.way.Scope && r.way.Device() == o.way.Device()
}

// isIn tells whether a route of the RIB is r.
func (r *connectedRoute) isIn(o *fib.Route) bool {
	return o.Origin == fib.Connected && r.same(&connectedRoute{o.Prefix, *o.Way})
}

// connectedRoutes are the routes that follow from a device's addresses while it is up: those that fib_add_ifaddr of the
// kernel's net/ipv4/fib_frontend.c and addrconf.c of net/ipv6 with forwarding make, less the multicast ones.
func (d *device) connectedRoutes() []*connectedRoute {
	if !d.up {
		return nil
	}
	var out []*connectedRoute
	add := func(p netip.Prefix, w fib.Way) {
		w.Protocol, w.Origin, w.Legs = fib.ProtoKernel, fib.Connected, []fib.Leg{{Device: d.id, Weight: 1}}
		if !slices.ContainsFunc(out, func(o *connectedRoute) bool { return o.prefix == p && o.way.Kind == w.Kind }) {
			out = append(out, &connectedRoute{p, w})
		}
	}
	for i := range d.addrs {
		if p := d.addrs[i].prefix; p.Addr().Is4() {
			d.connected4(p, d.primary(i), add)
		} else {
			d.connected6(p, d.addrs[i].state == valid, add)
		}
	}
	return out
}

func (d *device) connected4(p netip.Prefix, primary netip.Addr, add func(netip.Prefix, fib.Way)) {
	a, subnet := p.Addr(), p.Masked()
	host := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 32) }
	add(host(a), fib.Way{Kind: fib.Local, Scope: fib.ScopeHost, Source: primary})
	if primary != a || subnet.Addr().As4()[0] == 0 || p.Bits() == 32 {
		return // secondary, "zeronet", or nothing but the address
	}
	w := fib.Way{Kind: fib.Unicast, Scope: fib.ScopeLink, Source: a}
	if d.kind == Loopback {
		w.Kind, w.Scope = fib.Local, fib.ScopeHost
	}
	add(subnet, w)
	if p.Bits() < 31 {
		b := subnet.Addr().As4()
		for i := p.Bits(); i < 32; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
		add(host(netip.AddrFrom4(b)), fib.Way{Kind: fib.Broadcast, Scope: fib.ScopeLink, Source: a})
	}
}

// connected6 leaves out what makes an address the router's own while it is not used: the kernel adds that when duplicate
// address detection is through (addrconf_dad_completed).
func (d *device) connected6(p netip.Prefix, used bool, add func(netip.Prefix, fib.Way)) {
	a, subnet := p.Addr(), p.Masked()
	if used {
		add(netip.PrefixFrom(a, 128), fib.Way{Kind: fib.Local})
	}
	if a == netip.IPv6Loopback() {
		return
	}
	add(subnet, fib.Way{Kind: fib.Unicast, Metric: 256})
	if used && p.Bits() < 127 && d.kind != Loopback { // RFC 6164: none on a point-to-point /127
		add(netip.PrefixFrom(subnet.Addr(), 128), fib.Way{Kind: fib.Anycast})
	}
}

// primary returns the primary address of the i-th IPv4 address: the first of the device in the same prefix.
func (d *device) primary(i int) netip.Addr {
	p := d.addrs[i].prefix
	for _, a := range d.addrs[:i] {
		if a.prefix.Addr().Is4() && a.prefix.Masked() == p.Masked() {
			return a.prefix.Addr()
		}
	}
	return p.Addr()
}
