#include "go_asm.h"
#include "textflag.h"

// The AVX-512 kernel. It takes up to 256 addresses, lanes 0 to 255, down the trie level by level. Between the levels those that are
// still on their way stand in two lists in the stack frame, one entry of 64 bits a lane, closed up so that each step of a loop has
// eight lanes to work on:
//
//	keys  what is yet to be looked at of the address, left-aligned
//	walk  node | lane << 32
//
// and those that have come to their last node in a third one, whose leaves are fetched at the end, all at once:
//
//	ends  node | lane << 32 | slot << 40
//
// Loads are of eight lanes at a time, the last ones of a list of what stands behind it: zeros there make them look at node 0, which
// is always one. Each list has room for eight entries behind 256.
//
// The writer may be storing root entries and leaves meanwhile. Each is loaded by an aligned load of its own size, which is never torn.
//
// Registers of all parts:
//
//	DI  ids        BX  nodes       R10 entries in keys and walk       K2  lanes of this step that there are
//	SI  addresses  R8  see below   R11 entries in ends                K6  lower halves of eight words
//	R12 where a loop reads         R13 where it writes

#define KEYS keys-6336(SP)
#define WALK walk-4224(SP)
#define ENDS ends-2112(SP)
#define WALK_LANE walk-4220(SP)
#define ENDS_LANE ends-2108(SP)

// FEW sets mask to the first n of lanes, if there are not more of them than n. Changes DX.
#define FEW(n, lanes, mask) \
	MOVL  $((1<<lanes)-1), DX; \
	BZHIL n, DX, DX;           \
	KMOVW DX, mask

// NODES loads 16 bytes, from offset at on, of each of the nodes of eight entries from list on. The first words go to Z8, the second
// ones to Z9. This is faster than two gathers of words. Changes AX, DX, R9, R14, Z6, Z7.
#define NODES(list, at) \
	MOVL         0(list), AX;                  \
	MOVL         8(list), DX;                  \
	MOVL         16(list), R9;                 \
	MOVL         24(list), R14;                \
	LEAQ         (AX)(AX*2), AX;               \
	LEAQ         (DX)(DX*2), DX;               \
	LEAQ         (R9)(R9*2), R9;               \
	LEAQ         (R14)(R14*2), R14;            \
	VMOVDQU      at(BX)(AX*8), X6;             \
	VMOVDQU      at(BX)(DX*8), X7;             \
	VINSERTI64X2 $1, at(BX)(R9*8), Z6, Z6;     \
	VINSERTI64X2 $1, at(BX)(R14*8), Z7, Z7;    \
	MOVL         32(list), AX;                 \
	MOVL         40(list), DX;                 \
	MOVL         48(list), R9;                 \
	MOVL         56(list), R14;                \
	LEAQ         (AX)(AX*2), AX;               \
	LEAQ         (DX)(DX*2), DX;               \
	LEAQ         (R9)(R9*2), R9;               \
	LEAQ         (R14)(R14*2), R14;            \
	VINSERTI64X2 $2, at(BX)(AX*8), Z6, Z6;     \
	VINSERTI64X2 $2, at(BX)(DX*8), Z7, Z7;     \
	VINSERTI64X2 $3, at(BX)(R9*8), Z6, Z6;     \
	VINSERTI64X2 $3, at(BX)(R14*8), Z7, Z7;    \
	VPUNPCKLQDQ  Z7, Z6, Z8;                   \
	VPUNPCKHQDQ  Z7, Z6, Z9

// ENTRIES loads the root entries of four addresses, which are width bytes apart from at on, into x; op shifts them. This is faster than
// a gather. Changes AX, DX, R10, R11.
#define ENTRIES(op, at, width, x) \
	op      R9, (at+0*width)(R14), AX;  \
	op      R9, (at+1*width)(R14), DX;  \
	op      R9, (at+2*width)(R14), R10; \
	op      R9, (at+3*width)(R14), R11; \
	VMOVD   (R8)(AX*4), x;              \
	VPINSRD $1, (R8)(DX*4), x, x;       \
	VPINSRD $2, (R8)(R10*4), x, x;      \
	VPINSRD $3, (R8)(R11*4), x, x

