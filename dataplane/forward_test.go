package dataplane

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

func decode(t testing.TB, b []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("the router sent something malformed: %v\n%x", e.Error(), b)
	}
	return p
}

func layer[T gopacket.Layer](t testing.TB, p gopacket.Packet, typ gopacket.LayerType) T {
	t.Helper()
	l, ok := p.Layer(typ).(T)
	if !ok {
		t.Fatalf("no %v in %v", typ, p)
	}
	return l
}

// one takes the only packet that a port sent.
func (r *rig) one(dev nstable.DeviceID) gopacket.Packet {
	r.Helper()
	sent := r.ports[dev].take()
	if len(sent) != 1 {
		r.Fatalf(
			"device %d sent %d packets, want 1; drops p1 %v p2 %v p3 %v",
			dev,
			len(sent),
			r.drops(p1),
			r.drops(p2),
			r.drops(p3),
		)
	}
	return decode(r, sent[0])
}

func TestForward4(t *testing.T) {
	r := newRig(t)
	in := udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 17), 20)
	r.inject(p1, append(in, make([]byte, 7)...)) // padding of the link layer
	r.step()
	out := r.one(p2)
	e := layer[*layers.Ethernet](t, out, layers.LayerTypeEthernet)
	if e.SrcMAC.String() != "02:00:00:00:00:02" || e.DstMAC.String() != "02:00:00:00:01:02" {
		t.Errorf("from %s to %s", e.SrcMAC, e.DstMAC)
	}
	want := udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 16), 20)
	if got := out.Data()[14:]; string(got) != string(want[14:]) {
		t.Errorf("got  %x\nwant %x", got, want[14:])
	}
	r.conserved()
}

func TestForward6(t *testing.T) {
	r := newRig(t)
	r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 17), 20))
	r.step()
	want := udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 16), 20)
	if got := r.one(p2).Data()[14:]; string(got) != string(want[14:]) {
		t.Errorf("got  %x\nwant %x", got, want[14:])
	}
	r.conserved()
}

// TestForwardingOff: a namespace that does not forward drops what is for others, of either family apart, and answers for itself.
func TestForwardingOff(t *testing.T) {
	for _, c := range []struct {
		off4, off6 bool
		drops      uint64
	}{{false, false, 0}, {true, false, 1}, {false, true, 1}, {true, true, 2}} {
		r := newRig(t)
		s := *r.view.Namespaces[0].Settings()
		s.NoForward4, s.NoForward6 = c.off4, c.off6
		r.view.Namespaces[0].PublishSettings(&s)
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 17), 20))
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 17), 20))
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.1.1", 17), 20)) // where nobody listens: an error
		r.step()
		if n := r.drops(p1)["forwarding-off"]; n != c.drops {
			t.Errorf("%+v: %d dropped", c, n)
		}
		if n := len(r.ports[p2].take()); n != 2-int(c.drops) {
			t.Errorf("%+v: %d forwarded", c, n)
		}
		if n := len(r.ports[p1].take()); n != 1 {
			t.Errorf("%+v: %d answers", c, n)
		}
		r.conserved()
	}
}

