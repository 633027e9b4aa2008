package dataplane

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// raw6 is an IPv6 packet for p1 with a payload that begins with the given next header.
func raw6(t testing.TB, src, dst string, next byte, payload ...[]byte) []byte {
	t.Helper()
	ip := ip6(src, dst, 64)
	ip.NextHeader = layers.IPProtocol(next)
	var all []byte
	for _, b := range payload {
		all = append(all, b...)
	}
	return packet(t, ethernetTo(p1, layers.EthernetTypeIPv6), ip, gopacket.Payload(all))
}

// extension is an extension header with what follows its first two bytes, padded with Pad1 to whole units.
func extension(next byte, content ...byte) []byte {
	b := append([]byte{next, 0}, content...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b[1] = byte(len(b)/8 - 1)
	return b
}

// datagram is a UDP datagram without a right checksum, which a router on the way does not look at.
func datagram() []byte { return []byte{1, 0, 2, 0, 0, 12, 1, 2, 'd', 'a', 't', 'a'} }

// outcome is what becomes of a packet that came in by p1: "forwarded", "dropped: reason", or the ICMPv6 answer.
func (r *rig) outcome() string {
	r.Helper()
	forwarded, answers := r.ports[p2].take(), r.ports[p1].take()
	switch {
	case len(forwarded) == 1 && len(answers) == 0:
		return "forwarded"
	case len(forwarded) == 0 && len(answers) == 1:
		p := decode(r, answers[0])
		h := header.IPv6(p.Data()[14:])
		m := h.Payload()
		if header.Fold(header.Sum(header.PseudoSum6(h, 58, len(m)), m)) != 0xffff {
			r.Errorf("wrong ICMPv6 checksum: %x", p.Data())
		}
		from := netip.AddrFrom16([16]byte(h[8:24]))
		return fmt.Sprintf("%d/%d %d from %s", m[0], m[1], uint32(m[4])<<24|uint32(m[5])<<16|uint32(m[6])<<8|uint32(m[7]), from)
	case len(forwarded)+len(answers) == 0:
		for reason := range r.drops(p1) {
			return "dropped: " + reason
		}
		return "delivered"
	}
	return fmt.Sprintf("%d forwarded, %d answers", len(forwarded), len(answers))
}

// TestExtensionHeaders: each extension header on its way through, and to the router itself.
func TestExtensionHeaders(t *testing.T) {
	const (
		src, far, own = "2001:db8:1::2", "2001:db8:2::2", "2001:db8:2::1"
		udp, tcp      = 17, 6
		hop, dest     = header.ExtHopByHop, header.ExtDestination
	)
	rh := func(kind, left byte) []byte {
		return append([]byte{udp, 2, kind, left, 0, 0, 0, 0}, netip.MustParseAddr(far).AsSlice()...)
	}
	nine := func() (b []byte) {
		for range 9 {
			b = append(b, 0x1e, 0)
		}
		return b
	}
	for _, c := range []struct {
		name, dst string
		next      byte
		payload   [][]byte
		want      string
	}{
		{"hop-by-hop, padding", far, hop, [][]byte{extension(udp, 1, 4, 0, 0, 0, 0), datagram()}, "forwarded"},
		{"hop-by-hop, one-byte padding", far, hop, [][]byte{extension(udp), datagram()}, "forwarded"},
		{"router alert", far, hop, [][]byte{extension(udp, 5, 2, 0, 0), datagram()}, "forwarded"},
		{"router alert of 3", far, hop, [][]byte{extension(udp, 5, 3, 0, 0, 0), datagram()}, "dropped: ip6-bad-options"},
		{"padding of 8", far, hop, [][]byte{extension(udp, 0, 1, 5, 0, 0, 0, 0, 0, 0x1e, 0), datagram()},
			"dropped: ip6-bad-options"},
		{"padding that is none", far, hop, [][]byte{extension(udp, 1, 4, 0, 0, 9, 0), datagram()}, "dropped: ip6-bad-options"},
		{"option overruns", far, hop, [][]byte{extension(udp, 0x1e, 5, 0, 0, 0, 0), datagram()}, "dropped: ip6-bad-options"},
		{"option without a length", far, hop, [][]byte{extension(udp, 1, 3, 0, 0, 0, 0x1e), datagram()},
			"dropped: ip6-bad-options"},
		{"nine options", far, hop, [][]byte{extension(udp, nine()...), datagram()}, "dropped: ip6-bad-options"},
		{"header overruns", far, hop, [][]byte{{udp, 9, 1, 4, 0, 0, 0, 0}, datagram()}, "dropped: ip6-bad-header"},
		{"no room for a header", far, hop, [][]byte{{udp, 0, 1, 4}}, "dropped: ip6-bad-header"},
		{"no payload", far, hop, nil, "dropped: ip6-jumbo"},
		{"unknown, skip", far, hop, [][]byte{extension(udp, 0x1e, 4, 1, 2, 3, 4), datagram()}, "forwarded"},
		{"unknown, discard", far, hop, [][]byte{extension(udp, 0x5e, 4, 1, 2, 3, 4), datagram()}, "dropped: ip6-option"},
		{"unknown, report", far, hop, [][]byte{extension(udp, 0x9e, 4, 1, 2, 3, 4), datagram()}, "4/2 42 from 2001:db8:1::1"},
		{"unknown, report but to groups", far, hop, [][]byte{extension(udp, 0, 0, 0xde, 2, 3, 4), datagram()},
			"4/2 44 from 2001:db8:1::1"},
		{"unknown, report to a group", "ff0e::7", hop, [][]byte{extension(udp, 0x9e, 4, 1, 2, 3, 4), datagram()},
			"4/2 42 from 2001:db8:1::1"},
		{"unknown, not to a group", "ff0e::7", hop, [][]byte{extension(udp, 0xde, 4, 1, 2, 3, 4), datagram()},
			"dropped: ip6-option"},
		{"unknown, to the router", own, hop, [][]byte{extension(udp, 0x9e, 4, 1, 2, 3, 4), datagram()},
			"4/2 42 from 2001:db8:2::1"},
		{"jumbo", far, hop, [][]byte{extension(udp, 0xc2, 4, 0, 1, 0, 0), datagram()}, "4/0 42 from 2001:db8:1::1"},
		{"jumbo, small", far, hop, [][]byte{extension(udp, 0xc2, 4, 0, 0, 9, 9), datagram()}, "4/0 44 from 2001:db8:1::1"},
		{"jumbo, misaligned", far, hop, [][]byte{extension(udp, 0, 0xc2, 4, 0, 1, 0, 0), datagram()}, "dropped: ip6-bad-options"},
		{"destination options in transit", far, dest, [][]byte{extension(udp, 0xde, 4, 1, 2, 3, 4), datagram()}, "forwarded"},
		{"destination options", own, dest, [][]byte{extension(253, 0x1e, 4, 1, 2, 3, 4), datagram()},
			"4/1 40 from 2001:db8:2::1"},
		{"destination option, discard", own, dest, [][]byte{extension(udp, 0x5e, 0), datagram()}, "dropped: ip6-option"},
		{"destination option, report", own, dest, [][]byte{extension(udp, 0xde, 0), datagram()}, "4/2 42 from 2001:db8:2::1"},
		{"destination options overrun", own, dest, [][]byte{{udp, 9, 1, 4, 0, 0, 0, 0}, datagram()}, "dropped: ip6-bad-header"},
		{"router alert to the host only", own, dest, [][]byte{extension(253, 5, 9, 0, 0), datagram()},
			"dropped: ip6-bad-options"},
		{"hop-by-hop behind another", own, dest, [][]byte{extension(hop), extension(udp), datagram()},
			"4/1 40 from 2001:db8:2::1"},
		{"hop-by-hop twice", own, hop, [][]byte{extension(hop), extension(udp), datagram()}, "4/1 40 from 2001:db8:2::1"},
		{"hop-by-hop behind another in transit", far, dest, [][]byte{extension(hop), extension(udp, 0xde, 0), datagram()},
			"forwarded"},
		{"RH0 in transit", far, 43, [][]byte{rh(0, 1), datagram()}, "forwarded"},
		{"RH0", own, 43, [][]byte{rh(0, 1), datagram()}, "4/0 42 from 2001:db8:2::1"},
		{"RH0 behind options", own, hop, [][]byte{extension(43), rh(0, 1), datagram()}, "4/0 50 from 2001:db8:2::1"},
		{"RH0, nothing left", own, 43, [][]byte{append([]byte{253}, rh(0, 0)[1:]...), datagram()}, "4/1 40 from 2001:db8:2::1"},
		{"unknown routing type", own, 43, [][]byte{rh(77, 1), datagram()}, "4/0 42 from 2001:db8:2::1"},
		{"segment routing", own, 43, [][]byte{rh(4, 1), datagram()}, "dropped: ip6-routing-header"},
		{"RPL routing", own, 43, [][]byte{rh(3, 0), datagram()}, "dropped: ip6-routing-header"},
		{"routing header to a group", "ff02::1", 43, [][]byte{rh(0, 1), datagram()}, "dropped: ip6-routing-header"},
		{"routing header overruns", own, 43, [][]byte{rh(0, 1)[:16]}, "dropped: ip6-bad-header"},
		{"unknown next header", own, 253, [][]byte{datagram()}, "4/1 6 from 2001:db8:2::1"},
		{"unknown next header in transit", far, 253, [][]byte{datagram()}, "forwarded"},
		{"unknown next header to a group", "ff02::1", 253, [][]byte{datagram()}, "dropped: unknown-protocol"},
		{"no next header", own, 59, [][]byte{datagram()}, "dropped: no-listener"},
		{"no next header in transit", far, 59, nil, "forwarded"},
		{"no next header behind options", own, dest, [][]byte{extension(59)}, "dropped: no-listener"},
		{"UDP without checksum", own, udp, [][]byte{{1, 0, 2, 0, 0, 8, 0, 0}}, "dropped: no-listener"},
		{"TCP", own, tcp, [][]byte{make([]byte, 20)}, "dropped: no-listener"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.inject(p1, raw6(t, src, c.dst, c.next, c.payload...))
			r.step()
			if got := r.outcome(); got != c.want {
				t.Errorf("%s, want %s; drops %v", got, c.want, r.drops(p1))
			}
			r.conserved()
		})
	}
}

