package hostside

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"nsrouter/nstable"
)

// addr changes an address in Linux.
func (r *rig) addr(ns, dev, cidr string, change func(netlink.Link, *netlink.Addr) error) {
	r.Helper()
	r.inside(ns, func() error {
		l, err := netlink.LinkByName(dev)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		return change(l, a)
	})
}

// has waits until a device has an address, or has it no more.
func (r *rig) has(ns, dev, cidr string, want bool) {
	r.Helper()
	p := netip.MustParsePrefix(cidr)
	r.eventually(dev+" and "+cidr, func() bool { return slices.Contains(r.device(ns, dev).Addrs, p) == want })
}

// TestFollowAddresses: addresses that somebody adds in Linux, or deletes, are the device's or are not; who writes last wins.
func TestFollowAddresses(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64", "2001:db8::2/64")
	for _, cidr := range []string{"192.0.2.5/24", "192.0.2.6/24", "2001:db8:5::5/64"} {
		r.addr("red", "d1", cidr, netlink.AddrAdd)
		r.has("red", "d1", cidr, true)
	}
	r.same("added")
	for _, cidr := range []string{"10.0.0.1/24", "192.0.2.5/24", "2001:db8::1/64", "2001:db8:5::5/64"} {
		r.addr("red", "d1", cidr, netlink.AddrDel)
		r.has("red", "d1", cidr, false)
	}
	r.same("deleted")
	r.do(func(tx *nstable.Tx) error {
		return tx.DeleteAddress("red", "d1", netip.MustParsePrefix("192.0.2.6/24"))
	})
	r.same("one of Linux, deleted in the router")
	r.addr("red", "d1", "10.0.0.1/24", netlink.AddrAdd)
	r.has("red", "d1", "10.0.0.1/24", true)
	r.addresses("red", "d1", "10.0.0.2/24")
	r.same("added by both")
	r.addr("red", "lo", "10.255.0.1/32", netlink.AddrAdd)
	r.has("red", "lo", "10.255.0.1/32", true)
	r.addr("red", "lo", "10.255.0.1/32", netlink.AddrDel)
	r.has("red", "lo", "10.255.0.1/32", false)
	if n := r.logs.Len(); n != 0 {
		t.Errorf("%d messages: %v", n, r.logs.All())
	}
	// One end of a point-to-point link is nothing that the router has.
	r.addr("red", "d1", "10.9.0.1/32", func(l netlink.Link, a *netlink.Addr) error {
		a.Peer = &net.IPNet{IP: net.IP{10, 9, 0, 2}, Mask: net.CIDRMask(32, 32)}
		return netlink.AddrAdd(l, a)
	})
	r.addr("red", "d1", "10.0.0.3/24", netlink.AddrAdd)
	r.has("red", "d1", "10.0.0.3/24", true)
	r.has("red", "d1", "10.9.0.1/32", false)
}

// TestAddressesStay: what Linux itself takes away, with a link that goes down or whose IPv6 it ends, is not taken from the
// device, and is there again in Linux.
func TestAddressesStay(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64")
	addrs := r.device("red", "d1").Addrs
	check := func(when string) {
		t.Helper()
		for range 2 { // what the kernel tells last takes a moment
			for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				d, shown, wanted := r.device("red", "d1"), r.shown("red"), r.wanted("red")
				if d.Up && d.MTU == 1500 && slices.Equal(d.Addrs, addrs) && shown == wanted {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s: Linux has\n%sthe router\n%swant %v; messages: %v", when, shown, wanted, addrs, r.logs.All())
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	change := func(f func(netlink.Link) error) {
		t.Helper()
		r.addr("red", "d1", "10.0.0.1/24", func(l netlink.Link, _ *netlink.Addr) error { return f(l) })
	}
	up := func(want bool) {
		t.Helper()
		r.eventually("the device's state", func() bool { return r.device("red", "d1").Up == want })
	}
	change(netlink.LinkSetDown)
	up(false)
	change(netlink.LinkSetUp)
	up(true)
	check("down and up in Linux")
	change(netlink.LinkSetDown)
	change(netlink.LinkSetUp)
	check("down and up at once")
	change(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1000) }) // Linux ends IPv6, and the device keeps its MTU
	r.eventually("a message", func() bool { return r.logs.FilterMessageSnippet("put back").Len() == 1 })
	check("with a small MTU")
	change(func(l netlink.Link) error {
		if err := netlink.LinkSetMTU(l, 1000); err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, 1500)
	})
	check("with a small MTU for a moment")
	for _, value := range []string{"1", "0"} {
		r.inside("red", func() error { return write(sysctl{"ipv6/conf", "disable_ipv6", value}, "d1") })
	}
	check("without IPv6 for a moment")
	r.inside("red", func() error { return write(sysctl{"ipv6/conf", "disable_ipv6", "1"}, "d1") })
	check("IPv6 was ended")
	change(netlink.LinkDel)
	r.eventually("a message", func() bool { return r.logs.FilterMessageSnippet("deleted").Len() == 1 })
	check("deleted")
}
