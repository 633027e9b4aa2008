package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"

	"nsrouter/internal/lab"
)

// plainHost joins a host without any address to a new port pN of the router: what it knows, it has heard. Its interface
// comes up when the test says so.
func (w *world) plainHost(n int, ns string) *lab.Host {
	h := w.Host(fmt.Sprintf("host%d", n))
	for _, key := range []string{"accept_ra", "autoconf"} {
		h.Sysctl("net.ipv6.conf.default."+key, "1")
	}
	h.Sysctl("net.ipv6.conf.default.router_solicitations", "3")
	w.Link(h.End("eth0"), w.r.Host.End(fmt.Sprintf("p%d", n)), lab.LinkOptions{})
	w.r.Must(fmt.Sprintf(`
		-n %[1]s link add p%[2]d type xdp
		-n %[1]s addr add 2001:db8:%[2]d::1/64 dev p%[2]d
		-n %[1]s link set p%[2]d up`, ns, n))
	return h
}

// autoconfigured waits for the address that a host has made itself in a prefix of 64 bits.
func (w *world) autoconfigured(h *lab.Host, prefix string) netip.Addr {
	w.t.Helper()
	want := netip.MustParsePrefix(prefix)
	var found netip.Addr
	w.Eventually(10*time.Second, "an address in "+prefix, func() bool {
		for _, line := range strings.Fields(h.Run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "-tentative")) {
			if p, err := netip.ParsePrefix(line); err == nil && want.Contains(p.Addr()) {
				found = p.Addr()
				return true
			}
		}
		return false
	})
	return found
}

// defaultRouters are the gateways of a host's IPv6 default routes.
func defaultRouters(w *world, h *lab.Host) []string {
	w.t.Helper()
	var routes []struct {
		Gateway  string
		Protocol string
		Nexthops []struct{ Gateway string }
	}
	out := h.Run("ip", "-6", "-j", "route", "show", "default")
	if err := json.Unmarshal([]byte(out), &routes); out != "" && err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	var list []string
	for _, r := range routes {
		if r.Gateway != "" {
			list = append(list, r.Gateway)
		}
		for _, hop := range r.Nexthops {
			list = append(list, hop.Gateway)
		}
	}
	return list
}

// advertisement is what a frame advertises; nil if it is no router advertisement.
func advertisement(frame []byte) *ndp.RouterAdvertisement {
	const icmp = 14 + 40
	if len(frame) < icmp+16 || frame[12] != 0x86 || frame[13] != 0xdd || frame[20] != 58 || frame[icmp] != 134 {
		return nil
	}
	m, err := ndp.ParseMessage(frame[icmp : icmp+int(frame[18])<<8+int(frame[19])])
	if err != nil {
		return nil
	}
	return m.(*ndp.RouterAdvertisement)
}

// TestAdvertise: two Linux hosts that know nothing make addresses of what our ports advertise, take the router as their
// default, and reach each other. They follow what changes.
func TestAdvertise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.plainHost(1, "init"), w.plainHost(2, "init")
	time.Sleep(200 * time.Millisecond)
	if got := defaultRouters(w, a); len(got) != 0 {
		t.Errorf("a router before any was advertised: %v", got)
	}
	w.r.Must(`
		link set p1 ra on ra-rdnss 2001:db8:1::53
		link set p2 mtu 1400 ra on ra-preference high`)
	toA, toB := w.autoconfigured(a, "2001:db8:1::/64"), w.autoconfigured(b, "2001:db8:2::/64")
	if got := defaultRouters(w, a); len(got) != 1 || got[0] != linkLocal(w, "p1") {
		t.Errorf("default routers %v, p1 is %s", got, linkLocal(w, "p1"))
	}
	w.ping(a, toB.String(), 20)
	w.ping(b, toA.String(), 20)
	if got := strings.TrimSpace(b.Run("cat", "/proc/sys/net/ipv6/conf/eth0/mtu")); got != "1400" {
		t.Errorf("the host uses an MTU of %s", got)
	}
	if out := b.Run("ip", "-6", "route", "show", "default"); !strings.Contains(out, "pref high") {
		t.Errorf("the preference is not heard: %s", out)
	}
	// What the device gets, hosts hear soon.
	w.r.Must("addr add fd00:1::1/64 dev p1")
	w.autoconfigured(a, "fd00:1::/64")
	w.r.Must("addr del fd00:1::1/64 dev p1")
	w.Eventually(10*time.Second, "an address that is not preferred any more", func() bool {
		return strings.Contains(a.Run("ip", "-6", "addr", "show", "dev", "eth0", "deprecated"), "fd00:1:")
	})
	// A host that comes late need not wait until the next is due.
	c := w.plainHost(3, "init")
	c.Interface("eth0").Down()
	w.r.Must("link set p3 ra on ra-interval 1800")
	time.Sleep(time.Second)
	c.Interface("eth0").Up()
	w.autoconfigured(c, "2001:db8:3::/64")
	w.ping(c, toA.String(), 5)
	w.conserved()
}

