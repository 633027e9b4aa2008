package dataplane

import (
	"net/netip"
	"strings"
	"testing"

	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// rpfRig has routes back to sources of all kinds:
//
//	192.0.2.0/26    2001:db8:a1::/48  by p1          192.0.2.64/26  2001:db8:a2::/48  by p2
//	192.0.2.128/26  2001:db8:a3::/48  by p2 and p1   203.0.113.N    2001:db8:b::N     to nowhere, one for each kind
func rpfRig(t *testing.T, check setting.RPFilter) *rig {
	r := newRig(t)
	hop := func(dev nstable.DeviceID, gateway string) fib.NextHop {
		return fib.NextHop{Kind: fib.Unicast, Device: dev, Gateway: fib.AddrOf(netip.MustParseAddr(gateway))}
	}
	r.route(0, "192.0.2.0/26", hop(p1, "10.0.1.2"))
	r.route(0, "192.0.2.64/26", hop(p2, "10.0.2.2"))
	r.route(0, "192.0.2.128/26", hop(p2, "10.0.2.2"), hop(p1, "10.0.1.2"))
	r.route(0, "2001:db8:a1::/48", hop(p1, "2001:db8:1::2"))
	r.route(0, "2001:db8:a2::/48", hop(p2, "2001:db8:2::2"))
	r.route(0, "2001:db8:a3::/48", hop(p2, "2001:db8:2::2"), hop(p1, "2001:db8:1::2"))
	for i, kind := range []fib.Kind{fib.Blackhole, fib.Unreachable, fib.Prohibit, fib.Throw} {
		n := string(rune('1' + i))
		r.route(0, "203.0.113."+n+"/32", fib.NextHop{Kind: kind})
		r.route(0, "2001:db8:b::"+n+"/128", fib.NextHop{Kind: kind})
	}
	r.route(0, "10.0.2.255/32", fib.NextHop{Kind: fib.Broadcast, Device: p2})
	r.set(p1, func(s *setting.Device) { s.RPFilter = check })
	return r
}

// set changes the settings of a device.
func (r *rig) set(dev nstable.DeviceID, change func(*setting.Device)) {
	s := *r.view.Devices[dev].Settings
	change(&s)
	r.view.Devices[dev].Settings = &s
}

func TestReversePath(t *testing.T) {
	const pass, martian, filtered = "", "ip4-bad-source", "rp-filter"
	for _, c := range []struct{ source, off, loose, strict string }{
		{"10.0.1.2", pass, pass, pass},
		{"10.0.1.77", pass, pass, pass},
		{"192.0.2.1", pass, pass, pass},
		{"10.0.2.77", pass, pass, filtered},
		{"192.0.2.65", pass, pass, filtered},
		{"192.0.2.129", pass, pass, pass}, // one of the group's next hops leaves by p1
		{"198.51.100.1", pass, filtered, filtered},
		{"203.0.113.1", pass, filtered, filtered},
		{"203.0.113.2", pass, filtered, filtered},
		{"203.0.113.3", pass, filtered, filtered},
		{"203.0.113.4", pass, filtered, filtered},
		{"10.0.2.1", pass, martian, martian},
		{"10.0.2.255", pass, martian, martian},
		{"2001:db8:1::2", pass, pass, pass},
		{"2001:db8:a1::1", pass, pass, pass},
		{"2001:db8:2::77", pass, pass, filtered},
		{"2001:db8:a2::1", pass, pass, filtered},
		{"2001:db8:a3::1", pass, pass, pass},
		{"2001:db8:c::1", pass, filtered, filtered},
		{"2001:db8:b::1", pass, filtered, filtered},
		{"2001:db8:b::2", pass, filtered, filtered},
		{"2001:db8:b::3", pass, filtered, filtered},
		{"2001:db8:b::4", pass, filtered, filtered},
		{"2001:db8:2::1", pass, filtered, filtered},
	} {
		for check, want := range map[setting.RPFilter]string{
			setting.RPFilterOff: c.off, setting.RPFilterLoose: c.loose, setting.RPFilterStrict: c.strict,
		} {
			r := rpfRig(t, check)
			r.sendFrom(c.source, "10.0.2.2", "2001:db8:2::2")
			got := strings.Join(keys(r.drops(p1)), " ")
			if sent := len(r.ports[p2].take()); got != want || sent == 1 != (want == pass) {
				t.Errorf("rp-filter %d, from %s: dropped for %q, want %q; %d sent", check, c.source, got, want, sent)
			}
			if n := len(r.ports[p1].take()); n != 0 {
				t.Errorf("rp-filter %d, from %s: %d answers", check, c.source, n)
			}
			r.conserved()
		}
	}
}

// sendFrom lets a UDP packet to to4 or to6 arrive at p1.
func (r *rig) sendFrom(source, to4, to6 string) {
	r.Helper()
	if netip.MustParseAddr(source).Is4() {
		r.inject(p1, udp4(r, p1, ip4(source, to4, 64), 20))
	} else {
		r.inject(p1, udp6(r, p1, ip6(source, to6, 64), 20))
	}
	r.step()
}

func keys(m map[string]uint64) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// TestReversePathOf: what the check is about, beside packets to be forwarded.
func TestReversePathOf(t *testing.T) {
	r := rpfRig(t, setting.RPFilterStrict)
	for _, c := range []struct{ name, source, to4, to6, want string }{
		{"to the router", "192.0.2.65", "10.0.1.1", "", "rp-filter"},
		{"to the router", "2001:db8:a2::1", "", "2001:db8:1::1", "rp-filter"},
		{"believed, to the router", "192.0.2.1", "10.0.1.1", "", "no-listener"},
		{"believed, to the router", "2001:db8:a1::1", "", "2001:db8:1::1", "no-listener"},
		{"link-local, to the router", "fe80::7", "", "2001:db8:1::1", "no-listener"},
		{"link-local, to elsewhere", "fe80::7", "", "2001:db8:2::2", "ip6-scope"},
		{"nowhere to go", "192.0.2.65", "203.0.113.200", "", "no-route"}, // Linux answers before it looks at the source
		{"nowhere to go", "2001:db8:a2::1", "", "2001:db8:ffff::1", "no-route"},
	} {
		before := r.drops(p1)[c.want]
		r.sendFrom(c.source, c.to4, c.to6)
		if got := r.drops(p1); got[c.want] != before+1 {
			t.Errorf("%s, from %s: %v, want one more %s", c.name, c.source, got, c.want)
		}
	}
	r.inject(p2, udp4(t, p2, ip4("192.0.2.1", "10.0.1.2", 64), 20)) // p2 does not check
	r.step()
	if n := r.drops(p2); len(n) != 0 {
		t.Errorf("p2 drops %v", n)
	}
	r.conserved()
	// Loose is strict where the device has no address (fib_validate_source).
	r = rpfRig(t, setting.RPFilterLoose)
	r.view.Devices[p1].Addrs = nil
	r.sendFrom("192.0.2.65", "10.0.2.2", "")
	if n := r.drops(p1)["rp-filter"]; n != 1 {
		t.Errorf("loose without an address: %v", r.drops(p1))
	}
	r.conserved()
}

// TestReversePathBatch: a batch of mixed packets is sorted right, and nothing is allocated.
func TestReversePathBatch(t *testing.T) {
	r := rpfRig(t, setting.RPFilterStrict)
	send := func() {
		for range 8 {
			r.inject(p1, udp4(t, p1, ip4("192.0.2.1", "10.0.2.2", 64), 20))
			r.inject(p1, udp4(t, p1, ip4("192.0.2.65", "10.0.2.2", 64), 20))
			r.inject(p1, udp6(t, p1, ip6("2001:db8:a2::1", "2001:db8:2::2", 64), 20))
			r.inject(p1, udp6(t, p1, ip6("2001:db8:a1::1", "2001:db8:2::2", 64), 20))
		}
	}
	send()
	r.step()
	if sent := len(r.ports[p2].take()); sent != 16 || r.drops(p1)["rp-filter"] != 16 {
		t.Errorf("%d sent, dropped %v", sent, r.drops(p1))
	}
	r.conserved()
	bad := udp4(t, p1, ip4("192.0.2.65", "10.0.2.2", 64), 20)
	bad6 := udp6(t, p1, ip6("2001:db8:a2::1", "2001:db8:2::2", 64), 20)
	if n := testing.AllocsPerRun(100, func() {
		r.inject(p1, bad)
		r.inject(p1, bad6)
		r.w.round()
	}); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

// TestOptionsBroadcastSpoofed: a directed broadcast with options is checked by rp-filter as one without is.
func TestOptionsBroadcastSpoofed(t *testing.T) {
	r := newRig(t)
	r.broadcastRoute(p2, "10.0.2.255")
	r.setting(p1, "bc-forwarding", "on")
	r.setting(p1, "rp-filter", "strict")
	r.inject(p1, udp4(t, p1, ip4("10.0.2.7", "10.0.2.255", 64), 20))
	r.inject(p1, withOptions(t, "10.0.2.7", "10.0.2.255", 64, []byte{1, 1, 1, 1}))
	r.step()
	if d := r.drops(p1); d["rp-filter"] != 2 || len(r.ports[p2].take()) != 0 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestReversePathSpecial: what ip6-input itself sorts is checked as well: packets to groups and to link-local addresses, and
// those that came in a link-layer group.
func TestReversePathSpecial(t *testing.T) {
	for _, c := range []struct {
		source, destination string
		group               bool // as a link-layer multicast
		want                string
	}{
		{"2001:db8:a2::1", "ff02::1", true, "rp-filter"},
		{"2001:db8:a2::1", "fe80::1", false, "rp-filter"},
		{"2001:db8:a2::1", "fe80::99", false, "rp-filter"},
		{"2001:db8:a2::1", "2001:db8:1::1", true, "rp-filter"},
		{"2001:db8:a1::1", "2001:db8:1::1", true, "no-listener"},
		{"2001:db8:a1::1", "ff02::1", true, "no-listener"},
		{"2001:db8:a1::1", "fe80::1", false, "no-listener"},
		{"fe80::7", "ff02::1", true, "no-listener"},
		{"fe80::7", "fe80::1", false, "no-listener"},
		{"::", "ff02::1", true, "no-listener"},
	} {
		r := rpfRig(t, setting.RPFilterStrict)
		b := udp6(t, p1, ip6(c.source, c.destination, 64), 20)
		if c.group {
			copy(b, []byte{0x33, 0x33, 0, 0, 0, 1})
		}
		r.inject(p1, b)
		r.step()
		if got := strings.Join(keys(r.drops(p1)), " "); got != c.want {
			t.Errorf("from %s to %s: dropped for %q, want %q", c.source, c.destination, got, c.want)
		}
		r.conserved()
	}
}
