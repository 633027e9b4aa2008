package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// neighRow is what these tests read of `neigh show`.
type neighRow struct {
	Dst    string
	LLAddr string
	State  []string
}

// neighbors are the states of the neighbours of a device, by address.
func (w *world) neighbors(dev string) map[string]string {
	w.t.Helper()
	states := map[string]string{}
	for _, n := range query[neighRow](w, "neigh show dev "+dev) {
		states[n.Dst] = n.State[0]
	}
	return states
}

// scan has a host send a UDP packet to one address after the other, until stop is called; that tells how many it sent.
func (w *world) scan(h *lab.Host, at func(i int) netip.Addr) (stop func() int) {
	w.t.Helper()
	family := unix.AF_INET
	if at(0).Is6() {
		family = unix.AF_INET6
	}
	var fd int
	if err := h.NS.Do(func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	var ended atomic.Bool
	sent := make(chan int)
	go func() {
		defer unix.Close(fd)
		n := 0
		for ; !ended.Load(); n++ {
			a := at(n)
			var to unix.Sockaddr = &unix.SockaddrInet6{Port: 9, Addr: a.As16()}
			if a.Is4() {
				to = &unix.SockaddrInet4{Port: 9, Addr: a.As4()}
			}
			_ = unix.Sendto(fd, []byte("scan"), 0, to) // errors are those that the router has reported
			if n%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		sent <- n
	}()
	return func() int { ended.Store(true); return <-sent }
}

// TestNeighborScan: while a host scans a /16 and a /64 behind a port, the pings of another host to a neighbour that is
// known, and the first ones to neighbours that are not yet, are all answered, and the table stays within its limit.
func TestNeighborScan(t *testing.T) {
	w := newWorld(t)
	scanner, other := w.host(1, "init"), w.host(3, "init")
	addrs := []string{"10.2.0.2/16", "2001:db8:2::2/64"}
	for i := range 20 {
		addrs = append(addrs, fmt.Sprintf("10.2.77.%d/16", i), fmt.Sprintf("2001:db8:2::77:%d/64", i))
	}
	h := w.Host("host2")
	w.Link(h.End("eth0", addrs...), w.r.Host.End("p2"), lab.LinkOptions{})
	h.Route("default", "10.2.0.1")
	h.Route("default", "2001:db8:2::1")
	w.r.Must(`
		link add p2 type xdp
		addr add 10.2.0.1/16 dev p2
		addr add 2001:db8:2::1/64 dev p2 nodad
		link set p2 neigh-max 2048 neigh-budget 500
		link set p2 up`)
	w.ping(other, "10.2.0.2", 2)
	w.ping(other, "2001:db8:2::2", 2)
	stops := []func() int{
		w.scan(scanner, func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 2, 100 + byte(i>>8)%100, byte(i)}) }),
		w.scan(scanner, func(i int) netip.Addr {
			a := netip.MustParseAddr("2001:db8:2::5ca:0").As16()
			a[8], a[9], a[10] = byte(i), byte(i>>8), byte(i>>16)
			return netip.AddrFrom16(a)
		}),
	}
	time.Sleep(500 * time.Millisecond)
	known := make(chan int)
	go func() { known <- other.Ping("10.2.0.2", 100, 40*time.Millisecond) }()
	for i := range 20 {
		for _, to := range []string{fmt.Sprintf("10.2.77.%d", i), fmt.Sprintf("2001:db8:2::77:%d", i)} {
			if other.Ping(to, 1, 0) != 1 {
				t.Errorf("the first ping to %s is not answered", to)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if n := len(w.neighbors("p2")); n > 2048 {
			t.Fatalf("%d neighbours", n)
		}
	}
	if n := <-known; n != 100 {
		t.Errorf("%d of 100 pings to a known neighbour are answered", n)
	}
	sent := 0
	for _, stop := range stops {
		sent += stop()
	}
	if refused := w.dropped("p1")["neighbor-budget"]; sent < 2000 || refused < uint64(sent)/2 {
		t.Errorf("%d sent, drops %v", sent, w.dropped("p1"))
	}
	w.Eventually(15*time.Second, "the traces of the scan to be gone", func() bool { return len(w.neighbors("p2")) <= 128+4 })
}

// TestNeighborStates follows a neighbour of the router and the same neighbour of a Linux router through its states: stale,
// delay, probe, reachable while it lives; delay, probe, failed when it is silent.
func TestNeighborStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := w.host(1, "init")
	h := w.host(2, "init")
	w.ping(user, "10.0.2.2", 1)
	linux, mirror, peer := w.Host("linux"), w.Host("mirror"), w.Host("peer")
	w.Link(peer.End("eth0", "10.0.2.2/24"), linux.End("p2", "10.0.2.1/24"), lab.LinkOptions{})
	w.Link(mirror.End("eth0", "10.0.1.2/24"), linux.End("p1", "10.0.1.1/24"), lab.LinkOptions{})
	linux.Sysctl("net.ipv4.ip_forward", "1")
	mirror.Route("default", "10.0.1.1")
	peer.Route("default", "10.0.2.1")
	mirror.Ping("10.0.2.2", 1, 0)
	mac := peer.Interface("eth0").MAC.String()
	silence := func(arp string) {
		h.Run("ip", "link", "set", "eth0", "arp", arp)
		peer.Run("ip", "link", "set", "eth0", "arp", arp)
	}
	// Both ask by 10.0.2.1; without ARP a host neither answers nor asks.
	gateway := w.mac("p2")
	h.Neighbor("eth0", "10.0.2.1", gateway)
	peer.Neighbor("eth0", "10.0.2.1", linux.Interface("p2").MAC.String())

	// follow sends a packet a moment and notes the states until the last of want comes.
	follow := func(send *lab.Host, state func() string) []string {
		var seen []string
		end := time.Now().Add(14 * time.Second)
		for time.Now().Before(end) {
			if s := state(); len(seen) == 0 || seen[len(seen)-1] != s {
				seen = append(seen, s)
			}
			if last := seen[len(seen)-1]; last == "FAILED" || last == "REACHABLE" {
				break
			}
			send.Try("ping", "-c", "1", "-W", "0.05", "10.0.2.2")
			time.Sleep(50 * time.Millisecond)
		}
		return seen
	}
	ours := func() string { return w.neighbors("p2")["10.0.2.2"] }
	theirs := func() string {
		fields := strings.Fields(linux.Run("ip", "neigh", "show", "10.0.2.2", "dev", "p2"))
		return fields[len(fields)-1]
	}
	for _, arp := range []string{"on", "off"} {
		silence(arp)
		h.Neighbor("eth0", "10.0.2.1", gateway)
		peer.Neighbor("eth0", "10.0.2.1", linux.Interface("p2").MAC.String())
		w.r.Must("neigh replace 10.0.2.2 dev p2 lladdr " + h.Interface("eth0").MAC.String() + " nud stale")
		linux.Run("ip", "neigh", "replace", "10.0.2.2", "dev", "p2", "lladdr", mac, "nud", "stale")
		other := make(chan []string)
		go func() { other <- follow(mirror, theirs) }()
		got, want := follow(user, ours), <-other
		expected := "STALE DELAY PROBE FAILED"
		if arp == "on" {
			// The answer may come before the state is looked at.
			expected = "STALE DELAY REACHABLE"
			got = without(got, "PROBE")
			want = without(want, "PROBE")
		}
		// A packet may come between the failure and the next look, and ask anew.
		states := strings.Replace(strings.Join(got, " "), "PROBE INCOMPLETE FAILED", "PROBE FAILED", 1)
		if states != expected || strings.Join(want, " ") != expected {
			t.Errorf("ARP %s: router %v, Linux %v, want %s", arp, got, want, expected)
		}
	}
}

