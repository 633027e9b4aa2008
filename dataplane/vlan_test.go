package dataplane

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// vlan puts a VLAN device on another; the neighbour .2 of each of its networks is the host there.
func (r *rig) vlan(lower nstable.DeviceID, tag nstable.Tag, ns nstable.NamespaceID, addrs ...string) *nstable.Device {
	id := nstable.DeviceID(len(r.view.Devices))
	r.view.Devices = append(r.view.Devices, nil)
	d := r.device(id, nstable.VLAN, ns, addrs...)
	on := r.view.Devices[lower]
	d.MAC, d.Tag, d.Lower, d.Root = on.MAC, tag, lower, lower
	if on.Kind == nstable.VLAN {
		d.Root = on.Root
	}
	tags := map[nstable.Tag]nstable.DeviceID{}
	for _, u := range r.view.Devices {
		if u != nil && u.Kind == nstable.VLAN && u.Lower == lower {
			tags[u.Tag] = u.ID
		}
	}
	on.VLANs = nstable.NewVLANs(tags)
	for _, s := range addrs {
		a := netip.MustParsePrefix(s).Addr().Next()
		e := d.Neighbors.Add(fib.AddrOf(a), r.now)
		e.Set(neigh.Reachable, hostMAC(d.Root), r.now)
		e.Confirmed.Store(r.now)
	}
	return d
}

func q(id uint16) nstable.Tag  { return nstable.Tag{Protocol: nstable.VLAN8021Q, ID: id} }
func ad(id uint16) nstable.Tag { return nstable.Tag{Protocol: nstable.VLAN8021AD, ID: id} }

// tagged puts tags in front of the EtherType of a frame, the outer one first. priority is the 4 bits above the identifier.
func tagged(b []byte, tags ...[2]uint16) []byte {
	out := append([]byte(nil), b[:12]...)
	for _, t := range tags {
		out = append(out, byte(t[0]>>8), byte(t[0]), byte(t[1]>>8), byte(t[1]))
	}
	return append(out, b[12:]...)
}

// customer and service are tags as they are in a frame.
func customer(priority, id uint16) [2]uint16 { return [2]uint16{header.TypeVLAN, priority<<12 | id} }
func service(priority, id uint16) [2]uint16 {
	return [2]uint16{header.TypeServiceVLAN, priority<<12 | id}
}

// tagsOf lists the tags of a frame, the outer one first, and what is behind the Ethernet header.
func tagsOf(t testing.TB, b []byte) (tags [][2]uint16, rest []byte) {
	t.Helper()
	b = b[12:]
	for header.IsVLAN(uint16(b[0])<<8 | uint16(b[1])) {
		tags = append(tags, [2]uint16{uint16(b[0])<<8 | uint16(b[1]), uint16(b[2])<<8 | uint16(b[3])})
		b = b[4:]
	}
	return tags, b[2:]
}

