package feed

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"golang.org/x/sys/unix"
)

// What golang.org/x/sys/unix does not name (linux/rtnetlink.h, linux/nexthop.h, linux/if_addr.h).
const (
	rtaNexthopID = 30 // RTA_NH_ID
	nhaFDB       = 11 // NHA_FDB
	ifaProto     = 11 // IFA_PROTO
)

// attributeType is the type of an attribute without its flags (NLA_TYPE_MASK of linux/netlink.h).
const attributeType = 0x3fff

const (
	headerSize    = unix.SizeofNlMsghdr
	attributeSize = unix.SizeofNlAttr
	// netlinkAlign is what messages and attributes are padded to, in bytes.
	netlinkAlign = 4
)

// message is one netlink message; its body is in the buffer that it was read from.
type message struct {
	kind, flags uint16
	sequence    uint32
	body        []byte
}

// messages walks the messages of a buffer and ends at what is none. Integers are in the byte order of the host.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= headerSize {
			size := int(binary.NativeEndian.Uint32(b))
			if size < headerSize || size > len(b) {
				return
			}
			m := message{
				kind: binary.NativeEndian.Uint16(b[4:]), flags: binary.NativeEndian.Uint16(b[6:]),
				sequence: binary.NativeEndian.Uint32(b[8:]), body: b[headerSize:size],
			}
			if !yield(m) {
				return
			}
			b = b[min(aligned(size), len(b)):]
		}
	}
}

// attributes walks the attributes of a message, or of an attribute that has some, and ends at what is none.
func attributes(b []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for len(b) >= attributeSize {
			size := int(binary.NativeEndian.Uint16(b))
			if size < attributeSize || size > len(b) {
				return
			}
			if !yield(int(binary.NativeEndian.Uint16(b[2:])&attributeType), b[attributeSize:size]) {
				return
			}
			b = b[min(aligned(size), len(b)):]
		}
	}
}

func aligned(n int) int { return (n + netlinkAlign - 1) &^ (netlinkAlign - 1) }

// number32 is the number in an attribute; 0 where it has none.
func number32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// address is the address in an attribute; invalid where it has none.
func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}
