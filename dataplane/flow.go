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

// spread chooses by the packet's flow: the 5-tuple, or, of a fragment, what all fragments of the packet have.
func (w *Worker) spread(g *fib.Group, p *Packet, is6 bool) *fib.NextHop {
	var f fib.Flow
	if is6 {
		f = flow6(header.IPv6(w.network(p)))
	} else {
		f = flow4(header.IPv4(w.network(p)))
	}
	return g.Pick(f.Hash(w.fib.Seed()))
}

func flow4(h header.IPv4) fib.Flow {
	f := fib.Flow{Source: fib.Addr4(h.Source()), Destination: fib.Addr4(h.Destination()), Protocol: h.Protocol()}
	if !h.IsFragment() {
		f.Ports = ports(h.Protocol(), h[h.HeaderLen():])
	}
	return f
}

// flow6 looks for ports right behind the fixed header; packets with extension headers are spread by their addresses.
func flow6(h header.IPv6) fib.Flow {
	return fib.Flow{
		Source: addr6(h.Source()), Destination: addr6(h.Destination()), Protocol: h.NextHeader(),
		Ports: ports(h.NextHeader(), h[header.IPv6HeaderLen:]),
	}
}

// ports are the first four bytes of the transport protocols that have ports there.
func ports(protocol uint8, transport []byte) uint32 {
	switch protocol {
	case header.ProtoTCP, header.ProtoUDP, header.ProtoSCTP, header.ProtoUDPLite, header.ProtoDCCP:
		if len(transport) >= 4 {
			return binary.BigEndian.Uint32(transport)
		}
	}
	return 0
}
