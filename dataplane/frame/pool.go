// Package frame owns the memory that packets live in.
//
// There is one area of equal frames for the whole daemon. Every interface registers the same area with the kernel (as a
// UMEM of its own, see package afxdp), so an address received from one interface can be transmitted by any other
// without a copy.
//
// # Ownership
//
// Every frame has exactly one owner at any time, and the owner table of the [Pool] names it:
//
//	         Get                       Lend(receive side of q)
//	+------+ ----> +--------+ ------------------------> +-----------+
//	| free |       | worker |                           | kernel, q |
//	+------+ <---- +--------+ <------------------------ +-----------+
//	         Put     |    ^             Return
//	                 |    |
//	                 v    |  Lend(transmit side of q) / Return
//	               +-----------+
//	               | kernel, q |
//	               +-----------+
//
// "free" is a worker's [Cache] or the depot behind all of them; "worker" is a packet in the pipeline or one held by an
// unresolved neighbour; "kernel, q" is the fill or receive ring (receive side), or the transmit or completion ring
// (transmit side) of a queue. When a queue goes away, whatever the kernel still had of it is found in the owner table
// and is free again ([Pool.Reclaim]). A transition that the table forbids (a double free, a transmit of somebody else's
// frame) is a programmer's fault and panics.
package frame

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// Size is the size of a frame in bytes, and the distance between frames. A power of two, as AF_XDP's aligned mode
	// wants.
	Size = 2048
	// Headroom is what the kernel keeps free before the packet in a received frame (XDP_PACKET_HEADROOM, bytes).
	Headroom = 256
	// MaxPacket is the longest Ethernet frame, without FCS, that one frame carries (bytes).
	MaxPacket = Size - Headroom
	// MaxMTU is the largest MTU (bytes of layer 3) that a single frame carries behind an Ethernet header with two VLAN
	// tags.
	MaxMTU = MaxPacket - 14 - 2*4
	// MaxLinkMTU is the largest MTU of a host interface, which carries one VLAN tag besides.
	MaxLinkMTU = MaxPacket - 14 - 4
	// JumboMTU is the largest MTU of a chain of frames, as it is usual.
	JumboMTU = 9000
	// JumboLinkMTU is that of a host interface below a device with an inner tag besides.
	JumboLinkMTU = JumboMTU + 4
)

// Desc describes one packet, or its first piece (chain.go): the layout of struct xdp_desc of linux/if_xdp.h, so that rings
// are read and written without a change.
type Desc struct {
	// Addr is the offset of the packet's first byte (the Ethernet header) in the area.
	Addr uint64
	// Len is the length in bytes of the packet, or of its first piece.
	Len uint32
	// Options are zero, or Chained. In a ring they are the kernel's XDP_* flags.
	Options uint32
}

// Owner says who has a frame: [Free], [Worker], or one side of a queue as given by [Pool.AddOwner].
type Owner uint16

const (
	// Free frames are in a worker's cache or in the depot.
	Free Owner = iota
	// Worker frames are in the pipeline, or held for a neighbour.
	Worker
	firstQueueOwner
)

// maxOwners is how many sides of queues there can be at once.
const maxOwners = 1<<16 - int(firstQueueOwner)

// Pool is the area, the table of who owns each frame, and the depot through which workers exchange surplus frames.
// Its methods may be called from any goroutine unless they say otherwise.
type Pool struct {
	mem   []byte
	whole []byte  // mem, and what of the last huge page is too much
	owner []Owner // one writer at a time: the frame's present owner
	huge  bool
	depot depot

	mu     sync.Mutex // over what follows
	owners int        // queue owners made so far
	spare  []Owner    // those that were given back
}

