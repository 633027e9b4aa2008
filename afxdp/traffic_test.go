package afxdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

func TestBothDirections(t *testing.T) {
	for _, mode := range []Mode{Auto, Copy, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			newLab(t, 1)
			p := openPort(t, newPool(t, 8192), Options{Host: hostName, Mode: mode})
			want := mode
			if mode == Auto {
				want = Copy // a veth has no zero-copy
			}
			if asked, got := p.Mode(); asked != mode || got != want {
				t.Errorf("mode asked %v, got %v; want %v, %v", asked, got, mode, want)
			}
			peer, q := openTap(t, peerName), p.Queues()[0]

			for n, size := range []int{60, 1000, frame.MaxPacket, frame.MaxPacket + 1, 5000, 14 + frame.JumboMTU, 64} {
				if size > 1514 {
					// The peer and the interface must agree to carry it.
					must(t, p.RaiseMTU(frame.JumboMTU))
					must(t, p.nl.LinkSetMTU(device(t, peerName), frame.JumboMTU))
				}
				packet := testPacket(uint32(n), size)
				for k := 18; k < size; k++ {
					packet[k] = byte(k * 7 >> (k >> 8 & 3))
				}
				peer.send(packet)
				d, ok := p.receive(q, 5*time.Second)
				if !ok {
					t.Fatalf("packet of %d bytes not received", size)
				}
				got := make([]byte, frame.Length(p.pool.Bytes(), d))
				if frame.Read(p.pool.Bytes(), d, 0, got); !bytes.Equal(got, packet) {
					t.Errorf("received %x, want %x", got, packet)
				}
				p.cache.PutChain(d)

				p.send(q, packet)
				if got := peer.receive(); !bytes.Equal(got, packet) {
					t.Errorf("the peer received %x, want %x", got, packet)
				}
			}
			q.Refill(p.cache)
			checkCensus(t, p.pool, p.Queues(), FillTarget)
			p.shut()
			checkCensus(t, p.pool, p.Queues(), 0)
		})
	}
}

// TestForward carries packets from one interface to another through the common area, without a copy.
func TestForward(t *testing.T) {
	newLab(t, 1)
	addPair(t, "p1", "h1", 1)
	pool := newPool(t, 8192)
	in, out := openPort(t, pool, Options{Host: hostName}), openPort(t, pool, Options{Host: "p1"})
	source, sink := openTap(t, peerName), openTap(t, "h1")
	for n := range uint32(100) {
		source.send(testPacket(n, 64))
		d, ok := in.receive(in.Queues()[0], 5*time.Second)
		if !ok {
			t.Fatalf("packet %d not received", n)
		}
		if out.Queues()[0].Transmit([]frame.Desc{d}) != 1 {
			t.Fatalf("packet %d not accepted", n)
		}
		out.drain(out.Queues()[0])
		if got := number(sink.receive()); got != n {
			t.Fatalf("packet %d arrived, want %d", got, n)
		}
	}
	in.shut()
	out.shut()
	checkCensus(t, pool, append(in.Queues(), out.Queues()...), 0)
}

// TestConservation reflects a flood that overruns every ring, and looks for each frame afterwards.
func TestConservation(t *testing.T) {
	const packets = 100_000
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q, peer := p.Queues()[0], openTap(t, peerName)
	flooded := make(chan struct{})
	packet := testPacket(0, 64)
	go func() {
		defer close(flooded)
		for range packets {
			peer.send(packet)
		}
	}()
	defer func() { <-flooded }()

	var d [64]frame.Desc
	reflected := 0
	for idle := time.Now(); time.Since(idle) < 200*time.Millisecond; {
		q.Refill(p.cache)
		n := q.Receive(d[:])
		if n > 0 {
			idle = time.Now()
		}
		sent := q.Transmit(d[:n])
		for _, left := range d[sent:n] {
			p.cache.Put(left.Addr)
		}
		reflected += sent
		q.Flush()
		q.Complete(p.cache)
	}
	<-flooded
	if reflected < packets/100 {
		t.Errorf("%d of %d packets reflected", reflected, packets)
	}
	p.drain(q)
	q.Refill(p.cache)
	checkCensus(t, p.pool, p.Queues(), FillTarget)
	s, err := q.Stats()
	must(t, err)
	if s.RxInvalidDescs != 0 || s.TxInvalidDescs != 0 {
		t.Errorf("descriptors refused by the kernel: %+v", s)
	}
	p.shut()
	checkCensus(t, p.pool, p.Queues(), 0)
}

