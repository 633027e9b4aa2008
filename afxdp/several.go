package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// Packets of several frames (XDP_USE_SG) are in Linux since 6.6. Where the kernel copies, any interface has them whose driver
// takes a program that knows of them; without a copy, those whose driver says that it sends more than one.

// several is how many frames a packet may have in a mode, and why it is no more than one.
func (i *Interface) severalIn(mode Mode) (n int, why error) {
	if !i.kernelHas(i.several) {
		return 1, errors.New("the kernel does not have packets of several frames (Linux 6.6 has)")
	}
	if mode != ZeroCopy {
		return frame.MaxPieces, nil
	}
	if n = min(zeroCopySegments(i.index), frame.MaxPieces); n <= 1 {
		return 1, errors.New("the driver does not send packets of several frames without a copy (mode copy has them)")
	}
	return n, nil
}

// kernelHas tells whether the kernel knows a flag of bind: it looks at the flags first, and then finds no such interface.
func (i *Interface) kernelHas(flag uint16) bool {
	fd, err := newSocket()
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	const noInterface = 1<<31 - 1
	err = unix.Bind(fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY | flag, Ifindex: noInterface})
	return errors.Is(err, unix.ENODEV)
}

// Of the netdev family of generic netlink (linux/netdev.h).
const (
	netdevDevGet    = 1 // NETDEV_CMD_DEV_GET
	netdevIfindex   = 1 // NETDEV_A_DEV_IFINDEX
	netdevZCMaxSegs = 4 // NETDEV_A_DEV_XDP_ZC_MAX_SEGS
)

// zeroCopySegments is how many frames a packet may have that the interface's driver sends without a copy; 0 where it
// sends none, or the kernel does not tell.
func zeroCopySegments(ifindex int) int {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return 0
	}
	request := nl.NewNetlinkRequest(int(family.ID), 0)
	request.AddData(&nl.Genlmsg{Command: netdevDevGet, Version: uint8(family.Version)})
	request.AddData(nl.NewRtAttr(netdevIfindex, binary.NativeEndian.AppendUint32(nil, uint32(ifindex))))
	answers, err := request.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) == 0 || len(answers[0]) < nl.SizeofGenlmsg {
		return 0
	}
	attributes, err := nl.ParseRouteAttr(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		return 0
	}
	for _, a := range attributes {
		if a.Attr.Type == netdevZCMaxSegs && len(a.Value) >= 4 {
			return int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return 0
}

// MaxMTU is the largest MTU of a device by the interface, bytes: what its packets have room for behind an Ethernet header with
// two VLAN tags.
func (i *Interface) MaxMTU() int {
	return min(i.pieces*frame.MaxPacket-frame.MaxPacket+frame.MaxMTU, frame.JumboMTU)
}

// tryMost is try with packets of as many frames as can be had in a mode.
func (i *Interface) tryMost(mode Mode, owners []queueOwners, c *frame.Cache) error {
	var why error
	if i.pieces, why = i.severalIn(mode); i.pieces > 1 {
		why = i.tryOrUndo(mode, owners, c)
		var refused *modeError
		if !errors.As(why, &refused) {
			return why
		}
		i.pieces = 1
	}
	if i.mtu > i.MaxMTU()+tagLen {
		return &modeError{fmt.Errorf("MTU %d: %w: ip link set %s mtu %d", i.mtu, why, i.host, i.MaxMTU())}
	}
	if err := i.tryOrUndo(mode, owners, c); err != nil {
		return err
	}
	i.notes = append(i.notes, fmt.Sprintf("the MTU is at most %d: %v", i.MaxMTU(), why))
	return nil
}
