package daemon

// What the daemon tells of the data plane.

import (
	"net"
	"sync/atomic"

	"go.uber.org/zap"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// workers tells what the workers do.
func (d *daemon) workers() []*v1.Worker {
	view := d.table.View()
	var out []*v1.Worker
	for id, s := range d.plane.Stats() {
		w := &v1.Worker{
			Id: uint32(id), Cpu: int32(s.CPU), Packets: s.Packets, Rounds: s.Rounds, Sleeps: s.Naps,
			BusyNs: uint64(s.Busy), AgeNs: uint64(s.Age), Poll: s.Poll.String(), Slow: s.Slow[:],
		}
		for _, q := range s.Queues {
			if dev := view.Device(q.Device); dev != nil {
				w.Queues = append(w.Queues, &v1.WorkerQueue{
					Netns: dev.Namespace.Name(), Dev: dev.Name, Queue: uint32(q.Queue),
				})
			}
		}
		out = append(out, w)
	}
	return out
}

// frames counts where the packet frames are.
func (d *daemon) frames() *v1.GetFramesResponse {
	f := d.plane.Census()
	return &v1.GetFramesResponse{
		Total: uint32(f.Total), Free: uint32(f.Free), Held: uint32(f.Held), Pipeline: uint32(f.Pipeline),
		Queues: uint32(f.Queues), Lost: int32(f.Lost),
	}
}

// conflictLogger tells the operator of stations that claim an address of the router. What it returns is called by
// workers, which wait neither for the log nor for the table.
func (d *daemon) conflictLogger(table *atomic.Pointer[nstable.Table]) func(nstable.DeviceID, fib.Addr, [6]byte) {
	return func(dev nstable.DeviceID, a fib.Addr, mac [6]byte) {
		t := table.Load()
		if t == nil {
			return
		}
		d.reports.Go(func() {
			ns, name, ok := t.DeviceName(dev)
			if !ok {
				return
			}
			d.o.Log.Warn("address-conflict: another station claims an address of the router", zap.String("netns", ns),
				zap.String("dev", name), zap.Stringer("address", a.Netip()),
				zap.Stringer("lladdr", net.HardwareAddr(mac[:])))
		})
	}
}
