package nstable

import (
	"errors"
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// Route puts a route into a namespace the way op says.
func (tx *Tx) Route(op fib.Op, namespace string, s RouteSpec) error {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return err
	}
	r, err := tx.resolveRoute(ns, s)
	if err != nil {
		return err
	}
	list := ns.rib.Get(r.Prefix)
	next, err := fib.Insert(list, op, r)
	if err != nil {
		return routeError(err, &r)
	}
	tx.setRoutes(ns, r.Prefix, list, next)
	return nil
}

// DeleteRoute removes the first route that all given fields of s fit.
func (tx *Tx) DeleteRoute(namespace string, s RouteSpec) error {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return err
	}
	p, err := checkPrefix(s.Prefix)
	if err != nil {
		return err
	}
	m := fib.Match{Gateway: s.Via, Source: s.Source, Metric: s.Metric, MTU: s.MTU, Protocol: s.Protocol, Scope: s.Scope}
	if s.HasKind {
		m.Kind = &s.Kind
	}
	if s.Device != "" {
		d, err := tx.t.device(namespace, s.Device)
		if err != nil {
			return err
		}
		m.Device = d.id
	}
	list := ns.rib.Get(p)
	next, err := fib.Remove(list, &m, fib.FromAPI)
	if err != nil {
		return routeError(err, &fib.Route{Prefix: p, Metric: s.Metric})
	}
	tx.setRoutes(ns, p, list, next)
	return nil
}

// FlushRoutes removes the operator's routes that match. It returns how many.
func (tx *Tx) FlushRoutes(namespace string, match func(RouteInfo) bool) (int, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return 0, err
	}
	return tx.deleteRoutes(ns, func(r *fib.Route) bool {
		return r.Origin == fib.FromAPI && match(tx.t.routeInfo(r))
	}), nil
}

func routeError(err error, r *fib.Route) error {
	switch {
	case errors.Is(err, fib.ErrExists):
		return fail(
			Exists,
			"File exists: route %s metric %d (replace or append it, or give another metric)",
			r.Prefix,
			r.Metric,
		)
	case errors.Is(err, fib.ErrNoEntry):
		return fail(
			NotFound,
			"No such file or directory: no route %s metric %d to change (replace makes one)",
			r.Prefix,
			r.Metric,
		)
	case errors.Is(err, fib.ErrNoProcess):
		return fail(NotFound, "No such process: no route %s fits (see route show %s)", r.Prefix, r.Prefix)
	case errors.Is(err, fib.ErrOrigin):
		return fail(
			Refused,
			"Operation not permitted: route %s comes from an address: delete the address instead",
			r.Prefix,
		)
	}
	return err
}

// checkPrefix masks IPv6 prefixes and refuses IPv4 ones with host bits, as the kernel does.
func checkPrefix(p netip.Prefix) (netip.Prefix, error) {
	switch m := p.Masked(); {
	case !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "":
		return p, fail(Invalid, "%q is no prefix such as 192.0.2.0/24 or 2001:db8::/32", p)
	case p.Addr().Is4() && m != p:
		return p, fail(Invalid, "Invalid prefix for given prefix length: %s has host bits, %s has not", p, m)
	default:
		return m, nil
	}
}

// resolveRoute checks a route that is to be put into ns, and fills in what follows from the state.
func (tx *Tx) resolveRoute(ns *namespace, s RouteSpec) (fib.Route, error) {
	r := fib.Route{
		Gateway: s.Via, Source: s.Source, Metric: s.Metric, MTU: s.MTU, Kind: s.Kind, Protocol: s.Protocol, OnLink: s.OnLink,
	}
	var err error
	if r.Prefix, err = checkPrefix(s.Prefix); err != nil {
		return r, err
	}
	is6 := r.Prefix.Addr().Is6()
	if r.Protocol == fib.ProtoUnspec {
		r.Protocol = fib.ProtoBoot
	}
	if is6 && r.Metric == 0 {
		r.Metric = fib.DefaultMetric6
	}
	switch {
	case is6:
	case s.Scope != nil:
		r.Scope = *s.Scope
	case s.Kind == fib.Local:
		r.Scope = fib.ScopeHost
	case s.Kind == fib.Unicast && !s.Via.IsValid():
		r.Scope = fib.ScopeLink
	}
	if s.MTU != 0 && (s.MTU < minMTU || is6 && s.MTU < minMTU6 || s.MTU > 65535) {
		return r, fail(
			Invalid,
			"mtu %d of route %s: use %d to 65535",
			s.MTU,
			r.Prefix,
			map[bool]int{false: minMTU, true: minMTU6}[is6],
		)
	}
	if s.Source.IsValid() && (s.Source.Is6() != is6 || !ns.hasAddress(s.Source)) {
		return r, fail(
			Invalid,
			"Invalid prefsrc address: src %s is no %s address of namespace %s",
			s.Source,
			family(r.Prefix.Addr()),
			ns.name,
		)
	}
	return r, tx.resolveNextHop(ns, s, &r)
}

