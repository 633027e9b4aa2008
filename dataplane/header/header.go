// Package header gives names to the bytes of a packet. Each type is a view: a slice that begins where the header
// begins. Getters and setters take and return host order; none of them checks lengths, that is the work of the node
// that makes the view.
package header

import "encoding/binary"

// Address lengths in bytes.
const (
	MACLen  = 6
	IPv4Len = 4
	IPv6Len = 16
)

// be is the order of everything on the wire. le is for what is loaded as it lies in memory, where order does not matter or the
// processor turns it round at no cost.
var (
	be = binary.BigEndian    //nolint:gochecknoglobals // a name for a stateless value
	le = binary.LittleEndian //nolint:gochecknoglobals // a name for a stateless value
)
