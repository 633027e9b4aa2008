package dataplane

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// redirectRig is a rig with a nearer router, 10.0.1.3, on the link of p1 for 198.51.100.0/24.
func redirectRig(t *testing.T) *rig {
	r := newRig(t)
	r.route(0, "198.51.100.0/24", fib.NextHop{
		Kind: fib.Unicast, Device: p1, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.1.3")),
	})
	e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("10.0.1.3")), r.now)
	e.Set(neigh.Permanent, hostMAC(p1), r.now)
	return r
}

// redirects sorts what p1 sent: packets forwarded, and redirects.
func (r *rig) redirected() (forwarded int, redirects []header.IPv4) {
	for _, b := range r.ports[p1].take() {
		if h := header.IPv4(b[14:]); h.Protocol() == header.ProtoICMP && h[h.HeaderLen()] == header.ICMPRedirect {
			redirects = append(redirects, h)
		} else {
			forwarded++
		}
	}
	return forwarded, redirects
}

// TestRedirect: off by default; on, a packet that leaves by the device it came in by is forwarded, and its sender told
// (RFC 1812 4.3.3.2, 5.2.7.2).
func TestRedirect(t *testing.T) {
	in := func(src, dst string, options ...byte) func(testing.TB) []byte {
		return func(t testing.TB) []byte { return withOptions(t, src, dst, 64, options) }
	}
	for _, c := range []struct {
		name, martians, to string // the router or host that is nearer; "": no redirect
		on                 bool
		packet             func(testing.TB) []byte
	}{
		{"off", "linux", "", false, in("10.0.1.2", "198.51.100.1")},
		{"gateway", "linux", "10.0.1.3", true, in("10.0.1.2", "198.51.100.1")},
		{"on the link", "linux", "10.0.1.3", true, in("10.0.1.2", "10.0.1.3")},
		{"with options", "linux", "10.0.1.3", true, in("10.0.1.2", "198.51.100.1", 1, 1, 1, 0)},
		{"sender behind another router", "linux", "", true, in("198.51.100.7", "198.51.100.1")},
		{"sender of another device", "linux", "", true, in("10.0.2.2", "198.51.100.1")},
		{"sender in another prefix of the link", "linux", "10.0.1.3", true, in("192.0.2.1", "198.51.100.1")},
		{"sender in another prefix, RFC", "rfc1812", "", true, in("192.0.2.1", "198.51.100.1")},
		{"gateway, RFC", "rfc1812", "10.0.1.3", true, in("10.0.1.2", "198.51.100.1")},
		{"about an ICMP error", "linux", "", true, func(t testing.TB) []byte {
			b := codedEcho(t, ip4("10.0.1.2", "198.51.100.1", 64), 0, 20)
			b[34] = 3
			return b
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := redirectRig(t)
			r.setNamespace(0, "martians", c.martians)
			r.route(0, "192.0.2.0/24", fib.NextHop{Kind: fib.Unicast, Device: p1})
			e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("192.0.2.1")), r.now)
			e.Set(neigh.Permanent, hostMAC(p1), r.now)
			if c.on {
				r.setting(p1, "send-redirects", "on")
			}
			b := c.packet(t)
			r.inject(p1, b)
			r.step()
			forwarded, redirects := r.redirected()
			if forwarded != 1 {
				t.Errorf("%d forwarded; drops %v", forwarded, r.drops(p1))
			}
			switch {
			case c.to == "" && len(redirects) != 0, c.to != "" && len(redirects) != 1:
				t.Fatalf("%d redirects", len(redirects))
			case c.to != "":
				h, want := redirects[0], header.IPv4(b[14:])
				want.DecrementTTL()
				m := header.ICMP(h[20:])
				if m.Code() != header.ICMPRedirectHost || header.Addr(m[4:]) != header.Addr(addr4(c.to)) ||
					h.Source() != 0x0a000101 || h.Destination() != want.Source() || string(m[8:]) != string(want) ||
					!h.ChecksumOK() || header.Fold(header.Sum(0, m)) != 0xffff || h.TOS() != 0xc0 {
					t.Errorf("% x", h)
				}
			}
			r.conserved()
		})
	}
}

