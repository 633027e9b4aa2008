package dataplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// Options of a data plane.
type Options struct {
	// CPUs has one worker each, pinned there; a negative number leaves the thread to the scheduler.
	CPUs []int
	Pool *frame.Pool
	// Poll has the polling mode of each worker, in the order of CPUs; those that it does not reach are adaptive.
	Poll []PollMode
	// View returns the present view; asked once a round by each worker.
	View func() *nstable.View
	// Epochs is what the workers join as readers of forwarding tables; nil: nothing waits for them.
	Epochs *fib.Epochs
	// NeighborChanged is told of every dynamic change of a neighbour, by the worker that made it: it must not block.
	// gone says that the entry was removed. May be nil.
	NeighborChanged func(dev nstable.DeviceID, e *neigh.Entry, gone bool)
	// AddressProbed is told the result of every trial that a view has asked for ([nstable.Probe]), by the worker that owns
	// the device: it must not block. May be nil.
	AddressProbed func(nstable.ProbeResult)
	// AddressConflict is told of a station that claims an address of the router, once in ten seconds for each; it must
	// not block. May be nil.
	AddressConflict func(dev nstable.DeviceID, a fib.Addr, mac [6]byte)
	// RouterSolicited is told of every valid router solicitation on a device that is to send router advertisements, by
	// the worker that owns the device: it must not block. May be nil.
	RouterSolicited func(RouterSolicitation)
}

// Dataplane is the set of workers. Its methods may be called from any goroutine but a worker's.
type Dataplane struct {
	pool    *frame.Pool
	epochs  *fib.Epochs
	workers []*Worker

	stopping sync.Mutex // held while the workers are stopped

	hostMu sync.Mutex // over hosts
	hosts  map[*neigh.Table]*hostLink

	mu    sync.Mutex // over ports
	ports map[nstable.DeviceID][]*boundPort
}

// New starts the workers, without ports.
func New(o Options) (*Dataplane, error) {
	if len(o.CPUs) == 0 {
		return nil, errors.New("data plane: no CPU for a worker")
	}
	if o.NeighborChanged == nil {
		o.NeighborChanged = func(nstable.DeviceID, *neigh.Entry, bool) {}
	}
	if o.AddressConflict == nil {
		o.AddressConflict = func(nstable.DeviceID, fib.Addr, [6]byte) {}
	}
	if o.Epochs == nil {
		o.Epochs = new(fib.Epochs)
	}
	d := &Dataplane{pool: o.Pool, epochs: o.Epochs, ports: make(map[nstable.DeviceID][]*boundPort),
		hosts: make(map[*neigh.Table]*hostLink)}
	for id, cpu := range o.CPUs {
		w, err := newWorker(id, cpu, o)
		if err != nil {
			return nil, err
		}
		d.workers = append(d.workers, w)
	}
	secret := rand.Uint64()
	for _, w := range d.workers {
		w.peers, w.secret = d.workers, secret
		w.outbox = make([]*handoffRing, len(d.workers))
		for to, peer := range d.workers {
			w.outbox[to] = &peer.inbox[w.id]
		}
	}
	for i, w := range d.workers {
		started := make(chan error)
		go w.loop(started)
		go w.toHost.run()
		if err := <-started; err != nil {
			d.workers = d.workers[:i]
			d.Close()
			return nil, fmt.Errorf(
				"worker %d: pin to CPU %d: %w (--cpus names CPUs that this process may use)",
				i,
				w.cpu,
				err,
			)
		}
	}
	return d, nil
}

func newWorker(id, cpu int, o Options) (*Worker, error) {
	wake, err := newWaker()
	if err != nil {
		return nil, fmt.Errorf("worker %d: eventfd: %w", id, err)
	}
	if o.AddressProbed == nil {
		o.AddressProbed = func(nstable.ProbeResult) {}
	}
	if o.RouterSolicited == nil {
		o.RouterSolicited = func(RouterSolicitation) {}
	}
	w := &Worker{
		id: id, cpu: cpu, mem: o.Pool.Bytes(), cache: o.Pool.NewCache(), views: o.View, reader: o.Epochs.Join(),
		graph:     newGraph(),
		crossings: make([]Packet, 0, crossingLimit), crossed: make([]Packet, 0, crossingLimit),
		tagged: make([]Packet, 0, vectorSize), untagged: make([]Packet, 0, vectorSize),
		pieces: make([]Packet, 0, pieceLimit), ipID: uint16(id * (1 << 16) / len(o.CPUs)),
		toHost: newHostWriter(o.Pool), fromHost: hostReader{cache: o.Pool.NewCache()},
		inbox: make([]handoffRing, len(o.CPUs)), notify: make([]bool, len(o.CPUs)),
		wake: wake, done: make(chan struct{}),
		neighbors: neighborKeeper{
			asked: make(map[*neigh.Entry]*question), defended: make(map[ownAddress]int64),
			changed: o.NeighborChanged, conflict: o.AddressConflict,
			maxHeld: o.Pool.Frames() / heldShare / len(o.CPUs),
		},
		reassembly: newReassembler(o.Pool.Frames(), len(o.CPUs)),
		born:       nanotime(),
		nap:        shortNap, solicited: o.RouterSolicited,
		probed: o.AddressProbed, trials: make(map[uint32]*trial),
	}
	if id < len(o.Poll) {
		w.setPoll(o.Poll[id])
	} else {
		w.setPoll(PollAdaptive)
	}
	return w, nil
}