// TestVLANForward: tags come off and go on, and their priority stays where there is a tag to carry it.
func TestVLANForward(t *testing.T) {
	for _, c := range []struct {
		name string
		in   [][2]uint16 // on p1
		dst  string
		out  [][2]uint16 // on p2
	}{
		{"untagged to a VLAN", nil, "10.7.0.2", [][2]uint16{customer(0, 7)}},
		{"VLAN to untagged", [][2]uint16{customer(0xb, 5)}, "10.0.2.2", nil},
		{"VLAN to VLAN", [][2]uint16{customer(0xb, 5)}, "10.7.0.2", [][2]uint16{customer(0xb, 7)}},
		{"provider's to customer's", [][2]uint16{service(0x6, 5)}, "10.7.0.2", [][2]uint16{customer(0x6, 7)}},
		{"one tag to two", [][2]uint16{customer(0x3, 5)}, "10.8.0.2", [][2]uint16{service(0x3, 4094), customer(0x3, 8)}},
		{"two tags to one", [][2]uint16{service(0xa, 9), customer(0x3, 5)}, "10.7.0.2", [][2]uint16{customer(0x3, 7)}},
		{
			"two tags to two", [][2]uint16{service(0xa, 9), customer(0x3, 5)}, "10.8.0.2",
			[][2]uint16{service(0xa, 4094), customer(0x3, 8)},
		},
		{"two tags to untagged", [][2]uint16{service(0xa, 9), customer(0x3, 5)}, "10.0.2.2", nil},
		{"priority tag", [][2]uint16{customer(0xf, 0)}, "10.7.0.2", [][2]uint16{customer(0xf, 7)}},
		{"priority tag around a VLAN's", [][2]uint16{customer(0xf, 0), customer(0x1, 5)}, "10.0.2.2", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.vlan(p1, q(5), 0, "10.5.0.1/24")
			r.vlan(p1, ad(5), 0, "10.6.0.1/24")
			s := r.vlan(p1, ad(9), 0, "10.9.9.1/24")
			r.vlan(s.ID, q(5), 0, "10.9.5.1/24")
			r.vlan(p2, q(7), 0, "10.7.0.1/24")
			outer := r.vlan(p2, ad(4094), 0, "10.0.8.1/24")
			r.vlan(outer.ID, q(8), 0, "10.8.0.1/24")
			r.inject(p1, tagged(udp4(t, p1, ip4("10.5.0.2", c.dst, 17), 20), c.in...))
			r.step()
			sent := r.ports[p2].take()
			if len(sent) != 1 {
				t.Fatalf("sent %d packets, drops %v %v", len(sent), r.drops(p1), r.drops(numDevices))
			}
			tags, rest := tagsOf(t, sent[0])
			if len(tags) != len(c.out) {
				t.Fatalf("tags %x, want %x", tags, c.out)
			}
			for k := range tags {
				if tags[k] != c.out[k] {
					t.Errorf("tags %x, want %x", tags, c.out)
				}
			}
			if want := udp4(t, p1, ip4("10.5.0.2", c.dst, 16), 20)[14:]; string(rest) != string(want) {
				t.Errorf("got  %x\nwant %x", rest, want)
			}
			e := header.Ethernet(sent[0])
			if e.Destination() != hostMAC(p2) || e.Source() != deviceMAC(p2) {
				t.Errorf("from %x to %x", e.Source(), e.Destination())
			}
			r.conserved()
		})
	}
}

