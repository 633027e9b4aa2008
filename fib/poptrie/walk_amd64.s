#include "textflag.h"

// The BMI2 kernel: four lanes abreast, each one node further in a step, until all are at their last one. A step down is a chain of
// loads and counts that takes eleven cycles, of which four fit into one another.
//
//	BX  nodes     R8, R9, R10, R11   x of the lanes: three times the number of the node, which so is at BX + 8x
//	R15 lanes     R12, R13, SI, DI   h of the lanes: the bits yet to be looked at, left-aligned
//	    that go on
//
// STEP takes a lane to its child where the slot that h begins with leads to one, and counts it; else the lane stays. That it costs no
// branch is the point: where addresses end is nothing that a processor can foresee. Changes AX, CX, DX, R14.
#define STEP(x, h) \
	MOVQ    h, CX             \ // the slot
	SHRQ    $58, CX           \
	MOVQ    (BX)(x*8), AX     \ // node.inner
	LEAQ    1(CX), DX         \
	BZHIQ   DX, AX, DX        \
	POPCNTQ DX, DX            \
	ADDL    8(BX)(x*8), DX    \ // node.child
	LEAQ    -3(DX)(DX*2), DX  \
	MOVQ    h, R14            \
	SHLQ    $6, R14           \
	BTQ     CX, AX            \
	CMOVQCS DX, x             \
	CMOVQCS R14, h            \
	ADCQ    $0, R15

// func walkFour(nodes *node, x, h *[walkMax]uint64, n, levels int)
TEXT ·walkFour(SB), NOSPLIT, $8-40
	MOVQ nodes+0(FP), BX
	MOVQ x+8(FP), AX
	MOVQ h+16(FP), DX

group:
	MOVQ AX, x+8(FP)
	MOVQ DX, h+16(FP)
	MOVQ levels+32(FP), CX
	MOVQ CX, left-8(SP)
	MOVQ 0(AX), R8
	MOVQ 8(AX), R9
	MOVQ 16(AX), R10
	MOVQ 24(AX), R11
	MOVQ 0(DX), R12
	MOVQ 8(DX), R13
	MOVQ 16(DX), SI
	MOVQ 24(DX), DI

step:
	XORL  R15, R15
	STEP(R8, R12)
	STEP(R9, R13)
	STEP(R10, SI)
	STEP(R11, DI)
	TESTQ R15, R15
	JZ    ended
	DECQ  left-8(SP)
	JNZ   step

ended:
	MOVQ x+8(FP), AX
	MOVQ h+16(FP), DX
	MOVQ R8, 0(AX)
	MOVQ R9, 8(AX)
	MOVQ R10, 16(AX)
	MOVQ R11, 24(AX)
	MOVQ R12, 0(DX)
	MOVQ R13, 8(DX)
	MOVQ SI, 16(DX)
	MOVQ DI, 24(DX)
	ADDQ $32, AX
	ADDQ $32, DX
	SUBQ $4, n+24(FP)
	JGT  group
	RET
