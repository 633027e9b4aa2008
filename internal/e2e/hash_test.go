package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestHashPolicy: each flow leaves by the next hop that "route get" foretells, whatever the policy says that a flow is.
func TestHashPolicy(t *testing.T) {
	s := newSpread(t)
	s.r.Must(`
		route add 192.0.2.0/24 nexthop via 10.0.2.2 nexthop via 10.0.3.2
		route add 2001:db8:99::/48 nexthop via 2001:db8:2::2 nexthop via 2001:db8:3::2
		neigh replace 2001:db8:2::2 lladdr 02:00:00:00:99:02 dev p2
		neigh replace 2001:db8:3::2 lladdr 02:00:00:00:99:03 dev p3`)
	mac := query[struct{ Address string }](s.world, "link show p1")[0].Address
	wire := s.from.Sniff("eth0")
	s.ping(s.from, "10.0.2.2", 1)
	s.ping(s.from, "10.0.3.2", 1)
	for _, policy := range []string{"5-tuple", "l3"} {
		s.r.Must("netns set init fib-multipath-hash-policy " + policy)
		ways := make(map[string]int)
		for n := range 24 {
			source, dst, words := "10.0.1.2", "192.0.2.1", ""
			if n%2 == 1 {
				source, dst = "2001:db8:1::2", "2001:db8:99::1"
				words = fmt.Sprintf(" flowlabel %d", n/8)
			}
			mark := fmt.Appendf(nil, "flow-%s-%d", policy, n)
			wire.Send(flowFrame(t, mac, source, dst, uint16(2000+n), uint32(n/8), mark))
			route := query[struct{ Dev string }](s.world,
				fmt.Sprintf("route get %s from %s iif p1 ipproto udp sport %d dport 9%s", dst, source, 2000+n, words))
			ways[fmt.Sprint(n%2)+route[0].Dev]++
			if _, ok := s.heard[route[0].Dev].Wait(2*time.Second, func(f []byte) bool {
				return bytes.Contains(f, mark)
			}); !ok {
				t.Errorf("%s: flow %d did not leave by %s", policy, n, route[0].Dev)
			}
		}
		// By their ports the flows of a family are on both ways; by the addresses of IPv4 they are on one.
		if both := ways["0p2"] > 0 && ways["0p3"] > 0; both != (policy == "5-tuple") {
			t.Errorf("%s: %v", policy, ways)
		}
	}
}

// flowFrame is a UDP packet to port 9 with a text.
func flowFrame(t *testing.T, mac, source, dst string, port uint16, label uint32, text []byte) []byte {
	t.Helper()
	e := &layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0x98, 1}, DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	if _, err := fmt.Sscanf(mac, "%x:%x:%x:%x:%x:%x", &e.DstMAC[0], &e.DstMAC[1], &e.DstMAC[2], &e.DstMAC[3], &e.DstMAC[4],
		&e.DstMAC[5]); err != nil {
		t.Fatal(err)
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(port), DstPort: 9}
	src, to := netip.MustParseAddr(source), netip.MustParseAddr(dst)
	var ip gopacket.SerializableLayer
	if src.Is4() {
		h := &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: to.AsSlice(),
		}
		_ = udp.SetNetworkLayerForChecksum(h)
		ip = h
	} else {
		h := &layers.IPv6{
			Version: 6, HopLimit: 64, FlowLabel: label, NextHeader: layers.IPProtocolUDP,
			SrcIP: src.AsSlice(), DstIP: to.AsSlice(),
		}
		_ = udp.SetNetworkLayerForChecksum(h)
		e.EthernetType = layers.EthernetTypeIPv6
		ip = h
	}
	b := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, e, ip, udp, gopacket.Payload(text)); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}
