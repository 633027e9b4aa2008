package main

import (
	"fmt"
	"net/netip"

	"nsrouter/dataplane/memport"
	"nsrouter/nstable"
	"nsrouter/perf/results"
	"nsrouter/perf/tables"
)

// scenario is one way of packets through the router.
type scenario struct {
	name      string // of package results, as the next
	contender string
	hops      int // namespaces that forward a packet
	// make builds it, with loops of some frames.
	make func(s *site, r *router)
}

// site is what all scenarios share.
type site struct {
	frames int
	// namespaces is how many the scenarios of many have.
	namespaces int
	v4, v6     []netip.Prefix // the real tables
}

// Destinations of scenarios with many.
const (
	manyDestinations = 1 << 16
	replayed         = 1024 // as DPDK's and VPP's published figures: a table that is hot
	nextHops         = 16   // that the routes of a table share
)

func scenarios() []scenario {
	return []scenario{
		{results.IP4One, results.Router, 1, func(s *site, r *router) {
			r.plain(s, pair{0, 1}, s.v4[:0], []netip.Addr{netip.MustParseAddr("198.51.100.1")})
		}},
		{results.IP4Thousand, results.Router, 1, func(s *site, r *router) {
			r.under(s, pair{0, 1}, tables.Sample(s.v4, 1000), manyDestinations)
		}},
		{results.IP4Full, results.Router, 1, func(s *site, r *router) {
			r.under(s, pair{0, 1}, s.v4, manyDestinations)
		}},
		{results.IP4FullHot, results.Router, 1, func(s *site, r *router) {
			r.under(s, pair{0, 1}, s.v4, replayed)
		}},
		{results.IP6One, results.Router, 1, func(s *site, r *router) {
			r.plain(s, pair{0, 1}, s.v6[:0], []netip.Addr{netip.MustParseAddr("3fff:100::1")})
		}},
		{results.IP6Full, results.Router, 1, func(s *site, r *router) {
			r.under(s, pair{0, 1}, s.v6, manyDestinations)
		}},
		{results.IP4Veth, results.Router, 2, (*site).veth},
		{results.IP4Leak, results.Router, 2, (*site).leak},
		{results.IP4Namespace, results.Router, 1, func(s *site, r *router) { s.vlans(r, s.namespaces, false) }},
		{results.IP4ManyNamespaces, results.Router, 1, func(s *site, r *router) { s.vlans(r, s.namespaces, true) }},
		{results.IP4FourVLANs, results.Router, 1, func(s *site, r *router) { s.vlans(r, 2, false) }},
		{results.IP4One, results.Router2, 1, (*site).apart},
	}
}

// pair are the numbers of the ports that a loop goes by: in, out. Each has addresses of its own.
type pair struct{ in, out int }

func (p pair) flow(is6 bool) flow {
	if is6 {
		return flow{p.in, netip.MustParseAddr(fmt.Sprintf("3fff:%x::9", p.in))}
	}
	return flow{p.in, netip.MustParseAddr(fmt.Sprintf("10.255.%d.9", p.in))}
}

// portAddrs are the addresses of a port; gateway is the n-th neighbour behind it.
func portAddrs(port int) []string {
	return []string{fmt.Sprintf("10.255.%d.1/24", port), fmt.Sprintf("3fff:%x::1/64", port)}
}

func gateway(port, n int, is6 bool) string {
	if is6 {
		return fmt.Sprintf("3fff:%x::%x", port, 0x10+n)
	}
	return fmt.Sprintf("10.255.%d.%d", port, 0x10+n)
}

// reserved is where the benchmarks' own addresses are: no packet is sent there.
func reserved() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("3fff::/20")}
}

// under is plain with random destinations below the routes.
func (r *router) under(s *site, p pair, routes []netip.Prefix, destinations int) {
	to, err := tables.Under(routes, destinations, reserved()...)
	if err != nil {
		r.note(err)
		return
	}
	r.plain(s, p, routes, to)
}

