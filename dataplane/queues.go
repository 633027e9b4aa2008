package dataplane

import (
	"fmt"
	"slices"

	"nsrouter/dataplane/counters"
	"nsrouter/nstable"
)

// This file is which worker has which queue. Of each queue of a device one worker has all of it: it receives and transmits
// there, and nobody else touches the rings. It is moved while all workers stand between two rounds.

// AddPort gives the queues of a device to the workers: a queue that is in placed to the worker there, any other queue q to
// worker (dev+q) mod workers, so that devices with one queue spread. From its return on, packets are received and
// transmitted.
func (d *Dataplane) AddPort(dev nstable.DeviceID, queues []Port, placed map[int]int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(queues) == 0 || d.ports[dev] != nil {
		return fmt.Errorf("device %d: no queues, or it has a port already", dev)
	}
	bound := make([]*boundPort, len(queues))
	for q, p := range queues {
		bound[q] = &boundPort{Port: p, dev: dev, queue: q, worker: d.defaultWorker(dev, q)}
		if to, moved := placed[q]; moved {
			bound[q].worker = to
		}
	}
	d.ports[dev] = bound
	for _, w := range d.workers {
		w.call(func(w *Worker) { w.addPort(dev, bound) })
	}
	return nil
}

// defaultWorker is the worker of a queue that was not moved.
func (d *Dataplane) defaultWorker(dev nstable.DeviceID, queue int) int {
	return (int(dev) + queue) % len(d.workers)
}

// MoveQueues gives queues to a worker; those that it has already stay. No packet is lost or overtakes another of its flow.
// Its error names a worker or a queue that there is not, and nothing is moved then.
func (d *Dataplane) MoveQueues(to int, queues ...WorkerQueue) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if to < 0 || to >= len(d.workers) {
		return fmt.Errorf("there is no worker %d: the workers are 0 to %d", to, len(d.workers)-1)
	}
	for _, q := range queues {
		if q.Queue < 0 || q.Queue >= len(d.ports[q.Device]) {
			return fmt.Errorf("device %d has no queue %d", q.Device, q.Queue)
		}
	}
	d.stop(func() {
		d.clearWay()
		for _, q := range queues {
			bound := d.ports[q.Device]
			bound[q.Queue].worker = to
			for _, w := range d.workers {
				w.place(q.Device, bound)
			}
		}
	})
	return nil
}

// clearWay takes what is between the workers, which stand, to where it goes, and has the kernel send it: what follows by
// another way, since a queue has moved, comes after it.
func (d *Dataplane) clearWay() {
	for moved, turns := true, 0; moved && turns < 2*maxCrossings; turns++ { // a packet makes no more than so many
		moved = false
		for _, w := range d.workers {
			w.now = nanotime()
			n := w.takeCrossings()
			for from := range w.inbox {
				n += w.takeHandoffs(&w.inbox[from])
			}
			w.flush()
			moved = moved || n > 0
		}
	}
}

// stop has all workers wait between two rounds while f runs, which may touch what is theirs. One at a time: two would wait
// for each other's workers for ever.
func (d *Dataplane) stop(f func()) {
	d.stopping.Lock()
	defer d.stopping.Unlock()
	resume := make(chan struct{})
	arrived := make([]chan struct{}, len(d.workers))
	for i, w := range d.workers {
		arrived[i] = make(chan struct{})
		w.post(func(*Worker) {
			close(arrived[i])
			<-resume
		})
	}
	for i, w := range d.workers {
		select {
		case <-arrived[i]:
		case <-w.done:
		}
	}
	f()
	close(resume)
}

// RemovePort takes a device's queues from the workers, has closed close their sockets, and frees the frames that were
// left in them. When it returns, no worker uses the queues.
func (d *Dataplane) RemovePort(dev nstable.DeviceID, closed func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	bound := d.ports[dev]
	delete(d.ports, dev)
	for _, w := range d.workers {
		w.call(func(w *Worker) { w.removePort(dev) })
	}
	// Packets that were handed over before the last worker had let go have been met by now, or are in rings: one more
	// round drops them.
	d.Quiesce()
	err := closed()
	for _, p := range bound {
		d.workers[p.worker].call(func(w *Worker) { p.Reclaim(w.cache) })
	}
	return err
}

func (w *Worker) addPort(dev nstable.DeviceID, bound []*boundPort) {
	for int(dev) >= len(w.outputs) {
		w.outputs = append(w.outputs, output{owner: -1})
	}
	w.place(dev, bound)
}

// place takes up those of the queues of a device that are this worker's, and lets go of the others. It transmits by the
// first of its own; without one it hands over to the worker that has one of the queues, each worker to another.
func (w *Worker) place(dev nstable.DeviceID, bound []*boundPort) {
	w.dropPorts(dev, func(p *boundPort) bool { return p.worker != w.id })
	o := output{owner: bound[w.id%len(bound)].worker}
	for _, p := range bound {
		if p.worker != w.id {
			continue
		}
		if !slices.Contains(w.ports, p) {
			w.ports = append(w.ports, p)
		}
		if o.port == nil {
			o.port = p
		}
	}
	w.outputs[dev] = o
	w.watch()
}

func (w *Worker) removePort(dev nstable.DeviceID) {
	w.dropPorts(dev, func(p *boundPort) bool {
		for k := range p.n { // queued by mail of this very round
			lost := p.queued(k)
			w.discard(&lost, counters.EgressDown)
		}
		p.n = 0
		return true
	})
	w.outputs[dev] = output{owner: -1}
	w.watch()
}

// dropPorts lets go of queues of a device.
func (w *Worker) dropPorts(dev nstable.DeviceID, which func(*boundPort) bool) {
	w.ports = slices.DeleteFunc(w.ports, func(p *boundPort) bool { return p.dev == dev && which(p) })
}
