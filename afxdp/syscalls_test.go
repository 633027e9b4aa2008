package afxdp

import (
	"maps"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// TestSystemCalls counts what a worker's calls of a queue cost in system calls: one sendto a batch, a yield after yieldAfter
// packets, and none to receive, to take completed frames back and to refill. What a worker calls in a round is in TestCallsOfRound
// of package dataplane.
func TestSystemCalls(t *testing.T) {
	const batch, batches = 2 * yieldAfter, 50
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q, peer := p.Queues()[0], openTap(t, peerName)
	for n := range uint32(batch) {
		peer.send(testPacket(n, 64))
	}
	var held []frame.Desc
	for len(held) < batch {
		d, ok := p.receive(q, 5*time.Second)
		if !ok {
			t.Fatalf("%d packets received, want %d", len(held), batch)
		}
		held = append(held, d)
	}
	calls := countSystemCalls(t)
	var d [1]frame.Desc
	before := calls()
	for range batches {
		if n := q.Transmit(held); n != batch {
			t.Fatalf("%d packets accepted, want %d", n, batch)
		}
		q.Flush()
		if n := q.Complete(p.cache); n != batch {
			t.Fatalf("%d frames completed, want %d", n, batch)
		}
		q.Receive(d[:])
		q.Refill(p.cache)
		for k := range held {
			held[k], _ = p.cache.New(60)
		}
	}
	after := calls()
	for _, x := range held {
		p.cache.Put(x.Addr)
	}
	got := map[int]uint64{}
	for id, n := range after {
		if d := n - before[id]; d > 0 && !ofRuntime(id) {
			got[id] = d
		}
	}
	want := map[int]uint64{unix.SYS_SENDTO: batches, unix.SYS_SCHED_YIELD: batches}
	if !maps.Equal(got, want) {
		t.Errorf("system calls by number: %v, want %v", got, want)
	}
}

// ofRuntime are the calls that Go's runtime may make on any thread at any time (preemption, collection, its scheduler), and
// what the counting itself takes.
func ofRuntime(id int) bool {
	switch id {
	case unix.SYS_BPF, unix.SYS_FUTEX, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_TGKILL, unix.SYS_GETPID,
		unix.SYS_MADVISE, unix.SYS_MMAP, unix.SYS_NANOSLEEP, unix.SYS_EPOLL_PWAIT, unix.SYS_WRITE, unix.SYS_READ:
		return true
	}
	return false
}

// countSystemCalls counts those of the calling thread, which is locked, by number, from now to the end of the test.
func countSystemCalls(t *testing.T) func() map[int]uint64 {
	t.Helper()
	const numbers = 512
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: numbers})
	must(t, err)
	t.Cleanup(func() { _ = counts.Close() })
	// counts[args[1]]++ if the thread is this one.
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.RawTracepoint, License: "GPL",
		Instructions: asm.Instructions{
			asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord),
			asm.FnGetCurrentPidTgid.Call(),
			asm.JNE.Imm32(asm.R0, int32(unix.Gettid()), "end"),
			asm.StoreMem(asm.RFP, -4, asm.R6, asm.Word),
			asm.LoadMapPtr(asm.R1, counts.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "end"),
			asm.Mov.Imm(asm.R1, 1),
			asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("end"),
			asm.Return(),
		},
	})
	must(t, err)
	t.Cleanup(func() { _ = program.Close() })
	attached, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: program})
	must(t, err)
	t.Cleanup(func() { _ = attached.Close() })
	runtime.KeepAlive(counts)
	read := func() map[int]uint64 {
		all := map[int]uint64{}
		for id := range numbers {
			var n uint64
			must(t, counts.Lookup(uint32(id), &n))
			all[id] = n
		}
		return all
	}
	// A call that is known to be made must be seen: of a process in a PID namespace the program would see none.
	_ = unix.Getppid()
	if n := read()[unix.SYS_GETPPID]; n != 1 {
		t.Fatalf("one getppid was made, %d counted", n)
	}
	return read
}
