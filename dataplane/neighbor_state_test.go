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
	"nsrouter/nstable/setting"
)

const macA, macB = 0x02000000aa01, 0x02000000bb02

// entry puts a neighbour of p2 into a state, as if it had got there a minute ago.
func (r *rig) entry(a string, state neigh.State) *neigh.Entry {
	r.Helper()
	r.step() // the worker's clock
	addr := fib.AddrOf(netip.MustParseAddr(a))
	d := r.view.Devices[p2]
	e := d.Neighbors.Lookup(addr)
	if e == nil {
		e = d.Neighbors.Add(addr, r.now)
	}
	old := r.now - int64(time.Minute)
	switch state {
	case neigh.Incomplete:
		r.w.begin(e, d)
	case neigh.Failed:
		e.Set(state, 0, old)
	case neigh.Probe:
		e.Set(state, macA, old)
		r.w.solicit(e, r.w.neighbors.ask(e, p2), d)
	default:
		e.Set(state, macA, old)
	}
	e.Used.Store(old)
	if state == neigh.Reachable {
		e.Confirmed.Store(r.now)
	}
	r.step()
	r.ports[p2].take()
	return e
}

func (r *rig) is(when string, e *neigh.Entry, state neigh.State, mac uint64) {
	r.Helper()
	if m, _ := e.MAC(); e.State() != state || m != mac {
		r.Errorf("%s: %v %012x, want %v %012x", when, e.State(), m, state, mac)
	}
}

func advertisement(t testing.TB, dev nstable.DeviceID, target, dst string, flags uint8, mac uint64) []byte {
	ip := ip6(target, dst, 255)
	ip.NextHeader = layers.IPProtocolICMPv6
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)}
	_ = m.SetNetworkLayerForChecksum(ip)
	na := &layers.ICMPv6NeighborAdvertisement{Flags: flags, TargetAddress: netip.MustParseAddr(target).AsSlice()}
	if mac != 0 {
		b := header.MACBytes(mac)
		na.Options = layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: b[:]}}
	}
	e := ethernetTo(dev, layers.EthernetTypeIPv6)
	if a := netip.MustParseAddr(dst); a.IsMulticast() {
		g := header.MACBytes(groupMAC(fib.AddrOf(a)))
		e.DstMAC = g[:]
	}
	return packet(t, e, ip, m, na)
}

const (
	inc, rea, sta, del, pro, fai, per, noarp = neigh.Incomplete, neigh.Reachable, neigh.Stale, neigh.Delay, neigh.Probe,
		neigh.Failed, neigh.Permanent, neigh.NoARP
	flagS, flagO, flagR = 0x40, 0x20, 0x80
)

