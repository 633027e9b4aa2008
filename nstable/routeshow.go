package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// routeChunk is how many prefixes are copied before the lock is let go.
const routeChunk = 1024

// Routes calls f for the routes of a namespace in order, those of all tables; with a valid exact only for those of that
// prefix. It stops at the first error of f and returns it. The lock is not held while f runs, nor for long: changes
// that are made meanwhile may show or not, each route as a whole.
func (t *Table) Routes(namespace string, exact netip.Prefix, f func(*RouteInfo) error) error {
	t.mu.RLock()
	ns, err := t.namespace(namespace)
	t.mu.RUnlock()
	if err != nil {
		return err
	}
	var chunk []RouteInfo
	from, skip, more := exact, false, true
	for more {
		chunk, more = chunk[:0], false
		t.mu.RLock()
		if ns.gone {
			t.mu.RUnlock()
			return nil
		}
		n := 0
		for p, list := range ns.rib.From(from) {
			if exact.IsValid() && p != exact {
				break
			}
			if skip && p == from {
				continue
			}
			if n++; n > routeChunk {
				more = true
				break
			}
			for _, r := range list {
				chunk = append(chunk, t.routeInfo(ns, r))
			}
			from, skip = p, true
		}
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
	p, id, ok := ns.public.FIB.Match(addr)
	if !ok {
		return GetInfo{}, fail(Refused, "Network is unreachable: no route covers %s", addr)
	}
	best := ns.rib.Best(ns.rib.Get(p))
	group := ns.public.FIB.Group(id)
	hash := q.hash(ns.public.FIB.Seed())
	hop := group.Pick(hash)
	switch {
	case best == nil || hop.Kind == fib.Throw:
		return GetInfo{}, fail(Refused, "Network is unreachable: no route covers %s", addr)
	case hop.Kind == fib.Blackhole:
		return GetInfo{}, fail(Refused, "Invalid argument: route %s for %s is a blackhole", p, addr)
	case hop.Kind == fib.Unreachable:
		return GetInfo{}, fail(Refused, "No route to host: route %s for %s is unreachable", p, addr)
	case hop.Kind == fib.Prohibit:
		return GetInfo{}, fail(Refused, "Permission denied: route %s for %s is prohibit", p, addr)
	}
	info := GetInfo{
		Route: t.routeInfo(ns, best), Source: best.Source, Group: id, Bucket: group.Bucket(hash), Buckets: group.Buckets(),
	}
	info.Chosen = slices.IndexFunc(ns.rib.Legs(best.Way), func(l fib.Leg) bool { return ns.leadsTo(&l, hop) })
	t.describeHop(&info, hop, addr)
	return info, nil
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
func (q *GetQuery) hash(seed uint64) uint32 {
	f := fib.Flow{
		Destination: fib.AddrOf(q.Destination), Protocol: q.Protocol,
		Ports: uint32(q.SourcePort)<<16 | uint32(q.DestPort),
	}
	if q.Source.IsValid() {
		f.Source = fib.AddrOf(q.Source)
	}
	return f.Hash(seed)
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
