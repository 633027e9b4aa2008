package hostside

import (
	"errors"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// AddressProtocol is the IFA_PROTO of the addresses that the router has put into Linux (kernels since 5.18), 0x6e; the
// kernel's own are below 4 (linux/if_addr.h).
const AddressProtocol = 0x6e

const (
	ifaProto    = 11 // IFA_PROTO of linux/if_addr.h
	iflaCarrier = 33 // IFLA_CARRIER of linux/if_link.h
)

// requestTimeout bounds the wait for an answer of the kernel, in seconds.
const requestTimeout = 10

// requests are the netlink messages that the library cannot make. They are for one goroutine.
type requests struct{ sockets map[int]*nl.SocketHandle }

// newRequests opens the socket, in the thread's namespace.
func newRequests() (*requests, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	timeout := unix.Timeval{Sec: requestTimeout}
	if err := errors.Join(s.SetReceiveTimeout(&timeout), s.SetSendTimeout(&timeout)); err != nil {
		s.Close()
		return nil, err
	}
	return &requests{sockets: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}, nil
}

func (r *requests) close() { r.sockets[unix.NETLINK_ROUTE].Close() }

func (r *requests) do(kind, flags int, parts ...nl.NetlinkRequestData) ([][]byte, error) {
	req := nl.NewNetlinkRequest(kind, flags)
	req.Sockets = r.sockets
	for _, p := range parts {
		req.AddData(p)
	}
	return req.Execute(unix.NETLINK_ROUTE, 0)
}

// addAddress adds an address that is usable at once; one that is there stays as it is.
func (r *requests) addAddress(index int, p netip.Prefix) error {
	msg := addressMessage(index, p)
	msg.Flags = unix.IFA_F_NODAD
	if p.Addr().Is4() && p.Addr().IsLoopback() {
		msg.Scope = unix.RT_SCOPE_HOST
	}
	a := p.Addr().AsSlice()
	_, err := r.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, msg,
		nl.NewRtAttr(unix.IFA_LOCAL, a), nl.NewRtAttr(unix.IFA_ADDRESS, a), nl.NewRtAttr(ifaProto, []byte{AddressProtocol}))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// deleteAddress deletes an address; no fault if it is not there.
func (r *requests) deleteAddress(index int, p netip.Prefix) error {
	a := p.Addr().AsSlice()
	_, err := r.do(unix.RTM_DELADDR, unix.NLM_F_ACK, addressMessage(index, p),
		nl.NewRtAttr(unix.IFA_LOCAL, a), nl.NewRtAttr(unix.IFA_ADDRESS, a))
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func addressMessage(index int, p netip.Prefix) *nl.IfAddrmsg {
	family := unix.AF_INET
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	msg := nl.NewIfAddrmsg(family)
	msg.Index, msg.Prefixlen = uint32(index), uint8(p.Bits())
	return msg
}

// addresses lists the addresses of a link.
func (r *requests) addresses(index int) (list []linuxAddress, err error) {
	answers, err := r.do(unix.RTM_GETADDR, unix.NLM_F_DUMP, nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if err != nil {
		return nil, err
	}
	for _, b := range answers {
		if link, a := addressOf(b); link == index {
			list = append(list, a)
		}
	}
	return list, nil
}

// setCarrier tells Linux whether a TAP has a link.
func (r *requests) setCarrier(index int, on bool) error {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(index)
	value := byte(0)
	if on {
		value = 1
	}
	_, err := r.do(unix.RTM_SETLINK, unix.NLM_F_ACK, msg, nl.NewRtAttr(iflaCarrier, []byte{value}))
	return err
}

// neighbor changes a neighbour that Linux has: mac counts where state is valid. It is an error that is ENOENT if Linux has
// none.
func (r *requests) neighbor(index int, addr netip.Addr, mac [6]byte, nud uint16, router bool) error {
	msg := &netlink.Ndmsg{Family: familyOf(addr), Index: uint32(index), State: nud}
	if router {
		msg.Flags = netlink.NTF_ROUTER
	}
	parts := []nl.NetlinkRequestData{msg, nl.NewRtAttr(netlink.NDA_DST, addr.AsSlice())}
	if nud != netlink.NUD_FAILED {
		parts = append(parts, nl.NewRtAttr(netlink.NDA_LLADDR, mac[:]))
	}
	_, err := r.do(unix.RTM_NEWNEIGH, unix.NLM_F_REPLACE|unix.NLM_F_ACK, parts...)
	return err
}

// deleteNeighbor has Linux ask anew; no fault if it has none.
func (r *requests) deleteNeighbor(index int, addr netip.Addr) error {
	msg := &netlink.Ndmsg{Family: familyOf(addr), Index: uint32(index)}
	_, err := r.do(unix.RTM_DELNEIGH, unix.NLM_F_ACK, msg, nl.NewRtAttr(netlink.NDA_DST, addr.AsSlice()))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func familyOf(addr netip.Addr) uint8 {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
