package frame

import "sync/atomic"

// magazineSize is how many frames move between a cache and the depot at once.
const magazineSize = 64

// Cache is one worker's store of free frames: two magazines' worth and what it took in since. Only its worker may use
// it.
type Cache struct {
	pool *Pool
	free []uint32 // frame numbers; last in, first out, since the last one used is warm in the CPU's cache
}

// NewCache returns an empty cache; frames come from the depot when they are asked for.
func (p *Pool) NewCache() *Cache {
	return &Cache{pool: p, free: make([]uint32, 0, 4*magazineSize)}
}

// Get takes a free frame; the caller's worker owns it now. It returns the frame's first address, or false if none is
// free.
func (c *Cache) Get() (uint64, bool) {
	if len(c.free) == 0 && !c.load() {
		return 0, false
	}
	n := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	addr := uint64(n) * Size
	c.pool.pass(addr, Free, Worker)
	return addr, true
}

// Put frees the frame that addr lies in. A surplus goes to the depot, a magazine at a time.
func (c *Cache) Put(addr uint64) {
	c.pool.pass(addr, Worker, Free)
	if len(c.free) == cap(c.free) {
		c.unload()
	}
	c.free = append(c.free, uint32(addr/Size))
}

// Len is the number of frames in the cache.
func (c *Cache) Len() int { return len(c.free) }

// Drain gives every frame back to the depot as far as whole magazines go, for a worker that ends.
func (c *Cache) Drain() {
	for len(c.free) >= magazineSize {
		c.unload()
	}
}

func (c *Cache) load() bool {
	m, ok := c.pool.depot.takeFull()
	if !ok {
		return false
	}
	c.free = append(c.free, c.pool.depot.magazines[m].frames[:]...)
	c.pool.depot.putEmpty(m)
	return true
}

func (c *Cache) unload() {
	d := &c.pool.depot
	m, ok := d.takeEmpty()
	if !ok {
		// There is a magazine for every 64 frames, so one is empty whenever 64 frames are here.
		panic("frame depot: no empty magazine")
	}
	// The oldest go: the newest are warm.
	copy(d.magazines[m].frames[:], c.free)
	c.free = c.free[:copy(c.free, c.free[magazineSize:])]
	d.putFull(m)
}

// depot holds magazines: two Treiber stacks (full and empty ones) whose heads carry a tag against ABA. R. K. Treiber,
// "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986; magazines after Bonwick and Adams, USENIX 2001.
type depot struct {
	magazines []magazine
	full      atomic.Uint64 // tag<<32 | index+1
	empty     atomic.Uint64
	fullCount atomic.Int32
}

type magazine struct {
	frames [magazineSize]uint32
	next   atomic.Uint32 // index+1 of the one below in its stack
}

func (d *depot) init(frames int) {
	d.magazines = make([]magazine, frames/magazineSize)
	for m := range d.magazines {
		for i := range d.magazines[m].frames {
			d.magazines[m].frames[i] = uint32(m*magazineSize + i)
		}
	}
	for m := len(d.magazines) - 1; m >= 0; m-- {
		d.putFull(uint32(m))
	}
}

func (d *depot) takeFull() (uint32, bool) {
	m, ok := d.pop(&d.full)
	if ok {
		d.fullCount.Add(-1)
	}
	return m, ok
}

func (d *depot) putFull(m uint32) {
	d.push(&d.full, m)
	d.fullCount.Add(1)
}

func (d *depot) takeEmpty() (uint32, bool) { return d.pop(&d.empty) }
func (d *depot) putEmpty(m uint32)         { d.push(&d.empty, m) }

func (d *depot) pop(head *atomic.Uint64) (uint32, bool) {
	for {
		h := head.Load()
		top := uint32(h)
		if top == 0 {
			return 0, false
		}
		next := d.magazines[top-1].next.Load()
		if head.CompareAndSwap(h, (h>>32+1)<<32|uint64(next)) {
			return top - 1, true
		}
	}
}

func (d *depot) push(head *atomic.Uint64, m uint32) {
	for {
		h := head.Load()
		d.magazines[m].next.Store(uint32(h))
		if head.CompareAndSwap(h, (h>>32+1)<<32|uint64(m+1)) {
			return
		}
	}
}
