package feed

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"nsrouter/fib"
)

// appendMessage appends a netlink message.
func appendMessage(b []byte, kind, flags uint16, sequence uint32, body []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, uint32(headerSize+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // port: the kernel's business
	b = append(b, body...)
	return append(b, make([]byte, aligned(len(body))-len(body))...)
}

// appendAttribute appends an attribute to the body of a message.
func appendAttribute(b []byte, kind int, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(attributeSize+len(value)))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = append(b, value...)
	return append(b, make([]byte, aligned(len(value))-len(value))...)
}

func attribute32(b []byte, kind int, value uint32) []byte {
	return appendAttribute(b, kind, binary.NativeEndian.AppendUint32(nil, value))
}

// appendRoute appends the body of RTM_NEWROUTE or RTM_DELROUTE for a route whose legs name ifindexes of Linux. Table is main.
func appendRoute(b []byte, p netip.Prefix, w *fib.Way) []byte {
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	kind := routeTypes[w.Kind]
	// struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags (u32).
	b = append(b, family, byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, byte(w.Protocol), byte(w.Scope), kind, 0, 0, 0, 0)
	b = appendAttribute(b, unix.RTA_DST, p.Addr().AsSlice())
	b = attribute32(b, unix.RTA_PRIORITY, w.Metric)
	if w.Source.IsValid() {
		b = appendAttribute(b, unix.RTA_PREFSRC, w.Source.AsSlice())
	}
	if w.MTU != 0 {
		b = appendAttribute(b, unix.RTA_METRICS, attribute32(nil, unix.RTAX_MTU, w.MTU))
	}
	switch {
	case w.Kind != fib.Unicast || len(w.Legs) == 0:
	case len(w.Legs) == 1:
		l := &w.Legs[0]
		if l.OnLink {
			b = setFlags(b)
		}
		b = appendHop(attribute32(b, unix.RTA_OIF, uint32(l.Device)), l, family)
	default:
		var legs []byte
		for i := range w.Legs {
			legs = appendLeg(legs, &w.Legs[i], family)
		}
		b = appendAttribute(b, unix.RTA_MULTIPATH, legs)
	}
	return b
}

// routeTypes are the route types of Linux, by kind.
//
//nolint:gochecknoglobals // a constant table
var routeTypes = [...]byte{
	fib.Unicast: unix.RTN_UNICAST, fib.Local: unix.RTN_LOCAL, fib.Broadcast: unix.RTN_BROADCAST, fib.Anycast: unix.RTN_ANYCAST,
	fib.Blackhole: unix.RTN_BLACKHOLE, fib.Unreachable: unix.RTN_UNREACHABLE, fib.Prohibit: unix.RTN_PROHIBIT,
	fib.Throw: unix.RTN_THROW,
}

// setFlags says RTNH_F_ONLINK in the rtmsg that b begins with.
func setFlags(b []byte) []byte {
	binary.NativeEndian.PutUint32(b[unix.SizeofRtMsg-4:], unix.RTNH_F_ONLINK)
	return b
}

// appendLeg appends a struct rtnexthop.
func appendLeg(b []byte, l *fib.Leg, family byte) []byte {
	start := len(b)
	flags := byte(0)
	if l.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	b = append(b, 0, 0, flags, byte(l.Weight-1))
	b = binary.NativeEndian.AppendUint32(b, uint32(l.Device))
	b = appendHop(b, l, family)
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	return b
}

// appendHop appends the gateway of a leg.
func appendHop(b []byte, l *fib.Leg, family byte) []byte {
	switch {
	case !l.Gateway.IsValid():
		return b
	case family == unix.AF_INET && l.Gateway.Is6(): // struct rtvia: family (u16), address
		return appendAttribute(b, unix.RTA_VIA,
			append(binary.NativeEndian.AppendUint16(nil, unix.AF_INET6), l.Gateway.AsSlice()...))
	}
	return appendAttribute(b, unix.RTA_GATEWAY, l.Gateway.AsSlice())
}
