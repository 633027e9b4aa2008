package dataplane

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// alive answers the requests for addresses that are alive, and tells how many packets went to their MAC, and how many
// requests there were in all.
func (r *rig) alive(dev nstable.DeviceID, is func(netip.Addr) bool) (packets, requests int) {
	r.Helper()
	for _, b := range r.ports[dev].take() {
		target, ok := asksFor(b)
		if !ok {
			if header.Ethernet(b).Destination() == macA {
				packets++
			}
			continue
		}
		requests++
		if !is(target) {
			continue
		}
		if target.Is4() {
			r.inject(dev, arp(r, dev, header.ARPReply, macA, target.String(), "10.0.2.1"))
		} else {
			r.inject(dev, advertisement(r, dev, target.String(), "fe80::2", flagS|flagO, macA))
		}
	}
	r.step()
	return packets, requests
}

// asksFor is the address that an ARP request or a neighbour solicitation asks for.
func asksFor(b []byte) (netip.Addr, bool) {
	switch header.Ethernet(b).Type() {
	case header.TypeARP:
		return fib.Addr4(header.ARP(b[header.EthernetLen:]).TargetIP()).Netip(), true
	case header.TypeIPv6:
		h := header.IPv6(b[header.EthernetLen:])
		if m := h.Payload(); h.NextHeader() == header.ProtoICMPv6 && m[0] == header.ICMPv6NeighborSolicit {
			return addr6(header.ND(m).Target()).Netip(), true
		}
	}
	return netip.Addr{}, false
}

// TestScan: while one host sends 20,000 packets a second to addresses of a /12 or a /64 where nobody is, a flow of another
// to a known neighbour loses nothing, and neither does the first packet to a living neighbour that is not known yet.
// Entries, packets held, and requests stay within their bounds.
func TestScan(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) {
		scan(t, "10.16.0.0/12", func(i int) netip.Addr {
			return netip.AddrFrom4([4]byte{10, 16 + byte(i>>16&15), byte(i >> 8), byte(i)})
		})
	})
	t.Run("IPv6", func(t *testing.T) {
		scan(t, "2001:db8:16::/64", func(i int) netip.Addr {
			// All that the low bits of the address would spread is the same: the worst for a hash without a key.
			return fib.Addr{Hi: 0x20010db800160000, Lo: uint64(i+1) << 40}.Netip()
		})
	})
}

func scan(t *testing.T, link string, at func(int) netip.Addr) {
	r := newRig(t)
	r.route(0, link, fib.NextHop{Kind: fib.Unicast, Device: p2})
	r.w.neighbors.maxHeld = r.pool.Frames() / heldShare
	r.set(p2, func(d *setting.Device) { d.NeighMax, d.BaseReachableTime = 4096, 3600 })
	packetTo := func(from int, dst netip.Addr) []byte {
		if dst.Is4() {
			return udp4(t, p1, ip4(fmt.Sprintf("10.0.1.%d", from), dst.String(), 64), 20)
		}
		return udp6(t, p1, ip6(fmt.Sprintf("2001:db8:%d::2", from), dst.String(), 64), 20)
	}
	alive := map[netip.Addr]bool{}
	living := func(a netip.Addr) bool { return alive[a] }
	known := fib.AddrOf(netip.MustParseAddr("10.0.2.2"))
	if !at(0).Is4() {
		known = fib.AddrOf(netip.MustParseAddr("2001:db8:2::2"))
	}
	r.view.Devices[p2].Neighbors.Lookup(known).Set(neigh.Permanent, macA, r.now)
	const seconds, rate, rounds = 5, 20_000, 250 // rounds a second
	sent, arrived, requests := 0, 0, 0
	for i := range seconds * rate {
		r.inject(p1, packetTo(66, at(i)))
		if i%(rate/rounds) != 0 {
			continue
		}
		r.inject(p1, packetTo(2, known.Netip()))
		sent++
		if i%(rate/5) == 0 { // five times a second, a living one that is not known yet
			a := at(seconds*rate + i)
			alive[a] = true
			r.inject(p1, packetTo(3, a))
			sent++
		}
		r.step()
		for range 3 { // answers, and what they set free
			p, q := r.alive(p2, living)
			arrived += p
			requests += q
		}
		r.ports[p1].take()
		r.now += int64(time.Second) / rounds
		if n := r.w.neighbors.held; n > r.pool.Frames()/heldShare {
			t.Fatalf("%d frames are held", n)
		}
		if n := r.view.Devices[p2].Neighbors.Len(); n > 4096 {
			t.Fatalf("%d neighbours", n)
		}
	}
	if arrived != sent {
		t.Errorf("%d of %d packets of the others arrived", arrived, sent)
	}
	if limit := 3 * (seconds + 1) * (1000 + 2*askShare); requests > limit || requests < 1000*seconds {
		t.Errorf("%d requests in %d s, at most %d allowed", requests, seconds, limit)
	}
	if d := r.drops(p1); d["neighbor-budget"] < seconds*rate/2 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
	r.pass(10 * time.Second)
	if n := r.view.Devices[p2].Neighbors.Len(); n > fewNeighbors {
		t.Errorf("%d neighbours ten seconds after the scan", n)
	}
	r.conserved()
}

