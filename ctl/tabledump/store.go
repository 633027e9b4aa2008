package tabledump

import (
	"encoding/binary"
	"iter"
	"net/netip"
)

// Store keeps the routes of a dump in their order, so that a dump can be read to its end before any of it is used. A route of
// the Internet's table takes 6 to 10 bytes. The zero value is empty; it is for one goroutine.
type Store struct {
	chunks [][]byte
	n      int
	last   int64 // Pos of the last route
}

// Stored is a route in a [Store].
type Stored struct {
	Prefix netip.Prefix
	// ID stands for what the caller knows of the route, such as its next hop.
	ID uint32
	// Pos is that of the [Route]. It must not go down from one to the next.
	Pos int64
}

const (
	storeChunk = 1 << 20
	storeMost  = 1 + len6 + 2*binary.MaxVarintLen64 // bytes of the longest route
	storeTag6  = len4*8 + 1                         // what is added to the prefix length of IPv6
)

// Add appends a route. Its prefix has no host bits.
func (s *Store) Add(r Stored) {
	last := len(s.chunks) - 1
	if last < 0 || cap(s.chunks[last])-len(s.chunks[last]) < storeMost {
		s.chunks = append(s.chunks, make([]byte, 0, storeChunk))
		last++
	}
	b := s.chunks[last]
	addr, bits := r.Prefix.Addr(), r.Prefix.Bits()
	if addr.Is4() {
		a := addr.As4()
		b = append(append(b, byte(bits)), a[:(bits+7)/8]...)
	} else {
		a := addr.As16()
		b = append(append(b, byte(storeTag6+bits)), a[:(bits+7)/8]...)
	}
	b = binary.AppendUvarint(b, uint64(r.ID))
	b = binary.AppendUvarint(b, uint64(r.Pos-s.last))
	s.chunks[last], s.last = b, r.Pos
	s.n++
}

// Len is how many routes there are.
func (s *Store) Len() int { return s.n }

// All yields the routes.
func (s *Store) All() iter.Seq[Stored] {
	return func(yield func(Stored) bool) {
		var r Stored
		for _, b := range s.chunks {
			for len(b) > 0 {
				b = r.decode(b)
				if !yield(r) {
					return
				}
			}
		}
	}
}

// decode reads the route at the front of b, after the one that r holds, and returns what is behind it.
func (r *Stored) decode(b []byte) []byte {
	bits, width := int(b[0]), len4
	if bits >= storeTag6 {
		bits, width = bits-storeTag6, len6
	}
	n := 1 + (bits+7)/8
	var full [len6]byte
	copy(full[:], b[1:n])
	addr, _ := netip.AddrFromSlice(full[:width])
	r.Prefix = netip.PrefixFrom(addr, bits)
	id, m := binary.Uvarint(b[n:])
	delta, k := binary.Uvarint(b[n+m:])
	r.ID = uint32(id)
	r.Pos += int64(delta)
	return b[n+m+k:]
}
