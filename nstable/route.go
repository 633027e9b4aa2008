package nstable

import (
	"errors"
	"fmt"
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
	if s.Prefix, err = checkPrefix(s.Prefix); err != nil {
		return err
	}
	w, err := tx.way(ns, &s)
	if err != nil {
		return err
	}
	return tx.putRoute(ns, op, s.Prefix, w)
}

// RouteLoad puts many routes that differ in their prefix only. The specification's own prefix says the family.
type RouteLoad struct {
	tx  *Tx
	ns  *namespace
	op  fib.Op
	way *fib.Way
	is6 bool
}

// LoadRoutes prepares to put routes as s says; its prefix may be any of the family.
func (tx *Tx) LoadRoutes(op fib.Op, namespace string, s RouteSpec) (*RouteLoad, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return nil, err
	}
	w, err := tx.way(ns, &s)
	if err != nil {
		return nil, err
	}
	return &RouteLoad{tx: tx, ns: ns, op: op, way: w, is6: s.Prefix.Addr().Is6()}, nil
}

// Put puts the route of a prefix.
func (l *RouteLoad) Put(p netip.Prefix) error {
	p, err := checkPrefix(p)
	if err != nil {
		return err
	}
	if p.Addr().Is6() != l.is6 {
		return fail(Invalid, "prefix %s is not of the family that its route was given with", p)
	}
	return l.tx.putRoute(l.ns, l.op, p, l.way)
}

// putRoute puts the route of one prefix (masked).
func (tx *Tx) putRoute(ns *namespace, op fib.Op, p netip.Prefix, w *fib.Way) error {
	list := ns.rib.Get(p)
	next, err := ns.rib.Insert(list, op, fib.Route{Way: w, Prefix: p})
	if err != nil {
		if op == fib.Append && errors.Is(err, fib.ErrExists) {
			return fail(Exists, "File exists: route %s metric %d is there already in just this form", p, w.Metric)
		}
		return routeError(err, p, w.Metric)
	}
	if err := tx.checkRoom(ns, len(next)-len(list)); err != nil {
		return err
	}
	if len(next) == len(list) && len(list) > 0 { // replaced
		ns.rib.Follow(ns.public.FIB, w, list[0].Way)
	}
	tx.setRoutes(ns, p, list, next)
	if err := ns.rib.CheckRecursion(p, w); err != nil {
		return recursionError(err, fmt.Sprintf("route %s", p))
	}
	return nil
}

func recursionError(err error, what string) error {
	if errors.Is(err, fib.ErrLoop) {
		return fail(
			Refused,
			"%v: the gateway of %s is looked up through that route itself (give it a route of its own, or"+
				" dev NAME)",
			err,
			what,
		)
	}
	return fail(Refused, "%v: the gateway of %s is behind many others (give it a nearer one)", err, what)
}

// checkRoom refuses more routes than the namespace may have.
func (tx *Tx) checkRoom(ns *namespace, more int) error {
	if limit := int(ns.settings.MaxRoutes); more > 0 && limit > 0 && ns.rib.Len()+more > limit {
		return fail(
			Refused,
			"No space left on device: namespace %s has %d routes, and may have %d (netns set %s max-routes N allows more)",
			ns.name,
			ns.rib.Len(),
			limit,
			ns.name,
		)
	}
	return tx.checkMemory(ns, more)
}

