package dataplane

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// atNoon makes the time of day of a rig noon UT, in milliseconds.
const noon = 12 * 3600 * 1000

func (r *rig) atNoon() { r.w.wall = noon*1e6 - r.now }

// setting changes a setting of a device, as the control plane would.
func (r *rig) setting(dev nstable.DeviceID, name, value string) {
	r.Helper()
	d := *r.view.Devices[dev]
	s := *d.Settings
	if err := setting.Devices.Set(&s, name, value); err != nil {
		r.Fatal(err)
	}
	d.Settings = &s
	view := *r.view
	view.Devices = slices.Clone(view.Devices)
	view.Devices[dev] = &d
	r.view = &view
}

// setNamespace changes a setting of a namespace.
func (r *rig) setNamespace(ns nstable.NamespaceID, name, value string) {
	r.Helper()
	s := *r.view.Namespaces[ns].Settings()
	if err := setting.Namespaces.Set(&s, name, value); err != nil {
		r.Fatal(err)
	}
	r.view.Namespaces[ns].PublishSettings(&s)
}

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withOptions is a UDP packet with options, which are padded, and right checksums.
func withOptions(t testing.TB, src, dst string, ttl uint8, options []byte) []byte {
	t.Helper()
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	b := udp4(t, p1, ip4(src, dst, ttl), 20)
	head, rest := slices.Clone(b[:34]), b[34:]
	head = append(append(head, options...), rest...)
	h := header.IPv4(head[14:])
	h.SetOptions(options)
	h.SetTotalLen(len(h))
	h.SetChecksum()
	return head
}

// TestOptionsForwarded: options that are passed on, and what becomes of those that the router honours (RFC 791 3.1; RFC
// 1812 5.2.4). p1 has 10.0.1.1 and p2 10.0.2.1; it is noon: 02932e00.
func TestOptionsForwarded(t *testing.T) {
	for _, c := range []struct{ name, in, out string }{
		{"no operation", "01 01 01 00", "01 01 01 00"},
		{"behind the end", "01 00 07 09", "01 00 00 00"},
		{"unknown", "5e 04 aa bb", "5e 04 aa bb"},
		{"security", "82 0b 00 00 00 00 00 00 00 00 00 00", "82 0b 00 00 00 00 00 00 00 00 00 00"},
		{"router alert", "94 04 00 00", "94 04 00 00"},
		{"record route", "07 07 04 00 00 00 00 00", "07 07 08 0a 00 02 01 00"},
		{"record route, second slot", "07 0b 08 c0 00 02 01 00 00 00 00 00", "07 0b 0c c0 00 02 01 0a 00 02 01 00"},
		{"record route, full", "07 07 08 c0 00 02 01 00", "07 07 08 c0 00 02 01 00"},
		{"record route without slots", "07 03 04 00", "07 03 04 00"},
		{"timestamp", "44 08 05 00 00 00 00 00", "44 08 09 00 02 93 2e 00"},
		{"timestamp, full", "44 08 09 00 00 00 00 07", "44 08 09 10 00 00 00 07"},
		{"timestamp, full 14 times", "44 08 09 e0 00 00 00 07", "44 08 09 f0 00 00 00 07"},
		{"address and timestamp", "44 0c 05 01 00 00 00 00 00 00 00 00", "44 0c 0d 01 0a 00 01 01 02 93 2e 00"},
		{"timestamp of ours", "44 0c 05 03 0a 00 02 01 00 00 00 00", "44 0c 0d 03 0a 00 02 01 02 93 2e 00"},
		{"timestamp of another", "44 0c 05 03 c0 00 02 01 00 00 00 00", "44 0c 05 03 c0 00 02 01 00 00 00 00"},
		{"timestamps prescribed, full", "44 0c 0d 03 c0 00 02 01 00 00 00 00", "44 0c 0d 03 c0 00 02 01 00 00 00 00"},
		{"timestamp of a kind that nobody knows", "44 08 05 07 00 00 00 00", "44 08 05 07 00 00 00 00"},
		{
			"several", "07 07 04 00 00 00 00 01 44 08 05 00 00 00 00 00 94 04 00 00",
			"07 07 08 0a 00 02 01 01 44 08 09 00 02 93 2e 00 94 04 00 00",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.atNoon()
			r.inject(p1, withOptions(t, "10.0.1.2", "10.0.2.2", 64, bytesOf(t, c.in)))
			r.step()
			h := header.IPv4(r.one(p2).Data()[14:])
			if got, want := h[20:h.HeaderLen()], bytesOf(t, c.out); !slices.Equal(got, want) {
				t.Errorf("options % x, want % x", got, want)
			}
			if h.TTL() != 63 || !h.ChecksumOK() {
				t.Errorf("TTL %d, header % x", h.TTL(), h[:h.HeaderLen()])
			}
			r.conserved()
		})
	}
}