// TestAdvertisementTable is the table of RFC 4861 7.2.5 and appendix C: what an advertisement makes of an entry with MAC
// A that was a router's.
func TestAdvertisementTable(t *testing.T) {
	for _, c := range []struct {
		old    neigh.State
		flags  uint8
		mac    uint64 // in the advertisement; 0: no option
		state  neigh.State
		now    uint64
		router bool
	}{
		// Not known: S makes it reachable, else stale; O does not matter; without an address nothing happens.
		{inc, flagS | flagO, macB, rea, macB, false},
		{inc, flagS | flagR, macB, rea, macB, true},
		{inc, flagS, macB, rea, macB, false},
		{inc, 0, macB, sta, macB, false},
		{inc, flagO | flagR, macB, sta, macB, true},
		{inc, flagS | flagO, 0, inc, 0, true},
		// The same address: S confirms, else nothing changes but the router flag.
		{rea, flagS | flagO, macA, rea, macA, false},
		{sta, flagS, macA, rea, macA, false},
		{del, flagS, macA, rea, macA, false},
		{pro, flagS | flagO | flagR, macA, rea, macA, true},
		{rea, 0, macA, rea, macA, false},
		{pro, flagO, macA, pro, macA, false},
		{sta, flagO | flagR, macA, sta, macA, true},
		// No address: as the same.
		{sta, flagS | flagR, 0, rea, macA, true},
		{pro, flagS, 0, rea, macA, false},
		{del, 0, 0, del, macA, false},
		// Another one without O: a reachable entry becomes stale, others stay; the router flag does not count.
		{rea, flagS, macB, sta, macA, true},
		{rea, 0, macB, sta, macA, true},
		{sta, flagS, macB, sta, macA, true},
		{del, flagS, macB, del, macA, true},
		{pro, 0, macB, pro, macA, true},
		// Another one with O: taken; reachable with S, else stale.
		{rea, flagS | flagO, macB, rea, macB, false},
		{sta, flagS | flagO | flagR, macB, rea, macB, true},
		{rea, flagO, macB, sta, macB, false},
		{del, flagO, macB, sta, macB, false},
		{pro, flagO | flagR, macB, sta, macB, true},
		// Only the operator changes a static entry; a failed one is none.
		{per, flagS | flagO, macB, per, macA, true},
		{noarp, flagS | flagO, macB, noarp, macA, true},
		{fai, flagS | flagO, macB, fai, 0, true},
	} {
		r := newRig(t)
		e := r.entry("2001:db8:2::7", c.old)
		e.Router.Store(true)
		r.inject(p2, advertisement(t, p2, "2001:db8:2::7", "fe80::2", c.flags, c.mac))
		r.step()
		if m, _ := e.MAC(); e.State() != c.state || m != c.now || e.Router.Load() != c.router {
			t.Errorf("%v, flags %02x, MAC %x: %v %x router %v, want %v %x %v", c.old, c.flags, c.mac,
				e.State(), m, e.Router.Load(), c.state, c.now, c.router)
		}
		if open := r.w.neighbors.asked[e] != nil; open != (c.state == inc || c.state == pro) {
			t.Errorf("%v to %v: still asked: %v", c.old, c.state, open)
		}
		r.conserved()
	}
}

// TestARPTable: what an ARP packet makes of an entry with MAC A (arp_process and neigh_update of the kernel).
func TestARPTable(t *testing.T) {
	const reply, request = header.ARPReply, header.ARPRequest
	for _, c := range []struct {
		old    neigh.State
		fresh  bool // changed within the last second
		op     uint16
		mac    uint64
		target string
		state  neigh.State
		now    uint64
	}{
		{inc, true, reply, macB, "10.0.2.1", rea, macB},
		{sta, false, reply, macA, "10.0.2.1", rea, macA},
		{del, true, reply, macA, "10.0.2.1", rea, macA},
		{pro, true, reply, macA, "10.0.2.1", rea, macA},
		{fai, false, reply, macB, "10.0.2.1", rea, macB},
		{sta, false, reply, macB, "10.0.2.1", rea, macB},
		{rea, true, reply, macB, "10.0.2.1", rea, macA}, // locktime: the first of two answers
		{rea, true, request, macB, "10.0.2.99", rea, macA},
		{rea, false, request, macB, "10.0.2.99", sta, macB},
		{rea, true, request, macB, "10.0.2.7", sta, macB}, // gratuitous: always
		{rea, true, request, macB, "10.0.2.1", sta, macB}, // asks for us: always
		{rea, false, request, macA, "10.0.2.1", rea, macA},
		{pro, false, request, macA, "10.0.2.1", pro, macA}, // is there, but does it hear us?
		{del, false, request, macA, "10.0.2.7", del, macA},
		{fai, false, request, macA, "10.0.2.7", sta, macA},
		{inc, false, request, macB, "10.0.2.1", sta, macB},
		{per, false, reply, macB, "10.0.2.1", per, macA},
		{noarp, false, request, macB, "10.0.2.7", noarp, macA},
	} {
		r := newRig(t)
		e := r.entry("10.0.2.7", c.old)
		if c.fresh && c.old != inc {
			m, _ := e.MAC()
			e.Set(c.old, m, r.now)
		}
		r.now += 100
		r.inject(p2, arp(t, p2, c.op, c.mac, "10.0.2.7", c.target))
		r.step()
		if m, _ := e.MAC(); e.State() != c.state || m != c.now {
			t.Errorf("%v (fresh %v), ARP %d from %x for %s: %v %x, want %v %x", c.old, c.fresh, c.op, c.mac, c.target,
				e.State(), m, c.state, c.now)
		}
		r.conserved()
	}
}

