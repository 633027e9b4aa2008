package header

// IPv6HeaderLen is the length of the fixed header in bytes.
const IPv6HeaderLen = 40

// IPv6MinMTU is the least MTU of a link (RFC 8200 5), in bytes.
const IPv6MinMTU = 1280

// IPv6 is a fixed header and what follows it (RFC 8200 3).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|version| traffic class |           flow label                  |
//	|         payload length        |  next header  |   hop limit   |
//	|                         source address                        |
//	|                              ...                              |
//	|                      destination address                      |
//	|                              ...                              |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type IPv6 []byte

// Version is 6 in a good header.
func (p IPv6) Version() int { return int(p[0] >> 4) }

// TrafficClass is the differentiated services field and the two bits of ECN (RFC 2474, RFC 3168).
func (p IPv6) TrafficClass() byte { return byte(be.Uint16(p[0:2]) >> 4) }

// FlowLabel is the flow label (RFC 6437), 20 bits.
func (p IPv6) FlowLabel() uint32 { return be.Uint32(p[0:4]) & 0xfffff }

// SetTrafficClass writes the traffic class.
func (p IPv6) SetTrafficClass(c byte) { be.PutUint16(p[0:2], be.Uint16(p[0:2])&0xf00f|uint16(c)<<4) }

// PayloadLen is the length behind the fixed header in bytes.
func (p IPv6) PayloadLen() int { return int(be.Uint16(p[4:6])) }

// NextHeader is the type of the header behind this one.
func (p IPv6) NextHeader() byte { return p[6] }

// HopLimit is the number of hops left.
func (p IPv6) HopLimit() byte { return p[7] }

// SetHopLimit writes the hop limit.
func (p IPv6) SetHopLimit(n byte) { p[7] = n }

// Source is the source address as two host-order words.
func (p IPv6) Source() (hi, lo uint64) { return be.Uint64(p[8:16]), be.Uint64(p[16:24]) }

// Destination is the destination address as two host-order words.
func (p IPv6) Destination() (hi, lo uint64) { return be.Uint64(p[24:32]), be.Uint64(p[32:40]) }

// SetSource writes the source address.
func (p IPv6) SetSource(hi, lo uint64) { be.PutUint64(p[8:16], hi); be.PutUint64(p[16:24], lo) }

// SetDestination writes the destination address.
func (p IPv6) SetDestination(hi, lo uint64) { be.PutUint64(p[24:32], hi); be.PutUint64(p[32:40], lo) }

// SetPayloadLen writes the length behind the fixed header.
func (p IPv6) SetPayloadLen(n int) { be.PutUint16(p[4:6], uint16(n)) }

// SetNextHeader writes the type of the header behind this one.
func (p IPv6) SetNextHeader(t byte) { p[6] = t }

// Payload is what follows the fixed header, as long as the header says.
func (p IPv6) Payload() []byte { return p[IPv6HeaderLen : IPv6HeaderLen+p.PayloadLen()] }

// SetIPv6 writes all of the fixed header but the addresses. p holds at least 40 bytes.
func SetIPv6(p IPv6, trafficClass byte, payloadLen int, nextHeader, hopLimit byte) {
	be.PutUint32(p[0:4], 6<<28|uint32(trafficClass)<<20)
	be.PutUint16(p[4:6], uint16(payloadLen))
	p[6], p[7] = nextHeader, hopLimit
}

// Head6 is the first 8 bytes of a header, as a word: for tests of many packets, which thus load them once.
type Head6 uint64

// Load6 loads it.
func Load6(p *[IPv6HeaderLen]byte) Head6 { return Head6(be.Uint64(p[0:8])) }

// IsVersion6 tells that it is one of IPv6.
func (h Head6) IsVersion6() bool { return h>>60 == 6 }

// PayloadLen is [IPv6.PayloadLen].
func (h Head6) PayloadLen() uint32 { return uint32(h >> 16 & 0xffff) }

// NextHeader is [IPv6.NextHeader].
func (h Head6) NextHeader() byte { return byte(h >> 8) }

// BothGlobal tells that source and destination, in the header p that h is of, are of 2000::/3, in which no address has a
// meaning of its own (RFC 4291 2.4, 2.5.4).
func (h Head6) BothGlobal(p *[IPv6HeaderLen]byte) bool { return p[8]>>5 == 1 && p[24]>>5 == 1 }

// FromGlobal tells that the source is of 2000::/3.
func (p IPv6) FromGlobal() bool { return p[8]>>5 == 1 }

