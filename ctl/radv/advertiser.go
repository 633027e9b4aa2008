package radv

import (
	"net/netip"
	"slices"
	"time"

	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// Constants of RFC 4861 10.
const (
	maxInitialInterval = 16 * time.Second       // MAX_INITIAL_RTR_ADVERT_INTERVAL
	maxInitial         = 3                      // MAX_INITIAL_RTR_ADVERTISEMENTS
	minDelay           = 3 * time.Second        // MIN_DELAY_BETWEEN_RAS
	maxResponseDelay   = 500 * time.Millisecond // MAX_RA_DELAY_TIME
)

// retryDelay is when to try again what could not be sent, since the workers do not know the device yet or have no
// frame.
const retryDelay = 200 * time.Millisecond

// advertiser is a device that advertises: when it did, and when it is to next. All advertisements are multicast.
type advertiser struct {
	dev    *nstable.Device // as published last
	source netip.Addr
	next   time.Time
	last   time.Time // zero: never
	// initial is how many advertisements are still to follow each other quickly, since there is something new to say.
	initial int
	// withdrawn are prefixes that are no more, as long as that is new.
	withdrawn []netip.Prefix
	random    func(n time.Duration) time.Duration // uniform in [0, n)
}

// announce has the next advertisements follow soon, and quickly (RFC 4861 6.2.4).
func (a *advertiser) announce(now time.Time) {
	a.initial = maxInitial
	a.next = a.soonest(now)
}

// follow takes up what has become of the device.
func (a *advertiser) follow(d *nstable.Device) {
	now := prefixes(d)
	list := slices.DeleteFunc(append(a.withdrawn, prefixes(a.dev)...), func(p netip.Prefix) bool {
		return slices.Contains(now, p)
	})
	slices.SortFunc(list, netip.Prefix.Compare)
	list = slices.Compact(list)
	a.dev, a.withdrawn = d, list[:min(len(list), maxWithdrawn)]
}

// maxWithdrawn bounds the list of prefixes that are no more.
const maxWithdrawn = 256

// solicited answers a solicitation (RFC 4861 6.2.6) where the next advertisement would come later anyway.
func (a *advertiser) solicited(now time.Time) {
	if at := a.soonest(now); at.Before(a.next) {
		a.next = at
	}
}

// soonest is after a random delay, and not within 3 seconds of the last advertisement.
func (a *advertiser) soonest(now time.Time) time.Time {
	if earliest := a.last.Add(minDelay); !a.last.IsZero() && earliest.After(now) {
		now = earliest
	}
	return now.Add(a.random(maxResponseDelay))
}

// sent draws when the next advertisement is due.
func (a *advertiser) sent(now time.Time) {
	low, high := interval(&a.dev.Settings.RA)
	wait := low + a.random(high-low)
	if a.initial > 0 {
		a.initial--
		if a.initial > 0 {
			wait = min(wait, maxInitialInterval)
		} else {
			a.withdrawn = nil
		}
	}
	a.last, a.next = now, now.Add(wait)
}

// interval is the range that the time between two unsolicited advertisements is drawn from.
func interval(ra *setting.RA) (low, high time.Duration) {
	high = time.Duration(ra.Interval) * time.Second
	low = time.Duration(ra.MinInterval) * time.Second
	if ra.MinInterval == setting.Auto {
		low = high / 3
		if ra.Interval < 9 {
			low = high
		}
	}
	// MinRtrAdvInterval is 3 seconds to 0.75 x MaxRtrAdvInterval (RFC 4861 6.2.1).
	return max(min(low, high*3/4), minDelay), high
}
