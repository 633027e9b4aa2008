package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
)

// deliverTagged sends a packet of a VLAN device by the device at the bottom, with the tag of each device on the way. The
// worker that has that device's queue puts them on: until then the packet is one of the VLAN device and its namespace.
func (w *Worker) deliverTagged(p *Packet, out *nstable.Device) {
	root := w.view.Device(out.Root)
	if root == nil {
		w.discard(p, counters.EgressDown)
		return
	}
	if root.Kind == nstable.XDP && int(root.ID) < len(w.outputs) {
		if o := &w.outputs[root.ID]; o.port == nil && o.owner >= 0 {
			w.handoff(o.owner, transmit, p)
			return
		}
	}
	if p.Addr%frame.Size < frame.LinkLen+nstable.MaxTags*header.VLANTagLen {
		w.discard(p, counters.NoFrame) // what is in front of the packet has been used up
		return
	}
	priority := p.Priority
	for d := out; d.Kind == nstable.VLAN; priority >>= 4 {
		p.Addr -= header.VLANTagLen
		header.Ethernet(w.mem[p.Addr:]).PushTag(d.Tag.Protocol, uint16(priority&0xf)<<12|d.Tag.ID)
		if s := w.slotOf(d.ID); s != nil {
			s.TxPackets.Add(1)
			s.TxBytes.Add(uint64(w.length(p)))
		}
		p.Len += header.VLANTagLen
		if d = w.view.Device(d.Lower); d == nil {
			w.discard(p, counters.EgressDown)
			return
		}
	}
	w.deliver(p, root)
}
