package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/internal/corpus"
	"nsrouter/internal/lab"
)

// bigPing sends requests with a payload of that size with ping, and fails the test unless each is answered whole.
func (w *world) bigPing(from *lab.Host, to string, size, count int, options ...string) {
	w.t.Helper()
	args := append([]string{"-n", "-c", fmt.Sprint(count), "-i", "0.05", "-W", "2", "-s", fmt.Sprint(size)}, options...)
	out := from.Try("ping", append(args, to)...)
	if want := fmt.Sprintf("%d packets transmitted, %d received", count, count); !bytes.Contains([]byte(out.Stdout), []byte(want)) ||
		bytes.Contains([]byte(out.Stdout), []byte("wrong data")) {
		w.t.Errorf("ping -s %d from %s to %s: %s%s", size, from.Name, to, out.Stdout, out.Stderr)
	}
}

// TestPingAnySize: the router answers requests of any size, in both families, also where queues and workers are several
// and the way back is narrower; and forwards what has to be cut.
func TestPingAnySize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--workers", "2")
	a, b := w.host(1, "init"), w.host(2, "init")
	c := w.Host("multi")
	w.Link(c.End("eth0", "10.0.3.2/24", "2001:db8:3::2/64"), w.r.Host.End("p3"), lab.LinkOptions{Queues: 2})
	c.Route("default", "10.0.3.1")
	c.Route("default", "2001:db8:3::1")
	w.r.Must("link add p3 type xdp\naddr add 10.0.3.1/24 dev p3\naddr add 2001:db8:3::1/64 dev p3\nlink set p3 up")
	for _, h := range []*lab.Host{a, c} {
		n := map[*lab.Host]int{a: 1, c: 3}[h]
		for _, size := range []int{1472, 1473, 1700, 1723, 1724, 1750, 1751, 1770, 2953, 8191, 9999, 65000, 65507} {
			w.bigPing(h, fmt.Sprintf("10.0.%d.1", n), size, 2)
			w.bigPing(h, fmt.Sprintf("2001:db8:%d::1", n), min(size, 65000), 2)
		}
		w.bigPing(h, "10.0.2.1", 65000, 3)
		w.bigPing(h, "2001:db8:2::1", 65000, 3)
	}
	w.bigPing(a, linkLocal(w, "p1")+"%eth0", 65000, 3)
	// The link to b becomes narrow on the router's side: what is sent there without DF is cut, answers too.
	w.r.Must("link set p2 mtu 1280")
	w.bigPing(a, "10.0.2.2", 1400, 3, "-M", "dont")
	w.bigPing(a, "10.0.2.2", 20000, 3, "-M", "dont")
	w.bigPing(b, "10.0.2.1", 65000, 3)
	w.bigPing(b, "2001:db8:2::1", 65000, 3)
	w.r.Must("addr del 2001:db8:2::1/64 dev p2\nlink set p2 mtu 300")
	w.bigPing(a, "10.0.2.2", 5000, 3, "-M", "dont")
	w.bigPing(b, "10.0.2.1", 20000, 3)
	w.conserved()
}

// TestReassemblyReference: what becomes of fragments that are lost, doubled, overlapping or wrong is what becomes of them in
// the kernel, and so is what both say when the time is over.
func TestReassemblyReference(t *testing.T) {
	r := newReference(t)
	for _, family := range []string{"ipfrag", "ip6frag"} {
		r.r.Must("netns set init " + family + "-time 2")
	}
	r.linux.Sysctl("net.ipv4.ipfrag_time", "2")
	r.linux.Sysctl("net.ipv6.ip6frag_time", "2")
	type cut struct {
		from, to int
		more     bool
	}
	const size = 4008
	cases := [][]cut{
		{{0, 1000, true}, {1000, 2000, true}, {2000, size, false}},
		{{2000, size, false}, {1000, 2000, true}, {0, 1000, true}},
		{{0, 1000, true}, {0, 1000, true}, {1000, size, false}},
		{{0, 1000, true}, {8, 200, true}, {1000, size, false}},
		{{0, 1000, true}, {992, size, false}, {1000, size, false}},
		{{0, 1000, true}, {1000, 2000, false}, {2000, size, false}},
		{{0, 1000, true}, {1008, size, false}},
		{{1000, size, false}},
		{{0, 1000, true}},
		{{0, 1003, true}, {1000, size, false}},
		{{0, 1000, true}, {1000, 1000, false}, {1000, size, false}},
		{{1000, size, false}, {size, size + 8, true}, {0, 1000, true}},
		{{0, 4, true}},
	}
	send := func(frame []byte) {
		for _, s := range r.sides {
			s.at[1].Send(frame)
		}
		time.Sleep(2 * time.Millisecond)
	}
	for n, c := range cases {
		for _, piece := range c {
			for from := piece.from; ; { // as large as the link allows
				to := min(piece.to, from+1400)
				for _, f := range fragmentsOf(n, from, to, piece.more || to < piece.to) {
					send(f)
				}
				if from = to; from >= piece.to {
					break
				}
			}
		}
	}
	time.Sleep(4 * time.Second)
	got := [2]map[string][]string{}
	for k, s := range r.sides {
		got[k] = make(map[string][]string)
		for _, f := range s.at[1].Frames() {
			if key, what := fragmentAnswer(f.Data); key != "" {
				got[k][key] = append(got[k][key], what)
			}
		}
	}
	for n := range cases {
		for _, family := range []string{"IPv4", "IPv6"} {
			key := fmt.Sprintf("%s %d", family, n)
			if x, y := fmt.Sprint(got[ours][key]), fmt.Sprint(got[kernels][key]); x != y {
				t.Errorf("%s %v\n  ours   %s\n  kernel %s", key, cases[n], x, y)
			}
		}
	}
	if len(got[kernels]) < len(cases) {
		t.Errorf("the kernel answered only %d", len(got[kernels]))
	}
	r.conserved()
}

