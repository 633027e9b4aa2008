package corpus

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// maxFrame is how long a frame may be that a host can send: what is longer is cut off.
const maxFrame = 1514

var be = binary.BigEndian //nolint:gochecknoglobals // a constant: network byte order

// draft is a packet before it is bytes.
type draft struct {
	n         int
	v6        bool
	to, from  MAC
	tags      []byte // 802.1Q tags, each with the EtherType before it
	etherType uint16
	arp       []byte // instead of an IP packet

	src, dst   netip.Addr
	ttl, tos   byte
	id         uint16
	flags      byte // the three bits before the fragment offset
	offset     int  // of the fragment, in units of 8 bytes
	options    []byte
	label      uint32 // IPv6 flow label
	extensions []extension

	transport transport
	size      int     // of the payload, in bytes
	pieces    []piece // to be sent as fragments
	raw       []func(frame []byte) []byte
}

// extension is an IPv6 extension header: body is what follows the next header field.
type extension struct {
	kind byte
	body []byte
}

// transport is a header before the payload.
type transport struct {
	protocol byte
	header   []byte
	lengthAt int  // where a 16-bit length of all goes, or 0
	sumAt    int  // where the checksum goes, or -1
	pseudo   bool // it covers the pseudo-header
	badSum   bool
}

// piece is bytes [from, to) of what follows the IPv4 header, or the IPv6 fragment header; to < 0 is the end.
type piece struct {
	from, to int
	last     bool
}

func plain(n int, v6 bool) *draft {
	d := &draft{
		n: n, v6: v6, to: RouterMAC(1), from: HostMAC(1), etherType: 0x0800, ttl: 64, id: uint16(n), size: 36,
		src: far4(n), dst: netip.AddrFrom4([4]byte{10, 0, 2, 2}), transport: udp(4000, 4001),
	}
	if v6 {
		d.etherType, d.src, d.dst = 0x86dd, far6(n), netip.MustParseAddr("2001:db8:2::2")
		d.label = 0x12345
	}
	return d
}

// payload is marks, one after the other.
func (d *draft) payload() []byte {
	return bytes.Repeat(markOf(d.n), d.size/markLen+1)[:d.size]
}

func (d *draft) frames() [][]byte {
	var out [][]byte
	add := func(network []byte) {
		b := append(append([]byte(nil), d.to[:]...), d.from[:]...)
		b = append(b, d.tags...)
		b = append(be.AppendUint16(b, d.etherType), network...)
		for _, edit := range d.raw {
			b = edit(b)
		}
		out = append(out, b[:min(len(b), maxFrame)])
	}
	if d.arp != nil {
		add(d.arp)
		return out
	}
	upper := d.upper()
	if len(d.pieces) == 0 {
		add(d.network(upper, d.flags, d.offset))
		return out
	}
	for _, p := range d.pieces {
		to := p.to
		if to < 0 || to > len(upper) {
			to = len(upper)
		}
		from := min(p.from, to)
		flags := d.flags
		if !p.last {
			flags |= 1
		}
		add(d.network(upper[from:to], flags, p.from/8))
	}
	return out
}

// upper is the transport header and the payload.
func (d *draft) upper() []byte {
	t := d.transport
	b := append(append([]byte(nil), t.header...), d.payload()...)
	if t.lengthAt > 0 {
		be.PutUint16(b[t.lengthAt:], uint16(len(b)))
	}
	if t.sumAt >= 0 && t.sumAt+2 <= len(b) {
		be.PutUint16(b[t.sumAt:], 0)
		var sum uint32
		if t.pseudo {
			sum = pseudoSum(d.sumSource(), d.sumDestination(), t.protocol, len(b))
		}
		c := ^fold(sum + add16(b))
		if t.badSum {
			c ^= 0x5555
		}
		be.PutUint16(b[t.sumAt:], c)
	}
	return b
}

func (d *draft) sumSource() []byte      { return d.src.AsSlice() }
func (d *draft) sumDestination() []byte { return d.dst.AsSlice() }

func (d *draft) network(upper []byte, flags byte, offset int) []byte {
	if d.v6 {
		return d.network6(upper, flags, offset)
	}
	options := append([]byte(nil), d.options...)
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	b := make([]byte, 20, 20+len(options)+len(upper))
	b = append(append(b, options...), upper...)
	b[0], b[1] = 0x40|byte((20+len(options))/4), d.tos
	be.PutUint16(b[2:], uint16(len(b)))
	be.PutUint16(b[4:], d.id)
	be.PutUint16(b[6:], uint16(flags)<<13|uint16(offset))
	b[8], b[9] = d.ttl, d.transport.protocol
	copy(b[12:], d.src.AsSlice())
	copy(b[16:], d.dst.AsSlice())
	be.PutUint16(b[10:], ^fold(add16(b[:20+len(options)])))
	return b
}

// network6 puts a fragment header behind the extension headers where the packet is a fragment.
func (d *draft) network6(upper []byte, flags byte, offset int) []byte {
	chain := d.extensions
	if flags&1 != 0 || offset != 0 || len(d.pieces) > 0 {
		body := make([]byte, 7)
		be.PutUint16(body[1:], uint16(offset)<<3|uint16(flags&1))
		be.PutUint32(body[3:], uint32(d.n))
		chain = append(append([]extension(nil), chain...), extension{extFragment, body})
	}
	b := make([]byte, 40)
	be.PutUint32(b, 6<<28|uint32(d.tos)<<20|d.label)
	b[7] = d.ttl
	copy(b[8:], d.src.AsSlice())
	copy(b[24:], d.dst.AsSlice())
	next := 6
	for _, e := range chain {
		b[next] = e.kind
		next = len(b)
		b = append(append(b, 0), e.body...)
	}
	b[next] = d.transport.protocol
	b = append(b, upper...)
	be.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func pseudoSum(src, dst []byte, protocol byte, length int) uint32 {
	return add16(src) + add16(dst) + uint32(protocol) + uint32(length)
}

func add16(b []byte) (sum uint32) {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(be.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// fixSum4 makes the checksum of an IPv4 header right after it was changed, as far as there is one.
func fixSum4(frame []byte) {
	if len(frame) < 34 || frame[12] != 8 || frame[13] != 0 {
		return
	}
	h := frame[14:]
	if n := int(h[0]&15) * 4; n >= 20 && n <= len(h) {
		h = h[:n]
	} else {
		h = h[:20]
	}
	be.PutUint16(h[10:], 0)
	be.PutUint16(h[10:], ^fold(add16(h)))
}
