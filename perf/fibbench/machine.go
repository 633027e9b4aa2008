package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the CPU time of the calling thread, which other users of the machine do not add to.
func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) // fails only for an unknown clock
	return time.Duration(ts.Nano())
}

// pin locks the calling goroutine to its thread, and the thread to a CPU. The thread should end with the goroutine: it is not to be
// unlocked.
func pin(cpu int) error {
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin a thread to CPU %d: %w (choose others with -cpu and -reader-cpu)", cpu, err)
	}
	return nil
}

// preemptions counts how often the calling thread had to give up its CPU.
func preemptions() int64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_THREAD, &u) // fails only for an unknown subject
	return u.Nivcsw
}

// collapseHeap puts the Go heap on huge pages as far as it can, so that tables there have what the others have.
func collapseHeap() {
	runtime.GC()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	const huge = 2 << 20
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || mode != "rw-p" || from>>32 != goHeap {
			continue
		}
		for from = (from + huge - 1) &^ (huge - 1); from+huge <= to; from += huge {
			// Where it fails, the page stays as it is: the report tells how much is huge.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, huge, unix.MADV_COLLAPSE)
		}
	}
}

// goHeap is the upper half of the addresses that Go's allocator begins its heap at on Linux.
const goHeap = 0xc0

// hugePages is how many MiB of the process are on huge pages, and of how many.
func hugePages() (huge, all int) {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		var n int
		name, value, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(value, &n); err != nil {
			continue
		}
		switch name {
		case "Rss":
			all += n >> 10
		case "AnonHugePages":
			huge += n >> 10
		case "Private_Hugetlb", "Shared_Hugetlb": // not in Rss
			huge += n >> 10
			all += n >> 10
		}
	}
	return huge, all
}

// describeMachine is what a reader of the report must know, a line each.
func describeMachine(o *options, dpdk string) []string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	lines := []string{
		fmt.Sprintf("%s, %d CPUs, Linux %s, %s %s/%s", cpuModel(), runtime.NumCPU(), unix.ByteSliceToString(u.Release[:]),
			runtime.Version(), runtime.GOOS, runtime.GOARCH),
		fmt.Sprintf("%s, commit %s", time.Now().UTC().Format(time.RFC3339), commit()),
		fmt.Sprintf("measured on CPU %d, reader during changes on CPU %d; times are CPU times of the measured thread",
			o.cpu, o.readerCPU),
		"DPDK: " + dpdk,
	}
	return lines
}

// cpuModel is the first CPU's, as /proc/cpuinfo has it.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// commit is what the checkout is at, with a mark if it was changed since.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
