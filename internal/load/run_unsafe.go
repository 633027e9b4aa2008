package load

import (
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// testRun is the part of union bpf_attr (linux/bpf.h) that BPF_PROG_TEST_RUN reads.
type testRun struct {
	progFD, retval           uint32
	dataSizeIn, dataSizeOut  uint32
	dataIn, dataOut          uint64
	repeat, duration         uint32
	ctxSizeIn, ctxSizeOut    uint32
	ctxIn, ctxOut            uint64
	flags, cpu, batchSize, _ uint32
}

// liveFrames is BPF_F_TEST_XDP_LIVE_FRAMES.
const liveFrames = 1 << 1

// runLive runs an XDP program on copies of frame, of which the kernel does what the program says, on this thread until
// a signal comes (EINTR). ebpf.Program.Run would begin anew after a signal, and so never end.
func runLive(p *ebpf.Program, frame []byte) error {
	var pinner runtime.Pinner
	pinner.Pin(&frame[0])
	defer pinner.Unpin()
	attr := testRun{
		progFD: uint32(p.FD()), dataSizeIn: uint32(len(frame)), dataIn: uint64(uintptr(unsafe.Pointer(&frame[0]))),
		repeat: math.MaxUint32, flags: liveFrames,
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN,
		uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return fmt.Errorf("BPF_PROG_TEST_RUN: %w", errno)
	}
	return nil
}
