// Package daemon puts the router together: the frame area, the workers, the table of namespaces with its store, the
// host's interfaces, the Linux namespaces, and the control socket. It is the only place that knows all of them.
//
//	                control socket
//	                      |
//	  hosts.go --- ctl/server ------- nstable ------- ctl/store
//	(Linux namespaces)               |       |
//	      |                   ports.go       view, FIB (read by workers)
//	ctl/hostside, ctl/feed     |     |       |
//	(TAPs, routes)          afxdp    dataplane
package daemon

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"nsrouter/ctl/feed"
	"nsrouter/ctl/hostside"
	"nsrouter/ctl/radv"
	"nsrouter/ctl/server"
	"nsrouter/ctl/store"
	"nsrouter/dataplane"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// DefaultFrames is how many packet frames there are unless told otherwise: 128 MiB. A sum, for four interfaces with four
// queues each:
//
//	16 queues x 2048 on the receive side                                 = 32,768
//	16 queues x 1536 in transmit and completion rings, 2048 at most      = 24,576
//	2 workers x (256 cached + 1024 behind veths + 2 x 1024 handed over)  =  6,656
//	neighbours' queues and the rest                                      =  1,536
//
// The rings to and from Linux are not in it (2 workers x 2 x (1024 + 256 cached) = 5,120): they are full only under a flood, and
// where all else is full besides, packets are dropped as no-frame.
const DefaultFrames = 65536

// Options of the daemon; the flags of "router run".
type Options struct {
	Socket string
	// State is the directory of the durable state, or "none".
	State string
	// CPUs has a worker each. Empty: Workers workers, on the first CPUs that the process may use but for the very
	// first, if there are enough.
	CPUs    []int
	Workers int // 0 is 1
	Frames  int // 0 is DefaultFrames
	// ManageIRQ has the kernel's part of the reception of each queue done beside the worker that has the queue.
	ManageIRQ bool
	Poll      PollPlan
	// TableMemory limits the forwarding table of each namespace, in bytes; 0: no limit.
	TableMemory int
	// FastTables is memory, in bytes, that the large ones share besides to become faster.
	FastTables int
	// NetnsPrefix goes before the names of the Linux network namespaces.
	NetnsPrefix string
	Log         *zap.Logger
	// ProcFS is the directory where the namespaces are shown as /proc/net shows them; "": nowhere.
	ProcFS string
	// Audit has a line for each change that somebody asks for; nil: nobody listens.
	Audit *zap.Logger
}

// Run is the daemon's life: it returns nil when ctx has ended it, and an error when it could not start or had to give
// up. All interfaces are released then.
func Run(ctx context.Context, o Options) (err error) {
	if os.Geteuid() != 0 {
		return errors.New(
			"the daemon needs root, to take interfaces over and to make Linux namespaces: start it with sudo",
		)
	}
	raiseLimits()
	quietGC()
	cpus, err := workerCPUs(o.CPUs, o.Workers)
	if err != nil {
		return err
	}
	poll, err := o.Poll.modes(len(cpus))
	if err != nil {
		return err
	}
	// Workers spin; the control side needs threads of its own beside them.
	if n := len(cpus) + 2; runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	listener, err := server.Listen(o.Socket)
	if err != nil {
		return err
	}
	d := &daemon{o: o, cpus: cpus, poll: poll}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.start(); err != nil {
		_ = listener.Close()
		return err
	}
	return d.serve(ctx, listener)
}

// daemon is what runs; fields are set by start in their order, and closed in reverse.
type daemon struct {
	o     Options
	cpus  []int
	poll  []dataplane.PollMode // by worker
	store *store.Store
	pool  *frame.Pool
	plane *dataplane.Dataplane
	radv  *radv.Server
	side  *hostside.Server
	feed  atomic.Pointer[feed.Server] // of the table
	ports *ports
	table *nstable.Table
	hosts *hosts
	// reports are what is told of on behalf of workers, who do not wait for it.
	reports sync.WaitGroup
}