// TestOverrun leaves a flood unread: the receive side keeps its frames, the kernel counts, and all goes on afterwards.
func TestOverrun(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q, peer := p.Queues()[0], openTap(t, peerName)
	for n := range uint32(2 * FillTarget) {
		peer.send(testPacket(n, 64))
	}
	eventually(t, "the fill ring is empty", func() bool { return q.FillLevel() == 0 })
	eventually(t, "the kernel counts drops", func() bool {
		s, err := q.Stats()
		return err == nil && s.RxFillEmpty > 0
	})
	for n := range FillTarget {
		d, ok := p.receive(q, 5*time.Second)
		if !ok || number(p.pool.Bytes()[d.Addr:]) != uint32(n) {
			t.Fatalf("packet %d not received in its turn", n)
		}
		p.cache.Put(d.Addr)
	}
	if q.Refill(p.cache) != 0 || q.FillLevel() != FillTarget {
		t.Errorf("fill level %d after a refill, want %d", q.FillLevel(), FillTarget)
	}
	peer.send(testPacket(7, 64))
	if _, ok := p.receive(q, 5*time.Second); !ok {
		t.Error("nothing received after the overrun")
	}
}

func TestQueues(t *testing.T) {
	newLab(t, 2)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	if n := len(p.Queues()); n != 2 {
		t.Fatalf("%d queues, want 2", n)
	}
	peer := openTap(t, peerName)
	// Flows with different ports, which the peer spreads over its transmit queues and so over our receive queues.
	const flows = 256
	for n := range uint16(flows) {
		// The kernel looks for ports where it is told that this is IPv4.
		must(t, unix.Sendto(peer.fd, udpPacket(1000+n), 0, &unix.SockaddrLinklayer{
			Protocol: networkOrder(unix.ETH_P_IP), Ifindex: peer.index,
		}))
	}
	received := [2]int{}
	var d [64]frame.Desc
	eventually(t, "every packet is received", func() bool {
		for k, q := range p.Queues() {
			n := q.Receive(d[:])
			for _, got := range d[:n] {
				if binary.BigEndian.Uint16(p.pool.Bytes()[got.Addr+12:]) == unix.ETH_P_IP {
					received[k]++
				}
				p.cache.Put(got.Addr)
			}
			q.Refill(p.cache)
		}
		return received[0]+received[1] >= flows
	})
	if received[0] == 0 || received[1] == 0 {
		t.Errorf("received %v, want some on each queue", received)
	}
	for k, q := range p.Queues() {
		p.send(q, testPacket(uint32(k), 64))
		if got := number(peer.receive()); got != uint32(k) {
			t.Errorf("packet %d arrived, want %d", got, k)
		}
	}
	checkCensus(t, p.pool, p.Queues(), FillTarget)
	p.shut()
	checkCensus(t, p.pool, p.Queues(), 0)
}

