package dataplane

import (
	"encoding/binary"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// pick chooses the next hop of a packet in a group.
func (w *Worker) pick(g *fib.Group, p *Packet, is6 bool) *fib.NextHop {
	if g.Single() {
		return g.First()
	}
	return w.spread(g, p, is6)
}

// spread chooses by the packet's flow, of which the namespace's policy says what counts. An ICMP error is of the flow
// that it is about, so that it meets whoever balances that flow (as in the kernel's ip_multipath_l3_keys, whose hash
// does not tell directions apart; ours does, so the flow is turned round).
func (w *Worker) spread(g *fib.Group, p *Packet, is6 bool) *fib.NextHop {
	var f fib.Flow
	if is6 {
		f = flow6(header.IPv6(w.network(p)))
	} else {
		f = flow4(header.IPv4(w.network(p)))
	}
	return g.Pick(f.Hash(w.set.MultipathHash, w.fib.Seed()))
}

func flow4(h header.IPv4) fib.Flow {
	f, transport := outer4(h)
	if f.Protocol == header.ProtoICMP && len(transport) >= header.ICMPLen && header.ICMP(transport).IsError() {
		quoted := header.IPv4(transport[header.ICMPLen:])
		if len(quoted) >= header.IPv4MinLen && quoted.Version() == 4 && quoted.HeaderLen() >= header.IPv4MinLen {
			f, transport = outer4(quoted)
			addPorts(&f, transport)
			return reverse(f)
		}
	}
	addPorts(&f, transport)
	return f
}

// outer4 is the flow as the IPv4 header shows it, and what follows that. A fragment is told by what all fragments of the
// packet have: nothing follows.
func outer4(h header.IPv4) (fib.Flow, []byte) {
	f := fib.Flow{Source: fib.Addr4(h.Source()), Destination: fib.Addr4(h.Destination()), Protocol: h.Protocol()}
	if hl := h.HeaderLen(); !h.IsFragment() && hl <= len(h) {
		return f, h[hl:]
	}
	return f, nil
}

func flow6(h header.IPv6) fib.Flow {
	f, transport := outer6(h)
	if f.Protocol == header.ProtoICMPv6 && len(transport) >= header.ICMPLen && transport[0] < firstInfo6 {
		if quoted := header.IPv6(transport[header.ICMPLen:]); len(quoted) >= header.IPv6HeaderLen && quoted.Version() == 6 {
			f, transport = outer6(quoted)
			addPorts(&f, transport)
			return reverse(f)
		}
	}
	addPorts(&f, transport)
	return f
}

// firstInfo6 is the least type of ICMPv6 messages that are no errors (RFC 4443 2.1).
const firstInfo6 = 128

// outer6 is outer4 for IPv6: a walk over extension headers, which ends at a fragment or at the end of what is there.
func outer6(h header.IPv6) (fib.Flow, []byte) {
	f := fib.Flow{
		Source: addr6(h.Source()), Destination: addr6(h.Destination()), Protocol: h.NextHeader(), Label: h.FlowLabel(),
	}
	offset := header.IPv6HeaderLen
	for range header.MaxExtensions {
		if !header.IsExtension(f.Protocol) {
			return f, h[offset:]
		}
		if offset+header.ExtUnit > len(h) {
			break
		}
		next, length := header.ExtensionAt(h, f.Protocol, offset)
		if f.Protocol == header.ExtFragment && binary.BigEndian.Uint16(h[offset+2:])&0xfff9 != 0 {
			break // the fragments have no more than this in common
		}
		if offset+length > len(h) {
			break
		}
		f.Protocol, offset = next, offset+length
	}
	return f, nil
}

// addPorts adds the ports of a transport header, or the identifier of an echo request or reply.
func addPorts(f *fib.Flow, transport []byte) {
	if len(transport) < 4 {
		return
	}
	switch f.Protocol {
	case header.ProtoTCP, header.ProtoUDP, header.ProtoSCTP, header.ProtoUDPLite, header.ProtoDCCP:
		f.Ports, f.HasPorts = binary.BigEndian.Uint32(transport), true
	case header.ProtoICMP:
		if t := transport[0]; len(transport) >= header.ICMPLen &&
			(t == header.ICMPEchoRequest || t == header.ICMPEchoReply) {
			f.Ports, f.HasPorts = echoID(transport), true
		}
	case header.ProtoICMPv6:
		if t := transport[0]; len(transport) >= header.ICMPLen &&
			(t == header.ICMPv6EchoRequest || t == header.ICMPv6EchoReply) {
			f.Ports, f.HasPorts = echoID(transport), true
		}
	}
}

// echoID is the identifier of an echo, in the place of a source port.
func echoID(m []byte) uint32 { return uint32(binary.BigEndian.Uint16(m[4:])) << 16 }

// reverse is the flow of the other direction. An echo has one identifier in both.
func reverse(f fib.Flow) fib.Flow {
	f.Source, f.Destination = f.Destination, f.Source
	if f.Protocol != header.ProtoICMP && f.Protocol != header.ProtoICMPv6 {
		f.Ports = f.Ports>>16 | f.Ports<<16
	}
	return f
}