// TestVLANDrops sends one bad frame at a time: nothing leaves, and the reason is counted at the device that knows it.
func TestVLANDrops(t *testing.T) {
	good := func(t *testing.T) []byte { return udp4(t, p1, ip4("10.5.0.2", "10.0.2.2", 64), 20) }
	const v5, s9 = numDevices, numDevices + 1
	foreign := func(b []byte) []byte { b[5] = 99; return b }
	for _, c := range []struct {
		name, reason string
		at           nstable.DeviceID
		frame        func(*testing.T) []byte
		setup        func(*rig)
	}{
		{"unknown identifier", "unknown-vlan", p1, func(t *testing.T) []byte { return tagged(good(t), customer(0, 6)) }, nil},
		{"other protocol", "unknown-vlan", p1, func(t *testing.T) []byte { return tagged(good(t), service(0, 5)) }, nil},
		{"reserved identifier", "unknown-vlan", p1, func(t *testing.T) []byte { return tagged(good(t), customer(0, 4095)) }, nil},
		{"unknown inner identifier", "unknown-vlan", s9,
			func(t *testing.T) []byte { return tagged(good(t), service(0, 9), customer(0, 6)) }, nil},
		{"a tag too many", "unknown-vlan", v5,
			func(t *testing.T) []byte { return tagged(good(t), customer(0, 5), customer(0, 5)) }, nil},
		{"priority tags without end", "unknown-vlan", p1,
			func(t *testing.T) []byte { return tagged(good(t), customer(0, 0), customer(0, 0), customer(0, 0)) }, nil},
		{"cut in the tag", "bad-ethernet", p1, func(t *testing.T) []byte { return tagged(good(t), customer(0, 5))[:17] }, nil},
		{"IPX in a VLAN", "unknown-ethertype", v5, func(t *testing.T) []byte {
			b := tagged(good(t), customer(0, 5))
			b[16], b[17] = 0x81, 0x37
			return b
		}, nil},
		{"IPX with a priority", "unknown-ethertype", p1, func(t *testing.T) []byte {
			b := tagged(good(t), customer(7, 0))
			b[16], b[17] = 0x81, 0x37
			return b
		}, nil},
		{"another station", "not-for-us", v5, func(t *testing.T) []byte { return foreign(tagged(good(t), customer(0, 5))) }, nil},
		{"another station with a priority", "not-for-us", p1,
			func(t *testing.T) []byte { return foreign(tagged(good(t), customer(7, 0))) }, nil},
		{"nothing behind the tag", "ip4-truncated", v5,
			func(t *testing.T) []byte { return tagged(good(t), customer(0, 5))[:18] }, nil},
		{"device down", "device-down", v5, func(t *testing.T) []byte { return tagged(good(t), customer(0, 5)) },
			func(r *rig) { r.view.Devices[v5].Up = false }},
		{"parent down", "device-down", p1, func(t *testing.T) []byte { return tagged(good(t), customer(0, 5)) },
			func(r *rig) { r.view.Devices[p1].Up = false }},
		{"parent down, another station", "not-for-us", p1,
			func(t *testing.T) []byte { return foreign(tagged(good(t), customer(0, 5))) },
			func(r *rig) { r.view.Devices[p1].Up = false }},
		{"sent by a device without carrier", "egress-down", v5, func(t *testing.T) []byte {
			return tagged(udp4(t, p1, ip4("10.5.0.9", "10.9.9.2", 64), 20), customer(0, 5))
		}, func(r *rig) { r.view.Devices[s9].Carrier = false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.vlan(p1, q(5), 0, "10.5.0.1/24")
			r.vlan(p1, ad(9), 0, "10.9.9.1/24")
			if c.setup != nil {
				c.setup(r)
			}
			r.inject(p1, c.frame(t))
			r.step()
			for id, port := range r.ports {
				if n := len(port.take()); n != 0 {
					t.Errorf("device %d sent %d packets", id, n)
				}
			}
			if d := r.drops(c.at); d[c.reason] != 1 || len(d) != 1 {
				t.Errorf("drops at device %d: %v, want one %s; p1 %v", c.at, d, c.reason, r.drops(p1))
			}
			r.conserved()
		})
	}
}

// TestVLANNamespaces: one batch of a port with untagged frames and VLANs of two namespaces. Each goes by the routes of
// its own, in its order, and every device accounts for what it received; the port itself may be elsewhere.
func TestVLANNamespaces(t *testing.T) {
	r := newRig(t)
	five := r.vlan(p1, q(5), 0, "10.5.0.1/24")
	six := r.vlan(p1, q(6), 1, "10.5.0.1/24")
	seven := r.vlan(p1, q(7), 1, "10.7.0.1/24")
	for id := range uint16(20) {
		plain := udp4(t, p1, &layers.IPv4{
			Version: 4, Id: id, TTL: 9, Protocol: layers.IPProtocolUDP,
			SrcIP: []byte{10, 0, 3, 2}, DstIP: []byte{10, 5, 0, 2},
		}, 20)
		r.inject(p1, plain)
		r.inject(p1, tagged(plain, customer(0, 7)))
		r.inject(p1, tagged(udp4(t, p1, ip4("10.5.0.2", "10.0.2.2", 9), 20), customer(0, 5)))
		r.inject(p1, tagged(udp4(t, p1, ip4("10.5.0.2", "10.0.2.2", 9), 20), customer(0, 6)))
	}
	r.step()
	if n := len(r.ports[p2].take()); n != 20 {
		t.Errorf("p2 sent %d packets", n)
	}
	next := map[uint16]byte{}
	for _, b := range r.ports[p1].take() {
		tags, rest := tagsOf(t, b)
		if len(tags) != 1 || rest[5] != next[tags[0][1]] && rest[9] == 17 {
			t.Fatalf("tags %x, packet %d", tags, rest[5])
		}
		if rest[9] == 17 { // else it is the error that tells VLAN 6 that there is no route
			next[tags[0][1]]++
		}
	}
	if next[5] != 20 || next[6] != 20 {
		t.Errorf("packets by VLAN: %v", next)
	}
	for _, c := range []struct {
		dev            *nstable.Device
		rx, tx, passed uint64
	}{
		{r.view.Devices[p1], 80, 40, 60}, {five, 20, 20, 0}, {six, 20, 20, 0}, {seven, 20, 0, 0},
	} {
		var s counters.Totals
		c.dev.Counters.Sum(&s)
		errors := uint64(0)
		if c.dev == six || c.dev.ID == p1 {
			errors = s.TxPackets - c.tx // how many answers there were is the budget's matter
		}
		if s.RxPackets != c.rx || s.TxPackets-errors != c.tx || s.Delivered != c.passed {
			t.Errorf("device %d: received %d, sent %d, delivered %d", c.dev.ID, s.RxPackets, s.TxPackets, s.Delivered)
		}
	}
	if d := r.drops(six.ID); d["no-route"] != 20 && d["no-route"]+d["rate-limited"] != 20 {
		t.Errorf("drops of VLAN 6: %v", d)
	}
	r.conserved()
}

