package e2e

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// TestLinuxNeighbors: programs reach neighbours by what the router knows, and hear when it changes. On the wire there is one
// voice: nobody asks twice, and who asks is answered once.
func TestLinuxNeighbors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	a := w.host(1, "red")
	wire := a.Sniff("eth0")
	for _, addr := range []string{"10.0.1.2", "2001:db8:1::2"} {
		// The first packet that waits for the neighbour is not lost.
		w.linux("red", "ping -n -c 1 -W 5 "+addr)
		w.knows("red", addr, a.Interface("eth0").MAC.String())
		w.knownTo("red", addr, a.Interface("eth0").MAC.String())
	}
	if asked := questions(wire); len(asked) != 2 {
		t.Errorf("%d questions for two neighbours: % x", len(asked), asked)
	}
	w.answeredOnce(a, wire)

	const other = "02:00:00:00:00:99"
	a.Run("ip", "link", "set", "eth0", "down")
	a.Run("ip", "link", "set", "eth0", "address", other)
	a.Run("ip", "link", "set", "eth0", "up")
	a.Run("ip", "-6", "addr", "replace", "2001:db8:1::2/64", "dev", "eth0", "nodad")
	w.Eventually(10*time.Second, "carrier", func() bool { return w.link("red", "p1").OperState == "UP" })
	// What the host sends tells the router, and that Linux.
	w.Eventually(10*time.Second, "the router to know of the new address", func() bool {
		return a.Ping("10.0.1.1", 1, 0) == 1 && a.Ping("2001:db8:1::1", 1, 0) == 1
	})
	for _, addr := range []string{"10.0.1.2", "2001:db8:1::2"} {
		w.linux("red", "ping -n -c 1 -W 5 "+addr)
		w.knows("red", addr, other)
		w.knownTo("red", addr, other)
	}
	w.r.Must("-n red neigh add 10.0.1.77 lladdr 02:00:00:00:00:77 dev p1 nud permanent")
	w.r.CLI("netns", "exec", "red", "ping", "-n", "-c", "1", "-W", "0.1", "10.0.1.77") // nobody is there
	w.knows("red", "10.0.1.77", "02:00:00:00:00:77")
	w.r.Must("-n red neigh replace 10.0.1.77 lladdr 02:00:00:00:00:78 dev p1 nud permanent")
	w.knows("red", "10.0.1.77", "02:00:00:00:00:78")

	// Who is not there is told to the program, in the time that the router takes to find out, and to nobody else.
	res := w.r.CLI("netns", "exec", "red", "ping", "-n", "-c", "1", "-W", "10", "10.0.1.99")
	if !strings.Contains(res.Stdout, "Destination Host Unreachable") {
		t.Errorf("a neighbour that is not there: %s%s", res.Stdout, res.Stderr)
	}
	w.conserved()
}

// linuxNeighbor is a neighbour as Linux has it, empty where it has none.
func (w *world) linuxNeighbor(ns, addr string) string { return w.linux(ns, "ip neigh show to "+addr) }

// knows waits until Linux has a neighbour with a MAC address.
func (w *world) knows(ns, addr, mac string) {
	w.t.Helper()
	w.Eventually(5*time.Second, fmt.Sprintf("Linux has %s at %s", addr, mac), func() bool {
		return strings.Contains(w.linuxNeighbor(ns, addr), " lladdr "+mac+" ")
	})
}

// knownTo fails unless the router has a neighbour with a MAC address.
func (w *world) knownTo(ns, addr, mac string) {
	w.t.Helper()
	rows := query[neighRow](w, "-n "+ns+" neigh show")
	if !slices.ContainsFunc(rows, func(r neighRow) bool { return r.Dst == addr && r.LLAddr == mac }) {
		w.t.Errorf("the router does not have %s at %s: %+v", addr, mac, rows)
	}
}

// questions are the ARP requests and neighbour solicitations that a host has heard, but for those of who claims an address
// for itself: announcements (RFC 5227) and duplicate address detection.
func questions(wire *lab.Sniffer) (asked [][]byte) {
	for _, f := range wire.Take() {
		switch b := f.Data; {
		case etherType(b) == uint16(layers.EthernetTypeARP) && b[21] == layers.ARPRequest && !bytes.Equal(b[28:32], b[38:42]):
			asked = append(asked, b)
		case is6(b) && len(b) > 54 && b[20] == unix.IPPROTO_ICMPV6 && b[54] == layers.ICMPv6TypeNeighborSolicitation &&
			!bytes.Equal(b[22:38], make([]byte, 16)):
			asked = append(asked, b)
		}
	}
	return asked
}

// answeredOnce asks for the router's addresses, and counts the answers.
func (w *world) answeredOnce(h *lab.Host, wire *lab.Sniffer) {
	w.t.Helper()
	wire.Take()
	const times = 3
	h.Run("busybox", "arping", "-c", fmt.Sprint(times), "-I", "eth0", "10.0.1.1")
	for range times {
		h.Run("ndisc6", "-m", "-r", "1", "-w", "500", "2001:db8:1::1", "eth0") // waits for further answers
	}
	var arp, nd int
	for _, f := range wire.Take() {
		switch b := f.Data; {
		case etherType(b) == uint16(layers.EthernetTypeARP) && b[21] == layers.ARPReply:
			arp++
		case is6(b) && len(b) > 54 && b[20] == unix.IPPROTO_ICMPV6 && b[54] == layers.ICMPv6TypeNeighborAdvertisement:
			nd++
		}
	}
	if arp != times || nd != times {
		w.t.Errorf("%d questions of each family have %d ARP and %d ND answers", times, arp, nd)
	}
}

// TestLinuxStaticNeighbors: a permanent neighbour that somebody gives to Linux is the router's, until it is taken from
// either side; who writes last wins.
func TestLinuxStaticNeighbors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	w.host(1, "red")
	has := func(addr, mac string) {
		t.Helper()
		w.Eventually(5*time.Second, fmt.Sprintf("both sides have %s at %q", addr, mac), func() bool {
			router, linux := "", w.linuxNeighbor("red", addr)
			for _, row := range query[neighRow](w, "-n red neigh show") {
				if row.Dst == addr {
					router = fmt.Sprintf("%s %s", row.LLAddr, row.State)
				}
			}
			if mac == "" {
				return router == "" && linux == ""
			}
			return router == mac+" [PERMANENT]" && strings.Contains(linux, " lladdr "+mac+" PERMANENT")
		})
	}
	for _, addr := range []string{"10.0.1.50", "2001:db8:1::50"} {
		const first, second, third = "02:00:00:00:00:51", "02:00:00:00:00:52", "02:00:00:00:00:53"
		w.linux("red", "ip neigh add "+addr+" lladdr "+first+" dev p1 nud permanent")
		has(addr, first)
		w.linux("red", "ip neigh replace "+addr+" lladdr "+second+" dev p1 nud permanent")
		has(addr, second)
		w.r.Must("-n red neigh replace " + addr + " lladdr " + third + " dev p1 nud permanent")
		has(addr, third)
		w.linux("red", "ip neigh del "+addr+" dev p1")
		has(addr, "")
		w.linux("red", "ip neigh add "+addr+" lladdr "+first+" dev p1 nud permanent")
		has(addr, first)
		w.r.Must("-n red neigh del " + addr + " dev p1")
		has(addr, "")
	}
	w.conserved()
}
