package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
)

// vlanInput takes the tag off a frame and passes it to the VLAN device that stands for it, which counts it as received
// in a run of its own (takeTagged). A tag with the identifier 0 says but a priority: the device itself takes what is
// behind it, as __netif_receive_skb_core of the kernel does. The other identifiers that no device stands for end here.
//
// Edges: arp-input, ip4-input, ip6-input, drop; and ethernet-input of the next run.
func (w *Worker) vlanInput(v []uint16) {
	var passed uint64
	for _, i := range v {
		p := &w.packets[i]
		dev, why, ok := w.untag(p)
		switch {
		case !ok:
			w.toDrop(i, why)
		case dev != 0:
			w.tagged = append(w.tagged, Packet{
				Addr: p.Addr, Len: p.Len, In: dev, Crossings: p.Crossings, Priority: p.Priority,
				Flags: p.Flags & Chained,
			})
			passed++
		default:
			w.priorityTagged(i, p)
		}
	}
	if passed > 0 {
		w.slot.Delivered.Add(passed)
	}
}

// untag takes tags off until it knows the VLAN device, which it returns; 0 is the receiving device itself. False, with
// a reason, if the frame is nobody's.
func (w *Worker) untag(p *Packet) (dev nstable.DeviceID, why reason, ok bool) {
	for range nstable.MaxTags {
		if p.Len < header.EthernetLen+header.VLANTagLen {
			return 0, counters.BadEthernet, false
		}
		e := w.ethernet(p)
		tci := e.TCI()
		id := tci & header.VLANIDMask
		dev = w.dev.VLANs.Device(e.Type(), id)
		if dev == 0 && id != 0 {
			return 0, counters.UnknownVLAN, false
		}
		e.PopTag()
		p.Addr += header.VLANTagLen
		p.Len -= header.VLANTagLen
		w.notePriority(p, uint8(tci>>12))
		if dev != 0 || !header.IsVLAN(w.ethernet(p).Type()) {
			return dev, 0, true
		}
	}
	return 0, counters.UnknownVLAN, false
}

// notePriority remembers a tag's priority and drop eligibility. The first tag, the outer one, speaks for an inner one
// that is yet to come or to be made (IEEE 802.1Q 6.9.3).
func (w *Worker) notePriority(p *Packet, priority uint8) {
	if w.dev.Kind == nstable.VLAN {
		p.Priority = p.Priority&0xf0 | priority
		return
	}
	p.Priority = priority<<4 | priority
}

// priorityTagged sorts a frame whose tags named no VLAN, as ethernet-input does an untagged one.
func (w *Worker) priorityTagged(i uint16, p *Packet) {
	e := w.ethernet(p)
	switch dst := e.Destination(); {
	case dst != header.MAC(w.dev.MAC) && !header.IsGroup(dst):
		w.toDrop(i, counters.NotForUs)
	case e.Type() == header.TypeIPv4:
		w.to(ip4Input, i)
	case e.Type() == header.TypeIPv6:
		w.to(ip6Input, i)
	case e.Type() == header.TypeARP:
		w.to(arpInput, i)
	default:
		w.toDrop(i, counters.UnknownEtherType)
	}
}

// foreign is where ethernet-input has a frame for another station's address. A tagged one may be for a VLAN device with
// an address of its own (vlan_do_receive of the kernel).
func (w *Worker) foreign(i uint16, e header.Ethernet) {
	if w.dev.VLANs != nil && w.dev.Up && header.IsVLAN(e.Type()) {
		w.to(vlanInput, i)
		return
	}
	w.toDrop(i, counters.NotForUs)
}
