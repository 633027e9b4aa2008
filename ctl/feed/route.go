package feed

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"nsrouter/fib"
)

// Protocol is the routing protocol of the routes that the router itself writes into Linux; they are not learned back.
const Protocol fib.Protocol = 110

// route is a route of Linux. The legs name ifindexes instead of devices, and the object has its number alone.
type route struct {
	prefix netip.Prefix
	way    fib.Way
	// strange says that the router cannot send as the route says (tunnels): packets must not go another way instead.
	strange bool
	own     bool // the router has written it
}

// maxDepth of prefixes, in bits.
const (
	bits4 = 32
	bits6 = 128
)

// parseRoute reads the body of RTM_NEWROUTE or RTM_DELROUTE. It is false for what is no business of the router: routes
// of other tables than main, of the kernel itself (connected ones, which the router has of its own), for a type of service
// or a source prefix, and for multicast. legs is where the legs go; r has it, grown, afterwards.
func parseRoute(body []byte, legs []fib.Leg, r *route) bool {
	*r = route{way: fib.Way{Legs: legs[:0]}}
	if len(body) < unix.SizeofRtMsg {
		return false
	}
	// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags (u32).
	family, bits, protocol := body[0], int(body[1]), body[5]
	flags := binary.NativeEndian.Uint32(body[8:])
	table := uint32(body[4])
	kind, known := routeKind(body[7])
	is6 := family == unix.AF_INET6
	if !is6 && family != unix.AF_INET || body[2] != 0 || body[3] != 0 || !known || flags&unix.RTM_F_CLONED != 0 ||
		protocol == unix.RTPROT_KERNEL || protocol == unix.RTPROT_REDIRECT {
		return false
	}
	w := &r.way
	r.own = protocol == byte(Protocol)
	w.Kind, w.Protocol, w.Scope = kind, fib.Protocol(protocol), fib.Scope(body[6])
	destination := netip.IPv4Unspecified()
	if is6 {
		destination = netip.IPv6Unspecified()
	}
	leg := fib.Leg{Weight: 1, OnLink: flags&unix.RTNH_F_ONLINK != 0}
	for kind, b := range attributes(body[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.RTA_TABLE:
			table = number32(b)
		case unix.RTA_DST:
			destination = address(b)
		case unix.RTA_PRIORITY:
			w.Metric = number32(b)
		case unix.RTA_PREFSRC:
			w.Source = address(b)
		case rtaNexthopID:
			w.Object = fib.ObjectID(number32(b))
		case unix.RTA_MULTIPATH:
			w.Legs = parseLegs(b, w.Legs, &r.strange)
		case unix.RTA_METRICS:
			w.MTU = routeMTU(b)
		default:
			r.strange = parseHop(kind, b, &leg) || r.strange
		}
	}
	if is6 && w.Metric == 0 {
		w.Metric = fib.DefaultMetric6 // as FPM messages may leave it out
	}
	if !usable(destination) || destination.Is6() != is6 || destination.IsMulticast() || table != unix.RT_TABLE_MAIN {
		return false
	}
	if !is6 && bits > bits4 || bits > bits6 {
		return false
	}
	r.prefix = netip.PrefixFrom(destination, bits).Masked()
	if len(w.Legs) == 0 && (leg.Device != 0 || leg.Gateway.IsValid()) {
		w.Legs = append(w.Legs, leg)
	}
	if w.Source.IsValid() && w.Source.Is6() != is6 {
		w.Source = netip.Addr{}
	}
	if is6 && slices.ContainsFunc(w.Legs, func(l fib.Leg) bool { return l.Gateway.Is4() }) {
		r.strange = true
	}
	if w.Kind != fib.Unicast || w.Object != 0 {
		w.Legs, r.strange = w.Legs[:0], false
	}
	return true
}

func routeKind(t byte) (fib.Kind, bool) {
	switch t {
	case unix.RTN_UNICAST:
		return fib.Unicast, true
	case unix.RTN_BLACKHOLE:
		return fib.Blackhole, true
	case unix.RTN_UNREACHABLE:
		return fib.Unreachable, true
	case unix.RTN_PROHIBIT:
		return fib.Prohibit, true
	case unix.RTN_THROW:
		return fib.Throw, true
	}
	return 0, false
}

