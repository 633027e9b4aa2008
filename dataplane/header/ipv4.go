package header

import "math/bits"

// IPv4MinLen is the length of a header without options in bytes.
const IPv4MinLen = 20

// IP protocol numbers.
const (
	ProtoICMP    = 1
	ProtoIGMP    = 2
	ProtoTCP     = 6
	ProtoUDP     = 17
	ProtoDCCP    = 33
	ProtoICMPv6  = 58
	ProtoNone    = 59 // IPv6: no next header
	ProtoSCTP    = 132
	ProtoUDPLite = 136
)

// IPv4 is a header and what follows it (RFC 791 3.1).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|version|  IHL  |type of service|          total length         |
//	|         identification        |flags|      fragment offset    |
//	|  time to live |    protocol   |         header checksum       |
//	|                         source address                        |
//	|                      destination address                      |
//	|                    options                    |    padding    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type IPv4 []byte

// Version is 4 in a good header.
func (p IPv4) Version() int { return int(p[0] >> 4) }

// HeaderLen is the header's length in bytes, options included.
func (p IPv4) HeaderLen() int { return int(p[0]&0xf) * 4 }

// TOS is the type of service byte (DSCP and ECN).
func (p IPv4) TOS() byte { return p[1] }

// SetTOS writes the type of service byte without touching the checksum.
func (p IPv4) SetTOS(tos byte) { p[1] = tos }

// TotalLen is the length of header and payload in bytes.
func (p IPv4) TotalLen() int { return int(be.Uint16(p[2:4])) }

// DontFragment tells the DF flag.
func (p IPv4) DontFragment() bool { return p[6]&0x40 != 0 }

// FragmentOffset is in units of 8 bytes.
func (p IPv4) FragmentOffset() int { return int(be.Uint16(p[6:8]) & 0x1fff) }

// IsFragment tells a packet that is only a part of one.
func (p IPv4) IsFragment() bool { return be.Uint16(p[6:8])&0x3fff != 0 }

// MoreFragments tells the MF flag: this is not the last part.
func (p IPv4) MoreFragments() bool { return p[6]&0x20 != 0 }

// ID is the identification, the same in all fragments of a datagram.
func (p IPv4) ID() uint16 { return be.Uint16(p[4:6]) }

// SetTotalLen writes the length of header and payload without touching the checksum.
func (p IPv4) SetTotalLen(n int) { be.PutUint16(p[2:4], uint16(n)) }

// SetFragment writes flags and offset (in units of 8 bytes) without touching the checksum; DF is off.
func (p IPv4) SetFragment(offset int, more bool) {
	v := uint16(offset)
	if more {
		v |= 0x2000
	}
	be.PutUint16(p[6:8], v)
}

// TTL is the time to live in hops.
func (p IPv4) TTL() byte { return p[8] }

// Protocol is the number of the payload's protocol.
func (p IPv4) Protocol() byte { return p[9] }

// Source is the source address in host order.
func (p IPv4) Source() uint32 { return be.Uint32(p[12:16]) }

// Destination is the destination address in host order.
func (p IPv4) Destination() uint32 { return be.Uint32(p[16:20]) }

// SetSource writes the source address without touching the checksum.
func (p IPv4) SetSource(a uint32) { be.PutUint32(p[12:16], a) }

// SetDestination writes the destination address without touching the checksum.
func (p IPv4) SetDestination(a uint32) { be.PutUint32(p[16:20], a) }

// SetOptions writes options, a multiple of 4 bytes, behind the fixed part of a header, and with them the header length;
// the checksum is left to the caller.
func (p IPv4) SetOptions(options []byte) {
	p[0] = 4<<4 | byte((IPv4MinLen+len(options))/4)
	copy(p[IPv4MinLen:], options)
}

// ChecksumOK verifies the header checksum over the header's length.
func (p IPv4) ChecksumOK() bool {
	if p[0] == 0x45 {
		return Fold(sum20(p)) == 0xffff
	}
	return Fold(Sum(0, p[:p.HeaderLen()])) == 0xffff
}

