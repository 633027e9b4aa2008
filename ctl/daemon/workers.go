package daemon

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/dataplane"
	"nsrouter/nstable"
)

// setWorker does what was asked of a worker, or nothing.
func (d *daemon) setWorker(req *v1.SetWorkerRequest) error {
	to := int(req.GetWorker())
	if to >= d.plane.Workers() {
		return refuse(nstable.NotFound, "there is no worker %d: this daemon has %d, from 0 (router run --cpus LIST gives it others)",
			to, d.plane.Workers())
	}
	if len(req.GetQueues()) == 0 && req.GetPoll() == "" {
		return refuse(nstable.Invalid, "worker %d: nothing is to be changed: say poll MODE or queue NETNS/DEV:QUEUE", to)
	}
	mode, err := dataplane.ParsePollMode(cmp.Or(req.GetPoll(), dataplane.PollAdaptive.String()))
	if err != nil {
		return refuse(nstable.Invalid, "worker %d: %v", to, err)
	}
	queues := make([]dataplane.WorkerQueue, len(req.GetQueues()))
	for i, q := range req.GetQueues() {
		links, err := d.table.Links(q.GetNetns(), q.GetDev())
		if err != nil {
			return err
		}
		if queues[i], err = queueOf(&links[0], q); err != nil {
			return err
		}
	}
	if len(queues) > 0 {
		if err := d.ports.moveQueues(to, queues); err != nil {
			return err
		}
	}
	if req.GetPoll() == "" {
		return nil
	}
	return d.plane.SetPoll(to, mode)
}

// queueOf is the queue that is meant, which the device must have.
func queueOf(l *nstable.LinkInfo, q *v1.WorkerQueue) (dataplane.WorkerQueue, error) {
	name := l.Namespace + "/" + l.Name
	switch {
	case l.XDP == nil:
		return dataplane.WorkerQueue{}, refuse(nstable.Refused,
			"%s is no interface of the host: only those have queues (router worker show)", name)
	case !l.XDP.Present:
		return dataplane.WorkerQueue{}, refuse(nstable.Refused,
			"%s waits for its interface %s, and has no queues until that is back", name, l.XDP.Host)
	case q.GetQueue() >= uint32(l.XDP.Queues):
		return dataplane.WorkerQueue{}, refuse(nstable.NotFound, "%s has no queue %d: it has %d, from 0",
			name, q.GetQueue(), l.XDP.Queues)
	}
	return dataplane.WorkerQueue{Device: l.ID, Queue: int(q.GetQueue())}, nil
}

func refuse(kind nstable.ErrorKind, format string, v ...any) error {
	return &nstable.Error{Kind: kind, Msg: fmt.Sprintf(format, v...)}
}

// moveQueues gives queues to a worker, also for when their interfaces come back.
func (p *ports) moveQueues(to int, queues []dataplane.WorkerQueue) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.plane.MoveQueues(to, queues...); err != nil {
		return refuse(nstable.Busy, "the interface has just vanished: %v", err)
	}
	for _, q := range queues {
		if p.placed[q.Device] == nil {
			p.placed[q.Device] = make(map[int]int)
		}
		p.placed[q.Device][q.Queue] = to
		p.placeReceive(q.Device)
	}
	return nil
}

// receivers are the CPUs where the kernel is to receive for the workers; nil: where it likes.
func (d *daemon) receivers() ([]int, error) {
	if !d.o.ManageIRQ {
		return nil, nil
	}
	allowed, err := allowedCPUs()
	return receiverCPUs(d.cpus, allowed, nodeOf), err
}

// receiverCPUs chooses for each worker where the kernel is to receive for it, with --manage-irq: on a CPU of the same NUMA node
// that has no worker, in turn, else on any without one, else on the worker's own.
func receiverCPUs(workers, allowed []int, node func(cpu int) int) []int {
	var spare []int
	for _, c := range allowed {
		if !slices.Contains(workers, c) {
			spare = append(spare, c)
		}
	}
	turn := make(map[int]int) // by node
	out := slices.Clone(workers)
	for i, w := range workers {
		near := slices.DeleteFunc(slices.Clone(spare), func(c int) bool { return node(c) != node(w) })
		if len(near) == 0 {
			near = spare
		}
		if len(near) > 0 {
			out[i] = near[turn[node(w)]%len(near)]
			turn[node(w)]++
		}
	}
	return out
}

// nodeOf is the NUMA node of a CPU; 0 where the machine does not tell.
func nodeOf(cpu int) int {
	nodes, _ := filepath.Glob(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/node[0-9]*", cpu))
	if len(nodes) == 0 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(nodes[0]), "node"))
	if err != nil {
		return 0
	}
	return n
}
