package daemon

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"

	"nsrouter/afxdp"
	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/dataplane"
	"nsrouter/dataplane/frame"
	"nsrouter/nstable"
)

// ports attaches host interfaces for the table ([nstable.Ports]), gives their queues to the workers, and follows what
// happens to them on the host.
type ports struct {
	pool    *frame.Pool
	plane   *dataplane.Dataplane
	journal *journal
	log     *zap.Logger
	table   *nstable.Table // set by restore, before watch

	looking sync.Mutex // held by a look; taken before mu

	mu        sync.Mutex
	restoring bool
	attached  map[nstable.DeviceID]*port
	missing   map[nstable.DeviceID]*absence // to be attached when the interface is there
	// placed are the workers of queues that were moved, for as long as the device is there: an interface that comes back has
	// its queues where they were.
	placed map[nstable.DeviceID]map[int]int
	// receiver is the CPU where the kernel is to receive for a worker, by its number; nil: where it likes.
	receiver []int
}

// port is an attached interface.
type port struct {
	spec    nstable.XDPSpec
	iface   *afxdp.Interface
	carrier bool
	told    map[string]bool // what was said of it once
}

func newPorts(pool *frame.Pool, plane *dataplane.Dataplane, j *journal, log *zap.Logger) *ports {
	return &ports{
		pool: pool, plane: plane, journal: j, log: log,
		attached: make(map[nstable.DeviceID]*port), missing: make(map[nstable.DeviceID]*absence),
		placed: make(map[nstable.DeviceID]map[int]int),
	}
}

// restore has the table attach what it had. Interfaces that cannot be attached now are tried again as the host changes.
func (p *ports) restore(t *nstable.Table) {
	p.mu.Lock()
	p.table, p.restoring = t, true
	p.mu.Unlock()
	if err := t.Start(); err != nil {
		p.log.Warn("restore neighbours", zap.Error(err))
	}
	p.mu.Lock()
	p.restoring = false
	p.putBack()
	p.mu.Unlock()
}

// Attach implements [nstable.Ports].
func (p *ports) Attach(id nstable.DeviceID, spec nstable.XDPSpec) (nstable.PortInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := p.attach(id, spec)
	if err != nil && p.restoring {
		m := &absence{spec: spec}
		if l, lookErr := netlink.LinkByName(spec.Host); lookErr == nil {
			m.failed(l.Attrs().Index)
		}
		p.missing[id] = m
	}
	return info, err
}

// attach opens the interface and gives its queues to the workers; under the lock.
func (p *ports) attach(id nstable.DeviceID, spec nstable.XDPSpec) (info nstable.PortInfo, err error) {
	mode, err := afxdp.ParseMode(spec.Mode.String())
	if err != nil {
		return info, err
	}
	iface, err := afxdp.Open(p.pool, afxdp.Options{
		Host: spec.Host, Mode: mode, Queues: spec.Queues, Force: spec.Force, Journal: p.journal,
	})
	if err != nil {
		return info, err
	}
	for _, n := range iface.Notes() {
		p.log.Info(n, zap.String("interface", spec.Host))
	}
	queues := make([]dataplane.Port, len(iface.Queues()))
	for i, q := range iface.Queues() {
		queues[i] = q
	}
	if err := p.plane.AddPort(id, queues, p.placed[id]); err != nil {
		return info, errors.Join(err, iface.Close())
	}
	_, got := iface.Mode()
	gotMode, err := nstable.ParseMode(got.String())
	if err != nil {
		return info, err
	}
	a := &port{spec: spec, iface: iface, carrier: hasCarrier(iface.HostIndex()), told: make(map[string]bool)}
	p.attached[id] = a
	delete(p.missing, id)
	p.placeReceive(id)
	return nstable.PortInfo{
		MAC: iface.MAC(), MTU: uint32(min(iface.MTU(), iface.MaxMTU())), MaxMTU: uint32(iface.MaxMTU()),
		Mode: gotMode, Queues: len(queues), Carrier: a.carrier, Strips: iface.StripsTags(),
	}, nil
}

// hasCarrier tells whether the host interface has a link. One that is down has none, until the device is set up.
func hasCarrier(ifindex int) bool {
	l, err := netlink.LinkByIndex(ifindex)
	return err == nil && running(l)
}

