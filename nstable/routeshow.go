package nstable

import (
	"net/netip"

	"nsrouter/fib"
)

// routeChunk is how many prefixes are copied before the lock is let go.
const routeChunk = 1024

// Routes calls f for the routes of a namespace in order, those of all tables; with a valid exact only for those of that
// prefix. It stops at the first error of f and returns it. The lock is not held while f runs, nor for long: changes
// that are made meanwhile may show or not, each route as a whole.
func (t *Table) Routes(namespace string, exact netip.Prefix, f func(RouteInfo) error) error {
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
				chunk = append(chunk, t.routeInfo(r))
			}
			from, skip = p, true
		}
		t.mu.RUnlock()
		for _, r := range chunk {
			if err := f(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// RouteGet tells what becomes of a packet to addr: the route taken, and the source address if the router sends it
// itself. iif, unless it is "", names the device that it came from.
func (t *Table) RouteGet(namespace string, addr netip.Addr, iif string) (GetInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ns, err := t.namespace(namespace)
	if err != nil {
		return GetInfo{}, err
	}
	if iif != "" {
		if _, err := t.device(namespace, iif); err != nil {
			return GetInfo{}, err
		}
	}
	p, ok := ns.public.FIB.Load().Match(addr)
	best := fib.Best(ns.rib.Get(p), t.usable)
	if !ok || best == nil || best.Kind == fib.Throw {
		return GetInfo{}, fail(Refused, "Network is unreachable: no route covers %s", addr)
	}
	switch best.Kind {
	case fib.Blackhole:
		return GetInfo{}, fail(Refused, "Invalid argument: route %s for %s is a blackhole", p, addr)
	case fib.Unreachable:
		return GetInfo{}, fail(Refused, "No route to host: route %s for %s is unreachable", p, addr)
	case fib.Prohibit:
		return GetInfo{}, fail(Refused, "Permission denied: route %s for %s is prohibit", p, addr)
	}
	info := GetInfo{Route: t.routeInfo(best), InDevice: iif, Source: best.Source}
	d := t.deviceByID(best.Device)
	switch {
	case best.Kind == fib.Local:
		info.Source, info.Route.DeviceName = addr, "lo"
	case !info.Source.IsValid() && best.Gateway.IsValid():
		info.Source = d.sourceFor(best.Gateway)
	case !info.Source.IsValid():
		info.Source = d.sourceFor(addr)
	}
	return info, nil
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