// Close ends the workers. Ports must have been removed.
func (d *Dataplane) Close() {
	for _, w := range d.workers {
		w.call(func(w *Worker) { w.stop = true })
		<-w.done
		w.toHost.close()
		d.epochs.Leave(w.reader)
		_ = unix.Close(w.wake.event)
	}
}

// Workers is the number of workers.
func (d *Dataplane) Workers() int { return len(d.workers) }

// release ends a worker: what it still has of packets is freed.
func (w *Worker) release() {
	w.look()
	w.freeAll(w.crossings)
	w.crossings = nil
	for e := range w.neighbors.asked {
		w.forget(e, counters.EgressDown)
	}
	for _, d := range w.reassembly.open {
		w.abandon(d, counters.EgressDown)
	}
	for i := range w.inbox {
		for p := w.inbox[i].peek(); p != nil; p = w.inbox[i].peek() {
			w.free(p)
			w.inbox[i].pop()
		}
	}
	w.cache.Drain()
	w.releaseHost()
}

// Quiesce returns when every worker has finished the round that it was in, and what was in flight between them at the
// call.
func (d *Dataplane) Quiesce() {
	// A packet handed over by one worker in the first of these rounds is met by the other in the second.
	for range 2 {
		var wait sync.WaitGroup
		for _, w := range d.workers {
			wait.Go(func() { w.call(func(*Worker) {}) })
		}
		wait.Wait()
	}
}

// SetNeighbor implements [nstable.Datapath].
func (d *Dataplane) SetNeighbor(dev *nstable.Device, addr netip.Addr, mac [6]byte, state neigh.State) error {
	err := errors.New("the worker has ended")
	d.workers[dev.Owner].call(func(w *Worker) {
		e := dev.Neighbors.Lookup(fib.AddrOf(addr))
		switch {
		case e != nil:
		case state == neigh.Permanent:
			e = dev.Neighbors.Add(fib.AddrOf(addr), w.now)
		default:
			if e = w.newNeighbor(dev, fib.AddrOf(addr)); e == nil {
				err = fmt.Errorf("%s or its namespace have as many neighbours as they may (neigh-max)", dev.Name)
				return
			}
		}
		w.administer(e, dev, header.MAC(mac), state)
		err = nil
	})
	return err
}

// SendToGroup sends an ICMPv6 message to a multicast group of the link of a device, from a source address there, with hop
// limit 255; the message begins with its type, and its checksum is filled in. False where the device is not in the
// namespace that dev says, not usable, or its MTU too small for the message.
func (d *Dataplane) SendToGroup(dev *nstable.Device, source, group netip.Addr, message []byte) bool {
	sent := false
	d.workers[dev.Owner].call(func(w *Worker) {
		sent = w.sendToGroup(dev, fib.AddrOf(source), fib.AddrOf(group), message)
	})
	return sent
}

// DeleteNeighbor implements [nstable.Datapath].
func (d *Dataplane) DeleteNeighbor(dev *nstable.Device, addr netip.Addr) bool {
	found := false
	d.workers[dev.Owner].call(func(w *Worker) {
		if e := dev.Neighbors.Lookup(fib.AddrOf(addr)); e != nil {
			w.remove(dev, e)
			found = true
		}
	})
	return found
}

// FlushNeighbors implements [nstable.Datapath]. Of a device that leaves (keepPermanent is false) it drops besides what
// came in by it and waits for neighbours of other devices.
func (d *Dataplane) FlushNeighbors(dev *nstable.Device, keepPermanent bool) {
	if !keepPermanent {
		for _, w := range d.workers {
			w.call(func(w *Worker) { w.forgetFrom(dev); w.forgetFragments(dev) })
		}
	}
	d.workers[dev.Owner].call(func(w *Worker) {
		dev.Neighbors.All(func(e *neigh.Entry) bool {
			if !keepPermanent || e.State() != neigh.Permanent {
				w.remove(dev, e)
			}
			return true
		})
	})
}
