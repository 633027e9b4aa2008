package afxdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const ringNeedWakeup = unix.XDP_RING_NEED_WAKEUP

// mapRing sets the ring's size by the socket option that makes it, and maps it from its page offset.
func mapRing[E any](fd, option int, pageOffset int64, o unix.XDPRingOffset) (ring[E], error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, option, ringEntries); err != nil {
		return ring[E]{}, fmt.Errorf("make a ring of %d entries: %w", ringEntries, err)
	}
	var e E
	size := int(o.Desc) + ringEntries*int(unsafe.Sizeof(e))
	mem, err := unix.Mmap(fd, pageOffset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring[E]{}, fmt.Errorf("map a ring of %d entries: %w", ringEntries, err)
	}
	return ring[E]{
		producer: (*atomic.Uint32)(unsafe.Pointer(&mem[o.Producer])),
		consumer: (*atomic.Uint32)(unsafe.Pointer(&mem[o.Consumer])),
		flags:    (*atomic.Uint32)(unsafe.Pointer(&mem[o.Flags])),
		entries:  (*[ringEntries]E)(unsafe.Pointer(&mem[o.Desc])),
		mem:      mem,
	}, nil
}

// unmap ends the ring; using it afterwards is a fault.
func (r *ring[E]) unmap() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem) // fails only for a mapping that is not ours
		*r = ring[E]{}
	}
}
