package dataplane

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// broadcastRoute gives a link of a rig its broadcast address.
func (r *rig) broadcastRoute(dev nstable.DeviceID, addr string) {
	r.route(0, addr+"/32", fib.NextHop{Kind: fib.Broadcast, Device: dev})
}

// publishOwn lets the rig's namespace 0 know its own addresses.
func (r *rig) publishOwn() {
	own := new(nstable.OwnAddrs)
	for _, d := range r.view.Devices {
		if d != nil && d.Namespace.ID == 0 {
			for _, a := range d.Addrs {
				own.Add(a.Addr())
			}
		}
	}
	r.view.Namespaces[0].PublishOwn(own)
}

// TestHeaderTests: the five tests of RFC 1812 5.2.2, each with a packet that fails it alone or that one first.
func TestHeaderTests(t *testing.T) {
	sum := func(b []byte) []byte { header.IPv4(b[14:]).SetChecksum(); return b }
	for _, c := range []struct {
		name, reason string
		edit         func([]byte) []byte
	}{
		{"1: 19 bytes", "ip4-truncated", func(b []byte) []byte { return b[:14+19] }},
		{"2: checksum", "ip4-bad-checksum", func(b []byte) []byte { b[24] ^= 1; return b }},
		{"2: checksum over options", "ip4-bad-checksum", func([]byte) []byte {
			b := withOptions(t, "10.0.1.2", "10.0.2.2", 64, []byte{1, 1, 1, 0})
			b[14+20] = 0
			return b
		}},
		{"3: version 6", "ip4-bad-header", func(b []byte) []byte { b[14] = 0x65; return sum(b) }},
		{"4: header of 16", "ip4-bad-header", func(b []byte) []byte { b[14] = 0x44; return b }},
		{"4: header longer than the packet", "ip4-bad-header", func(b []byte) []byte {
			header.IPv4(b[14:]).SetTotalLen(24)
			b[14] = 0x47
			return b
		}},
		{"5: total length less than the header", "ip4-bad-header", func(b []byte) []byte {
			header.IPv4(b[14:]).SetTotalLen(19)
			return sum(b)
		}},
		{"5: total length more than the frame", "ip4-truncated", func(b []byte) []byte {
			header.IPv4(b[14:]).SetTotalLen(len(b) - 14 + 1)
			return sum(b)
		}},
		{"version before length", "ip4-bad-header", func(b []byte) []byte { b[14] = 0x6f; return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.inject(p1, c.edit(udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20)))
			r.step()
			if d := r.drops(p1); len(d) != 1 || d[c.reason] != 1 {
				t.Errorf("drops %v, want %s", d, c.reason)
			}
			if len(r.ports[p1].take())+len(r.ports[p2].take()) != 0 {
				t.Error("not in silence")
			}
			r.conserved()
		})
	}
}

