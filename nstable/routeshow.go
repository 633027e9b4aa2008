package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// routeChunk is how many prefixes are copied before the lock is let go.
const routeChunk = 1024

// RouteRange chooses routes by their prefix. Of several fields the first that is valid counts.
type RouteRange struct {
	Exact netip.Prefix // those of this prefix
	Match netip.Prefix // those that cover it
	Root  netip.Prefix // those within it
}

// walk calls f for the prefixes of the range from one on, until it returns false.
func (r *RouteRange) walk(b *fib.RIB, from netip.Prefix, f func(netip.Prefix, []*fib.Route) bool) {
	switch {
	case r.Exact.IsValid():
		if list := b.Get(r.Exact); len(list) > 0 && !from.IsValid() {
			f(r.Exact, list)
		}
		return
	case r.Match.IsValid():
		for n := range r.Match.Bits() + 1 {
			p := netip.PrefixFrom(r.Match.Addr(), n).Masked()
			if list := b.Get(p); len(list) > 0 && (!from.IsValid() || fib.ComparePrefixes(from, p) <= 0) && !f(p, list) {
				return
			}
		}
		return
	case r.Root.IsValid() && !from.IsValid():
		from = r.Root
	}
	for p, list := range b.From(from) {
		if r.Root.IsValid() && !r.Root.Contains(p.Addr()) || !f(p, list) {
			return
		}
	}
}

