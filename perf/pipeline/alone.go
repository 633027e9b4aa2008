package main

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/memport"
)

// alone is a memory port without a router: a thread that transmits what it receives. It is what the port takes of the others'
// packets.
type alone struct {
	pool   *frame.Pool
	loop   *memport.Loop
	paused atomic.Bool
	stop   atomic.Bool
	done   chan struct{}
}

// newAlone starts the thread, paused.
func newAlone(cpu, frames int, packets [][]byte) (*alone, error) {
	pool, err := frame.NewPool(poolFrames)
	if err != nil {
		return nil, err
	}
	l, err := memport.New(memport.Options{Pool: pool, Frames: frames, Packets: packets, Windows: memport.Windows(packets[0])})
	if err != nil {
		return nil, err
	}
	a := &alone{pool: pool, loop: l, done: make(chan struct{})}
	a.paused.Store(true)
	started := make(chan error)
	go a.run(cpu, started)
	return a, <-started
}

func (a *alone) run(cpu int, started chan<- error) {
	runtime.LockOSThread() // never unlocked: a thread with a CPU mask of its own ends with its goroutine
	defer close(a.done)
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		started <- err
		return
	}
	in, out := a.loop.In(), a.loop.Out()
	cache := a.pool.NewCache()
	in.Refill(cache)
	started <- nil
	var batch [64]frame.Desc // a worker's
	for !a.stop.Load() {
		if a.paused.Load() {
			time.Sleep(time.Millisecond)
			continue
		}
		n := in.Receive(batch[:])
		out.Transmit(batch[:n])
	}
	in.Reclaim(cache)
}

func (a *alone) resume() error { a.paused.Store(false); return nil }
func (a *alone) pause() error  { a.paused.Store(true); return nil }

func (a *alone) read() ([]reading, error) {
	used, err := threadTime(a.loop.Thread())
	return []reading{{packets: a.loop.Received(), used: used, at: time.Now()}}, err
}

func (a *alone) close() error {
	a.stop.Store(true)
	<-a.done
	a.loop.Close()
	return a.pool.Close()
}