// TestBroadcastReply: an answer to all is no confirmation.
func TestBroadcastReply(t *testing.T) {
	r := newRig(t)
	e := r.entry("10.0.2.7", sta)
	b := arp(t, p2, header.ARPReply, macA, "10.0.2.7", "10.0.2.1")
	copy(b, "\xff\xff\xff\xff\xff\xff")
	r.inject(p2, b)
	r.step()
	r.is("after a broadcast reply", e, sta, macA)
}

// TestSolicitationUpdates: a solicitation with another address makes the entry stale with that (RFC 4861 7.2.3).
func TestSolicitationUpdates(t *testing.T) {
	for _, c := range []struct {
		old, state neigh.State
		mac, now   uint64
	}{
		{rea, rea, macA, macA}, {pro, pro, macA, macA}, {rea, sta, 0, hostMAC(p2)}, {inc, sta, 0, hostMAC(p2)},
		{fai, sta, 0, hostMAC(p2)}, {per, per, 0, macA},
	} {
		r := newRig(t)
		e := r.entry("2001:db8:2::7", c.old)
		b := solicitation(t, p2, "2001:db8:2::7", "ff02::1:ff00:1", "2001:db8:2::1", 255, true)
		if c.mac != 0 { // the option is the last of the message
			h := header.IPv6(b[header.EthernetLen:])
			m := header.MACBytes(c.mac)
			copy(b[len(b)-6:], m[:])
			setICMPv6Checksum(h)
		}
		r.inject(p2, b)
		r.step()
		r.is(c.old.String()+" solicits", e, c.state, c.now)
		r.conserved()
	}
}

// TestTimers walks an entry through its life: reachable, stale, delay, probe, failed, and asked anew.
func TestTimers(t *testing.T) {
	for _, a := range []string{"10.0.2.2", "2001:db8:2::2"} {
		r := newRig(t)
		use := func() {
			r.Helper()
			if netip.MustParseAddr(a).Is4() {
				r.inject(p1, udp4(t, p1, ip4("10.0.1.2", a, 64), 20))
			} else {
				r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", a, 64), 20))
			}
			r.step()
		}
		r.step()
		e, mac := r.neighbor(p2, a), hostMAC(p2)
		good := time.Duration(reachableTime(r.view.Devices[p2], e))
		if good < 15*time.Second || good >= 45*time.Second {
			t.Fatalf("reachable for %v", good)
		}
		r.pass(good - 100*time.Millisecond)
		r.is("good", e, rea, mac)
		r.pass(300 * time.Millisecond)
		r.is("grown old", e, sta, mac)
		r.pass(time.Minute)
		r.is("stale and not used", e, sta, mac)
		if n := len(r.ports[p2].take()); n != 0 {
			t.Errorf("asked %d times without being used", n)
		}
		use()
		r.pass(200 * time.Millisecond)
		r.is("used", e, del, mac)
		r.ports[p2].take()
		r.pass(4700 * time.Millisecond)
		r.is("delay_first_probe_time not over", e, del, mac)
		r.pass(300 * time.Millisecond)
		r.is("delay_first_probe_time over", e, pro, mac)
		sent := r.ports[p2].take()
		if len(sent) != 1 || header.Ethernet(sent[0]).Destination() != mac {
			t.Fatalf("%d probes, want 1 to the known address", len(sent))
		}
		use() // still forwarded
		if n := len(r.ports[p2].take()); n != 1 {
			t.Errorf("%d packets in state probe", n)
		}
		r.pass(2500 * time.Millisecond)
		r.is("three probes", e, pro, mac)
		if n := len(r.ports[p2].take()); n != 2 || e.Probes.Load() != 3 {
			t.Errorf("%d more probes, %d in all", n, e.Probes.Load())
		}
		r.pass(600 * time.Millisecond)
		r.is("no answer", e, fai, 0)
		use()
		r.is("asked anew", e, inc, 0)
		sent = r.ports[p2].take()
		if len(sent) != 1 || !header.IsGroup(header.Ethernet(sent[0]).Destination()) {
			t.Errorf("%d requests after the failure, want 1 to all", len(sent))
		}
		r.conserved()
	}
}

