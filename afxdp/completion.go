package afxdp

import "nsrouter/dataplane/frame"

// completionRing brings back the frames that the kernel has sent. The kernel produces.
type completionRing struct{ ring[uint64] }

// free takes all completed frames back from the transmit side that owner names, frees them into c, and returns how
// many.
func (r *completionRing) free(pool *frame.Pool, c *frame.Cache, owner frame.Owner) int {
	n := r.ready(ringEntries)
	for i := range n {
		addr := *r.at(i)
		pool.Return(addr, owner)
		c.Put(addr)
	}
	if n > 0 {
		r.consumed(n)
	}
	return int(n)
}
