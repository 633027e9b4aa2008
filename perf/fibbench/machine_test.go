package main

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

func TestParsePages(t *testing.T) {
	const smaps = `55d7af261000-7ffcaba99000 ---p 00000000 00:00 0                          [rollup]
Rss:               12288 kB
Anonymous:         10240 kB
AnonHugePages:      4096 kB
Private_Hugetlb:    2048 kB
Shared_Hugetlb:        0 kB
`
	if got, want := parsePages(smaps), "4 of 10 MiB, and 2 MiB that were reserved"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestCollapse looks for huge pages in this process's heap, of which there must be some afterwards.
func TestCollapse(t *testing.T) {
	ballast := make([]byte, 64<<20)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	collapse()
	var huge int
	if _, err := fmt.Sscan(hugePages(), &huge); err != nil || huge < 32 {
		t.Errorf("on huge pages: %s, %v", hugePages(), err)
	}
	runtime.KeepAlive(ballast)
}

// TestThreadTime checks that sleeping costs nothing and working does.
func TestThreadTime(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	time.Sleep(30 * time.Millisecond)
	slept := threadTime() - start
	for threadTime()-start < 10*time.Millisecond {
		runtime.Gosched()
	}
	if slept > 20*time.Millisecond {
		t.Errorf("sleeping for 30 ms took %v of CPU time", slept)
	}
}
