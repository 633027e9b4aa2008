package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// The tools that operators look at a network with, between hosts whose only way is the router.

// TestToolPing: odd sizes, those of whole packets and one byte beside, and those that hosts or the router cut
// and put together.
func TestToolPing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	sizes := []int{0, 1, 7, 8, 55, 1000, 1451, 1452, 1453, 1471, 1472, 1473, 2953, 8000, 65000}
	for _, to := range []string{"10.0.2.2", "2001:db8:2::2", "10.0.1.1", "2001:db8:2::1"} {
		for _, size := range sizes {
			w.pingTool(a, to, size)
		}
	}
	// The way gets narrow: what may be cut is cut by the router, what may not is known to be too large.
	w.r.Must("link set p2 mtu 1300")
	b.Run("ip", "link", "set", "eth0", "mtu", "1300")
	for _, size := range []int{1271, 1272, 1273, 1472, 2000, 8000} {
		w.pingTool(a, "10.0.2.2", size, "-M", "dont")
	}
	for _, to := range []string{"10.0.2.2", "2001:db8:2::2"} {
		w.pingTool(a, to, 1252, "-M", "do")
		res := a.Try("ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", "-M", "do", "-s", "1300", to)
		if res.Status == 0 || !strings.Contains(res.Stdout+res.Stderr, "mtu") && !strings.Contains(res.Stdout, "MTU") ||
			!strings.Contains(res.Stdout+res.Stderr, "1300") {
			t.Errorf("ping %s of 1300 bytes, not to be cut: %s%s", to, res.Stdout, res.Stderr)
		}
	}
	w.pingTool(a, "2001:db8:2::2", 3000) // by now the host knows the way's MTU
	w.conserved()
}

// pingTool has ping send three requests of a size, which must be answered, byte for byte. On a busy machine ping does not
// wait long enough for the last answer (see lab.Host.Ping): it is asked again then.
func (w *world) pingTool(from *lab.Host, to string, size int, args ...string) {
	w.t.Helper()
	args = append([]string{"-n", "-q", "-c", "3", "-i", "0.02", "-W", "2", "-s", fmt.Sprint(size)}, append(args, to)...)
	var res lab.Result
	for range 3 {
		res = from.Try("ping", args...)
		if res.Status == 0 && strings.Contains(res.Stdout, " 0% packet loss") && !strings.Contains(res.Stdout, "wrong data") {
			return
		}
	}
	w.t.Errorf("ping %s: %s%s", strings.Join(args, " "), res.Stdout, res.Stderr)
}

