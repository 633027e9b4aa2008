package main

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Beside package afxdp, which has one size of each ring and one budget, this has them all, and no frame accounting.

const frameSize = 2048

// index is one side's place in a ring.
type index = *atomic.Uint32

// socket is an AF_XDP socket that only sends. It is for one thread at a time.
type socket struct {
	fd, entries          int
	memory               []byte
	mapped               [][]byte
	producer, consumer   index // of the transmit ring
	completed, recovered index // producer and consumer of the completion ring
	descs                []unix.XDPDesc
}

// newSocket makes a socket in the thread's Linux network namespace and binds it to queue 0 of an interface, in copy mode.
func newSocket(ifindex int, memory []byte, entries, budget int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make an AF_XDP socket: %w", err)
	}
	s := &socket{fd: fd, entries: entries, memory: memory}
	if err := s.set(ifindex, budget); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *socket) set(ifindex, budget int) error {
	reg := unix.XDPUmemReg{
		Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.memory)))), Len: uint64(len(s.memory)), Size: frameSize,
	}
	if _, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_UMEM_REG,
		uintptr(unsafe.Pointer(&reg)), unsafe.Sizeof(reg), 0); errno != 0 {
		return fmt.Errorf("register %d bytes of packet memory: %w", len(s.memory), errno)
	}
	for _, o := range []struct {
		name         string
		level, value int
		option       int
	}{
		{"fill ring", unix.SOL_XDP, s.entries, unix.XDP_UMEM_FILL_RING},
		{"completion ring", unix.SOL_XDP, s.entries, unix.XDP_UMEM_COMPLETION_RING},
		{"transmit ring", unix.SOL_XDP, s.entries, unix.XDP_TX_RING},
		{"budget", unix.SOL_XDP, budget, unix.XDP_MAX_TX_SKB_BUDGET},
		{"send buffer", unix.SOL_SOCKET, s.entries * frameSize, unix.SO_SNDBUFFORCE},
	} {
		if err := unix.SetsockoptInt(s.fd, o.level, o.option, o.value); err != nil {
			return fmt.Errorf("set %s to %d: %w", o.name, o.value, err)
		}
	}
	if err := s.mapRings(); err != nil {
		return err
	}
	address := unix.SockaddrXDP{Ifindex: uint32(ifindex), Flags: unix.XDP_COPY | unix.XDP_USE_NEED_WAKEUP}
	if err := unix.Bind(s.fd, &address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func (s *socket) mapRings() error {
	var o unix.XDPMmapOffsets
	length := uint32(unsafe.Sizeof(o))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&o)), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return fmt.Errorf("ask for ring offsets: %w", errno)
	}
	ring := func(page int64, desc uint64, element uintptr) ([]byte, error) {
		m, err := unix.Mmap(s.fd, page, int(desc)+s.entries*int(element), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_SHARED|unix.MAP_POPULATE)
		if err != nil {
			return nil, fmt.Errorf("map a ring: %w", err)
		}
		s.mapped = append(s.mapped, m)
		return m, nil
	}
	tx, err := ring(unix.XDP_PGOFF_TX_RING, o.Tx.Desc, unsafe.Sizeof(unix.XDPDesc{}))
	if err != nil {
		return err
	}
	done, err := ring(unix.XDP_UMEM_PGOFF_COMPLETION_RING, o.Cr.Desc, unsafe.Sizeof(uint64(0)))
	if err != nil {
		return err
	}
	s.producer, s.consumer = index(unsafe.Pointer(&tx[o.Tx.Producer])), index(unsafe.Pointer(&tx[o.Tx.Consumer]))
	s.completed, s.recovered = index(unsafe.Pointer(&done[o.Cr.Producer])), index(unsafe.Pointer(&done[o.Cr.Consumer]))
	s.descs = unsafe.Slice((*unix.XDPDesc)(unsafe.Pointer(&tx[o.Tx.Desc])), s.entries)
	return nil
}

// kick makes the kernel send up to its budget.
func (s *socket) kick() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

func (s *socket) close() {
	for _, m := range s.mapped {
		_ = unix.Munmap(m) // fails only for a mapping that is not ours
	}
	_ = unix.Close(s.fd)
}

// yield lets other threads that wait for this CPU run first.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