// func lookupAVX512(s *space, dst unsafe.Pointer, ids *ID, n int, v6 bool)
TEXT ·lookupAVX512(SB), 0, $6336-33
	MOVQ    s+0(FP), AX
	MOVQ    dst+8(FP), SI
	MOVQ    ids+16(FP), DI
	MOVQ    n+24(FP), CX
	MOVQ    space_nodes(AX), BX
	MOVQ    space_root(AX), R8
	MOVBQZX space_rootBits(AX), R9

	// The root, CX lanes. An entry with bit 31 is an id, any other one a node.
	//	R8  root                      Z0  addresses      Z16 this step's lanes, numbered
	//	R9  bits of an address below the root's          Z17 what their numbers grow by
	//	R14 this step's addresses     Z2  root entries   Z18 all bits but bit 31
	//	X15 rootBits                  K4  lanes that go on to a node
	XORL         R12, R12
	XORL         R13, R13
	KXNORW       K2, K2, K2
	MOVQ         SI, R14
	VMOVQ        R9, X15
	NEGL         R9
	MOVL         $0x7fffffff, AX
	VPBROADCASTD AX, Z18
	MOVQ         $0x0706050403020100, AX
	VMOVQ        AX, X0
	CMPB         v6+32(FP), $0
	JNE          root6

	// IPv4: 16 lanes a step, in words of 32 bits.
	ADDL         $32, R9
	MOVQ         $0x0f0e0d0c0b0a0908, AX
	VPINSRQ      $1, AX, X0, X0
	VPMOVZXBD    X0, Z16
	MOVL         $16, AX
	VPBROADCASTD AX, Z17

root4step:
	MOVQ        CX, AX
	SUBQ        R12, AX
	CMPQ        AX, $16
	JGE         root4look
	FEW(AX, 16, K2)
	VMOVDQU32.Z (R14), K2, Z0          // the last ones, from where all 16 can be read
	LEAQ        ENDS, R14
	VMOVDQU32   Z0, (R14)

root4look:
	ENTRIES(SHRXL, 0, 4, X2)
	ENTRIES(SHRXL, 16, 4, X3)
	ENTRIES(SHRXL, 32, 4, X4)
	ENTRIES(SHRXL, 48, 4, X5)
	VINSERTI128   $1, X3, Y2, Y2
	VINSERTI128   $1, X5, Y4, Y4
	VINSERTI64X4  $1, Y4, Z2, Z2
	VPMOVD2M      Z2, K3
	KANDNW        K2, K3, K4
	VPANDD        Z18, Z2, Z2
	VMOVDQU32     Z2, K2, (DI)(R12*4)
	KORTESTW      K4, K4
	JZ            root4next
	VMOVDQU32     (R14), Z0
	VPSLLD        X15, Z0, Z0
	VPCOMPRESSD.Z Z0, K4, Z0
	VPCOMPRESSD.Z Z2, K4, Z2
	VPCOMPRESSD.Z Z16, K4, Z1
	VPMOVZXDQ     Y0, Z3
	VPMOVZXDQ     Y1, Z4
	VPMOVZXDQ     Y2, Z5
	VPSLLQ        $32, Z3, Z3
	VPSLLQ        $32, Z4, Z4
	VPORQ         Z4, Z5, Z5
	VMOVDQU64     Z3, KEYS(R13*8)
	VMOVDQU64     Z5, WALK(R13*8)
	VEXTRACTI64X4 $1, Z0, Y0           // the other eight
	VEXTRACTI64X4 $1, Z1, Y1
	VEXTRACTI64X4 $1, Z2, Y2
	VPMOVZXDQ     Y0, Z3
	VPMOVZXDQ     Y1, Z4
	VPMOVZXDQ     Y2, Z5
	VPSLLQ        $32, Z3, Z3
	VPSLLQ        $32, Z4, Z4
	VPORQ         Z4, Z5, Z5
	VMOVDQU64     Z3, keys-6272(SP)(R13*8)
	VMOVDQU64     Z5, walk-4160(SP)(R13*8)
	KMOVW         K4, AX
	POPCNTL       AX, AX
	ADDQ          AX, R13

