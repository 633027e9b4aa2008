package header

// IPv4 options (RFC 791 3.1, RFC 2113): the first byte of each.
const (
	Opt4End         = 0
	Opt4Nop         = 1
	Opt4RecordRoute = 7
	Opt4Timestamp   = 68
	Opt4LooseRoute  = 131
	Opt4RouterAlert = 148
	Opt4StrictRoute = 137
)

// Flags of a timestamp option: the low half of its fourth byte (RFC 791 3.1).
const (
	TimestampOnly       = 0
	TimestampAndAddress = 1
	TimestampPrescribed = 3 // the sender has filled in who is to put a timestamp
)

// IPv4MaxOptions is how many bytes of options a header holds at most.
const IPv4MaxOptions = 40

// PutAddr writes an IPv4 address or a timestamp in network order.
func PutAddr(b []byte, a uint32) { be.PutUint32(b, a) }

// Addr reads an IPv4 address in network order.
func Addr(b []byte) uint32 { return be.Uint32(b) }
