package main

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"

	"nsrouter/dataplane"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/memport"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

const (
	mtu = 1500
	// poolFrames are as many as a worker's caches and the loops need; the router's own default is not the point here.
	poolFrames = 4096
	// fastTables is memory for the fast form of large tables: the default of `router run --fast-tables`.
	fastTables = 256 << 20
)

// router is all of nsrouter but its daemon: a table with its committer, and workers, whose ports are loops in memory.
type router struct {
	pool  *frame.Pool
	plane *dataplane.Dataplane
	table *nstable.Table
	ways  []*way
	cpus  []int
	ports *ports
	err   error // the first of what the methods that make things met
}

// newRouter starts a router with a worker on each of cpus.
func newRouter(cpus []int) (*router, error) {
	pool, err := frame.NewPool(poolFrames)
	if err != nil {
		return nil, err
	}
	r := &router{pool: pool, cpus: cpus, ports: &ports{workers: len(cpus), next: map[string]dataplane.Port{},
		owners: map[*memport.Loop]int{}}}
	var table atomic.Pointer[nstable.Table]
	empty := new(nstable.View)
	epochs := new(fib.Epochs)
	r.plane, err = dataplane.New(dataplane.Options{CPUs: cpus, Pool: pool, Epochs: epochs, View: func() *nstable.View {
		if t := table.Load(); t != nil {
			return t.View()
		}
		return empty
	}})
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	r.ports.plane = r.plane
	r.table, err = nstable.Open(nstable.Options{
		Workers: len(cpus), Datapath: r.plane, Ports: r.ports,
		Tables: fib.TableOptions{Epochs: epochs, Fast: fib.NewBudget(fastTables)},
		Log:    func(msg string, err error) { r.note(fmt.Errorf("%s: %w", msg, err)) },
	})
	if err != nil {
		r.plane.Close()
		return nil, errors.Join(err, pool.Close())
	}
	table.Store(r.table)
	return r, nil
}

// close ends the router. Ports are removed first: workers must not meet frames of an area that is gone.
func (r *router) close() error {
	err := r.ports.close()
	for _, w := range r.ways {
		w.loop.Close()
	}
	r.table.Close()
	r.plane.Close()
	return errors.Join(err, r.pool.Close())
}

func (r *router) note(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *router) do(f func(*nstable.Tx) error) { r.note(r.table.Do(f)) }

// way is where packets go round: in by one port, through the router, out by another.
type way struct {
	loop    *memport.Loop
	packets [][]byte // as they come in
	out     int      // number of the port
}

// way makes one, with the ends of its loop for two ports; it is paused until it is measured.
func (r *router) way(frames, out int, packets [][]byte) (memport.In, memport.Out) {
	l, err := memport.New(memport.Options{
		Pool: r.pool, Frames: frames, Packets: packets, Windows: memport.Windows(packets[0]),
	})
	if err != nil {
		r.note(err)
		return memport.In{}, memport.Out{} // as long as there is an error, nothing is made of them
	}
	l.Pause(true)
	r.ways = append(r.ways, &way{l, packets, out})
	return l.In(), l.Out()
}

// port makes a device of a port, up, with the MAC address of its number.
func (r *router) port(ns string, number int, p dataplane.Port, addrs ...string) {
	if r.err != nil {
		return
	}
	name := portName(number)
	mac := portMAC(number)
	r.ports.next[name] = p
	r.link(ns, nstable.LinkSpec{Name: name, Kind: nstable.XDP, MAC: &mac}, addrs...)
}

// portName and portMAC are those of a numbered port; hostMAC is a neighbour's.
func portName(number int) string     { return fmt.Sprintf("p%d", number) }
func portMAC(number int) [6]byte     { return [6]byte{2, 0, 0, 0, 0, byte(number)} }
func hostMAC(port, host int) [6]byte { return [6]byte{2, 0, 0, 1, byte(port), byte(host)} }

func (r *router) link(ns string, s nstable.LinkSpec, addrs ...string) {
	_, err := r.table.AddLink(ns, s)
	r.note(err)
	r.up(ns, s.Name, addrs...)
}