// TestInUseWhenOld: an entry that is in use when its time is over is asked after the delay, without being stale between.
func TestInUseWhenOld(t *testing.T) {
	r := newRig(t)
	r.set(p2, func(d *setting.Device) {
		d.BaseReachableTime, d.DelayFirstProbeTime, d.UcastSolicit, d.RetransTime = 2, 3, 10, 500
	})
	e := r.entry("10.0.2.2", rea)
	mac, _ := e.MAC()
	for range 32 {
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20))
		r.pass(100 * time.Millisecond)
		if e.State() == sta {
			t.Fatal("stale while in use")
		}
	}
	r.is("3.2 s", e, del, mac)
	r.pass(3 * time.Second) // 1 to 3 s reachable, 3 s delay
	r.is("6.2 s", e, pro, mac)
	r.inject(p2, arp(t, p2, header.ARPReply, macA, "10.0.2.2", "10.0.2.1"))
	r.step()
	r.is("answered", e, rea, macA)
	r.conserved()
}

// TestStaticNeighbors: permanent and noarp entries are neither asked nor changed by time.
func TestStaticNeighbors(t *testing.T) {
	r := newRig(t)
	for _, state := range []neigh.State{per, noarp} {
		e := r.entry("10.0.2.2", state)
		for range 20 {
			r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20))
			r.pass(10 * time.Second)
		}
		r.is("after 200 s", e, state, macA)
		for _, b := range r.ports[p2].take() {
			if header.Ethernet(b).Type() == header.TypeARP {
				t.Fatalf("a %v neighbour is asked", state)
			}
		}
	}
	r.conserved()
}

// TestOneRequestASecond: however often an entry fails, or is said to have failed, and packets come for it, it is asked
// once a second (RFC 1122 2.3.2.1).
func TestOneRequestASecond(t *testing.T) {
	r := newRig(t)
	r.set(p2, func(d *setting.Device) { d.McastSolicit = 1 })
	asked := 0
	for i := range 200 {
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.9", 64), 20))
		r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::9", 64), 20))
		r.pass(50 * time.Millisecond)
		if i%7 == 0 { // nud failed
			for _, a := range []string{"10.0.2.9", "2001:db8:2::9"} {
				if e := r.neighbor(p2, a); e != nil {
					r.w.administer(e, r.view.Devices[p2], 0, fai)
				}
			}
		}
		r.ports[p1].take()
		asked += len(r.ports[p2].take())
	}
	// The rig's ticks are 100 ms each: 20 s.
	if asked < 2*18 || asked > 2*21 {
		t.Errorf("%d requests in 20 s for two addresses", asked)
	}
	r.conserved()
}

// TestAdminister: what `neigh change ... nud` does to entries and to what they hold.
func TestAdminister(t *testing.T) {
	for _, c := range []struct {
		old, want neigh.State
		mac, now  uint64
		sent      int // packets by p2 after it
	}{
		{inc, rea, macB, macB, 1},
		{inc, sta, macB, macB, 1},
		{inc, per, macB, macB, 1},
		{inc, fai, 0, 0, 0},
		{sta, del, 0, macA, 0},
		{rea, sta, 0, macA, 0},
		{sta, pro, macB, macB, 1},
		{per, sta, 0, macA, 0},
		{per, fai, 0, 0, 0},
		{sta, noarp, macB, macB, 0},
	} {
		r := newRig(t)
		e := r.entry("10.0.2.9", c.old)
		if c.old == inc {
			r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.9", 64), 20))
			r.step()
		}
		r.w.look()
		r.w.administer(e, r.view.Devices[p2], c.mac, c.want)
		r.w.flush()
		r.is(c.old.String()+" set to "+c.want.String(), e, c.want, c.now)
		if n := len(r.ports[p2].take()); n != c.sent {
			t.Errorf("%v set to %v: %d packets, want %d", c.old, c.want, n, c.sent)
		}
		if c.want == fai && c.old == inc {
			r.step()
			if n := len(r.ports[p1].take()); n != 1 {
				t.Errorf("%d errors for what was held", n)
			}
		}
		r.conserved()
	}
}

