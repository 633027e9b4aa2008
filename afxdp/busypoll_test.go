package afxdp

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBusyPoll: a queue asks the kernel for busy polling, and takes that back; packets come in either case, whether the
// driver can be polled (a veth can up to Linux 6.12) or goes on with interrupts.
func TestBusyPoll(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	peer, q := openTap(t, peerName), p.Queues()[0]
	for n, on := range []bool{false, true, true, false, true} {
		q.BusyPoll(on)
		q.busy.look = 0 // for the driver, now
		for option, want := range map[int]int{unix.SO_PREFER_BUSY_POLL: 1, unix.SO_BUSY_POLL: busyPollTime} {
			if !on {
				want = 0
			}
			if got, err := unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, option); err != nil || got != want {
				t.Errorf("busy polling %v: socket option %d is %d, %v; want %d", on, option, got, err, want)
			}
		}
		peer.send(testPacket(uint32(n), 64))
		d, ok := p.receive(q, 5*time.Second)
		if !ok {
			t.Fatalf("busy polling %v: packet not received", on)
		}
		if got := number(p.pool.Bytes()[d.Addr:][:d.Len]); got != uint32(n) {
			t.Errorf("busy polling %v: received packet %d, want %d", on, got, n)
		}
		p.cache.Put(d.Addr)
	}
	p.shut()
	q.BusyPoll(false) // of a closed socket: nothing
	checkCensus(t, p.pool, p.Queues(), 0)
}
