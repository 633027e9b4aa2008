package lab

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pingPatience is how long Ping waits for answers after the last request. ping(8) gives up after two round trips, and
// so takes an answer that a busy machine delays for a lost one.
const pingPatience = 2 * time.Second

// Ping sends count echo requests to an address (with %INTERFACE if it is link-local), interval apart, and returns how
// many are answered. A request that the host has no route for counts as one without an answer.
func (h *Host) Ping(to string, count int, interval time.Duration) (answered int) {
	h.lab.t.Helper()
	addr, err := netip.ParseAddr(to)
	h.must("ping", err)
	socket, err := h.pingSocket(addr)
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return 0
	}
	h.must("ping "+to, err)
	defer socket.Close()

	ended := make(chan int)
	go func() { ended <- countAnswers(socket, count) }()
	request := make([]byte, 64)
	request[0] = 8 // echo request, RFC 792
	if addr.Is6() {
		request[0] = 128 // RFC 4443
	}
	for seq := range count {
		if seq > 0 {
			time.Sleep(interval)
		}
		binary.BigEndian.PutUint16(request[6:], uint16(seq)) // the kernel fills in identifier and checksum
		// An error may be that of an earlier request, and is a lack of an answer.
		_, _ = socket.Write(request)
	}
	h.must("ping", socket.SetReadDeadline(time.Now().Add(pingPatience)))
	return <-ended
}

// pingSocket opens an ICMP socket of the host's to an address: it hears the answers to its own requests and nothing
// else.
func (h *Host) pingSocket(to netip.Addr) (*os.File, error) {
	// Also root may open such sockets only when its group may.
	h.Sysctl("net.ipv4.ping_group_range", "0 0")
	family, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
	six := &unix.SockaddrInet6{Addr: to.As16()}
	if zone := to.Zone(); zone != "" {
		six.ZoneId = uint32(h.Interface(zone).Index)
	}
	var peer unix.Sockaddr = six
	if to.Is4() {
		family, protocol = unix.AF_INET, unix.IPPROTO_ICMP
		peer = &unix.SockaddrInet4{Addr: to.As4()}
	}
	var fd int
	if err := h.NS.Do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		return err
	}); err != nil {
		return nil, err
	}
	if err := unix.Connect(fd, peer); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "ping socket"), nil
}

// countAnswers reads until count different requests are answered, or the read deadline has passed.
func countAnswers(socket *os.File, count int) int {
	seen := make(map[uint16]bool)
	buf := make([]byte, 256)
	for len(seen) < count {
		n, err := socket.Read(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err == nil && n >= 8 { // other errors are those that routers on the way have reported
			seen[binary.BigEndian.Uint16(buf[6:])] = true
		}
	}
	return len(seen)
}