// TestVLANOwnAddress: a VLAN device with a MAC address of its own hears it, by a port in promiscuous mode, and sends
// from it.
func TestVLANOwnAddress(t *testing.T) {
	r := newRig(t)
	d := r.vlan(p1, q(5), 0, "10.5.0.1/24")
	d.MAC = [6]byte{2, 0, 0, 0, 9, 9}
	b := tagged(udp4(t, p1, ip4("10.0.3.2", "10.5.0.2", 9), 20), customer(0, 5))
	copy(b, d.MAC[:])
	r.inject(p1, b)
	r.step()
	if e := header.Ethernet(r.one(p1).Data()); e.Source() != header.MAC(d.MAC) {
		t.Errorf("from %x", e.Source())
	}
	r.conserved()
}

// TestVLANNeighbors: a VLAN device asks for neighbours, and answers for itself, in its VLAN.
func TestVLANNeighbors(t *testing.T) {
	r := newRig(t)
	r.vlan(p1, q(5), 0, "10.5.0.1/24", "2001:db8:5::1/64", "fe80::5/64")
	arpFrame := func(op uint16, src, dst string) []byte {
		return tagged(arp(t, p1, op, hostMAC(p1), src, dst), customer(0, 5))
	}
	check := func(what string, typ gopacket.LayerType) {
		t.Helper()
		p := r.one(p1)
		if tag := layer[*layers.Dot1Q](t, p, layers.LayerTypeDot1Q); tag.VLANIdentifier != 5 || tag.Priority != 0 {
			t.Errorf("%s: tag %+v", what, tag)
		}
		if p.Layer(typ) == nil {
			t.Errorf("%s: %v", what, p)
		}
	}
	r.inject(p2, udp4(t, p2, ip4("10.0.2.2", "10.5.0.77", 64), 20))
	r.step()
	check("request", layers.LayerTypeARP)
	r.inject(p1, arpFrame(header.ARPReply, "10.5.0.77", "10.5.0.1"))
	r.step()
	check("held packet", layers.LayerTypeUDP)
	r.inject(p1, arpFrame(header.ARPRequest, "10.5.0.78", "10.5.0.1"))
	r.step()
	check("answer", layers.LayerTypeARP)
	r.inject(p1, arpFrame(header.ARPRequest, "10.5.0.78", "10.0.1.99"))
	r.inject(p1, tagged(solicitation(t, p1, "fe80::7", "ff02::1:ff00:1", "2001:db8:5::1", 255, false), customer(0, 5)))
	r.step()
	check("advertisement", layers.LayerTypeICMPv6NeighborAdvertisement)
	r.conserved()
}

