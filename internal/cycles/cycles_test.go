package cycles

import (
	"testing"
	"time"
)

// TestRate checks the counter against the monotonic clock: twice the time has twice the ticks.
func TestRate(t *testing.T) {
	rate := PerSecond()
	if rate < 1e8 || rate > 1e11 {
		t.Fatalf("%g ticks a second", rate)
	}
	began, from := time.Now(), Now()
	time.Sleep(50 * time.Millisecond)
	ticks, took := float64(Now()-from), time.Since(began).Seconds()
	if got := ticks / took; got < rate*.9 || got > rate*1.1 {
		t.Errorf("%g ticks a second in 20 ms, %g in 50 ms", rate, got)
	}
}
