package afxdp

import (
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// more is the flag of a descriptor in a ring with more pieces of its packet in the next ones.
const more = unix.XDP_PKT_CONTD

// rxRing brings received packets. The kernel produces.
type rxRing struct{ ring[frame.Desc] }

// receive moves up to len(d) packets into d, takes their frames back from the receive side that owner names, and returns how
// many packets and frames these were. Of a packet in several pieces it makes a chain; one whose last piece is not here yet
// waits.
func (r *rxRing) receive(pool *frame.Pool, d []frame.Desc, owner frame.Owner) (packets, frames int) {
	ready, at := r.ready(uint32(len(d))), uint32(0)
	for ; packets < len(d) && at < ready; packets++ {
		p := &d[packets]
		*p = *r.at(at)
		if p.Options != 0 {
			n := r.pieces(at)
			if n == 0 {
				break
			}
			*p = r.chain(pool, at, n, owner)
			at += n
			ready = r.ready(at + uint32(len(d)-packets-1))
			continue
		}
		pool.Return(p.Addr, owner)
		at++
	}
	if at > 0 {
		r.consumed(at)
	}
	return packets, int(at)
}

// pieces is how many entries the packet has that begins at the entry at; 0 where not all of them are here.
func (r *rxRing) pieces(at uint32) uint32 {
	for n := uint32(1); ; n++ {
		if r.ready(at+n) < at+n {
			return 0
		}
		if r.at(at+n-1).Options&more == 0 {
			return n
		}
	}
}

// chain makes a packet of the n entries from at on.
func (r *rxRing) chain(pool *frame.Pool, at, n uint32, owner frame.Owner) frame.Desc {
	var packet frame.Desc
	for k := n; k > 0; k-- {
		piece := *r.at(at + k - 1)
		pool.Return(piece.Addr, owner)
		piece.Options = 0
		if k < n {
			frame.Link(pool.Bytes(), piece.Addr, packet)
			piece.Options = frame.Chained
		}
		packet = piece
	}
	return packet
}
