package dataplane

import (
	"nsrouter/fib"
	"nsrouter/nstable"
)

// dummy4 is 192.0.0.8: what errors come from where the router has no IPv4 address at all, such as in a network that
// forwards IPv4 by IPv6 next hops (RFC 7600 4.8; INADDR_DUMMY of the kernel).
const dummy4 = 192<<24 | 8

// source4 chooses a source address on a device: one that shares the target's prefix, else the first, else one of the
// namespace, lo before the others (RFC 1812 4.3.2.4; inet_select_addr of the kernel's net/ipv4/devinet.c). A target of
// zero shares no prefix.
func (w *Worker) source4(d *nstable.Device, target uint32) (uint32, bool) {
	want := fib.Addr4(target).Netip()
	var first uint32
	for _, a := range d.Addrs {
		if !a.Addr().Is4() || a.Addr().IsLoopback() {
			continue
		}
		own := uint32(fib.AddrOf(a.Addr()).Lo)
		if a.Contains(want) {
			return own, true
		}
		if first == 0 {
			first = own
		}
	}
	if first != 0 {
		return first, true
	}
	for _, other := range w.devicesOf(d.Namespace) {
		for _, a := range other.Addrs {
			if !a.Addr().Is4() || a.Addr().IsLoopback() {
				continue
			}
			if other.Kind == nstable.Loopback {
				return uint32(fib.AddrOf(a.Addr()).Lo), true
			}
			if first == 0 {
				first = uint32(fib.AddrOf(a.Addr()).Lo)
			}
		}
	}
	return first, first != 0
}

// sourceBy4 is the address that the router sends from by a next hop on dev: the route's own, or one of the device.
func (w *Worker) sourceBy4(hop *fib.NextHop, dev *nstable.Device) uint32 {
	if hop.Source4 != 0 {
		return hop.Source4
	}
	if hop.Kind == fib.Netns {
		dev = w.dev // what is sent into another namespace comes from this one
	}
	var gateway uint32
	if hop.Gateway.Is4() {
		gateway = uint32(hop.Gateway.Lo)
	}
	if a, ok := w.source4(dev, gateway); ok {
		return a
	}
	return dummy4
}

// sourceFor4 is the address that the router would send from to dst, wherever that is.
func (w *Worker) sourceFor4(dst uint32) uint32 {
	if hop := w.firstHop4(dst); hop.Kind == fib.Unicast || hop.Kind == fib.Local || hop.Kind == fib.Broadcast {
		if dev := w.view.Device(hop.Device); dev != nil {
			return w.sourceBy4(hop, dev)
		}
	}
	a, _ := w.source4(w.dev, dst)
	return a
}

// firstHop4 is the first next hop of the route to dst; never nil.
func (w *Worker) firstHop4(dst uint32) *fib.NextHop {
	if g := w.fib.Lookup(fib.Addr4(dst).Netip()); g != nil {
		return g.First()
	}
	return noRoute
}

// onLink4 tells that dst is on the link of dev: no gateway is between.
func (w *Worker) onLink4(dst uint32, dev *nstable.Device) bool {
	g := w.fib.Lookup(fib.Addr4(dst).Netip())
	if g == nil {
		return false
	}
	for _, hop := range g.Hops() {
		if hop.Kind == fib.Unicast && hop.Device == dev.ID && hop.Gateway == (fib.Addr{}) {
			return true
		}
	}
	return false
}

// sameSubnet4 tells that two addresses are in the prefix of one address of dev.
func sameSubnet4(dev *nstable.Device, a, b uint32) bool {
	for _, p := range dev.Addrs {
		if p.Contains(fib.Addr4(a).Netip()) && p.Contains(fib.Addr4(b).Netip()) {
			return true
		}
	}
	return false
}
