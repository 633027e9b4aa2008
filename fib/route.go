package fib

import (
	"errors"
	"net/netip"
	"slices"
)

// Kind is what a route does with a packet; the route types of ip-route(8).
type Kind uint8

// Route kinds.
const (
	Unicast     Kind = iota // send by Device, to Gateway or, without one, to the destination itself
	Local                   // the router's own address
	Broadcast               // the broadcast address of a connected IPv4 prefix
	Anycast                 // the subnet-router anycast address of a connected IPv6 prefix (RFC 4291 2.6.1)
	Blackhole               // drop silently
	Unreachable             // drop, answer host unreachable
	Prohibit                // drop, answer administratively prohibited
	Throw                   // as if there were no route
	Netns                   // look up again in another namespace
)

// Forwards tells what sends a packet on its way, be it in another namespace.
func (k Kind) Forwards() bool { return k == Unicast || k == Netns }

// Origin says who owns a route or a next-hop object: only its origin may change or delete it.
type Origin uint8

// Origins.
const (
	FromAPI    Origin = iota // set by the operator; stored
	Connected                // follows from an address of a device; never stored
	FromKernel               // a route of the Linux namespace; learned again, never stored
	FromFPM                  // told by a routing daemon's FPM; likewise
)

// Learned tells origins that follow what somebody else has: the operator's commands, and what happens to devices and
// addresses here, leave their routes in place until that one takes them back.
func (o Origin) Learned() bool { return o >= FromKernel }

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
	*Way

	Prefix netip.Prefix // masked; IPv4 unmapped
	// Order sorts routes of one prefix, table and metric; at most one of each Kind has the same. Connected routes have
	// small positive ones of their device; others come after, origin by origin in the order of those.
	Order int64
}

// sameRank tells routes between which only Order decides: what the kernel calls the same key.
func (r *Route) sameRank(o *Route) bool {
	return r.InLocalTable() == o.InLocalTable() && r.Metric == o.Metric
}

// SamePlace tells routes of one prefix of which one takes the place of the other.
func (r *Route) SamePlace(o *Route) bool {
	return r.sameRank(o) && r.Order == o.Order && (r.Origin != Connected || r.Kind == o.Kind)
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

// firstOrder is the least Order of a route of an origin that is not Connected: what the operator says goes before what
// is learned with the same metric.
func firstOrder(o Origin) int64 { return 1<<32 + int64(o)<<48 }

// Op is how a route is to be put among others of its prefix: the flags of RTM_NEWROUTE that `ip route` gives.
type Op uint8

// Operations.
const (
	Add     Op = iota // NLM_F_CREATE|NLM_F_EXCL: none of that metric may be there
	Replace           // NLM_F_CREATE|NLM_F_REPLACE: takes the place of the first of that metric
	Append            // NLM_F_CREATE|NLM_F_APPEND: after those of that metric, or, for IPv6 gateways, one more of its legs
	Change            // NLM_F_REPLACE: as Replace, but one must be there
)

// What Insert and Remove fail with; the texts are the kernel's.
var (
	ErrExists    = errors.New("File exists")
	ErrNoEntry   = errors.New("No such file or directory")
	ErrNoProcess = errors.New("No such process")
	// ErrOrigin says that the route belongs to somebody else, as a connected one to its address; an [OriginError] is one.
	ErrOrigin = errors.New("Operation not permitted")
)

// OriginError is an ErrOrigin that tells the owner.
type OriginError struct{ Owner Origin }

// Error is the kernel's text.
func (OriginError) Error() string { return ErrOrigin.Error() }

// Unwrap is ErrOrigin.
func (OriginError) Unwrap() error { return ErrOrigin }

// Insert returns the routes of one prefix after op; the given list, sorted as in a [RIB], is left as it is. The rules
// are those of fib_table_insert of the kernel's net/ipv4/fib_trie.c, for IPv6 as well, where Append besides makes
// several gateways one route (fib6_add_rt2node of net/ipv6/ip6_fib.c). r.Order is chosen here, unless r is connected.
// The ways of all routes are of b.
func (b *RIB) Insert(list []*Route, op Op, r Route) ([]*Route, error) {
	first, end := rank(list, &r)
	if first == end && op != Change && len(list) == 0 { // the usual case
		r.chooseOrder(nil)
		return []*Route{&r}, nil
	}
	matched := slices.IndexFunc(list[first:end], func(o *Route) bool { return o.Way == r.Way })
	target := replaceTarget(list[first:end], &r)
	switch {
	case first == end && op == Change:
		return nil, ErrNoEntry
	case first < end && op == Append && r.canSpread():
		return b.spread(list, first, end, r)
	case first == end || op == Append && matched < 0:
		r.chooseOrder(list[first:end])
		return inserted(list, &r), nil
	case op == Add || op == Append:
		return nil, ErrExists
	case matched == target:
		return list, nil
	case matched >= 0:
		return nil, ErrExists
	}
	return replaced(list, first+target, r)
}

// replaceTarget is the route of a rank that r takes the place of: the first, for IPv6 the first of its origin that is of
// several gateways or not as r is, if there is one (fib6_add_rt2node).
func replaceTarget(list []*Route, r *Route) int {
	if r.Prefix.Addr().Is6() {
		for i, o := range list {
			if o.Origin == r.Origin && o.canSpread() == r.canSpread() {
				return i
			}
		}
	}
	return 0
}

func replaced(list []*Route, i int, r Route) ([]*Route, error) {
	if list[i].Origin != r.Origin {
		return nil, OriginError{list[i].Origin}
	}
	r.Order = list[i].Order
	out := slices.Clone(list)
	out[i] = &r
	return out, nil
}

// chooseOrder puts r behind the others of its rank and origin.
func (r *Route) chooseOrder(others []*Route) {
	if r.Origin == Connected {
		return
	}
	r.Order = firstOrder(r.Origin)
	for _, o := range others {
		if o.Origin == r.Origin {
			r.Order = o.Order + 1
		}
	}
}

// canSpread tells an IPv6 route that others of its rank can be joined with: rt6_qualify_for_ecmp of the kernel.
func (r *Route) canSpread() bool {
	return r.Prefix.Addr().Is6() && r.Kind == Unicast && r.Origin != Connected && r.Object == 0 && r.Gateway().IsValid()
}

// spread adds the legs of r to the first route of list[first:end] that takes them.
func (b *RIB) spread(list []*Route, first, end int, r Route) ([]*Route, error) {
	for i := first; i < end; i++ {
		o := list[i]
		if !o.canSpread() || o.Origin != r.Origin {
			continue
		}
		w := *o.Way
		w.Legs = slices.Clone(o.Legs)
		for _, l := range r.Legs {
			if slices.ContainsFunc(w.Legs, l.sameGateway) {
				return nil, ErrExists
			}
			w.Legs = append(w.Legs, l)
		}
		r.Way = b.Way(w)
		return replaced(list, i, r)
	}
	r.chooseOrder(list[first:end])
	return inserted(list, &r), nil
}

// inserted returns the list with one more route, in its place.
func inserted(list []*Route, r *Route) []*Route {
	at, _ := slices.BinarySearchFunc(list, r, compareRoutes)
	out := make([]*Route, 0, len(list)+1)
	return append(append(append(out, list[:at]...), r), list[at:]...)
}

func (l Leg) sameGateway(o Leg) bool { return l.Gateway == o.Gateway && l.Device == o.Device }

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