// TestExtensionChain: the walk over extension headers is bounded, on the way to an error as well.
func TestExtensionChain(t *testing.T) {
	chain := func(n int) (b []byte) {
		for range n - 1 {
			b = append(b, extension(header.ExtDestination)...)
		}
		return append(append(b, extension(253)...), datagram()...)
	}
	for n, want := range map[int]string{
		header.MaxExtensions - 1: fmt.Sprintf("4/1 %d from 2001:db8:2::1", 40+8*(header.MaxExtensions-2)),
		header.MaxExtensions:     "dropped: ip6-extensions",
	} {
		r := newRig(t)
		r.inject(p1, raw6(t, "2001:db8:1::2", "2001:db8:2::1", header.ExtDestination, chain(n)))
		r.step()
		if got := r.outcome(); got != want {
			t.Errorf("%d headers: %s, want %s", n, got, want)
		}
		r.conserved()
	}
}

// TestScopes6: link-local packets stay on their link, where they may go; nothing else does with such a source.
func TestScopes6(t *testing.T) {
	for _, c := range []struct {
		src, dst string
		hops     uint8
		group    bool // in a link-layer multicast
		want     string
	}{
		{"fe80::5", "2001:db8:2::2", 9, false, "1/2 0 from fe80::1"},
		{"fe80::5", "2001:db8:2::2", 1, false, "3/0 0 from fe80::1"}, // the hop limit is looked at first
		{"2001:db8:1::2", "fe80::5", 9, false, "1 back"},
		{"fe80::5", "fe80::6", 9, false, "1 back"},
		{"fe80::5", "2001:db8:1::2", 9, false, "1 back"},
		{"2001:db8:1::2", "fe80::5", 1, false, "3/0 0 from 2001:db8:1::1"},
		{"2001:db8:1::2", "fe80:0:0:1::5", 9, false, "1/0 0 from 2001:db8:1::1"},
		{"2001:db8:1::2", "fe80::2", 9, false, "1 back"}, // p2's, which is another's on p1
		{"2001:db8:1::2", "fe80::1", 9, false, "1/4 0 from fe80::1"},
		{"fec0::5", "2001:db8:2::2", 9, false, "forwarded"},
		{"2001:db8:1::2", "fec0::5", 9, false, "forwarded"},
		{"2001:db8:1::2", "2001:db8:2::1", 9, true, "dropped: no-listener"}, // taken, but nobody is told
		{"2001:db8:1::2", "fe80::5", 9, true, "dropped: link-layer-broadcast"},
		{"2001:db8:1::2", "ff05::2", 9, true, "dropped: no-listener"},
		{"2001:db8:1::2", "ff05::1", 9, true, "dropped: ip6-multicast"},
	} {
		r := newRig(t)
		r.route(0, "fec0::/10", fib.NextHop{Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))})
		for _, a := range []string{"fe80::5", "fe80::6", "fe80::2"} {
			r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr(a)), 0).Set(neigh.Permanent, hostMAC(p1), 0)
		}
		b := udp6(t, p1, ip6(c.src, c.dst, c.hops), 20)
		if c.group {
			b[0] |= 1
		}
		r.inject(p1, b)
		r.step()
		got := ""
		if sent := r.ports[p1].tx; len(sent) == 1 {
			if f := r.pool.Bytes()[sent[0].Addr:]; f[20] == 17 && f[21] == c.hops-1 {
				got = "1 back"
				r.ports[p1].take()
			}
		}
		if got == "" {
			got = r.outcome()
		}
		if got != c.want {
			t.Errorf("%+v: %s; drops %v", c, got, r.drops(p1))
		}
		r.conserved()
	}
}

