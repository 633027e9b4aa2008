package fib

import (
	"net/netip"
	"slices"
)

// Match says which route is meant. Zero fields match any.
type Match struct {
	Kind     *Kind // nil: any that is not in the local table
	Source   netip.Addr
	Metric   uint32
	MTU      uint32
	Protocol Protocol
	Scope    *Scope
	Object   ObjectID
	Netns    *NamespaceID // that it leads into
	Legs     []LegMatch
	AllLegs  bool // Legs are all that there are, be it one
}

// LegMatch says which leg is meant. Zero fields match any.
type LegMatch struct {
	Gateway netip.Addr
	Device  DeviceID
	Weight  uint32
}

func (m *LegMatch) matches(l *Leg) bool {
	return (!m.Gateway.IsValid() || m.Gateway == l.Gateway) && (m.Device == 0 || m.Device == l.Device) &&
		(m.Weight == 0 || m.Weight == l.Weight)
}

// Matches tells whether all that m names fits the way: fib_nh_match of the kernel's net/ipv4/fib_semantics.c. One leg is
// compared with the first, several with all.
func (m *Match) Matches(w *Way) bool {
	if m.Kind == nil && w.InLocalTable() || m.Kind != nil && *m.Kind != w.Kind {
		return false
	}
	if m.Netns != nil && (w.Kind != Netns || *m.Netns != w.Netns) {
		return false
	}
	if (len(m.Legs) > 1 || m.AllLegs) && len(m.Legs) != len(w.Legs) || len(m.Legs) > 0 && len(w.Legs) == 0 {
		return false
	}
	for i := range m.Legs {
		if !m.Legs[i].matches(&w.Legs[i]) {
			return false
		}
	}
	return (!m.Source.IsValid() || m.Source == w.Source) &&
		(m.Metric == 0 || m.Metric == w.Metric) &&
		(m.MTU == 0 || m.MTU == w.MTU) &&
		(m.Protocol == 0 || m.Protocol == w.Protocol) &&
		(m.Object == 0 || m.Object == w.Object) &&
		(m.Scope == nil || *m.Scope == w.Scope)
}

// Remove returns the routes of one prefix without the first that m matches (fib_table_delete); the given list is left
// as it is. Of an IPv6 route with several gateways it takes the one that m names (ip6_route_del).
func (b *RIB) Remove(list []*Route, m *Match, origin Origin) ([]*Route, error) {
	var foreign *Route
	for i, r := range list {
		leg := r.legToRemove(m)
		if leg < 0 && !m.Matches(r.Way) {
			continue
		}
		if r.Origin != origin {
			foreign = r
			continue
		}
		if leg >= 0 {
			w := *r.Way
			w.Legs = slices.Delete(slices.Clone(r.Legs), leg, leg+1)
			return replaced(list, i, Route{Way: b.Way(w), Prefix: r.Prefix})
		}
		return Without(list, i), nil
	}
	if foreign != nil {
		return nil, OriginError{foreign.Origin}
	}
	return nil, ErrNoProcess
}

// legToRemove returns which of several legs m names, or -1.
func (r *Route) legToRemove(m *Match) int {
	if len(m.Legs) != 1 || len(r.Legs) < 2 || !r.canSpread() {
		return -1
	}
	for i := range r.Legs {
		one := *r.Way
		one.Legs = r.Legs[i : i+1]
		if m.Matches(&one) {
			return i
		}
	}
	return -1
}

// Without returns the list less its i-th route; nil if that was the last.
func Without(list []*Route, i int) []*Route {
	if len(list) == 1 {
		return nil
	}
	return append(append(make([]*Route, 0, len(list)-1), list[:i]...), list[i+1:]...)
}