// TestMartians: who may send to whom, with the addresses that Linux refuses and with those of RFC 1812 5.3.7; "" is
// forwarded.
func TestMartians(t *testing.T) {
	for _, c := range []struct{ src, dst, linux, rfc string }{
		{"10.0.1.2", "10.0.2.2", "", ""},
		{"0.0.0.0", "10.0.2.2", "ip4-bad-source", "ip4-bad-source"},
		{"127.1.2.3", "10.0.2.2", "ip4-bad-source", "ip4-bad-source"},
		{"224.0.0.1", "10.0.2.2", "ip4-bad-source", "ip4-bad-source"},
		{"239.255.255.255", "10.0.2.2", "ip4-bad-source", "ip4-bad-source"},
		{"255.255.255.255", "10.0.2.2", "ip4-bad-source", "ip4-bad-source"},
		{"10.0.1.1", "10.0.2.2", "ip4-own-source", "ip4-own-source"},
		{"10.0.2.1", "10.0.2.2", "ip4-own-source", "ip4-own-source"},
		{"10.0.2.1", "10.0.1.1", "ip4-own-source", "ip4-own-source"},
		{"0.1.2.3", "10.0.2.2", "", "ip4-bad-source"},
		{"240.0.0.1", "10.0.2.2", "", "ip4-bad-source"},
		{"255.255.255.254", "10.0.2.2", "", "ip4-bad-source"},
		{"10.0.1.255", "10.0.2.2", "", "ip4-bad-source"},
		{"169.254.1.1", "10.0.2.2", "", "ip4-bad-source"},
		{"10.0.2.2", "10.0.2.2", "", "ip4-bad-source"},
		{"10.0.1.2", "0.1.2.3", "", "ip4-bad-destination"},
		{"10.0.1.2", "240.0.0.1", "", "ip4-bad-destination"},
		{"10.0.1.2", "169.254.1.1", "", "ip4-bad-destination"},
		{"10.0.1.2", "0.0.0.0", "ip4-multicast", "ip4-multicast"},
		{"10.0.1.2", "127.0.0.1", "ip4-multicast", "ip4-multicast"},
		{"10.0.1.2", "224.0.0.1", "ip4-multicast", "ip4-multicast"},
		{"10.0.1.2", "255.255.255.255", "ip4-multicast", "ip4-multicast"},
		{"10.0.1.2", "10.0.1.255", "ip4-multicast", "ip4-multicast"},
		{"10.0.1.2", "10.0.2.255", "ip4-multicast", "ip4-multicast"},
	} {
		for set, want := range map[string]string{"linux": c.linux, "rfc1812": c.rfc} {
			t.Run(set+" "+c.src+" to "+c.dst, func(t *testing.T) {
				r := newRig(t)
				r.publishOwn()
				r.setNamespace(0, "martians", set)
				r.broadcastRoute(p1, "10.0.1.255")
				r.broadcastRoute(p2, "10.0.2.255")
				r.route(0, "0.0.0.0/0", fib.NextHop{
					Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("10.0.2.2")),
				})
				r.inject(p1, udp4(t, p1, ip4(c.src, c.dst, 64), 20))
				r.step()
				sent := len(r.ports[p2].take())
				if d := r.drops(p1); want != "" && (len(d) != 1 || d[want] != 1 || sent != 0) || want == "" && sent != 1 {
					t.Errorf("%d forwarded, drops %v, want %q", sent, d, want)
				}
				if len(r.ports[p1].take()) != 0 {
					t.Error("not in silence")
				}
				r.conserved()
			})
		}
	}
}

// TestLinkLocalDelivered: addresses of 169.254/16 that are the router's own are answered also with the RFC's martians.
func TestLinkLocalDelivered(t *testing.T) {
	r := newRig(t)
	r.setNamespace(0, "martians", "rfc1812")
	r.route(0, "169.254.0.0/16", fib.NextHop{Kind: fib.Unicast, Device: p1})
	r.route(0, "169.254.0.1/32", fib.NextHop{Kind: fib.Local, Device: p1})
	e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("169.254.0.2")), r.now)
	e.Set(neigh.Permanent, hostMAC(p1), r.now)
	r.inject(p1, codedEcho(t, ip4("169.254.0.2", "169.254.0.1", 1), 0, 20))
	r.step()
	if h := header.IPv4(r.one(p1).Data()[14:]); h[20] != header.ICMPEchoReply {
		t.Errorf("% x", h)
	}
	r.conserved()
}

// codedEcho is an echo request with a code.
func codedEcho(t testing.TB, ip *layers.IPv4, code uint8, size int) []byte {
	ip.Protocol = layers.IPProtocolICMPv4
	m := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, code), Id: 7, Seq: 9}
	return packet(t, ethernetTo(p1, layers.EthernetTypeIPv4), ip, m, gopacket.Payload(make([]byte, size)))
}

// toGroup addresses a frame to a group of the link.
func toGroup(t testing.TB, b []byte, mac string) []byte {
	b = slices.Clone(b)
	copy(b, bytesOf(t, mac))
	return b
}

