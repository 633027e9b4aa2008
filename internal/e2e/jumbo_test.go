package e2e

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/internal/corpus"
	"nsrouter/internal/lab"
)

// widen gives the hosts behind p1 and p2 and these ports an MTU of 9,000.
func (w *world) widen(a, b *lab.Host) {
	w.r.Must("link set p1 mtu 9000\nlink set p2 mtu 9000")
	for _, h := range []*lab.Host{a, b} {
		h.Run("ip", "link", "set", "eth0", "mtu", "9000")
	}
}

// TestJumbo: packets of 9,000 bytes pass the router whole, and reach it and programs behind it, in both families; what the
// next link does not take is cut or answered; and so it is after a daemon that was killed.
func TestJumbo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "--workers", "2")
	a, b := w.host(1, "init"), w.host(2, "init")
	if show := w.r.Must("link show p1"); !strings.Contains(show, "maxmtu 9000") {
		t.Error(show)
	}
	w.widen(a, b)
	jumbo := func() {
		w.pingTool(a, "10.0.2.2", 8972, "-M", "do")
		w.pingTool(a, "2001:db8:2::2", 8952, "-M", "do")
		w.pingTool(a, "10.0.1.1", 8972, "-M", "do")
		w.pingTool(a, "2001:db8:1::1", 8952, "-M", "do")
		w.pingTool(b, "10.0.1.2", 65507)
		w.pingTool(b, "2001:db8:2::1", 30000)
	}
	jumbo()
	for _, to := range []string{"10.0.2.2", "2001:db8:2::2"} {
		wire := b.Sniff("eth0")
		server := w.iperfServer(b)
		if rate := w.gigabits(a, to, "-t", "1"); rate < 0.01 {
			t.Errorf("TCP to %s: %v Gbit/s", to, rate)
		}
		if _, err := server.Wait(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		if frames := wire.Take(); !slices.ContainsFunc(frames, func(f lab.Frame) bool { return len(f.Data) == 9014 }) {
			t.Errorf("no segment to %s of %d fills a link of 9,000 bytes", to, len(frames))
		}
	}
	w.conserved()
	w.r.Kill()
	w.r.Start()
	w.Eventually(5*time.Second, "an answer", func() bool { return a.Ping("10.0.2.2", 1, 0) == 1 })
	jumbo()
	// To a narrower link.
	w.narrow(b, 1500)
	w.pingTool(a, "10.0.2.2", 8972, "-M", "dont")
	out := a.Try("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", "8972", "10.0.2.2")
	if !strings.Contains(out.Stdout+out.Stderr, "mtu = 1500") && !strings.Contains(out.Stdout+out.Stderr, "mtu=1500") {
		t.Errorf("%s%s", out.Stdout, out.Stderr)
	}
	w.pingTool(a, "2001:db8:2::2", 8952) // once it has heard "packet too big", the sender cuts
	w.conserved()
}

// TestJumboHost: a program in the router's namespace and a host exchange TCP in segments of 9,000 bytes, and UDP.
func TestJumboHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	w.widen(a, b)
	server := w.inside("init")("iperf3", "-s", "-1", "--forceflush")
	w.Eventually(5*time.Second, "iperf3 server", func() bool { return strings.Contains(server.Output(), "listening") })
	wire := a.Sniff("eth0")
	if rate := w.gigabits(a, "10.0.1.1", "-t", "1", "-R"); rate < 0.01 {
		t.Errorf("%v Gbit/s", rate)
	}
	if frames := wire.Take(); !slices.ContainsFunc(frames, func(f lab.Frame) bool { return len(f.Data) == 9014 }) {
		t.Errorf("no segment of %d fills a link of 9,000 bytes", len(frames))
	}
	if _, err := server.Wait(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	w.conserved()
}

// jumboProbes are packets of mixed sizes up to 9,014 bytes of Ethernet, of protocol 253, each with an identification or flow
// label of its own; some of them for routes with a smaller MTU.
func jumboProbes() [][]byte {
	rnd := rand.New(rand.NewPCG(5, 6))
	to, from := corpus.RouterMAC(1), corpus.HostMAC(1)
	destinations := [][4]byte{{10, 0, 2, 2}, {10, 0, 2, 2}, {198, 51, 100, 76}, {198, 51, 100, 130}}
	var out [][]byte
	for n := range 300 {
		size := []int{50, 1500, 1778, 1779, 3570, 3571, 8986, 9000, 60 + rnd.IntN(8940)}[rnd.IntN(9)]
		b := make([]byte, 14+size)
		copy(b, to[:])
		copy(b[6:], from[:])
		for k := 34; k < len(b); k++ {
			b[k] = byte(rnd.Uint32())
		}
		b[12], b[13] = 8, 0
		ip := header.IPv4(b[14:])
		header.SetIPv4(ip, 0, size, uint16(n+1), 30, 253, 10<<24|1<<8|2, 0)
		dst := destinations[rnd.IntN(len(destinations))]
		ip.SetDestination(binary.BigEndian.Uint32(dst[:]))
		ip.SetChecksum()
		out = append(out, b)
	}
	return out
}

// TestJumboReference: packets of mixed sizes come out as they come out of the kernel, byte by byte.
func TestJumboReference(t *testing.T) {
	w := newReference(t)
	for _, route := range []string{"198.51.100.64/26 via 10.0.2.2 mtu 1280", "198.51.100.128/26 via 10.0.2.2 mtu 4000"} {
		w.r.Must("route add " + route)
		w.linux.Run("ip", append([]string{"route", "add"}, strings.Fields(route)...)...)
	}
	for _, p := range []string{"p1", "p2"} {
		w.r.Must("link set " + p + " mtu 9000")
		w.linux.Run("ip", "link", "set", p, "mtu", "9000")
	}
	for _, s := range w.sides {
		for n := 1; n <= 2; n++ {
			w.linux.Run("ip", "-n", fmt.Sprintf("%s%s-host%d", w.Prefix, s.name, n), "link", "set", "eth0", "mtu", "9000")
			s.at[n].Reset()
		}
	}
	probes := jumboProbes()
	for batch := range slices.Chunk(probes, 20) {
		for _, f := range batch {
			for s := range w.sides {
				w.sides[s].at[1].Send(f)
			}
		}
		w.sync()
	}
	got, want := w.sides[ours].byID(), w.sides[kernels].byID()
	if len(want) != len(probes) {
		t.Fatalf("the kernel forwards %d of %d", len(want), len(probes))
	}
	for id, frames := range want {
		if !slices.Equal(got[id], frames) {
			t.Errorf("packet %d of %d bytes: %d frames, the kernel sends %d", id, len(probes[id-1]), len(got[id]), len(frames))
		}
	}
}
