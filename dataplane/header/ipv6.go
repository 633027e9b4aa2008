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

// TrafficClass is the traffic class (DSCP and ECN).
func (p IPv6) TrafficClass() byte { return byte(be.Uint16(p[0:2]) >> 4) }

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

// NextHeaderOffset is where the type of the header at offset stands: in the fixed header, or in the extension before it.
// offset is one that Transport returned.
func (p IPv6) NextHeaderOffset(offset int) int {
	at := 6 // of the fixed header
	for next, o := p.NextHeader(), IPv6HeaderLen; o < offset; {
		at = o
		length := 8
		if next != ExtFragment {
			length += int(p[o+1]) * 8
		}
		next, o = p[o], o+length
	}
	return at
}

// Extension headers that a walk steps over (RFC 8200 4).
const (
	ExtHopByHop    = 0
	ExtRouting     = 43
	ExtFragment    = 44
	ExtDestination = 60
)

// maxExtensions bounds the walk over extension headers.
const maxExtensions = 8

// Transport walks over the extension headers of a whole packet (of the length its header says) and returns the upper
// layer's protocol and the offset of its header from p. fragment tells a fragment other than the first, whose
// upper-layer header is elsewhere. ok is false where the chain is cut off or too long.
func (p IPv6) Transport() (protocol byte, offset int, fragment, ok bool) {
	protocol, offset = p.NextHeader(), IPv6HeaderLen
	end := IPv6HeaderLen + p.PayloadLen()
	for range maxExtensions {
		switch protocol {
		case ExtHopByHop, ExtRouting, ExtDestination:
			if offset+8 > end {
				return 0, 0, false, false
			}
			protocol, offset = p[offset], offset+8+int(p[offset+1])*8
		case ExtFragment:
			if offset+8 > end {
				return 0, 0, false, false
			}
			if be.Uint16(p[offset+2:offset+4])&0xfff8 != 0 {
				return p[offset], offset + 8, true, true
			}
			protocol, offset = p[offset], offset+8
		default:
			return protocol, offset, false, offset <= end
		}
	}
	return 0, 0, false, false
}
