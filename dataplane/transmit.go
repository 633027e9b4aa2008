package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/nstable"
)

// transmit queues packets, complete with link-layer addresses, on the device they leave by. It has no edges: packets
// reach the device, or are counted as dropped.
func (w *Worker) transmit(v []uint16) {
	for len(v) > 0 {
		p := &w.packets[v[0]%vectorSize]
		out := w.view.Device(p.Out)
		switch {
		case out == nil:
			w.discard(p, counters.EgressDown)
		case out.Namespace != w.ns:
			w.discard(p, counters.OtherNamespace)
		case out.Kind == nstable.XDP && int(out.ID) < len(w.outputs) && w.outputs[out.ID].port != nil:
			v = w.queueRun(w.outputs[out.ID].port, v)
			continue
		default:
			w.deliver(p, out)
		}
		v = v[1:]
	}
}

// queueRun appends the packets of v that leave by the same device as the first to what its port sends at the end of the
// round, and returns the others.
func (w *Worker) queueRun(port *boundPort, v []uint16) []uint16 {
	if port.n == vectorSize {
		w.sendPending(port)
	}
	n, k := uint(port.n), 0
	for out := w.packets[v[0]%vectorSize].Out; k < len(v) && n < vectorSize; k++ {
		p := &w.packets[v[k]%vectorSize]
		if p.Out != out {
			break
		}
		port.pending[n%vectorSize] = p.desc()
		port.from[n%vectorSize] = p.In
		n++
	}
	port.n = int(n)
	return v[k:]
}

// deliver sends one packet by its device, or counts why not.
func (w *Worker) deliver(p *Packet, out *nstable.Device) {
	switch {
	case out.Kind == nstable.XDP && int(out.ID) < len(w.outputs):
		o := &w.outputs[out.ID]
		switch {
		case o.port != nil:
			w.queue(o.port, p)
		case o.owner >= 0:
			w.handoff(o.owner, transmit, p)
		default:
			w.discard(p, counters.EgressDown)
		}
	case out.Kind == nstable.Veth:
		w.cross(p, out)
	case out.Kind == nstable.VLAN:
		w.deliverTagged(p, out)
	case out.Kind == nstable.XDP:
		w.discard(p, counters.EgressDown)
	default:
		w.discard(p, counters.DummyDevice)
	}
}

// queue appends a packet to what its port sends at the end of the round.
func (w *Worker) queue(port *boundPort, p *Packet) {
	if port.n == vectorSize {
		w.sendPending(port)
	}
	port.pending[port.n] = p.desc()
	port.from[port.n] = p.In
	port.n++
}

// queued is packet k of those that wait, as far as is known of it.
func (port *boundPort) queued(k int) Packet {
	d := &port.pending[k]
	p := Packet{Addr: d.Addr, Len: d.Len, In: port.from[k], Flags: Flags(d.Options)}
	if p.In == 0 {
		p.Flags |= Own
	}
	return p
}

// sendPending hands what waits to the port. What it does not take, after one more try at completed frames, is dropped
// as tx-full at the device that it came in by; the rest is counted there as forwarded.
func (w *Worker) sendPending(port *boundPort) {
	sent := port.Transmit(port.pending[:port.n])
	for sent < port.n {
		port.Flush()
		if port.Complete(w.cache) == 0 {
			break
		}
		more := port.Transmit(port.pending[sent:port.n])
		if more == 0 {
			break
		}
		sent += more
	}
	var bytes uint64
	for k := 0; k < sent; {
		in, first := port.from[k], k
		for k < sent && port.from[k] == in {
			bytes += uint64(frame.Length(w.mem, port.pending[k]))
			k++
		}
		if in != 0 {
			if s := w.slotOf(in); s != nil {
				s.Forwarded.Add(uint64(k - first))
			}
		}
	}
	if s := w.slotOf(port.dev); s != nil && sent > 0 {
		s.TxPackets.Add(uint64(sent))
		s.TxBytes.Add(bytes)
	}
	port.Queue.TxPackets.Add(uint64(sent))
	for k := sent; k < port.n; k++ {
		p := port.queued(k)
		w.discard(&p, counters.TxFull)
	}
	port.n = 0
}
