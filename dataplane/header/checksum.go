package header

// Sum adds b as big-endian 16-bit words to a running sum (RFC 1071); an odd last byte counts as the high one. The sum
// is folded later.
func Sum(sum uint64, b []byte) uint64 {
	for len(b) >= 8 {
		w := be.Uint64(b)
		sum += w>>32 + w&0xffffffff
		b = b[8:]
	}
	for len(b) >= 2 {
		sum += uint64(be.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

// Fold reduces a running sum to 16 bits in ones' complement arithmetic; the checksum is its complement.
func Fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// PseudoSum4 is the sum over the IPv4 pseudo-header of TCP and UDP (RFC 768, RFC 9293 3.1); length is that of the
// segment in bytes.
func PseudoSum4(p IPv4, length int) uint64 {
	return uint64(p.Source()) + uint64(p.Destination()) + uint64(p.Protocol()) + uint64(length)
}

// PseudoSum6 is the sum over the IPv6 pseudo-header (RFC 8200 8.1).
func PseudoSum6(p IPv6, protocol byte, length int) uint64 {
	return Sum(uint64(protocol)+uint64(length), p[8:40])
}

// UpdateSum16 returns checksum hc after a 16-bit word that it covers has changed (RFC 1624, equation
// 3).
func UpdateSum16(hc, from, to uint16) uint16 {
	return ^Fold(uint64(^hc) + uint64(^from) + uint64(to))
}

// TCPLen is the length of a TCP header without options in bytes.
const TCPLen = 20

// UDPLen is the length of a UDP header in bytes.
const UDPLen = 8

// UDPLength is the length field of a UDP header: bytes of header and payload.
func UDPLength(b []byte) int { return int(be.Uint16(b[4:6])) }

// UDPChecksum is the checksum field of a UDP header (RFC 768); zero where the sender made none.
func UDPChecksum(b []byte) uint16 { return be.Uint16(b[6:8]) }