// TestNeighborLimits: a full table gives up who does not answer, then who is not used; never one in use.
func TestNeighborLimits(t *testing.T) {
	for _, of := range []string{"device", "namespace"} {
		r := newRig(t)
		r.route(0, "10.16.0.0/12", fib.NextHop{Kind: fib.Unicast, Device: p2})
		r.set(p2, func(d *setting.Device) { d.GCStaleTime = 86400 })
		if of == "device" {
			r.set(p2, func(d *setting.Device) { d.NeighMax = 100 })
		} else {
			s := *r.view.Namespaces[0].Settings()
			s.NeighMax = 102 // p1 has two
			r.view.Namespaces[0].PublishSettings(&s)
		}
		d := r.view.Devices[p2]
		ask := func(i int) {
			source := fmt.Sprintf("10.0.1.%d", 2+i) // each with a share: what is for all stops before the table is full
			r.inject(p1, udp4(t, p1, ip4(source, fmt.Sprintf("10.16.1.%d", i), 64), 20))
			r.step()
			r.ports[p2].take()
		}
		for i := range 98 {
			e := r.entry(fmt.Sprintf("10.16.0.%d", i), []neigh.State{sta, rea, del, per}[i%4])
			if i%8 == 0 {
				e.Use()
			}
		}
		if n := d.Neighbors.Len(); n < 100 {
			t.Fatalf("%d neighbours", n)
		}
		r.w.neighbors.counts = nil // the entries were not made by the worker
		ask(0)
		if r.drops(p1)["neighbor-table-full"] != 0 || r.neighbor(p2, "10.16.1.0") == nil {
			t.Errorf("%s: a new neighbour found no place: %v", of, r.drops(p1))
		}
		gone := 0
		for i := range 98 {
			e := r.neighbor(p2, fmt.Sprintf("10.16.0.%d", i))
			if e == nil {
				gone++
				if i%4 != 0 || i%8 == 0 {
					t.Errorf("%s: neighbour %d was given up, %v", of, i, []neigh.State{sta, rea, del, per}[i%4])
				}
			}
		}
		if gone == 0 || gone > 13 {
			t.Errorf("%s: %d given up", of, gone)
		}
		// One that was asked just now is not given up for the next.
		for i := 1; i < 60; i++ {
			r.now += evictionInterval / 10
			ask(i)
		}
		if n := d.Neighbors.Len(); n > 102 {
			t.Errorf("%s: %d neighbours", of, n)
		}
		if r.drops(p1)["neighbor-table-full"] == 0 {
			t.Errorf("%s: the limit did not hold: %v", of, r.drops(p1))
		}
		r.conserved()
	}
}

// TestLastEighth: a scan does not fill a table to the brim, where nothing is old enough to be evicted; a sender with a share
// of its own still finds room.
func TestLastEighth(t *testing.T) {
	r := newRig(t)
	r.route(0, "10.16.0.0/12", fib.NextHop{Kind: fib.Unicast, Device: p2})
	r.set(p2, func(d *setting.Device) { d.NeighMax, d.NeighBudget = 400, 1000 })
	d := r.view.Devices[p2]
	for i := range 800 { // within half a second
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", fmt.Sprintf("10.17.%d.%d", i/256, i%256), 64), 20))
		r.now += int64(time.Millisecond) / 2
		r.step()
		r.ports[p2].take()
	}
	if n := d.Neighbors.Len(); n < 350 || n >= 400 {
		t.Errorf("%d neighbours after a scan, of 400", n)
	}
	r.inject(p1, udp4(t, p1, ip4("10.0.1.77", "10.16.1.1", 64), 20))
	r.step()
	if r.neighbor(p2, "10.16.1.1") == nil || r.drops(p1)["neighbor-table-full"] != 0 {
		t.Errorf("another sender finds no room: %v", r.drops(p1))
	}
	r.ports[p2].take()
	r.conserved()
}

