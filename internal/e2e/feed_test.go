package e2e

import (
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// routeRow is what these tests read of `route show`.
type routeRow struct {
	Dst, Gateway, Dev, Protocol, Type string
	Metric                            uint32
}

// TestLinuxRoutes: routes that programs make in the Linux network namespace of a router namespace are what is forwarded by
// there, and nowhere else, within 100 ms; also when the daemon was killed.
func TestLinuxRoutes(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	hosts := map[string]*lab.Host{}
	for _, ns := range []string{"red", "blue"} {
		for n, name := range []string{ns + "1", ns + "2"} {
			hosts[name] = w.hostAs(name, name, n+1, ns)
		}
		hosts[ns+"2"].Run("ip", "addr", "add", "192.0.2.1/32", "dev", "lo")
		hosts[ns+"2"].Run("ip", "addr", "add", "2001:db8:f::1/128", "dev", "lo")
	}
	row := func(ns, prefix string) (row routeRow, ok bool) {
		for _, row := range query[routeRow](w, "-n "+ns+" route show "+prefix) {
			if row.Dst == prefix {
				return row, true
			}
		}
		return row, false
	}
	reached := func(ns, to string) func() bool {
		return func() bool { return hosts[ns+"1"].Ping(to, 1, time.Millisecond) == 1 }
	}
	w.linux("red", "ip route add 192.0.2.0/24 via 10.0.2.2 proto bgp metric 20")
	w.linux("red", "ip -6 route add 2001:db8:f::/48 via 2001:db8:2::2 proto ospf")
	w.Eventually(5*time.Second, "the route of Linux", func() bool { _, ok := row("red", "2001:db8:f::/48"); return ok })
	if got, ok := row("red", "192.0.2.0/24"); !ok || got.Protocol != "bgp" || got.Metric != 20 || got.Gateway != "10.0.2.2" ||
		got.Dev != "red2" {
		t.Errorf("route show: %+v", got)
	}
	w.ping(hosts["red1"], "192.0.2.1", 10)
	w.ping(hosts["red1"], "2001:db8:f::1", 10)
	w.silent(hosts["blue1"], "192.0.2.1")
	w.r.Refused(2, "-n red route del 192.0.2.0/24")

	// What is written is soon there. The best of some: the machine has others to serve.
	best := time.Hour
	for range 5 {
		w.linux("blue", "ip route add 192.0.2.0/24 via 10.0.2.2")
		began := time.Now()
		w.Eventually(5*time.Second, "the route in use", reached("blue", "192.0.2.1"))
		best = min(best, time.Since(began))
		w.linux("blue", "ip route del 192.0.2.0/24")
		w.Eventually(5*time.Second, "the route not in use", func() bool { _, ok := row("blue", "192.0.2.0/24"); return !ok })
	}
	if t.Logf("a route of Linux is in use after %v", best); best > 2*time.Second { // and not by its message
		t.Errorf("a route of Linux is in use after %v at best", best)
	}

	// The operator's are Linux's.
	w.r.Must("-n red route add 203.0.113.0/24 via 10.0.1.2\n-n blue route add 203.0.113.0/24 via 10.0.2.2")
	for ns, dev := range map[string]string{"red": "red1", "blue": "blue2"} {
		w.Eventually(5*time.Second, "the operator's route in Linux", func() bool {
			return strings.Contains(w.linux(ns, "ip route show 203.0.113.0/24"), "dev "+dev+" proto 110")
		})
	}
	w.r.Must("-n blue route del 203.0.113.0/24")
	w.Eventually(5*time.Second, "that it is gone", func() bool { return w.linux("blue", "ip route show 203.0.113.0/24") == "" })

	w.r.Kill()
	w.linuxOf("red", "ip", "route", "add", "192.0.3.0/24", "via", "10.0.2.2")
	w.r.Start()
	w.Eventually(10*time.Second, "a route that was made while there was no daemon", func() bool {
		_, ok := row("red", "192.0.3.0/24")
		return ok
	})
	w.Eventually(10*time.Second, "a route of before", reached("red", "192.0.2.1"))

	w.linux("red", "ip route del 192.0.2.0/24 metric 20")
	w.Eventually(5*time.Second, "the route is withdrawn", func() bool { _, ok := row("red", "192.0.2.0/24"); return !ok })
	w.silent(hosts["red1"], "192.0.2.1")
	w.ping(hosts["red1"], "2001:db8:f::1", 10)
	w.r.Must("netns set red host none")
	if _, ok := row("red", "2001:db8:f::/48"); ok {
		t.Error("routes of Linux outlast its namespace")
	}
}

// linuxOf runs a command in a Linux namespace, without the daemon.
func (w *world) linuxOf(ns string, command ...string) {
	w.t.Helper()
	args := append([]string{"netns", "exec", w.r.NetnsPrefix + ns}, command...)
	if res := w.Host("outside").Try("ip", args...); res.Status != 0 {
		w.t.Fatalf("in %s: %s: %s", ns, strings.Join(command, " "), res.Stderr)
	}
}
