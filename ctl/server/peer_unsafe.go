package server

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxGroups is NGROUPS_MAX of the kernel's include/uapi/linux/limits.h.
const maxGroups = 65536

// peerGroups are the supplementary groups that the peer of a connected unix socket had when it connected
// (sk_getsockopt of the kernel's net/core/sock.c, SO_PEERGROUPS): an array of gid_t, whose length in bytes comes back, with
// ERANGE where the room did not suffice.
func peerGroups(fd int) ([]uint32, error) {
	const some = 64
	for room := some; ; {
		groups := make([]uint32, room)
		size := uint32(room) * uint32(unsafe.Sizeof(groups[0]))
		//nolint:gosec // the kernel writes no more than size bytes, and size is that of groups
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		n := int(size) / int(unsafe.Sizeof(groups[0]))
		switch {
		case errno == 0:
			return groups[:n], nil
		case errno != unix.ERANGE || n <= room || n > maxGroups:
			return nil, errno
		}
		room = n
	}
}
