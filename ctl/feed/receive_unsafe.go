package feed

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A message of the kernel is one route, mostly of less than 200 bytes; one of 256 IPv6 next hops has 12 KiB.
const (
	slots    = 64
	slotSize = 16 << 10
)

// receiver receives many messages with a system call. There are few, shared by all namespaces: each has one only while
// there is something to read.
type receiver struct {
	buffer  [slots * slotSize]byte
	vectors [slots]unix.Iovec
	names   [slots]unix.RawSockaddrNetlink
	headers [slots]mmsghdr
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

//nolint:gochecknoglobals // a pool
var receivers = sync.Pool{New: func() any {
	r := new(receiver)
	for i := range r.headers {
		r.vectors[i].Base = &r.buffer[i*slotSize]
		r.vectors[i].SetLen(slotSize)
		h := &r.headers[i].header
		h.Iov, h.Name = &r.vectors[i], (*byte)(unsafe.Pointer(&r.names[i]))
		h.SetIovlen(1)
	}
	return r
}}

// receive reads the messages that wait, as many as there is room for, and gives each of the kernel's to each; lost tells of
// one that was too long. It fails with EAGAIN when there is none, and with ENOBUFS when some were lost.
func (r *receiver) receive(fd int, each func(b []byte)) (n int, lost bool, err error) {
	for i := range r.headers {
		r.headers[i].header.Namelen = unix.SizeofSockaddrNetlink
	}
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.headers[0])), slots,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, false, errno
	}
	for i := range int(got) {
		h := &r.headers[i]
		if h.header.Flags&unix.MSG_TRUNC != 0 {
			lost = true
			continue
		}
		// Programs in the namespace may have the right to send to the groups as well.
		if h.header.Namelen == unix.SizeofSockaddrNetlink && r.names[i].Pid == 0 {
			each(r.buffer[i*slotSize:][:h.length])
		}
	}
	return int(got), lost, nil
}
