package header

// NDLen is the length of a neighbour solicitation or advertisement without options in bytes.
const NDLen = 24

// Flags of a neighbour advertisement (RFC 4861 4.4).
const (
	NDRouter    = 1 << 31
	NDSolicited = 1 << 30
	NDOverride  = 1 << 29
)

// Neighbour discovery options (RFC 4861 4.6.1).
const (
	NDSourceLinkLayer = 1
	NDTargetLinkLayer = 2
	NDNonce           = 14 // RFC 3971 5.3.2; six bytes here, as in a link-layer address
	// NDLinkLayerLen is the length of either with an Ethernet address, in bytes.
	NDLinkLayerLen = 8
)

// ND is a neighbour solicitation or advertisement (RFC 4861 4.3, 4.4).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     type      |     code      |            checksum           |
//	|R|S|O|                     reserved                            |
//	|                         target address                        |
//	|                              ...                              |
//	|   options ...
//	+-+-+-+-+-+-+-+-+-+-+-+-
type ND []byte

// Flags are the advertisement's NDRouter, NDSolicited and NDOverride.
func (n ND) Flags() uint32 { return be.Uint32(n[4:8]) }

// Target is the target address as two host-order words.
func (n ND) Target() (hi, lo uint64) { return be.Uint64(n[8:16]), be.Uint64(n[16:24]) }

// SetTarget writes the target address.
func (n ND) SetTarget(hi, lo uint64) { be.PutUint64(n[8:16], hi); be.PutUint64(n[16:24], lo) }

// LinkLayer is NDOption for the options behind a solicitation or advertisement of a neighbour.
func (n ND) LinkLayer(kind byte) (mac uint64, found, ok bool) { return NDOption(n[NDLen:], kind) }

// NDOption finds the link-layer address option of a kind among the options of a message. ok is false where an option has
// length zero or overruns the message, or where the address is none of Ethernet: the message is invalid then (RFC 4861
// 6.1, 7.1; ndisc_opt_addr_data of the kernel). Of several options the first counts. found is false where there is none.
func NDOption(options []byte, kind byte) (mac uint64, found, ok bool) {
	for b := options; len(b) > 0; {
		if len(b) < 2 || b[1] == 0 || len(b) < int(b[1])*8 {
			return 0, false, false
		}
		if b[0] == kind && !found {
			if b[1] != 1 { // no Ethernet address
				return 0, false, false
			}
			mac, found = getMAC(b[2:8]), true
		}
		b = b[int(b[1])*8:]
	}
	return mac, found, true
}

// SetLinkLayer writes the option with an Ethernet address behind the fixed part.
func (n ND) SetLinkLayer(kind byte, mac uint64) {
	n[NDLen], n[NDLen+1] = kind, 1
	putMAC(n[NDLen+2:NDLen+8], mac)
}
