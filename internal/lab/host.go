package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsrouter/internal/netns"
)

// Host is a Linux network namespace of a lab. Its loopback is up, and duplicate address detection is off, so that
// addresses can be used at once.
type Host struct {
	Name string // within the lab
	NS   *netns.Handle
	lab  *Lab
	nl   *netlink.Handle
}

// Host makes a namespace, named after the lab and name.
func (l *Lab) Host(name string) *Host {
	l.t.Helper()
	full := l.Prefix + name
	ns, err := netns.Create(full)
	if err != nil {
		l.t.Fatalf("host %s: %v", name, err)
	}
	l.onClose(func() {
		endProcesses(ns.Inode())
		ns.Close()
		if err := netns.Delete(full); err != nil {
			l.t.Logf("lab: %v", err)
		}
	})
	h := &Host{Name: name, NS: ns, lab: l}
	h.must("open netlink", ns.Do(func() (err error) {
		h.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	}))
	l.onClose(h.nl.Close)
	for _, conf := range []string{"all", "default"} {
		h.Sysctl("net.ipv6.conf."+conf+".accept_dad", "0")
		h.Sysctl("net.ipv6.conf."+conf+".dad_transmits", "0")
	}
	lo, err := h.nl.LinkByName("lo")
	h.must("find lo", err)
	h.must("set lo up", h.nl.LinkSetUp(lo))
	return h
}

// NetnsName is the name of the namespace for `ip netns exec`.
func (h *Host) NetnsName() string { return h.lab.Prefix + h.Name }

// must ends the test if a step has failed.
func (h *Host) must(step string, err error) {
	h.lab.t.Helper()
	if err != nil {
		h.lab.t.Fatalf("host %s: %s: %v", h.Name, step, err)
	}
}

// Sysctl sets a setting of the namespace, as `sysctl -w` does.
func (h *Host) Sysctl(key, value string) {
	h.lab.t.Helper()
	path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
	h.must("set "+key, h.NS.Do(func() error { return os.WriteFile(path, []byte(value), 0) }))
}

// Route adds a route: to is a prefix, or "default" in the family of via; via is an address.
func (h *Host) Route(to, via string) {
	h.lab.t.Helper()
	gateway, err := netip.ParseAddr(via)
	h.must("add route", err)
	prefix := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if gateway.Is6() {
		prefix = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	if to != "default" {
		prefix, err = netip.ParsePrefix(to)
		h.must("add route", err)
	}
	h.must("add route "+to+" via "+via, h.nl.RouteAdd(&netlink.Route{Dst: ipNet(prefix), Gw: gateway.AsSlice()}))
}

// Neighbor adds a permanent neighbour on an interface of the host.
func (h *Host) Neighbor(dev, addr, mac string) {
	h.lab.t.Helper()
	hw, err := net.ParseMAC(mac)
	h.must("add neighbour", err)
	h.must("add neighbour "+addr, h.nl.NeighSet(&netlink.Neigh{
		LinkIndex: h.Interface(dev).Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(addr), HardwareAddr: hw,
	}))
}

// Interface looks up an interface of the host as it is now.
func (h *Host) Interface(name string) *Interface {
	h.lab.t.Helper()
	link, err := h.nl.LinkByName(name)
	h.must("find "+name, err)
	return &Interface{Host: h, Name: name, Index: link.Attrs().Index, MAC: link.Attrs().HardwareAddr, link: link}
}

// Interfaces returns the names of the host's interfaces, lo included.
func (h *Host) Interfaces() []string {
	h.lab.t.Helper()
	links, err := h.nl.LinkList()
	h.must("list interfaces", err)
	names := make([]string, len(links))
	for i, link := range links {
		names[i] = link.Attrs().Name
	}
	return names
}

// WriteSysfs writes a file of /sys/class/net as the host sees it: name is relative to that, as "eth0/threaded". A sysfs
// shows the namespace in which it was mounted, so one is mounted for the occasion, at no place.
func (h *Host) WriteSysfs(name, value string) {
	h.lab.t.Helper()
	h.must("write sysfs "+name, h.NS.Do(func() error {
		fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
		if err != nil {
			return fmt.Errorf("fsopen: %w", err)
		}
		defer unix.Close(fs)
		if err := unix.FsconfigCreate(fs); err != nil {
			return fmt.Errorf("fsconfig: %w", err)
		}
		root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("fsmount: %w", err)
		}
		defer unix.Close(root)
		fd, err := unix.Openat(root, filepath.Join("class/net", name), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte(value))
		return err
	}))
}

// ipNet is p with its host bits cleared, as netlink takes it.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