// TestHoldRoom: where a device holds as many packets as it may, the one that waits longest goes; where the worker does,
// one of the device that holds most.
func TestHoldRoom(t *testing.T) {
	r := newRig(t)
	r.w.neighbors.maxHeld = deviceHold + 10
	for i := range deviceHold + 10 {
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", fmt.Sprintf("10.0.2.%d", 3+i/2), 64), 20))
		if i%32 == 0 {
			r.step()
		}
	}
	r.step()
	if n := r.w.neighbors.held; n != deviceHold || r.drops(p1)["neighbor-hold-full"] != 10 {
		t.Fatalf("%d held, drops %v", n, r.drops(p1))
	}
	r.ports[p2].take()
	for i, want := range map[int]int{3: 0, 7: 0, 8: 2, 130: 2} {
		r.inject(p2, arp(t, p2, header.ARPReply, macA, fmt.Sprintf("10.0.2.%d", i), "10.0.2.1"))
		r.step()
		if n := len(r.ports[p2].take()); n != want {
			t.Errorf("%d packets for neighbour %d, want %d", n, i, want)
		}
	}
	r.w.neighbors.maxHeld = r.w.neighbors.held
	r.inject(p2, udp4(t, p2, ip4("10.0.2.2", "10.0.1.9", 64), 20))
	r.step()
	if n := r.drops(p1)["neighbor-hold-full"]; n != 11 {
		t.Errorf("%d drops: p2, which holds most, did not make room", n)
	}
	if got := r.w.neighbors.of(p1).held; got != 1 {
		t.Errorf("%d held for p1", got)
	}
	r.pass(4 * time.Second)
	if k := &r.w.neighbors; k.held != 0 || k.of(p1).held != 0 || k.of(p2).held != 0 || k.of(p2).first != nil || k.of(p2).last != nil {
		t.Errorf("held %d, %+v", k.held, k.of(p2))
	}
	r.conserved()
}

// TestScanBetweenWorkers: a scan does not fill the ring to the worker that owns the device.
func TestScanBetweenWorkers(t *testing.T) {
	r := newRig(t)
	r.route(0, "10.16.0.0/12", fib.NextHop{Kind: fib.Unicast, Device: p2})
	d := *r.view.Devices[p2]
	d.Owner = 1
	view := *r.view
	view.Devices = append([]*nstable.Device(nil), view.Devices...)
	view.Devices[p2] = &d
	r.view = &view
	other := new(handoffRing)
	r.w.outbox, r.w.notify = append(r.w.outbox, other), append(r.w.notify, false)
	r.w.peers = append(r.w.peers, &Worker{})
	handed := 0
	for i := range 20_000 {
		r.inject(p1, udp4(t, p1, ip4("10.0.1.66", fmt.Sprintf("10.16.%d.%d", i>>8, i&255), 64), 20))
		if i%40 != 0 {
			continue
		}
		r.step()
		for p := other.peek(); p != nil; p = other.peek() {
			handed++
			a, in := p.Addr, p.In
			other.pop()
			r.w.discard(&Packet{Addr: a, In: in}, counters.EgressDown)
		}
		r.now += int64(2 * time.Millisecond)
	}
	if dropped := r.drops(p1)["neighbor-budget"]; handed > 2*handoffRatio*(1000+askShare) || dropped < 10_000 {
		t.Errorf("%d handed over in a second, drops %v", handed, r.drops(p1))
	}
}

