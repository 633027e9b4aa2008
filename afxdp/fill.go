package afxdp

import "nsrouter/dataplane/frame"

// fillRing carries free frames to the kernel, which receives into them. We produce.
type fillRing struct{ ring[uint64] }

// lend gives up to n frames of c to the receive side that owner names, and returns how many: fewer when c has no more.
// There is always room: the receive side never holds more frames than the ring has entries.
func (r *fillRing) lend(pool *frame.Pool, c *frame.Cache, owner frame.Owner, n int) int {
	n = min(n, int(r.room(uint32(n))))
	lent := 0
	for ; lent < n; lent++ {
		addr, ok := c.Get()
		if !ok {
			break
		}
		pool.Lend(addr, owner)
		*r.at(uint32(lent)) = addr
	}
	if lent > 0 {
		r.produced(uint32(lent))
	}
	return lent
}