// TestOptionsBad: malformed options are answered with a parameter problem that points at the byte at fault.
func TestOptionsBad(t *testing.T) {
	for _, c := range []struct {
		name, options string
		pointer       byte
	}{
		{"no length", "01 01 01 07", 23},
		{"length 1", "07 01 00 00", 20},
		{"longer than the header", "01 5e 04 00", 21},
		{"record route of 2", "07 02 00 00", 21},
		{"record route, pointer 3", "07 07 03 00 00 00 00 00", 22},
		{"record route, half a slot", "07 07 05 00 00 00 00 00", 22},
		{"two record routes", "07 03 04 07 03 04 00 00", 23},
		{"timestamp of 3", "44 03 05 00", 21},
		{"timestamp, pointer 4", "44 08 04 00 00 00 00 00", 22},
		{"timestamp, half a slot", "44 08 06 00 00 00 00 00", 22},
		{"address and timestamp, half a slot", "44 08 05 01 00 00 00 00", 22},
		{"timestamp, prescribed, half a slot", "44 08 05 03 00 00 00 00", 22},
		{"timestamp, overflow", "44 08 09 f0 00 00 00 00", 23},
		{"two timestamps", "44 04 05 00 44 04 05 00", 24},
		{"router alert of 3", "94 03 00 00", 21},
		{"source route of 2", "83 02 00 00", 21},
		{"source route, pointer 3", "83 07 03 00 00 00 00 00", 22},
		{"two source routes", "83 03 04 89 03 04 00 00", 23},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			in := withOptions(t, "10.0.1.2", "10.0.2.2", 64, bytesOf(t, c.options))
			r.inject(p1, in)
			r.step()
			h := header.IPv4(r.one(p1).Data()[14:])
			m := header.ICMP(h[h.HeaderLen():])
			if m.Type() != header.ICMPParameter || m.Code() != 0 || m[4] != c.pointer || h.TOS() != 0xc0 {
				t.Errorf("% x, want pointer %d", m[:8], c.pointer)
			}
			if !h.ChecksumOK() || header.Fold(header.Sum(0, m)) != 0xffff {
				t.Error("wrong checksum")
			}
			if d := r.drops(p1); len(d) != 1 || d["ip4-bad-option"] != 1 {
				t.Errorf("drops %v", d)
			}
			r.conserved()
		})
	}
}

