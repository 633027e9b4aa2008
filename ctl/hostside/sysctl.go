package hostside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
)

// sysctl is a setting below /proc/sys/net.
type sysctl struct{ dir, name, value string }

// linkSettings are those of a TAP: only the router speaks ARP and ND, and forwards.
func linkSettings() []sysctl {
	const conf4, conf6 = "ipv4/conf", "ipv6/conf"
	list := []sysctl{
		{conf4, "arp_ignore", "8"}, // no answer for any address
		{conf4, "rp_filter", "0"},  // the router's own, and its way back may be by another device
		{conf4, "forwarding", "0"},
		{conf4, "accept_redirects", "0"},
		{conf4, "promote_secondaries", "1"}, // as addresses of a device do not depend on each other
		{conf6, "disable_ipv6", "0"},
		{conf6, "addr_gen_mode", "1"}, // none: the router makes the link-local address
		{conf6, "accept_dad", "0"},    // the router has tried the addresses
		{conf6, "dad_transmits", "0"},
		{conf6, "accept_ra", "0"},
		{conf6, "accept_redirects", "0"},
		{conf6, "forwarding", "0"},
		{conf6, "keep_addr_on_down", "1"}, // as the router does
	}
	for _, dir := range []string{"ipv4/neigh", "ipv6/neigh"} {
		list = append(list,
			sysctl{dir, "ucast_solicit", "0"},
			sysctl{dir, "mcast_solicit", "0"},
			sysctl{dir, "app_solicit", "3"}) // RTM_GETNEIGH instead, as often as a solicitation
	}
	return list
}

// prepareLink makes the settings of a TAP, in the thread's namespace.
func prepareLink(name string) error {
	for _, s := range linkSettings() {
		if err := write(s, name); err != nil {
			return err
		}
	}
	return nil
}

// prepareNamespace makes what TAPs need of the thread's namespace.
func prepareNamespace() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return errors.Join(
		write(sysctl{"ipv4/conf", "rp_filter", "0"}, "all"), // the larger one of all and the link counts
		// Errors that wait for a neighbour use up the socket for ICMP of the CPU, which is that of all namespaces of the kernel
		// (net/ipv4/icmp.c, ipv4_icmp_sk): a flood from forged senders at a closed port would keep back the answers of all. Some
		// 170 errors fill it, and a neighbour that is not there takes three seconds. Older kernels have these for all namespaces
		// together, and not in here.
		write(sysctl{"ipv4", "icmp_msgs_per_sec", "25"}, ""),
		write(sysctl{"ipv4", "icmp_msgs_burst", "10"}, ""))
}

func write(s sysctl, of string) error {
	path := filepath.Join("/proc/sys/net", s.dir, of, s.name)
	err := os.WriteFile(path, []byte(s.value), 0)
	if errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6 has no such settings
		err = nil
	}
	return err
}
