package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const workerUsage = `
router worker [ show ] [ SECONDS ]
router worker set ID [ poll MODE ] [ queue NAMESPACE/DEVICE:QUEUE ] ...
MODE := { adaptive | busy | interrupt }
What the threads do that move packets, for SECONDS from now (1). LOAD is the share of the time in which there were packets:
at 100% a worker is as busy as it can be. No round took as long as LONGEST, which is exact to a factor of two: packets wait for
so long at most, and where it is more than a millisecond, others use the worker's CPU. QUEUES are those that it serves:
NAMESPACE/DEVICE:QUEUE.
"set" moves queues to worker ID, under traffic and without loss. They stay there until their device is deleted or the daemon
ends: at its start the queues are dealt out evenly again.
POLL is what a worker does without packets:
  adaptive   polls on for up to 100 us, as long as that has paid lately, then sleeps: for most uses
  busy       never sleeps, and polls drivers that can be polled: the least latency, for a CPU that nobody else uses
  interrupt  sleeps at once: the least CPU time, or where the CPU is shared with others
At its start "router run --poll" says it.
`

// workerJSON is a worker; rates are a second's.
type workerJSON struct {
	ID       uint32            `json:"id"`
	CPU      *int32            `json:"cpu,omitempty"` // none: the thread is pinned to no CPU
	Load     float64           `json:"load"`          // 0 to 1
	Packets  float64           `json:"packets_per_second"`
	Rounds   float64           `json:"rounds_per_second"`
	Sleeps   float64           `json:"sleeps_per_second"`
	Total    uint64            `json:"packets"` // since the daemon's start
	Poll     string            `json:"poll"`
	Longest  uint64            `json:"longest_round_us"` // no round took as long; 64, or twice that, and so on
	Queues   []workerQueueJSON `json:"queues"`
	Lifetime float64           `json:"load_lifetime"` // since the daemon's start
}

type workerQueueJSON struct {
	Netns string `json:"netns"`
	Dev   string `json:"dev"`
	Queue uint32 `json:"queue"`
}

func (c *cli) worker(ctx context.Context, a *args) error {
	if a.more() {
		switch a.peek() {
		case "set":
			a.next()
			return c.setWorker(ctx, a)
		case "show", "list":
			a.next()
		}
	}
	return c.showWorkers(ctx, a)
}

func (c *cli) setWorker(ctx context.Context, a *args) error {
	req := &v1.SetWorkerRequest{Worker: a.number("worker set")}
	for a.more() {
		switch word := a.next(); word {
		case "queue":
			req.Queues = append(req.Queues, a.workerQueue())
		case "poll":
			req.Poll = a.value(word)
		default:
			a.fail("%q is a garbage: poll MODE or queue NAMESPACE/DEVICE:QUEUE is expected", word)
		}
	}
	if err := a.done(); err != nil {
		return err
	}
	_, err := c.client.SetWorker(ctx, req)
	return err
}

// workerQueue reads a queue as "worker show" writes it.
func (a *args) workerQueue() *v1.WorkerQueue {
	if !a.more() {
		a.fail("command line is not complete: \"queue\" needs NAMESPACE/DEVICE:QUEUE")
		return nil
	}
	word := a.next()
	netns, rest, _ := strings.Cut(word, "/")
	colon := strings.LastIndexByte(rest, ':')
	if netns == "" || colon < 1 {
		a.fail("argument %q is wrong: \"queue\" takes NAMESPACE/DEVICE:QUEUE, such as init/eth1:0", word)
		return nil
	}
	return &v1.WorkerQueue{
		Netns: netns, Dev: rest[:colon], Queue: a.toNumber(rest[colon+1:], "queue", math.MaxUint32),
	}
}

func (c *cli) showWorkers(ctx context.Context, a *args) error {
	every := a.interval(`"worker show" takes`)
	if err := a.done(); err != nil {
		return err
	}
	before, err := c.client.ListWorkers(ctx, &v1.ListWorkersRequest{})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(every):
	}
	after, err := c.client.ListWorkers(ctx, &v1.ListWorkersRequest{})
	if err != nil {
		return err
	}
	rows := workerRows(before.Workers, after.Workers)
	if c.json {
		out := make([]record, len(rows))
		for i := range rows {
			out[i] = record{json: &rows[i]}
		}
		return c.print(out...)
	}
	_, err = c.out.WriteString(workerText(rows))
	return err
}

// workerRows is what workers did between two times; one that has begun anew meanwhile, what it did since.
func workerRows(before, after []*v1.Worker) []workerJSON {
	rows := make([]workerJSON, len(after))
	for i, w := range after {
		was := new(v1.Worker)
		if i < len(before) && before[i].AgeNs < w.AgeNs {
			was = before[i]
		}
		age := float64(w.AgeNs - was.AgeNs)
		each := func(now, before uint64) float64 { return float64(now-before) / age * float64(time.Second) }
		rows[i] = workerJSON{
			ID: w.Id, Load: float64(w.BusyNs-was.BusyNs) / age, Packets: each(w.Packets, was.Packets),
			Rounds: each(w.Rounds, was.Rounds), Sleeps: each(w.Sleeps, was.Sleeps), Total: w.Packets,
			Lifetime: float64(w.BusyNs) / float64(max(1, w.AgeNs)), Queues: []workerQueueJSON{},
			Poll: w.Poll, Longest: longestRound(w.Slow, was.Slow),
		}
		if w.Cpu >= 0 {
			rows[i].CPU = &w.Cpu
		}
		for _, q := range w.Queues {
			rows[i].Queues = append(rows[i].Queues, workerQueueJSON{Netns: q.Netns, Dev: q.Dev, Queue: q.Queue})
		}
	}
	return rows
}

// longestRound is what all rounds between two countings of slow ones were shorter than, in microseconds.
func longestRound(after, before []uint64) uint64 {
	for class := len(after) - 1; class >= 0; class-- {
		if class >= len(before) && after[class] > 0 || class < len(before) && after[class] > before[class] {
			return 128 << class
		}
	}
	return 64
}

func workerText(rows []workerJSON) string {
	cells := [][]string{{"worker", "cpu", "poll", "load", "packets/s", "rounds/s", "sleeps/s", "longest", "queues"}}
	whole := func(f float64) string { return strconv.FormatFloat(f, 'f', 0, 64) }
	for i := range rows {
		r := &rows[i]
		cpu, queues := "-", make([]string, len(r.Queues))
		if r.CPU != nil {
			cpu = fmt.Sprint(*r.CPU)
		}
		for k, q := range r.Queues {
			queues[k] = fmt.Sprintf("%s/%s:%d", q.Netns, q.Dev, q.Queue)
		}
		cells = append(cells, []string{
			fmt.Sprint(r.ID), cpu, r.Poll, fmt.Sprintf("%.1f%%", 100*r.Load), whole(r.Packets), whole(r.Rounds), whole(r.Sleeps),
			fmt.Sprint(time.Duration(r.Longest) * time.Microsecond), strings.Join(queues, " "),
		})
	}
	var b strings.Builder
	writeColumns(&b, cells)
	return b.String()
}
