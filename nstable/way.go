package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// way checks what a route of a namespace is to be, but for its prefix of which the family counts, and completes it from
// the state.
func (tx *Tx) way(ns *namespace, s *RouteSpec) (*fib.Way, error) {
	is6 := s.Prefix.Addr().Is6()
	w := fib.Way{
		Source: s.Source, Metric: s.Metric, MTU: s.MTU, Kind: s.Kind, Protocol: s.Protocol, Object: s.Object,
	}
	if w.Protocol == fib.ProtoUnspec {
		w.Protocol = fib.ProtoBoot
	}
	if is6 && w.Metric == 0 {
		w.Metric = fib.DefaultMetric6
	}
	least := uint32(minMTU)
	if is6 {
		least = minMTU6
	}
	if s.MTU != 0 && (s.MTU < least || s.MTU > 65535) {
		return nil, fail(Invalid, "mtu %d of route %s: use %d to 65535", s.MTU, s.Prefix, least)
	}
	if s.Source.IsValid() && (s.Source.Is6() != is6 || !ns.hasAddress(s.Source)) {
		return nil, fail(Invalid, "Invalid prefsrc address: src %s is no %s address of namespace %s",
			s.Source, family(s.Prefix.Addr()), ns.name)
	}
	var err error
	switch {
	case s.Kind == fib.Netns:
		w.Netns, err = tx.into(ns, s)
	case s.Object != 0:
		err = tx.checkObject(ns, s)
	default:
		w.Legs, err = tx.legs(ns, s)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case is6:
	case s.Scope != nil:
		w.Scope = *s.Scope
	case s.Kind == fib.Local:
		w.Scope = fib.ScopeHost
	case s.Kind == fib.Unicast && s.Object == 0 && !w.Gateway().IsValid():
		w.Scope = fib.ScopeLink
	}
	known := ns.rib.Ways()
	out := ns.rib.Way(w)
	if ns.rib.Ways() != known {
		tx.touchedIn(ns) // what is refused further on leaves no way behind
	}
	return out, nil
}

// into finds the namespace that a route leads into.
func (tx *Tx) into(ns *namespace, s *RouteSpec) (NamespaceID, error) {
	other, err := tx.t.namespace(s.Netns)
	switch {
	case err != nil:
		return 0, err
	case other == ns:
		return 0, fail(Invalid, "route %s of namespace %s leads into that itself: nexthop-netns takes another one", s.Prefix, ns.name)
	case len(s.Legs) > 0 || s.Object != 0:
		return 0, fail(Invalid, "nexthop-netns and gateway, device or nhid are mutually exclusive: route %s", s.Prefix)
	}
	return other.id, nil
}

// legs checks what a route is to send by.
func (tx *Tx) legs(ns *namespace, s *RouteSpec) ([]fib.Leg, error) {
	switch s.Kind {
	case fib.Blackhole, fib.Unreachable, fib.Prohibit, fib.Throw:
		if len(s.Legs) > 0 {
			return nil, fail(Invalid, "Gateway and device can not be specified for this route type: route %s", s.Prefix)
		}
		return nil, nil
	case fib.Local:
		if len(s.Legs) > 1 {
			return nil, fail(Invalid, "Route with host scope can not have multiple nexthops: route %s", s.Prefix)
		}
		if len(s.Legs) == 1 && s.Legs[0].Via.IsValid() {
			return nil, fail(Invalid, "Route with host scope can not have a gateway: via %s", s.Legs[0].Via)
		}
	case fib.Unicast:
	default:
		return nil, fail(Invalid, "routes of this type follow from addresses: add an address instead of route %s", s.Prefix)
	}
	if len(s.Legs) == 0 {
		return nil, fail(Invalid, "Egress device not specified: route %s needs via ADDRESS or dev NAME", s.Prefix)
	}
	if len(s.Legs) > fib.MaxHops {
		return nil, fail(Invalid, "route %s has %d next hops: %d at most", s.Prefix, len(s.Legs), fib.MaxHops)
	}
	legs := make([]fib.Leg, len(s.Legs))
	for i := range s.Legs {
		var err error
		if legs[i], err = tx.leg(ns, &s.Legs[i], s.Prefix.Addr().Is6()); err != nil {
			return nil, err
		}
	}
	if s.Prefix.Addr().Is6() && len(legs) > 1 {
		return legs, checkLegs6(s.Prefix, legs)
	}
	return legs, nil
}

// checkLegs6 refuses what ip6_route_multipath_add of the kernel does.
func checkLegs6(p netip.Prefix, legs []fib.Leg) error {
	for i := range legs {
		if !legs[i].Gateway.IsValid() {
			return fail(Invalid, "Device only routes can not be added for IPv6 using the multipath API: route %s", p)
		}
		same := func(l fib.Leg) bool { return l.Gateway == legs[i].Gateway && l.Device == legs[i].Device }
		if slices.ContainsFunc(legs[:i], same) {
			return fail(Exists, "File exists: route %s has nexthop via %s twice", p, legs[i].Gateway)
		}
	}
	return nil
}

