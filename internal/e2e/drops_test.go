package e2e

import (
	"strings"
	"testing"
	"time"
)

// dropRow is what these tests read of `drops`.
type dropRow struct {
	IfName, Reason, Explanation, Netns string
	Packets                            uint64
}

// dropped returns what a device of init has dropped, by reason.
func (w *world) dropped(dev string) map[string]uint64 {
	w.t.Helper()
	out := make(map[string]uint64)
	for _, r := range query[dropRow](w, "drops dev "+dev) {
		if r.IfName != dev || r.Netns != "init" || r.Explanation == "" || r.Packets == 0 {
			w.t.Errorf("drops: %+v", r)
		}
		out[r.Reason] = r.Packets
	}
	return out
}

// TestDrops: each packet that is not sent on is counted for its reason, at the device it came in by.
func TestDrops(t *testing.T) {
	w := newWorld(t)
	a := w.host(1, "init")
	w.host(2, "init")
	w.ping(a, "10.0.2.2", 1)
	w.r.Must("route add blackhole 203.0.113.0/24")
	before := w.dropped("p1")
	for _, to := range []string{"203.0.113.1", "198.51.100.1"} {
		a.Try("ping", "-n", "-c", "3", "-i", "0.02", "-W", "0.2", to)
	}
	a.Try("ping", "-n", "-c", "4", "-i", "0.02", "-W", "0.2", "-t", "1", "10.0.2.2")
	after := w.dropped("p1")
	for reason, want := range map[string]uint64{"route-blackhole": 3, "no-route": 3, "ttl-expired": 4} {
		if got := after[reason] - before[reason]; got != want {
			t.Errorf("%s: %d, want %d: %v", reason, got, want, after)
		}
	}
	if n := w.dropped("p2")["ttl-expired"]; n != 0 {
		t.Errorf("%d of them at p2", n)
	}
	if out := w.r.Must("drops dev p1"); !strings.Contains(out, "the route is a blackhole") ||
		!strings.Contains(out, "p1: received ") {
		t.Errorf("drops: %s", out)
	}
}

// TestFlood: while a host has the router answer far more than its limits allow, another loses not one packet, and each
// answer that is kept back is counted.
func TestFlood(t *testing.T) {
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	flooder := w.host(3, "init")
	w.ping(a, "10.0.2.2", 1)
	w.r.Must("netns set init echo-rate 500\nlink set p3 icmp-msgs-per-sec 20 icmp-msgs-burst 5")
	const pings = 150
	done := make(chan int, 1)
	go func() { done <- a.Ping("10.0.2.2", pings, 10*time.Millisecond) }()
	flood := func(args ...string) {
		flooder.Try("ping", append([]string{"-n", "-q", "-f", "-c", "600", "-W", "0.1"}, args...)...)
	}
	flood("10.0.3.1")
	flood("-t", "1", "10.0.2.2")
	if got := <-done; got != pings {
		t.Errorf("%d of %d pings beside the flood were answered", got, pings)
	}
	rows := query[struct{ Suppressed map[string]uint64 }](w, "-s link show p3")
	drops := w.dropped("p3")
	if n := rows[0].Suppressed["echo"]; n == 0 || n != drops["rate-limited"] {
		t.Errorf("%d echo replies suppressed, dropped %v", n, drops)
	}
	if n := rows[0].Suppressed["errors"]; n == 0 || n >= drops["ttl-expired"] {
		t.Errorf("%d errors suppressed, dropped %v", n, drops)
	}
	w.ping(b, "10.0.2.1", 3) // the device's limit is no one else's
	if got := b.Ping("10.0.1.2", 5, 10*time.Millisecond); got != 5 {
		t.Errorf("%d of 5", got)
	}
}
