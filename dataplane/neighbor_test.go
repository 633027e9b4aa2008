package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

func (r *rig) neighbor(dev nstable.DeviceID, a string) *neigh.Entry {
	return r.view.Devices[dev].Neighbors.Lookup(fib.AddrOf(netip.MustParseAddr(a)))
}

// pass lets time go by, a tick at a time.
func (r *rig) pass(d time.Duration) {
	for end := r.now + int64(d); r.now < end; {
		r.now += tickInterval
		r.step()
	}
}

func arp(t testing.TB, dev nstable.DeviceID, op uint16, mac uint64, sender, target string) []byte {
	s := header.MACBytes(mac)
	e := ethernetTo(dev, layers.EthernetTypeARP)
	e.SrcMAC = s[:]
	if op == header.ARPRequest {
		e.DstMAC = []byte{255, 255, 255, 255, 255, 255}
	}
	return packet(t, e, &layers.ARP{AddrType: 1, Protocol: 0x800, HwAddressSize: 6, ProtAddressSize: 4, Operation: op,
		SourceHwAddress: s[:], SourceProtAddress: netip.MustParseAddr(sender).AsSlice(),
		DstHwAddress: make([]byte, 6), DstProtAddress: netip.MustParseAddr(target).AsSlice()})
}

// TestResolve4: the packets that start a resolution are held and delivered; the newest stay when there are too many.
func TestResolve4(t *testing.T) {
	r := newRig(t)
	for i := range holdLimit + 2 {
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.9", 64), i))
	}
	r.step()
	a := layer[*layers.ARP](t, r.one(p2), layers.LayerTypeARP)
	if a.Operation != 1 || netip.AddrFrom4([4]byte(a.DstProtAddress)).String() != "10.0.2.9" ||
		netip.AddrFrom4([4]byte(a.SourceProtAddress)).String() != "10.0.2.1" {
		t.Errorf("asked %v", a)
	}
	if d := r.drops(p1); d["neighbor-hold-full"] != 2 {
		t.Errorf("drops %v", d)
	}
	r.inject(p2, arp(t, p2, header.ARPReply, 0x020000000909, "10.0.2.9", "10.0.2.1"))
	r.step()
	sent := r.ports[p2].take()
	if len(sent) != holdLimit {
		t.Fatalf("%d packets sent after the answer", len(sent))
	}
	for i, b := range sent {
		p := decode(t, b)
		if n := len(layer[*layers.UDP](t, p, layers.LayerTypeUDP).Payload); n != i+2 {
			t.Errorf("packet %d of length %d: not in order, or not the newest", i, n)
		}
		if m := layer[*layers.Ethernet](t, p, layers.LayerTypeEthernet).DstMAC.String(); m != "02:00:00:00:09:09" {
			t.Errorf("sent to %s", m)
		}
	}
	r.conserved()
}

// TestSilentNeighbor: three requests a second apart, then host unreachable for what was held.
func TestSilentNeighbor(t *testing.T) {
	r := newRig(t)
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.9", 64), 20))
	r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::9", 64), 20))
	r.step()
	r.pass(2500 * time.Millisecond)
	if n := len(r.ports[p2].take()); n != 6 {
		t.Errorf("%d requests in 2.5 s, want 3 of each family", n)
	}
	if n := len(r.ports[p1].take()); n != 0 {
		t.Errorf("%d errors too early", n)
	}
	r.pass(time.Second)
	sent := r.ports[p1].take()
	if len(sent) != 2 {
		t.Fatalf("%d errors", len(sent))
	}
	for _, b := range sent {
		p := decode(t, b)
		if m, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok &&
			m.TypeCode != layers.CreateICMPv4TypeCode(3, 1) {
			t.Errorf("%v", m.TypeCode)
		}
		if m, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok &&
			m.TypeCode != layers.CreateICMPv6TypeCode(1, 3) {
			t.Errorf("%v", m.TypeCode)
		}
	}
	if s := r.neighbor(p2, "10.0.2.9").State(); s != neigh.Failed {
		t.Errorf("state %v", s)
	}
	if d := r.drops(p1); d["neighbor-failed"] != 2 {
		t.Errorf("drops %v", d)
	}
	r.pass(2 * time.Minute)
	if r.neighbor(p2, "10.0.2.9") != nil {
		t.Error("a failed neighbour stays for ever")
	}
	r.conserved()
}

