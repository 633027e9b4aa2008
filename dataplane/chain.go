package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
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

// leastHead is how much of a chain its first piece has at least: the headers that a node may look at, and what an ICMPv6
// error quotes.
const leastHead = header.EthernetLen + header.IPv6MinMTU

// sound makes a chain that was received one that the other nodes can rely on, or tells why it cannot: its first piece has
// leastHead bytes, no piece is empty, there are no more pieces than can be sent, and there is nothing behind the end of an IP
// packet. So of a chain the IP packet is always longer than the first piece, and what is not is none any more.
func (w *Worker) sound(p *Packet) (why reason, ok bool) {
	pieces, empty := 1, false
	for d := p.desc(); d.Options&frame.Chained != 0; pieces++ {
		d = frame.Next(w.mem, d)
		empty = empty || d.Len == 0
	}
	switch {
	case w.length(p) > frame.MaxChain:
		return counters.FrameTooLong, false
	case (empty || pieces > frame.MaxPieces || p.Len < leastHead) && !w.repack(p):
		return counters.NoFrame, false
	}
	if p.Flags&Chained != 0 {
		w.trim(p)
	}
	return 0, true
}

// repack copies a chain into one of full pieces; false, with the chain as it was, where no frames are free. Nobody sends
// such chains but a driver that splits headers from what is behind them.
func (w *Worker) repack(p *Packet) bool {
	to, ok := w.cache.New(w.length(p))
	if !ok {
		return false
	}
	for at, d := 0, to; ; d = frame.Next(w.mem, d) {
		at += frame.Read(w.mem, p.desc(), at, w.mem[d.Addr:d.Addr+uint64(d.Len)])
		if d.Options&frame.Chained == 0 {
			break
		}
	}
	w.free(p)
	p.Addr, p.Len, p.Flags = to.Addr, to.Len, p.Flags&^Chained|Flags(to.Options)
	return true
}

// trim cuts off what is behind the end of the IP packet that a chain is, behind whatever tags: padding of the link layer.
func (w *Worker) trim(p *Packet) {
	e, tags := w.ethernet(p), 0
	for ; header.IsVLAN(e.Type()) && tags < nstable.MaxTags; tags++ {
		e = e[header.VLANTagLen:]
	}
	end := header.EthernetLen + tags*header.VLANTagLen
	switch network := e[header.EthernetLen:]; e.Type() {
	case header.TypeIPv4:
		end += header.IPv4(network).TotalLen()
	case header.TypeIPv6:
		end += header.IPv6HeaderLen + header.IPv6(network).PayloadLen()
	default:
		return
	}
	var pieces [frame.MaxPieces]frame.Desc
	pieces[0] = p.desc()
	last := 0
	for end -= int(p.Len); end > 0; end -= int(pieces[last].Len) {
		if pieces[last].Options&frame.Chained == 0 {
			return // it is as long as it says, or not even that
		}
		pieces[last+1] = frame.Next(w.mem, pieces[last])
		last++
	}
	if last == 0 {
		w.cutRest(p)
		return
	}
	d := &pieces[last]
	if d.Options&frame.Chained != 0 {
		w.cache.PutChain(frame.Next(w.mem, *d))
	}
	d.Len, d.Options = uint32(int(d.Len)+end), 0
	for k := last; k > 0; k-- {
		frame.Link(w.mem, pieces[k-1].Addr, pieces[k])
	}
}

// holds tells whether a packet, which is longer than its first piece, has so many bytes behind the Ethernet header.
func (w *Worker) holds(p *Packet, network int) bool {
	return p.Flags&Chained != 0 && w.length(p) == header.EthernetLen+network
}

// isAll tells whether a packet has all of the datagram d, of whose beginning it consists otherwise.
func (w *Worker) isAll(p *Packet, d []byte) bool { return w.length(p) == header.EthernetLen+len(d) }
