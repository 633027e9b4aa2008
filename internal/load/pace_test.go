package load_test

import (
	"net/netip"
	"testing"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

// direct is a source wired to a sink.
func direct(t *testing.T, rate int) (*load.Source, *load.Sink) {
	l := lab.New(t)
	out, in := l.Link(l.Host("a").End("eth0"), l.Host("b").End("eth0"), lab.LinkOptions{})
	sink, err := load.NewSink(in, load.SinkOptions{TTL: load.TTL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	source, err := load.NewSource(load.SourceOptions{
		Devices: []*lab.Interface{out}, To: in.MAC, Src: netip.MustParseAddr("10.0.1.2"), Rate: rate,
		Destinations: []netip.Addr{netip.MustParseAddr("10.0.2.2")},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { source.Close() })
	return source, sink
}

// TestSetRate changes the rate of a source while it sends, up and down and to none: what is sent and what was missed, which a busy
// machine makes, are together what was due.
func TestSetRate(t *testing.T) {
	source, sink := direct(t, 1)
	if err := source.SetRate(-1); err == nil {
		t.Error("a rate of -1 is taken")
	}
	if err := sink.Time(true); err != nil {
		t.Fatal(err)
	}
	if err := source.Start(); err != nil {
		t.Fatal(err)
	}
	due := func() uint64 {
		sent, err := source.Sent()
		if err != nil {
			t.Fatal(err)
		}
		missed, err := source.Missed()
		if err != nil {
			t.Fatal(err)
		}
		return sent + missed
	}
	for deadline := time.Now().Add(10 * time.Second); due() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	for _, rate := range []int{20_000, 400_000, 50, 100_000} {
		// The rate before has no part in it.
		if err := source.SetRate(rate); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		began, before := time.Now(), due()
		begun := time.Now()
		time.Sleep(500 * time.Millisecond)
		ending, got := time.Now(), due()-before
		ended := time.Now()
		// What a source that waits for its CPU has missed is known when it gets it: nearly all of the time is allowed for.
		low := float64(rate)*(ending.Sub(begun)-450*time.Millisecond).Seconds() - 1
		high := float64(rate)*(ended.Sub(began)+450*time.Millisecond).Seconds() + 1
		if float64(got) < low || float64(got) > high {
			t.Errorf("rate %d: %d packets were due within %v", rate, got, ended.Sub(began))
		}
	}
	timed, err := sink.Latencies()
	if err != nil {
		t.Fatal(err)
	}
	sent, err := source.Sent()
	if err != nil {
		t.Fatal(err)
	}
	if err := source.SetRate(0); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if n, err := source.Sent(); err != nil || n >= sent+10_000 {
			break
		}
	}
	all, err := source.Stop()
	if err != nil || all < sent+10_000 {
		t.Errorf("%d packets as fast as can be, %v", all-sent, err)
	}
	if n := timed.TotalCount(); n == 0 || n > int64(all) {
		t.Errorf("%d packets timed of %d", n, sent)
	}
	if p50 := timed.ValueAtQuantile(50); p50 <= 0 || p50 > int64(time.Second) {
		t.Errorf("half of the packets took %d ns", p50)
	}
	after, err := sink.Latencies()
	if err != nil {
		t.Fatal(err)
	}
	if n := after.TotalCount(); n > int64(sent)+100_000 {
		t.Errorf("%d packets timed: some without a rate", n)
	}
}

// TestExact sends at a rate through an idle wire: what is sent arrives, each packet is timed, and none twice.
func TestExact(t *testing.T) {
	source, sink := direct(t, 5_000)
	if err := sink.Time(true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		before, err := sink.Latencies()
		if err != nil {
			t.Fatal(err)
		}
		counts, err := sink.Counts()
		if err != nil {
			t.Fatal(err)
		}
		if err := source.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		sent, err := source.Stop()
		if err != nil {
			t.Fatal(err)
		}
		after, err := sink.Counts()
		for deadline := time.Now().Add(5 * time.Second); err == nil && after.Packets < counts.Packets+sent &&
			time.Now().Before(deadline); after, err = sink.Counts() {
			time.Sleep(10 * time.Millisecond) // what receives may have to wait for its CPU
		}
		if err != nil {
			t.Fatal(err)
		}
		h, err := sink.Latencies()
		if err != nil {
			t.Fatal(err)
		}
		got, timed := after.Packets-counts.Packets, h.TotalCount()-before.TotalCount()
		if sent == 0 || got != sent || timed != int64(sent) {
			t.Errorf("sent %d, arrived %d, timed %d", sent, got, timed)
		}
	}
}
