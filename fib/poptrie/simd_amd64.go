package poptrie

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// hasAVX512 tells whether the processor, and the system, have all that the kernel uses.
func hasAVX512() bool {
	x := &cpu.X86
	return x.HasAVX512F && x.HasAVX512DQ && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512VPOPCNTDQ && x.HasBMI2 && x.HasPOPCNT
}

// hasBMI2 tells whether the processor has all that the kernel of that name uses.
func hasBMI2() bool { return cpu.X86.HasBMI2 && cpu.X86.HasPOPCNT }

// walkFour takes n lanes, at least one, and those behind them up to a multiple of four, down from their nodes, as far as there are
// children on their way, but no more than some levels. x and h are as in [walk].
//
//go:noescape
func walkFour(nodes *node, x, h *[walkMax]uint64, n, levels int)

// lookupAVX512 is lookup4 or, for v6, lookup6 of n addresses, 1 to kernelMax, from dst on: *uint32 or *Addr.
//
//go:noescape
func lookupAVX512(s *space, dst unsafe.Pointer, ids *ID, n int, v6 bool)