// TestLeastMTU: a route's MTU below IPv6's least is not held against packets that the link takes, and is never said.
func TestLeastMTU(t *testing.T) {
	for _, c := range []struct {
		length int // of the packet
		dst    string
		want   string
	}{
		{1280, "2001:db8:4::9", "forwarded"},
		{1281, "2001:db8:4::9", "2/0 1280 from 2001:db8:1::1"},
		{1400, "2001:db8:5::9", "forwarded"},
		{1401, "2001:db8:5::9", "2/0 1400 from 2001:db8:1::1"},
		{1281, "ff0e::1", "dropped: ip6-multicast"},
	} {
		r := newRig(t)
		via := fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))
		r.route(0, "2001:db8:4::/64", fib.NextHop{Kind: fib.Unicast, Device: p2, Gateway: via, MTU: 800})
		r.route(0, "2001:db8:5::/64", fib.NextHop{Kind: fib.Unicast, Device: p2, Gateway: via, MTU: 1400})
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", c.dst, 9), c.length-48))
		r.step()
		if got := r.outcome(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
		r.conserved()
	}
}

// TestNoErrorAbout6: RFC 4443 2.4(e), and what is no exception to it.
func TestNoErrorAbout6(t *testing.T) {
	const far = "2001:db8:ff::2" // there is no route
	icmp := func(typ byte, rest ...byte) []byte { return append([]byte{typ, 0, 0, 0, 0, 0, 0, 0}, rest...) }
	fragment := func(offset byte) []byte { return []byte{58, 0, 0, offset << 3, 0, 0, 0, 1} }
	for _, c := range []struct {
		name, src string
		next      byte
		payload   []byte
		want      string
	}{
		{"error", "2001:db8:1::2", 58, icmp(1), "dropped: no-route"},
		{"unknown error", "2001:db8:1::2", 58, icmp(127), "dropped: no-route"},
		{"redirect", "2001:db8:1::2", 58, icmp(137), "dropped: no-route"},
		{"echo request", "2001:db8:1::2", 58, icmp(128), "1/0 0 from 2001:db8:1::1"},
		{"ICMPv6 without a type", "2001:db8:1::2", 58, nil, "dropped: no-route"},
		{"error behind options", "2001:db8:1::2", 60, append(extension(58), icmp(3)...), "dropped: no-route"},
		{"error behind authentication", "2001:db8:1::2", 51, append([]byte{58, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, icmp(3)...),
			"dropped: no-route"},
		{"error in a first fragment", "2001:db8:1::2", 44, append(fragment(0), icmp(3)...), "dropped: no-route"},
		{"error in a later fragment", "2001:db8:1::2", 44, append(fragment(1), icmp(3)...), "1/0 0 from 2001:db8:1::1"},
		{"chain cut off", "2001:db8:1::2", 60, []byte{17, 9, 0, 0, 0, 0, 0, 0}, "1/0 0 from 2001:db8:1::1"},
		{"chain cut off before ICMPv6", "2001:db8:1::2", 60, []byte{58, 9, 0, 0, 0, 0, 0, 0}, "dropped: no-route"},
		{"first fragment without ICMPv6", "2001:db8:1::2", 44, []byte{58, 0, 0, 1, 0, 0, 0, 7}, "1/0 0 from 2001:db8:1::1"},
		{"atomic fragment without ICMPv6", "2001:db8:1::2", 44, []byte{58, 0, 0, 0, 0, 0, 0, 7}, "dropped: no-route"},
		{"anycast source", "2001:db8:1::", 17, datagram(), "dropped: no-route"},
		{"own source", "2001:db8:1::1", 17, datagram(), "dropped: no-route"},
	} {
		r := newRig(t)
		r.route(0, "2001:db8:1::/128", fib.NextHop{Kind: fib.Anycast, Device: p1})
		r.inject(p1, raw6(t, c.src, far, c.next, c.payload))
		r.step()
		if got := r.outcome(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		r.conserved()
	}
}

// TestRejects: what the route says, by the code of the answer (ip6_pkt_prohibit and ip6_pkt_discard of the kernel).
func TestRejects(t *testing.T) {
	for kind, want := range map[fib.Kind]string{
		fib.Blackhole:   "dropped: route-blackhole",
		fib.Unreachable: "1/0 0 from 2001:db8:1::1",
		fib.Prohibit:    "1/1 0 from 2001:db8:1::1",
	} {
		r := newRig(t)
		r.route(0, "2001:db8:4::/64", fib.NextHop{Kind: kind})
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:4::2", 9), 20))
		r.step()
		if got := r.outcome(); got != want {
			t.Errorf("%v: %s, want %s", kind, got, want)
		}
		r.conserved()
	}
}

// TestRejectsRFC: with the RFC's rules an unreachable route and a failed check of the source have codes of their own.
func TestRejectsRFC(t *testing.T) {
	r := newRig(t)
	r.setNamespace(0, "martians", "rfc1812")
	r.set(p1, func(s *setting.Device) { s.RPFilter = setting.RPFilterStrict })
	r.route(0, "2001:db8:4::/64", fib.NextHop{Kind: fib.Unreachable})
	r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:4::2", 9), 20))
	r.step()
	if got := r.outcome(); got != "1/6 0 from 2001:db8:1::1" {
		t.Errorf("to an unreachable route: %s", got)
	}
	r.inject(p1, udp6(t, p1, ip6("2001:db8:2::2", "2001:db8:2::2", 9), 20)) // the way back is by p2
	r.step()
	sent := r.ports[p2].take()
	if len(sent) != 1 || sent[0][20] != header.ProtoICMPv6 || sent[0][54] != 1 || sent[0][55] != 5 {
		t.Errorf("from a spoofed source: %x, want one error 1/5", sent)
	}
	r.conserved()
}

// TestPrefixLengths: a route of every length is found (RFC 7608), and only for what it covers.
func TestPrefixLengths(t *testing.T) {
	host := netip.MustParseAddr("2001:db8:ffff:5555:aaaa:3333:cccc:f0f1").As16()
	via := fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))
	for length := range 129 {
		r := newRig(t)
		p := netip.PrefixFrom(netip.AddrFrom16(host), length).Masked()
		r.route(0, p.String(), fib.NextHop{Kind: fib.Unicast, Device: p2, Gateway: via})
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", netip.AddrFrom16(host).String(), 9), 20))
		r.step()
		if got := r.outcome(); got != "forwarded" {
			t.Errorf("/%d: %s", length, got)
		}
		if length > 3 { // beside it, without leaving unicast
			beside := host
			beside[(length-1)/8] ^= 0x80 >> ((length - 1) % 8)
			r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", netip.AddrFrom16(beside).String(), 9), 20))
			r.step()
			if got := r.outcome(); got != "1/0 0 from 2001:db8:1::1" {
				t.Errorf("beside the /%d: %s", length, got)
			}
		}
		r.conserved()
	}
}