// TestLinkLayerGroups: what comes in a link-layer broadcast or multicast is not forwarded, whatever else is wrong with
// it, and no error is sent about it (RFC 1812 5.3.4, 4.3.2.7). For the router itself it is taken as Linux does, and not
// with the RFC's martians.
func TestLinkLayerGroups(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		packet       []byte
	}{
		{"forwarded", "link-layer-broadcast", udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20)},
		{"expired", "link-layer-broadcast", udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 1), 20)},
		{"without a route", "no-route", udp4(t, p1, ip4("10.0.1.2", "9.9.9.9", 64), 20)},
		{"for a closed port", "no-listener", udp4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 20)},
		{"bad option", "ip4-bad-option", withOptions(t, "10.0.1.2", "10.0.2.2", 64, []byte{7, 1, 0, 0})},
		{"with options", "link-layer-broadcast", withOptions(t, "10.0.1.2", "10.0.2.2", 64, []byte{1, 1, 1, 0})},
	} {
		for _, mac := range []string{"ffffffffffff", "01005e000005"} {
			r := newRig(t)
			r.inject(p1, toGroup(t, c.packet, mac))
			r.step()
			if d := r.drops(p1); len(d) != 1 || d[c.reason] != 1 {
				t.Errorf("%s in %s: drops %v, want %s", c.name, mac, d, c.reason)
			}
			if len(r.ports[p1].take())+len(r.ports[p2].take()) != 0 {
				t.Errorf("%s in %s: not in silence", c.name, mac)
			}
			r.conserved()
		}
	}
	for set, want := range map[string]int{"linux": 1, "rfc1812": 0} {
		r := newRig(t)
		r.setNamespace(0, "martians", set)
		r.inject(p1, toGroup(t, codedEcho(t, ip4("10.0.1.2", "10.0.1.1", 64), 0, 20), "ffffffffffff"))
		r.step()
		if n := len(r.ports[p1].take()); n != want {
			t.Errorf("martians %s: %d echo replies, want %d", set, n, want)
		}
		r.conserved()
	}
}

// TestDirectedBroadcast: not forwarded by default; where the receiving device allows it, to all stations of the link (RFC
// 2644; bc_forwarding of Linux). No errors about it.
func TestDirectedBroadcast(t *testing.T) {
	r := newRig(t)
	r.broadcastRoute(p1, "10.0.1.255")
	r.broadcastRoute(p2, "10.0.2.255")
	in := udp4(t, p1, ip4("10.0.1.2", "10.0.2.255", 64), 20)
	r.inject(p1, in)
	r.step()
	if d := r.drops(p1); d["ip4-multicast"] != 1 || len(r.ports[p2].take()) != 0 {
		t.Errorf("forwarded by default; drops %v", d)
	}
	r.setting(p2, "bc-forwarding", "on")
	r.inject(p1, in)
	r.step()
	if n := len(r.ports[p2].take()); n != 0 {
		t.Error("forwarded though only the link it goes to allows it")
	}
	r.setting(p1, "bc-forwarding", "on")
	r.inject(p1, in)
	r.step()
	out := r.one(p2)
	e := layer[*layers.Ethernet](t, out, layers.LayerTypeEthernet)
	ip := layer[*layers.IPv4](t, out, layers.LayerTypeIPv4)
	if e.DstMAC.String() != "ff:ff:ff:ff:ff:ff" || e.SrcMAC.String() != "02:00:00:00:00:02" || ip.TTL != 63 {
		t.Errorf("from %s to %s, TTL %d", e.SrcMAC, e.DstMAC, ip.TTL)
	}
	r.ports[p2].take()
	r.view.Devices[p2].MTU = 68
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.255", 64), 100))
	r.step()
	pieces := r.ports[p2].take()
	for _, b := range pieces {
		if e := header.Ethernet(b); e.Destination() != header.BroadcastMAC || e.Source() != deviceMAC(p2) {
			t.Errorf("fragment % x", b[:14])
		}
	}
	if len(pieces) != 3 {
		t.Errorf("%d fragments", len(pieces))
	}
	before := r.drops(p1)
	r.inject(p1, toGroup(t, in, "ffffffffffff"))
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.255", 1), 20))
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "255.255.255.255", 64), 20))
	r.step()
	d := r.drops(p1)
	if len(r.ports[p1].take())+len(r.ports[p2].take()) != 0 || d["link-layer-broadcast"] != 1 || d["ttl-expired"] != 1 ||
		d["ip4-multicast"] != before["ip4-multicast"]+1 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestLocalTTL: the router takes what is for itself whatever the TTL (RFC 1812 4.2.2.9), and answers echo requests as
// Linux does: with the type of service and code of the request.
func TestLocalTTL(t *testing.T) {
	for _, ttl := range []uint8{0, 1, 255} {
		for _, code := range []uint8{0, 5} {
			r := newRig(t)
			ip := ip4("10.0.1.2", "10.0.2.1", ttl)
			ip.TOS = 0xb9
			r.inject(p1, codedEcho(t, ip, code, 20))
			r.step()
			h := header.IPv4(r.one(p1).Data()[14:])
			m := header.ICMP(h[20:])
			if h.TTL() != 64 || h.TOS() != 0xb9 || m.Type() != 0 || m.Code() != code || h.Source() != 0x0a000201 ||
				!h.ChecksumOK() || header.Fold(header.Sum(0, m)) != 0xffff {
				t.Errorf("TTL %d, code %d: % x", ttl, code, h)
			}
			r.conserved()
		}
	}
}