// TestNewNeighborAllocates: of the packets of a scan, those that are over the budget cost no memory.
func TestOverBudgetAllocatesNothing(t *testing.T) {
	r := newRig(t)
	r.set(p2, func(d *setting.Device) { d.NeighBudget = 1 })
	frame := udp4(t, p1, ip4("10.0.1.2", "10.0.2.77", 64), 20)
	h := header.IPv4(frame[header.EthernetLen:])
	next := uint32(0)
	one := func() {
		next++
		h.SetDestination(10<<24 | 2<<8 | next%200 + 20)
		h.SetChecksum()
		r.inject(p1, frame)
		r.step()
	}
	for range 500 {
		one()
	}
	r.ports[p2].tx = nil
	if n := testing.AllocsPerRun(200, one); n != 0 {
		t.Errorf("%v allocations a packet", n)
	}
	if r.drops(p1)["neighbor-budget"] < 500 {
		t.Errorf("drops %v", r.drops(p1))
	}
}

// TestProxyARP: with proxy-arp a device answers for what the router reaches by another one, and for nothing else.
func TestProxyARP(t *testing.T) {
	r := newRig(t)
	r.route(0, "192.0.2.0/24", fib.NextHop{Kind: fib.Blackhole})
	ask := func(sender, target string) int {
		r.inject(p1, arp(t, p1, header.ARPRequest, hostMAC(p1), sender, target))
		r.step()
		sent := r.ports[p1].take()
		for _, b := range sent {
			a := layer[*layers.ARP](t, decode(t, b), layers.LayerTypeARP)
			if a.Operation != 2 || string(a.SourceProtAddress) != string(netip.MustParseAddr(target).AsSlice()) ||
				string(a.SourceHwAddress) != "\x02\x00\x00\x00\x00\x01" {
				t.Errorf("answered %+v", a)
			}
		}
		return len(sent)
	}
	if ask("10.0.1.2", "10.0.2.7") != 0 {
		t.Error("answers without the setting")
	}
	r.set(p1, func(d *setting.Device) { d.ProxyARP = true })
	for _, c := range []struct {
		sender, target string
		answers        int
	}{
		{"10.0.1.2", "10.0.2.7", 1},
		{"10.0.1.2", "10.0.1.7", 0},  // lives on the same link
		{"10.0.1.2", "10.99.0.1", 0}, // no route
		{"10.0.1.2", "192.0.2.1", 0}, // blackhole
		{"0.0.0.0", "10.0.2.7", 0},   // a probe: nobody else has it
		{"10.0.2.7", "10.0.2.7", 0},  // an announcement
		{"10.0.1.2", "224.0.0.1", 0},
		{"10.0.1.2", "10.0.1.1", 1}, // our own, as ever
	} {
		if n := ask(c.sender, c.target); n != c.answers {
			t.Errorf("%s asks for %s: %d answers, want %d", c.sender, c.target, n, c.answers)
		}
	}
	d := *r.view.Devices[p2]
	d.Carrier = false
	r.view.Devices[p2] = &d
	r.w.leave()
	if ask("10.0.1.2", "10.0.2.7") != 0 {
		t.Error("answers for what it cannot reach")
	}
	r.conserved()
}

// TestAddressConflict: who claims our address is not believed; we announce it, once in ten seconds (RFC 5227 2.4).
func TestAddressConflict(t *testing.T) {
	r := newRig(t)
	told := 0
	r.w.neighbors.conflict = func(id nstable.DeviceID, a fib.Addr, mac [6]byte) {
		if told++; id != p1 || header.MAC(mac) != macB {
			t.Errorf("told of %d %v %x", id, a.Netip(), mac)
		}
	}
	claim := func(op uint16, target string) (announced int) {
		r.inject(p1, arp(t, p1, op, macB, "10.0.1.1", target))
		r.step()
		for _, b := range r.ports[p1].take() {
			a := header.ARP(b[header.EthernetLen:])
			if !a.Gratuitous() || a.Operation() != header.ARPRequest || a.SenderMAC() != deviceMAC(p1) ||
				a.SenderIP() != 10<<24|1<<8|1 || header.Ethernet(b).Destination() != header.BroadcastMAC {
				t.Errorf("sent %x", b)
			}
			announced++
		}
		return announced
	}
	for i, want := range []int{1, 0, 0, 0} {
		if n := claim([]uint16{header.ARPReply, header.ARPRequest}[i%2], []string{"10.0.1.1", "10.0.1.9"}[i/2]); n != want {
			t.Errorf("conflict %d: %d announcements, want %d", i, n, want)
		}
		r.pass(2 * time.Second)
	}
	r.pass(3 * time.Second)
	if n := claim(header.ARPReply, "10.0.1.1"); n != 1 || told != 2 {
		t.Errorf("after 11 s: %d announcements, told %d times", n, told)
	}
	mac := fmt.Sprintf("%012x", uint64(macB))
	r.inject(p1, advertisement(t, p1, "2001:db8:1::1", "ff02::1", flagO, macB))
	b := solicitation(t, p1, "2001:db8:1::1", "ff02::1:ff00:7", "2001:db8:1::7", 255, true)
	for _, f := range [][]byte{b} {
		m := header.MACBytes(macB)
		copy(f[6:], m[:])
	}
	last := r.ports[p1].rx[len(r.ports[p1].rx)-1]
	m := header.MACBytes(macB)
	copy(r.pool.Bytes()[last.Addr+6:], m[:])
	r.step()
	if told != 3 || r.drops(p1)["address-conflict"] != 6 {
		t.Errorf("an advertisement of our address by %s: told %d times, drops %v", mac, told, r.drops(p1))
	}
	for _, a := range []string{"10.0.1.1", "2001:db8:1::1"} {
		if r.neighbor(p1, a) != nil {
			t.Errorf("our own %s is a neighbour", a)
		}
	}
	// Our own frames, come back by a loop, are no conflict.
	r.inject(p1, arp(t, p1, header.ARPRequest, deviceMAC(p1), "10.0.1.1", "10.0.1.1"))
	r.step()
	if d := r.drops(p1); d["address-conflict"] != 6 || d["bad-arp"] != 1 {
		t.Errorf("drops %v", d)
	}
	r.conserved()
}

