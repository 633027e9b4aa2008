package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane"
	"nsrouter/perf/results"
)

// contender is what is measured in turns. It does nothing until it is resumed.
type contender interface {
	resume() error
	pause() error
	// read tells what each of its threads has done so far.
	read() ([]reading, error)
	close() error
}

// reading is what a thread has done so far.
type reading struct {
	worker  int // from 0 on; one may have several readings
	packets uint64
	used    time.Duration // CPU time
	at      time.Time
}

// measurement is one turn of a contender.
type measurement struct {
	pps     float64 // packets per second of CPU time of each thread, summed
	workers int
	// share is the least part of its CPU that a thread had: somebody else used it if that is not nearly 1.
	share float64
}

// warmup comes before a measurement: caches are cold, and the CPU may be slow.
const warmup = 100 * time.Millisecond

// measure gives a contender a turn.
func measure(c contender, length time.Duration) (m measurement, err error) {
	if err := c.resume(); err != nil {
		return m, err
	}
	time.Sleep(warmup)
	begin, err := c.read()
	if err != nil {
		return m, err
	}
	time.Sleep(length)
	end, err := c.read()
	if err != nil {
		return m, err
	}
	m.share, m.workers = 1, 0
	for i := range end {
		used, packets := (end[i].used - begin[i].used).Seconds(), end[i].packets-begin[i].packets
		if used <= 0 || packets == 0 {
			return m, fmt.Errorf("thread %d forwarded %d packets in %v of CPU time", i, packets, end[i].used-begin[i].used)
		}
		m.pps += float64(packets) / used
		m.workers = max(m.workers, end[i].worker+1)
		m.share = min(m.share, used/end[i].at.Sub(begin[i].at).Seconds())
	}
	return m, c.pause()
}

// The kernel's clocks of CPU time have numbers of their own (posix-timers.h: CPUCLOCK_SCHED, CPUCLOCK_PERTHREAD_MASK).
const clockSched, clockThread = 2, 4

// threadTime is what a thread of this process has used of its CPU; processTime what all of a process have.
func threadTime(thread int) (time.Duration, error) {
	return clockTime(^thread<<3 | clockSched | clockThread)
}
func processTime(process int) (time.Duration, error) { return clockTime(^process<<3 | clockSched) }

func clockTime(clock int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(clock), &ts); err != nil {
		return 0, fmt.Errorf("CPU time: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// ours is a scenario of the router as a contender.
type ours struct {
	*router
	scenario scenario
}

// build makes a scenario's router.
func (s *site) build(sc scenario, cpu, other int) (*ours, error) {
	cpus := []int{cpu}
	if sc.contender == results.Router2 {
		cpus = append(cpus, other)
	}
	r, err := newRouter(cpus)
	if err != nil {
		return nil, err
	}
	sc.make(s, r)
	if r.err != nil {
		return nil, errors.Join(r.err, r.close())
	}
	return &ours{r, sc}, nil
}

func (o *ours) resume() error {
	o.hold(false)
	return nil
}

func (o *ours) pause() error {
	o.hold(true)
	return nil
}

func (o *ours) hold(paused bool) {
	for _, w := range o.ways {
		w.loop.Pause(paused)
	}
	o.plane.Quiesce() // wakes the workers, or waits for what they have
}

func (o *ours) read() ([]reading, error) {
	var out []reading
	for _, w := range o.ways {
		used, err := threadTime(w.loop.Thread())
		if err != nil {
			return nil, err
		}
		out = append(out, reading{worker: o.ports.owners[w.loop], packets: w.loop.Received(), used: used, at: time.Now()})
	}
	return out, nil
}

// profile measures what each step takes the worker of the first way, in a turn of its own.
func (o *ours) profile(length time.Duration) (costs []dataplane.Cost, m measurement, err error) {
	costs = o.plane.Profile(o.ports.owners[o.ways[0].loop], func() { m, err = measure(o, length) })
	return costs, m, err
}
