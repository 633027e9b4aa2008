package dataplane

import (
	"encoding/binary"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

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
