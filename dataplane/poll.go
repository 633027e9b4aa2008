package dataplane

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// PollMode is what a worker does while there are no packets.
type PollMode uint32

// The modes.
const (
	// PollAdaptive polls on for as long as that has paid lately, and then sleeps until a packet comes.
	PollAdaptive PollMode = iota
	// PollBusy never sleeps: the worker has its CPU to itself. Drivers that can be polled are polled by it, instead of
	// interrupting it ([BusyPoller]).
	PollBusy
	// PollInterrupt sleeps as soon as a round has found nothing.
	PollInterrupt
)

//nolint:gochecknoglobals // a constant
var pollModes = [...]string{PollAdaptive: "adaptive", PollBusy: "busy", PollInterrupt: "interrupt"}

// String is the mode's name.
func (m PollMode) String() string { return pollModes[m] }

// ParsePollMode reads the name of a mode.
func ParsePollMode(name string) (PollMode, error) {
	i := slices.Index(pollModes[:], name)
	if i < 0 {
		return 0, fmt.Errorf("%q is no polling mode: it is one of %s", name, strings.Join(pollModes[:], ", "))
	}
	return PollMode(i), nil
}

const (
	// shortSpin is how long an adaptive worker at first polls without traffic before it sleeps. Falling asleep and waking
	// costs about 10 us, so that waiting twice as long for the next packet is never much worse than either choice (ski
	// rental).
	shortSpin = int64(20 * time.Microsecond)
	// longSpin is how long it polls at most, where packets come about so far apart.
	longSpin = int64(100 * time.Microsecond)
	// maxMissed is how often polling may be in vain that seemed promising, until the next tick.
	maxMissed = 8
)

// pause is what the worker does after a round that has found nothing.
func (w *Worker) pause() {
	if w.poll == PollBusy || w.now-w.lastWork <= w.spin.time {
		w.spin.polled = true
		// What else is to run on this CPU is likely to be what brings packets, or takes them on: a thread of NAPI. Without it
		// the call returns at once, in a fraction of a microsecond.
		yield()
		return
	}
	w.sleep()
	w.lastWork = w.now
}

// spin is what an adaptive worker has learnt about polling without traffic.
type spin struct {
	time   int64 // how long to poll before sleeping, nanoseconds
	polled bool  // since the last packets, or the last sleep
	missed int   // times in a row that it polled in vain and then had a packet shortly after it had fallen asleep
}

// slept learns from a sleep of so many nanoseconds: polling on a little longer would have met the packet that has
// ended a short one, but hardly that of a long one.
func (s *spin) slept(took int64) {
	switch {
	case took >= longSpin:
		s.time /= 2
		s.missed = 0
	case s.missed < maxMissed:
		s.time = min(max(2*s.time, shortSpin), longSpin)
		if s.polled {
			s.missed++
		}
	default:
		// Packets come only when it sleeps: it is its polling that keeps their bringer off the CPU.
		s.time = 0
	}
	s.polled = false
}

// worked learns from packets.
func (s *spin) worked() {
	if s.polled { // it has been worth it
		s.polled, s.missed = false, 0
	}
}

// setPoll changes the mode, and has the queues' drivers polled accordingly.
func (w *Worker) setPoll(m PollMode) {
	w.poll, w.spin = m, spin{time: shortSpin}
	if m == PollInterrupt {
		w.spin.time = 0
	}
	w.mode.Store(uint32(m))
	w.watch()
}

// watch is called when the queues or the mode have changed: it says what ends a sleep, and which drivers are polled.
func (w *Worker) watch() {
	w.wake.watch(w.ports)
	for _, p := range w.ports {
		if b, ok := p.Port.(BusyPoller); ok {
			b.BusyPoll(w.poll == PollBusy)
		}
	}
}

// SetPoll changes the mode of a worker; its next round is by the new one.
func (d *Dataplane) SetPoll(worker int, m PollMode) error {
	if worker < 0 || worker >= len(d.workers) {
		return fmt.Errorf("worker %d: there are workers 0 to %d", worker, len(d.workers)-1)
	}
	d.workers[worker].call(func(w *Worker) { w.setPoll(m) })
	return nil
}

// yield lets others run that wait for this CPU. It is a raw call: it does not block, and Go's scheduler need not hear
// of it.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

const (
	// slowRound is the time from which on a round is counted as slow.
	slowRound = int64(64 * time.Microsecond)
	// slowClasses is how many classes there are of slow rounds.
	slowClasses = 16
)

// SlowRound is how long a round of a class of slow ones took at least, and at most twice as long, but in the last
// class.
func SlowRound(class int) time.Duration { return time.Duration(slowRound << class) }

// countSlow counts a round that has taken so many nanoseconds, slowRound or more.
func (w *Worker) countSlow(took int64) {
	class := 0
	for took >= 2*slowRound && class < slowClasses-1 {
		took /= 2
		class++
	}
	w.slow[class].Add(1)
}
