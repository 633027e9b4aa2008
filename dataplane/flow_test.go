package dataplane

import (
	"encoding/binary"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// TestMultipath: packets of one flow leave by one next hop, those of many flows by all, in even shares. What
// differs only in a fragment's place or the TTL stays together.
func TestMultipath(t *testing.T) {
	r := newRig(t)
	gateway := func(i int) fib.Addr { return fib.AddrOf(netip.AddrFrom4([4]byte{10, 0, 2, byte(10 + i)})) }
	var hops []fib.NextHop
	for i := range 4 {
		e := r.view.Devices[p2].Neighbors.Add(gateway(i), r.now)
		e.Set(neigh.Permanent, uint64(0x020000001000+i), r.now)
		hops = append(hops, fib.NextHop{Device: p2, Gateway: gateway(i)})
	}
	r.route(0, "192.0.2.0/24", hops...)
	send := func(change func(b []byte)) byte {
		t.Helper()
		b := udp4(t, p1, ip4("10.0.1.2", "192.0.2.1", 64), 22)
		change(b)
		h := header.IPv4(b[header.EthernetLen:])
		h.SetChecksum()
		r.inject(p1, b)
		r.step()
		out := r.ports[p2].take()
		if len(out) != 1 {
			t.Fatalf("%d packets left", len(out))
		}
		return out[0][5]
	}
	count := make(map[byte]int)
	const flows = 4000
	for i := range flows {
		port := func(b []byte) { binary.BigEndian.PutUint16(b[34:], uint16(1024+i)) }
		first := send(port)
		count[first]++
		if again := send(func(b []byte) { port(b); b[22] = 33 }); again != first {
			t.Fatalf("flow %d left by %d and by %d", i, first, again)
		}
	}
	for mac, n := range count {
		if len(count) != 4 || n < flows/5 || n > flows*3/10 {
			t.Errorf("%d of %d flows left by %d: %v", n, flows, mac, count)
		}
	}
	fragment := func(offset uint16, port uint16) func([]byte) {
		return func(b []byte) {
			binary.BigEndian.PutUint16(b[20:], offset)
			binary.BigEndian.PutUint16(b[34:], port) // the ports of the first, payload of the others
		}
	}
	first := send(fragment(0x2000, 1))
	for i := range uint16(50) {
		if got := send(fragment(0x2000|i, i*321)); got != first {
			t.Fatalf("fragments of one packet left by %d and by %d", first, got)
		}
	}
}

// TestMultipath6 is the same for IPv6, by ports and by extension header.
func TestMultipath6(t *testing.T) {
	r := newRig(t)
	var hops []fib.NextHop
	for i := range 2 {
		gateway := fib.Addr{Hi: 0x20010db800020000, Lo: uint64(0x10 + i)}
		e := r.view.Devices[p2].Neighbors.Add(gateway, r.now)
		e.Set(neigh.Permanent, uint64(0x020000001000+i), r.now)
		hops = append(hops, fib.NextHop{Device: p2, Gateway: gateway})
	}
	r.route(0, "2001:db8:9::/48", hops...)
	count := make(map[byte]int)
	for i := range 1000 {
		b := udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:9::1", 64), 2)
		binary.BigEndian.PutUint16(b[54:], uint16(i))
		r.inject(p1, b)
		r.step()
		for _, f := range r.ports[p2].take() {
			count[f[5]]++
		}
	}
	if len(count) != 2 || count[0] < 400 || count[1] < 400 {
		t.Errorf("shares: %v", count)
	}
}

// TestFlows: what packets are told apart by.
func TestFlows(t *testing.T) {
	a4, b4 := fib.Addr4(0x0a000102), fib.Addr4(0xc0000201)
	a6, b6 := fib.AddrOf(netip.MustParseAddr("2001:db8:1::2")), fib.AddrOf(netip.MustParseAddr("2001:db8:9::1"))
	const ports, turned, id = 1000<<16 | 2000, 2000<<16 | 1000, 77 << 16
	v4 := func(protocol uint8, edit func(*layers.IPv4), upper ...[]byte) []byte {
		ip := ip4("10.0.1.2", "192.0.2.1", 64)
		ip.Protocol = layers.IPProtocol(protocol)
		if edit != nil {
			edit(ip)
		}
		return packet(t, ip, gopacket.Payload(slices.Concat(upper...)))
	}
	v6 := func(next uint8, upper ...[]byte) []byte {
		ip := ip6("2001:db8:1::2", "2001:db8:9::1", 64)
		ip.NextHeader, ip.FlowLabel = layers.IPProtocol(next), 0x12345
		return packet(t, ip, gopacket.Payload(slices.Concat(upper...)))
	}
	transport := []byte{1000 >> 8, 1000 & 255, 2000 >> 8, 2000 & 255, 0, 8, 0, 0}
	icmp := func(typ uint8) []byte { return []byte{typ, 0, 0, 0, 0, 77, 0, 1} }
	extension := func(next, units uint8) []byte { return append([]byte{next, units}, make([]byte, 6+8*int(units))...) }
	fragment := func(next uint8, field uint16) []byte {
		return []byte{next, 0, byte(field >> 8), byte(field), 0, 0, 0, 9}
	}
	plain4, back4 := fib.Flow{Source: a4, Destination: b4}, fib.Flow{Source: b4, Destination: a4}
	plain6, back6 := fib.Flow{Source: a6, Destination: b6, Label: 0x12345}, fib.Flow{Source: b6, Destination: a6, Label: 0x12345}
	of := func(f fib.Flow, protocol uint8, port ...uint32) fib.Flow {
		f.Protocol = protocol
		if len(port) > 0 {
			f.Ports, f.HasPorts = port[0], true
		}
		return f
	}
	more := func(ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments }
	later := func(ip *layers.IPv4) { ip.FragOffset = 5 }
	optioned := func(ip *layers.IPv4) { ip.Options = []layers.IPv4Option{{OptionType: 1}} }
	chain := slices.Repeat([][]byte{extension(60, 0)}, header.MaxExtensions)
	for _, c := range []struct {
		name string
		b    []byte
		want fib.Flow
	}{
		{"UDP", v4(17, nil, transport), of(plain4, 17, ports)},
		{"TCP", v4(6, nil, transport), of(plain4, 6, ports)},
		{"SCTP", v4(132, nil, transport), of(plain4, 132, ports)},
		{"UDP-Lite", v4(136, nil, transport), of(plain4, 136, ports)},
		{"DCCP", v4(33, nil, transport), of(plain4, 33, ports)},
		{"GRE", v4(47, nil, transport), of(plain4, 47)},
		{"cut off", v4(17, nil, transport[:3]), of(plain4, 17)},
		{"options", v4(17, optioned, transport), of(plain4, 17, ports)},
		{"first fragment", v4(17, more, transport), of(plain4, 17)},
		{"later fragment", v4(17, later, transport), of(plain4, 17)},
		{"echo request", v4(1, nil, icmp(8)), of(plain4, 1, id)},
		{"echo reply", v4(1, nil, icmp(0)), of(plain4, 1, id)},
		{"timestamp", v4(1, nil, icmp(13)), of(plain4, 1)},
		{"error about UDP", v4(1, nil, icmp(3), v4(17, nil, transport)), of(back4, 17, turned)},
		{"error about an echo", v4(1, nil, icmp(11), v4(1, nil, icmp(8))), of(back4, 1, id)},
		{"error about an error", v4(1, nil, icmp(11), v4(1, nil, icmp(3), v4(17, nil, transport))), of(back4, 1)},
		{"error about a fragment", v4(1, nil, icmp(3), v4(17, later, transport)), of(back4, 17)},
		{"error about too little", v4(1, nil, icmp(3), v4(17, nil, transport)[:19]), of(plain4, 1)},
		{"error about IPv6", v4(1, nil, icmp(3), v6(17, transport)), of(plain4, 1)},
		{"fragment of an error", v4(1, more, icmp(3), v4(17, nil, transport)), of(plain4, 1)},

		{"UDP", v6(17, transport), of(plain6, 17, ports)},
		{"GRE", v6(47, transport), of(plain6, 47)},
		{"behind extensions", v6(0, extension(43, 1), extension(60, 0), extension(17, 2), transport), of(plain6, 17, ports)},
		{"behind AH", v6(51, append([]byte{6, 4}, make([]byte, 22)...), transport), of(plain6, 6, ports)},
		{"behind too many", v6(60, append(chain, extension(17, 0), transport)...), of(plain6, 60)},
		{"cut off in an extension", v6(0, extension(17, 0)[:7]), of(plain6, 0)},
		{"an extension too long", v6(0, []byte{17, 9, 0, 0, 0, 0, 0, 0}, transport), of(plain6, 0)},
		{"first fragment", v6(44, fragment(17, 1), transport), of(plain6, 44)},
		{"later fragment", v6(44, fragment(17, 8), transport), of(plain6, 44)},
		{"a fragment that is all", v6(44, fragment(17, 0), transport), of(plain6, 17, ports)},
		{"echo request", v6(58, icmp(128)), of(plain6, 58, id)},
		{"echo reply", v6(58, icmp(129)), of(plain6, 58, id)},
		{"solicitation", v6(58, icmp(135)), of(plain6, 58)},
		{"too big about TCP", v6(58, icmp(2), v6(6, transport)), of(back6, 6, turned)},
		{"error about an echo", v6(58, icmp(3), v6(58, icmp(128))), of(back6, 58, id)},
		{"error about too little", v6(58, icmp(1), v6(17, transport)[:39]), of(plain6, 58)},
	} {
		got := flow6
		if c.b[0]>>4 == 4 {
			got = func(h header.IPv6) fib.Flow { return flow4(header.IPv4(h)) }
		}
		if got := got(c.b); got != c.want {
			t.Errorf("IPv%d, %s: %+v\nwant %+v", c.b[0]>>4, c.name, got, c.want)
		}
	}
	// All that there is of a packet may be cut off anywhere.
	long := v6(0, extension(43, 1), extension(58, 0), icmp(1), v6(0, extension(17, 1), transport))
	for n := header.IPv6HeaderLen; n < len(long); n++ {
		flow6(header.IPv6(long[:n:n]))
	}
	if n := testing.AllocsPerRun(100, func() { flow6(header.IPv6(long)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestMultipathPolicy: under l3 the ports do not count, under 5-tuple they do.
func TestMultipathPolicy(t *testing.T) {
	for policy, ways := range map[fib.HashPolicy]int{fib.HashL3: 1, fib.HashFiveTuple: 2} {
		r := newRig(t)
		s := *r.view.Namespaces[0].Settings()
		s.MultipathHash = policy
		r.view.Namespaces[0].PublishSettings(&s)
		var hops []fib.NextHop
		for i := range 2 {
			gateway := fib.Addr4(0x0a00020a + uint32(i))
			e := r.view.Devices[p2].Neighbors.Add(gateway, r.now)
			e.Set(neigh.Permanent, uint64(0x020000001000+i), r.now)
			hops = append(hops, fib.NextHop{Device: p2, Gateway: gateway})
		}
		r.route(0, "192.0.2.0/24", hops...)
		seen := make(map[byte]bool)
		for i := range 100 {
			b := udp4(t, p1, ip4("10.0.1.2", "192.0.2.1", 64), 22)
			binary.BigEndian.PutUint16(b[34:], uint16(i))
			r.inject(p1, b)
			r.step()
			for _, f := range r.ports[p2].take() {
				seen[f[5]] = true
			}
		}
		if len(seen) != ways {
			t.Errorf("policy %d: %d ways", policy, len(seen))
		}
		r.conserved()
	}
}

// TestForeignGateway: an IPv4 packet is sent by an IPv6 gateway (RFC 8950), whose address ND resolves.
func TestForeignGateway(t *testing.T) {
	r := newRig(t)
	r.route(0, "192.0.2.0/24", fib.NextHop{Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))})
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "192.0.2.1", 64), 22))
	r.step()
	out := r.ports[p2].take()
	if len(out) != 1 || binary.BigEndian.Uint16(out[0][12:]) != 0x0800 || out[0][22] != 63 {
		t.Fatalf("sent %x", out)
	}
	r.route(0, "192.0.3.0/24", fib.NextHop{Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr("2001:db8:2::77"))})
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "192.0.3.1", 64), 22))
	r.step()
	out = r.ports[p2].take()
	if len(out) != 1 || out[0][54] != 135 {
		t.Fatalf("no solicitation for the gateway: %x", out)
	}
}

// TestInlined: what the look-up nodes do for each packet whose group has one next hop costs no call.
func TestInlined(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, file := range []string{"ip4_input.go", "ip6_input.go"} {
		for _, call := range []string{"(*Worker).pick", "fib.(*Group).Single", "fib.(*Group).First", "fib.Groups.Of"} {
			found := false
			for line := range strings.SplitSeq(string(out), "\n") {
				found = found || strings.Contains(line, file+":") && strings.HasSuffix(line, "inlining call to "+call)
			}
			if !found {
				t.Errorf("%s: the compiler no longer inlines %s", file, call)
			}
		}
	}
}