// TestAdvertiseEnd: what ends a device as a router ends it in its hosts' tables at once: switched off, down, moved, the
// daemon stopped. A restarted daemon advertises again.
func TestAdvertiseEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	a := w.plainHost(1, "init")
	has := func(n int) func() bool { return func() bool { return len(defaultRouters(w, a)) == n } }
	at := a.Sniff("eth0")
	for _, c := range []struct{ name, end, again string }{
		{"switched off", "link set p1 ra off", "link set p1 ra on"},
		{"down", "link set p1 down", "link set p1 up"},
		{"moved", "link set p1 netns red",
			"-n red link set p1 netns init\naddr add 2001:db8:1::1/64 dev p1\nlink set p1 ra on up"},
	} {
		w.r.Must("link set p1 ra on")
		w.Eventually(10*time.Second, "a default router", has(1))
		at.Reset()
		w.r.Must(c.end)
		// One of the first, which come quickly one after another, may be on its way.
		_, ok := at.Wait(2*time.Second, func(f []byte) bool {
			ra := advertisement(f)
			return ra != nil && ra.RouterLifetime == 0
		})
		if !ok {
			t.Errorf("%s: no last advertisement", c.name)
		}
		if c.name != "down" { // which takes the carrier and all routes
			w.Eventually(time.Second, c.name+": no default router", has(0))
		}
		w.r.Must(c.again)
		w.Eventually(10*time.Second, c.name+": a default router again", has(1))
	}
	w.conserved()
	w.r.Stop()
	w.Eventually(time.Second, "stopped: no default router", has(0))
	w.r.Start()
	w.Eventually(10*time.Second, "started: a default router", has(1))
	w.ping(a, "2001:db8:1::1", 5)
	w.conserved()
}

// TestDiscoverRouter: rdisc6 and ndisc6 see the router; an answer says what the settings say.
func TestDiscoverRouter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.host(1, "init")
	if res := a.Try("rdisc6", "-1", "-r", "1", "-w", "1000", "eth0"); res.Status == 0 {
		t.Errorf("a port that is not to advertise does: %s", res.Stdout)
	}
	w.r.Must(`link set p1 ra on ra-interval 1800 ra-lifetime 5000 ra-hop-limit 61 ra-managed on ra-other on
		link set p1 ra-reachable-time 15000 ra-valid-lifetime 7200 ra-preferred-lifetime 3600 ra-rdnss 2001:db8::53`)
	out := a.Run("rdisc6", "-1", "-r", "5", "-w", "4000", "eth0")
	flat := strings.Join(strings.Fields(out), " ")
	for _, want := range []string{
		"Hop limit : 61", "Stateful address conf. : Yes", "Stateful other conf. : Yes", "Router lifetime : 5000",
		"Reachable time : 15000", "Prefix : 2001:db8:1::/64", "On-link : Yes", "Autonomous address conf.: Yes",
		"Valid time : 7200", "Pref. time : 3600", "MTU : 1500", "Recursive DNS server : 2001:db8::53",
		"Source link-layer address: " + strings.ToUpper(w.mac("p1")), "from " + linkLocal(w, "p1"),
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	// Nothing is due before 16 seconds have passed: an answer is an answer.
	time.Sleep(3500 * time.Millisecond)
	if res := a.Try("rdisc6", "-1", "-r", "1", "-w", "2000", "eth0"); res.Status != 0 {
		t.Errorf("a solicitation is not answered: %s%s", res.Stdout, res.Stderr)
	}
	out = a.Run("ndisc6", "-1", "2001:db8:1::1", "eth0")
	if !strings.Contains(out, strings.ToUpper(w.mac("p1"))) {
		t.Errorf("ndisc6: %s", out)
	}
	w.conserved()
}

// mac is the MAC address of a device in init.
func (w *world) mac(dev string) string {
	w.t.Helper()
	rows := query[struct{ Address string }](w, "link show dev "+dev)
	if len(rows) != 1 {
		w.t.Fatalf("%d rows for %s", len(rows), dev)
	}
	return rows[0].Address
}