// up sets a device up and gives it addresses.
func (r *router) up(ns, name string, addrs ...string) {
	up := true
	r.note(r.table.SetLink(ns, name, nstable.LinkChange{Up: &up}))
	r.do(func(tx *nstable.Tx) error {
		for _, a := range addrs {
			if err := tx.AddAddress(ns, name, nstable.AddressSpec{Prefix: netip.MustParsePrefix(a)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r *router) netns(name string) {
	r.do(func(tx *nstable.Tx) error { return tx.AddNamespace(name) })
}

func (r *router) neighbor(ns, dev, addr string, mac [6]byte) {
	r.do(func(tx *nstable.Tx) error {
		return tx.SetNeighbor(nstable.AddNeighbor, ns, dev, netip.MustParseAddr(addr), mac, neigh.Permanent)
	})
}

// routes puts routes by several gateways on one device: the n-th prefix by the n-th gateway, round and round.
func (r *router) routes(ns, dev string, prefixes []netip.Prefix, gateways ...string) {
	r.do(func(tx *nstable.Tx) error {
		for k, g := range gateways {
			spec := nstable.RouteSpec{
				Prefix: prefixes[0], Kind: fib.Unicast,
				Legs: []nstable.LegSpec{{Via: netip.MustParseAddr(g), Device: dev}},
			}
			load, err := tx.LoadRoutes(fib.Add, ns, spec)
			if err != nil {
				return err
			}
			for i := k; i < len(prefixes); i += len(gateways) {
				if err := load.Put(prefixes[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// routeInto puts a route into another namespace.
func (r *router) routeInto(ns, prefix, other string) {
	r.do(func(tx *nstable.Tx) error {
		return tx.Route(fib.Add, ns, nstable.RouteSpec{Prefix: netip.MustParsePrefix(prefix), Kind: fib.Netns, Netns: other})
	})
}

// ports attaches what is next of a name, in place of host interfaces.
type ports struct {
	plane   *dataplane.Dataplane
	workers int
	next    map[string]dataplane.Port
	ids     []nstable.DeviceID
	owners  map[*memport.Loop]int // worker that serves it
}

// Attach gives a port to the worker of its device. A loop's ports must all come to one worker.
func (p *ports) Attach(id nstable.DeviceID, spec nstable.XDPSpec) (nstable.PortInfo, error) {
	port := p.next[spec.Host]
	delete(p.next, spec.Host)
	if err := p.serve(loopOf(port), int(id)%p.workers); err != nil {
		return nstable.PortInfo{}, fmt.Errorf("attach %s: %w", spec.Host, err)
	}
	if err := p.plane.AddPort(id, []dataplane.Port{port}, nil); err != nil {
		return nstable.PortInfo{}, err
	}
	p.ids = append(p.ids, id)
	return nstable.PortInfo{MAC: portMAC(0), MTU: mtu, Mode: nstable.ModeCopy, Queues: 1, Carrier: true}, nil
}

// loopOf is the loop that a port is of.
func loopOf(port dataplane.Port) *memport.Loop {
	if in, ok := port.(memport.In); ok {
		return in.Loop
	}
	return port.(memport.Out).Loop
}

// serve notes which worker has a port of a loop; all have to be the same one's.
func (p *ports) serve(l *memport.Loop, worker int) error {
	if had, ok := p.owners[l]; ok && had != worker {
		return fmt.Errorf("workers %d and %d would serve one loop: make its devices so many apart as there are workers", had, worker)
	}
	p.owners[l] = worker
	return nil
}

// Detach gives a port back.
func (p *ports) Detach(id nstable.DeviceID) error {
	return p.plane.RemovePort(id, func() error { return nil })
}

// Configure has nothing to do.
func (*ports) Configure(nstable.DeviceID, nstable.PortConfig) error { return nil }

func (p *ports) close() error {
	var errs []error
	for _, id := range p.ids {
		errs = append(errs, p.Detach(id))
	}
	return errors.Join(errs...)
}
