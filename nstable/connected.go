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
		if !slices.ContainsFunc(now, func(n *fib.Route) bool { return *n == *r }) {
			list := d.ns.rib.Get(r.Prefix)
			if i := slices.IndexFunc(list, func(n *fib.Route) bool { return *n == *r }); i >= 0 {
				tx.setRoutes(d.ns, r.Prefix, list, fib.Without(list, i))
			}
		}
	}
	for _, r := range now {
		if !slices.ContainsFunc(old, func(o *fib.Route) bool { return *o == *r }) {
			list := d.ns.rib.Get(r.Prefix)
			if next, err := fib.Insert(list, fib.Append, *r); err == nil {
				tx.setRoutes(d.ns, r.Prefix, list, next)
			}
		}
	}
	d.connected = now
}

// connectedRoutes are the routes that follow from a device's addresses while it is up: those that fib_add_ifaddr of the
// kernel's net/ipv4/fib_frontend.c and addrconf.c of net/ipv6 with forwarding make, less the multicast ones.
func (d *device) connectedRoutes() []*fib.Route {
	if !d.up {
		return nil
	}
	var out []*fib.Route
	add := func(r fib.Route) {
		r.Device, r.Protocol, r.Origin, r.Order = d.id, fib.ProtoKernel, fib.Connected, int64(d.id)
		if !slices.ContainsFunc(out, func(o *fib.Route) bool { return o.Prefix == r.Prefix && o.Kind == r.Kind }) {
			out = append(out, &r)
		}
	}
	for i := range d.addrs {
		if p := d.addrs[i].prefix; p.Addr().Is4() {
			d.connected4(p, d.primary(i), add)
		} else {
			d.connected6(p, add)
		}
	}
	return out
}

func (d *device) connected4(p netip.Prefix, primary netip.Addr, add func(fib.Route)) {
	a, subnet := p.Addr(), p.Masked()
	host := func(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, 32) }
	add(fib.Route{Prefix: host(a), Kind: fib.Local, Scope: fib.ScopeHost, Source: primary})
	if primary != a || subnet.Addr().As4()[0] == 0 || p.Bits() == 32 {
		return // secondary, "zeronet", or nothing but the address
	}
	r := fib.Route{Prefix: subnet, Kind: fib.Unicast, Scope: fib.ScopeLink, Source: a}
	if d.kind == Loopback {
		r.Kind, r.Scope = fib.Local, fib.ScopeHost
	}
	add(r)
	if p.Bits() < 31 {
		b := subnet.Addr().As4()
		for i := p.Bits(); i < 32; i++ {
			b[i/8] |= 0x80 >> (i % 8)
		}
		add(fib.Route{Prefix: host(netip.AddrFrom4(b)), Kind: fib.Broadcast, Scope: fib.ScopeLink, Source: a})
	}
}

func (d *device) connected6(p netip.Prefix, add func(fib.Route)) {
	a, subnet := p.Addr(), p.Masked()
	add(fib.Route{Prefix: netip.PrefixFrom(a, 128), Kind: fib.Local})
	if a == netip.IPv6Loopback() {
		return
	}
	add(fib.Route{Prefix: subnet, Kind: fib.Unicast, Metric: 256})
	if p.Bits() < 127 && d.kind != Loopback { // RFC 6164: none on a point-to-point /127
		add(fib.Route{Prefix: netip.PrefixFrom(subnet.Addr(), 128), Kind: fib.Anycast})
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
