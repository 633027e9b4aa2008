package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// RouterSolicitation tells the control plane that a host asks for router advertisements on a device (RFC 4861 4.1).
type RouterSolicitation struct {
	Device    nstable.DeviceID
	Namespace *nstable.Namespace // that the device was in
}

// routerSolicitation learns the sender of a router solicitation and tells the control plane, which answers where the
// device is to advertise. False where the message is invalid (RFC 4861 6.1.1); else the packet is spent. ndInput has
// checked what all messages of neighbour discovery have in common.
func (w *Worker) routerSolicitation(p *Packet, h header.IPv6, m header.ICMP) bool {
	src := addr6(h.Source())
	mac, found, ok := header.NDOption(m[header.ICMPLen:], header.NDSourceLinkLayer)
	if !ok || found && (src == fib.Addr{} || header.IsGroup(mac)) {
		return false
	}
	if !w.allow(puntPurse) {
		w.discard(p, counters.RateLimited)
		return true
	}
	if src != (fib.Addr{}) {
		w.learnSolicitor(src, mac, found)
		if e := w.dev.Neighbors.Lookup(src); e != nil {
			e.Router.Store(false) // who asks for routers is none (RFC 4861 6.2.6)
		}
	}
	if w.dev.Settings.RA.Send {
		w.solicited(RouterSolicitation{Device: w.dev.ID, Namespace: w.ns})
	}
	w.end(p)
	return true
}

// sendToGroup sends an ICMPv6 message of the control plane's to a multicast group of the link of a device; false where
// the device is not what it was any more, or has no room.
func (w *Worker) sendToGroup(dev *nstable.Device, source, group fib.Addr, message []byte) bool {
	out := w.view.Device(dev.ID)
	if out == nil || out.Namespace != dev.Namespace || !out.Usable() ||
		len(message) < header.ICMPLen || header.IPv6HeaderLen+len(message) > min(int(out.MTU), frame.MaxMTU) {
		return false
	}
	addr, ok := w.cache.Get()
	if !ok {
		return false
	}
	p := Packet{
		Addr: addr + frame0, Len: uint32(header.EthernetLen + header.IPv6HeaderLen + len(message)), Out: out.ID, Flags: Own,
	}
	copy(w.newND(&p, out, source, group, groupMAC(group)), message)
	w.finishND(&p)
	w.deliver(&p, out)
	return true
}
