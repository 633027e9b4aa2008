package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// Packet is one packet in the pipeline: where its bytes are and what the nodes have found out about it. Offsets are
// within the frame area, lengths in bytes. The worker that holds a Packet owns its frames.
type Packet struct {
	Addr uint64 // offset of the Ethernet header
	Via  fib.Addr
	// Len is from the Ethernet header to the end of the packet, padding removed once the IP header is known; of a chain, to
	// the end of its first piece.
	Len uint32
	// In is the device it came in by; all that becomes of it is counted there. For a packet of the router's own, zero.
	In nstable.DeviceID
	// Out is the device it leaves by; Via the neighbour there (set by the forward and output nodes).
	Out nstable.DeviceID
	// Namespace is what the device was in when the packet was handed over, of one marked so; of one that came from another
	// namespace by a route, that namespace.
	Namespace nstable.NamespaceID
	// Next is the node at which another worker goes on (handoff), or this one in its next round (crossings).
	Next      NodeID
	Reason    counters.Reason // why it is dropped or answered with an error
	Crossings uint8           // veth pairs, and routes into other namespaces, passed
	Flags     Flags
	Code      uint8 // for the error nodes: the ICMP code
	// Priority are the priority and drop eligibility (4 bits) of the VLAN tags that it came with: the inner one below,
	// the outer one above. They are those of the tags that it leaves with; an own packet has 0.
	Priority uint8
	Detail   uint16 // for the error nodes: the next hop's MTU in bytes, or where the offending byte is (RFC 4443 3.4)
}

// Flags of a packet.
type Flags uint8

const (
	// Own marks a packet that the router made: no TTL is taken off, no error is sent about it, it was never received.
	Own Flags = 1 << iota
	// Group marks one that came as a link-layer multicast or broadcast.
	Group
	// WantSource marks an own packet whose IP source address (and checksum) is still to be chosen, by the device it
	// leaves by.
	WantSource
	// Optioned marks an IPv4 packet with options, of which Worker.options knows.
	Optioned
	// Local marks an IPv4 packet to one of the router's own addresses: errors about it come from there.
	Local
	// Directed marks an IPv4 packet to the broadcast address of a link that it is forwarded to.
	Directed
	// Handed marks one that came in by another worker, and goes to the only one that may go on with it (isMine).
	Handed
	// Chained marks one with more pieces in other frames (chain.go).
	Chained
)

// That Chained is the option of a port's Desc spares receive and transmit a test.
var _ = [1]struct{}{}[Chained-frame.Chained]

// vectorSize is how many packets a worker has in its graph at once: what it receives in a batch. 64 balances the cost
// of a batch against the cache.
const vectorSize = 64

// vector is a list of packets, as indices into Worker.packets. A node that nearly all packets leave by one edge keeps its n in a
// register, and writes it back before it calls who may use the same edge: a load that waits for the store of the packet before
// would take as long as half of the node. Indices taken modulo vectorSize tell the compiler what it cannot know, that they
// are in range.
type vector struct {
	n   uint
	idx [vectorSize]uint16
}