func without(list []string, word string) []string {
	var out []string
	for _, s := range list {
		if s != word {
			out = append(out, s)
		}
	}
	return out
}

// TestNeighborSettings: gratuitous ARP and advertisements with arp-notify and ndisc-notify, proxy ARP, and a conflict that
// is told of in the log and by a counter.
func TestNeighborSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.host(1, "init")
	w.host(2, "init")
	w.ping(h, "10.0.2.2", 1)
	wire := h.Sniff("eth0")
	w.r.Must("addr add 10.0.8.1/24 dev p1")
	w.r.Must("link set p1 arp-notify on ndisc-notify on\naddr add 10.0.9.1/24 dev p1\nlink set p1 down\nlink set p1 up")
	announced := func(ip string) func([]byte) bool {
		a := netip.MustParseAddr(ip).AsSlice()
		return func(f []byte) bool {
			if len(a) == 4 {
				return f[12] == 8 && f[13] == 6 && string(f[28:32]) == string(a) && string(f[38:42]) == string(a)
			}
			return f[12] == 0x86 && f[13] == 0xdd && f[54] == 136 && string(f[62:78]) == string(a) && f[58] == 0xa0
		}
	}
	for _, a := range []string{"10.0.9.1", "10.0.1.1", "10.0.8.1", "2001:db8:1::1"} {
		if _, ok := wire.Wait(5*time.Second, announced(a)); !ok {
			t.Errorf("%s is not announced", a)
		}
	}
	// A host that takes the other network for its own link.
	h.Run("ip", "route", "add", "10.0.2.0/24", "dev", "eth0")
	w.silent(h, "10.0.2.2")
	w.r.Must("link set p1 proxy-arp on")
	w.ping(h, "10.0.2.2", 5)
	if got := w.r.Must("-d link show p1"); !strings.Contains(got, "proxy-arp on") {
		t.Errorf("proxy-arp is not shown:\n%s", got)
	}
	// The host claims the router's address.
	h.Run("ip", "addr", "add", "10.0.1.1/24", "dev", "eth0")
	h.Run("ip", "neigh", "flush", "dev", "eth0")
	h.Try("ping", "-c", "1", "-W", "0.2", "-I", "10.0.1.1", "10.0.1.9")
	w.Eventually(5*time.Second, "the conflict to be counted", func() bool { return w.dropped("p1")["address-conflict"] > 0 })
}
