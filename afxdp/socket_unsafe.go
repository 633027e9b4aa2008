package afxdp

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// registerUMEM makes mem the socket's packet memory (XDP_UMEM_REG): its pages are pinned, and counted as locked memory.
func registerUMEM(fd int, mem []byte, chunk uint32) error {
	start := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))) // off the heap: it does not move
	reg := unix.XDPUmemReg{Addr: start, Len: uint64(len(mem)), Size: chunk}
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0)
	return errnoError(errno)
}

// ringOffsets asks where in their mappings the rings' indices lie (XDP_MMAP_OFFSETS).
func ringOffsets(fd int) (unix.XDPMmapOffsets, error) {
	var o unix.XDPMmapOffsets
	err := getsockopt(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&o), unsafe.Sizeof(o))
	return o, err
}

// socketStatistics asks for the socket's counters (XDP_STATISTICS).
func socketStatistics(fd int) (unix.XDPStatistics, error) {
	var s unix.XDPStatistics
	err := getsockopt(fd, unix.XDP_STATISTICS, unsafe.Pointer(&s), unsafe.Sizeof(s))
	return s, err
}

func getsockopt(fd int, option uintptr, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, option,
		uintptr(value), uintptr(unsafe.Pointer(&length)), 0)
	return errnoError(errno)
}

func errnoError(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// kickTransmit makes the kernel send from the transmit ring. It does not block, so the Go scheduler need not hear of
// it: a raw system call, bounded by the kernel's budget of packets per call.
func kickTransmit(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// kickReceive makes the driver look at the fill ring again.
func kickReceive(fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// yield lets other threads that wait for this CPU run first. The Go scheduler need not hear of it: it means the kernel's.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
