package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// receiveBuffer is how much of the kernel's messages may wait in a socket, in bytes as the kernel counts them (about 1 KiB a
// route). What finds it full is lost, which leads to a resync: it bounds what a flood takes.
const receiveBuffer = 16 << 20

// dumpTimeout bounds the wait for the kernel's next answer, in seconds.
const dumpTimeout = 10

// groups are the multicast groups of what is learned.
//
//nolint:gochecknoglobals // a constant list
var groups = []int{
	unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_IPV4_IFADDR,
}

// listen opens a socket for the kernel's messages, in the thread's namespace.
func listen() (*os.File, error) {
	fd, err := routeSocket(unix.SOCK_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make room for messages: %w", err)
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			unix.Close(fd)
			return nil, fmt.Errorf("join netlink group %d: %w", g, err)
		}
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

func routeSocket(flags int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, fmt.Errorf("netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind netlink socket: %w", err)
	}
	return fd, nil
}

// asker asks the kernel. It is for one goroutine.
type asker struct {
	fd       int
	sequence uint32
}

// newAsker opens the socket, in the thread's namespace.
func newAsker() (*asker, error) {
	fd, err := routeSocket(0)
	if err != nil {
		return nil, err
	}
	timeout := unix.Timeval{Sec: dumpTimeout}
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		// Requests say what is wanted of the dump.
		unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1),
	)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &asker{fd: fd}, nil
}

func (a *asker) close() { unix.Close(a.fd) }

// errInterrupted says that what was dumped changed meanwhile, so that some of it may be missing.
var errInterrupted = errors.New("interrupted dump")

// dump calls each for each object of a kind that the kernel has. A dump that was interrupted is an errInterrupted, after
// the last object.
func (a *asker) dump(kind uint16, body []byte, buffer []byte, each func(message) error) error {
	a.sequence++
	request := appendMessage(nil, kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, a.sequence, body)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(a.fd, request, 0, kernel); err != nil {
		return err
	}
	interrupted := false
	for {
		n, err := a.receive(buffer)
		if err != nil {
			return err
		}
		for m := range messages(buffer[:n]) {
			if m.sequence != a.sequence {
				continue // of a dump that failed
			}
			interrupted = interrupted || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_DONE:
				if interrupted {
					return errInterrupted
				}
				return answer(m.body)
			case unix.NLMSG_ERROR:
				return answer(m.body)
			}
			if err := each(m); err != nil {
				return err
			}
		}
	}
}

// noLink is an ifindex that no interface has.
const noLink = 1<<31 - 1

// barrier returns when what the kernel was about to do to links when it was called is done, routes that go with them
// included: it tells of a link that goes down before it removes those, and does both under the lock that this takes.
func (a *asker) barrier(buffer []byte) error {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], noLink)
	if err := a.request(unix.RTM_SETLINK, unix.NLM_F_ACK, body, buffer); !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("wait for the kernel: %w", err)
	}
	return nil
}

// request makes a request that is answered with NLMSG_ERROR.
func (a *asker) request(kind, flags uint16, body, buffer []byte) error {
	a.sequence++
	request := appendMessage(nil, kind, unix.NLM_F_REQUEST|flags, a.sequence, body)
	if err := unix.Sendto(a.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, err := a.receive(buffer)
		if err != nil {
			return err
		}
		for m := range messages(buffer[:n]) {
			if m.sequence == a.sequence && m.kind == unix.NLMSG_ERROR {
				return answer(m.body)
			}
		}
	}
}

func (a *asker) receive(buffer []byte) (int, error) {
	for {
		n, _, flags, from, err := unix.Recvmsg(a.fd, buffer, nil, 0)
		switch source, ok := from.(*unix.SockaddrNetlink); {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, fmt.Errorf("the kernel does not answer within %v", dumpTimeout*time.Second)
		case err != nil:
			return 0, err
		case !ok || source.Pid != 0:
			continue
		case flags&unix.MSG_TRUNC != 0:
			return 0, fmt.Errorf("a message of the kernel is longer than %d bytes", len(buffer))
		}
		return n, nil
	}
}

// answer is the error in the body of NLMSG_ERROR or NLMSG_DONE, a negative errno first.
func answer(body []byte) error {
	if code := int32(number32(body)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
