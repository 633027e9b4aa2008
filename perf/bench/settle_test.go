package main

import (
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestThreadTimes has two threads of this process work, of which the busier does not count.
func TestThreadTimes(t *testing.T) {
	before, err := threadTimes(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan time.Duration)
	work := func(until time.Duration) { // processor time
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // a thread that ended could not be asked
		var begin, now unix.Timespec
		for _ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &begin); now.Nano()-begin.Nano() < int64(until); {
			_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now) // cannot fail
		}
		done <- until
	}
	go work(100 * time.Millisecond)
	go work(300 * time.Millisecond)
	<-done
	<-done
	after, err := threadTimes(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if used := othersUsed(before, after); used < 90*time.Millisecond || used > 290*time.Millisecond {
		t.Errorf("the thread that worked less used %v of 100 ms", used)
	}
	a := map[string]time.Duration{"1": 5, "2": 7, "3": 0}
	b := map[string]time.Duration{"1": 6, "2": 100, "3": 2, "4": 3}
	if used := othersUsed(a, b); used != 1+2+3 {
		t.Errorf("%d", used)
	}
	if _, err := threadTimes(1 << 30); err == nil {
		t.Error("a process that is not there has threads")
	}
}