// TestInvalidND: what RFC 4861 7.1.1 and 7.1.2 refuse changes nothing and is not answered.
func TestInvalidND(t *testing.T) {
	edit := func(b []byte, f func(ip header.IPv6, m []byte)) []byte {
		h := header.IPv6(b[header.EthernetLen:])
		f(h, h.Payload())
		setICMPv6Checksum(h)
		return b
	}
	ns := func() []byte {
		return solicitation(t, p2, "2001:db8:2::7", "ff02::1:ff00:1", "2001:db8:2::1", 255, true)
	}
	na := func() []byte { return advertisement(t, p2, "2001:db8:2::7", "fe80::2", flagS|flagO, macB) }
	short := func(b []byte) []byte {
		h := header.IPv6(b[header.EthernetLen:])
		h[5] = 20
		setICMPv6Checksum(h)
		return b[:header.EthernetLen+header.IPv6HeaderLen+20]
	}
	for name, b := range map[string][]byte{
		"hop limit 254":                  edit(na(), func(ip header.IPv6, _ []byte) { ip.SetHopLimit(254) }),
		"code 1":                         edit(na(), func(_ header.IPv6, m []byte) { m[1] = 1 }),
		"option of length 0":             edit(na(), func(_ header.IPv6, m []byte) { m[25] = 0 }),
		"option longer than the message": edit(na(), func(_ header.IPv6, m []byte) { m[25] = 2 }),
		"multicast target":               edit(na(), func(_ header.IPv6, m []byte) { m[8] = 0xff }),
		"solicited to a group":           advertisement(t, p2, "2001:db8:2::7", "ff02::1", flagS|flagO, macB),
		"multicast lladdr":               advertisement(t, p2, "2001:db8:2::7", "fe80::2", flagS|flagO, 0x333300000001),
		"lladdr of ours":                 advertisement(t, p2, "2001:db8:2::7", "fe80::2", flagS|flagO, deviceMAC(p2)),
		"short":                          short(na()),
		"ns: hop limit 254":              edit(ns(), func(ip header.IPv6, _ []byte) { ip.SetHopLimit(254) }),
		"ns: code 1":                     edit(ns(), func(_ header.IPv6, m []byte) { m[1] = 1 }),
		"ns: option of length 0":         edit(ns(), func(_ header.IPv6, m []byte) { m[25] = 0 }),
		"ns: multicast target":           edit(ns(), func(_ header.IPv6, m []byte) { m[8] = 0xff }),
		"ns: short":                      short(ns()),
		"ns: no source, to unicast":      solicitation(t, p2, "::", "2001:db8:2::1", "2001:db8:2::1", 255, false),
	} {
		r := newRig(t)
		e := r.entry("2001:db8:2::7", sta)
		if name == "ns: no source, to unicast" {
			m := header.MACBytes(deviceMAC(p2))
			copy(b, m[:])
		}
		r.inject(p2, b)
		r.step()
		r.is(name, e, sta, macA)
		if n := len(r.ports[p2].take()); n != 0 {
			t.Errorf("%s: %d answers", name, n)
		}
		dropped := uint64(0)
		for _, n := range r.drops(p2) {
			dropped += n
		}
		if dropped != 1 {
			t.Errorf("%s: drops %v", name, r.drops(p2))
		}
		r.conserved()
	}
}
