package tap

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nsrouter/internal/netns"
)

// station is a Linux namespace with a TAP in it, which the test has open.
type station struct {
	ns  *netns.Handle
	tap *Device
}

func newStation(t *testing.T, k int) *station {
	ns, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	s := &station{ns: ns}
	if err := ns.Do(func() (err error) { s.tap, err = Open("p1", 0); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.tap.Close() })
	s.run(t, "ip link set p1 mtu 1500 up", fmt.Sprintf("ip addr add 10.0.0.%d/24 dev p1", k),
		fmt.Sprintf("ip addr add 2001:db8::%d/64 dev p1 nodad", k))
	return s
}

// run runs programs in the namespace.
func (s *station) run(t *testing.T, lines ...string) string {
	var out []byte
	for _, l := range lines {
		args := strings.Fields(l)
		err := s.ns.Do(func() (err error) {
			out, err = exec.Command(args[0], args[1:]...).CombinedOutput()
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v: %s", l, err, out)
		}
	}
	return string(out)
}

// join carries frames between two TAPs until the test ends: what waits is written at once. Each frame that Linux sends is
// shown to look.
func join(t *testing.T, a, b *station, look func(frame []byte)) {
	var wg sync.WaitGroup
	for _, way := range [][2]*station{{a, b}, {b, a}} {
		from, to := way[0].tap, way[1].tap
		ready := make(chan []byte, 256)
		wg.Go(func() {
			defer close(ready)
			err := from.ReadFrames(func(f []byte) {
				look(f)
				ready <- bytes.Clone(f)
			})
			if err != nil {
				t.Errorf("read: %v", err)
			}
		})
		wg.Go(func() {
			for f := range ready {
				frames := [][]byte{f}
				for len(ready) > 0 && len(frames) < 32 {
					if f, ok := <-ready; ok {
						frames = append(frames, f)
					}
				}
				if n := to.WriteFrames(frames); n > 0 {
					t.Errorf("%d frames of %d refused", n, len(frames))
				}
			}
		})
	}
	t.Cleanup(func() {
		a.tap.Interrupt()
		b.tap.Interrupt()
		wg.Wait()
	})
}

// TestStream has Linux send bytes over TCP from a TAP to another: what it leaves to the device arrives complete, in frames
// no longer than the MTU, whose checksums another Linux accepts.
func TestStream(t *testing.T) {
	a, b := newStation(t, 1), newStation(t, 2)
	var long sync.Map
	join(t, a, b, func(f []byte) {
		if len(f) > 1514 {
			long.Store(len(f), true)
		}
	})
	data := make([]byte, 8<<20)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	for _, addr := range []string{"10.0.0.2:80", "[2001:db8::2]:80"} {
		var l net.Listener
		if err := b.ns.Do(func() (err error) { l, err = net.Listen("tcp", addr); return err }); err != nil {
			t.Fatal(err)
		}
		sums := make(chan [32]byte, 1)
		go func() {
			defer close(sums)
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(30 * time.Second))
			h := sha256.New()
			_, _ = io.Copy(h, c)
			c.Close()
			sums <- [32]byte(h.Sum(nil))
		}()
		var c net.Conn
		if err := a.ns.Do(func() (err error) { c, err = net.DialTimeout("tcp", addr, 5*time.Second); return err }); err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write(data); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if sum := <-sums; sum != sha256.Sum256(data) {
			t.Errorf("%s: other bytes arrived", addr)
		}
		l.Close()
	}
	long.Range(func(n, _ any) bool { t.Errorf("a frame of %d bytes", n); return true })
	stats := b.run(t, "ip -s -s link show dev p1")
	if errs := b.run(t, "cat /proc/net/snmp"); !strings.Contains(errs, "Tcp:") || tcpErrors(errs) != "0" {
		t.Errorf("Linux saw wrong TCP checksums: %s\n%s", tcpErrors(errs), stats)
	}
	// 8 MiB twice are 11,586 segments of 1,448 bytes. They arrived in fewer.
	if n := received(t, stats); n > 4000 {
		t.Errorf("Linux received %d packets: segments were not joined", n)
	}
}

// tcpErrors is InCsumErrors of /proc/net/snmp.
func tcpErrors(snmp string) string {
	var names []string
	for l := range strings.Lines(snmp) {
		f := strings.Fields(l)
		switch {
		case f[0] != "Tcp:":
		case names == nil:
			names = f
		default:
			return f[slices.Index(names, "InCsumErrors")]
		}
	}
	return "none"
}

// received is the number of packets that `ip -s link` shows as received.
func received(t *testing.T, stats string) (packets int) {
	_, rest, _ := strings.Cut(stats, "RX:")
	_, rest, _ = strings.Cut(rest, "\n")
	var bytes int
	if _, err := fmt.Sscan(rest, &bytes, &packets); err != nil {
		t.Fatalf("no counters: %v: %s", err, stats)
	}
	return packets
}

// TestUDP: checksums that Linux leaves to the device are complete.
func TestUDP(t *testing.T) {
	a, b := newStation(t, 1), newStation(t, 2)
	join(t, a, b, func([]byte) {})
	for _, addr := range []string{"10.0.0.2:53", "[2001:db8::2]:53"} {
		var at net.PacketConn
		if err := b.ns.Do(func() (err error) { at, err = net.ListenPacket("udp", addr); return err }); err != nil {
			t.Fatal(err)
		}
		defer at.Close()
		var c net.Conn
		if err := a.ns.Do(func() (err error) { c, err = net.Dial("udp", addr); return err }); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for n := range 50 {
			if _, err := fmt.Fprintf(c, "%*d", 1+n, n); err != nil {
				t.Fatal(err)
			}
			_ = at.SetReadDeadline(time.Now().Add(5 * time.Second))
			var got [100]byte
			if size, _, err := at.ReadFrom(got[:]); err != nil || size != max(1+n, len(fmt.Sprint(n))) {
				t.Fatalf("%s, datagram %d: %d bytes, %v", addr, n, size, err)
			}
		}
	}
}

// TestLife: a TAP stays when it is closed, is taken again with its index, and is open once; reading ends when interrupted,
// before or meanwhile; nothing goes to one that is down.
func TestLife(t *testing.T) {
	s := newStation(t, 1)
	var again *Device
	open := func() (err error) { again, err = Open("p1", 0); return err }
	if err := s.ns.Do(open); err == nil || !strings.Contains(err.Error(), "another program has it open") {
		t.Fatalf("opened twice: %v", err)
	}
	done := make(chan error)
	go func() { done <- s.tap.ReadFrames(func([]byte) {}) }()
	select {
	case err := <-done:
		t.Fatalf("reading ended: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	s.tap.Interrupt()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.tap.ReadFrames(func([]byte) {}); err != nil {
		t.Fatalf("interrupted before: %v", err)
	}
	index := s.tap.Index()
	if err := s.tap.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.ns.Do(open); err != nil || again.Index() != index {
		t.Fatalf("opened again: %v, index %d, was %d", err, again.Index(), index)
	}
	s.run(t, "ip link set p1 down")
	if n := again.WriteFrames([][]byte{make([]byte, 60), make([]byte, 60)}); n != 2 {
		t.Errorf("%d of 2 frames were refused by a TAP that is down", n)
	}
	if err := again.Remove(); err != nil {
		t.Fatal(err)
	}
	if out := s.run(t, "ip -br link"); strings.Contains(out, "p1") {
		t.Errorf("it is still there: %s", out)
	}
}
