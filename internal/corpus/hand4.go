package corpus

import "net/netip"

// hand4 are the IPv4 and ARP packets that no combination of dimensions makes.
func hand4() []Probe {
	var out []Probe
	for _, a := range []string{"10.0.1.1", "10.0.2.1", "10.0.2.2"} {
		// Larger than any frame, so that it is reassembled, and the answer is fragmented (RFC 1122 3.3.2).
		for _, n := range []int{1480, 1481, 2000, 2960, 3000} {
			out = append(out, probeOf(false, dst(a), carry("echo request", icmp(8, 0, 0, 5, 0, 6)), size(n),
				cut("in pieces of 800", piece{0, 800, false}, piece{800, 1600, false}, piece{1600, 2400, false},
					piece{2400, -1, true})))
		}
		for _, o := range options4() {
			out = append(out, probeOf(false, dst(a), o, carry("echo request", icmp(8, 0, 0, 5, 0, 6))))
		}
	}
	// Fragments that must be fragmented once more, with options of which only some are copied (RFC 791 3.2).
	for _, o := range append(options4(), plainly()) {
		for _, f := range fragments4()[:7] {
			out = append(out, probeOf(false, dst("198.18.0.1"), o, total(1300), f))
		}
		out = append(out, probeOf(false, o, total(1500)))
	}
	echo := carry("echo request", icmp(8, 0, 0, 5, 0, 6))
	for _, f := range fragments4() { // reassembled, and answered with an error or with a reply
		out = append(out, probeOf(false, dst("10.0.1.1"), f), probeOf(false, dst("10.0.1.1"), echo, f))
	}
	out = append(out, LargeEcho(false))
	// No errors about errors (RFC 1812 4.3.2.7).
	for _, a := range []string{"172.31.0.1", "192.0.2.200", "10.0.1.1"} {
		for _, typ := range []byte{3, 4, 5, 11, 12, 1, 18, 40} {
			out = append(out, probeOf(false, dst(a), quoting(typ, 0, false)),
				probeOf(false, dst(a), ttl(1), quoting(typ, 0, false)))
		}
	}
	for _, e := range []struct {
		name string
		typ  uint16
	}{{"LLDP", 0x88cc}, {"an IEEE 802.3 length", 46}, {"loopback", 0x9000}, {"MPLS", 0x8847}, {"EtherType 0",
		0}, {"EtherType 0xffff", 0xffff}} {
		out = append(out, probeOf(false, Edit{e.name, func(d *draft) { d.etherType = e.typ }}))
	}
	arp := handARP()
	for _, l := range links() {
		for _, p := range arp[:2] {
			out = append(out, probeOf(false, p.Edits[0], l))
		}
	}
	return append(out, arp...)
}

// arpEdit is an ARP packet (RFC 826); zero MACs of from are the marked one, and it goes to everyone unless unicast.
type arpPacket struct {
	name             string
	op               uint16
	sender, target   string
	from, targetMAC  MAC
	unicast          bool
	hardware, proto  uint16
	hlen, plen, size byte
}

func (a arpPacket) edit() Edit {
	return Edit{a.name, func(d *draft) {
		d.etherType = 0x0806
		if !a.unicast {
			d.to = MAC{255, 255, 255, 255, 255, 255}
		}
		from := a.from
		if from == (MAC{}) {
			from = markedMAC(d.n)
		}
		b := be.AppendUint16(be.AppendUint16(nil, a.hardware), a.proto)
		b = be.AppendUint16(append(b, a.hlen, a.plen), a.op)
		b = append(append(b, from[:]...), netip.MustParseAddr(a.sender).AsSlice()...)
		b = append(append(b, a.targetMAC[:]...), netip.MustParseAddr(a.target).AsSlice()...)
		if a.size > 0 {
			b = b[:a.size]
		}
		d.arp = b
	}}
}