// TestEchoAnycast: the subnet-router anycast address answers by a unicast one, and a /127 has none.
func TestEchoAnycast(t *testing.T) {
	echo := func(dst string) []byte {
		ip := ip6("2001:db8:1::2", dst, 64)
		ip.NextHeader, ip.TrafficClass = layers.IPProtocolICMPv6, 0xb9
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(128, 0)}
		_ = m.SetNetworkLayerForChecksum(ip)
		return packet(t, ethernetTo(p1, layers.EthernetTypeIPv6), ip, m, gopacket.Payload{0, 5, 0, 6})
	}
	for dst, want := range map[string]string{
		"2001:db8:1::":  "129/0 327686 from 2001:db8:1::1",
		"2001:db8:2::":  "129/0 327686 from 2001:db8:1::1",
		"2001:db8:2::1": "129/0 327686 from 2001:db8:2::1",
		"fe80::":        "129/0 327686 from 2001:db8:1::1",
		"ff02::1":       "129/0 327686 from 2001:db8:1::1",
		"ff02::2":       "129/0 327686 from 2001:db8:1::1",
		"ff05::2":       "129/0 327686 from 2001:db8:1::1",
	} {
		r := newRig(t)
		r.route(0, "2001:db8:1::/128", fib.NextHop{Kind: fib.Anycast, Device: p1})
		r.route(0, "2001:db8:2::/128", fib.NextHop{Kind: fib.Anycast, Device: p2})
		r.inject(p1, echo(dst))
		r.step()
		if sent := r.ports[p1].tx; len(sent) == 1 {
			if class := header.IPv6(r.pool.Bytes()[sent[0].Addr+14:]).TrafficClass(); class != 0xb9 {
				t.Errorf("%s: traffic class %#x", dst, class)
			}
		}
		if got := r.outcome(); got != want {
			t.Errorf("%s: %s, want %s", dst, got, want)
		}
		r.conserved()
	}
}