// TestSourceRoute: refused by default; where the device allows it, followed (RFC 1812 5.2.4.1).
func TestSourceRoute(t *testing.T) {
	for _, c := range []struct {
		name, dst, in string
		on            bool
		out, to       string // what leaves by p2, or else the reason
	}{
		{"loose, refused", "10.0.2.2", "83 07 04 0a 00 02 02 00", false, "", "ip4-source-route"},
		{"strict, refused", "10.0.1.1", "89 07 04 0a 00 02 02 00", false, "", "ip4-source-route"},
		{"loose, on its way", "10.0.2.2", "83 07 04 c0 00 02 01 00", true, "83 07 04 c0 00 02 01 00", "10.0.2.2"},
		{"loose, through us", "10.0.1.1", "83 07 04 0a 00 02 02 00", true, "83 07 08 0a 00 02 01 00", "10.0.2.2"},
		{"strict, through us", "10.0.1.1", "89 07 04 0a 00 02 02 00", true, "89 07 08 0a 00 02 01 00", "10.0.2.2"},
		{
			"by two of our addresses", "10.0.1.1", "83 0b 04 0a 00 02 01 0a 00 02 02 00", true,
			"83 0b 0c 0a 00 02 01 0a 00 02 01 00", "10.0.2.2",
		},
		{
			"with timestamp", "10.0.1.1", "83 07 04 0a 00 02 02 44 0c 05 01 00 00 00 00 00 00 00 00 00", true,
			"83 07 08 0a 00 02 01 44 0c 0d 01 0a 00 02 01 02 93 2e 00 00", "10.0.2.2",
		},
		{"strict, astray", "10.0.2.2", "89 07 04 c0 00 02 01 00", true, "", "ip4-bad-option"},
		{"strict, not a neighbour", "10.0.1.1", "89 07 04 c0 00 02 01 00", true, "", "ip4-source-route"},
		{"half an address", "10.0.1.1", "83 06 04 0a 00 02 00 00", true, "", "ip4-bad-option"},
		{"to a multicast group", "10.0.1.1", "83 07 04 e0 00 00 01 00", true, "", "ip4-source-route"},
		{"to loopback", "10.0.1.1", "83 07 04 7f 00 00 01 00", true, "", "ip4-source-route"},
		{"to nowhere", "10.0.1.1", "83 07 04 09 09 09 09 00", true, "", "ip4-source-route"},
		{"from nowhere", "9.9.9.9", "83 07 04 09 09 09 09 00", true, "", "ip4-source-route"},
		{"at its end", "10.0.1.1", "83 07 08 0a 00 01 02 00", true, "", "no-listener"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.atNoon()
			r.route(0, "192.0.2.0/24", fib.NextHop{
				Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2")),
			})
			if c.on {
				r.setting(p1, "accept-source-route", "on")
			}
			r.inject(p1, withOptions(t, "10.0.1.2", c.dst, 64, bytesOf(t, c.in)))
			r.step()
			if c.out == "" {
				if d := r.drops(p1); len(d) != 1 || d[c.to] != 1 || len(r.ports[p2].take()) != 0 {
					t.Errorf("drops %v, want %s", d, c.to)
				}
				r.conserved()
				return
			}
			h := header.IPv4(r.one(p2).Data()[14:])
			if got, want := h[20:h.HeaderLen()], bytesOf(t, c.out); !slices.Equal(got, want) ||
				h.Destination() != uint32(fib.AddrOf(netip.MustParseAddr(c.to)).Lo) || !h.ChecksumOK() {
				t.Errorf("to %x with options % x, want % x", h.Destination(), got, want)
			}
			r.conserved()
		})
	}
}

// TestOptionsAnswered: what echo replies and errors have of the options of what they are about (RFC 1812 4.3.2.6,
// 4.3.3.6).
func TestOptionsAnswered(t *testing.T) {
	for _, c := range []struct{ name, in, out string }{
		{"no operation", "01 01 01 00", ""},
		{"unknown", "5e 04 aa bb", ""},
		{"record route", "07 0b 04 00 00 00 00 00 00 00 00 00", "07 0b 0c 0a 00 01 01 0a 00 01 01 00"},
		{"record route, one slot", "07 07 04 00 00 00 00 00", "07 07 08 0a 00 01 01 00"},
		{"timestamps", "44 0c 05 00 00 00 00 00 00 00 00 00", "44 0c 0d 00 02 93 2e 00 02 93 2e 00"},
		{
			"addresses and timestamps", "44 14 05 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
			"44 14 15 01 0a 00 01 01 02 93 2e 00 0a 00 01 01 02 93 2e 00",
		},
		{"source route", "83 0b 0c c0 00 02 01 c0 00 02 02 00", "83 0b 04 c0 00 02 01 0a 00 01 02 00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.atNoon()
			r.setting(p1, "accept-source-route", "on")
			r.route(0, "192.0.2.0/24", fib.NextHop{
				Kind: fib.Unicast, Device: p1, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.1.2")),
			})
			r.inject(p1, echoWithOptions(t, "10.0.1.1", bytesOf(t, c.in)))
			r.inject(p1, withOptions(t, "10.0.1.2", "10.0.1.1", 64, bytesOf(t, c.in)))
			r.step()
			sent := r.ports[p1].take()
			if len(sent) != 2 {
				t.Fatalf("%d answers; drops %v", len(sent), r.drops(p1))
			}
			for i, b := range sent {
				h := header.IPv4(b[14:])
				m := header.ICMP(h[h.HeaderLen():])
				if got, want := h[20:h.HeaderLen()], bytesOf(t, c.out); !slices.Equal(got, want) {
					t.Errorf("answer %d: options % x, want % x", i, got, want)
				}
				if want := [2]byte{header.ICMPEchoReply, header.ICMPUnreachable}[i]; m.Type() != want {
					t.Errorf("answer %d: type %d", i, m.Type())
				}
				if !h.ChecksumOK() || header.Fold(header.Sum(0, m)) != 0xffff || h.Source() != 0x0a000101 {
					t.Errorf("answer %d: % x", i, b)
				}
			}
			r.conserved()
		})
	}
}