func (d *daemon) start() (err error) {
	var stored nstable.Store
	if d.o.State != "none" {
		if d.store, err = store.Open(d.o.State); err != nil {
			return err
		}
		stored = d.store
	}
	if d.pool, err = framePool(cmp.Or(d.o.Frames, DefaultFrames), d.o.Log); err != nil {
		return err
	}
	// Workers run before there is a table: they are given an empty view until then.
	var table atomic.Pointer[nstable.Table]
	empty := new(nstable.View)
	view := func() *nstable.View {
		if t := table.Load(); t != nil {
			return t.View()
		}
		return empty
	}
	d.side = hostside.New(d.hostOptions())
	// The table announces permanent neighbours itself; the others are the data plane's.
	changed := func(dev nstable.DeviceID, e *neigh.Entry, gone bool) {
		if t := table.Load(); t != nil && e.State() != neigh.Permanent {
			mac, known := e.MAC()
			t.AnnounceNeighbor(dev, e.Addr.Netip(), header.MACBytes(mac), known, e.State(), gone)
		}
		d.side.NeighborChanged(dev, e)
	}
	d.radv = d.advertiser()
	probed := func(r nstable.ProbeResult) { table.Load().AddressProbed(r) } // what is tried is in a view of the table's
	epochs := new(fib.Epochs)
	d.plane, err = dataplane.New(dataplane.Options{
		CPUs: d.cpus, Poll: d.poll, Pool: d.pool, View: view, Epochs: epochs,
		NeighborChanged: changed, AddressProbed: probed,
		RouterSolicited: d.radv.Solicited, AddressConflict: d.conflictLogger(&table),
	})
	if err != nil {
		return err
	}
	changes, err := openJournal(d.o.Socket+".interfaces", d.o.Log)
	if err != nil {
		return err
	}
	d.ports = newPorts(d.pool, d.plane, changes, d.o.Log)
	if d.ports.receiver, err = d.receivers(); err != nil {
		return err
	}
	d.table, err = nstable.Open(nstable.Options{
		Store: stored, Workers: len(d.cpus), Datapath: d.plane, Ports: d.ports,
		Tables: fib.TableOptions{Epochs: epochs, Fast: fib.NewBudget(d.o.FastTables)}, TableMemory: d.o.TableMemory,
		DetectDuplicates: true,
		Publishing:       d.publishing,
		OperatorRoutes:   d.operatorRoutes,
		Log:              func(msg string, err error) { d.o.Log.Warn(msg, zap.Error(err)) },
	})
	if err != nil {
		return err
	}
	table.Store(d.table)
	if err := d.attachHosts(); err != nil {
		return err
	}
	d.ports.restore(d.table)
	d.settle(context.Background())
	return nil
}

// advertiser is what sends router advertisements, through the data plane.
func (d *daemon) advertiser() *radv.Server {
	return radv.New(radv.Options{
		Send: func(dev *nstable.Device, source, group netip.Addr, message []byte) bool {
			return d.plane.SendToGroup(dev, source, group, message)
		},
		Log: func(msg string, err error) { d.o.Log.Warn(msg, zap.Error(err)) },
	})
}

// publishing shows who follows the table a view that is about to be published.
func (d *daemon) publishing(old, next *nstable.View) {
	d.radv.Publishing(old, next)
	d.side.Publishing(old, next)
	if f := d.feed.Load(); f != nil {
		f.Publishing(old, next)
	}
}

// operatorRoutes has Linux hear of the operator's routes.
func (d *daemon) operatorRoutes(ns *nstable.Namespace, prefixes []netip.Prefix, all bool) {
	if f := d.feed.Load(); f != nil {
		f.OperatorRoutes(ns, prefixes, all)
	}
}

// attachHosts gives the namespaces their Linux namespaces.
func (d *daemon) attachHosts() error {
	d.feed.Store(feed.New(feed.Options{Table: d.table, Log: d.o.Log}))
	d.hosts = newHosts(d.o.NetnsPrefix, d.side, d.feed.Load(), d.table, d.o.Log)
	for _, ns := range d.table.Namespaces() {
		if ns.Settings.Host == setting.HostNone {
			continue
		}
		if err := d.hosts.Add(ns.Name); err != nil {
			return err
		}
	}
	return nil
}

// serve answers on the control socket until ctx is done or the socket fails.
func (d *daemon) serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var background sync.WaitGroup
	background.Go(func() { d.ports.watch(ctx) })
	background.Go(func() { d.radv.Run(ctx) })
	background.Go(func() { d.hosts.watch(ctx) })
	s := server.New(server.Options{
		Table: d.table, Hosts: d.hosts, Queues: d.ports.queueStats, Frames: d.frames, Settle: d.settle,
		Workers: d.workers, SetWorker: d.setWorker,
		Log: func(msg string) { d.o.Log.Warn(msg) }, AdminGroup: server.FindAdminGroup(), Audit: d.o.Audit,
	})
	hide, err := d.showFiles(s)
	if err == nil {
		defer hide()
		err = s.Delegate(d.o.Socket + server.DelegateSuffix)
	}
	if err != nil {
		_ = l.Close()
		cancel()
		background.Wait()
		return err
	}
	d.o.Log.Info("ready", zap.String("socket", d.o.Socket), zap.String("state", d.o.State), zap.Ints("cpus", d.cpus),
		zap.Int("frames", d.pool.Frames()), zap.Bool("huge_pages", d.pool.Huge()))
	notifySystemd("READY=1")
	err = s.Serve(ctx, l)
	notifySystemd("STOPPING=1")
	cancel()
	background.Wait()
	return err
}

// settleTime bounds the wait for Linux, which a command has no need of.
const settleTime = 5 * time.Second

// settle returns when Linux shows what was changed before, or will not soon.
func (d *daemon) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	d.side.Settle(ctx)
	if f := d.feed.Load(); f != nil {
		f.Settle(ctx)
	}
}

// close undoes what start has done, as far as it came.
func (d *daemon) close() error {
	var errs []error
	if d.table != nil {
		d.radv.Close() // while there are workers and ports
	}
	if d.hosts != nil {
		errs = append(errs, d.hosts.close(d.o.State == "none")) // while there is a table, and a data plane
	}
	if d.table != nil {
		d.table.Close()
	}
	if d.ports != nil {
		errs = append(errs, d.ports.close())
	}
	if d.plane != nil {
		d.plane.Close()
		d.reports.Wait()
	}
	if d.pool != nil {
		errs = append(errs, d.pool.Close())
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}
