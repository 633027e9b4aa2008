package dataplane

import (
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
)

// A packet longer than one frame carries is a chain of frames (package frame, chain.go): Addr and Len are those of its first
// piece, and the flag Chained says that there are more. All headers that a router looks at are in the first piece
// (sound sees to that), so most nodes need not know. Whoever frees a packet does so by free; whoever makes another
// packet of its first frame cuts the rest off, or keeps the flag.

// desc is the packet as ports know it.
func (p *Packet) desc() frame.Desc {
	return frame.Desc{Addr: p.Addr, Len: p.Len, Options: uint32(p.Flags & Chained)}
}

// free frees the frames of a packet.
func (w *Worker) free(p *Packet) {
	if p.Flags&Chained != 0 {
		w.cutRest(p)
	}
	w.cache.Put(p.Addr)
}

// cutRest frees all pieces of a packet but the first.
func (w *Worker) cutRest(p *Packet) {
	if p.Flags&Chained != 0 {
		w.cache.PutChain(frame.Next(w.mem, p.desc()))
		p.Flags &^= Chained
	}
}

// length is how long a packet is from the Ethernet header on, in bytes.
func (w *Worker) length(p *Packet) int { return frame.Length(w.mem, p.desc()) }

// framesOf is how many frames a packet has.
func (w *Worker) framesOf(p *Packet) int {
	if p.Flags&Chained == 0 {
		return 1
	}
	return frame.Pieces(w.mem, p.desc())
}

// read copies bytes of a packet to b, from offset at behind the Ethernet header on, as many as b and the packet have, and
// returns how many that were.
func (w *Worker) read(b []byte, p *Packet, at int) int {
	return frame.Read(w.mem, p.desc(), header.EthernetLen+at, b)
}

// datagram is a packet from its network header on, in one piece: that of packet p itself or, of a chain, a copy that is good
// until the next is made.
func (w *Worker) datagram(p *Packet) []byte {
	if p.Flags&Chained == 0 {
		return w.network(p)
	}
	whole := w.reassembly.whole
	return whole[:w.read(whole, p, 0)]
}
