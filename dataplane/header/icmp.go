package header

// ICMPLen is the length of an ICMP or ICMPv6 header in bytes: type, code, checksum and four bytes whose meaning depends
// on the type.
const ICMPLen = 8

// ICMP types and codes (RFC 792, RFC 1812 5.2.7.1).
const (
	ICMPEchoReply       = 0
	ICMPUnreachable     = 3
	ICMPRedirect        = 5
	ICMPEchoRequest     = 8
	ICMPTimeExceeded    = 11
	ICMPParameter       = 12
	ICMPTimestamp       = 13
	ICMPTimestampReply  = 14
	ICMPNetUnreachable  = 0
	ICMPHostUnreachable = 1
	ICMPProtUnreachable = 2
	ICMPPortUnreachable = 3
	ICMPFragNeeded      = 4
	ICMPSourceRoute     = 5 // source route failed
	ICMPRedirectHost    = 1
	ICMPAdminProhibited = 13
	ICMPReassemblyTime  = 1 // of ICMPTimeExceeded and ICMPv6TimeExceeded
)

// ICMPv6 types and codes (RFC 4443, RFC 4861).
const (
	ICMPv6Unreachable     = 1
	ICMPv6TooBig          = 2
	ICMPv6TimeExceeded    = 3
	ICMPv6Parameter       = 4
	ICMPv6EchoRequest     = 128
	ICMPv6EchoReply       = 129
	ICMPv6RouterSolicit   = 133
	ICMPv6RouterAdvert    = 134
	ICMPv6NeighborSolicit = 135
	ICMPv6NeighborAdvert  = 136
	ICMPv6Redirect        = 137

	ICMPv6NoRoute            = 0
	ICMPv6AdminProhibited    = 1
	ICMPv6BeyondScope        = 2
	ICMPv6AddressUnreachable = 3
	ICMPv6PortUnreachable    = 4

	ICMPv6IngressPolicy = 5
	ICMPv6RejectRoute   = 6

	ICMPv6ErroneousField         = 0
	ICMPv6UnrecognizedNextHeader = 1
	ICMPv6UnrecognizedOption     = 2
	ICMPv6IncompleteChain        = 3 // RFC 7112
)

// ICMP is a message of ICMP or ICMPv6 with its payload.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     type      |     code      |            checksum           |
//	|                    depends on type and code                   |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type ICMP []byte

// Type is the message type.
func (m ICMP) Type() byte { return m[0] }

// Code is the message code.
func (m ICMP) Code() byte { return m[1] }

// Checksum is the checksum field.
func (m ICMP) Checksum() uint16 { return be.Uint16(m[2:4]) }

// SetChecksum writes the checksum field.
func (m ICMP) SetChecksum(c uint16) { be.PutUint16(m[2:4], c) }

// Set writes type, code and the four bytes behind the checksum, which becomes zero.
func (m ICMP) Set(typ, code byte, rest uint32) {
	m[0], m[1] = typ, code
	m.SetChecksum(0)
	be.PutUint32(m[4:8], rest)
}

// ICMPTimestampLen is the length of a timestamp message or its reply in bytes: behind the header the times of
// origination, reception and transmission, as milliseconds since midnight UT.
const ICMPTimestampLen = ICMPLen + 12

// SetTimestamps writes when a timestamp message was received, and when its reply was sent.
func (m ICMP) SetTimestamps(received, sent uint32) {
	be.PutUint32(m[12:16], received)
	be.PutUint32(m[16:20], sent)
}

// IsError tells an ICMP (IPv4) error message, about which no error is ever sent (RFC 1122 3.2.2).
func (m ICMP) IsError() bool {
	switch m[0] {
	case ICMPUnreachable, 4, ICMPRedirect, ICMPTimeExceeded, ICMPParameter:
		return true
	}
	return false
}
