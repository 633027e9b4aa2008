package server

import (
	"net/netip"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/fib"
	"nsrouter/nstable"
)

func planRoute(ns string, r *v1.RouteChange) (step, error) {
	spec, err := routeSpec(r)
	if err != nil {
		return step{}, err
	}
	if r.GetVerb() == v1.Verb_VERB_DELETE {
		return done(func(tx *nstable.Tx) error { return tx.DeleteRoute(ns, spec) })
	}
	op, ok := routeOp(r.GetVerb())
	if !ok {
		return step{}, invalid("a route can be added, replaced, appended, changed or deleted")
	}
	return done(func(tx *nstable.Tx) error { return tx.Route(op, ns, spec) })
}

func routeOp(v v1.Verb) (fib.Op, bool) {
	switch v {
	case v1.Verb_VERB_ADD:
		return fib.Add, true
	case v1.Verb_VERB_REPLACE:
		return fib.Replace, true
	case v1.Verb_VERB_APPEND:
		return fib.Append, true
	case v1.Verb_VERB_CHANGE:
		return fib.Change, true
	}
	return 0, false
}

func routeSpec(r *v1.RouteChange) (nstable.RouteSpec, error) {
	spec := nstable.RouteSpec{
		Metric: r.GetMetric(), MTU: r.GetMtu(), Protocol: fib.Protocol(r.GetProtocol()), Object: fib.ObjectID(r.GetNhid()),
		AllLegs: len(r.GetNexthops()) > 0,
	}
	var err error
	if spec.Prefix, err = netip.ParsePrefix(r.GetPrefix()); err != nil {
		return spec, invalid("any valid prefix is expected rather than %q", r.GetPrefix())
	}
	if spec.Legs, err = legSpecs(r); err != nil {
		return spec, err
	}
	if spec.Source, err = optionalAddr("src", r.GetSrc()); err != nil {
		return spec, err
	}
	if r.GetProtocol() > maxByte || r.GetScope() > maxByte {
		return spec, invalid("protocol %d or scope %d is wrong: they go up to 255", r.GetProtocol(), r.GetScope())
	}
	if r.Scope != nil {
		spec.Scope = new(fib.Scope(r.GetScope()))
	}
	if t := r.GetType(); t != v1.RouteType_ROUTE_TYPE_UNSPECIFIED {
		kind, ok := kinds()[t]
		if !ok {
			return spec, invalid("route type %d is unknown", t)
		}
		spec.Kind, spec.HasKind = kind, true
	}
	if spec.Netns = r.GetNexthopNetns(); spec.Netns != "" {
		if spec.Kind != fib.Unicast {
			return spec, invalid("route %s: a route of this type has no nexthop-netns", r.GetPrefix())
		}
		spec.Kind, spec.HasKind = fib.Netns, true
	}
	if spec.Protocol == 0 && r.GetVerb() != v1.Verb_VERB_DELETE {
		spec.Protocol = fib.ProtoBoot
	}
	return spec, nil
}

// legSpecs reads by what a route sends: one way, or several.
func legSpecs(r *v1.RouteChange) ([]nstable.LegSpec, error) {
	one := r.GetGateway() != "" || r.GetDev() != "" || r.GetOnlink()
	if len(r.GetNexthops()) == 0 {
		if !one {
			return nil, nil
		}
		via, err := optionalAddr("via", r.GetGateway())
		return []nstable.LegSpec{{Via: via, Device: r.GetDev(), OnLink: r.GetOnlink()}}, err
	}
	if one {
		return nil, invalid("route %s: give either via and dev, or nexthop for each way", r.GetPrefix())
	}
	legs := make([]nstable.LegSpec, len(r.GetNexthops()))
	for i, h := range r.GetNexthops() {
		via, err := optionalAddr("via", h.GetGateway())
		if err != nil {
			return nil, err
		}
		legs[i] = nstable.LegSpec{Via: via, Device: h.GetDev(), Weight: h.GetWeight(), OnLink: h.GetOnlink()}
	}
	return legs, nil
}

// maxByte is the largest protocol or scope of rtnetlink.
const maxByte = 255

func optionalAddr(keyword, s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return a, invalid("an address is expected rather than %q after %q", s, keyword)
	}
	return a, nil
}