// checkMemory refuses routes for which the namespace's forwarding table would need more than its budget.
func (tx *Tx) checkMemory(ns *namespace, more int) error {
	budget := tx.t.options.TableMemory
	if budget == 0 || more <= 0 {
		return nil
	}
	if need := ns.public.FIB.BytesWith(len(*tx.touchedIn(ns)) + more); need > budget {
		return fail(
			Refused,
			"Cannot allocate memory: the forwarding table of namespace %s would need %d KiB, more than its budget"+
				" of %d KiB (router run --table-memory)",
			ns.name,
			need>>10,
			budget>>10,
		)
	}
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
	m := fib.Match{
		Source: s.Source, Metric: s.Metric, MTU: s.MTU, Protocol: s.Protocol, Scope: s.Scope, Object: s.Object,
		AllLegs: s.AllLegs,
	}
	if s.HasKind {
		m.Kind = &s.Kind
	}
	if s.Netns != "" {
		into, err := tx.t.namespace(s.Netns)
		if err != nil {
			return err
		}
		m.Netns = &into.id
	}
	for i := range s.Legs {
		l := fib.LegMatch{Gateway: s.Legs[i].Via, Weight: s.Legs[i].Weight}
		if s.Legs[i].Device != "" {
			d, err := tx.t.device(namespace, s.Legs[i].Device)
			if err != nil {
				return err
			}
			l.Device = d.id
		}
		m.Legs = append(m.Legs, l)
	}
	list := ns.rib.Get(p)
	next, err := ns.rib.Remove(list, &m, fib.FromAPI)
	if err != nil {
		return routeError(err, p, s.Metric)
	}
	tx.setRoutes(ns, p, list, next)
	return nil
}

// FlushRoutes removes the operator's routes that match. It returns how many.
func (tx *Tx) FlushRoutes(namespace string, match func(*RouteInfo) bool) (int, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return 0, err
	}
	return tx.deleteRoutes(ns, func(r *fib.Route) bool {
		if r.Origin != fib.FromAPI {
			return false
		}
		info := tx.t.routeInfo(ns, r)
		return match(&info)
	}), nil
}

func routeError(err error, p netip.Prefix, metric uint32) error {
	switch {
	case errors.Is(err, fib.ErrExists):
		return fail(Exists, "File exists: route %s metric %d (replace or append it, or give another metric)", p, metric)
	case errors.Is(err, fib.ErrNoEntry):
		return fail(
			NotFound,
			"No such file or directory: no route %s metric %d to change (replace makes one)",
			p,
			metric,
		)
	case errors.Is(err, fib.ErrNoProcess):
		return fail(NotFound, "No such process: no route %s fits (see route show %s)", p, p)
	}
	if owner, ok := errors.AsType[fib.OriginError](err); ok {
		return originError(owner.Owner, fmt.Sprintf("route %s", p))
	}
	return err
}