root4next:
	VPADDD Z17, Z16, Z16
	ADDQ   $64, R14
	ADDQ   $16, R12
	CMPQ   R12, CX
	JLT    root4step
	MOVL   $-1, CX                     // levels until the keys end: bits past the end of an IPv4 address are zeros
	JMP    walk

	// IPv6: 8 lanes a step, in words of 64 bits. Z19 tells where the upper words of eight addresses are.
root6:
	ADDL         $64, R9
	VPMOVZXBQ    X0, Z16
	VPADDQ       Z16, Z16, Z19
	VPSLLQ       $32, Z16, Z16
	MOVQ         $(8<<32), AX
	VPBROADCASTQ AX, Z17

root6step:
	MOVQ        CX, AX
	SUBQ        R12, AX
	CMPQ        AX, $8
	JGE         root6look
	FEW(AX, 8, K2)
	ADDL        AX, AX
	FEW(AX, 16, K1)
	KSHIFTRW    $8, K1, K3
	VMOVDQU64.Z (R14), K1, Z0          // the last ones, from where all eight can be read
	VMOVDQU64.Z 64(R14), K3, Z1
	LEAQ        ENDS, R14
	VMOVDQU64   Z0, (R14)
	VMOVDQU64   Z1, 64(R14)

root6look:
	ENTRIES(SHRXQ, 0, 16, X2)
	ENTRIES(SHRXQ, 64, 16, X3)
	VINSERTI128   $1, X3, Y2, Y2
	VPMOVD2M      Y2, K3
	KANDNB        K2, K3, K4
	VPANDD        Y18, Y2, Y2
	VMOVDQU32     Y2, K2, (DI)(R12*4)
	KMOVB         K4, AX
	TESTL         AX, AX
	JZ            root6next
	VMOVDQU64     (R14), Z0
	VPERMT2Q      64(R14), Z19, Z0
	VPSLLQ        X15, Z0, Z0
	VPMOVZXDQ     Y2, Z2
	VPORQ         Z16, Z2, Z2
	VPCOMPRESSQ.Z Z0, K4, Z0
	VPCOMPRESSQ.Z Z2, K4, Z2
	VMOVDQU64     Z0, KEYS(R13*8)
	VMOVDQU64     Z2, WALK(R13*8)
	POPCNTL       AX, AX
	ADDQ          AX, R13

root6next:
	VPADDQ Z17, Z16, Z16
	ADDQ   $128, R14
	ADDQ   $8, R12
	CMPQ   R12, CX
	JLT    root6step
	MOVL   R9, AX                      // whole levels in the rest of the upper word
	MOVL   $6, CX
	XORL   DX, DX
	DIVL   CX
	MOVL   AX, CX
	MOVL   $64, R8
	SUBL   DX, R8

	// The levels.
	//	CX  levels until the keys end                  Z3  walk              Z4  keys           Z5  slots
	//	R8  the bit of the address that they end at    Z8  inner             Z9  child, leaf
	//	R15 this step's part of walk                   Z10 1 << slot, then the bits below it    Z11 ends
	//	K4  lanes that go on to a child                Z20 zeros             Z21 ones, of 64 bits
	//	K5  lanes that have come to their last node    Z22 all bits
walk:
	MOVQ         R13, R10
	XORL         R11, R11
	VPXORQ       X20, X20, X20
	MOVL         $1, AX
	VPBROADCASTQ AX, Z21
	VPTERNLOGD   $0xff, Z22, Z22, Z22
	MOVL         $0x5555, AX
	KMOVW        AX, K6

level:
	TESTQ     R10, R10
	JZ        leaves
	TESTL     CX, CX
	JZ        newkeys
	DECL      CX
	VMOVDQU64 Z20, WALK(R10*8)
	KXNORB    K2, K2, K2
	XORL      R12, R12
	XORL      R13, R13

levelstep:
	MOVQ R10, AX
	SUBQ R12, AX
	CMPQ AX, $8
	JGE  levellook
	FEW(AX, 8, K2)

