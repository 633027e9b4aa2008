package procfs

import (
	"net"

	"nsrouter/dataplane/neigh"
	"nsrouter/nstable"
)

// Flags and hardware type: ATF_COM and ATF_PERM of linux/if_arp.h, ARPHRD_ETHER.
const (
	neighborComplete, neighborPermanent = 0x02, 0x04
	ethernet                            = 1
)

// writeARP is /proc/net/arp: arp_format_neigh_entry of the kernel's net/ipv4/arp.c.
func writeARP(s *space, o *output) error {
	o.printf("IP address       HW type     Flags       HW address            Mask     Device\n")
	return writeNeighbors(s, o, "%-16s 0x%-10x0x%-10x%-17s     *        %s\n", true)
}

// writeNDisc has the columns of /proc/net/arp for IPv6, the first one wider.
func writeNDisc(s *space, o *output) error {
	o.printf("IP address                              HW type     Flags       HW address            Mask     Device\n")
	return writeNeighbors(s, o, "%-39s 0x%-10x0x%-10x%-17s     *        %s\n", false)
}

func writeNeighbors(s *space, o *output, format string, is4 bool) error {
	list, err := s.tree.Table.Neighbors(s.name, "")
	if err != nil {
		return err
	}
	for i := range list {
		n := &list[i]
		if n.Addr.Is4() != is4 || n.State == neigh.NoARP { // NEIGH_SEQ_SKIP_NOARP
			continue
		}
		o.printf(format, n.Addr, ethernet, neighborFlags(n), net.HardwareAddr(n.MAC[:]), n.Device)
		if err := o.ready(); err != nil {
			return err
		}
	}
	return nil
}

// neighborFlags is arp_state_to_flags.
func neighborFlags(n *nstable.NeighborInfo) int {
	switch {
	case n.State == neigh.Permanent:
		return neighborPermanent | neighborComplete
	case n.State.Valid():
		return neighborComplete
	}
	return 0
}
