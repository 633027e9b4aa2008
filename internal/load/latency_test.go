package load

import (
	"encoding/binary"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// timed is a frame for a sink, with a time.
func timed(mac net.HardwareAddr, due int64) []byte {
	b := append(append([]byte{}, mac...), 2, 0, 0, 0, 0, 1, 0x08, 0,
		0x45, 0, 0, 46, 0, 0, 0, 0, TTL-1, 17, 0, 0, 10, 0, 0, 1, 10, 1, 5, 1, 0x40, 0, 0, Port, 0, 26, 0, 0)
	b = binary.NativeEndian.AppendUint64(b, uint64(due))
	return append(b, make([]byte, 10)...)
}

// clock is the time of the kernel's bpf_ktime_get_ns.
func clock(t *testing.T) int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano()
}

// TestLatencies gives the sink's program packets that were due at known times, from now on to eight seconds ago: each
// must be counted once, in a bucket of what it took between the time before and the time after.
func TestLatencies(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	coll, err := sinkProgram(mac, SinkOptions{}, sample)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	s := &Sink{coll: coll}
	give := func(due int64) {
		if _, _, err := coll.Programs["sink"].Test(timed(mac, due)); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() {
		t.Helper()
		if err := s.Time(true); err != nil {
			t.Fatal(err)
		}
	}
	counted := func(low, high int64) {
		t.Helper()
		h, err := s.Latencies()
		if err != nil {
			t.Fatal(err)
		}
		// The value is the upper end of its bucket, which is one 128th wide at most.
		if got := h.Max(); h.TotalCount() != 1 || got < low || got > high*129/128+1 {
			t.Errorf("%d packets counted, with %d ns at most; want one, with %d to %d", h.TotalCount(), got, low, high)
		}
	}
	give(clock(t)) // too soon
	for ago := int64(1); ago < longest; ago += ago/3 + 1 {
		begin()
		before := clock(t)
		give(before - ago)
		counted(ago, ago+clock(t)-before)
	}
	begin()
	give(clock(t) - 2*longest) // the last bucket is for all that is over
	counted(longest, longest)
	begin()
	give(clock(t) + int64(time.Minute)) // clocks of CPUs may differ
	counted(0, 0)
	give(0) // has no time
	if err := s.Time(false); err != nil {
		t.Fatal(err)
	}
	give(clock(t))
	counted(0, 0)
}

// TestQuantiles has the histogram take times from a hundred nanoseconds to two seconds, and compares with the sorted
// times.
func TestQuantiles(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	coll, err := sinkProgram(mac, SinkOptions{}, sample)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	s := &Sink{coll: coll}
	if err := s.Time(true); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var atLeast, atMost []int64
	for range 5000 {
		ago := int64(100) << rnd.IntN(23)
		ago += rnd.Int64N(ago)
		before := clock(t)
		if _, _, err := coll.Programs["sink"].Test(timed(mac, before-ago)); err != nil {
			t.Fatal(err)
		}
		atLeast, atMost = append(atLeast, ago), append(atMost, ago+clock(t)-before)
	}
	h, err := s.Latencies()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(atLeast)
	slices.Sort(atMost)
	for _, q := range []float64{1, 10, 50, 90, 99, 99.9, 100} {
		at := max(int(q/100*5000+.5)-1, 0) // of 5000 in order
		got, low, high := h.ValueAtQuantile(q), atLeast[at], atMost[at]
		if got < low || got > high+high/100+1 {
			t.Errorf("quantile %v: %d ns, want %d to %d and one percent", q, got, low, high)
		}
	}
}