// TestTimestampRequest: RFC 1812 4.3.3.8, RFC 792.
func TestTimestampRequest(t *testing.T) {
	r := newRig(t)
	r.atNoon()
	b := codedEcho(t, ip4("10.0.1.2", "10.0.1.1", 64), 0, 12)
	m := header.ICMP(b[34:])
	m[0], m[11] = header.ICMPTimestamp, 77
	m.SetChecksum(0)
	m.SetChecksum(^header.Fold(header.Sum(0, m)))
	r.inject(p1, b)
	r.step()
	h := header.IPv4(r.one(p1).Data()[14:])
	want := bytesOf(t, "0e 00 00 00 00 07 00 09 00 00 00 4d 02 93 2e 00 02 93 2e 00")
	copy(want[2:4], h[22:24])
	if !slices.Equal(h[20:], want) || header.Fold(header.Sum(0, h[20:])) != 0xffff {
		t.Errorf("% x, want % x", h[20:], want)
	}
	r.conserved()
}

// TestUDPLength: what is behind the length of the UDP header is neither checked nor quoted; a wrong length is dropped.
func TestUDPLength(t *testing.T) {
	r := newRig(t)
	short := udp4(t, p1, ip4("10.0.1.2", "10.0.1.1", 64), 20)
	long := append(slices.Clone(short), 1, 2, 3, 4)
	header.IPv4(long[14:]).SetTotalLen(52)
	header.IPv4(long[14:]).SetChecksum()
	r.inject(p1, long)
	r.step()
	if h := header.IPv4(r.one(p1).Data()[14:]); h.TotalLen() != 28+48 || h[21] != header.ICMPPortUnreachable {
		t.Errorf("% x", h)
	}
	for _, n := range []byte{7, 29} {
		bad := slices.Clone(short)
		bad[14+20+5], bad[14+20+6], bad[14+20+7] = n, 0, 0
		r.inject(p1, bad)
	}
	r.step()
	if d := r.drops(p1); d["no-listener"] != 3 || len(r.ports[p1].take()) != 0 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestErrorsAboutICMP: no error about an error, or about a message that may be one (RFC 1812 4.3.2.7; RFC 1122 3.2.2).
func TestErrorsAboutICMP(t *testing.T) {
	for typ := range 44 {
		r := newRig(t)
		b := codedEcho(t, ip4("10.0.1.2", "10.0.2.2", 1), 0, 20)
		b[34] = byte(typ)
		r.inject(p1, b)
		r.step()
		want := 1
		if typ != 0 && typ != 8 && (typ < 13 || typ > 18) {
			want = 0
		}
		if n := len(r.ports[p1].take()); n != want {
			t.Errorf("type %d: %d errors, want %d", typ, n, want)
		}
		r.conserved()
	}
}

// TestErrorSource: an error comes from the address that the packet was sent to if it is ours, else from the route's
// source or the device that it leaves by (RFC 1812 4.3.2.4), and from 192.0.0.8 where there is none (RFC 7600 4.8).
func TestErrorSource(t *testing.T) {
	expired := func(r *rig) []byte { return udp4(r, p1, ip4("198.51.100.9", "10.0.2.2", 1), 20) }
	by := func(r *rig, dev nstable.DeviceID, gateway string, source uint32) {
		r.route(0, "198.51.100.0/24", fib.NextHop{
			Kind: fib.Unicast, Device: dev, Gateway: fib.AddrOf(netip.MustParseAddr(gateway)), Source4: source,
		})
	}
	for _, c := range []struct {
		name, source string
		out          nstable.DeviceID
		prepare      func(*rig)
	}{
		{"by the device of the route", "10.0.2.1", p2, func(r *rig) { by(r, p2, "10.0.2.2", 0) }},
		{"by the source of the route", "10.0.7.1", p2, func(r *rig) { by(r, p2, "10.0.2.2", 0x0a000701) }},
		{"by an IPv6 gateway", "10.0.2.1", p2, func(r *rig) { by(r, p2, "2001:db8:2::2", 0) }},
		{"without an address on the device", "10.0.1.1", p2, func(r *rig) {
			by(r, p2, "2001:db8:2::2", 0)
			r.view.Devices[p2].Addrs = r.view.Devices[p2].Addrs[1:]
		}},
		{"without an address at all", "192.0.0.8", p2, func(r *rig) {
			by(r, p2, "2001:db8:2::2", 0)
			for _, d := range r.view.Devices {
				if d != nil {
					d.Addrs = slices.DeleteFunc(d.Addrs, func(p netip.Prefix) bool { return p.Addr().Is4() })
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.prepare(r)
			r.inject(p1, expired(r))
			r.step()
			ip := layer[*layers.IPv4](t, r.one(c.out), layers.LayerTypeIPv4)
			if ip.SrcIP.String() != c.source || ip.DstIP.String() != "198.51.100.9" {
				t.Errorf("from %s to %s, want from %s", ip.SrcIP, ip.DstIP, c.source)
			}
			r.conserved()
		})
	}
}

// TestErrorFitsLink: the quotation is cut to what the link of the answer takes.
func TestErrorFitsLink(t *testing.T) {
	r := newRig(t)
	r.view.Devices[p1].MTU = 200
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 1), 400))
	r.step()
	h := header.IPv4(r.one(p1).Data()[14:])
	if h.TotalLen() != 200 || len(h) != 200 || !h.ChecksumOK() || header.Fold(header.Sum(0, h[20:])) != 0xffff {
		t.Errorf("%d bytes: % x", h.TotalLen(), h[:32])
	}
	r.conserved()
}