// sum20 is Sum over the 20 bytes of a header without options, as additions of 32-bit words.
func sum20(p []byte) uint64 {
	_ = p[19]
	return uint64(be.Uint32(p[0:4])) + uint64(be.Uint32(p[4:8])) + uint64(be.Uint32(p[8:12])) +
		uint64(be.Uint32(p[12:16])) + uint64(be.Uint32(p[16:20]))
}

// SetChecksum computes the header checksum.
func (p IPv4) SetChecksum() {
	be.PutUint16(p[10:12], 0)
	be.PutUint16(p[10:12], ^Fold(Sum(0, p[:p.HeaderLen()])))
}

// Head4 is a header without options in three words, as they lie in memory: for tests of many packets, which thus load each once.
type Head4 struct {
	a, b uint64
	c    uint32
}

// Load4 loads it.
func Load4(p *[IPv4MinLen]byte) Head4 {
	return Head4{le.Uint64(p[0:8]), le.Uint64(p[8:16]), le.Uint32(p[16:20])}
}

// Plain tells version 4 and a header of 20 bytes.
func (h Head4) Plain() bool { return uint8(h.a) == 0x45 }

// TotalLen is [IPv4.TotalLen].
func (h Head4) TotalLen() uint32 { return uint32(bits.ReverseBytes16(uint16(h.a >> 16))) }

// Source is [IPv4.Source].
func (h Head4) Source() uint32 { return bits.ReverseBytes32(uint32(h.b >> 32)) }

// Destination is [IPv4.Destination].
func (h Head4) Destination() uint32 { return bits.ReverseBytes32(h.c) }

// ChecksumOK verifies the checksum of a header that is not all zero. The ones' complement sum of 16-bit words is that of
// 32-bit words, in either byte order (RFC 1071 2), and is "minus zero" where their sum is a multiple of 0xffff.
func (h Head4) ChecksumOK() bool {
	const low = 1<<32 - 1
	return (h.a>>32+h.a&low+h.b>>32+h.b&low+uint64(h.c))%0xffff == 0
}

// DecrementTTL lowers TTL by one and the checksum with it (RFC 1141, RFC 1624: adding 0x0100 to the complemented sum).
func (p IPv4) DecrementTTL() {
	p[8]--
	s := uint32(be.Uint16(p[10:12])) + 0x0100
	if s >= 0xffff {
		s -= 0xffff
	}
	be.PutUint16(p[10:12], uint16(s))
}

// TakeHop4 is [IPv4.DecrementTTL] of the packet in an untagged frame, by one load and one store; false, and nothing done, where
// there is no hop to take. The sum is taken in the order of memory, in which 0x0100 is 1 (RFC 1071 2).
func TakeHop4(b *[EthernetLen + IPv4MinLen]byte) bool {
	const at = EthernetLen + 8 // TTL, protocol, checksum
	v := le.Uint32(b[at : at+4])
	if uint8(v) <= 1 {
		return false
	}
	s := v>>16 + 1
	if s >= 0xffff {
		s -= 0xffff
	}
	le.PutUint32(b[at:at+4], v&0xffff-1|s<<16)
	return true
}

// ClearUncopied overwrites options that are not to be copied into later fragments (RFC 791 3.1: the flag on top of the
// type) with "no operation", up to the first that is malformed.
func ClearUncopied(options []byte) {
	const end, nop, copied = 0, 1, 0x80
	for o := options; len(o) > 0; {
		switch o[0] {
		case end:
			return
		case nop:
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return
		}
		n := int(o[1])
		if o[0]&copied == 0 {
			for k := range o[:n] {
				o[k] = nop
			}
		}
		o = o[n:]
	}
}

// SetIPv4 writes a header without options and its checksum. p holds at least 20 bytes.
func SetIPv4(p IPv4, tos byte, totalLen int, id uint16, ttl, protocol byte, source, destination uint32) {
	p[0], p[1] = 0x45, tos
	be.PutUint16(p[2:4], uint16(totalLen))
	be.PutUint16(p[4:6], id)
	be.PutUint16(p[6:8], 0)
	p[8], p[9] = ttl, protocol
	p.SetSource(source)
	p.SetDestination(destination)
	p.SetChecksum()
}