// parseHop takes up an attribute that says how to send, and tells one that the router cannot follow.
func parseHop(kind int, b []byte, l *fib.Leg) (strange bool) {
	switch kind {
	case unix.RTA_OIF:
		l.Device = fib.DeviceID(number32(b))
	case unix.RTA_GATEWAY:
		l.Gateway = address(b)
		return !usable(l.Gateway)
	case unix.RTA_VIA: // struct rtvia: family (u16), address
		l.Gateway = address(b[min(2, len(b)):])
		return !usable(l.Gateway)
	case unix.RTA_ENCAP_TYPE, unix.RTA_ENCAP, unix.RTA_NEWDST:
		return true
	}
	return false
}

// usable tells an address of IPv4 or IPv6. An MPLS label (AF_MPLS) and a few bytes more or less are none.
func usable(a netip.Addr) bool { return a.IsValid() && !a.Is4In6() }

// parseLegs reads the list of struct rtnexthop: length (u16), flags (u8), hops (u8), ifindex (int), attributes.
func parseLegs(b []byte, legs []fib.Leg, strange *bool) []fib.Leg {
	for len(b) >= unix.SizeofRtNexthop {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtNexthop || size > len(b) || len(legs) >= fib.MaxHops {
			break
		}
		l := fib.Leg{
			Device: fib.DeviceID(number32(b[4:])), Weight: uint32(b[3]) + 1, OnLink: b[2]&unix.RTNH_F_ONLINK != 0,
		}
		for kind, value := range attributes(b[unix.SizeofRtNexthop:size]) {
			*strange = parseHop(kind, value, &l) || *strange
		}
		legs = append(legs, l)
		b = b[min(aligned(size), len(b)):]
	}
	return legs
}

// routeMTU is the MTU among the metrics of a route; 0: none.
func routeMTU(b []byte) uint32 {
	for kind, value := range attributes(b) {
		if kind == unix.RTAX_MTU {
			return number32(value)
		}
	}
	return 0
}

// nexthop is a next-hop object of Linux. Its leg names an ifindex, the ids are numbers.
type nexthop struct {
	object  fib.Object
	strange bool
}

// groupEntry is the size of struct nexthop_grp: id (u32), weight less 1 (u8), its high part (u8), reserved.
const groupEntry = 8

// parseNexthop reads the body of RTM_NEWNEXTHOP or RTM_DELNEXTHOP; false for what is no business of the router.
func parseNexthop(body []byte) (n nexthop, ok bool) {
	const size = 8 // struct nhmsg: family, scope, protocol, reserved, flags (u32)
	if len(body) < size {
		return n, false
	}
	o := &n.object
	o.IPv6, o.Protocol = body[0] == unix.AF_INET6, fib.Protocol(body[2])
	o.Leg = fib.Leg{Weight: 1, OnLink: binary.NativeEndian.Uint32(body[4:])&unix.RTNH_F_ONLINK != 0}
	for kind, b := range attributes(body[size:]) {
		switch kind {
		case unix.NHA_ID:
			o.ID = fib.ObjectID(number32(b))
		case unix.NHA_GROUP:
			for ; len(b) >= groupEntry && len(o.Members) < fib.MaxHops; b = b[groupEntry:] {
				weight := uint32(b[4]) | uint32(b[5])<<8
				o.Members = append(o.Members, fib.Member{ID: fib.ObjectID(number32(b)), Weight: weight + 1})
			}
		case unix.NHA_BLACKHOLE:
			o.Blackhole = true
		case unix.NHA_OIF:
			o.Leg.Device = fib.DeviceID(number32(b))
		case unix.NHA_GATEWAY:
			o.Leg.Gateway = address(b)
			n.strange = n.strange || !usable(o.Leg.Gateway)
		case unix.NHA_ENCAP_TYPE, unix.NHA_ENCAP:
			n.strange = true
		case nhaFDB:
			return n, false
		}
	}
	if o.Blackhole || o.IsGroup() {
		o.Leg, n.strange = fib.Leg{}, false
		o.IPv6 = o.IPv6 && o.Blackhole
	}
	return n, o.ID != 0
}