func TestAnswersARP(t *testing.T) {
	r := newRig(t)
	r.inject(p1, arp(t, p1, header.ARPRequest, 0x020000000777, "10.0.1.7", "10.0.1.1"))
	r.step()
	a := layer[*layers.ARP](t, r.one(p1), layers.LayerTypeARP)
	if a.Operation != 2 || string(a.SourceHwAddress) != "\x02\x00\x00\x00\x00\x01" ||
		string(a.DstHwAddress) != "\x02\x00\x00\x00\x07\x77" {
		t.Errorf("answered %+v", a)
	}
	if e := r.neighbor(p1, "10.0.1.7"); e == nil || e.State() != neigh.Stale {
		t.Error("who asks for us is not learned")
	}
	// Not ours, not on this link, or an answer nobody asked for: neither answered nor learned.
	r.inject(p1, arp(t, p1, header.ARPRequest, 0x020000000777, "10.0.1.8", "10.0.1.99"))
	r.inject(p1, arp(t, p1, header.ARPRequest, 0x020000000777, "172.16.0.1", "10.0.1.1"))
	r.inject(p1, arp(t, p1, header.ARPReply, 0x020000000777, "10.0.1.10", "10.0.1.1"))
	r.step()
	if n := len(r.ports[p1].take()); n != 1 {
		t.Errorf("%d answers, want 1 to the stranger who asks for us", n)
	}
	for _, s := range []string{"10.0.1.8", "172.16.0.1", "10.0.1.10"} {
		if r.neighbor(p1, s) != nil {
			t.Errorf("learned %s", s)
		}
	}
	r.conserved()
}

// TestGratuitous: a known neighbour that announces a new MAC is believed, but never against a permanent entry.
func TestGratuitous(t *testing.T) {
	r := newRig(t)
	r.inject(p1, arp(t, p1, header.ARPRequest, 0x020000000888, "10.0.1.2", "10.0.1.2"))
	r.step()
	if mac, ok := r.neighbor(p1, "10.0.1.2").MAC(); !ok || mac != 0x020000000888 {
		t.Errorf("MAC %x", mac)
	}
	r.neighbor(p1, "10.0.1.2").Set(neigh.Permanent, hostMAC(p1), r.now)
	r.inject(p1, arp(t, p1, header.ARPReply, 0x020000000999, "10.0.1.2", "10.0.1.2"))
	r.step()
	if mac, _ := r.neighbor(p1, "10.0.1.2").MAC(); mac != hostMAC(p1) {
		t.Errorf("permanent entry changed to %x", mac)
	}
	r.conserved()
}

func solicitation(t testing.TB, dev nstable.DeviceID, src, dst, target string, hops uint8, option bool) []byte {
	ip := ip6(src, dst, hops)
	ip.NextHeader = layers.IPProtocolICMPv6
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(135, 0)}
	_ = m.SetNetworkLayerForChecksum(ip)
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: netip.MustParseAddr(target).AsSlice()}
	if option {
		mac := header.MACBytes(hostMAC(dev))
		ns.Options = layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: mac[:]}}
	}
	e := ethernetTo(dev, layers.EthernetTypeIPv6)
	g := header.MACBytes(groupMAC(fib.AddrOf(netip.MustParseAddr(dst))))
	e.DstMAC = g[:]
	return packet(t, e, ip, m, ns)
}

