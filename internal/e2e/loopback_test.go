package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// addrRow is what these tests read of `addr show`.
type addrRow struct {
	IfName   string
	Flags    []string
	AddrInfo []struct {
		Local     string
		PrefixLen int
	} `json:"addr_info"`
}

// TestLoopback: every namespace has its lo, up, from the start, and after a restart; addresses on it and on dummy devices
// answer by every port of the namespace, and by none of another that has the same.
func TestLoopback(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	check := func() {
		t.Helper()
		for _, ns := range []string{"init", "red", "blue"} {
			rows := query[addrRow](w, "-n "+ns+" addr show dev lo")
			var has []string
			for _, r := range rows {
				if !slices.Contains(r.Flags, "UP") {
					t.Errorf("lo of %s: %v", ns, r.Flags)
				}
				for _, a := range r.AddrInfo {
					has = append(has, fmt.Sprintf("%s/%d", a.Local, a.PrefixLen))
				}
			}
			if !slices.Contains(has, "127.0.0.1/8") || !slices.Contains(has, "::1/128") {
				t.Errorf("lo of %s has %v", ns, has)
			}
		}
	}
	check()
	for _, line := range []string{
		"-n red link del lo", "-n red link set lo netns blue", "-n red link set lo name l",
		"-n red link set lo address 02:00:00:00:00:01",
	} {
		w.r.Refused(2, line)
	}
	a, b, c := w.host(1, "red"), w.host(2, "red"), w.hostAs("c", "p3", 1, "blue")
	own := []string{"10.255.0.1", "2001:db8:ffff::1", "10.255.0.2", "2001:db8:ffff::2", "10.254.0.1"}
	w.r.Must(`
		-n red addr add 10.255.0.1/32 dev lo
		-n red addr add 2001:db8:ffff::1/128 dev lo
		-n red link add services type dummy
		-n red addr add 10.255.0.2/32 dev services
		-n red addr add 2001:db8:ffff::2/128 dev services
		-n red addr add 10.254.0.1/24 dev services
		-n red link set services up
		-n blue addr add 10.255.0.1/32 dev lo`)
	for _, to := range own {
		w.ping(a, to, 3)
		w.ping(b, to, 3)
	}
	// Programs in the namespace have them too.
	dir := filepath.Join(w.Dir, "www")
	w.must(os.Mkdir(dir, 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "index.html"), []byte("hello from red"), 0o644))
	w.inside("red")("busybox", "httpd", "-f", "-p", "[::]:80", "-h", dir)
	w.Eventually(5*time.Second, "an answer", func() bool { return get(a, "10.255.0.1:80") == "hello from red" })
	for _, to := range own {
		for _, h := range []*lab.Host{a, b} {
			if got := get(h, net.JoinHostPort(to, "80")); got != "hello from red" {
				t.Errorf("%s from %s: %s", to, h.Name, got)
			}
		}
	}
	w.silent(c, "10.255.0.2")
	w.silent(c, "2001:db8:ffff::1")
	before := w.link("red", "p1").Forwarding.Delivered + w.link("red", "p2").Forwarding.Delivered
	const asked = 50
	w.ping(c, "10.255.0.1", asked) // blue's own
	if after := w.link("red", "p1").Forwarding.Delivered + w.link("red", "p2").Forwarding.Delivered; after > before+asked/2 {
		t.Errorf("red was asked for blue's address: %d delivered, then %d", before, after)
	}
	w.silent(a, "10.254.0.9") // routed into the dummy device, which swallows it
	if n := w.link("red", "p1").Drops["dummy-device"]; n == 0 {
		t.Errorf("drops: %v", w.link("red", "p1").Drops)
	}
	w.r.Must("-n red link set services down")
	w.silent(a, "10.255.0.2")
	w.ping(a, "10.255.0.1", 3)
	w.r.Must("-n red link set services up")
	w.r.Stop()
	w.r.Start()
	check()
	for _, to := range own {
		w.ping(b, to, 3)
	}
	if got := get(b, "[2001:db8:ffff::2]:80"); got != "hello from red" { // it has outlived the daemon
		t.Errorf("after the restart: %s", got)
	}
	w.linux("red", "ping -n -c 1 -W 1 127.0.0.1")
}
