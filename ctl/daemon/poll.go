package daemon

import (
	"fmt"
	"strconv"
	"strings"

	"nsrouter/dataplane"
)

// PollPlan says how workers poll: those that are named, and the others.
type PollPlan struct {
	others dataplane.PollMode
	named  map[int]dataplane.PollMode // by worker
}

// ParsePoll reads a plan such as "interrupt" or "adaptive,0=busy": a mode for all workers that are not named (adaptive
// where there is none), and modes for those that are.
func ParsePoll(text string) (PollPlan, error) {
	plan := PollPlan{named: make(map[int]dataplane.PollMode)}
	general := false
	for part := range strings.SplitSeq(text, ",") {
		worker, name, one := strings.Cut(part, "=")
		if !one {
			name = part
		}
		mode, err := dataplane.ParsePollMode(name)
		if err != nil {
			return PollPlan{}, err
		}
		if !one {
			if general {
				return PollPlan{}, fmt.Errorf("%q: more than one mode for all workers", text)
			}
			general, plan.others = true, mode
			continue
		}
		id, err := strconv.ParseUint(worker, 10, 16)
		if err != nil {
			return PollPlan{}, fmt.Errorf("%q is no worker: it is a number from 0, as in 0=busy", worker)
		}
		if _, twice := plan.named[int(id)]; twice {
			return PollPlan{}, fmt.Errorf("%q: more than one mode for worker %d", text, id)
		}
		plan.named[int(id)] = mode
	}
	return plan, nil
}

// modes is the plan for a number of workers.
func (p PollPlan) modes(workers int) ([]dataplane.PollMode, error) {
	modes := make([]dataplane.PollMode, workers)
	for id := range modes {
		modes[id] = p.others
	}
	for id, mode := range p.named {
		if id >= workers {
			return nil, fmt.Errorf("--poll: there is no worker %d: with %d CPUs they are 0 to %d", id, workers, workers-1)
		}
		modes[id] = mode
	}
	return modes, nil
}
