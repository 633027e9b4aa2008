package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"nsrouter/dataplane"
)

// contender is what is measured in turns. It does nothing until it is resumed.
type contender interface {
	name() string
	resume() error
	pause() error
	// read tells what each of its threads has done so far.
	read() ([]reading, error)
	close() error
}

// reading is what a thread has done so far.
type reading struct {
	packets uint64
	used    time.Duration // CPU time
	at      time.Time
}

// measurement is one turn of a contender.
type measurement struct {
	pps float64 // packets per second of CPU time of each thread, summed
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
	m.share = 1
	for i := range end {
		used := (end[i].used - begin[i].used).Seconds()
		if used <= 0 || end[i].packets == begin[i].packets {
			return m, fmt.Errorf("%s: thread %d forwarded %d packets in %v of CPU time", c.name(), i,
				end[i].packets-begin[i].packets, end[i].used-begin[i].used)
		}
		m.pps += float64(end[i].packets-begin[i].packets) / used
		m.share = min(m.share, used/end[i].at.Sub(begin[i].at).Seconds())
	}
	return m, c.pause()
}

// cpuTime is what a thread has used of its CPU.
func cpuTime(process, thread int) (time.Duration, error) {
	path := fmt.Sprintf("/proc/%d/task/%d/schedstat", process, thread)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return time.Duration(ns), nil
}

// ours is a scenario of the router as a contender.
type ours struct {
	*router
	scenario scenario
}

func (o *ours) name() string { return o.scenario.name }

func (o *ours) resume() error {
	for _, l := range o.loops {
		l.Pause(false)
	}
	o.plane.Quiesce() // wakes the workers
	return nil
}

func (o *ours) pause() error {
	for _, l := range o.loops {
		l.Pause(true)
	}
	o.plane.Quiesce()
	return nil
}

func (o *ours) read() ([]reading, error) {
	var out []reading
	for _, l := range o.loops {
		used, err := cpuTime(os.Getpid(), l.Thread())
		if err != nil {
			return nil, err
		}
		out = append(out, reading{packets: l.Received(), used: used, at: time.Now()})
	}
	return out, nil
}

// profile measures what each step takes the first loop's worker, in a turn of its own.
func (o *ours) profile(length time.Duration) ([]dataplane.Cost, error) {
	if err := o.resume(); err != nil {
		return nil, err
	}
	time.Sleep(warmup)
	costs := o.plane.Profile(o.ports.owners[o.loops[0]], func() { time.Sleep(length) })
	return costs, o.pause()
}
