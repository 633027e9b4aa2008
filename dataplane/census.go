package dataplane

import (
	"sync"

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
	Held     int // waiting for neighbours
	Pipeline int // between workers, behind veth pairs, and queued for transmission
	Queues   int // lent to the kernel: fill, receive, transmit and completion rings
	Lost     int
}

// Census stops all workers between two rounds and counts.
func (d *Dataplane) Census() Frames {
	var f Frames
	f.Total = d.pool.Frames()
	var arrived, counted sync.WaitGroup
	arrived.Add(len(d.workers))
	counted.Add(1)
	places := make([]Frames, len(d.workers))
	for _, w := range d.workers {
		w.post(func(w *Worker) {
			places[w.id] = w.frames()
			arrived.Done()
			counted.Wait()
		})
	}
	arrived.Wait()
	owners := d.pool.Census()
	free := d.pool.FreeInDepot()
	counted.Done()
	for _, p := range places {
		free += p.Free
		f.Held += p.Held
		f.Pipeline += p.Pipeline
	}
	f.Free = owners[frame.Free]
	for o, n := range owners {
		if o != frame.Free && o != frame.Worker {
			f.Queues += n
		}
	}
	f.Lost = f.Free - free + owners[frame.Worker] - f.Held - f.Pipeline
	return f
}

// frames counts what a worker has itself, between two rounds.
func (w *Worker) frames() Frames {
	f := Frames{Free: w.cache.Len(), Held: w.neighbors.heldPackets(), Pipeline: len(w.crossings)}
	for i := range w.inbox {
		f.Pipeline += w.inbox[i].len()
	}
	for _, p := range w.ports {
		f.Pipeline += p.n
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
			Queue: q, Worker: d.queueOwner(dev, q).id,
			RxPackets: p.Queue.RxPackets.Load(), TxPackets: p.Queue.TxPackets.Load(),
		})
	}
	return stats
}

// WorkerStats tells how busy a worker is.
type WorkerStats struct {
	CPU          int
	Rounds, Naps uint64
}

// Stats returns a row for each worker.
func (d *Dataplane) Stats() []WorkerStats {
	s := make([]WorkerStats, len(d.workers))
	for i, w := range d.workers {
		s[i] = WorkerStats{CPU: w.cpu, Rounds: w.rounds.Load(), Naps: w.naps.Load()}
	}
	return s
}
