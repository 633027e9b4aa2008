package afxdp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// flowHash is the head of struct ethtool_rxnfc (linux/ethtool.h), all that the two commands here use; the rest pads
// it to what kernels may copy.
type flowHash struct {
	command uint32
	flow    uint32
	fields  uint64
	_       [192]byte
}

// hashFields is what packets are spread over queues by: both addresses and both ports (RXH_IP_SRC, RXH_IP_DST,
// RXH_L4_B_0_1, RXH_L4_B_2_3).
const hashFields = 1<<4 | 1<<5 | 1<<6 | 1<<7

// spread makes the hardware choose the receive queue by addresses and ports, where it does not and the driver allows
// it.
func (i *Interface) spread() {
	flows := map[uint32]string{1: "TCP over IPv4", 2: "UDP over IPv4", 5: "TCP over IPv6", 6: "UDP over IPv6"}
	for flow, name := range flows {
		was := flowHash{command: unix.ETHTOOL_GRXFH, flow: flow}
		if i.hash(i.host, &was) != nil || was.fields == hashFields {
			continue
		}
		if i.hash(i.host, &flowHash{command: unix.ETHTOOL_SRXFH, flow: flow, fields: hashFields}) == nil {
			i.undo = append(i.undo, undo{fmt.Sprintf("receive hash for %s", name), func(host string) error {
				return i.hash(host, &flowHash{command: unix.ETHTOOL_SRXFH, flow: flow, fields: was.fields})
			}})
		}
	}
}

// hash runs one command on the interface.
func (i *Interface) hash(host string, h *flowHash) error {
	var request struct {
		name [unix.IFNAMSIZ]byte
		data *flowHash
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], host)
	request.data = h
	// The packet socket is one of the right Linux network namespace.
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(i.packet), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	return errnoError(errno)
}