// TestRedirectOptions: a redirect has the options that an error has, and what is forwarded has its own.
func TestRedirectOptions(t *testing.T) {
	r := redirectRig(t)
	r.setting(p1, "send-redirects", "on")
	record := bytesOf(t, "07 0f 04 00 00 00 00 00 00 00 00 00 00 00 00 00")
	r.inject(p1, withOptions(t, "10.0.1.2", "198.51.100.1", 64, record))
	r.step()
	for _, b := range r.ports[p1].take() {
		h := header.IPv4(b[14:])
		want := "07 0f 08 0a 00 01 01 00 00 00 00 00 00 00 00 00" // forwarded
		if h.Protocol() == header.ProtoICMP {
			want = "07 0f 0c 0a 00 01 01 0a 00 01 01 00 00 00 00 00"
		}
		if got := h[20:h.HeaderLen()]; !slices.Equal(got, bytesOf(t, want)) || !h.ChecksumOK() {
			t.Errorf("protocol %d: options % x, want %s", h.Protocol(), got, want)
		}
		record = nil
	}
	if record != nil {
		t.Error("nothing was sent")
	}
	r.conserved()
}

// TestRedirectAfterOptions: a redirect about a packet without options has none, whatever the packet that was in its place
// before had.
func TestRedirectAfterOptions(t *testing.T) {
	r := redirectRig(t)
	r.setting(p1, "send-redirects", "on")
	r.inject(p1, withOptions(t, "10.0.1.2", "10.0.2.2", 64, bytesOf(t, "07 07 04 00 00 00 00 00 44 08 05 00 00 00 00 00")))
	r.step()
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "198.51.100.1", 64), 20))
	r.step()
	_, redirects := r.redirected()
	if len(redirects) != 1 {
		t.Fatalf("%d redirects", len(redirects))
	}
	if h := redirects[0]; h.HeaderLen() != 20 || header.Fold(header.Sum(0, h[20:])) != 0xffff {
		t.Errorf("% x", h)
	}
	r.conserved()
}

// TestRedirectBroadcastSource: where redirects may be sent, what comes from a broadcast address is dropped, as in Linux.
func TestRedirectBroadcastSource(t *testing.T) {
	r := redirectRig(t)
	r.broadcastRoute(p1, "10.0.1.255")
	r.setting(p1, "send-redirects", "on")
	r.inject(p1, udp4(t, p1, ip4("10.0.1.255", "198.51.100.1", 64), 20))
	r.step()
	if d := r.drops(p1); d["ip4-bad-source"] != 1 || len(r.ports[p1].take()) != 0 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

func addr4(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

// TestRedirectRate: redirects to one host become rarer, end after nine, and begin again when it has been silent for 20 s,
// as in Linux; another host is told at once.
func TestRedirectRate(t *testing.T) {
	r := redirectRig(t)
	r.setting(p1, "send-redirects", "on")
	r.neighbor(p1, "10.0.1.2").Set(neigh.Permanent, hostMAC(p1), r.now) // nobody answers for it
	from := func(src string) int {
		r.inject(p1, udp4(t, p1, ip4(src, "198.51.100.1", 64), 20))
		r.step()
		forwarded, redirects := r.redirected()
		if forwarded != 1 {
			t.Fatalf("%d forwarded", forwarded)
		}
		return len(redirects)
	}
	n := 0
	var times []time.Duration
	for ms := 0; ms < 30_000; ms += 10 {
		if from("10.0.1.2") == 1 {
			times = append(times, time.Duration(ms)*time.Millisecond)
			n++
		}
		r.now += 10e6
	}
	if n != redirectLimit {
		t.Errorf("%d redirects, at %v", n, times)
	}
	for i := 2; i < n; i++ {
		if times[i]-times[i-1] < time.Duration(redirectLoad<<i) {
			t.Errorf("redirects at %v", times)
		}
	}
	if from("10.0.1.3") != 1 {
		t.Error("another host has to wait")
	}
	r.now += redirectSilence + 1
	if from("10.0.1.2") != 1 {
		t.Error("no redirect after a silence")
	}
	r.conserved()
}

// TestRedirectNoAllocation: a redirect costs no memory.
func TestRedirectNoAllocation(t *testing.T) {
	r := redirectRig(t)
	r.setting(p1, "send-redirects", "on")
	r.noAllocation([][]byte{udp4(t, p1, ip4("10.0.1.2", "198.51.100.1", 64), 20)})
}