// Detach implements [nstable.Ports].
func (p *ports) Detach(id nstable.DeviceID) error {
	// What a look has still to tell is about this device, and not about the next one with its number.
	p.looking.Lock()
	defer p.looking.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.missing, id)
	delete(p.placed, id)
	err := p.detach(id)
	p.putBack()
	return err
}

func (p *ports) detach(id nstable.DeviceID) error {
	a := p.attached[id]
	if a == nil {
		return nil
	}
	delete(p.attached, id)
	a.iface.Detach()
	return p.plane.RemovePort(id, a.iface.Close)
}

// Configure implements [nstable.Ports]: the host interface is raised with the device (and stays up), its MTU raised
// where needed, and it hears all addresses while the device, or a VLAN device on it, has another one than its own.
func (p *ports) Configure(id nstable.DeviceID, c nstable.PortConfig) error {
	if err := p.configure(id, c); err != nil {
		return err
	}
	// What is raised has its carrier at once, where the other side is up.
	p.look()
	return nil
}

func (p *ports) configure(id nstable.DeviceID, c nstable.PortConfig) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attached[id]
	if a == nil {
		return nil // configured when it is back
	}
	if err := a.iface.RaiseMTU(int(c.MTU)); err != nil {
		return err
	}
	if err := a.iface.SetPromisc(c.MAC != a.iface.MAC() || c.OtherMACs); err != nil {
		return err
	}
	if c.Up {
		err := a.iface.SetUp()
		p.placeReceive(id) // some drivers have no NAPI before
		return err
	}
	return nil
}

// placeReceive has the kernel receive for each queue of a device beside the worker that has it; under the lock.
func (p *ports) placeReceive(id nstable.DeviceID) {
	a := p.attached[id]
	if p.receiver == nil || a == nil {
		return
	}
	var cpus []int
	for _, q := range p.plane.Queues(id) {
		cpus = append(cpus, p.receiver[q.Worker])
	}
	for _, note := range a.iface.PlaceReceive(cpus) {
		if !a.told[note] {
			a.told[note] = true
			p.log.Warn(note, zap.String("interface", a.spec.Host))
		}
	}
}

// close gives all interfaces back.
func (p *ports) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for id := range p.attached {
		if err := p.detach(id); err != nil {
			errs = append(errs, fmt.Errorf("release: %w", err))
		}
	}
	clear(p.missing)
	p.putBack()
	return errors.Join(errs...)
}

// putBack puts the settings of interfaces back that a killed daemon had and that no device has or waits for any more;
// under the lock.
func (p *ports) putBack() {
	wanted := make(map[int]bool)
	for _, a := range p.attached {
		wanted[a.iface.HostIndex()] = true
	}
	for _, m := range p.missing {
		if l, err := netlink.LinkByName(m.spec.Host); err == nil {
			wanted[l.Attrs().Index] = true
		}
	}
	for ifindex, changed := range p.journal.all() {
		if wanted[ifindex] {
			continue
		}
		if err := afxdp.PutBack(ifindex, changed); err != nil {
			p.log.Warn("restore an interface that a killed daemon had", zap.Int("ifindex", ifindex), zap.Error(err))
		}
		p.journal.Save(ifindex, nil)
	}
}

// queueStats joins what the data plane and what the kernel counts for a device's queues.
func (p *ports) queueStats(id nstable.DeviceID) []*v1.QueueStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.attached[id]
	if a == nil {
		return nil
	}
	moved := p.plane.Queues(id)
	var out []*v1.QueueStats
	for i, q := range a.iface.Queues() {
		s, err := q.Stats()
		if err != nil || i >= len(moved) {
			continue // the interface has just vanished
		}
		m := moved[i]
		out = append(out, &v1.QueueStats{
			Queue: uint32(q.ID()), Worker: uint32(m.Worker), RxPackets: m.RxPackets, TxPackets: m.TxPackets,
			RxDropped: s.RxDropped, RxInvalidDescs: s.RxInvalidDescs, TxInvalidDescs: s.TxInvalidDescs,
			RxRingFull: s.RxRingFull, RxFillRingEmptyDescs: s.RxFillEmpty, TxRingEmptyDescs: s.TxRingEmptyDesc,
		})
	}
	return out
}