// TestDrops sends one bad packet at a time: nothing leaves, and the one reason is counted.
func TestDrops(t *testing.T) {
	good := func(t *testing.T) []byte { return udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20) }
	good6 := func(t *testing.T) []byte { return udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 64), 20) }
	from := func(src, dst string) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return udp4(t, p1, ip4(src, dst, 64), 20) }
	}
	from6 := func(src, dst string) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return udp6(t, p1, ip6(src, dst, 64), 20) }
	}
	set := func(f func(*testing.T) []byte, at int, v byte) func(*testing.T) []byte {
		return func(t *testing.T) []byte { b := f(t); b[at] = v; return b }
	}
	cut := func(f func(*testing.T) []byte, n int) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return f(t)[:n] }
	}
	for _, c := range []struct {
		name, reason string
		packet       func(*testing.T) []byte
	}{
		{"runt", "bad-ethernet", cut(good, 13)},
		{"multicast sender", "bad-ethernet", set(good, 6, 3)},
		{"another station", "not-for-us", set(good, 5, 99)},
		{"IPX", "unknown-ethertype", set(set(good, 12, 0x81), 13, 0x37)},
		{"short header", "ip4-truncated", cut(good, 30)},
		{"version 5", "ip4-bad-header", set(good, 14, 0x55)},
		{"header length 4", "ip4-bad-header", set(good, 14, 0x44)},
		{"total length 19", "ip4-bad-header", set(set(good, 16, 0), 17, 19)},
		{"frame shorter than total length", "ip4-truncated", cut(good, 50)},
		{"checksum", "ip4-bad-checksum", set(good, 24, 0x12)},
		{"loopback source", "ip4-bad-source", from("127.0.0.1", "10.0.2.2")},
		{"multicast source", "ip4-bad-source", from("224.0.0.1", "10.0.2.2")},
		{"multicast", "ip4-multicast", from("10.0.1.2", "224.0.0.5")},
		{"limited broadcast", "ip4-multicast", from("10.0.1.2", "255.255.255.255")},
		{"loopback", "ip4-multicast", from("10.0.1.2", "127.0.0.1")},
		{"unicast in a broadcast frame", "link-layer-broadcast", set(good, 0, 0x03)},
		{"blackhole", "route-blackhole", from("10.0.1.2", "192.0.2.1")},
		{"dummy", "dummy-device", from("10.0.1.2", "10.0.7.7")},
		{"version 4 in an IPv6 frame", "ip6-bad-header", set(good6, 14, 0x40)},
		{"IPv6 runt", "ip6-truncated", cut(good6, 50)},
		{"IPv6 payload cut", "ip6-truncated", cut(good6, 60)},
		{"IPv6 multicast source", "ip6-bad-source", from6("ff02::1", "2001:db8:2::2")},
		{"IPv6 loopback source", "ip6-bad-source", from6("::1", "2001:db8:2::2")},
		{"IPv6 unspecified source", "ip6-bad-source", from6("::", "2001:db8:2::2")},
		{"IPv6 multicast", "ip6-multicast", from6("2001:db8:1::2", "ff0e::7")},
		{"IPv6 loopback", "ip6-bad-source", from6("2001:db8:1::2", "::1")},
		{"IPv6 interface-local group", "ip6-bad-source", from6("2001:db8:1::2", "ff01::1")},
		{"IPv6 group of scope 0", "ip6-bad-source", from6("2001:db8:1::2", "ff00::1")},
		{"IPv6 transit in a broadcast frame", "link-layer-broadcast", set(good6, 0, 0x03)},
		{"ARP of a wrong kind", "bad-arp", set(set(good, 12, 8), 13, 6)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.route(0, "192.0.2.0/24", fib.NextHop{Kind: fib.Blackhole})
			r.inject(p1, c.packet(t))
			r.step()
			if d := r.drops(p1); len(d) != 1 || d[c.reason] != 1 {
				t.Errorf("drops %v, want %s", d, c.reason)
			}
			for id, p := range r.ports {
				if n := len(p.take()); n != 0 {
					t.Errorf("device %d sent %d packets", id, n)
				}
			}
			r.conserved()
		})
	}
}

// TestErrors sends packets that are answered with an ICMP error, and compares the answer.
func TestErrors(t *testing.T) {
	df := func(ip *layers.IPv4) *layers.IPv4 { ip.Flags = layers.IPv4DontFragment; return ip }
	for _, c := range []struct {
		name, reason string
		ip           *layers.IPv4
		size         int
		code         layers.ICMPv4TypeCode
		from         string
		mtu          uint16
	}{
		{"TTL", "ttl-expired", ip4("10.0.1.2", "10.0.2.2", 1), 20, layers.CreateICMPv4TypeCode(11, 0), "10.0.1.1", 0},
		{"no route", "no-route", ip4("10.0.1.2", "203.0.113.1", 9), 20, layers.CreateICMPv4TypeCode(3, 0), "10.0.1.1", 0},
		{"unreachable", "route-unreachable", ip4("10.0.1.2", "192.0.2.1", 9), 900, layers.CreateICMPv4TypeCode(3, 1), "10.0.1.1", 0},
		{"prohibit", "route-prohibit", ip4("10.0.1.2", "192.0.3.1", 9), 20, layers.CreateICMPv4TypeCode(3, 13), "10.0.1.1", 0},
		{"port", "no-listener", ip4("10.0.1.2", "10.0.2.1", 1), 20, layers.CreateICMPv4TypeCode(3, 3), "10.0.2.1", 0},
		{"MTU", "too-big", df(ip4("10.0.1.2", "192.0.4.1", 9)), 1300, layers.CreateICMPv4TypeCode(3, 4), "10.0.1.1", 1200},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.route(0, "192.0.2.0/24", fib.NextHop{Kind: fib.Unreachable})
			r.route(0, "192.0.3.0/24", fib.NextHop{Kind: fib.Prohibit})
			r.route(0, "192.0.4.0/24", fib.NextHop{Kind: fib.Unicast, Device: p2,
				Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2")), MTU: 1200})
			in := udp4(t, p1, c.ip, c.size)
			r.inject(p1, in)
			r.step()
			p := r.one(p1)
			ip := layer[*layers.IPv4](t, p, layers.LayerTypeIPv4)
			m := layer[*layers.ICMPv4](t, p, layers.LayerTypeICMPv4)
			if m.TypeCode != c.code || ip.SrcIP.String() != c.from || ip.DstIP.String() != "10.0.1.2" {
				t.Errorf("%v from %v to %v", m.TypeCode, ip.SrcIP, ip.DstIP)
			}
			if m.Seq != c.mtu {
				t.Errorf("MTU %d, want %d", m.Seq, c.mtu)
			}
			if ip.TOS != 0xc0 || int(ip.Length) > 576 || !header.IPv4(p.Data()[14:]).ChecksumOK() {
				t.Errorf("TOS %#x, length %d, header %x", ip.TOS, ip.Length, p.Data()[14:34])
			}
			if header.Fold(header.Sum(0, p.Data()[34:])) != 0xffff {
				t.Error("wrong ICMP checksum")
			}
			if q := m.Payload; string(q) != string(in[14:14+len(q)]) {
				t.Errorf("quoted %x\nwant   %x", q, in[14:])
			}
			if d := r.drops(p1); d[c.reason] != 1 {
				t.Errorf("drops %v", d)
			}
			r.conserved()
		})
	}
}

