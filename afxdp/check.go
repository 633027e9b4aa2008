package afxdp

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// check refuses an interface that cannot be taken over, or, unless forced, had better not be. It changes nothing.
func (i *Interface) check(force bool) (*netlink.LinkAttrs, error) {
	if i.host == "" {
		return nil, errors.New("no interface is named: give its name")
	}
	device, err := i.nl.LinkByName(i.host)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, errors.New("no such interface in the daemon's Linux network namespace (ip link)")
	}
	if err != nil {
		return nil, fmt.Errorf("look the interface up: %w", err)
	}
	a := device.Attrs()
	i.host = a.Name // it may have been found by an alternative name
	switch {
	case a.EncapType != "ether" || len(a.HardwareAddr) != 6:
		return nil, fmt.Errorf("not an Ethernet interface but %s: choose another", a.EncapType)
	case a.Xdp != nil && a.Xdp.Attached:
		return nil, fmt.Errorf("it has an XDP program already, id %d: another program holds it (ip -d link show %s)",
			a.Xdp.ProgId, i.host)
	case a.MTU > frame.MaxChain-frame.MaxPacket+frame.MaxLinkMTU:
		return nil, tooLarge(a.MTU, frame.JumboMTU, fmt.Sprintf(": ip link set %s mtu %d", i.host, frame.JumboMTU))
	}
	if force {
		return a, nil
	}
	return a, i.checkUse(device)
}

// checkUse refuses an interface that the host itself uses.
func (i *Interface) checkUse(device netlink.Link) error {
	a := device.Attrs()
	if a.MasterIndex != 0 {
		master := fmt.Sprintf("of ifindex %d", a.MasterIndex)
		if m, err := i.nl.LinkByIndex(a.MasterIndex); err == nil {
			master = m.Attrs().Name
		}
		return fmt.Errorf("it belongs to master %s: ip link set %s nomaster, or add force", master, i.host)
	}
	usesDefault, err := i.carriesDefault(a.Index)
	if err != nil {
		return fmt.Errorf("look at the host's routes: %w", err)
	}
	if usesDefault {
		return errors.New("it carries the host's default route, and the host could be cut off: choose another, or add force")
	}
	addresses, err := i.nl.AddrList(device, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("look at its addresses: %w", err)
	}
	var own []string
	for _, address := range addresses {
		// The kernel makes fe80:: addresses by itself.
		if address.IP.To4() != nil || !address.IP.IsLinkLocalUnicast() {
			own = append(own, address.IPNet.String())
		}
	}
	if len(own) > 0 {
		return fmt.Errorf("it has addresses of the host (%s): ip addr flush dev %s, or add force",
			strings.Join(own, ", "), i.host)
	}
	return nil
}

// carriesDefault tells whether a default route of any table goes out by the interface.
func (i *Interface) carriesDefault(index int) (bool, error) {
	found := false
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all := netlink.Route{Table: unix.RT_TABLE_UNSPEC}
		err := i.nl.RouteListFilteredIter(family, &all, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if !isDefault(r.Dst) {
				return true
			}
			found = found || r.LinkIndex == index
			for _, hop := range r.MultiPath {
				found = found || hop.LinkIndex == index
			}
			return !found
		})
		// An interrupted dump means that routes changed meanwhile; what was seen is as good as any instant.
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return false, err
		}
	}
	return found, nil
}

func isDefault(destination *net.IPNet) bool {
	if destination == nil {
		return true
	}
	ones, _ := destination.Mask.Size()
	return ones == 0
}

// tooLarge refuses an MTU beyond a limit; mend ends the sentence.
func tooLarge(mtu, limit int, mend string) error {
	if limit < frame.JumboMTU {
		mend += ", since driver or kernel do not have packets of more frames in this mode (the daemon's log says which)"
	}
	return fmt.Errorf("MTU %d: at most %d is possible%s", mtu, limit, mend)
}
