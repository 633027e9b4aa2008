package dataplane

import (
	"net/netip"
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// defendInterval is how long after a conflict another is neither told nor answered (DEFEND_INTERVAL of RFC 5227 2.4).
const defendInterval = int64(10 * time.Second)

// ownAddress is an address of the router on a device.
type ownAddress struct {
	dev  nstable.DeviceID
	addr fib.Addr
}

// conflict notes that another station of the receiving device's link claims an address of ours. A router does not give
// its addresses up: it announces an IPv4 one (RFC 5227 2.4 (c)), but not more than once in ten seconds, lest two
// stations do so for ever. For IPv6 the operator is told, as in Linux.
func (w *Worker) conflict(addr fib.Addr, mac uint64) {
	own := ownAddress{w.dev.ID, addr}
	if _, told := w.neighbors.defended[own]; told {
		return
	}
	w.neighbors.defended[own] = w.now
	w.neighbors.conflict(w.dev.ID, addr, header.MACBytes(mac))
	if addr.Is4() {
		w.announce(w.dev, addr)
	}
}

// announce tells all on the link of a device that an address is at its MAC: by a gratuitous ARP request (RFC 5227 3), or by
// an unsolicited neighbour advertisement (RFC 4861 7.2.6).
func (w *Worker) announce(d *nstable.Device, a fib.Addr) {
	if a.Is4() {
		w.sendARP(d, uint32(a.Lo), uint32(a.Lo), 0)
		return
	}
	addr, ok := w.cache.Get()
	if !ok {
		return
	}
	w.sendAdvertisement(d, addr+frame0, allNodes, groupMAC(allNodes), a, header.NDRouter|header.NDOverride)
}

// Announce implements [nstable.Datapath].
func (d *Dataplane) Announce(dev *nstable.Device, addrs []netip.Addr) {
	if !dev.Usable() || dev.Kind == nstable.Dummy || dev.Kind == nstable.Loopback {
		return
	}
	d.workers[dev.Owner].call(func(w *Worker) {
		for _, a := range addrs {
			w.announce(dev, fib.AddrOf(a))
		}
	})
}
