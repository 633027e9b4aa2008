package header

// VLANTagLen is the length of a VLAN tag in bytes.
const VLANTagLen = 4

// EtherTypes of tags.
const (
	TypeVLAN        = 0x8100 // IEEE 802.1Q 9.6: a customer's
	TypeServiceVLAN = 0x88a8 // a provider's (802.1ad)
)

// VLANIDMask is the part of a TCI that is the VLAN identifier; the 4 bits above it are priority and drop eligibility.
const VLANIDMask = 0xfff

// IsVLAN tells an EtherType that is followed by a tag.
func IsVLAN(typ uint16) bool { return typ == TypeVLAN || typ == TypeServiceVLAN }

// TCI is the tag control information of a tagged frame (IEEE 802.1Q 9.6), whose Type is one of the above:
//
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	| PCP |D|    VLAN identifier    |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// It is longer than VLANTagLen and EthernetLen together.
func (e Ethernet) TCI() uint16 { return be.Uint16(e[14:16]) }

// PopTag takes the outer tag off: the addresses move up, so that the frame starts VLANTagLen bytes later.
func (e Ethernet) PopTag() { copy(e[VLANTagLen:VLANTagLen+2*MACLen], e[:2*MACLen]) }

// PushTag puts a tag on a frame that starts VLANTagLen bytes after e: the addresses move down to its beginning.
func (e Ethernet) PushTag(typ, tci uint16) {
	copy(e[:2*MACLen], e[VLANTagLen:VLANTagLen+2*MACLen])
	be.PutUint16(e[12:14], typ)
	be.PutUint16(e[14:16], tci)
}
