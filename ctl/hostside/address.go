package hostside

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// linuxAddress is an address of a link, as Linux has it.
type linuxAddress struct {
	prefix   netip.Prefix // not masked
	protocol uint8        // IFA_PROTO: who made it
	flags    uint32       // IFA_F_*
	peer     bool         // it is one end of a point-to-point link
}

// Addresses that the kernel makes: of the loopback, of router advertisements, link-local ones (linux/if_addr.h).
const (
	protocolLinkLocal = 3
	kernelProtocols   = 4 // all below
)

// follows tells whether an address that the router did not make is to be one of the device: what an administrator or a
// DHCP client has added. What Linux makes by itself is not.
func (a linuxAddress) follows() bool {
	var others uint32 = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED
	if a.prefix.Addr().Is6() {
		others |= unix.IFA_F_TEMPORARY // of IPv4 it says "secondary"
	}
	return !a.peer && a.flags&others == 0 && (a.protocol == 0 || a.protocol >= kernelProtocols)
}

// forget6 has the IPv6 addresses that the device has put into Linux again, which does not harm those that are there.
func (l *link) forget6() {
	for p := range l.addrs {
		if p.Addr().Is6() && slices.Contains(l.dev.Addrs, p) {
			delete(l.addrs, p)
		}
	}
}

// address makes the addresses in Linux those of the device. Others, which the device never had, stay.
func (l *link) address() error {
	var errs []error
	for p := range l.addrs {
		if slices.Contains(l.dev.Addrs, p) {
			continue
		}
		if err := l.space.raw.deleteAddress(l.index, p); err != nil {
			errs = append(errs, fmt.Errorf("delete address %s: %w", p, err))
			continue
		}
		delete(l.addrs, p)
	}
	for _, p := range l.dev.Addrs {
		if l.addrs[p] || p.Addr().Is6() && l.have.mtu < minMTU6 && l.tap != nil {
			continue
		}
		if err := l.space.raw.addAddress(l.index, p); err != nil {
			errs = append(errs, fmt.Errorf("add address %s: %w", p, err))
			continue
		}
		l.addrs[p] = true
	}
	return errors.Join(errs...)
}

// renew6 has the IPv6 settings and addresses of the link made again, which Linux has made anew.
func (l *link) renew6() {
	l.forget6()
	l.stale = true
	if l.tap != nil {
		l.report("prepare", l.prepare())
	}
}

// readdress takes up what others have done to the addresses of the link, which is up to date but for that. It tells
// whether that could not be found out.
func (l *link) readdress() (failed bool) {
	list, err := l.space.raw.addresses(l.index)
	if err != nil {
		l.report("read its addresses", err)
		return true
	}
	// Not before: the kernel removes the addresses of a link that is about to go, and this waits until it is gone.
	is, err := l.space.nl.LinkByIndex(l.index)
	if err != nil {
		return false // look finds out
	}
	l.readdressed = false
	there := make(map[netip.Prefix]bool, len(list))
	var added []netip.Prefix
	for _, a := range list {
		if a.protocol == protocolLinkLocal && l.addrs[a.prefix] { // instead of ours: Linux has made the link's IPv6 anew
			l.report("delete Linux's link-local address", l.space.raw.deleteAddress(l.index, a.prefix))
			continue
		}
		there[a.prefix] = true
		switch {
		case l.addrs[a.prefix] || !a.follows():
		case slices.Contains(l.dev.Addrs, a.prefix):
			l.addrs[a.prefix] = true
		case l.again || !l.refused[a.prefix]:
			added = append(added, a.prefix)
		}
	}
	l.added(added, there)
	l.missing(there, stateOf(is))
	return len(l.refused) > 0
}

// maxRefusals is how many addresses are tried in vain before the others are taken to be in vain as well: each one costs a
// transaction, and programs may add any number.
const maxRefusals = 64

// added takes up addresses that others have added; there are all in Linux. What is refused is tried again, without a word,
// only when the device's addresses have changed, or after a while.
func (l *link) added(addrs []netip.Prefix, there map[netip.Prefix]bool) {
	vain := 0
	for _, p := range addrs {
		if vain < maxRefusals && l.followAddress(p, true) {
			delete(l.refused, p)
			continue
		}
		vain++
		if l.refused == nil {
			l.refused = make(map[netip.Prefix]bool)
		}
		l.refused[p] = true
	}
	maps.DeleteFunc(l.refused, func(p netip.Prefix, _ bool) bool { return !there[p] })
	l.again = false
}

// missing takes up that addresses of the device are not in Linux any more.
func (l *link) missing(there map[netip.Prefix]bool, is state) {
	// Linux removes those of IPv6 by itself where it ends IPv6 on the link, and the link-local one when that goes down.
	anew := false
	var gone []netip.Prefix
	for p := range l.addrs {
		switch {
		case there[p] || !slices.Contains(l.dev.Addrs, p):
		case p.Addr().Is6() && p.Addr().IsLinkLocalUnicast():
			anew = true
		default:
			gone = append(gone, p)
		}
	}
	for _, p := range gone {
		if p.Addr().Is4() || !anew && is.up && is.mtu >= minMTU6 {
			l.followAddress(p, false)
		}
	}
	if anew {
		l.renew6()
		l.space.poke()
	}
}

// followAddress makes what others have done to an address in Linux true of the device, or takes it that it cannot be: false.
func (l *link) followAddress(p netip.Prefix, added bool) bool {
	err := l.space.server.o.FollowAddress(l.dev, p, added)
	switch {
	case err == nil && added:
		l.addrs[p] = true
	case err == nil:
		delete(l.addrs, p)
	case added && l.refused[p]: // told already
	case added:
		l.warn("Linux was given an address that the device cannot have; it stays Linux's alone",
			zap.Stringer("address", p), zap.Error(err))
	default:
		l.warn("Linux has lost an address that the device keeps; it is put back", zap.Stringer("address", p), zap.Error(err))
		delete(l.addrs, p)
		l.stale = true
		l.space.poke()
	}
	return err == nil
}

// readdress takes up what others have done to addresses, and tells whether that has to be tried again.
func (sp *space) readdress() (failed bool) {
	for _, l := range sp.links {
		if (l.readdressed || l.again) && !l.stale && l.index != 0 {
			failed = l.readdress() || failed
		}
	}
	return failed
}

// addressOf is what a message says of an address; the link is 0 where it says nothing of use.
func addressOf(data []byte) (link int, a linuxAddress) {
	if len(data) < unix.SizeofIfAddrmsg {
		return 0, a
	}
	msg := nl.DeserializeIfAddrmsg(data)
	attrs, err := nl.ParseRouteAttr(data[msg.Len():])
	if err != nil {
		return 0, a
	}
	var local, addr netip.Addr
	a.flags = uint32(msg.Flags)
	for _, at := range attrs {
		switch at.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(at.Value)
		case unix.IFA_FLAGS:
			if len(at.Value) == 4 {
				a.flags = binary.NativeEndian.Uint32(at.Value)
			}
		case ifaProto:
			if len(at.Value) == 1 {
				a.protocol = at.Value[0]
			}
		}
	}
	if !local.IsValid() { // IPv6 has it only with a peer
		local = addr
	}
	if !local.IsValid() {
		return 0, a
	}
	a.peer = addr.IsValid() && addr != local
	a.prefix = netip.PrefixFrom(local, int(msg.Prefixlen))
	return int(msg.Index), a
}
