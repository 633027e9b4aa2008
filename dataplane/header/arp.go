package header

// ARPLen is the length of an ARP packet for IPv4 over Ethernet in bytes.
const ARPLen = 28

// ARP operations.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|      hardware type = 1        |    protocol type = 0x0800     |
//	|   6           |   4           |           operation           |
//	|                       sender MAC address                      |
//	|                               |       sender IPv4 address     |
//	|                               |       target MAC address      |
//	|                                                               |
//	|                      target IPv4 address                      |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type ARP []byte

const arpEthernetIPv4 = 1<<48 | 0x0800<<32 | 6<<24 | 4<<16

// arpIEEE802IPv4 is the same of hardware type 6, as some stations have it on Ethernet too (RFC 1042).
const arpIEEE802IPv4 = arpEthernetIPv4 + 5<<48

// Valid tells whether it is a request or a reply for IPv4 over Ethernet.
func (a ARP) Valid() bool {
	op := a.Operation()
	kind := be.Uint64(a[0:8]) &^ 0xffff
	return (kind == arpEthernetIPv4 || kind == arpIEEE802IPv4) && (op == ARPRequest || op == ARPReply)
}

// Operation is ARPRequest or ARPReply.
func (a ARP) Operation() uint16 { return be.Uint16(a[6:8]) }

// SenderMAC is the sender's address as 48 bits.
func (a ARP) SenderMAC() uint64 { return getMAC(a[8:14]) }

// SenderIP is the sender's address in host order.
func (a ARP) SenderIP() uint32 { return be.Uint32(a[14:18]) }

// TargetIP is the address asked for, or the receiver of a reply, in host order.
func (a ARP) TargetIP() uint32 { return be.Uint32(a[24:28]) }

// TargetMAC is the receiver's address in a reply as 48 bits; in a request it means nothing.
func (a ARP) TargetMAC() uint64 { return getMAC(a[18:24]) }

// Gratuitous tells an announcement: sender and target are the same, in a reply the MAC addresses too (RFC 5944 4.6, as
// arp_is_garp of the kernel takes it).
func (a ARP) Gratuitous() bool {
	return a.SenderIP() == a.TargetIP() && (a.Operation() == ARPRequest || a.TargetMAC() == a.SenderMAC())
}

// Set writes a whole packet.
func (a ARP) Set(operation uint16, senderMAC uint64, senderIP uint32, targetMAC uint64, targetIP uint32) {
	be.PutUint64(a[0:8], arpEthernetIPv4|uint64(operation))
	putMAC(a[8:14], senderMAC)
	be.PutUint32(a[14:18], senderIP)
	putMAC(a[18:24], targetMAC)
	be.PutUint32(a[24:28], targetIP)
}
