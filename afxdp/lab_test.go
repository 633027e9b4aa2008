package afxdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// childVariable makes this test binary a process that opens the lab's interface and holds it, with the number of
// frames that it says.
const childVariable = "NSROUTER_AFXDP_TEST_CHILD"

func TestMain(m *testing.M) {
	if frames := os.Getenv(childVariable); frames != "" {
		holdInterface(frames)
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	hostName = "p0" // the end of the lab's veth pair that is opened
	peerName = "h0" // the other end
	// testType is an EtherType for experiments (IEEE 802), so that nothing else answers.
	testType = 0x88b5
)

// newLab gives the test a thread and a Linux network namespace of its own, with a veth pair that has the given number
// of queues, both ends up. The thread is never unlocked, so it ends with the test, and the namespace with it.
func newLab(t *testing.T, queues int) {
	t.Helper()
	newNamespace(t)
	addPair(t, hostName, peerName, queues)
}

func newNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("new network namespace (run the tests as root): %v", err)
	}
}

func addPair(t *testing.T, host, peer string, queues int) {
	t.Helper()
	pair := netlink.NewVeth(netlink.NewLinkAttrs())
	pair.Name, pair.PeerName = host, peer
	pair.NumTxQueues, pair.NumRxQueues = queues, queues
	pair.PeerNumTxQueues, pair.PeerNumRxQueues = uint32(queues), uint32(queues)
	must(t, netlink.LinkAdd(pair))
	must(t, os.WriteFile("/proc/sys/net/ipv6/conf/"+peer+"/disable_ipv6", []byte("1"), 0))
	for _, name := range []string{host, peer} {
		must(t, netlink.LinkSetUp(device(t, name)))
	}
}

func device(t *testing.T, name string) netlink.Link {
	t.Helper()
	d, err := netlink.LinkByName(name)
	must(t, err)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newPool(t *testing.T, frames int) *frame.Pool {
	t.Helper()
	pool, err := frame.NewPool(frames)
	must(t, err)
	t.Cleanup(func() { must(t, pool.Close()) })
	return pool
}

// port is an opened interface and the cache of the one worker that the tests are.
type port struct {
	*Interface
	t     *testing.T
	cache *frame.Cache
}

func openPort(t *testing.T, pool *frame.Pool, o Options) *port {
	t.Helper()
	i, err := Open(pool, o)
	must(t, err)
	p := &port{Interface: i, t: t, cache: pool.NewCache()}
	t.Cleanup(p.shut)
	return p
}

// shut closes the port as a daemon does. It may be called twice.
func (p *port) shut() {
	p.Detach()
	if err := p.Close(); err != nil {
		p.t.Errorf("close: %v", err)
	}
	for _, q := range p.Queues() {
		q.Reclaim(p.cache)
	}
	p.cache.Drain()
}

// receive polls the queue until it has a packet of the tests, and returns it; the caller owns its frame.
func (p *port) receive(q *Queue, patience time.Duration) (frame.Desc, bool) {
	var d [1]frame.Desc
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		q.Refill(p.cache)
		if q.Receive(d[:]) == 0 {
			continue
		}
		if isTest(p.pool.Bytes()[d[0].Addr:][:d[0].Len]) {
			return d[0], true
		}
		p.cache.PutChain(d[0])
	}
	return frame.Desc{}, false
}

// send transmits a packet and waits for its completion.
func (p *port) send(q *Queue, packet []byte) {
	p.t.Helper()
	d, ok := p.cache.New(len(packet))
	if !ok {
		p.t.Fatal("no free frame")
	}
	frame.Write(p.pool.Bytes(), d, packet)
	if q.Transmit([]frame.Desc{d}) != 1 {
		p.t.Fatal("packet not accepted")
	}
	p.drain(q)
}

// drain flushes until everything is sent and completed.
func (p *port) drain(q *Queue) {
	p.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); q.Pending() > 0; {
		q.Flush()
		q.Complete(p.cache)
		if time.Now().After(deadline) {
			p.t.Fatalf("%d frames not completed", q.Pending())
		}
	}
}

// testPacket is an Ethernet frame of the tests of size bytes that carries a number.
func testPacket(number uint32, size int) []byte {
	b := make([]byte, size)
	for k := range 6 {
		b[k] = 0xff
	}
	b[6] = 2
	binary.BigEndian.PutUint16(b[12:], testType)
	binary.BigEndian.PutUint32(b[14:], number)
	return b
}

func isTest(b []byte) bool { return len(b) >= 18 && binary.BigEndian.Uint16(b[12:]) == testType }

func number(b []byte) uint32 { return binary.BigEndian.Uint32(b[14:]) }

// tap is a packet socket on the other end of a pair.
type tap struct {
	t     *testing.T
	fd    int
	index int
}

// networkOrder is an EtherType as the packet socket calls want it.
func networkOrder(v uint16) uint16 {
	return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v))
}

func openTap(t *testing.T, name string) *tap {
	t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(networkOrder(testType)))
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	index := device(t, name).Attrs().Index
	must(t, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(testType), Ifindex: index}))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	return &tap{t: t, fd: fd, index: index}
}

func (s *tap) send(packet []byte) {
	s.t.Helper()
	// A full queue of the device is not the tests' concern.
	if _, err := unix.Write(s.fd, packet); err != nil && !errors.Is(err, unix.ENOBUFS) {
		s.t.Errorf("send a packet of %d bytes: %v", len(packet), err)
	}
}

// receive returns the next packet that came in, not one that this socket sent.
func (s *tap) receive() []byte {
	s.t.Helper()
	b := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(s.fd, b, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			s.t.Fatalf("nothing came out at the peer: %v", err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
			return b[:n]
		}
	}
}

// checkCensus fails unless exactly the given numbers of frames are with the two sides of the queues, and all others
// free.
func checkCensus(t *testing.T, pool *frame.Pool, queues []*Queue, receiveSide int) {
	t.Helper()
	census := pool.Census()
	free := pool.Frames()
	for _, q := range queues {
		if census[q.rxOwner] != receiveSide || census[q.txOwner] != 0 {
			t.Errorf("queue %d has %d frames on the receive and %d on the transmit side, want %d and 0",
				q.ID(), census[q.rxOwner], census[q.txOwner], receiveSide)
		}
		free -= receiveSide
	}
	if census[frame.Free] != free {
		t.Errorf("%d frames free, want %d of %d", census[frame.Free], free, pool.Frames())
	}
}

// xdpAttached tells whether the interface carries an XDP program.
func xdpAttached(t *testing.T, name string) bool {
	t.Helper()
	x := device(t, name).Attrs().Xdp
	return x != nil && x.Attached
}

// address is a parsed interface address.
func address(t *testing.T, cidr string) *netlink.Addr {
	t.Helper()
	ip, network, err := net.ParseCIDR(cidr)
	must(t, err)
	return &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: network.Mask}}
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(fmt.Sprint("never: ", what))
		}
	}
}
