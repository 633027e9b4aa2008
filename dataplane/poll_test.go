package dataplane

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nsrouter/dataplane/frame"
	"nsrouter/nstable"
)

// TestSpin: what an adaptive worker learns from sleeps and packets.
func TestSpin(t *testing.T) {
	const us = int64(time.Microsecond)
	// A number is a sleep of so many microseconds; polled and packets are what came before it.
	const polled, packets, tick = -1, -2, -3
	missing := slices.Repeat([]int64{polled, 10}, maxMissed)
	for name, c := range map[string]struct {
		events []int64
		want   int64
	}{
		"at first":                       {nil, 20},
		"packets soon after it slept":    {[]int64{30}, 40},
		"at most":                        {[]int64{30, 30, 30, 30, 30}, 100},
		"nothing for long":               {[]int64{100}, 10},
		"idle":                           {slices.Repeat([]int64{1e6}, 20), 0},
		"packets again":                  {slices.Concat(slices.Repeat([]int64{1e6}, 20), []int64{50}), 20},
		"in vain":                        {slices.Concat(missing, []int64{polled, 10}), 0},
		"in vain, and still so":          {slices.Concat(missing, []int64{polled, 10, 10, 10}), 0},
		"in vain until the next tick":    {slices.Concat(missing, []int64{polled, 10, tick, 10}), 20},
		"in vain, but packets between":   {slices.Concat(missing, []int64{polled, packets, polled, 10}), 100},
		"packets, but not while polling": {slices.Concat(missing, []int64{packets, polled, 10}), 0},
	} {
		s := spin{time: shortSpin}
		for _, e := range c.events {
			switch e {
			case polled:
				s.polled = true
			case packets:
				s.worked()
			case tick:
				s.missed = 0
			default:
				s.slept(e * us)
			}
		}
		if s.time != c.want*us {
			t.Errorf("%s: polls for %d ns, want %d us", name, s.time, c.want)
		}
	}
}

// TestPause: after a round without packets each mode polls or sleeps.
func TestPause(t *testing.T) {
	for _, c := range []struct {
		mode  PollMode
		since int64 // nanoseconds since the last packets
		naps  uint64
	}{
		{PollAdaptive, shortSpin, 0}, {PollAdaptive, shortSpin + 1, 1}, {PollInterrupt, 1, 1},
		{PollBusy, 1, 0}, {PollBusy, 1e9, 0},
	} {
		r := newRig(t)
		r.w.view = r.view
		r.w.setPoll(c.mode)
		r.w.lastWork, r.w.now = 1e12, 1e12+c.since
		r.w.wake.wake() // a nap ends at once
		r.w.pause()
		if n := r.w.naps.Load(); n != c.naps {
			t.Errorf("%v, %d ns after packets: %d naps, want %d", c.mode, c.since, n, c.naps)
		}
	}
}

// TestSlowRounds: the class of a round.
func TestSlowRounds(t *testing.T) {
	w := new(Worker)
	for took, class := range map[int64]int{
		64_000: 0, 127_999: 0, 128_000: 1, 1_000_000: 3, 1_024_000: 4, 1 << 50: slowClasses - 1,
	} {
		before := w.slow[class].Load()
		w.countSlow(took)
		if w.slow[class].Load() != before+1 {
			t.Errorf("%d ns are not of class %d: from %v", took, class, SlowRound(class))
		}
	}
}

// polledPort is a port whose driver can be polled.
type polledPort struct {
	*memPort
	on atomic.Bool
}

func (p *polledPort) BusyPoll(on bool) { p.on.Store(on) }

// TestModes changes the mode of a running worker. A busy one never sleeps, and yet answers its mail, lets the world be
// stopped, makes its rounds and says between them that it holds nothing.
func TestModes(t *testing.T) {
	pool, err := frame.NewPool(1024)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	view := new(nstable.View)
	d, err := New(Options{
		CPUs: []int{-1, -1}, Poll: []PollMode{PollBusy}, Pool: pool, View: func() *nstable.View { return view },
	})
	if err != nil {
		t.Fatal(err)
	}
	port := &polledPort{memPort: newMemPort(t, pool)}
	if err := d.AddPort(2, []Port{port}, nil); err != nil { // worker 0 has it
		t.Fatal(err)
	}
	if s := d.Stats(); s[0].Poll != PollBusy || s[1].Poll != PollAdaptive || !port.on.Load() {
		t.Errorf("at first: %v, %v, driver polled %v", s[0].Poll, s[1].Poll, port.on.Load())
	}
	d.Quiesce() // rounds have been made
	before := d.Stats()[0]
	runtime.GC() // stops the world
	d.Quiesce()
	if after := d.Stats()[0]; after.Naps != before.Naps || after.Rounds <= before.Rounds {
		t.Errorf("busy: %d rounds and %d naps", after.Rounds-before.Rounds, after.Naps-before.Naps)
	}
	if err := d.SetPoll(0, PollInterrupt); err != nil || port.on.Load() || d.Stats()[0].Poll != PollInterrupt {
		t.Errorf("to interrupt: %v, driver polled %v, %v", err, port.on.Load(), d.Stats()[0].Poll)
	}
	for before = d.Stats()[0]; d.Stats()[0].Naps == before.Naps; { // it sleeps by itself
		time.Sleep(time.Millisecond)
	}
	if err := d.SetPoll(0, PollBusy); err != nil || !port.on.Load() { // from its sleep
		t.Errorf("to busy: %v, driver polled %v", err, port.on.Load())
	}
	if err := d.SetPoll(2, PollBusy); err == nil || err.Error() != "worker 2: there are workers 0 to 1" {
		t.Errorf("a worker that is not there: %v", err)
	}
	if err := d.RemovePort(2, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	d.Close()
}
