package main

import (
	"fmt"
	"net/netip"

	"nsrouter/nstable"
	"nsrouter/perf/tables"
)

// scenario is one way of packets through the router.
type scenario struct {
	name string
	what string // in words
	ttl  int    // hops that a packet takes: namespaces that forward it
	// workers is how many there are to be, each on a CPU; 0 is 1.
	workers int
	// make builds it, with loops of some frames.
	make func(s *site, r *router)
}

// site is what all scenarios share.
type site struct {
	frames int
	v4, v6 []netip.Prefix // the real tables
}

// Destinations of scenarios with many.
const (
	manyDestinations = 1 << 16
	replayed         = 1024 // as DPDK's and VPP's published figures: a table that is hot
	nextHops         = 16   // that the routes of a table share
)

func scenarios() []scenario {
	return []scenario{
		{name: "ip4-1", what: "IPv4, one route", ttl: 1, make: func(s *site, r *router) {
			r.plain(s, pair{0, 1}, s.v4[:0], []netip.Addr{netip.MustParseAddr("198.51.100.1")})
		}},
		{name: "ip4-1k", what: "IPv4, 1,000 routes, 65,536 destinations", ttl: 1, make: func(s *site, r *router) {
			r.under(s, pair{0, 1}, tables.Sample(s.v4, 1000), manyDestinations)
		}},
		{name: "ip4-full", what: "IPv4, full table, 65,536 destinations", ttl: 1, make: func(s *site, r *router) {
			r.under(s, pair{0, 1}, s.v4, manyDestinations)
		}},
		{name: "ip4-full-hot", what: "IPv4, full table, replay of 1,024 destinations", ttl: 1, make: func(s *site, r *router) {
			r.under(s, pair{0, 1}, s.v4, replayed)
		}},
		{name: "ip6-1", what: "IPv6, one route", ttl: 1, make: func(s *site, r *router) {
			r.plain(s, pair{0, 1}, s.v6[:0], []netip.Addr{netip.MustParseAddr("3fff:100::1")})
		}},
		{name: "ip6-full", what: "IPv6, full table, 65,536 destinations", ttl: 1, make: func(s *site, r *router) {
			r.under(s, pair{0, 1}, s.v6, manyDestinations)
		}},
		{name: "veth", what: "IPv4, through a veth pair into another namespace", ttl: 2, make: (*site).veth},
		{name: "leak", what: "IPv4, by a route into another namespace", ttl: 2, make: (*site).leak},
		{name: "workers-2", what: "ip4-1, two workers with devices of their own", ttl: 1, workers: 2,
			make: (*site).apart},
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
func (r *router) wire(s *site, p pair, in, out string, to []netip.Addr) {
	packets := make([][]byte, len(to))
	f := p.flow(to[0].Is6())
	for i, dst := range to {
		packets[i] = f.packet(dst, 0)
	}
	l := r.loop(s.frames, packets)
	r.port(in, p.in, l.In(), portAddrs(p.in)...)
	r.port(out, p.out, l.Out(), portAddrs(p.out)...)
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
	for port := range 2 * n {
		if port < n {
			to := netip.AddrFrom4([4]byte{198, 51, byte(port), 1})
			l := r.loop(s.frames, [][]byte{pair{in: port}.flow(false).packet(to, 0)})
			r.port(nstable.InitName, port, l.In(), portAddrs(port)...)
			continue
		}
		r.port(nstable.InitName, port, r.loops[port-n].Out(), portAddrs(port)...)
		prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(port - n), 0}), 24)
		r.gateways(nstable.InitName, portName(port), port, []netip.Prefix{prefix}, false)
	}
}