func TestErrors6(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		ip           *layers.IPv6
		size         int
		code         layers.ICMPv6TypeCode
		from         string
	}{
		{"hop limit", "ttl-expired", ip6("2001:db8:1::2", "2001:db8:2::2", 1), 20, layers.CreateICMPv6TypeCode(3, 0), "2001:db8:1::1"},
		{"no route", "no-route", ip6("2001:db8:1::2", "2001:db8:ff::2", 9), 1400, layers.CreateICMPv6TypeCode(1, 0), "2001:db8:1::1"},
		{"port", "no-listener", ip6("2001:db8:1::2", "2001:db8:2::1", 1), 20, layers.CreateICMPv6TypeCode(1, 4), "2001:db8:2::1"},
		{"MTU", "too-big", ip6("2001:db8:1::2", "2001:db8:4::2", 9), 1400, layers.CreateICMPv6TypeCode(2, 0), "2001:db8:1::1"},
		{"scope", "ip6-scope", ip6("fe80::5", "2001:db8:2::2", 9), 20, layers.CreateICMPv6TypeCode(1, 2), "fe80::1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.route(0, "2001:db8:4::/64", fib.NextHop{Kind: fib.Unicast, Device: p2,
				Gateway: fib.AddrOf(netip.MustParseAddr("2001:db8:2::2")), MTU: 1280})
			e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("fe80::5")), 0)
			e.Set(neigh.Permanent, hostMAC(p1), 0)
			in := udp6(t, p1, c.ip, c.size)
			r.inject(p1, in)
			r.step()
			p := r.one(p1)
			ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
			m := layer[*layers.ICMPv6](t, p, layers.LayerTypeICMPv6)
			if m.TypeCode != c.code || ip.SrcIP.String() != c.from || ip.DstIP.String() != c.ip.SrcIP.String() {
				t.Errorf("%v from %v to %v", m.TypeCode, ip.SrcIP, ip.DstIP)
			}
			h := header.IPv6(p.Data()[14:])
			if header.Fold(header.Sum(header.PseudoSum6(h, 58, h.PayloadLen()), h.Payload())) != 0xffff {
				t.Error("wrong ICMPv6 checksum")
			}
			if len(h) > 1280 {
				t.Errorf("%d bytes", len(h))
			}
			if q := h[48:]; string(q) != string(in[14:14+len(q)]) {
				t.Errorf("quoted %x\nwant   %x", q, in[14:])
			}
			if d := r.drops(p1); d[c.reason] != 1 {
				t.Errorf("drops %v", d)
			}
			r.conserved()
		})
	}
}

// TestNoErrorAboutErrors: RFC 1812 4.3.2.7.
func TestNoErrorAboutErrors(t *testing.T) {
	r := newRig(t)
	ip := ip4("10.0.1.2", "203.0.113.1", 64)
	ip.Protocol = layers.IPProtocolICMPv4
	unreachable := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)}
	r.inject(
		p1,
		packet(t, ethernetTo(p1, layers.EthernetTypeIPv4), ip, unreachable, gopacket.Payload(make([]byte, 28))),
	)
	later := ip4("10.0.1.2", "203.0.113.1", 64)
	later.FragOffset = 8
	r.inject(p1, udp4(t, p1, later, 64))
	r.step()
	if n := len(r.ports[p1].take()); n != 0 {
		t.Errorf("%d answers", n)
	}
	if d := r.drops(p1); d["no-route"] != 2 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