// fragmentsOf are bytes [from, to) of the echo request with sequence number n, in IPv4 and in IPv6.
func fragmentsOf(n, from, to int, more bool) [][]byte {
	payload := make([]byte, max(to, 4008))
	for k := range payload {
		payload[k] = byte(k * 3)
	}
	payload[0], payload[1], payload[2], payload[3] = 8, 0, 0, 0
	binary.BigEndian.PutUint16(payload[6:], uint16(n))
	whole := payload[:4008]
	router, host := corpus.RouterMAC(1), corpus.HostMAC(1)
	ethernet := func(typ uint16) []byte {
		b := append(append([]byte(nil), router[:]...), host[:]...)
		return binary.BigEndian.AppendUint16(b, typ)
	}
	header.ICMP(payload).SetChecksum(^header.Fold(header.Sum(0, whole)))
	f4 := append(ethernet(header.TypeIPv4), make([]byte, 20)...)
	f4 = append(f4, payload[from:to]...)
	h := header.IPv4(f4[14:])
	header.SetIPv4(h, 0, len(h), uint16(1000+n), 64, header.ProtoICMP, 10<<24|1<<8|2, 10<<24|1<<8|1)
	h.SetFragment(from/8, more)
	h.SetChecksum()

	f6 := append(ethernet(header.TypeIPv6), make([]byte, 48)...)
	h6 := header.IPv6(f6[14:])
	header.SetIPv6(h6, 0, 8+to-from, header.ExtFragment, 64)
	h6.SetSource(0x20010db8_00010000, 2)
	h6.SetDestination(0x20010db8_00010000, 1)
	header.Fragment(h6[40:]).Set(header.ProtoICMPv6, from/8, more, uint32(1000+n))
	payload[0] = header.ICMPv6EchoRequest
	header.ICMP(payload).SetChecksum(0)
	header.ICMP(payload).SetChecksum(^header.Fold(header.Sum(header.PseudoSum6(h6, header.ProtoICMPv6, len(whole)), whole)))
	return [][]byte{f4, append(f6, payload[from:to]...)}
}

// fragmentAnswer names the probe that a frame answers, and says what the answer is: an echo reply by its first fragment, an
// error with what it quotes.
func fragmentAnswer(b []byte) (key, what string) {
	if len(b) < 14+48 {
		return "", ""
	}
	h4, h6 := header.IPv4(b[14:]), header.IPv6(b[14:])
	switch {
	case b[12] == 8 && h4.Protocol() == header.ProtoICMP && h4.FragmentOffset() == 0 && h4[20] == 0:
		return fmt.Sprintf("IPv4 %d", binary.BigEndian.Uint16(h4[26:])), fmt.Sprintf("reply %x", h4[20:])
	case b[12] == 8 && h4.Protocol() == header.ProtoICMP && h4.FragmentOffset() == 0:
		return fmt.Sprintf("IPv4 %d", h4[28:].ID()-1000), fmt.Sprintf("from %x: %x", h4.Source(), h4[20:])
	case b[12] == 0x86 && h6.NextHeader() == header.ExtFragment && header.Fragment(h6[40:]).Offset() == 0:
		return fmt.Sprintf("IPv6 %d", binary.BigEndian.Uint16(h6[54:])), fmt.Sprintf("reply %x", h6[48:])
	case b[12] == 0x86 && h6.NextHeader() == header.ProtoICMPv6 && h6[40] <= 4 && len(h6) > 48+48:
		return fmt.Sprintf("IPv6 %d", header.Fragment(h6[88:]).ID()-1000), fmt.Sprintf("from %x: %x", h6[8:24], h6[40:])
	}
	return "", ""
}
