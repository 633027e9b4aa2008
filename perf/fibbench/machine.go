package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/perf/results"
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

// collapse puts what is mapped without a name, the Go heap above all, on huge pages as far as it can: tables there shall have what
// the others have.
func collapse() {
	runtime.GC()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	const huge = 2 << 20
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		fields := strings.Fields(line)
		if n, _ := fmt.Sscanf(line, "%x-%x", &from, &to); n != 2 || len(fields) != 5 || fields[1] != "rw-p" {
			continue // five fields: the sixth is the name
		}
		for from = (from + huge - 1) &^ (huge - 1); from+huge <= to; from += huge {
			// Where it fails, the page stays as it is: the report tells how much is huge.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, huge, unix.MADV_COLLAPSE)
		}
	}
}

// hugePages tells how much of the process is on huge pages.
func hugePages() string {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return "not known"
	}
	return parsePages(string(text))
}

func parsePages(smaps string) string {
	var anonymous, huge, reserved int // KiB
	for line := range strings.Lines(smaps) {
		var n int
		name, value, _ := strings.Cut(line, ":")
		_, _ = fmt.Sscan(value, &n) // of the names below it is a number
		switch name {
		case "Anonymous":
			anonymous = n
		case "AnonHugePages":
			huge = n
		case "Private_Hugetlb", "Shared_Hugetlb":
			reserved += n
		}
	}
	return fmt.Sprintf("%d of %d MiB, and %d MiB that were reserved", huge>>10, anonymous>>10, reserved>>10)
}

// describeMachine is what a reader of the report must know, a line each.
func describeMachine(o *options, dpdk string) []string {
	return append(results.Here().Lines(),
		fmt.Sprintf("measured on CPU %d, reader during changes on CPU %d; times are CPU times of the measured thread",
			o.cpu, o.readerCPU),
		"DPDK: "+dpdk)
}