func TestAnswersND(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name, src, dst, target string
		hops                   uint8
		option, answer         bool
		to                     string
		flags                  uint8
	}{
		{"resolution", "2001:db8:1::7", "ff02::1:ff00:1", "2001:db8:1::1", 255, true, true, "2001:db8:1::7", 0xe0},
		{"link-local", "fe80::7", "ff02::1:ff00:1", "fe80::1", 255, true, true, "fe80::7", 0xe0},
		{"duplicate address detection", "::", "ff02::1:ff00:1", "2001:db8:1::1", 255, false, true, "ff02::1", 0xa0},
		{"from afar", "2001:db8:1::7", "ff02::1:ff00:1", "2001:db8:1::1", 254, true, false, "", 0},
		{"probe with an option", "::", "ff02::1:ff00:1", "2001:db8:1::1", 255, true, false, "", 0},
		{"another's address", "2001:db8:1::7", "ff02::1:ff00:1", "2001:db8:7::1", 255, true, false, "", 0},
		{"of the other port", "2001:db8:1::7", "ff02::1:ff00:1", "2001:db8:2::1", 255, true, false, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.inject(p1, solicitation(t, p1, c.src, c.dst, c.target, c.hops, c.option))
			r.step()
			if !c.answer {
				if n := len(r.ports[p1].take()); n != 0 {
					t.Errorf("%d answers", n)
				}
				return
			}
			p := r.one(p1)
			ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
			na := layer[*layers.ICMPv6NeighborAdvertisement](t, p, layers.LayerTypeICMPv6NeighborAdvertisement)
			if ip.DstIP.String() != c.to || ip.HopLimit != 255 || na.Flags != c.flags ||
				na.TargetAddress.String() != c.target ||
				ip.SrcIP.String() != c.target ||
				string(na.Options[0].Data) != "\x02\x00\x00\x00\x00\x01" {
				t.Errorf("%v %+v", ip, na)
			}
			h := header.IPv6(p.Data()[14:])
			if header.Fold(header.Sum(header.PseudoSum6(h, 58, h.PayloadLen()), h.Payload())) != 0xffff {
				t.Error("wrong checksum")
			}
		})
	}
	if e := r.neighbor(p1, "2001:db8:1::7"); e == nil || e.State() != neigh.Stale {
		t.Error("solicitor not learned")
	}
	r.conserved()
}

func TestResolve6(t *testing.T) {
	r := newRig(t)
	r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::9", 64), 20))
	r.step()
	p := r.one(p2)
	ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
	ns := layer[*layers.ICMPv6NeighborSolicitation](t, p, layers.LayerTypeICMPv6NeighborSolicitation)
	if ip.DstIP.String() != "ff02::1:ff00:9" || ip.SrcIP.String() != "fe80::2" ||
		ns.TargetAddress.String() != "2001:db8:2::9" ||
		layer[*layers.Ethernet](t, p, layers.LayerTypeEthernet).DstMAC.String() != "33:33:ff:00:00:09" {
		t.Errorf("asked %v %v", ip, ns)
	}
	answer := ip6("2001:db8:2::9", "fe80::2", 255)
	answer.NextHeader = layers.IPProtocolICMPv6
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)}
	_ = m.SetNetworkLayerForChecksum(answer)
	mac := header.MACBytes(0x020000000909)
	na := &layers.ICMPv6NeighborAdvertisement{
		Flags:         0x60,
		TargetAddress: netip.MustParseAddr("2001:db8:2::9").AsSlice(),
		Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}},
	}
	r.inject(p2, packet(t, ethernetTo(p2, layers.EthernetTypeIPv6), answer, m, na))
	r.step()
	if d := layer[*layers.Ethernet](t, r.one(p2), layers.LayerTypeEthernet).DstMAC.String(); d != "02:00:00:00:09:09" {
		t.Errorf("held packet went to %s", d)
	}
	if s := r.neighbor(p2, "2001:db8:2::9").State(); s != neigh.Reachable {
		t.Errorf("state %v", s)
	}
	r.conserved()
}

// TestTransmitRingFull: what the ring does not take is counted and its frame comes back.
func TestTransmitRingFull(t *testing.T) {
	r := newRig(t)
	r.ports[p2].refuse = true
	r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20))
	r.step()
	if d := r.drops(p1); d["tx-full"] != 1 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestGraph: every edge leads down the list, to a node that is there, and every node but the first is reached.
func TestGraph(t *testing.T) {
	reached := map[NodeID]bool{ethernetInput: true}
	for id, n := range newGraph() {
		if int(n.id) != id || n.name == "" || n.run == nil {
			t.Errorf("node %d: %+v", id, n)
		}
		for _, e := range n.edges {
			if e <= n.id || e >= numNodes {
				t.Errorf("%s: edge to %d leads back or nowhere", n.name, e)
			}
			reached[e] = true
		}
	}
	for id := range numNodes {
		if !reached[id] {
			t.Errorf("node %d is an orphan", id)
		}
	}
}
