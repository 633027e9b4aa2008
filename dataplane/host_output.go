package dataplane

import (
	"encoding/binary"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
)

// hostOutput gives Linux what programs may want: packets to the router's own addresses that it does not answer itself, and
// those to groups. They are metered (RFC 6192): in three classes, so that no flood of one keeps out the others, and in
// each class with a share for every group of senders, so that no sender keeps out all others.
//
// Edges: drop.
func (w *Worker) hostOutput(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		if w.host == nil { // a VLAN tag that says but a priority, of a device that Linux has lost meanwhile
			w.toDrop(i, counters.NoListener)
			continue
		}
		class := w.puntClass(p)
		switch {
		case !w.mayPunt(p, class):
			w.toDrop(i, counters.RateLimited)
		case !w.toHost.hasRoom(class) || !w.host.queue.hasRoom(class) || !w.toHost.ring.push(&hostItem{
			link: w.host.hostLink, queue: w.host.queue, Desc: p.desc(),
		}):
			w.toDrop(i, counters.HostFull)
		default:
			w.slot.Delivered.Add(1)
			w.host.queue.pushed++
			w.toHost.pushed = true
		}
	}
}

// hasRoom keeps a quarter of what may wait for Linux for routing protocols, and another for them and connections: Linux may be
// slower than the limits are, and then a flood fills only the rest.
func (h *hostWriter) hasRoom(class counters.Answer) bool {
	switch class {
	case routingPurse:
		return true
	case streamPurse:
		return h.ring.len() < handoffSize*3/4
	default:
		return h.ring.len() < handoffSize/2
	}
}

// hasRoom keeps a namespace to a quarter of what may wait for Linux, since the others have programs, too. Its routing protocols
// may have half as much more, and all but them and connections only half of it.
func (q *hostQueue) hasRoom(class counters.Answer) bool {
	switch class {
	case routingPurse:
		return q.waiting() < handoffSize*3/8
	case streamPurse:
		return q.waiting() < handoffSize/4
	default:
		return q.waiting() < handoffSize/8
	}
}

// puntShare is how many packets a second, and at once, a group of senders may send to programs whatever the others do.
const puntShare = 200

// mayPunt spends a token for a packet to programs.
func (w *Worker) mayPunt(p *Packet, class counters.Answer) bool {
	sender := uint64(p.In)
	if t := w.ethernet(p).Type(); t == header.TypeIPv4 || t == header.TypeIPv6 {
		sender = w.sender(p)
	}
	return take(&w.host.shares[sender%askSources], w.now, puntShare) || w.allow(class)
}

// isLinkProtocol tells the frames without IP that programs want: LLDP, and what is in LLC (IS-IS, spanning tree). A type
// below 1536 is a length (IEEE 802.3 3.2.6).
func isLinkProtocol(p *Packet, e header.Ethernet) bool {
	const lldp, leastType = 0x88cc, 1536
	return p.Flags&Group != 0 && (e.Type() == lldp || e.Type() < leastType)
}

// Protocols that bring routes or watch over neighbours (IANA, protocol numbers and service names).
const (
	protoEIGRP = 88
	protoOSPF  = 89
	protoPIM   = 103
	protoVRRP  = 112

	portBGP          = 179
	portRIP          = 520
	portRIPng        = 521
	portLDP          = 646
	portBFD          = 3784
	portBFDEcho      = 3785
	portBFDMultihop  = 4784
	tcpSYN, tcpACK   = 1 << 1, 1 << 4
	tcpFlagsAt       = 13
	portsLen         = 4
	leastUpperHeader = tcpFlagsAt + 1
)

// puntClass is the class of a packet to programs.
func (w *Worker) puntClass(p *Packet) counters.Answer {
	b := w.network(p)
	var protocol byte
	switch w.ethernet(p).Type() {
	case header.TypeIPv4:
		h := header.IPv4(b)
		if h.IsFragment() {
			return puntPurse
		}
		protocol, b = h.Protocol(), b[h.HeaderLen():]
	case header.TypeIPv6:
		protocol, b = header.IPv6(b).NextHeader(), b[header.IPv6HeaderLen:]
	default:
		return routingPurse
	}
	switch protocol {
	case protoOSPF, protoPIM, protoVRRP, protoEIGRP:
		return routingPurse
	case header.ProtoTCP:
		if len(b) < leastUpperHeader {
			return puntPurse
		}
		switch from, to := ports(b); {
		case b[tcpFlagsAt]&(tcpSYN|tcpACK) == tcpSYN: // of BGP too: it is not to compete with who has a session
			return puntPurse
		case from == portBGP, to == portBGP, from == portLDP, to == portLDP:
			return routingPurse
		}
		return streamPurse
	case header.ProtoUDP:
		if len(b) < portsLen {
			return puntPurse
		}
		switch _, to := ports(b); to {
		case portRIP, portRIPng, portLDP, portBFD, portBFDEcho, portBFDMultihop:
			return routingPurse
		}
	}
	return puntPurse
}

// ports are those of a TCP or UDP header.
func ports(b []byte) (source, destination uint16) {
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
}
