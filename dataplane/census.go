package dataplane

import (
	"maps"
	"slices"
	"time"

	"nsrouter/dataplane/frame"
	"nsrouter/nstable"
)

// Frames says where the frames of the area are. Each frame is in one place, so
//
//	Total = Free + Held + Pipeline + Queues
//
// always; Lost is what the owner table knows of and none of the places has: a defect if it is not zero.
type Frames struct {
	Total    int
	Free     int // caches and depot
	Held     int // waiting for neighbours, or for other fragments
	Pipeline int // between workers, to and from Linux, behind veth pairs, and queued for transmission
	Queues   int // lent to the kernel: fill, receive, transmit and completion rings
	Lost     int
}

// Census stops all workers between two rounds and counts.
func (d *Dataplane) Census() Frames {
	f := Frames{Total: d.pool.Frames()}
	free := 0 // in caches and depot
	d.stop(func() {
		for _, w := range d.workers {
			w.toHost.mu.Lock()
			w.fromHost.mu.Lock()
			here := w.frames()
			inHost, pipeline := w.hostFrames()
			free += here.Free + inHost
			f.Held += here.Held
			f.Pipeline += here.Pipeline + pipeline
		}
		owners := d.pool.Census()
		free += d.pool.FreeInDepot()
		for _, w := range d.workers {
			w.fromHost.mu.Unlock()
			w.toHost.mu.Unlock()
		}
		f.Free = owners[frame.Free]
		for o, n := range owners {
			if o != frame.Free && o != frame.Worker {
				f.Queues += n
			}
		}
		f.Lost = f.Free - free + owners[frame.Worker] - f.Held - f.Pipeline
	})
	return f
}

// frames counts what a worker has itself, between two rounds.
func (w *Worker) frames() Frames {
	f := Frames{Free: w.cache.Len(), Held: w.neighbors.held + w.reassembly.held}
	count := func(p *Packet) { f.Pipeline += w.framesOf(p) }
	for i := range w.crossings {
		count(&w.crossings[i])
	}
	for i := range w.inbox {
		w.inbox[i].each(count)
	}
	for _, p := range w.ports {
		for _, d := range p.pending[:p.n] {
			f.Pipeline += frame.Pieces(w.mem, d)
		}
	}
	return f
}

// QueueStats is what a queue counted, and who serves it.
type QueueStats struct {
	Queue, Worker        int
	RxPackets, TxPackets uint64
}

// Queues returns the counters of a device's queues.
func (d *Dataplane) Queues(dev nstable.DeviceID) []QueueStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	stats := make([]QueueStats, 0, len(d.ports[dev]))
	for q, p := range d.ports[dev] {
		stats = append(stats, QueueStats{
			Queue: q, Worker: p.worker,
			RxPackets: p.Queue.RxPackets.Load(), TxPackets: p.Queue.TxPackets.Load(),
		})
	}
	return stats
}

// WorkerStats tells what a worker has done since its start, and what it serves.
type WorkerStats struct {
	CPU          int // negative: none of its own
	Poll         PollMode
	Rounds, Naps uint64
	// Slow counts the rounds that took long, as [SlowRound] says; time off the CPU counts.
	Slow [slowClasses]uint64
	// Packets are those that it has taken up, from queues, from other workers, from Linux and behind veth pairs.
	Packets uint64
	// Busy is the time of the rounds that had packets, and Age all.
	Busy, Age time.Duration
	Queues    []WorkerQueue
}

// WorkerQueue is a queue of a device.
type WorkerQueue struct {
	Device nstable.DeviceID
	Queue  int
}

// Stats returns a row for each worker.
func (d *Dataplane) Stats() []WorkerStats {
	s := make([]WorkerStats, len(d.workers))
	now := nanotime()
	for i, w := range d.workers {
		s[i] = WorkerStats{
			CPU: w.cpu, Rounds: w.rounds.Load(), Naps: w.naps.Load(), Packets: w.handled.Load(),
			Busy: time.Duration(w.busy.Load()), Age: time.Duration(now - w.born), Poll: PollMode(w.mode.Load()),
		}
		for class := range w.slow {
			s[i].Slow[class] = w.slow[class].Load()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, dev := range slices.Sorted(maps.Keys(d.ports)) {
		for q, p := range d.ports[dev] {
			w := &s[p.worker]
			w.Queues = append(w.Queues, WorkerQueue{dev, q})
		}
	}
	return s
}