func TestEcho(t *testing.T) {
	r := newRig(t)
	for _, dst := range []string{"10.0.1.1", "10.0.2.1"} {
		ip := ip4("10.0.1.2", dst, 1)
		ip.Protocol = layers.IPProtocolICMPv4
		ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
		echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 9}
		r.inject(p1, packet(t, ethernetTo(p1, layers.EthernetTypeIPv4), ip, echo, gopacket.Payload("nsrouter")))
		r.step()
		p := r.one(p1)
		m := layer[*layers.ICMPv4](t, p, layers.LayerTypeICMPv4)
		got := layer[*layers.IPv4](t, p, layers.LayerTypeIPv4)
		if m.TypeCode != 0 || m.Id != 7 || m.Seq != 9 || string(m.Payload) != "nsrouter" || got.SrcIP.String() != dst ||
			got.TTL != 64 {
			t.Errorf("%v", p)
		}
		if header.Fold(header.Sum(0, p.Data()[34:])) != 0xffff || !header.IPv4(p.Data()[14:]).ChecksumOK() {
			t.Error("wrong checksum")
		}
	}
	r.conserved()
}

func TestEcho6(t *testing.T) {
	r := newRig(t)
	e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("fe80::5")), 0)
	e.Set(neigh.Permanent, hostMAC(p1), 0)
	for _, c := range [][3]string{
		{"2001:db8:1::2", "2001:db8:2::1", "2001:db8:2::1"}, {"fe80::5", "fe80::1", "fe80::1"}, {"fe80::5", "ff02::1", "fe80::1"},
	} {
		ip := ip6(c[0], c[1], 1)
		ip.NextHeader = layers.IPProtocolICMPv6
		echo := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
		_ = echo.SetNetworkLayerForChecksum(ip)
		b := packet(
			t,
			ethernetTo(p1, layers.EthernetTypeIPv6),
			ip,
			echo,
			&layers.ICMPv6Echo{Identifier: 7, SeqNumber: 9},
		)
		if c[1] == "ff02::1" {
			copy(b, []byte{0x33, 0x33, 0, 0, 0, 1})
		}
		r.inject(p1, b)
		r.step()
		h := header.IPv6(r.one(p1).Data()[14:])
		if h.Payload()[0] != 129 || addr6(h.Source()).Netip().String() != c[2] ||
			header.Fold(header.Sum(header.PseudoSum6(h, 58, h.PayloadLen()), h.Payload())) != 0xffff {
			t.Errorf("%v: answer %x", c, h)
		}
	}
	r.conserved()
}

// TestNamespaces: the same packet, by two ports, in two namespaces; and one whose route leads out of its namespace.
func TestNamespaces(t *testing.T) {
	r := newRig(t)
	r.inject(p3, udp4(t, p3, ip4("10.0.1.2", "10.0.2.2", 64), 20))
	r.step()
	if len(r.ports[p2].take()) != 0 || r.drops(p3)["no-route"] != 1 {
		t.Error("crossed from namespace 1 to 0")
	}
	r.ports[p3].take()
	r.route(1, "10.0.2.0/24", fib.NextHop{Kind: fib.Unicast, Device: p2})
	r.inject(p3, udp4(t, p3, ip4("10.0.1.2", "10.0.2.2", 64), 20))
	r.step()
	if len(r.ports[p2].take()) != 0 || r.drops(p3)["other-namespace"] != 1 {
		t.Errorf("crossed by a route that is older than the move of its device: %v", r.drops(p3))
	}
	r.conserved()
}

// TestVeth: a packet passes the pair into the other namespace with ARP on the way, and one that never gets anywhere is
// stopped.
func TestVeth(t *testing.T) {
	r := newRig(t)
	via := func(a string) fib.Addr { return fib.AddrOf(netip.MustParseAddr(a)) }
	r.route(0, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: v1, Gateway: via("10.0.9.2")})
	r.route(1, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: p3, Gateway: via("10.0.1.2")})
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "198.51.100.1", 64), 20))
	r.step()
	if ip := layer[*layers.IPv4](t, r.one(p3), layers.LayerTypeIPv4); ip.TTL != 62 {
		t.Errorf("TTL %d after two namespaces", ip.TTL)
	}
	r.route(1, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: v2, Gateway: via("10.0.9.1")})
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "198.51.100.1", 64), 20))
	r.step()
	if d1, d2 := r.drops(v1), r.drops(v2); d1["loop"]+d2["loop"] != 1 {
		t.Errorf("drops %v %v", d1, d2)
	}
	r.conserved()
}