// NewPool maps and populates an area of the given number of frames, rounded up to a multiple of a magazine. Huge pages
// are used where some are reserved, else the kernel is asked for transparent ones.
func NewPool(frames int) (*Pool, error) {
	if frames <= 0 || frames > 1<<24 {
		return nil, fmt.Errorf("frame area of %d frames: want 1 to %d", frames, 1<<24)
	}
	frames = (frames + magazineSize - 1) / magazineSize * magazineSize
	size := frames * Size
	const hugePage = 2 << 20
	prot, flags := unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE
	mem, err := unix.Mmap(-1, 0, (size+hugePage-1)/hugePage*hugePage, prot, flags|unix.MAP_HUGETLB)
	huge := err == nil
	if err != nil {
		// MAP_POPULATE would fault in small pages before MADV_HUGEPAGE is heard.
		mem, err = unix.Mmap(-1, 0, size, prot, flags&^unix.MAP_POPULATE)
		if err != nil {
			return nil, fmt.Errorf(
				"map a frame area of %d MiB: %w (free memory, or ask for fewer frames)",
				size>>20,
				err,
			)
		}
		// A kernel without transparent huge pages refuses; small pages work as well, only slower.
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
		if err := unix.Madvise(mem, unix.MADV_POPULATE_WRITE); err != nil && !errors.Is(err, unix.EINVAL) {
			_ = unix.Munmap(mem)
			return nil, fmt.Errorf(
				"populate a frame area of %d MiB: %w (free memory, or ask for fewer frames)",
				size>>20,
				err,
			)
		}
	}
	p := &Pool{mem: mem[:size:size], whole: mem, owner: make([]Owner, frames), huge: huge}
	p.depot.init(frames)
	return p, nil
}

// Close unmaps the area. No frame may be in use, and no kernel registration of it may be left.
func (p *Pool) Close() error {
	return unix.Munmap(p.whole)
}

// Bytes is the whole area; a packet's bytes are Bytes()[addr:addr+len].
func (p *Pool) Bytes() []byte { return p.mem }

// Frames is the number of frames in the area.
func (p *Pool) Frames() int { return len(p.owner) }

// Huge tells whether the area lies on reserved huge pages.
func (p *Pool) Huge() bool { return p.huge }

// AddOwner gives out an owner, for one side of a queue.
func (p *Pool) AddOwner() (Owner, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		o := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return o, nil
	}
	if p.owners == maxOwners {
		return 0, fmt.Errorf("frame area: %d queues are attached, as many as can be", maxOwners/2)
	}
	p.owners++
	return firstQueueOwner + Owner(p.owners-1), nil
}

// RemoveOwner takes an owner back, which must have no frame any more ([Pool.Reclaim]).
//
//go:norace
func (p *Pool) RemoveOwner(o Owner) {
	for addr := range p.owner {
		if p.owner[addr] == o {
			p.fault(uint64(addr)*Size, o, Free)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = append(p.spare, o)
}

// Lend passes the frame at addr (any address within it) from the calling worker to a queue's side.
func (p *Pool) Lend(addr uint64, to Owner) { p.pass(addr, Worker, to) }

// Return takes the frame at addr back from a queue's side to the calling worker.
func (p *Pool) Return(addr uint64, from Owner) { p.pass(addr, from, Worker) }

func (p *Pool) pass(addr uint64, from, to Owner) {
	o := &p.owner[addr/Size]
	if *o != from {
		p.fault(addr, from, to)
	}
	*o = to
}

//go:noinline
func (p *Pool) fault(addr uint64, from, to Owner) {
	panic(
		fmt.Sprintf(
			"frame %d: passed from owner %d to %d, but its owner is %d",
			addr/Size,
			from,
			to,
			p.owner[addr/Size],
		),
	)
}

// Reclaim frees into c every frame that from still owns, after its socket is closed, and returns how many there were.
// Called by the worker that owned the queue.
//
// It looks at all entries of the owner table while other workers change theirs, which the race detector would report.
// Only the caller can have made an entry say from, or take that back, and it sees its own writes; what others write in
// theirs is never from.
//
//go:norace
func (p *Pool) Reclaim(from Owner, c *Cache) int {
	n := 0
	for i := range p.owner {
		if p.owner[i] == from {
			p.owner[i] = Worker
			c.Put(uint64(i) * Size)
			n++
		}
	}
	return n
}

// Owner is who has the frame at addr; exact only while all workers stand still.
func (p *Pool) Owner(addr uint64) Owner { return p.owner[addr/Size] }

// Census counts frames by owner. It is exact only while all workers stand still.
//
//go:norace
func (p *Pool) Census() map[Owner]int {
	p.mu.Lock()
	counts := make([]int, int(firstQueueOwner)+p.owners)
	p.mu.Unlock()
	for _, o := range p.owner {
		counts[o]++
	}
	m := make(map[Owner]int)
	for o, n := range counts {
		if n > 0 {
			m[Owner(o)] = n
		}
	}
	return m
}

// FreeInDepot is how many frames lie in the depot, in whole magazines; an estimate while workers run.
func (p *Pool) FreeInDepot() int { return int(p.depot.fullCount.Load()) * magazineSize }