// TestAnnounce: an address is announced by a gratuitous ARP request, or an unsolicited advertisement with router and
// override flags.
func TestAnnounce(t *testing.T) {
	r := newRig(t)
	r.w.look()
	d := r.view.Devices[p1]
	r.w.announce(d, fib.AddrOf(netip.MustParseAddr("10.0.1.1")))
	r.w.announce(d, fib.AddrOf(netip.MustParseAddr("2001:db8:1::1")))
	r.w.flush()
	sent := r.ports[p1].take()
	if len(sent) != 2 {
		t.Fatalf("%d packets", len(sent))
	}
	if a := header.ARP(sent[0][header.EthernetLen:]); !a.Gratuitous() || a.SenderMAC() != deviceMAC(p1) || a.TargetMAC() != 0 {
		t.Errorf("%x", sent[0])
	}
	p := decode(t, sent[1])
	na := layer[*layers.ICMPv6NeighborAdvertisement](t, p, layers.LayerTypeICMPv6NeighborAdvertisement)
	ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
	if na.Flags != flagR|flagO || ip.SrcIP.String() != "2001:db8:1::1" || ip.DstIP.String() != "ff02::1" || ip.HopLimit != 255 ||
		layer[*layers.Ethernet](t, p, layers.LayerTypeEthernet).DstMAC.String() != "33:33:00:00:00:01" ||
		string(na.Options[0].Data) != "\x02\x00\x00\x00\x00\x01" {
		t.Errorf("%v", p)
	}
	r.conserved()
}

// TestNeighborsOf: the neighbours of each namespace are counted apart, whichever was asked about first, and again after a
// while; those of a namespace that has come since, at once.
func TestNeighborsOf(t *testing.T) {
	r := newRig(t)
	r.w.view, r.w.now = r.view, r.now
	of := func(id nstable.NamespaceID) int { return *r.w.neighborsOf(r.view.Namespaces[id]) }
	if a, b := of(0), of(1); a != 4 || b != 2 { // two behind each port
		t.Errorf("%d and %d neighbours", a, b)
	}
	r.view.Devices[p3].Neighbors.Add(fib.Addr4(1), r.now)
	if a, b := of(0), of(1); a != 4 || b != 2 {
		t.Errorf("%d and %d neighbours, counted again at once", a, b)
	}
	r.w.now += tickInterval
	if a, b := of(0), of(1); a != 4 || b != 3 {
		t.Errorf("%d and %d neighbours after a while", a, b)
	}
	r.view.Namespaces = append(r.view.Namespaces, &nstable.Namespace{ID: 2})
	r.view.Devices[dummy0].Namespace = r.view.Namespaces[2]
	r.view.Devices[dummy0].Neighbors.Add(fib.Addr4(1), r.now)
	if n := of(2); n != 1 {
		t.Errorf("%d neighbours of a new namespace", n)
	}
}
