package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
)

// ethernetInput counts what a device received and sorts it by EtherType. Frames for another station end here (a device
// in promiscuous mode hears them), and so does all that comes in while the device is down.
//
// Edges: vlan-input, arp-input, ip4-input, ip6-input, host-output, drop.
func (w *Worker) ethernetInput(v []uint16) {
	var bytes, groups uint64
	own := header.MAC(w.dev.MAC)
	up := w.dev.Up
	for _, i := range v {
		p := &w.packets[i]
		bytes += uint64(p.Len)
		if p.Flags&Chained != 0 {
			bytes += uint64(frame.Rest(w.mem, p.Addr))
			if why, ok := w.sound(p); !ok {
				w.toDrop(i, why)
				continue
			}
		}
		if p.Len < header.EthernetLen {
			w.toDrop(i, counters.BadEthernet)
			continue
		}
		e := w.ethernet(p)
		if dst := e.Destination(); dst != own {
			if !header.IsGroup(dst) {
				w.foreign(i, e)
				continue
			}
			p.Flags |= Group
			groups++
		}
		switch {
		case !up:
			w.toDrop(i, counters.DeviceDown)
		case e.Source()>>40&1 != 0:
			w.toDrop(i, counters.BadEthernet)
		case e.Type() == header.TypeIPv4:
			w.to(ip4Input, i)
		case e.Type() == header.TypeIPv6:
			w.to(ip6Input, i)
		case e.Type() == header.TypeARP:
			w.to(arpInput, i)
		case header.IsVLAN(e.Type()):
			w.to(vlanInput, i)
		case w.host != nil && isLinkProtocol(p, e):
			w.to(hostOutput, i)
		default:
			w.toDrop(i, counters.UnknownEtherType)
		}
	}
	w.slot.RxPackets.Add(uint64(len(v)))
	w.slot.RxBytes.Add(bytes)
	if groups > 0 {
		w.slot.Multicast.Add(groups)
	}
}

// drop counts and frees.
func (w *Worker) drop(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		w.discard(p, p.Reason)
	}
}