func udpPacket(port uint16) []byte {
	b := testPacket(0, 64)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	copy(b[14:], []byte{0x45, 0, 0, 50, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(b[34:], port)
	binary.BigEndian.PutUint16(b[36:], port)
	return b
}

// TestTransmitRefuses checks that a packet that the kernel would skip for good is not accepted, and that the ring's
// size is the limit.
func TestTransmitRefuses(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q := p.Queues()[0]
	var d []frame.Desc
	for range ringEntries + 1 {
		addr, _ := p.cache.Get()
		d = append(d, frame.Desc{Addr: addr, Len: 64})
	}
	for _, bad := range []frame.Desc{{Addr: d[0].Addr, Len: 0}, {Addr: d[0].Addr + 1, Len: frame.Size}} {
		if q.Transmit([]frame.Desc{bad}) != 0 {
			t.Errorf("%+v accepted", bad)
		}
	}
	if n := q.Transmit(d); n != ringEntries {
		t.Errorf("%d packets accepted, want %d", n, ringEntries)
	}
	p.cache.Put(d[ringEntries].Addr)
	p.drain(q)
	checkCensus(t, p.pool, p.Queues(), FillTarget)
}

// TestDown checks that an interface that is down keeps its socket and goes on when it is up again.
func TestDown(t *testing.T) {
	newLab(t, 1)
	must(t, setDown(t, hostName))
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q, peer := p.Queues()[0], openTap(t, peerName)
	addr, _ := p.cache.Get()
	copy(p.pool.Bytes()[addr:], testPacket(1, 64))
	if q.Transmit([]frame.Desc{{Addr: addr, Len: 64}}) != 1 {
		t.Fatal("packet not accepted")
	}
	q.Flush()
	if q.Gone() || p.Gone() {
		t.Fatal("an interface that is down counts as gone")
	}
	must(t, p.SetUp())
	p.drain(q)
	if got := number(peer.receive()); got != 1 {
		t.Errorf("packet %d arrived, want 1", got)
	}
	var d frame.Desc
	received := false
	for range 50 { // the peer drops what it sends until its kernel has noticed the carrier
		peer.send(testPacket(2, 64))
		if d, received = p.receive(q, 100*time.Millisecond); received {
			break
		}
	}
	if !received {
		t.Fatal("nothing received after the interface was raised")
	}
	p.cache.Put(d.Addr)
	p.shut()
	if device(t, hostName).Attrs().RawFlags&unix.IFF_UP != 0 {
		t.Error("the interface was down before, and is up after Close")
	}
}

// TestAllocations checks that a round of a worker makes no garbage.
func TestAllocations(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q, peer := p.Queues()[0], openTap(t, peerName)
	packet, rounds, reflected := testPacket(0, 64), 0, 0
	var d [64]frame.Desc
	allocations := testing.AllocsPerRun(1000, func() {
		_, _ = unix.Write(peer.fd, packet)
		n := q.Receive(d[:])
		if q.Transmit(d[:n]) != n {
			t.Error("packets not accepted")
		}
		q.Flush()
		q.Complete(p.cache)
		q.Refill(p.cache)
		rounds, reflected = rounds+1, reflected+n
	})
	if allocations != 0 {
		t.Errorf("%v allocations per round, want 0", allocations)
	}
	if reflected < rounds/2 {
		t.Errorf("%d packets in %d rounds: the test does not test", reflected, rounds)
	}
}

// TestPoll sleeps on the queue's descriptor until a packet comes.
func TestPoll(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	q, peer := p.Queues()[0], openTap(t, peerName)
	poll := []unix.PollFd{{Fd: int32(q.FD()), Events: unix.POLLIN}}
	sleep := func(patience time.Duration) int {
		for deadline := time.Now().Add(patience); ; {
			left := max(time.Until(deadline), 0)
			n, err := unix.Poll(poll, int(left.Milliseconds()))
			if !errors.Is(err, unix.EINTR) {
				must(t, err)
				return n
			}
		}
	}
	if n := sleep(20 * time.Millisecond); n != 0 {
		t.Fatalf("awake without traffic: events %#x", poll[0].Revents)
	}
	send := make(chan struct{})
	go func() {
		<-send
		time.Sleep(20 * time.Millisecond)
		peer.send(testPacket(1, 64))
	}()
	close(send)
	if n := sleep(5 * time.Second); n != 1 || poll[0].Revents != unix.POLLIN {
		t.Fatalf("%d descriptors ready, events %#x; want input", n, poll[0].Revents)
	}
	if _, ok := p.receive(q, time.Second); !ok {
		t.Error("awake, but nothing received")
	}
}
