package afxdp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prepare sets the interface up for a router that sees every packet as it was on the wire, and silences the host's
// own stack on it.
func (i *Interface) prepare() error {
	// Neighbour discovery and routing protocols use multicast groups that the host has not joined.
	if err := i.membership(unix.PACKET_ADD_MEMBERSHIP, unix.PACKET_MR_ALLMULTI); err != nil {
		return privilege(fmt.Errorf("receive all multicast: %w", err))
	}
	for _, setting := range [][2]string{
		{"ipv6/addr_gen_mode", "1"}, // none: no link-local address when IPv6 is enabled again
		{"ipv6/disable_ipv6", "1"},
		{"ipv4/arp_ignore", "8"}, // answer for no address
	} {
		if err := i.sysctl(setting[0], setting[1]); err != nil {
			return privilege(fmt.Errorf("silence the host's stack: %w", err))
		}
	}
	// Merged packets fit no frame, and a stripped VLAN tag or one that the hardware filters never reaches the router.
	for _, feature := range []string{"rx-lro", "rx-gro-hw", "rx-vlan-filter", "rx-vlan-stag-filter"} {
		i.featureOff(feature)
	}
	var kept []string
	for _, feature := range []string{"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"} {
		if i.featureOff(feature) {
			kept = append(kept, feature)
		}
		i.strips = i.strips || i.hasFeature(feature)
	}
	if len(kept) > 0 {
		i.notes = append(i.notes, "VLAN tag stripping is off while the router has the interface: "+strings.Join(kept, ", "))
	}
	i.spread()
	return nil
}

// membership adds or drops a kind of reception. The kernel counts it off by itself when the daemon ends.
func (i *Interface) membership(option int, kind uint16) error {
	request := unix.PacketMreq{Ifindex: int32(i.index), Type: kind}
	return unix.SetsockoptPacketMreq(i.packet, unix.SOL_PACKET, option, &request)
}

// sysctl sets one of the interface's settings under /proc/sys/net. One that the kernel has not is skipped.
func (i *Interface) sysctl(name, value string) error {
	path := sysctlPath(i.host, name)
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	was := Setting{Sysctl, name, strings.TrimSpace(string(old))}
	if was.Old == value {
		return nil
	}
	return i.change(was, func() error { return os.WriteFile(path, []byte(value), 0) })
}

// hasFeature tells whether an offload is on.
func (i *Interface) hasFeature(feature string) bool {
	features, err := i.eth.FeaturesWithState(i.host)
	return err == nil && features[feature].Active
}

// featureOff turns an offload off where the driver has it, and tells whether it did. One that cannot be turned off is
// noted.
func (i *Interface) featureOff(feature string) bool {
	if !i.hasFeature(feature) {
		return false
	}
	err := i.change(Setting{Offload, feature, "true"}, func() error {
		if err := i.eth.Change(i.host, map[string]bool{feature: false}); err != nil {
			return err
		}
		if i.hasFeature(feature) {
			return unix.EOPNOTSUPP // the kernel reports success where it has ignored the wish
		}
		return nil
	})
	if err != nil {
		i.notes = append(i.notes, fmt.Sprintf("offload %s stays on: the driver cannot turn it off: %v", feature, err))
	}
	return err == nil
}

// flows are the kinds of packets whose receive hash is set: ethtool's names and linux/ethtool.h's numbers.
func flows() map[string]uint32 { return map[string]uint32{"tcp4": 1, "udp4": 2, "tcp6": 5, "udp6": 6} }

// spread makes the hardware choose the receive queue by addresses and ports, where it does not and the driver allows
// it.
func (i *Interface) spread() {
	for name := range flows() {
		fields, err := i.hash(i.host, name)
		if err != nil || fields == hashFields {
			continue
		}
		// A driver that does not allow it spreads by addresses, which does as well for most traffic.
		_ = i.change(Setting{Hash, name, strconv.FormatUint(fields, 10)}, func() error {
			return i.setHash(i.host, name, hashFields)
		})
	}
}

// tagLen is the VLAN tag that the host interface carries as part of its packets, where there are two.
const tagLen = 4

// RaiseMTU makes the host interface carry packets of n bytes, if it does not yet; it is never lowered before Close.
func (i *Interface) RaiseMTU(n int) error {
	if n > i.MaxMTU()+tagLen {
		return tooLarge(n, i.MaxMTU(), "")
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.present(func(device netlink.Link) error {
		was := device.Attrs().MTU
		if was < n {
			set := func() error { return i.nl.LinkSetMTU(device, n) }
			if err := i.change(Setting{MTU, "", strconv.Itoa(was)}, set); err != nil {
				return fmt.Errorf("set MTU %d of %s: %w: the driver's limit may be smaller (ip -d link show %s)",
					n, i.host, err, i.host)
			}
		}
		i.mtu = max(was, n)
		return nil
	})
}

// SetUp raises the host interface, if it is down. Close puts it down again.
func (i *Interface) SetUp() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.present(func(device netlink.Link) error {
		if device.Attrs().RawFlags&unix.IFF_UP != 0 {
			return nil
		}
		if err := i.change(Setting{Up, "", "false"}, func() error { return i.nl.LinkSetUp(device) }); err != nil {
			return fmt.Errorf("set %s up: %w", i.host, err)
		}
		return nil
	})
}

// SetPromisc makes the interface receive packets to foreign MAC addresses too, or not any more.
func (i *Interface) SetPromisc(on bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.present(func(netlink.Link) error {
		option := unix.PACKET_ADD_MEMBERSHIP
		if !on {
			option = unix.PACKET_DROP_MEMBERSHIP
		}
		if i.promisc == on {
			return nil
		}
		if err := i.membership(option, unix.PACKET_MR_PROMISC); err != nil {
			return fmt.Errorf("set promiscuous reception of %s: %w", i.host, err)
		}
		i.promisc = on
		return nil
	})
}

// present calls do with the interface as it is now, if it is there and ours. The lock is held.
func (i *Interface) present(do func(netlink.Link) error) error {
	if i.closed {
		return fmt.Errorf("%s is closed", i.host)
	}
	device, err := i.nl.LinkByIndex(i.index)
	if err != nil {
		return fmt.Errorf("%s has vanished: %w", i.host, err)
	}
	return do(device)
}