func handARP() []Probe {
	var out []Probe
	add := func(name, sender, target string, change func(*arpPacket)) {
		a := arpPacket{name: "ARP: " + name, op: 1, sender: sender, target: target, hardware: 1, proto: 0x0800,
			hlen: 6, plen: 4}
		if change != nil {
			change(&a)
		}
		out = append(out, probeOf(false, a.edit()))
	}
	for _, sender := range []string{"10.0.1.2", "10.0.1.77", "0.0.0.0", "10.0.2.2", "10.0.1.1", "172.20.0.9",
		"192.168.99.1", "127.0.0.1", "224.0.0.1",
		"255.255.255.255", "10.0.1.255", "240.0.0.1"} {
		for _, target := range []string{"10.0.1.1", "10.0.2.1", "10.0.1.77", "10.0.2.2", "198.51.100.1", "172.31.0.1",
			"10.0.1.255", "10.0.1.0", "127.0.0.1",
			"224.0.0.1", "255.255.255.255", "0.0.0.0"} {
			add("who has "+target+"? asks "+sender, sender, target, nil)
		}
	}
	const host, router = "10.0.1.2", "10.0.1.1"
	add("unicast request", host, router, func(a *arpPacket) { a.unicast = true })
	add("reply", host, router, func(a *arpPacket) { a.op, a.targetMAC, a.unicast = 2, RouterMAC(1), true })
	add("operation 3", host, router, func(a *arpPacket) { a.op = 3 })
	add("operation 0", host, router, func(a *arpPacket) { a.op = 0 })
	add("from a broadcast MAC", host, router, func(a *arpPacket) { a.from = MAC{255, 255, 255, 255, 255, 255} })
	add("from a multicast MAC", host, router, func(a *arpPacket) { a.from = MAC{1, 0, 0x5e, 0, 0, 1} })
	add("from the router's MAC", host, router, func(a *arpPacket) { a.from = RouterMAC(1) })
	add("target MAC given", host, router, func(a *arpPacket) { a.targetMAC = RouterMAC(1) })
	add("token ring", host, router, func(a *arpPacket) { a.hardware = 6 })
	add("IEEE 802", host, router, func(a *arpPacket) { a.hardware = 6 })
	add("protocol 0x86dd", host, router, func(a *arpPacket) { a.proto = 0x86dd })
	add("hardware length 5", host, router, func(a *arpPacket) { a.hlen = 5 })
	add("protocol length 3", host, router, func(a *arpPacket) { a.plen = 3 })
	for _, n := range []byte{1, 8, 20, 27} {
		add("cut off", host, router, func(a *arpPacket) { a.size = n })
	}
	return out
}

// LargeEcho is an echo request whose answer leaves by the port with the smaller MTU, in fragments.
func LargeEcho(v6 bool) Probe {
	if v6 {
		return probeOf(true, src("2001:db8:100::7"), dst("2001:db8:1::1"), carry("echo request", icmp6(128, 0)), total(1500))
	}
	return probeOf(false, src("198.51.100.7"), dst("10.0.1.1"), carry("echo request", icmp(8, 0)), total(1500))
}

// To is a plain packet to an address.
func To(v6 bool, addr string) Probe { return probeOf(v6, dst(addr)) }

// Answer is the answer of a host on port 2 to a question for its MAC address: of ARP, or a solicited advertisement.
func Answer(host netip.Addr) []byte {
	router := "10.0.2.1"
	var p Probe
	if host.Is6() {
		router = LinkLocal(2)
		p = probeOf(true, nd("NA", 136, 0x60, host.String(), lladdr(2, HostMAC(2))...), src(host.String()), dst(router))
	} else {
		a := arpPacket{op: 2, sender: host.String(), target: router, from: HostMAC(2), targetMAC: RouterMAC(2),
			unicast:  true,
			hardware: 1, proto: 0x0800, hlen: 6, plen: 4}
		p = probeOf(false, a.edit())
	}
	p.Edits = append(p.Edits, ethernetTo("", RouterMAC(2)), Edit{"", func(d *draft) { d.from = HostMAC(2) }})
	return p.Frames(0)[0]
}