levellook:
	LEAQ          WALK(R12*8), R15
	VMOVDQU64     (R15), Z3
	VMOVDQU64     KEYS(R12*8), Z4
	NODES(R15, node_inner)
	VPSRLQ        $58, Z4, Z5
	VPSLLVQ       Z5, Z21, Z10
	VPTESTMQ      Z10, Z8, K2, K4
	KANDNB        K2, K4, K5
	VPADDQ        Z22, Z10, Z10
	VPANDQ        Z10, Z8, Z8
	VPOPCNTQ      Z8, Z8               // the children before this one
	VPSLLQ        $40, Z5, Z11
	VPORQ         Z3, Z11, Z11
	VPADDD        Z8, Z9, K6, Z3
	VPSLLQ        $6, Z4, Z4
	VPCOMPRESSQ.Z Z4, K4, Z4
	VPCOMPRESSQ.Z Z3, K4, Z3
	VPCOMPRESSQ.Z Z11, K5, Z11
	VMOVDQU64     Z4, KEYS(R13*8)      // never behind what is read next
	VMOVDQU64     Z3, WALK(R13*8)
	VMOVDQU64     Z11, ENDS(R11*8)
	KMOVB         K4, AX
	KMOVB         K5, DX
	POPCNTL       AX, AX
	POPCNTL       DX, DX
	ADDQ          AX, R13
	ADDQ          DX, R11
	ADDQ          $8, R12
	CMPQ          R12, R10
	JLT           levelstep
	MOVQ          R13, R10
	JMP           level

	// New keys: the 64 bits of each address from bit R8 on, for ten levels more.
newkeys:
	XORL R12, R12
	CMPL R8, $64
	JGE  lowerstep
	MOVL R8, CX

bothstep:
	MOVBLZX WALK_LANE(R12*8), AX
	SHLL    $4, AX
	MOVQ    Addr_Hi(SI)(AX*1), DX
	MOVQ    Addr_Lo(SI)(AX*1), R9
	SHLQ    CX, R9, DX
	MOVQ    DX, KEYS(R12*8)
	INCQ    R12
	CMPQ    R12, R10
	JNE     bothstep
	JMP     newlevels

lowerstep:
	LEAL -64(R8), CX

lowerlane:
	MOVBLZX WALK_LANE(R12*8), AX
	SHLL    $4, AX
	MOVQ    Addr_Lo(SI)(AX*1), R9
	SHLQ    CX, R9
	MOVQ    R9, KEYS(R12*8)
	INCQ    R12
	CMPQ    R12, R10
	JNE     lowerlane

newlevels:
	MOVL $10, CX
	ADDL $60, R8
	JMP  level

	// The leaves: first their places, which replace the nodes in ends, counted from 1, then the ids.
	//	R8  leaves                            Z3  ends         Z5  slots            Z23 twos, of 64 bits
	//	R15 this step's part of ends          Z8  child, leaf  Z9  runs             Z10 the bits up to the slot
leaves:
	TESTQ        R11, R11
	JZ           done
	VMOVDQU64    Z20, ENDS(R11*8)
	VPADDQ       Z21, Z21, Z23
	XORL         R12, R12

leafstep:
	LEAQ      ENDS(R12*8), R15
	VMOVDQU64 (R15), Z3
	NODES(R15, node_child)
	VPSRLQ    $40, Z3, Z5
	VPSLLVQ   Z5, Z23, Z10
	VPADDQ    Z22, Z10, Z10
	VPANDQ    Z10, Z9, Z9
	VPOPCNTQ  Z9, Z9
	VPSRLQ    $32, Z8, Z8
	VPADDD    Z8, Z9, K6, Z3
	VMOVDQU64 Z3, (R15)
	ADDQ      $8, R12
	CMPQ      R12, R11
	JLT       leafstep
	XORL      R12, R12
	MOVQ      s+0(FP), AX
	MOVQ      space_leaf32(AX), R8
	CMPB      space_wide(AX), $0
	JNE       widestep
	MOVQ      space_leaf16(AX), R8

narrowstep:
	MOVL    ENDS(R12*8), AX
	MOVBLZX ENDS_LANE(R12*8), DX
	MOVWLZX -2(R8)(AX*2), AX
	MOVL    AX, (DI)(DX*4)
	INCQ    R12
	CMPQ    R12, R11
	JNE     narrowstep
	JMP     done

widestep:
	MOVL    ENDS(R12*8), AX
	MOVBLZX ENDS_LANE(R12*8), DX
	MOVL    -4(R8)(AX*4), AX
	MOVL    AX, (DI)(DX*4)
	INCQ    R12
	CMPQ    R12, R11
	JNE     widestep

done:
	VZEROUPPER
	RET