// TestVLANVeth: a VLAN on each end of a veth pair; a packet passes both, with its tag and priority on the way, and one
// for a VLAN that the other end does not have is dropped there.
func TestVLANVeth(t *testing.T) {
	r := newRig(t)
	a := r.vlan(v1, q(5), 0, "10.5.0.1/24")
	b := r.vlan(v2, q(5), 1, "10.5.0.2/24")
	a.MAC, b.MAC = r.view.Devices[v1].MAC, r.view.Devices[v2].MAC
	a.Neighbors.Lookup(fib.Addr4(10<<24|5<<16|2)).Set(neigh.Reachable, header.MAC(b.MAC), r.now)
	via := func(a string) fib.Addr { return fib.AddrOf(netip.MustParseAddr(a)) }
	r.vlan(p1, q(9), 0, "10.9.0.1/24")
	r.vlan(p3, q(9), 1, "10.99.0.1/24")
	r.route(0, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: a.ID, Gateway: via("10.5.0.2")})
	r.route(1, "198.51.100.0/24", fib.NextHop{Kind: fib.Unicast, Device: numDevices + 3, Gateway: via("10.99.0.2")})
	in := tagged(udp4(t, p1, ip4("10.9.0.2", "198.51.100.1", 64), 20), customer(0xb, 9))
	r.inject(p1, in)
	r.step()
	sent := r.ports[p3].take()
	if len(sent) != 1 {
		t.Fatalf("sent %d packets; drops %v %v %v", len(sent), r.drops(a.ID), r.drops(b.ID), r.drops(v2))
	}
	if tags, rest := tagsOf(t, sent[0]); len(tags) != 1 || tags[0] != customer(0xb, 9) || rest[8] != 62 {
		t.Errorf("tags %x, TTL %d", tags, rest[8])
	}
	r.view.Devices[v2].VLANs = nil
	r.inject(p1, in)
	r.step()
	if d := r.drops(v2); d["unknown-vlan"] != 1 {
		t.Errorf("drops of v2: %v", d)
	}
	r.conserved()
}

// TestVLANNoAllocation: tagged frames allocate nothing, whatever becomes of them.
func TestVLANNoAllocation(t *testing.T) {
	r := newRig(t)
	r.vlan(p1, q(5), 0, "10.5.0.1/24")
	s := r.vlan(p1, ad(9), 0, "10.9.9.1/24")
	r.vlan(s.ID, q(5), 1, "10.5.0.1/24")
	plain := udp4(t, p1, ip4("10.5.0.9", "10.5.0.2", 64), 22)
	frames := [][]byte{
		plain, tagged(plain, customer(1, 5)), tagged(plain, service(1, 9), customer(1, 5)),
		tagged(plain, customer(1, 6)), tagged(plain, customer(1, 0)), tagged(plain, service(1, 9)),
	}
	port := r.ports[p1]
	round := func() {
		for _, b := range frames {
			r.inject(p1, b)
		}
		r.w.round()
		for _, d := range port.tx {
			port.sent = append(port.sent, d.Addr)
		}
		port.tx = port.tx[:0]
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	if len(r.drops(p1)) == 0 {
		t.Error("the unknown VLAN is not dropped")
	}
	r.conserved()
}

// TestVLANFragments: what is cut for a VLAN device's MTU bears the tag and the priority in every piece.
func TestVLANFragments(t *testing.T) {
	r := newRig(t)
	r.vlan(p1, q(5), 0, "10.5.0.1/24")
	r.vlan(p2, q(7), 0, "10.7.0.1/24").MTU = 600
	r.inject(p1, tagged(udp4(t, p1, ip4("10.5.0.2", "10.7.0.2", 64), 1400), customer(0xb, 5)))
	r.step()
	sent := r.ports[p2].take()
	if len(sent) != 3 {
		t.Fatalf("%d fragments", len(sent))
	}
	for _, b := range sent {
		if tags, rest := tagsOf(t, b); len(tags) != 1 || tags[0] != customer(0xb, 7) || len(rest) > 600 {
			t.Errorf("tags %x, %d bytes", tags, len(rest))
		}
	}
	r.conserved()
}
