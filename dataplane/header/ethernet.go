package header

// EthernetLen is the length of an untagged header in bytes.
const EthernetLen = 14

// EtherTypes.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeIPv6 = 0x86dd
)

// BroadcastMAC is ff:ff:ff:ff:ff:ff as 48 bits.
const BroadcastMAC = 1<<48 - 1

// Ethernet is a frame from its first byte on (IEEE 802.3 3.1.1, type interpretation).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|                      destination address                      |
//	|                               |        source address         |
//	|                                                               |
//	|           type                |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Ethernet []byte

// Destination is the destination address as 48 bits, first byte on top.
func (e Ethernet) Destination() uint64 { return be.Uint64(e[0:8]) >> 16 }

// Source is the source address as 48 bits, first byte on top.
func (e Ethernet) Source() uint64 { return be.Uint64(e[4:12]) & (1<<48 - 1) }

// Type is the EtherType.
func (e Ethernet) Type() uint16 { return be.Uint16(e[12:14]) }

// SetAddresses writes both addresses (48 bits each) with two stores.
func (e Ethernet) SetAddresses(destination, source uint64) {
	_ = e[11]
	be.PutUint64(e[0:8], destination<<16|source>>32)
	be.PutUint32(e[8:12], uint32(source))
}

// SetType writes the EtherType.
func (e Ethernet) SetType(t uint16) { be.PutUint16(e[12:14], t) }

// EthernetWords is a header in two words that overlap, for tests of many frames, which thus load each once.
type EthernetWords struct {
	first uint64 // destination, and two bytes of the source
	typ   uint16
}

// LoadEthernet loads it.
func LoadEthernet(b *[EthernetLen]byte) EthernetWords {
	return EthernetWords{be.Uint64(b[0:8]), be.Uint16(b[12:14])}
}

// Destination is [Ethernet.Destination].
func (e EthernetWords) Destination() uint64 { return e.first >> 16 }

// FromGroup tells a source address that is none: that of a group.
func (e EthernetWords) FromGroup() bool { return e.first&(1<<8) != 0 }

// Type is [Ethernet.Type].
func (e EthernetWords) Type() uint16 { return e.typ }

// IsGroup tells a multicast or broadcast address.
func IsGroup(mac uint64) bool { return mac>>40&1 != 0 }

// MAC converts an array to 48 bits.
func MAC(a [MACLen]byte) uint64 {
	return uint64(a[0])<<40 | uint64(a[1])<<32 | uint64(a[2])<<24 | uint64(a[3])<<16 | uint64(a[4])<<8 | uint64(a[5])
}

// MACBytes converts 48 bits to an array.
func MACBytes(m uint64) [MACLen]byte {
	return [MACLen]byte{byte(m >> 40), byte(m >> 32), byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m)}
}

func putMAC(b []byte, m uint64) {
	be.PutUint16(b[0:2], uint16(m>>32))
	be.PutUint32(b[2:6], uint32(m))
}

func getMAC(b []byte) uint64 { return uint64(be.Uint16(b[0:2]))<<32 | uint64(be.Uint32(b[2:6])) }
