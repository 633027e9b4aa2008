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

// pollModes are the names of the modes.
var pollModes = [...]string{PollAdaptive: "adaptive", PollBusy: "busy", PollInterrupt: "interrupt"} //nolint:gochecknoglobals // constant

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
)

// pause is what the worker does after a round that has found nothing.
func (w *Worker) pause() {
	if w.poll == PollBusy || w.now-w.lastWork <= w.spin {
		// What else is to run on this CPU is likely to be what brings packets, or takes them on: a thread of NAPI. Without it
		// the call returns at once, in a fraction of a microsecond.
		yield()
		return
	}
	w.sleep()
	w.lastWork = w.now
}

// learn sets how long to poll next time after a sleep of so many nanoseconds: longer, where polling on a little would have
// met the packet that has ended the sleep, and less, where it would not.
func (w *Worker) learn(slept int64) {
	switch {
	case w.poll != PollAdaptive:
		w.spin = 0
	case slept < longSpin:
		w.spin = min(max(2*w.spin, shortSpin), longSpin)
	default:
		w.spin /= 2
	}
}

// setPoll changes the mode, and has the queues' drivers polled accordingly.
func (w *Worker) setPoll(m PollMode) {
	w.poll, w.spin = m, shortSpin
	if m != PollAdaptive {
		w.spin = 0
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

// yield lets others run that wait for this CPU. It is a raw call: it does not block, and Go's scheduler need not hear of it.
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

const (
	// slowRound is the time from which on a round is counted as slow.
	slowRound = int64(64 * time.Microsecond)
	// slowClasses is how many classes there are of slow rounds; each is for times twice as long as the one before.
	slowClasses = 16
)

// countSlow counts a round that has taken so many nanoseconds, slowRound or more.
func (w *Worker) countSlow(took int64) {
	class := 0
	for took >= 2*slowRound && class < slowClasses-1 {
		took /= 2
		class++
	}
	w.slow[class].Add(1)
}
