package hostside

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// restate takes up which permanent neighbours others have given to Linux, or taken from it. It tells whether that could not
// be found out.
func (l *link) restate() (failed bool) {
	there := make(map[netip.Addr][6]byte)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		list, err := l.space.nl.NeighListExecute(netlink.Ndmsg{Family: uint8(family), Index: uint32(l.index)})
		if err != nil {
			l.report("read its neighbours", err)
			return true
		}
		for _, n := range list {
			addr, ok := netip.AddrFromSlice(n.IP)
			if ok && n.State == netlink.NUD_PERMANENT && n.Flags&netlink.NTF_PROXY == 0 && len(n.HardwareAddr) == 6 {
				there[addr.Unmap()] = [6]byte(n.HardwareAddr)
			}
		}
	}
	// Not before: see readdress.
	if _, err := l.space.nl.LinkByIndex(l.index); err != nil {
		return false
	}
	l.restated = false
	for addr, mac := range there {
		if had, ok := l.static[addr]; !ok || had != mac {
			l.followNeighbor(addr, mac)
		}
	}
	for addr := range l.static {
		if _, ok := there[addr]; !ok {
			l.asked.forget(fib.AddrOf(addr))
			delete(l.static, addr)
			if err := l.space.server.o.FollowNeighbor(l.dev, addr, nil); err != nil {
				l.log().Info("a neighbour that Linux has no more", zap.Stringer("address", addr), zap.Error(err))
			}
		}
	}
	return false
}

// followNeighbor makes a permanent neighbour of Linux one of the device.
func (l *link) followNeighbor(addr netip.Addr, mac [6]byte) {
	if l.static == nil {
		l.static = make(map[netip.Addr][6]byte)
	}
	l.static[addr] = mac
	a := fib.AddrOf(addr) // what becomes of it in the router is told to Linux
	l.asked.note(a)
	l.asked.tell(a, header.MAC(mac))
	if err := l.space.server.o.FollowNeighbor(l.dev, addr, &mac); err != nil {
		l.asked.forget(a)
		l.warn("Linux was given a neighbour that the device cannot have; it stays Linux's alone",
			zap.Stringer("address", addr), zap.Error(err))
	}
}

// restate takes up what others have done to permanent neighbours, and tells whether that has to be tried again.
func (sp *space) restate() (failed bool) {
	for _, l := range sp.byIndex {
		if l.restated && !l.stale {
			failed = l.restate() || failed
		}
	}
	return failed
}