// Routes calls f for the routes of a namespace in order, those of all tables. It stops at the first error of f and returns
// it. The lock is not held while f runs, nor for long: changes that are made meanwhile may show or not, each route as a
// whole.
func (t *Table) Routes(namespace string, in RouteRange, f func(*RouteInfo) error) error {
	t.mu.RLock()
	ns, err := t.namespace(namespace)
	t.mu.RUnlock()
	if err != nil {
		return err
	}
	var chunk []RouteInfo
	var last netip.Prefix
	for more := true; more; {
		chunk, more = chunk[:0], false
		t.mu.RLock()
		if ns.gone {
			t.mu.RUnlock()
			return nil
		}
		n := 0
		in.walk(ns.rib, last, func(p netip.Prefix, list []*fib.Route) bool {
			if p == last {
				return true
			}
			if n++; n > routeChunk {
				more = true
				return false
			}
			for _, r := range list {
				chunk = append(chunk, t.routeInfo(ns, r))
			}
			last = p
			return true
		})
		t.mu.RUnlock()
		for i := range chunk {
			if err := f(&chunk[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// RouteGet tells what becomes of a packet: the route taken, the next hop of its flow, and the source address if the router
// sends it itself.
func (t *Table) RouteGet(namespace string, q GetQuery) (GetInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ns, err := t.namespace(namespace)
	if err != nil {
		return GetInfo{}, err
	}
	if q.InDevice != "" {
		if _, err := t.device(namespace, q.InDevice); err != nil {
			return GetInfo{}, err
		}
	}
	addr := q.Destination
	if addr.IsMulticast() || addr.IsUnspecified() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return GetInfo{}, fail(Refused, "Network is unreachable: %s is no unicast address: it is not routed", addr)
	}
	p, id, ok := ns.public.FIB.Match(addr)
	if !ok {
		return GetInfo{}, t.noRoute(ns, addr)
	}
	best := ns.rib.Best(ns.rib.Get(p))
	group := ns.public.FIB.Group(id)
	hash := q.hash(ns.settings.MultipathHash, ns.public.FIB.Seed())
	hop := group.Pick(hash)
	switch {
	case best == nil:
		return GetInfo{}, t.noRoute(ns, addr)
	case hop.Kind == fib.Netns:
		// What becomes of it there is for those to see who may read that namespace.
		return GetInfo{
			Route: t.routeInfo(ns, best), Source: best.Source, Group: id, Buckets: 1, Chosen: -1,
		}, nil
	case hop.Kind >= fib.Blackhole:
		return GetInfo{}, rejected(best, hop.Kind, addr)
	}
	info := GetInfo{
		Route: t.routeInfo(ns, best), Source: best.Source, Group: id, Bucket: group.Bucket(hash), Buckets: group.Buckets(),
	}
	info.Chosen = slices.IndexFunc(ns.rib.Legs(best.Way), func(l fib.Leg) bool { return ns.leadsTo(&l, hop) })
	if info.Chosen >= 0 {
		info.Through = ns.through(best, info.Chosen, hop)
	}
	t.describeHop(&info, hop, addr)
	return info, nil
}

// through follows the gateway of a route's leg to the next hop that it was resolved to.
func (ns *namespace) through(r *fib.Route, leg int, hop *fib.NextHop) []netip.Prefix {
	var out []netip.Prefix
	for leg >= 0 && len(out) < fib.MaxHeight {
		l := ns.rib.Legs(r.Way)[leg]
		if !l.Recursive() {
			break
		}
		if r = ns.rib.Longest(l.Gateway); r == nil {
			break
		}
		out = append(out, r.Prefix)
		leg = slices.IndexFunc(ns.rib.Legs(r.Way), func(l fib.Leg) bool { return ns.leadsTo(&l, hop) })
	}
	return out
}

// rejected is the answer for a packet that is not sent, with the kernel's reason.
func rejected(r *fib.Route, kind fib.Kind, addr netip.Addr) error {
	what := "route"
	if r.Kind != kind {
		what = "the next hop of route"
	}
	switch kind {
	case fib.Blackhole:
		return fail(Refused, "Invalid argument: %s %s for %s is a blackhole", what, r.Prefix, addr)
	case fib.Unreachable:
		return fail(Refused, "No route to host: %s %s for %s is unreachable", what, r.Prefix, addr)
	case fib.Prohibit:
		return fail(Refused, "Permission denied: %s %s for %s is prohibit", what, r.Prefix, addr)
	}
	return fail(Refused, "Network is unreachable: %s %s for %s is throw", what, r.Prefix, addr)
}

// noRoute is the answer where nothing can be used: the reason why the closest route cannot, if there is one.
func (t *Table) noRoute(ns *namespace, addr netip.Addr) error {
	for r := range ns.rib.Covers(addr) {
		for _, h := range t.routeInfo(ns, r).Hops {
			switch {
			case h.Unresolved:
				return fail(Refused, "Network is unreachable: route %s for %s goes by %s, to which no route leads",
					r.Prefix, addr, h.Gateway)
			case h.Dead:
				return fail(Refused, "Network is unreachable: route %s for %s goes by %s, which is down", r.Prefix, addr, h.Device)
			case h.LinkDown:
				return fail(Refused, "Network is unreachable: route %s for %s goes by %s, which has no carrier",
					r.Prefix, addr, h.Device)
			}
		}
	}
	return fail(Refused, "Network is unreachable: no route covers %s", addr)
}

// leadsTo tells whether a leg, perhaps by the route to its gateway, is a way to a next hop.
func (ns *namespace) leadsTo(l *fib.Leg, hop *fib.NextHop) bool {
	var gateway fib.Addr
	if l.Gateway.IsValid() {
		gateway = fib.AddrOf(l.Gateway)
	}
	if !l.Recursive() {
		return hop.Device == l.Device && hop.Gateway == gateway
	}
	_, id, ok := ns.public.FIB.Match(l.Gateway)
	return ok && slices.ContainsFunc(ns.public.FIB.Group(id).Hops(), func(h fib.NextHop) bool {
		return h.Device == hop.Device && (h.Gateway == hop.Gateway || h.Gateway == fib.Addr{} && hop.Gateway == gateway)
	})
}

// describeHop fills in what follows from the next hop.
func (t *Table) describeHop(info *GetInfo, hop *fib.NextHop, addr netip.Addr) {
	d := t.deviceByID(hop.Device)
	if d == nil {
		return // gone, and the table could not follow for want of memory
	}
	info.Hop = HopInfo{Device: d.name, Weight: 1}
	neighbor := addr
	if hop.Gateway != (fib.Addr{}) {
		neighbor = hop.Gateway.Netip()
		info.Hop.Gateway = neighbor
	}
	switch {
	case hop.Kind == fib.Local:
		info.Source, info.Hop.Device = addr, "lo"
		return
	case info.Source.IsValid():
	case neighbor.Is4() == addr.Is4():
		info.Source = d.sourceFor(neighbor)
	default:
		info.Source = d.sourceFor(addr)
	}
	if hop.Kind == fib.Unicast {
		info.Neighbor = d.neighbor(neighbor)
	}
}

// hash is that of the packet's flow: see the data plane's flow.go.
func (q *GetQuery) hash(policy fib.HashPolicy, seed uint64) uint32 {
	f := fib.Flow{Destination: fib.AddrOf(q.Destination), Protocol: q.Protocol, Label: q.Label}
	switch q.Protocol {
	case header.ProtoTCP, header.ProtoUDP, header.ProtoSCTP, header.ProtoUDPLite, header.ProtoDCCP:
		f.Ports, f.HasPorts = uint32(q.SourcePort)<<16|uint32(q.DestPort), true
	case header.ProtoICMP, header.ProtoICMPv6:
		f.Ports, f.HasPorts = uint32(q.SourcePort)<<16, true
	}
	if q.Source.IsValid() {
		f.Source = fib.AddrOf(q.Source)
	}
	return f.Hash(policy, seed)
}

// sourceFor chooses the address of d to send to a neighbour from: the first whose prefix has it, else the first of the
// family and scope.
func (d *device) sourceFor(neighbor netip.Addr) netip.Addr {
	var first netip.Addr
	for i := range d.addrs {
		p := d.addrs[i].prefix
		switch a := p.Addr(); {
		case a.Is4() != neighbor.Is4():
		case p.Contains(neighbor):
			return a
		case !first.IsValid() || first.IsLinkLocalUnicast() && !a.IsLinkLocalUnicast():
			first = a
		}
	}
	return first
}

// OperatorRoutesOf lists the routes of the operator for a prefix in order.
func (t *Table) OperatorRoutesOf(public *Namespace, p netip.Prefix) []RouteInfo {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if int(public.ID) >= len(t.namespaces) || t.namespaces[public.ID] == nil || t.namespaces[public.ID].public != public {
		return nil
	}
	ns := t.namespaces[public.ID]
	var out []RouteInfo
	for _, r := range ns.rib.Get(p) {
		if r.Origin == fib.FromAPI {
			out = append(out, t.routeInfo(ns, r))
		}
	}
	return out
}