// TestOptionsReassembled: what was recorded in the first fragment of a datagram for the router stands in the answer, too.
func TestOptionsReassembled(t *testing.T) {
	whole := withOptions(t, "10.0.1.2", "10.0.1.1", 64, bytesOf(t, "07 07 04 00 00 00 00 00"))
	begin := 14 + header.IPv4(whole[14:]).HeaderLen()
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		r := newRig(t)
		pieces := [2][]byte{slices.Clone(whole[:begin+8]), append(slices.Clone(whole[:begin]), whole[begin+8:]...)}
		for k, b := range pieces {
			h := header.IPv4(b[14:])
			h.SetTotalLen(len(h))
			h.SetFragment(k, k == 0)
			h.SetChecksum()
		}
		for _, k := range order {
			r.inject(p1, pieces[k])
			r.step()
		}
		sent := r.ports[p1].take()
		if len(sent) != 1 {
			t.Fatalf("%d answers; drops %v", len(sent), r.drops(p1))
		}
		h := header.IPv4(sent[0][14:])
		if got, want := h[20:h.HeaderLen()], bytesOf(t, "07 07 08 0a 00 01 01 00"); !slices.Equal(got, want) || !h.ChecksumOK() {
			t.Errorf("options % x, want % x", got, want)
		}
		r.conserved()
	}
}

func echoWithOptions(t testing.TB, dst string, options []byte) []byte {
	b := withOptions(t, "10.0.1.2", dst, 64, options)
	h := header.IPv4(b[14:])
	h[9] = header.ProtoICMP
	m := header.ICMP(h[h.HeaderLen():])
	m.Set(header.ICMPEchoRequest, 0, 7<<16|9)
	m.SetChecksum(^header.Fold(header.Sum(0, m)))
	h.SetChecksum()
	return b
}

// TestOptionsFragmented: options are honoured before a packet is cut, and the later fragments have those that are to be
// copied.
func TestOptionsFragmented(t *testing.T) {
	r := newRig(t)
	r.route(0, "192.0.4.0/24", fib.NextHop{
		Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2")), MTU: 68,
	})
	r.inject(p1, withOptions(t, "10.0.1.2", "192.0.4.1", 64, bytesOf(t, "07 07 04 00 00 00 00 94 04 00 00 00")))
	r.step()
	sent := r.ports[p2].take()
	if len(sent) != 1 {
		// 32 bytes of header and 28 of UDP fit 68 bytes: shorten the link.
		t.Fatalf("%d fragments", len(sent))
	}
	r.route(0, "192.0.4.0/24", fib.NextHop{
		Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2")), MTU: 56,
	})
	r.inject(p1, withOptions(t, "10.0.1.2", "192.0.4.1", 64, bytesOf(t, "07 07 04 00 00 00 00 94 04 00 00 00")))
	r.step()
	sent = r.ports[p2].take()
	if len(sent) != 2 {
		t.Fatalf("%d fragments", len(sent))
	}
	for i, want := range []string{"07 07 08 0a 00 02 01 94 04 00 00 00", "01 01 01 01 01 01 01 94 04 00 00 00"} {
		h := header.IPv4(sent[i][14:])
		if got := h[20:h.HeaderLen()]; !slices.Equal(got, bytesOf(t, want)) || !h.ChecksumOK() || h.TTL() != 63 {
			t.Errorf("fragment %d: options % x, want %s", i, got, want)
		}
	}
	r.conserved()
}

// TestOptionsNoAllocation: packets with options cost no memory.
func TestOptionsNoAllocation(t *testing.T) {
	newRig(t).noAllocation([][]byte{
		withOptions(t, "10.0.1.2", "10.0.2.2", 64, bytesOf(t, "07 07 04 00 00 00 00 01 44 08 05 00 00 00 00 00")),
		withOptions(t, "10.0.1.2", "10.0.2.2", 64, bytesOf(t, "07 01 00 00")),
		echoWithOptions(t, "10.0.1.1", bytesOf(t, "07 0b 04 00 00 00 00 00 00 00 00 00")),
	})
}
