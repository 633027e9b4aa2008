package e2e

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/internal/lab"
	"nsrouter/internal/netns"
)

// echoes has a program in a Linux namespace send back all that it receives at a TCP port, until the test ends.
func (w *world) echoes(in *netns.Handle, port int) {
	w.t.Helper()
	var l net.Listener
	w.must(in.Do(func() (err error) { l, err = net.Listen("tcp", fmt.Sprint(":", port)); return err }))
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// session is a TCP connection of a host to a program that sends back what it is sent.
type session struct{ conn net.Conn }

func (w *world) session(h *lab.Host, address string) *session {
	w.t.Helper()
	s := new(session)
	w.must(h.NS.Do(func() (err error) { s.conn, err = net.DialTimeout("tcp", address, 5*time.Second); return err }))
	w.t.Cleanup(func() { s.conn.Close() })
	return s
}

// talk exchanges messages for a while, one every 10 ms, and returns how many, and the longest time that one took.
func (s *session) talk(during time.Duration) (n int, longest time.Duration, err error) {
	var b [64]byte
	for end := time.Now().Add(during); time.Now().Before(end); n++ {
		start := time.Now()
		_ = s.conn.SetDeadline(start.Add(5 * time.Second))
		if _, err := s.conn.Write(b[:]); err != nil {
			return n, longest, err
		}
		if _, err := io.ReadFull(s.conn, b[:]); err != nil {
			return n, longest, err
		}
		longest = max(longest, time.Since(start))
		time.Sleep(10 * time.Millisecond)
	}
	return n, longest, nil
}

// floodFrame is a frame from host1 to the router's address at p1.
func (w *world) floodFrame(h *lab.Host, protocol layers.IPProtocol, upper gopacket.SerializableLayer) []byte {
	w.t.Helper()
	to, err := net.ParseMAC(w.mac("p1"))
	w.must(err)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: net.IP{10, 0, 1, 2}, DstIP: net.IP{10, 0, 1, 1}}
	if tcp, ok := upper.(*layers.TCP); ok {
		w.must(tcp.SetNetworkLayerForChecksum(ip))
	}
	b := gopacket.NewSerializeBuffer()
	w.must(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: h.Interface("eth0").MAC, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}, ip, upper))
	return b.Bytes()
}

// pour sends a frame again and again until it is stopped, from address after address of 10.0.1.0/24 if forged. stop returns
// how many it sent.
func pour(at *lab.Sniffer, frame []byte, forged bool) (stop func() int) {
	var ended atomic.Bool
	sent := make(chan int)
	go func() {
		n := 0
		for ; !ended.Load(); n++ {
			if forged {
				forge(frame, rand.Uint32()) //nolint:gosec // addresses, not secrets
			}
			at.Send(frame)
		}
		sent <- n
	}()
	return func() int { ended.Store(true); return <-sent }
}

// forge gives an IPv4 packet another source in 10.0.1.0/24 and a source port, and leaves its checksums right.
func forge(frame []byte, random uint32) {
	be := binary.BigEndian
	ip, l4 := frame[14:34], frame[34:]
	old := [2]uint16{be.Uint16(ip[14:]), be.Uint16(l4)}
	be.PutUint16(ip[14:], 0x0100|uint16(3+random%250))
	be.PutUint16(l4, uint16(random>>16)|1024)
	update := func(field []byte, from, to uint16) {
		sum := uint32(^be.Uint16(field)) + uint32(^from) + uint32(to)
		sum = sum>>16 + sum&0xffff
		be.PutUint16(field, ^uint16(sum+sum>>16))
	}
	update(ip[10:], old[0], be.Uint16(ip[14:]))
	if ip[9] == 6 {
		update(l4[16:], old[0], be.Uint16(ip[14:]))
		update(l4[16:], old[1], be.Uint16(l4))
	}
}

// TestPuntFlood: while a host floods an address of the router, another's sessions with programs behind the router's addresses
// go on, those of BGP and those of others, and what is forwarded is not harmed. Nor are the answers of others to pings, where a
// kernel can limit ICMP for a namespace: its ICMP sockets are those of all its namespaces.
func TestPuntFlood(t *testing.T) {
	w := newWorld(t)
	bad, peer, far := w.host(1, "init"), w.host(2, "init"), w.host(3, "init")
	const bgp, ssh = 179, 22
	in, err := netns.Open(w.r.NetnsPrefix + "init")
	w.must(err)
	defer in.Close()
	w.echoes(in, bgp)
	w.echoes(in, ssh)
	w.echoes(far.NS, ssh)
	udp := w.floodFrame(bad, layers.IPProtocolUDP, gopacket.Payload{0x13, 0x88, 0x13, 0x89, 0, 8, 0, 0}) // without a checksum
	syn := w.floodFrame(bad, layers.IPProtocolTCP, &layers.TCP{SrcPort: 5000, DstPort: bgp, SYN: true, Window: 1000})
	ospf := w.floodFrame(bad, layers.IPProtocolOSPF, gopacket.Payload(make([]byte, 44)))
	at := bad.Sniff("eth0")
	limits := far.Try("test", "-e", "/proc/sys/net/ipv4/icmp_msgs_per_sec").Status == 0
	for _, c := range []struct {
		name   string
		frame  []byte
		forged bool
	}{
		{"UDP", udp, false}, {"UDP, forged", udp, true}, {"SYN to BGP, forged", syn, true}, {"OSPF", ospf, false},
	} {
		before := w.dropped("p1")
		stop := pour(at, c.frame, c.forged)
		time.Sleep(200 * time.Millisecond)
		var talks sync.WaitGroup
		sessions := []string{"10.0.2.1:179", "10.0.2.1:22", "10.0.3.2:22"} // the last is forwarded
		var longest [3]time.Duration
		for k, to := range sessions {
			s := w.session(peer, to)
			talks.Go(func() {
				n, took, err := s.talk(2 * time.Second)
				longest[k] = took
				t.Logf("%s: %s: %d messages, the longest took %v", c.name, to, n, took)
				if err != nil || n < 10 {
					t.Errorf("%s: %s: %d messages, %v", c.name, to, n, err)
				}
			})
		}
		if limits {
			w.ping(peer, "10.0.3.2", 50)
		}
		talks.Wait()
		for k, to := range sessions { // a busy machine holds up all; only what is for the router waits for Linux too
			if longest[k] > longest[2]+time.Second {
				t.Errorf("%s: %s: a message took %v, one that is forwarded %v", c.name, to, longest[k], longest[2])
			}
		}
		sent, after := stop(), w.dropped("p1")
		limited := after["rate-limited"] - before["rate-limited"]
		t.Logf("%s: %d sent, %d above the limit, %d more than Linux took", c.name, sent, limited,
			after["host-full"]-before["host-full"])
		if limited == 0 {
			t.Errorf("%s: %d sent, none above the limit: %v", c.name, sent, after)
		}
	}
}
