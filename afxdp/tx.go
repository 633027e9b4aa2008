package afxdp

import "nsrouter/dataplane/frame"

// txRing carries packets to send. We produce.
type txRing struct {
	ring[frame.Desc]
	maxPieces int // of a packet; 1 where the socket takes no more
}

// send gives the first packets of d to the transmit side that owner names, as many as there is room for with all their
// pieces, and returns how many packets and frames these were.
//
// It stops at a packet that is empty, does not lie within its frame, or has too many pieces: the kernel would skip it without
// a completion (xskq_cons_read_desc in net/xdp/xsk_queue.h), and its frames would be lost.
func (r *txRing) send(pool *frame.Pool, d []frame.Desc, owner frame.Owner) (packets, frames int) {
	room, sent := r.room(uint32(len(d))), uint32(0)
	for ; packets < len(d) && sent < room; packets++ {
		p := &d[packets]
		if p.Options != 0 {
			n := r.sendChain(pool, *p, sent, owner)
			if n == 0 {
				break
			}
			sent += n
			room = r.room(sent + uint32(len(d)-packets-1))
			continue
		}
		if !fits(p) {
			break
		}
		pool.Lend(p.Addr, owner)
		*r.at(sent) = frame.Desc{Addr: p.Addr, Len: p.Len}
		sent++
	}
	if sent > 0 {
		r.produced(sent)
	}
	return packets, int(sent)
}

// fits tells whether the kernel takes a piece: it is not empty, and lies within its frame.
func fits(p *frame.Desc) bool { return p.Len != 0 && p.Addr%frame.Size+uint64(p.Len) <= frame.Size }

// sendChain gives all pieces of a packet to the transmit side, from the entry at on, and returns how many; 0, with all of
// them still the caller's, where the kernel would not take it or the ring has no room for all of it.
func (r *txRing) sendChain(pool *frame.Pool, d frame.Desc, at uint32, owner frame.Owner) uint32 {
	var pieces [frame.MaxPieces]frame.Desc
	n := 0
	for ; ; d = frame.Next(pool.Bytes(), d) {
		if n == min(r.maxPieces, len(pieces)) || !fits(&d) {
			return 0
		}
		pieces[n] = frame.Desc{Addr: d.Addr, Len: d.Len, Options: more}
		if n++; d.Options&frame.Chained == 0 {
			break
		}
	}
	if r.room(at+uint32(n)) < at+uint32(n) {
		return 0
	}
	pieces[n-1].Options = 0
	for k := range n {
		pool.Lend(pieces[k].Addr, owner)
		*r.at(at + uint32(k)) = pieces[k]
	}
	return uint32(n)
}