// maxWeight is that of the kernel: rtnh_hops has 8 bits, and says one less.
const maxWeight = 256

// leg checks one way to send, of a route or a next-hop object; is6 is the family of the packets.
func (tx *Tx) leg(ns *namespace, s *LegSpec, is6 bool) (fib.Leg, error) {
	l := fib.Leg{Gateway: s.Via, Weight: max(1, s.Weight), OnLink: s.OnLink}
	if l.Weight > maxWeight {
		return l, fail(Invalid, "Invalid value for weight: %d, use 1 to %d", l.Weight, maxWeight)
	}
	if s.Device != "" {
		d, err := tx.t.device(ns.name, s.Device)
		if err != nil {
			return l, err
		}
		if !d.up && (!s.Via.IsValid() || s.OnLink) {
			return l, fail(Refused, "Device for nexthop is not up: link set %s up", s.Device)
		}
		l.Device = d.id
	}
	switch {
	case s.Via.IsValid():
		return l, tx.resolveGateway(ns, &l, is6)
	case l.Device == 0:
		return l, fail(Invalid, "Egress device not specified: a next hop needs via ADDRESS or dev NAME")
	}
	return l, nil
}

// resolveGateway finds the device of a gateway that is a neighbour (fib_check_nh_v4_gw and ip6_route_check_nh of the
// kernel). One that is itself behind a gateway stays without device: it is looked up whenever routes change.
func (tx *Tx) resolveGateway(ns *namespace, l *fib.Leg, is6 bool) error {
	via := l.Gateway
	switch {
	case is6 && via.Is4():
		return fail(Invalid, "via %s: IPv6 is not sent by an IPv4 gateway", via)
	case via.IsUnspecified() || via.IsMulticast() || via.IsLoopback() || via.Is4In6() || via.Zone() != "":
		return fail(Invalid, "Nexthop has invalid gateway: via %s is not a neighbour's address", via)
	case via.Is6() && via.IsLinkLocalUnicast() && l.Device == 0:
		return fail(Invalid, "Egress device not specified: via %s is link-local and needs dev NAME", via)
	case ns.hasAddress(via):
		return fail(Invalid, "Gateway can not be a local address: via %s", via)
	case l.OnLink && l.Device == 0:
		return fail(Invalid, "Egress device not specified: onlink needs dev NAME")
	case l.OnLink:
		return nil
	}
	if l.Device != 0 {
		if on := ns.rib.OnLink(via, l.Device); on != nil && on.Kind == fib.Unicast {
			return nil
		}
		return fail(Refused, "Nexthop has invalid gateway: no network of that device has %s (see addr show, or say onlink)", via)
	}
	switch r := ns.rib.Covering(via); {
	case r == nil || r.Kind == fib.Throw:
		return fail(Refused, "Nexthop has invalid gateway: no route leads to %s (see addr show, or say dev NAME onlink)", via)
	case r.InLocalTable():
		return fail(Refused, "Nexthop has invalid gateway: %s is local", via)
	case r.Kind == fib.Netns:
		return fail(Refused, "Nexthop has invalid gateway: %s is in another namespace (give the route its nexthop-netns)", via)
	case r.Kind == fib.Unicast && r.Object == 0 && len(r.Legs) == 1 && !r.Gateway().IsValid():
		l.Device = r.Device()
	}
	return nil
}

// checkObject checks that a route can use its next-hop object: fib_check_nexthop and fib6_check_nexthop of the kernel.
func (tx *Tx) checkObject(ns *namespace, s *RouteSpec) error {
	o := ns.rib.Object(s.Object)
	switch {
	case o == nil:
		return fail(NotFound, "Nexthop id does not exist: nhid %d (see nexthop show)", s.Object)
	case len(s.Legs) > 0:
		return fail(Invalid, "nexthop and gateway or device are mutually exclusive: route %s nhid %d", s.Prefix, s.Object)
	case s.Kind != fib.Unicast:
		return fail(Invalid, "a route of this type has no next hop: route %s nhid %d", s.Prefix, s.Object)
	case ns.rib.CanSend(o, s.Prefix.Addr().Is6()):
		return nil
	case s.Prefix.Addr().Is6():
		return fail(Invalid, "IPv6 routes can not use an IPv4 nexthop: route %s nhid %d", s.Prefix, s.Object)
	}
	return fail(Invalid, "IPv4 routes use an IPv6 nexthop only by its gateway: route %s nhid %d", s.Prefix, s.Object)
}
