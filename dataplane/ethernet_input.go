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
	var bytes uint64
	own, up := header.MAC(w.dev.MAC), w.dev.Up
	next4, next6 := &w.vectors[ip4Input], &w.vectors[ip6Input]
	n4, n6 := next4.n, next6.n
	for _, i := range v {
		p := &w.packets[i%vectorSize]
		bytes += uint64(p.Len)
		if p.Len >= header.EthernetLen && up && p.Flags&Chained == 0 {
			e := header.LoadEthernet((*[header.EthernetLen]byte)(w.mem[p.Addr:]))
			if e.Destination() == own && !e.FromGroup() {
				switch e.Type() {
				case header.TypeIPv4:
					next4.idx[n4%vectorSize] = i
					n4++
					continue
				case header.TypeIPv6:
					next6.idx[n6%vectorSize] = i
					n6++
					continue
				}
			}
		}
		next4.n, next6.n = n4, n6
		w.ethernetRare(i, own)
		n4, n6 = next4.n, next6.n
	}
	next4.n, next6.n = n4, n6
	w.slot.RxPackets.Add(uint64(len(v)))
	w.slot.RxBytes.Add(bytes)
}

// ethernetRare sorts a frame that may be a chain, to a group or to another station, of any EtherType.
func (w *Worker) ethernetRare(i uint16, own uint64) {
	p := &w.packets[i]
	if p.Flags&Chained != 0 {
		w.slot.RxBytes.Add(uint64(frame.Rest(w.mem, p.Addr)))
		if why, ok := w.sound(p); !ok {
			w.toDrop(i, why)
			return
		}
	}
	if p.Len < header.EthernetLen {
		w.toDrop(i, counters.BadEthernet)
		return
	}
	e := w.ethernet(p)
	if dst := e.Destination(); dst != own {
		if !header.IsGroup(dst) {
			w.foreign(i, e)
			return
		}
		p.Flags |= Group
		w.slot.Multicast.Add(1)
	}
	switch {
	case !w.dev.Up:
		w.toDrop(i, counters.DeviceDown)
	case header.IsGroup(e.Source()):
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

// drop counts and frees.
func (w *Worker) drop(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		w.discard(p, p.Reason)
	}
}