func (tx *Tx) resolveNextHop(ns *namespace, s RouteSpec, r *fib.Route) error {
	switch s.Kind {
	case fib.Blackhole, fib.Unreachable, fib.Prohibit, fib.Throw:
		if s.Via.IsValid() || s.Device != "" {
			return fail(Invalid, "Gateway and device can not be specified for this route type: route %s", r.Prefix)
		}
		return nil
	case fib.Local:
		if s.Via.IsValid() {
			return fail(Invalid, "Route with host scope can not have a gateway: via %s", s.Via)
		}
	case fib.Unicast:
	default:
		return fail(Invalid, "routes of this type follow from addresses: add an address instead of route %s", r.Prefix)
	}
	if s.Device != "" {
		d, err := tx.t.device(ns.name, s.Device)
		if err != nil {
			return err
		}
		if !d.up && (!s.Via.IsValid() || s.OnLink) {
			return fail(Refused, "Device for nexthop is not up: link set %s up", s.Device)
		}
		r.Device = d.id
	}
	switch {
	case s.Via.IsValid():
		return tx.resolveGateway(ns, s, r)
	case r.Device == 0:
		return fail(Invalid, "Egress device not specified: route %s needs via ADDRESS or dev NAME", r.Prefix)
	}
	return nil
}

// resolveGateway finds the device of a gateway, which must be a neighbour: fib_check_nh_v4_gw and ip6_route_check_nh of
// the kernel.
func (tx *Tx) resolveGateway(ns *namespace, s RouteSpec, r *fib.Route) error {
	via := s.Via
	switch {
	case via.Is6() != r.Prefix.Addr().Is6():
		return fail(Refused, "via %s: a gateway of the other address family is not supported yet", via)
	case via.IsUnspecified() || via.IsMulticast() || via.IsLoopback() || via.Is4In6() || via.Zone() != "":
		return fail(Invalid, "Nexthop has invalid gateway: via %s is not a neighbour's address", via)
	case via.Is6() && via.IsLinkLocalUnicast() && r.Device == 0:
		return fail(Invalid, "Egress device not specified: via %s is link-local and needs dev NAME", via)
	case ns.hasAddress(via):
		return fail(Invalid, "Gateway can not be a local address: via %s", via)
	case s.OnLink && r.Device == 0:
		return fail(Invalid, "Egress device not specified: onlink needs dev NAME")
	case s.OnLink:
		return nil
	}
	on := ns.rib.OnLink(via, r.Device)
	if on != nil && on.Kind == fib.Unicast {
		r.Device = on.Device
		return nil
	}
	if p, ok := ns.public.FIB.Load().Match(via); on == nil && ok && fib.Best(ns.rib.Get(p), isIndirect) != nil {
		return fail(
			Refused,
			"Nexthop has invalid gateway: via %s is itself behind a gateway (route %s), which is not supported yet",
			via,
			p,
		)
	}
	return fail(Refused, "Nexthop has invalid gateway: no connected network has %s (see addr show, or say onlink)", via)
}

func isIndirect(r *fib.Route) bool { return r.Kind == fib.Unicast && r.Gateway.IsValid() }

// setRoutes replaces the routes of one prefix: the primitive of all changes of routes.
func (tx *Tx) setRoutes(ns *namespace, p netip.Prefix, old, next []*fib.Route) {
	ns.rib.Set(p, next)
	tx.onUndo(func() { ns.rib.Set(p, old) })
	tx.touch(ns, p)
	added := false
	for _, r := range next {
		if !slices.Contains(old, r) {
			added = true
			if r.Origin == fib.FromAPI {
				tx.put(BucketRoute, routeKey(ns.id, r), encodeRoute(r))
			}
			tx.announceRoute(ns, r, false)
		}
	}
	for _, r := range old {
		if !slices.Contains(next, r) {
			// What replaces a route has its key.
			if r.Origin == fib.FromAPI && !added {
				tx.remove(BucketRoute, routeKey(ns.id, r))
			}
			if !added { // a replacement is announced as such
				tx.announceRoute(ns, r, true)
			}
		}
	}
}

// deleteRoutes removes all routes that match and returns how many.
func (tx *Tx) deleteRoutes(ns *namespace, match func(*fib.Route) bool) int {
	n := ns.rib.Len()
	tx.editRoutes(ns, func(list []*fib.Route) []*fib.Route {
		if !slices.ContainsFunc(list, match) {
			return list
		}
		return slices.DeleteFunc(slices.Clone(list), match)
	})
	return n - ns.rib.Len()
}

// editRoutes replaces the list of each prefix by what f makes of it: the same list, or a copy with either some routes
// less or some replaced by others of the same rank and order.
func (tx *Tx) editRoutes(ns *namespace, f func([]*fib.Route) []*fib.Route) {
	type change struct {
		prefix    netip.Prefix
		old, next []*fib.Route
	}
	var changes []change
	for p, list := range ns.rib.From(netip.Prefix{}) {
		if next := f(list); !slices.Equal(next, list) {
			changes = append(changes, change{p, list, next})
		}
	}
	for _, c := range changes {
		tx.setRoutes(ns, c.prefix, c.old, c.next)
	}
}

// flushDeviceRoutes removes the routes through a device that match, but the connected ones.
func (tx *Tx) flushDeviceRoutes(d *device, match func(*fib.Route) bool) {
	if d.ns.rib.Uses(d.id) {
		tx.deleteRoutes(
			d.ns,
			func(r *fib.Route) bool { return r.Device == d.id && r.Origin != fib.Connected && match(r) },
		)
	}
}

func (tx *Tx) announceRoute(ns *namespace, r *fib.Route, deleted bool) {
	tx.announce(ns, RouteEvent, deleted, func(e *Event) { info := tx.t.routeInfo(r); e.Route = &info })
}

func (t *Table) routeInfo(r *fib.Route) RouteInfo {
	info := RouteInfo{Route: *r}
	if d := t.deviceByID(r.Device); d != nil {
		info.DeviceName = d.name
		info.LinkDown = r.Kind == fib.Unicast && !t.carrier(d)
	}
	return info
}
