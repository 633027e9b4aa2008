package afxdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const ringNeedWakeup = unix.XDP_RING_NEED_WAKEUP

// mapTo gives the socket a ring, by the socket option for its kind, and maps it from its page offset. The fields lie
// where o says.
func (r *ring[E]) mapTo(fd, option int, page int64, o unix.XDPRingOffset) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_XDP, option, ringEntries); err != nil {
		return fmt.Errorf("make a ring of %d entries: %w", ringEntries, err)
	}
	size := o.Desc + uint64(unsafe.Sizeof(*r.entries))
	mem, err := unix.Mmap(fd, page, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map a ring of %d entries: %w", ringEntries, err)
	}
	*r = ring[E]{
		producer: (*atomic.Uint32)(unsafe.Pointer(&mem[o.Producer])),
		consumer: (*atomic.Uint32)(unsafe.Pointer(&mem[o.Consumer])),
		flags:    (*atomic.Uint32)(unsafe.Pointer(&mem[o.Flags])),
		entries:  (*[ringEntries]E)(unsafe.Pointer(&mem[o.Desc])),
		mem:      mem,
	}
	return nil
}

// unmap ends the ring; using it afterwards is a fault.
func (r *ring[E]) unmap() {
	if r.mem != nil {
		_ = unix.Munmap(r.mem) // fails only for a mapping that is not ours
		*r = ring[E]{}
	}
}
