package corpus

import (
	"bytes"
	"fmt"
	"net/netip"
)

// plainly is the edit that changes nothing; it begins every dimension.
func plainly() Edit { return Edit{"", func(*draft) {}} }

func src(a string) Edit {
	addr := netip.MustParseAddr(a)
	return Edit{"from " + a, func(d *draft) { d.src = addr }}
}

func dst(a string) Edit {
	addr := netip.MustParseAddr(a)
	return Edit{"to " + a, func(d *draft) { d.dst = addr }}
}

// onLink has the packet come from one of the hosts on the link of port 1, not from behind them.
func onLink() Edit {
	return Edit{"from the link", func(d *draft) {
		if d.src = OnLink4(d.n); d.v6 {
			d.src = OnLink6(d.n)
		}
	}}
}

// otherLink has the packet come from where it does not come from.
func otherLink() Edit {
	return Edit{"from the other link", func(d *draft) { d.src = Other4(d.n) }}
}

func ttl(n byte) Edit { return Edit{fmt.Sprintf("TTL %d", n), func(d *draft) { d.ttl = n }} }
func tos(n byte) Edit { return Edit{fmt.Sprintf("TOS %#x", n), func(d *draft) { d.tos = n }} }
func size(n int) Edit { return Edit{fmt.Sprintf("%d bytes", n), func(d *draft) { d.size = n }} }

// total makes the IP packet n bytes long, by its payload.
func total(n int) Edit {
	return Edit{fmt.Sprintf("%d bytes in all", n), func(d *draft) {
		header := 20 + (len(d.options)+3)/4*4
		if d.v6 {
			header = 40
			for _, e := range d.extensions {
				header += 1 + len(e.body)
			}
		}
		d.size = max(0, n-header-len(d.transport.header))
	}}
}

// flags are the bits before the fragment offset: 4 is reserved, 2 is DF, 1 is MF.
func flags(name string, f byte, offset int) Edit {
	return Edit{name, func(d *draft) { d.flags, d.offset = f, offset }}
}

func ethernetTo(name string, m MAC) Edit { return Edit{name, func(d *draft) { d.to = m }} }

// ethernetGroup is the group of a multicast destination, as a host would send to it.
func ethernetGroup() Edit {
	return Edit{"to the group's MAC", func(d *draft) {
		b := d.dst.AsSlice()
		if d.v6 {
			d.to = MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
		} else {
			d.to = MAC{1, 0, 0x5e, b[1] & 0x7f, b[2], b[3]}
		}
	}}
}

func tagged(name string, tags ...byte) Edit { return Edit{name, func(d *draft) { d.tags = tags }} }

// Transports.

func udp(from, to uint16) transport {
	h := be.AppendUint16(be.AppendUint16(nil, from), to)
	return transport{protocol: 17, header: append(h, 0, 0, 0, 0), lengthAt: 4, sumAt: 6, pseudo: true}
}

func icmp(typ, code byte, rest ...byte) transport {
	h := append([]byte{typ, code, 0, 0}, rest...)
	for len(h) < 8 {
		h = append(h, 0)
	}
	return transport{protocol: 1, header: h, sumAt: 2}
}

func icmp6(typ, code byte, rest ...byte) transport {
	t := icmp(typ, code, rest...)
	t.protocol, t.pseudo = 58, true
	return t
}

func tcp(flags byte) transport {
	h := make([]byte, 20)
	be.PutUint16(h, 4000)
	be.PutUint16(h[2:], 80)
	be.PutUint32(h[4:], 1000)
	h[12], h[13], h[14] = 5<<4, flags, 16
	return transport{protocol: 6, header: h, sumAt: 16, pseudo: true}
}

func raw(protocol byte) transport {
	return transport{protocol: protocol, header: make([]byte, 8), sumAt: -1}
}

func carry(name string, t transport) Edit { return Edit{name, func(d *draft) { d.transport = t }} }

func badSum(name string, t transport) Edit {
	t.badSum = true
	return carry(name, t)
}

// noSum has a checksum of zero, as a UDP sender may say that it made none.
func noSum(t transport) Edit {
	t.sumAt = -1
	return carry("UDP without checksum", t)
}

