package fib

import (
	"encoding/binary"
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

// ObjectID names a next-hop object of a namespace (ip-nexthop(8)). Zero is none.
type ObjectID uint32

// Leg is one of the ways that a route sends by.
type Leg struct {
	Gateway netip.Addr // invalid: the destination itself is on the link
	Device  DeviceID   // zero: none (blackhole and its like), or the one that leads to the gateway (recursive)
	Weight  uint32     // at least 1
	// OnLink says that the gateway is on the link although no route says so.
	OnLink bool
}

// Recursive tells that the gateway is looked up among the routes.
func (l *Leg) Recursive() bool { return l.Gateway.IsValid() && l.Device == 0 }

// Way is everything about a route but its prefix. Routes of a [RIB] that say the same share one, see [RIB.Way].
type Way struct {
	Kind     Kind
	Protocol Protocol
	Scope    Scope
	Origin   Origin
	Metric   uint32     // the lowest is used
	MTU      uint32     // bytes; zero: the device's
	Source   netip.Addr // preferred source of what the router itself sends; invalid: none
	Object   ObjectID   // the next-hop object to send by; there are no Legs then
	Legs     []Leg      // by which packets are sent, or the device of a route of the local table

	// Record is the form in which the RIB's user stores the way, once it was needed.
	Record []byte

	key  string
	refs int // routes in the RIB
	resolution
}

// Gateway is that of the first leg, or none.
func (w *Way) Gateway() netip.Addr {
	if len(w.Legs) == 0 {
		return netip.Addr{}
	}
	return w.Legs[0].Gateway
}

// Device is that of the first leg, or none.
func (w *Way) Device() DeviceID {
	if len(w.Legs) == 0 {
		return 0
	}
	return w.Legs[0].Device
}

// Uses tells whether any leg leads through a device.
func (w *Way) Uses(dev DeviceID) bool {
	return slices.ContainsFunc(w.Legs, func(l Leg) bool { return l.Device == dev })
}

// recursive tells whether any leg's gateway is looked up among the routes.
func (w *Way) recursive() bool {
	for i := range w.Legs {
		if w.Legs[i].Recursive() {
			return true
		}
	}
	return false
}

// InLocalTable tells routes that Linux keeps in its table "local": they come before all others of their prefix, and are
// not shown by a plain `route show`.
func (w *Way) InLocalTable() bool {
	return w.Kind == Local || w.Kind == Broadcast || w.Kind == Anycast
}

// onLink tells a way whose destinations are neighbours or the router itself.
func (w *Way) onLink() bool {
	return len(w.Legs) > 0 && !w.Legs[0].Gateway.IsValid() && w.Legs[0].Device != 0 &&
		(w.Kind == Unicast || w.InLocalTable())
}

// appendKey appends what tells ways apart.
func (w *Way) appendKey(b []byte) []byte {
	b = append(b, byte(w.Kind), byte(w.Protocol), byte(w.Scope), byte(w.Origin))
	b = binary.LittleEndian.AppendUint32(b, w.Metric)
	b = binary.LittleEndian.AppendUint32(b, w.MTU)
	b = binary.LittleEndian.AppendUint32(b, uint32(w.Object))
	b = appendAddr(b, w.Source)
	for i := range w.Legs {
		l := &w.Legs[i]
		b = appendAddr(b, l.Gateway)
		b = binary.LittleEndian.AppendUint32(b, uint32(l.Device))
		b = binary.LittleEndian.AppendUint32(b, l.Weight)
		if l.OnLink {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

func appendAddr(b []byte, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return append(b, 0)
	case a.Is4():
		v := a.As4()
		return append(append(b, 4), v[:]...)
	}
	v := a.As16()
	return append(append(b, 6), v[:]...)
}

// Route is one route of a namespace. A route in a [RIB] is never changed, only replaced.
type Route struct {
	*Way

	Prefix netip.Prefix // masked; IPv4 unmapped
	// Order sorts routes of one prefix, table and metric; at most one of each Kind has the same. Connected routes have
	// small positive ones of their device; others come after.
	Order int64
}

// sameRank tells routes between which only Order decides: what the kernel calls the same key.
func (r *Route) sameRank(o *Route) bool {
	return r.InLocalTable() == o.InLocalTable() && r.Metric == o.Metric
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
	Append            // NLM_F_CREATE|NLM_F_APPEND: after those of that metric, or, for IPv6 gateways, one more of its legs
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
		at, _ := slices.BinarySearchFunc(list, &r, compareRoutes)
		out := make([]*Route, 0, len(list)+1)
		return append(append(append(out, list[:at]...), &r), list[at:]...), nil
	case op == Add || op == Append:
		return nil, ErrExists
	case matched == target:
		return list, nil
	case matched >= 0:
		return nil, ErrExists
	}
	return replaced(list, first+target, r)
}

// replaceTarget is the route of a rank that r takes the place of: the first, for IPv6 the first that is of several
// gateways or not as r is, if there is one (fib6_add_rt2node).
func replaceTarget(list []*Route, r *Route) int {
	if r.Prefix.Addr().Is6() {
		for i, o := range list {
			if o.canSpread() == r.canSpread() {
				return i
			}
		}
	}
	return 0
}

func replaced(list []*Route, i int, r Route) ([]*Route, error) {
	if list[i].Origin != r.Origin {
		return nil, ErrOrigin
	}
	r.Order = list[i].Order
	out := slices.Clone(list)
	out[i] = &r
	return out, nil
}

// chooseOrder puts r behind the others of its rank.
func (r *Route) chooseOrder(others []*Route) {
	if r.Origin == Connected {
		return
	}
	r.Order = firstOrder
	if n := len(others); n > 0 {
		r.Order = max(firstOrder, others[n-1].Order+1)
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
	return append(append(slices.Clone(list[:end]), &r), list[end:]...), nil
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
