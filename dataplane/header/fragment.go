package header

// FragmentLen is the length of a fragment header in bytes.
const FragmentLen = 8

// Fragment is the fragment header of IPv6 (RFC 8200 4.5).
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|  next header  |   reserved    |     fragment offset     |res|M|
//	|                         identification                        |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Fragment []byte

// NextHeader is the type of the first header of the fragmentable part.
func (f Fragment) NextHeader() byte { return f[0] }

// Offset is where the fragment begins in the fragmentable part, in bytes.
func (f Fragment) Offset() int { return int(be.Uint16(f[2:4]) &^ 7) }

// More tells that this is not the last part.
func (f Fragment) More() bool { return f[3]&1 != 0 }

// ID is the identification, the same in all fragments of a datagram.
func (f Fragment) ID() uint32 { return be.Uint32(f[4:8]) }

// Atomic tells a fragment that is the whole packet (RFC 6946).
func (f Fragment) Atomic() bool { return be.Uint16(f[2:4])&0xfff9 == 0 }

// Set writes all of the header; offset is in units of 8 bytes.
func (f Fragment) Set(next byte, offset int, more bool, id uint32) {
	v := uint16(offset) << 3
	if more {
		v |= 1
	}
	f[0], f[1] = next, 0
	be.PutUint16(f[2:4], v)
	be.PutUint32(f[4:8], id)
}

// FragmentHeader looks for the fragment header of a whole packet (of the length its header says) among the headers that
// may stand before it. at is its offset from p, before that of the byte that names it as the next header; at is 0 where
// there is none, or not all of it.
func (p IPv6) FragmentHeader() (at, before int) {
	const nextHeader = 6
	next, at, before := p.NextHeader(), IPv6HeaderLen, nextHeader
	for range MaxExtensions {
		switch next {
		case ExtHopByHop, ExtRouting, ExtDestination, ExtFragment:
		default:
			return 0, 0
		}
		behind, end, ok := p.Extension(next, at)
		if !ok {
			return 0, 0
		}
		if next == ExtFragment {
			return at, before
		}
		next, before, at = behind, at, end
	}
	return 0, 0
}