// quoting is an ICMP error about a packet that the router has never sent.
func quoting(typ, code byte, v6 bool) Edit {
	return Edit{fmt.Sprintf("ICMP error %d/%d", typ, code), func(d *draft) {
		t := icmp(typ, code)
		if v6 {
			t = icmp6(typ, code)
		}
		inner := plain(d.n, v6)
		inner.src, inner.dst, inner.size = d.dst, d.src, 0
		t.header = append(t.header, inner.network(inner.upper(), 0, 0)...)
		d.transport = t
	}}
}

// Fragments.

// cut sends the packet as the pieces of its upper part, in the order given.
func cut(name string, pieces ...piece) Edit {
	return Edit{name, func(d *draft) { d.pieces = pieces }}
}

// Raw edits of the frame.

func bits(name string, edit func(b []byte) []byte) Edit {
	return Edit{name, func(d *draft) { d.raw = append(d.raw, edit) }}
}

// byteAt writes a byte of the frame; the IPv4 header checksum is made right again if fix says so.
func byteAt(at int, v byte, fix bool) Edit {
	name := fmt.Sprintf("byte %d = %#02x", at, v)
	if !fix {
		name += " as it is"
	}
	return bits(name, func(b []byte) []byte {
		if at < len(b) {
			b[at] = v
			if fix {
				fixSum4(b)
			}
		}
		return b
	})
}

func truncate(n int) Edit {
	return bits(fmt.Sprintf("cut off at byte %d", n), func(b []byte) []byte { return b[:min(n, len(b))] })
}

func pad(n int) Edit {
	return bits(fmt.Sprintf("%d bytes of padding", n), func(b []byte) []byte { return append(b, make([]byte, n)...) })
}

// IPv4 options (RFC 791 3.1).

func options(name string, o ...byte) Edit {
	return Edit{name, func(d *draft) { d.options = append(d.options, o...) }}
}

// route is record route (7), loose (131) or strict (137) source route, with n slots and the pointer given.
func route(kind byte, n int, pointer byte, first string) []byte {
	o := append([]byte{kind, byte(3 + 4*n), pointer}, make([]byte, 4*n)...)
	if first != "" && n > 0 {
		copy(o[3:], netip.MustParseAddr(first).AsSlice())
	}
	return o
}

// timestamp (68) has room for n bytes; flag is 0 (times), 1 (addresses and times) or 3 (addresses given).
func timestamp(n int, pointer, overflowFlag byte, first string) []byte {
	o := append([]byte{68, byte(4 + n), pointer, overflowFlag}, make([]byte, n)...)
	if first != "" {
		copy(o[4:], netip.MustParseAddr(first).AsSlice())
	}
	return o
}

// IPv6 extension headers (RFC 8200 4).

const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
	extAuth        = 51
)

func extensions(name string, e ...extension) Edit {
	return Edit{name, func(d *draft) { d.extensions = append(d.extensions, e...) }}
}

// hopByHop and destination are options headers of the options given, padded.
func hopByHop(options ...byte) extension    { return optionsHeader(extHopByHop, options) }
func destination(options ...byte) extension { return optionsHeader(extDestination, options) }

func optionsHeader(kind byte, options []byte) extension {
	body := append([]byte{0}, options...)
	switch n := (8 - (1+len(body))%8) % 8; n {
	case 0:
	case 1:
		body = append(body, 0)
	default:
		body = append(append(body, 1, byte(n-2)), make([]byte, n-2)...)
	}
	body[0] = byte((1+len(body))/8 - 1)
	return extension{kind, body}
}

// routing has segments left and the addresses given.
func routing(kind, left byte, addrs ...string) extension {
	body := []byte{byte(2 * len(addrs)), kind, left, 0, 0, 0, 0}
	for _, a := range addrs {
		body = append(body, netip.MustParseAddr(a).AsSlice()...)
	}
	if kind == 4 && len(addrs) > 0 { // last entry (RFC 8754 2)
		body[3] = byte(len(addrs) - 1)
	}
	return extension{extRouting, body}
}

func fragmentHeader(offset int, more byte, id uint32) extension {
	body := be.AppendUint16([]byte{0}, uint16(offset)<<3|uint16(more))
	return extension{extFragment, be.AppendUint32(body, id)}
}

func repeat(e extension, n int) []extension {
	out := make([]extension, n)
	for i := range out {
		out[i] = extension{e.kind, bytes.Clone(e.body)}
	}
	return out
}
