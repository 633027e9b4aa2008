package main

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"nsrouter/internal/lab"
)

// settled bounds the time that packets on the way are waited for after the source has ended.
const settled = time.Second

// outcome is what came of one time of sending at a rate, from the first packet to the last.
type outcome struct {
	sent, received uint64
	missed         uint64  // packets that the source was too late for, and did not send
	offered        float64 // packets per second that the source reached
	quiet          bool    // nobody else is known to have used the CPUs
	latencies      *hdrhistogram.Histogram
}

// lost is what did not arrive. All that was sent counts, so it is exact.
func (r outcome) lost() uint64 { return r.sent - min(r.received, r.sent) }

// late tells whether the source could not keep to its rate.
func (r outcome) late() bool { return float64(r.missed) > 0.01*float64(r.sent+r.missed) }

// offer sends at a rate, in packets per second, while meanwhile runs, and then waits for what is on its way. Latencies are taken
// from when meanwhile begins until the last packet has come. meanwhile is told after the warm-up.
func (tr *track) offer(t lab.T, o options, rate float64, meanwhile func()) (r outcome) {
	r.quiet = o.free(t)
	must := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", tr.name, err)
		}
	}
	before, err := tr.sink.Counts()
	must(err)
	tr.start(t, max(int(rate), 1))
	time.Sleep(o.warmup)
	must(tr.sink.Time(true))
	begin := tr.read(t)
	meanwhile()
	end := tr.read(t)
	r.sent, err = tr.source.Stop()
	must(err)
	r.missed, err = tr.source.Missed()
	must(err)
	r.received = tr.drained(t) - before.Packets
	r.latencies, err = tr.sink.Latencies()
	must(err)
	must(tr.sink.Time(false))
	r.offered = end.since(begin).offered
	share := (end.used - begin.used).Seconds() / end.at.Sub(begin.at).Seconds()
	r.quiet = r.quiet && (share >= quiet || tr.placement == receiveApart) && !r.late() && o.free(t)
	return r
}

// start has the source send at a rate, 0 for as fast as can be.
func (tr *track) start(t lab.T, rate int) {
	if err := tr.source.SetRate(rate); err != nil {
		t.Fatalf("%s: %v", tr.name, err)
	}
	if err := tr.source.Start(); err != nil {
		t.Fatalf("%s: %v", tr.name, err)
	}
}

// step changes the rate of a source that sends, 0 for as fast as can be, waits until that shows, and measures.
func (tr *track) step(t lab.T, o options, rate float64) result {
	const settle = 100 * time.Millisecond
	if err := tr.source.SetRate(int(rate)); err != nil {
		t.Fatalf("%s: %v", tr.name, err)
	}
	time.Sleep(settle)
	begin := tr.read(t)
	time.Sleep(o.measure)
	return tr.read(t).since(begin)
}

// flood is what is forwarded of all that the source can offer.
func (tr *track) flood(t lab.T, o options) float64 {
	tr.start(t, 0)
	time.Sleep(o.warmup)
	r := tr.step(t, o, 0)
	if _, err := tr.source.Stop(); err != nil {
		t.Fatalf("%s: %v", tr.name, err)
	}
	tr.drained(t)
	return r.forwarded
}

// since is what was offered and forwarded since an earlier reading.
func (r reading) since(begin reading) result {
	seconds := r.at.Sub(begin.at).Seconds()
	return result{
		offered:   float64(r.sent-begin.sent) / seconds,
		forwarded: float64(r.received.Packets-begin.received.Packets) / seconds,
	}
}

// drained waits until the sink has counted nothing for a time, and returns what it has counted.
func (tr *track) drained(t lab.T) uint64 {
	const pause = 20 * time.Millisecond
	var last uint64
	for deadline := time.Now().Add(settled); ; {
		c, err := tr.sink.Counts()
		if err != nil {
			t.Fatalf("%v", err)
		}
		if c.Packets == last || time.Now().After(deadline) {
			return c.Packets
		}
		last = c.Packets
		time.Sleep(pause)
	}
}

// offerQuietly is offer until the CPUs were quiet, three times at most.
func (tr *track) offerQuietly(t lab.T, o options, rate float64, meanwhile func()) (r outcome) {
	for range 3 {
		if r = tr.offer(t, o, rate, meanwhile); r.quiet {
			break
		}
	}
	return r
}

// us is a quantile of the latencies, in microseconds.
func (r outcome) us(percentile float64) float64 {
	return float64(r.latencies.ValueAtQuantile(percentile)) / 1000
}

func note(quiet bool) string { return result{quiet: quiet}.note() }