// narrow makes p2 of an MTU, and the host behind it too.
func (w *world) narrow(b *lab.Host, mtu int) {
	w.r.Must(fmt.Sprintf("link set p2 mtu %d", mtu))
	b.Run("ip", "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
}

// TestToolTracepath: tracepath sees where the way gets narrow, by the device's MTU and by the route's, in both families.
func TestToolTracepath(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	b.Run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
	b.Run("ip", "addr", "add", "2001:db8:99::1/128", "dev", "lo", "nodad")
	w.r.Must("route add 192.0.2.0/24 via 10.0.2.2 mtu 1200\nroute add 2001:db8:99::/64 via 2001:db8:2::2 mtu 1290")
	for _, c := range []struct {
		to   string
		pmtu int
		mtu  int // of p2
	}{
		{"10.0.2.2", 1500, 1500}, {"2001:db8:2::2", 1500, 1500},
		{"192.0.2.1", 1200, 1500}, {"2001:db8:99::1", 1290, 1500},
		{"10.0.2.2", 1400, 1400}, {"2001:db8:2::2", 1400, 1400},
		{"192.0.2.1", 1100, 1100}, // the device's, where it is less than the route's
	} {
		if c.mtu < 1280 {
			w.r.Must("addr del 2001:db8:2::1/64 dev p2")
		}
		w.narrow(b, c.mtu)
		a.Run("ip", "route", "flush", "cache")
		a.Run("ip", "-6", "route", "flush", "cache")
		out := a.Run("tracepath", "-n", c.to)
		if !strings.Contains(out, fmt.Sprintf("Resume: pmtu %d hops 2 back 2", c.pmtu)) {
			t.Errorf("to %s with %d at p2: %s", c.to, c.mtu, out)
		}
		router := "10.0.1.1"
		if strings.Contains(c.to, ":") {
			router = "2001:db8:1::1"
		}
		if c.pmtu < 1500 && !regexp.MustCompile(regexp.QuoteMeta(router)+` .*pmtu `+fmt.Sprint(c.pmtu)).MatchString(out) {
			t.Errorf("to %s: the router does not say %d: %s", c.to, c.pmtu, out)
		}
	}
	w.conserved()
}

// TestToolTraceroute: the router is the first hop and the host behind it the second, whatever the probes are.
//
// The tool runs on the worker's CPU, which also delivers what the worker sends. On another one it can read the error about
// its first probe between the two steps in which the kernel reports it (raw_err of net/ipv4/raw.c queues it, then sets
// sk_err), and from then on looks for errors alone: about one run with -T in fifty.
func TestToolTraceroute(t *testing.T) {
	t.Parallel()
	const cpu = "0"
	w := newWorld(t, "--cpus", cpu)
	a := w.host(1, "init")
	w.host(2, "init")
	hop := regexp.MustCompile(`(?m)^ *(\d+)  (\S+)`)
	for _, c := range []struct{ to, router string }{{"10.0.2.2", "10.0.1.1"}, {"2001:db8:2::2", "2001:db8:1::1"}} {
		for _, args := range [][]string{nil, {"-U"}, {"-I"}, {"-T"}, {"-T", "-p", "443"}} {
			words := append([]string{"-c", cpu, "traceroute", "-n", "-q", "1", "-w", "3", "-N", "1", "-m", "5"}, append(args, c.to)...)
			out := a.Run("taskset", words...)
			hops := hop.FindAllStringSubmatch(out, -1)
			if len(hops) != 2 || hops[0][2] != c.router || hops[1][2] != c.to {
				t.Errorf("traceroute %s: %sdrops %v %v",
					strings.Join(args, " "), out, w.link("init", "p1").Drops, w.link("init", "p2").Drops)
			}
		}
	}
	w.conserved()
}

// TestToolMTR: mtr's report of five rounds, without loss at either hop.
func TestToolMTR(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.host(1, "init")
	w.host(2, "init")
	for _, c := range []struct{ to, router string }{{"10.0.2.2", "10.0.1.1"}, {"2001:db8:2::2", "2001:db8:1::1"}} {
		for _, kind := range []string{"", "--udp", "--tcp"} {
			args := []string{"--report", "-n", "-c", "5", "-i", "0.2", "-G", "2", "--json", c.to}
			if kind != "" {
				args = append([]string{kind}, args...)
			}
			out := a.Run("mtr", args...)
			var report struct {
				Report struct {
					Hubs []struct {
						Host string  `json:"host"`
						Loss float64 `json:"Loss%"`
					}
				}
			}
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			hubs := report.Report.Hubs
			if len(hubs) != 2 || hubs[0].Host != c.router || hubs[1].Host != c.to || hubs[0].Loss != 0 || hubs[1].Loss != 0 {
				t.Errorf("mtr %s %s: %s", kind, c.to, out)
			}
		}
	}
	w.conserved()
}

// TestToolIperf: TCP and UDP, both ways, both families. What UDP loses is little.
func TestToolIperf(t *testing.T) {
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	for _, to := range []string{"10.0.2.2", "2001:db8:2::2"} {
		for _, args := range [][]string{nil, {"-R"}, {"-u", "-b", "5M"}, {"-u", "-b", "5M", "-R"}} {
			server := w.iperfServer(b)
			out := a.Run("iperf3", append([]string{"-J", "-c", to, "-t", "1"}, args...)...)
			var report struct {
				End struct {
					Received struct{ Bytes float64 } `json:"sum_received"`
					UDP      struct {
						Packets float64
						Lost    float64 `json:"lost_packets"`
					} `json:"sum"`
				}
			}
			if err := json.Unmarshal([]byte(out), &report); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if udp := report.End.UDP; len(args) > 1 {
				if udp.Packets < 100 || udp.Lost > udp.Packets/10 {
					t.Errorf("iperf3 %v to %s: %v of %v lost", args, to, udp.Lost, udp.Packets)
				}
			} else if report.End.Received.Bytes < 1e6 {
				t.Errorf("iperf3 %v to %s: %v bytes received", args, to, report.End.Received.Bytes)
			}
			if _, err := server.Wait(5 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.conserved()
}

// iperfServer starts a server for one test and waits until it listens.
func (w *world) iperfServer(h *lab.Host) *lab.Process {
	server := h.Start("iperf3", "-s", "-1", "--forceflush")
	w.Eventually(5*time.Second, "iperf3 server", func() bool { return strings.Contains(server.Output(), "listening") })
	return server
}

// TestToolNmap: host discovery over the routed link finds the host and the router's own addresses, and nobody else. The
// neighbours asked for in vain are counted as what they are.
func TestToolNmap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.host(1, "init")
	w.host(2, "init")
	for _, c := range []struct {
		args []string
		up   string
	}{
		{[]string{"10.0.2.0/29"}, "10.0.2.1 10.0.2.2"},
		{[]string{"-6", "2001:db8:2::1", "2001:db8:2::2", "2001:db8:2::3"}, "2001:db8:2::1 2001:db8:2::2"},
		{[]string{"-PE", "--disable-arp-ping", "10.0.1.1", "10.0.2.2"}, "10.0.1.1 10.0.2.2"},
	} {
		out := a.Run("nmap", append([]string{"-sn", "-n", "--max-retries", "1", "-oG", "-"}, c.args...)...)
		var up []string
		for _, m := range regexp.MustCompile(`Host: (\S+) .*Status: Up`).FindAllStringSubmatch(out, -1) {
			up = append(up, m[1])
		}
		if strings.Join(up, " ") != c.up {
			t.Errorf("nmap %v: up %v, want %s: %s", c.args, up, c.up, out)
		}
	}
	w.Eventually(5*time.Second, "neighbours that do not answer", func() bool {
		return w.link("init", "p1").Drops["neighbor-failed"] > 0
	})
	w.conserved()
}

const dhcpScript = `#!/bin/sh
case "$1" in
deconfig) ip addr flush dev "$interface" ;;
bound|renew) ip addr replace "$ip/$mask" dev "$interface"; ip route replace default via "$router" ;;
esac
`

// TestToolDHCP: a DHCP server and a client on one link with a port of the router. The client learns the router as its
// gateway and reaches a host behind it. The router keeps out of what is not for it, and says so.
func TestToolDHCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far := w.host(2, "init")
	hub, server, client := w.Host("hub"), w.Host("server"), w.Host("client")
	hub.Run("ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
	hub.Run("ip", "link", "set", "br0", "up")
	w.Link(server.End("eth0", "10.0.1.3/24"), hub.End("server"), lab.LinkOptions{})
	w.Link(client.End("eth0"), hub.End("client"), lab.LinkOptions{})
	w.Link(w.r.Host.End("p1"), hub.End("router"), lab.LinkOptions{})
	for _, port := range []string{"server", "client", "router"} {
		hub.Run("ip", "link", "set", port, "master", "br0")
	}
	w.r.Must("link add p1 type xdp\naddr add 10.0.1.1/24 dev p1\nlink set p1 up")

	script, conf := filepath.Join(w.Dir, "script"), filepath.Join(w.Dir, "udhcpd.conf")
	leases := filepath.Join(w.Dir, "leases")
	for path, text := range map[string]string{
		script: dhcpScript, leases: "",
		conf: fmt.Sprintf("start 10.0.1.100\nend 10.0.1.110\ninterface eth0\nlease_file %s\npidfile %s.pid\n"+
			"option subnet 255.255.255.0\noption router 10.0.1.1\noption lease 600\n", leases, leases),
	} {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil { //nolint:gosec // one of them is a program
			t.Fatal(err)
		}
	}
	server.Start("busybox", "udhcpd", "-f", conf)
	time.Sleep(200 * time.Millisecond)
	out := client.Try("busybox", "udhcpc", "-f", "-q", "-n", "-t", "10", "-T", "1", "-i", "eth0", "-s", script)
	if out.Status != 0 {
		t.Fatalf("udhcpc: %s%s", out.Stdout, out.Stderr)
	}
	if route := client.Run("ip", "route", "show", "default"); !strings.Contains(route, "via 10.0.1.1 dev eth0") {
		t.Errorf("the client's default route is %q: %s", route, out.Stderr)
	}
	w.ping(client, "10.0.2.2", 20)
	w.ping(client, "10.0.1.1", 5)
	w.ping(client, "10.0.1.3", 5)
	far.Run("ping", "-n", "-c", "1", "-W", "2", strings.Fields(client.Run("hostname", "-I"))[0])
	// What the two said to everybody is for programs in the namespace, if there are any: a broadcast is neither forwarded
	// nor answered.
	link := w.link("init", "p1")
	if link.Forwarding.Delivered < 2 {
		t.Errorf("p1 delivered %d, drops %v", link.Forwarding.Delivered, link.Drops)
	}
	if got := w.link("init", "p2").Stats.Tx.Packets; got > 40 {
		t.Errorf("%d packets left by p2", got)
	}
	w.conserved()
}

// TestShrinkingMTU: the way gets narrow while TCP flows. It goes on, and the sender knows the new MTU.
func TestShrinkingMTU(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	for _, c := range []struct {
		to, family string
		mtu        int
	}{{"10.0.2.2", "-4", 1300}, {"2001:db8:2::2", "-6", 1290}} {
		w.narrow(b, 1500)
		w.iperfServer(b)
		client := a.Start("iperf3", "-J", "-c", c.to, "-t", "6")
		time.Sleep(2 * time.Second)
		w.narrow(b, c.mtu)
		time.Sleep(time.Second)
		if out := a.Run("ip", c.family, "route", "get", c.to); !strings.Contains(out, fmt.Sprintf("mtu %d", c.mtu)) {
			t.Errorf("the sender does not know of an MTU of %d: %s", c.mtu, out)
		}
		if status, err := client.Wait(20 * time.Second); err != nil || status != 0 {
			t.Fatalf("iperf3: status %d, %v: %s", status, err, client.Output())
		}
		var report struct {
			Intervals []struct {
				Sum struct{ Start, Bytes float64 }
			}
		}
		if err := json.Unmarshal([]byte(client.Output()), &report); err != nil {
			t.Fatalf("%v: %s", err, client.Output())
		}
		for _, i := range report.Intervals {
			if i.Sum.Bytes == 0 {
				t.Errorf("%s: nothing was sent in the second from %.0f", c.to, i.Sum.Start)
			}
		}
		if len(report.Intervals) < 6 {
			t.Errorf("%d intervals", len(report.Intervals))
		}
		if n := w.link("init", "p1").Drops["too-big"]; n == 0 {
			t.Error("nothing was too big")
		}
	}
	w.conserved()
}
