package dataplane

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// TestMTU: the least of the device's and the route's MTU counts, to the byte, in both families; a packet that does not
// fit is answered with it (RFC 1191 4, RFC 4443 3.2).
func TestMTU(t *testing.T) {
	for _, c := range []struct{ device, route, mtu uint32 }{
		{1500, 0, 1500},
		{1500, 1500, 1500},
		{1500, 1300, 1300},
		{1400, 1300, 1300},
		{1300, 1400, 1300},
		{1280, 0, 1280},
		{1700, 1600, 1600},
		{1700, 9000, 1700},
	} {
		r := newRig(t)
		r.setMTU(p1, 1770)
		r.setMTU(p2, c.device)
		for prefix, gateway := range map[string]string{"192.0.2.0/24": "10.0.2.2", "2001:db8:4::/48": "2001:db8:2::2"} {
			r.route(0, prefix, fib.NextHop{
				Kind: fib.Unicast, Device: p2, MTU: c.route, Gateway: fib.AddrOf(netip.MustParseAddr(gateway)),
			})
		}
		four := func(size uint32) []byte {
			ip := ip4("10.0.1.2", "192.0.2.1", 9)
			ip.Flags = layers.IPv4DontFragment
			return udp4(t, p1, ip, int(size)-28)
		}
		six := func(size uint32) []byte { return udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:4::1", 9), int(size)-48) }
		for _, make := range []func(uint32) []byte{four, six} {
			r.inject(p1, make(c.mtu))
			r.step()
			if sent := r.ports[p2].take(); len(sent) != 1 || len(sent[0]) != int(c.mtu)+header.EthernetLen {
				t.Errorf("%+v: %d packets that fit were sent", c, len(sent))
			}
			r.inject(p1, make(c.mtu+1))
			r.step()
			if sent := r.ports[p2].take(); len(sent) != 0 {
				t.Errorf("%+v: %d bytes were sent", c, len(sent[0]))
			}
			p := r.one(p1)
			if m, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
				if m.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || uint32(m.Seq) != c.mtu {
					t.Errorf("%+v: answered %v with an MTU of %d", c, m.TypeCode, m.Seq)
				}
				continue
			}
			m := layer[*layers.ICMPv6](t, p, layers.LayerTypeICMPv6)
			if m.TypeCode != layers.CreateICMPv6TypeCode(2, 0) || binary.BigEndian.Uint32(m.Payload) != c.mtu {
				t.Errorf("%+v: answered %v: %x", c, m.TypeCode, m.Payload)
			}
		}
		if n := r.drops(p1)["too-big"]; n != 2 {
			t.Errorf("%+v: %d dropped as too big", c, n)
		}
		r.conserved()
	}
}
