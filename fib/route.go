package fib

import (
	"errors"
	"net/netip"
	"slices"
)

// Origin says who owns a route: only its origin may change or delete it.
type Origin uint8

// Origins.
const (
	FromAPI   Origin = iota // set by the operator; stored
	Connected               // follows from an address of a device; never stored
)

// Protocol is the routing protocol identifier of rt_protos(5), RTPROT_*.
type Protocol uint8

// Protocols that this package needs; any other number is allowed.
const (
	ProtoUnspec Protocol = 0
	ProtoKernel Protocol = 2
	ProtoBoot   Protocol = 3
	ProtoStatic Protocol = 4
)

// Scope is the distance to the destination, RT_SCOPE_* of rtnetlink(7).
type Scope uint8

// Scopes.
const (
	ScopeUniverse Scope = 0
	ScopeLink     Scope = 253
	ScopeHost     Scope = 254
	ScopeNowhere  Scope = 255
)

// DefaultMetric6 is the metric of an IPv6 route that is given none (IP6_RT_PRIO_USER of linux/ipv6_route.h).
const DefaultMetric6 = 1024

// Route is one route of a namespace. A route in a [RIB] is never changed, only replaced.
type Route struct {
	Prefix   netip.Prefix // masked; IPv4 unmapped
	Gateway  netip.Addr   // invalid: the destination itself is on the link
	Source   netip.Addr   // preferred source of what the router itself sends; invalid: none
	Device   DeviceID     // zero: none (blackhole and its like)
	Metric   uint32       // the lowest is used
	MTU      uint32       // bytes; zero: the device's
	Kind     Kind
	Protocol Protocol
	Scope    Scope
	Origin   Origin
	// OnLink says that the gateway is on the link although no route says so.
	OnLink bool
	// Order sorts routes of one prefix, table and metric; at most one of each Kind has the same. Connected routes have
	// small positive ones of their device; others come after.
	Order int64
}

// InLocalTable tells routes that Linux keeps in its table "local": they come before all others of their prefix, and are
// not shown by a plain `route show`.
func (r *Route) InLocalTable() bool {
	return r.Kind == Local || r.Kind == Broadcast || r.Kind == Anycast
}

// Hop is what the forwarding table needs of the route.
func (r *Route) Hop() NextHop {
	h := NextHop{Kind: r.Kind, Device: r.Device, MTU: r.MTU}
	if r.Gateway.IsValid() {
		h.Gateway = AddrOf(r.Gateway)
	}
	return h
}

// sameRank tells routes between which only Order decides: what the kernel calls the same key.
func (r *Route) sameRank(o *Route) bool {
	return r.InLocalTable() == o.InLocalTable() && r.Metric == o.Metric
}

// same tells equal routes, whatever their place.
func (r *Route) same(o *Route) bool {
	a := *r
	a.Order = o.Order
	return a == *o
}

func compareRoutes(a, b *Route) int {
	switch al, bl := a.InLocalTable(), b.InLocalTable(); {
	case al != bl && al:
		return -1
	case al != bl:
		return 1
	case a.Metric != b.Metric:
		if a.Metric < b.Metric {
			return -1
		}
		return 1
	case a.Order < b.Order:
		return -1
	case a.Order > b.Order:
		return 1
	}
	// Of the routes of one device in the local table, its own address comes before broadcast and anycast.
	return int(a.Kind) - int(b.Kind)
}

// firstOrder is the least Order of a route that is not connected.
const firstOrder = 1 << 32

// Op is how a route is to be put among others of its prefix: the flags of RTM_NEWROUTE that `ip route` gives.
type Op uint8

// Operations.
const (
	Add     Op = iota // NLM_F_CREATE|NLM_F_EXCL: none of that metric may be there
	Replace           // NLM_F_CREATE|NLM_F_REPLACE: takes the place of the first of that metric
	Append            // NLM_F_CREATE|NLM_F_APPEND: after those of that metric
	Change            // NLM_F_REPLACE: as Replace, but one must be there
)

// What Insert and Remove fail with; the texts are the kernel's.
var (
	ErrExists    = errors.New("File exists")
	ErrNoEntry   = errors.New("No such file or directory")
	ErrNoProcess = errors.New("No such process")
	// ErrOrigin says that the route belongs to somebody else, as a connected one to its address.
	ErrOrigin = errors.New("Operation not permitted")
)

// Insert returns the routes of one prefix after op; the given list, sorted as in a [RIB], is left as it is. The rules
// are those of fib_table_insert of the kernel's net/ipv4/fib_trie.c, for IPv6 as well. r.Order is chosen here, unless r
// is connected.
func Insert(list []*Route, op Op, r Route) ([]*Route, error) {
	first, end := rank(list, &r)
	matched := slices.IndexFunc(list[first:end], r.same)
	switch {
	case first == end && op == Change:
		return nil, ErrNoEntry
	case first == end || op == Append && matched < 0:
		if r.Origin != Connected {
			r.Order = firstOrder
			if first < end {
				r.Order = max(firstOrder, list[end-1].Order+1)
			}
		}
		at, _ := slices.BinarySearchFunc(list, &r, compareRoutes)
		out := make([]*Route, 0, len(list)+1)
		return append(append(append(out, list[:at]...), &r), list[at:]...), nil
	case op == Add || op == Append:
		return nil, ErrExists
	case matched == 0:
		return list, nil
	case matched > 0:
		return nil, ErrExists
	}
	if list[first].Origin != r.Origin {
		return nil, ErrOrigin
	}
	r.Order = list[first].Order
	out := slices.Clone(list)
	out[first] = &r
	return out, nil
}

// rank returns the range of list that has the rank of r.
func rank(list []*Route, r *Route) (first, end int) {
	for first < len(list) && !list[first].sameRank(r) {
		first++
	}
	end = first
	for end < len(list) && list[end].sameRank(r) {
		end++
	}
	return first, end
}

// Match says which route is meant. Zero fields match any.
type Match struct {
	Kind     *Kind // nil: any that is not in the local table
	Gateway  netip.Addr
	Source   netip.Addr
	Device   DeviceID
	Metric   uint32
	MTU      uint32
	Protocol Protocol
	Scope    *Scope
}

// Matches tells whether all that m names fits the route.
func (m *Match) Matches(r *Route) bool {
	if m.Kind == nil && r.InLocalTable() || m.Kind != nil && *m.Kind != r.Kind {
		return false
	}
	return (!m.Gateway.IsValid() || m.Gateway == r.Gateway) &&
		(!m.Source.IsValid() || m.Source == r.Source) &&
		(m.Device == 0 || m.Device == r.Device) &&
		(m.Metric == 0 || m.Metric == r.Metric) &&
		(m.MTU == 0 || m.MTU == r.MTU) &&
		(m.Protocol == 0 || m.Protocol == r.Protocol) &&
		(m.Scope == nil || *m.Scope == r.Scope)
}

// Remove returns the routes of one prefix without the first that m matches (fib_table_delete); the given list is left
// as it is.
func Remove(list []*Route, m *Match, origin Origin) ([]*Route, error) {
	foreign := false
	for i, r := range list {
		if !m.Matches(r) {
			continue
		}
		if r.Origin == origin {
			return Without(list, i), nil
		}
		foreign = true
	}
	if foreign {
		return nil, ErrOrigin
	}
	return nil, ErrNoProcess
}

// Without returns the list less its i-th route; nil if that was the last.
func Without(list []*Route, i int) []*Route {
	if len(list) == 1 {
		return nil
	}
	return append(append(make([]*Route, 0, len(list)-1), list[:i]...), list[i+1:]...)
}
