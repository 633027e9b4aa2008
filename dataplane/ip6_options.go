package dataplane

import (
	"encoding/binary"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

const (
	// maxOptions is how many options besides padding one header may have (max_hbh_opts_cnt, max_dst_opts_cnt of
	// Linux).
	maxOptions = 8
	// maxPadding is the longest run of padding: more than that aligns nothing (RFC 4942 2.1.9.5).
	maxPadding = 7
)

// ip6HopByHop looks at the hop-by-hop options of a packet, as every node on the way does that is configured to (RFC 8200
// 4.3), and Linux is. True where the packet goes on, with its options as they are; else it is on an edge.
func (w *Worker) ip6HopByHop(i uint16, p *Packet, h header.IPv6) bool {
	if h.PayloadLen() == 0 { // a jumbogram (RFC 2675 2), longer than any frame here
		w.toDrop(i, counters.IP6Jumbo)
		return false
	}
	return w.ip6Options(i, p, w.datagram(p), header.IPv6HeaderLen, true)
}

// ip6Options walks over the options of the header at offset at. True where the packet goes on; else it is on an edge. It
// is ip6_parse_tlv of the kernel's net/ipv6/exthdrs.c: what is malformed is dropped in silence.
func (w *Worker) ip6Options(i uint16, p *Packet, h header.IPv6, at int, hopByHop bool) bool {
	_, end, ok := h.Extension(header.ExtDestination, at)
	if !ok {
		w.toDrop(i, counters.IP6BadHeader)
		return false
	}
	options, padding := 0, 0
	for o := at + 2; o < end; {
		if h[o] == header.OptPad1 {
			padding++
			o++
		} else {
			if o+2 > end || o+2+int(h[o+1]) > end {
				w.toDrop(i, counters.IP6BadOptions)
				return false
			}
			behind := o + 2 + int(h[o+1])
			if h[o] == header.OptPadN {
				padding += behind - o
				if !zero(h[o+2 : behind]) {
					padding = maxPadding + 1
				}
			} else {
				padding = 0
				options++
				if !w.ip6Option(i, p, h, o, hopByHop) {
					return false
				}
			}
			o = behind
		}
		if padding > maxPadding || options > maxOptions {
			w.toDrop(i, counters.IP6BadOptions)
			return false
		}
	}
	return true
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// ip6Option is what one option at offset o that is not padding demands. True where the walk goes on; else the packet is
// on an edge.
func (w *Worker) ip6Option(i uint16, p *Packet, h header.IPv6, o int, hopByHop bool) bool {
	switch {
	case hopByHop && h[o] == header.OptRouterAlert: // nothing here asks for such packets: they pass as others do
		if h[o+1] == 2 {
			return true
		}
		w.toDrop(i, counters.IP6BadOptions)
		return false
	case hopByHop && h[o] == header.OptJumbo:
		w.ip6Jumbo(i, p, h, o)
		return false
	}
	switch h[o] & header.OptActionMask { // unknown (RFC 8200 4.2)
	case header.OptSkip:
		return true
	case header.OptDiscard:
		w.toDrop(i, counters.IP6Option)
	case header.OptReportToHost:
		if isMulticast6(addr6(h.Destination())) {
			w.toDrop(i, counters.IP6Option)
			return false
		}
		fallthrough
	case header.OptReport:
		p.Detail = uint16(o)
		w.toError(icmp6Error, i, counters.IP6Option, header.ICMPv6UnrecognizedOption)
	}
	return false
}

// ip6Jumbo refuses a jumbo payload option in a packet that says its length (RFC 2675 3): one too small for a jumbogram,
// or one that should not be there at all.
func (w *Worker) ip6Jumbo(i uint16, p *Packet, h header.IPv6, o int) {
	if h[o+1] != 4 || o&3 != 2 {
		w.toDrop(i, counters.IP6BadOptions)
		return
	}
	p.Detail = uint16(o)
	if binary.BigEndian.Uint32(h[o+2:]) <= maxDatagram {
		p.Detail += 2
	}
	w.toError(icmp6Error, i, counters.IP6Jumbo, header.ICMPv6ErroneousField)
}
