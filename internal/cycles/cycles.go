// Package cycles reads the processor's time stamp counter: the cheapest clock there is, for measuring what a few hundred
// instructions take. On amd64 its ticks are reference cycles, of a constant rate that is not the core's present frequency. On other
// architectures a tick is a nanosecond of the monotonic clock.
package cycles

import "time"

// PerSecond is the counter's rate, measured for some milliseconds against the monotonic clock.
func PerSecond() float64 {
	const long = 20 * time.Millisecond
	began, from := time.Now(), Now()
	for time.Since(began) < long {
		continue
	}
	ticks, took := Now()-from, time.Since(began)
	return float64(ticks) / took.Seconds()
}