// TestIPv6NextHop: IPv4 by an IPv6 gateway (RFC 8950): resolved by neighbour discovery, sent as IPv4, and answered with
// an ICMP error for IPv4 where the gateway is silent.
func TestIPv6NextHop(t *testing.T) {
	r := newRig(t)
	r.route(0, "198.51.100.0/24", fib.NextHop{
		Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("fe80::77")),
	})
	in := udp4(t, p1, ip4("10.0.1.2", "198.51.100.9", 64), 20)
	r.inject(p1, in)
	r.step()
	if h := header.IPv6(r.one(p2).Data()[14:]); h.Payload()[0] != header.ICMPv6NeighborSolicit {
		t.Fatalf("% x", h)
	}
	mac := header.MACBytes(hostMAC(p2))
	e := r.view.Devices[p2].Neighbors.Lookup(fib.AddrOf(netip.MustParseAddr("fe80::77")))
	r.w.look()
	r.w.update(e, r.view.Devices[p2], header.MAC(mac), neigh.Reachable, override)
	r.w.flush()
	out := r.one(p2)
	if eth := layer[*layers.Ethernet](t, out, layers.LayerTypeEthernet); eth.EthernetType != layers.EthernetTypeIPv4 {
		t.Errorf("EtherType %v", eth.EthernetType)
	}
	if ip := layer[*layers.IPv4](t, out, layers.LayerTypeIPv4); ip.TTL != 63 || ip.DstIP.String() != "198.51.100.9" {
		t.Errorf("%v", ip)
	}
	r.conserved()
}

// TestIPv6NextHopSilent: what was held for an IPv6 gateway that does not answer is answered as what it is.
func TestIPv6NextHopSilent(t *testing.T) {
	r := newRig(t)
	r.route(0, "198.51.100.0/24", fib.NextHop{
		Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("fe80::77")),
	})
	r.inject(p1, withOptions(t, "10.0.1.2", "198.51.100.9", 64, bytesOf(t, "07 0b 04 00 00 00 00 00 00 00 00 00")))
	for range 6 {
		r.step()
		r.now += int64(time.Second)
	}
	r.step()
	h := header.IPv4(r.one(p1).Data()[14:])
	m := header.ICMP(h[h.HeaderLen():])
	if m.Type() != header.ICMPUnreachable || m.Code() != header.ICMPHostUnreachable || !h.ChecksumOK() {
		t.Errorf("% x", h)
	}
	// Recorded when it was forwarded, and once more for the error, which is full then.
	if want := bytesOf(t, "07 0b 0c 0a 00 02 01 0a 00 01 01 00"); !slices.Equal(h[20:h.HeaderLen()], want) {
		t.Errorf("options % x, want % x", h[20:h.HeaderLen()], want)
	}
	r.conserved()
}
