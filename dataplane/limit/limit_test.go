package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// take tries n times at a moment and returns how often it got a token.
func take(b *Bucket, now int64, rate, burst uint32, n int) int {
	got := 0
	for range n {
		if b.Take(now, rate, burst) {
			got++
		}
	}
	return got
}

func TestBucket(t *testing.T) {
	const start, second = int64(1e12), int64(time.Second)
	for _, c := range []struct {
		name        string
		rate, burst uint32
		at          []int64 // times since the start
		want        []int   // tokens of 1000 tries then
	}{
		{"full at first", 100, 50, []int64{0, 0}, []int{50, 0}},
		{"refilled at its rate", 100, 50, []int64{0, second / 10, second / 10, second/10 + second/100}, []int{50, 10, 0, 1}},
		{"no fuller than full", 100, 50, []int64{0, 10 * second, 3600 * second}, []int{50, 50, 50}},
		{"a burst of one", 1, 1, []int64{0, second - 1, second}, []int{1, 0, 1}},
		{"no burst is one", 1, 0, []int64{0, second}, []int{1, 1}},
		{"no limit", 0, 0, []int64{0, 0}, []int{1000, 1000}},
		{"a time that goes back a little", 100, 50, []int64{0, -1000, second / 100}, []int{50, 0, 1}},
		{"a rate beyond the clock", 4e9, 10, []int64{0, 5}, []int{10, 5}},
	} {
		var b Bucket
		for i, at := range c.at {
			if got := take(&b, start+at, c.rate, c.burst, 1000); got != c.want[i] {
				t.Errorf("%s: at %d: %d tokens, want %d", c.name, at, got, c.want[i])
			}
		}
	}
}

// TestShared: several takers together get what one would, and not one token more.
func TestShared(t *testing.T) {
	const takers, rounds, rate, burst = 4, 2000, 1_000_000, 100
	var b Bucket
	var clock atomic.Int64 // all see time go by, in steps of 10 us
	clock.Store(1e12)
	var got atomic.Int64
	var wait sync.WaitGroup
	for range takers {
		wait.Go(func() {
			for range rounds {
				now := clock.Add(10_000 / takers)
				got.Add(int64(take(&b, now, rate, burst, 20)))
			}
		})
	}
	wait.Wait()
	passed := float64(clock.Load()-1e12) / 1e9
	if most := int64(passed*rate) + burst; got.Load() > most || got.Load() < most*8/10 {
		t.Errorf("%d tokens, want at most %d and nearly as many", got.Load(), most)
	}
}

// TestChangedRate: a lower rate holds at once, and a higher one is not held up by the tokens of before.
func TestChangedRate(t *testing.T) {
	var b Bucket
	const now = int64(1e12)
	take(&b, now, 1, 1, 10)
	if got := take(&b, now+int64(time.Second)/10, 1000, 50, 100); got > 50 {
		t.Errorf("%d tokens at the higher rate", got)
	}
	if got := take(&b, now+int64(time.Second), 10, 1, 100); got != 1 {
		t.Errorf("%d tokens at the lower rate", got)
	}
}