// TakeHop6 lowers the hop limit of the packet in an untagged frame; false, and nothing done, where there is no hop to take.
func TakeHop6(b *[EthernetLen + IPv6HeaderLen]byte) bool {
	if b[EthernetLen+7] <= 1 {
		return false
	}
	b[EthernetLen+7]--
	return true
}

// Extension headers (RFC 8200 4, RFC 4302).
const (
	ExtHopByHop    = 0
	ExtRouting     = 43
	ExtFragment    = 44
	ExtAuth        = 51
	ExtDestination = 60
)

// ExtUnit is the unit of an extension header's length, and its least length, in bytes.
const ExtUnit = 8

// MaxExtensions bounds a walk over extension headers.
const MaxExtensions = 16

// IsExtension tells the extension headers that a walk steps over.
func IsExtension(typ byte) bool {
	switch typ {
	case ExtHopByHop, ExtRouting, ExtFragment, ExtAuth, ExtDestination:
		return true
	}
	return false
}

// ExtensionAt is the type of the header behind the extension header of type typ at offset, of which the least length is
// there, and how long the extension header says that it is.
func ExtensionAt(p IPv6, typ byte, offset int) (next byte, length int) {
	switch typ {
	case ExtFragment:
		length = ExtUnit
	case ExtAuth:
		length = 4 * (2 + int(p[offset+1])) // RFC 4302 2.2
	default:
		length = ExtUnit * (1 + int(p[offset+1]))
	}
	return p[offset], length
}

// Extension takes the extension header of the given type at offset for what it is: the type of the header behind it, and
// where that begins. ok is false where the packet, of the length that its header says, or what is here of it, ends before that;
// next then is known
// if the bytes are there that the kernel looks at (ipv6_skip_exthdr).
func (p IPv6) Extension(typ byte, offset int) (next byte, behind int, ok bool) {
	end := min(IPv6HeaderLen+p.PayloadLen(), len(p))
	if offset+2 > end || typ == ExtFragment && offset+4 > end {
		return ProtoNone, 0, false
	}
	next, length := ExtensionAt(p, typ, offset)
	return next, offset + length, offset+length <= end
}

// LaterFragment tells whether the fragment header at offset is that of a fragment other than the first.
func (p IPv6) LaterFragment(offset int) bool { return be.Uint16(p[offset+2:offset+4])&0xfff8 != 0 }

// MoreFragments tells whether the packet is a fragment with more to come, by the first fragment header that there is.
func (p IPv6) MoreFragments() bool {
	typ, at := p.NextHeader(), IPv6HeaderLen
	for range MaxExtensions {
		switch typ {
		case ExtHopByHop, ExtRouting, ExtAuth, ExtDestination:
		case ExtFragment:
			return at+ExtUnit <= min(IPv6HeaderLen+p.PayloadLen(), len(p)) && p[at+3]&1 != 0
		default:
			return false
		}
		next, behind, ok := p.Extension(typ, at)
		if !ok {
			return false
		}
		typ, at = next, behind
	}
	return false
}

// Transport walks over the extension headers of a whole packet (of the length its header says) and returns the upper
// layer's protocol and the offset of its header from p. fragment tells a fragment other than the first, whose
// upper-layer header is elsewhere. ok is false where the chain is cut off or too long; protocol then says what would come
// next, if the packet says so.
func (p IPv6) Transport() (protocol byte, offset int, fragment, ok bool) {
	protocol, offset = p.NextHeader(), IPv6HeaderLen
	for range MaxExtensions {
		if !IsExtension(protocol) {
			return protocol, offset, false, true
		}
		next, behind, ok := p.Extension(protocol, offset)
		if protocol == ExtFragment && offset+4 <= min(IPv6HeaderLen+p.PayloadLen(), len(p)) && p.LaterFragment(offset) {
			return next, behind, true, ok
		}
		if !ok {
			return next, behind, false, false
		}
		protocol, offset = next, behind
	}
	return 0, 0, false, false
}

// Options of the hop-by-hop and destination options headers (RFC 8200 4.2, RFC 2711, RFC 2675).
const (
	OptPad1        = 0x00
	OptPadN        = 0x01
	OptRouterAlert = 0x05
	OptJumbo       = 0xc2
	// OptActionMask has the bits that say what to do about an unknown option.
	OptActionMask   = 0xc0
	OptSkip         = 0x00 // pass over it
	OptDiscard      = 0x40 // in silence
	OptReport       = 0x80 // discard, and say so whatever the destination
	OptReportToHost = 0xc0 // discard, and say so unless the destination is multicast
)
