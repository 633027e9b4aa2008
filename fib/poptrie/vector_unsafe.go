package poptrie

import "unsafe"

const (
	// Addresses of a batch from which on the kernel is faster than the plain loop (Zen 5).
	vectorMin4 = 40
	vectorMin6 = 12
	// Addresses that the kernel takes at once: Go cannot preempt it, and its lists are in its stack frame.
	kernelMax = 256
)

// lookupVector looks addresses up with the AVX-512 kernel. len(ids) >= len(dst).
func lookupVector[A uint32 | Addr](s *space, dst []A, ids []ID) {
	for len(dst) > 0 {
		n := min(len(dst), kernelMax)
		lookupAVX512(s, unsafe.Pointer(&dst[0]), &ids[0], n, sizeOf[A]() == sizeOf[Addr]())
		dst, ids = dst[n:], ids[n:]
	}
}

// The kernel counts on 24 bytes.
const _ = -(unsafe.Sizeof(node{}) ^ 24) // a constant overflow if it is not