// originError refuses to change what belongs to somebody else than the operator, and tells who can.
func originError(owner fib.Origin, what string) error {
	mend := "comes from an address: delete the address instead"
	switch owner {
	case fib.FromKernel:
		mend = "comes from Linux: change it there (ip in \"netns exec\", or the routing daemon that made it)"
	case fib.FromFPM:
		mend = "comes from a routing daemon by FPM: change it there"
	}
	return fail(Refused, "Operation not permitted: %s %s", what, mend)
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

// setRoutes replaces the routes of one prefix: the primitive of all changes of routes.
func (tx *Tx) setRoutes(ns *namespace, p netip.Prefix, old, next []*fib.Route) {
	ns.rib.Set(p, next)
	tx.undo = append(tx.undo, undoStep{ns: ns, prefix: p, routes: old})
	touched := tx.touchedIn(ns)
	*touched = append(*touched, p)
	// At most a few of a prefix's routes change.
	for len(old) > 0 && len(next) > 0 && old[0] == next[0] {
		old, next = old[1:], next[1:]
	}
	for len(old) > 0 && len(next) > 0 && old[len(old)-1] == next[len(next)-1] {
		old, next = old[:len(old)-1], next[:len(next)-1]
	}
	if slices.ContainsFunc(old, fromOperator) || slices.ContainsFunc(next, fromOperator) {
		tx.operated(ns).add(p)
	}
	for _, r := range next {
		if len(old) == 0 || !slices.Contains(old, r) {
			if r.Origin == fib.FromAPI {
				tx.put(BucketRoute, tx.routeKey(ns.id, r), routeRecord(r.Way))
			}
			tx.announceRoute(ns, r, false)
		}
	}
	for _, r := range old {
		// What replaces a route has its key, and is announced as a replacement.
		if !slices.Contains(next, r) && !slices.ContainsFunc(next, r.SamePlace) {
			if r.Origin == fib.FromAPI {
				tx.remove(BucketRoute, tx.routeKey(ns.id, r))
			}
			tx.announceRoute(ns, r, true)
		}
	}
}

func fromOperator(r *fib.Route) bool { return r.Origin == fib.FromAPI }

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

// flushDeviceRoutes removes the operator's routes through a device that match. What is learned goes when it goes where it
// is learned from.
func (tx *Tx) flushDeviceRoutes(d *device, match func(*fib.Route) bool) {
	if d.ns.rib.Uses(d.id) {
		tx.deleteRoutes(d.ns, func(r *fib.Route) bool {
			return r.Origin == fib.FromAPI && r.Uses(d.id) && match(r)
		})
	}
}

// dropDeviceLegs removes what leads through a device that goes away: IPv4 routes whole, of IPv6 routes the legs
// (fib_sync_down_dev and fib6_ifdown of the kernel at NETDEV_UNREGISTER).
func (tx *Tx) dropDeviceLegs(d *device) {
	if !d.ns.rib.Uses(d.id) {
		return
	}
	byDevice := func(l fib.Leg) bool { return l.Device == d.id }
	tx.editRoutes(d.ns, func(list []*fib.Route) []*fib.Route {
		if !slices.ContainsFunc(list, func(r *fib.Route) bool { return r.Origin != fib.Connected && r.Uses(d.id) }) {
			return list
		}
		var left []*fib.Route
		for _, r := range list {
			legs := slices.DeleteFunc(slices.Clone(r.Legs), byDevice)
			switch {
			case r.Origin == fib.Connected || len(legs) == len(r.Legs):
				left = append(left, r)
			case r.Prefix.Addr().Is6() && len(legs) > 0:
				w := *r.Way
				w.Legs = legs
				left = append(left, &fib.Route{Way: d.ns.rib.Way(w), Prefix: r.Prefix, Order: r.Order})
			}
		}
		return left
	})
}

// dead tells a route of which no leg is left once a device is down: fib_sync_down_dev of the kernel. A recursive leg
// lives on.
func (tx *Tx) dead(r *fib.Route, down *device) bool {
	return !slices.ContainsFunc(r.Legs, func(l fib.Leg) bool {
		d := tx.t.deviceByID(l.Device)
		return l.Recursive() || d != nil && d != down && d.up
	})
}

func (tx *Tx) announceRoute(ns *namespace, r *fib.Route, deleted bool) {
	if e := tx.event(ns, RouteEvent, deleted, r.InLocalTable()); e != nil {
		e.Route = new(tx.t.routeInfo(ns, r))
	}
}

func (t *Table) routeInfo(ns *namespace, r *fib.Route) RouteInfo {
	info := RouteInfo{Route: *r}
	if r.Kind == fib.Netns {
		info.Netns = t.namespaces[r.Netns].name
	}
	if o := ns.rib.Object(r.Object); o != nil {
		info.Group = o.IsGroup()
	}
	legs := ns.rib.Legs(r.Way)
	if len(legs) > 0 {
		info.Hops = make([]HopInfo, len(legs))
		for i := range legs {
			info.Hops[i] = t.hopInfo(ns, &legs[i], r.Kind)
		}
	}
	return info
}

// hopInfo describes a leg of a route of some kind.
func (t *Table) hopInfo(ns *namespace, l *fib.Leg, kind fib.Kind) HopInfo {
	info := HopInfo{Gateway: l.Gateway, Weight: l.Weight, OnLink: l.OnLink}
	if d := t.deviceByID(l.Device); d != nil {
		info.Device = d.name
		info.Dead = !d.up
		info.LinkDown = kind == fib.Unicast && d.up && !t.carrier(d)
	}
	if l.Recursive() {
		info.Recursive, info.Unresolved = true, ns.rib.Longest(l.Gateway) == nil
	}
	return info
}
