package main

import (
	"strconv"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// Names of numbers, as iproute2's rt_protos and rtnetlink have them.

// routeTypeName is the word for a type of route.
func routeTypeName(t v1.RouteType) string {
	switch t {
	case v1.RouteType_ROUTE_TYPE_UNICAST:
		return "unicast"
	case v1.RouteType_ROUTE_TYPE_LOCAL:
		return "local"
	case v1.RouteType_ROUTE_TYPE_BROADCAST:
		return "broadcast"
	case v1.RouteType_ROUTE_TYPE_ANYCAST:
		return "anycast"
	case v1.RouteType_ROUTE_TYPE_BLACKHOLE:
		return "blackhole"
	case v1.RouteType_ROUTE_TYPE_UNREACHABLE:
		return "unreachable"
	case v1.RouteType_ROUTE_TYPE_PROHIBIT:
		return "prohibit"
	case v1.RouteType_ROUTE_TYPE_THROW:
		return "throw"
	}
	return strconv.Itoa(int(t))
}

// routeType is the type that a word names, or 0.
func routeType(w string) v1.RouteType {
	if w == "" || w[0] >= '0' && w[0] <= '9' {
		return 0 // a prefix: the usual case in a batch
	}
	for t := v1.RouteType_ROUTE_TYPE_UNICAST; t <= v1.RouteType_ROUTE_TYPE_THROW; t++ {
		if routeTypeName(t) == w {
			return t
		}
	}
	return 0
}

// inLocalTable tells the types of routes that the table local has.
func inLocalTable(t v1.RouteType) bool {
	switch t {
	case v1.RouteType_ROUTE_TYPE_LOCAL, v1.RouteType_ROUTE_TYPE_BROADCAST, v1.RouteType_ROUTE_TYPE_ANYCAST:
		return true
	}
	return false
}

const (
	protocolBoot = 3 // of a route whose maker is not said
	maxProtocol  = 255
)

// protocolName is the word for who made a route; any other number is allowed.
func protocolName(n uint32) string {
	switch n {
	case 0:
		return "unspec"
	case 1:
		return "redirect"
	case 2:
		return "kernel"
	case protocolBoot:
		return "boot"
	case 4:
		return "static"
	case 8:
		return "gated"
	case 9:
		return "ra"
	case 10:
		return "mrt"
	case 11:
		return "zebra"
	case 12:
		return "bird"
	case 13:
		return "dnrouted"
	case 14:
		return "xorp"
	case 15:
		return "ntk"
	case 16:
		return "dhcp"
	case 18:
		return "keepalived"
	case 42:
		return "babel"
	case 99:
		return "openr"
	case 186:
		return "bgp"
	case 187:
		return "isis"
	case 188:
		return "ospf"
	case 189:
		return "rip"
	case 192:
		return "eigrp"
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (a *args) protocol() uint32 {
	s := a.value("proto")
	if n, err := strconv.ParseUint(s, 0, 8); err == nil {
		return uint32(n)
	}
	for n := range uint32(maxProtocol + 1) {
		if protocolName(n) == s {
			return n
		}
	}
	a.fail("argument %q is wrong: \"protocol\" is kernel, boot, static, another name or a number up to 255", s)
	return 0
}
