package afxdp

import (
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

// hash returns what packets of the flow named are spread by.
func (i *Interface) hash(host, flow string) (fields uint64, err error) {
	h := flowHash{command: unix.ETHTOOL_GRXFH, flow: flows()[flow]}
	err = i.hashCommand(host, &h)
	return h.fields, err
}

func (i *Interface) setHash(host, flow string, fields uint64) error {
	return i.hashCommand(host, &flowHash{command: unix.ETHTOOL_SRXFH, flow: flows()[flow], fields: fields})
}

// hashCommand runs one command on the interface.
func (i *Interface) hashCommand(host string, h *flowHash) error {
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
