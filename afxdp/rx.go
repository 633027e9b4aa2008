package afxdp

import "nsrouter/dataplane/frame"

// rxRing brings received packets. The kernel produces.
type rxRing struct{ ring[frame.Desc] }

// receive moves up to len(d) packets into d, takes their frames back from the receive side that owner names, and
// returns how many.
func (r *rxRing) receive(pool *frame.Pool, d []frame.Desc, owner frame.Owner) int {
	n := min(uint32(len(d)), r.ready(uint32(len(d))))
	for i := range n {
		d[i] = *r.at(i)
		pool.Return(d[i].Addr, owner)
	}
	if n > 0 {
		r.consumed(n)
	}
	return int(n)
}
