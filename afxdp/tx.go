package afxdp

import "nsrouter/dataplane/frame"

// txRing carries packets to send. We produce.
type txRing struct{ ring[frame.Desc] }

// send gives the first packets of d to the transmit side that owner names, as many as there is room for, and returns
// how many.
//
// It stops at a packet that is empty or does not lie within its frame: the kernel would skip it without a completion
// (xskq_cons_read_desc in net/xdp/xsk_queue.h), and its frame would be lost.
func (r *txRing) send(pool *frame.Pool, d []frame.Desc, owner frame.Owner) int {
	n := min(uint32(len(d)), r.room(uint32(len(d))))
	sent := uint32(0)
	for ; sent < n; sent++ {
		p := &d[sent]
		if p.Len == 0 || p.Addr%frame.Size+uint64(p.Len) > frame.Size {
			break
		}
		pool.Lend(p.Addr, owner)
		*r.at(sent) = frame.Desc{Addr: p.Addr, Len: p.Len}
	}
	if sent > 0 {
		r.produced(sent)
	}
	return int(sent)
}
