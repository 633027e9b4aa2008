package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nsrouter/internal/lab"
)

const (
	settleStep     = 300 * time.Millisecond
	settleShare    = 0.1 // of the time that passes
	settlePatience = 20 * time.Second
)

// settle waits until a router has done what follows a load of routes, as to show them to Linux: while it stands still it
// could not, and its own measurements would pay for it. Its worker, which may poll all the time, is the thread that uses
// most and does not count.
func settle(p *lab.Process) error {
	for begin := time.Now(); time.Since(begin) < settlePatience; {
		before, err := threadTimes(p.Pid())
		if err != nil {
			return err
		}
		at := time.Now()
		time.Sleep(settleStep)
		after, err := threadTimes(p.Pid())
		if err != nil {
			return err
		}
		if othersUsed(before, after) < time.Duration(settleShare*float64(time.Since(at))) {
			return nil
		}
	}
	return nil // on a machine that is busy it goes on; rounds are many
}

// threadTimes are the times that the threads of a process have run for, by their ids.
func threadTimes(pid int) (map[string]time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return nil, err
	}
	times := map[string]time.Duration{}
	for _, file := range files {
		var running int64 // ns
		if text, err := os.ReadFile(file); err != nil {
			continue // threads come and go
		} else if _, err := fmt.Sscan(string(text), &running); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		times[file] = time.Duration(running)
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("process %d has ended", pid)
	}
	return times, nil
}

// othersUsed is what all threads but the busiest one have used between two readings.
func othersUsed(before, after map[string]time.Duration) (sum time.Duration) {
	var used []time.Duration
	for thread, until := range after {
		used = append(used, until-before[thread])
	}
	slices.Sort(used)
	for _, d := range used[:max(0, len(used)-1)] {
		sum += d
	}
	return sum
}
