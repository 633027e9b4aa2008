package cycles

import (
	"testing"
	"time"
)

// TestRate checks the counter against the monotonic clock: a longer time has as many ticks a second, but for what a busy machine
// takes between the two readings.
func TestRate(t *testing.T) {
	rate := PerSecond()
	if rate < 1e8 || rate > 1e11 {
		t.Fatalf("%g ticks a second", rate)
	}
	began, from := time.Now(), Now()
	time.Sleep(50 * time.Millisecond)
	ticks, took := float64(Now()-from), time.Since(began).Seconds()
	if got := ticks / took; got < rate*.5 || got > rate*2 {
		t.Errorf("%g ticks a second in 20 ms, %g in 50 ms", rate, got)
	}
}