// TestSource6: the choice of a source address by RFC 6724 5.
func TestSource6(t *testing.T) {
	for _, c := range []struct {
		name         string
		addrs1       []string // of p1, in the order of their coming
		addrs2       []string // of p2
		target, want string   // for a packet that has to do with p1
	}{
		{"link-local", []string{"2001:db8::1/64", "fe80::1/64"}, nil, "fe80::9", "fe80::1"},
		{"link-local, of the device only", []string{"2001:db8::1/64"}, []string{"fe80::2/64"}, "fe80::9", "2001:db8::1"},
		{"global", []string{"fe80::1/64", "2001:db8::1/64"}, nil, "2001:db8:9::9", "2001:db8::1"},
		{"of another device rather than too small a scope", []string{"fe80::1/64"}, []string{"2001:db8::2/64"}, "2001:db8:9::9",
			"2001:db8::2"},
		{"of the device rather than a longer prefix", []string{"2001:db8::1/64"}, []string{"2001:db8:9::2/64"}, "2001:db8:9::9",
			"2001:db8::1"},
		{"longest common prefix", []string{"2001:db8:9::1/64", "2001:db8::1/64"}, nil, "2001:db8:9::9", "2001:db8:9::1"},
		{"not longer than its own prefix", []string{"2001:db8:9::1/48", "2001:db8:9:1::1/48"}, nil, "2001:db8:9:0:8::9",
			"2001:db8:9:1::1"},
		{"same label", []string{"2001:db8::1/64", "fd00::1/64"}, nil, "fd77::9", "fd00::1"},
		{"other label", []string{"2001:db8::1/64", "fd00::1/64"}, nil, "2001:db8:9::9", "2001:db8::1"},
		{"the last of equals", []string{"2001:db8::1/64", "2001:db8::2/64"}, nil, "2001:db9::9", "2001:db8::2"},
		{"nothing better", []string{"fe80::1/64"}, nil, "2001:db8:9::9", "fe80::1"},
		{"nothing", nil, nil, "2001:db8:9::9", ""},
	} {
		r := newRig(t)
		for _, d := range r.view.Devices {
			if d != nil {
				d.Addrs = nil
			}
		}
		for id, list := range map[nstable.DeviceID][]string{p1: c.addrs1, p2: c.addrs2} {
			for _, a := range list {
				r.view.Devices[id].Addrs = append(r.view.Devices[id].Addrs, netip.MustParsePrefix(a))
			}
		}
		r.w.look()
		got := ""
		if a, ok := r.w.source6(r.view.Devices[p1], fib.AddrOf(netip.MustParseAddr(c.target))); ok {
			got = a.Netip().String()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestPointToPoint127: on a /127 the lower address is a neighbour like another, not the router's anycast (RFC 6164).
func TestPointToPoint127(t *testing.T) {
	r := newRig(t)
	d := r.view.Devices[p2]
	d.Addrs = append(d.Addrs, netip.MustParsePrefix("2001:db8:a::1/127"))
	r.route(0, "2001:db8:a::/127", fib.NextHop{Kind: fib.Unicast, Device: p2})
	r.route(0, "2001:db8:a::1/128", fib.NextHop{Kind: fib.Local, Device: p2})
	d.Neighbors.Add(fib.AddrOf(netip.MustParseAddr("2001:db8:a::")), 0).Set(neigh.Permanent, hostMAC(p2), 0)
	for _, c := range []struct{ dst, want string }{
		{"2001:db8:a::", "forwarded"}, {"2001:db8:a::1", "1/4 0 from 2001:db8:a::1"},
	} {
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", c.dst, 9), 20))
		r.step()
		if got := r.outcome(); got != c.want {
			t.Errorf("%s: %s, want %s", c.dst, got, c.want)
		}
	}
	r.inject(p2, solicitation(t, p2, "2001:db8:2::2", "ff02::1:ff00:0", "2001:db8:a::", 255, true))
	r.inject(p2, solicitation(t, p2, "2001:db8:2::2", "ff02::1:ff00:1", "2001:db8:a::1", 255, true))
	r.step()
	if na := layer[*layers.ICMPv6NeighborAdvertisement](t, r.one(p2), layers.LayerTypeICMPv6NeighborAdvertisement); na.
		TargetAddress.String() != "2001:db8:a::1" {
		t.Errorf("%+v", na)
	}
	r.conserved()
}

// TestEchoFromNobody: the unspecified address is no destination (RFC 4291 2.5.2): an echo request from it has no reply, even
// where a default route leads there.
func TestEchoFromNobody(t *testing.T) {
	for _, hop := range []fib.NextHop{
		{Kind: fib.Unicast, Device: p2},
		{Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))},
	} {
		for _, size := range []int{20, 1440} {
			r := newRig(t)
			r.view.Devices[p2].MTU = 1280
			r.route(0, "::/0", hop)
			b := echo6(t, p1, ip6("::", "ff02::1", 64), size)
			copy(b, []byte{0x33, 0x33, 0, 0, 0, 1})
			r.inject(p1, b)
			r.step()
			if sent := r.ports[p2].take(); len(sent) != 0 || r.drops(p1)["ip6-bad-source"] != 1 {
				t.Errorf("%d bytes: sent % x, dropped %v", size, sent, r.drops(p1))
			}
			r.conserved()
		}
	}
}

// TestToNobody: nothing is sent to the unspecified address, even where a default route leads there.
func TestToNobody(t *testing.T) {
	for _, hop := range []fib.NextHop{
		{Kind: fib.Unicast, Device: p2},
		{Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))},
	} {
		r := newRig(t)
		r.route(0, "::/0", hop)
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "::", 64), 20))
		r.step()
		if sent := r.ports[p2].take(); len(sent) != 0 || r.drops(p1)["no-route"] != 1 {
			t.Errorf("sent % x, dropped %v", sent, r.drops(p1))
		}
		if sent := r.ports[p1].take(); len(sent) != 1 || sent[0][54] != header.ICMPv6Unreachable {
			t.Errorf("answered with % x", sent)
		}
		r.conserved()
	}
}
