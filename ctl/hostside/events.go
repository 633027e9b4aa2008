package hostside

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// heard is what the kernel has told, and run has not yet taken up.
type heard struct {
	mu    sync.Mutex
	links map[int]bool // ifindexes of links that have changed
	addrs map[int]bool // those whose addresses have changed, not by the router
	// neighs are those whose permanent neighbours may have changed: true if there is one, false if one of any kind is gone.
	neighs map[int]bool
	lost   bool              // messages were lost: all may have changed
	asks   map[question]bool // neighbours that Linux asks for
}

// question is a neighbour behind a link of Linux.
type question struct {
	index int
	addr  netip.Addr
}

// maxAsks bounds the neighbours that wait to be taken up; Linux asks again for the others after a second.
const maxAsks = 1024

// subscribe opens a socket that hears of links, addresses and neighbours, in the thread's namespace.
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	groups := uint32(1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_NEIGH-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) |
		1<<(unix.RTNLGRP_IPV6_IFADDR-1))
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// messageBuffer is room for the messages that the kernel gives at once.
const messageBuffer = 16 << 10

// listen hears the kernel until the socket is closed. It has a buffer only while there is something to read: there are
// thousands of namespaces.
func (sp *space) listen() {
	defer close(sp.deaf)
	conn, err := sp.events.SyscallConn()
	for err == nil {
		var recvErr error
		err = conn.Read(func(fd uintptr) bool {
			recvErr = sp.receive(int(fd))
			return !errors.Is(recvErr, unix.EAGAIN)
		})
		if errors.Is(recvErr, unix.ENOBUFS) {
			sp.heard.lose()
		}
		sp.poke()
	}
}

// receive reads what there is.
func (sp *space) receive(fd int) error {
	var p [1]byte
	if _, _, err := unix.Recvfrom(fd, p[:], unix.MSG_PEEK); err != nil {
		return err
	}
	buf := make([]byte, messageBuffer)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return err
		}
		// Programs in the namespace may have the right to send to the group as well.
		if source, ok := from.(*unix.SockaddrNetlink); !ok || source.Pid != 0 {
			continue
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			sp.heard.lose()
			continue
		}
		for i := range messages {
			sp.heard.message(&messages[i])
		}
	}
}

func (h *heard) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = true
}

func (h *heard) message(m *syscall.NetlinkMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC {
			return
		}
		h.note(&h.links, int(binary.NativeEndian.Uint32(m.Data[4:])))
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		link, a := addressOf(m.Data)
		if link != 0 && (m.Header.Type == unix.RTM_DELADDR || a.protocol != AddressProtocol) {
			h.note(&h.addrs, link)
		}
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		h.neighbor(m)
	case unix.RTM_GETNEIGH:
		if len(m.Data) < unix.SizeofNdMsg || len(h.asks) >= maxAsks {
			return
		}
		n, err := netlink.NeighDeserialize(m.Data)
		if err != nil {
			return
		}
		if addr, ok := netip.AddrFromSlice(n.IP); ok {
			if h.asks == nil {
				h.asks = make(map[question]bool)
			}
			h.asks[question{n.LinkIndex, addr}] = true
		}
	}
}

// neighbor takes up that Linux has changed a neighbour. Most are those that the router has told it of.
func (h *heard) neighbor(m *syscall.NetlinkMessage) {
	if len(m.Data) < unix.SizeofNdMsg {
		return
	}
	index, state := int(binary.NativeEndian.Uint32(m.Data[4:])), binary.NativeEndian.Uint16(m.Data[8:])
	if h.neighs == nil {
		h.neighs = make(map[int]bool)
	}
	if len(h.neighs) >= maxHeard {
		h.lost = true
		return
	}
	h.neighs[index] = h.neighs[index] || m.Header.Type == unix.RTM_NEWNEIGH && state&netlink.NUD_PERMANENT != 0
}

// maxHeard bounds the links that are told apart: a program may make and delete any number.
const maxHeard = 4096

// note adds a link to one of the sets.
func (h *heard) note(set *map[int]bool, index int) {
	if *set == nil {
		*set = make(map[int]bool)
	}
	if len(*set) >= maxHeard {
		h.lost = true
		return
	}
	(*set)[index] = true
}

// takeHeard looks at the links that the kernel has told of.
func (sp *space) takeHeard() {
	h := &sp.heard
	h.mu.Lock()
	links, addrs, neighs, lost := h.links, h.addrs, h.neighs, h.lost
	h.links, h.addrs, h.neighs, h.lost = nil, nil, nil, false
	h.mu.Unlock()
	for _, l := range sp.links {
		l.readdressed = l.readdressed || lost || addrs[l.index]
		permanent, changed := neighs[l.index]
		l.restated = l.restated || lost || permanent || changed && len(l.static) > 0
	}
	for index, l := range sp.byIndex {
		if lost || links[index] {
			l.look()
		}
	}
}

func (h *heard) takeAsks() map[question]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	asks := h.asks
	h.asks = nil
	return asks
}