// plain is a pair of ports in the namespace init, with neighbours behind the second that routes lead to by turns; without routes one
// to the only destination.
func (r *router) plain(s *site, p pair, routes []netip.Prefix, to []netip.Addr) {
	is6 := to[0].Is6()
	if len(routes) == 0 {
		one, _ := to[0].Prefix(to[0].BitLen() - 8)
		routes = []netip.Prefix{one}
	}
	r.wire(s, p, nstable.InitName, nstable.InitName, to)
	r.gateways(nstable.InitName, portName(p.out), p.out, routes, is6)
}

// wire makes the two ports of a loop that sends to some destinations, in turn.
func (r *router) wire(s *site, p pair, in, out string, dst []netip.Addr) {
	packets := make([][]byte, len(dst))
	f := p.flow(dst[0].Is6())
	for i := range dst {
		packets[i] = f.packet(dst[i], 0)
	}
	from, to := r.way(s.frames, p.out, packets)
	r.port(in, p.in, from, portAddrs(p.in)...)
	r.port(out, p.out, to, portAddrs(p.out)...)
}

// gateways makes the neighbours behind a port, and routes by them.
func (r *router) gateways(ns, dev string, port int, routes []netip.Prefix, is6 bool) {
	var list []string
	for n := range min(nextHops, len(routes)) {
		list = append(list, gateway(port, n, is6))
		r.neighbor(ns, dev, list[n], hostMAC(port, 1+n))
	}
	r.routes(ns, dev, routes, list...)
}

// veth has packets cross into another namespace by a veth pair.
func (s *site) veth(r *router) {
	const inside = "inside"
	r.netns(inside)
	to := netip.MustParseAddr("198.51.100.1")
	prefix := []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	r.wire(s, pair{0, 1}, nstable.InitName, inside, []netip.Addr{to})
	near, far := [6]byte{2, 0, 0, 2, 0, 1}, [6]byte{2, 0, 0, 2, 0, 2}
	r.link(nstable.InitName, nstable.LinkSpec{
		Name: "v0", Kind: nstable.Veth, Peer: "v1", PeerNamespace: inside, MAC: &near,
	}, "10.254.0.1/30")
	up := true
	r.note(r.table.SetLink(inside, "v1", nstable.LinkChange{Up: &up, MAC: &far}))
	r.neighbor(nstable.InitName, "v0", "10.254.0.2", far)
	r.routes(nstable.InitName, "v0", prefix, "10.254.0.2")
	r.gateways(inside, portName(1), 1, prefix, false)
}

// leak has a route lead packets into another namespace.
func (s *site) leak(r *router) {
	const inside = "inside"
	r.netns(inside)
	to := netip.MustParseAddr("198.51.100.1")
	prefix := netip.MustParsePrefix("198.51.100.0/24")
	r.wire(s, pair{0, 1}, nstable.InitName, inside, []netip.Addr{to})
	r.routeInto(nstable.InitName, prefix.String(), inside)
	r.gateways(inside, portName(1), 1, []netip.Prefix{prefix}, false)
}

// apart has a pair of ports for each worker. Devices come to the workers in turn: first all that receive, then all that transmit.
func (s *site) apart(r *router) {
	n := len(r.cpus)
	outs := make([]memport.Out, n)
	for i := range n {
		dst := netip.AddrFrom4([4]byte{198, 51, byte(i), 1})
		in, out := r.way(s.frames, n+i, [][]byte{pair{in: i}.flow(false).packet(dst, 0)})
		r.port(nstable.InitName, i, in, portAddrs(i)...)
		outs[i] = out
	}
	for i, out := range outs {
		r.port(nstable.InitName, n+i, out, portAddrs(n+i)...)
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(i), 0}), 24)
		r.gateways(nstable.InitName, portName(n+i), n+i, []netip.Prefix{prefix}, false)
	}
}
