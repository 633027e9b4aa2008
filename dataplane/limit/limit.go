// Package limit has token buckets that workers share without a lock.
//
// A [Bucket] says how far into the future its tokens are used up, as one number (the generic cell rate algorithm): a
// worker takes a token by one compare-and-swap, and where there is none it only reads, so that a flood, which finds the
// bucket empty nearly always, does not move a cache line between workers. The limit is that of all workers together.
package limit

import (
	"sync/atomic"
	"time"

	"nsrouter/dataplane/counters"
)

// Bucket is full at first. Any goroutine may take from it.
type Bucket struct{ used atomic.Int64 } // time up to which tokens are used, nanoseconds

// Set is the buckets of a namespace or of a device: one for each kind of answer, each on a cache line of its own.
type Set [counters.NumAnswers]struct {
	Bucket

	_ [56]byte
}

// tries bounds the competition for a token: who loses it that often, each time to somebody who got one, has none.
const tries = 8

// Take takes a token; false if none is left. now is a monotonic time in nanoseconds, rate the tokens a second (0: no
// limit; above 1e9 as 1e9), burst how many the bucket holds. Rates that do not divide 1e9 are rounded up to one that
// does: by less than one part in a thousand up to a million a second.
func (b *Bucket) Take(now int64, rate, burst uint32) bool {
	if rate == 0 {
		return true
	}
	cost := max(1, int64(time.Second)/int64(rate))
	full := now - cost*int64(max(1, burst))
	for range tries {
		used := b.used.Load()
		next := max(used, full) + cost
		if next > now {
			return false
		}
		if b.used.CompareAndSwap(used, next) {
			return true
		}
	}
	return false
}
