package frame

import "encoding/binary"

// A packet longer than one frame carries is a chain of frames. Its [Desc] is that of its first piece, with [Chained] among
// the options; what follows stands in that frame's own headroom (a link), and so on to the last piece, which has none. So
// whoever handles a packet of one frame never looks at a link, and a packet is one Desc whatever its length.
//
// A link is 16 bytes at the start of a frame, where neither the kernel nor the pipeline writes otherwise: the kernel leaves
// all of the headroom alone, and what the pipeline puts in front of a packet stays behind [LinkLen]. All frames of a chain
// have the same owner, and pass together.

const (
	// Chained is the option of a Desc with more pieces behind its own. It is none of the kernel's.
	Chained = 1 << 7
	// LinkLen is how much of a frame's start belongs to its link, bytes.
	LinkLen = 16
	// MaxPieces is how many frames a packet has at most. Network cards that send without a copy take 8 or more
	// (xdp-zc-max-segs), the kernel's copies 17.
	MaxPieces = 8
	// MaxChain is the longest packet that the router makes itself, or takes from Linux, bytes from the Ethernet header on.
	MaxChain = MaxPieces * MaxPacket
)

// Link puts next, a packet or the rest of one, behind the piece at addr, whose Desc the caller marks as Chained.
func Link(mem []byte, addr uint64, next Desc) {
	l := mem[addr&^(Size-1):][:LinkLen]
	binary.NativeEndian.PutUint64(l, next.Addr)
	binary.NativeEndian.PutUint16(l[8:], uint16(next.Len))
	binary.NativeEndian.PutUint16(l[10:], uint16(next.Options))
	binary.NativeEndian.PutUint32(l[12:], uint32(Length(mem, next)))
}

// Next is what is behind the first piece of a chain: Chained itself, if there is more behind that.
func Next(mem []byte, d Desc) Desc {
	l := mem[d.Addr&^(Size-1):][:LinkLen]
	return Desc{
		Addr: binary.NativeEndian.Uint64(l), Len: uint32(binary.NativeEndian.Uint16(l[8:])),
		Options: uint32(binary.NativeEndian.Uint16(l[10:])),
	}
}

// Rest is how many bytes are behind the first piece of a chain, at addr.
func Rest(mem []byte, addr uint64) int {
	return int(binary.NativeEndian.Uint32(mem[addr&^(Size-1)+12:]))
}

// Length is how long a packet is, of whatever number of pieces (bytes).
func Length(mem []byte, d Desc) int {
	if d.Options&Chained == 0 {
		return int(d.Len)
	}
	return int(d.Len) + Rest(mem, d.Addr)
}

// Pieces is how many frames a packet has.
func Pieces(mem []byte, d Desc) int {
	n := 1
	for ; d.Options&Chained != 0; n++ {
		d = Next(mem, d)
	}
	return n
}

// Read copies bytes of a packet to b, from offset at on, as many as b and the packet have, and returns how many that were.
func Read(mem []byte, d Desc, at int, b []byte) (n int) {
	for ; ; d = Next(mem, d) {
		if piece := mem[d.Addr : d.Addr+uint64(d.Len)]; at < len(piece) {
			n += copy(b[n:], piece[at:])
			at = 0
		} else {
			at -= len(piece)
		}
		if n == len(b) || d.Options&Chained == 0 {
			return n
		}
	}
}

// Write makes a packet, as long as it is, of the parts given, one behind the other.
func Write(mem []byte, d Desc, parts ...[]byte) {
	piece := mem[d.Addr : d.Addr+uint64(d.Len)]
	for _, b := range parts {
		for len(b) > 0 {
			if len(piece) == 0 {
				if d.Options&Chained == 0 {
					return
				}
				d = Next(mem, d)
				piece = mem[d.Addr : d.Addr+uint64(d.Len)]
			}
			n := copy(piece, b)
			piece, b = piece[n:], b[n:]
		}
	}
}

// New takes the frames of a packet of so many bytes, at most MaxChain, each but the last full: as the kernel receives one.
// What is in them is left to the caller; the caller's worker owns them. False where there are too few.
func (c *Cache) New(length int) (Desc, bool) {
	var rest Desc
	for last := true; ; last = false {
		n := length % MaxPacket // the last piece has what the others leave
		if n == 0 || !last {
			n = min(length, MaxPacket)
		}
		addr, ok := c.Get()
		if !ok {
			if !last {
				c.PutChain(rest)
			}
			return Desc{}, false
		}
		d := Desc{Addr: addr + Headroom, Len: uint32(n)}
		if !last {
			Link(c.pool.mem, d.Addr, rest)
			d.Options = Chained
		}
		if length -= n; length == 0 {
			return d, true
		}
		rest = d
	}
}

// PutChain frees all frames of a packet.
func (c *Cache) PutChain(d Desc) {
	for d.Options&Chained != 0 {
		next := Next(c.pool.mem, d) // before another worker can have the frame
		c.Put(d.Addr)
		d = next
	}
	c.Put(d.Addr)
}
