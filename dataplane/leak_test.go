package dataplane

import (
	"bytes"
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

const (
	lo0 = numDevices + iota
	lo1
)

// leakRig is a rig with a loopback in each namespace and routes between them:
//
//	namespace 0: lo 198.18.0.1 2001:db8:f0::1; behind p1 192.0.2.0/24 2001:db8:a::/64
//	namespace 1: lo 198.18.1.1 2001:db8:f1::1; behind p3 203.0.113.0/24 2001:db8:b::/64
//
// Each has routes into the other for what is there. 10.0.1.0/24 and 2001:db8:1::/64 are in both.
func leakRig(t testing.TB) *rig { return leakRigOf(t, 1024) }

func leakRigOf(t testing.TB, frames int) *rig {
	r := newRigOf(t, frames)
	r.view.Devices = append(r.view.Devices, nil, nil)
	for i, id := range []nstable.DeviceID{lo0, lo1} {
		ns := nstable.NamespaceID(i)
		d := r.device(id, nstable.Loopback, ns, fmt.Sprintf("198.18.%d.1/32", i), fmt.Sprintf("2001:db8:f%d::1/128", i))
		d.MTU = 65536
		own := new(nstable.OwnAddrs)
		for _, dev := range r.view.Devices {
			if dev != nil && dev.Namespace.ID == ns {
				for _, a := range dev.Addrs {
					own.Add(a.Addr())
				}
			}
		}
		r.view.Namespaces[ns].PublishOwn(own)
		r.view.Namespaces[ns].Loopback = id
	}
	via := func(dev nstable.DeviceID, a string) fib.NextHop {
		return fib.NextHop{Kind: fib.Unicast, Device: dev, Gateway: fib.AddrOf(netip.MustParseAddr(a))}
	}
	r.route(0, "192.0.2.0/24", via(p1, "10.0.1.2"))
	r.route(0, "2001:db8:a::/64", via(p1, "2001:db8:1::2"))
	r.route(1, "203.0.113.0/24", via(p3, "10.0.1.2"))
	r.route(1, "2001:db8:b::/64", via(p3, "2001:db8:1::2"))
	for _, p := range []string{"203.0.113.0/24", "2001:db8:b::/64", "198.18.1.1/32", "2001:db8:f1::1/128"} {
		r.routeInto(0, p, 1, 0)
	}
	for _, p := range []string{"192.0.2.0/24", "2001:db8:a::/64", "198.18.0.1/32", "2001:db8:f0::1/128"} {
		r.routeInto(1, p, 0, 0)
	}
	return r
}

// routeInto puts a route into another namespace.
func (r *rig) routeInto(ns nstable.NamespaceID, prefix string, into nstable.NamespaceID, mtu uint32) {
	r.Helper()
	p := netip.MustParsePrefix(prefix)
	way := r.ribs[ns].Way(fib.Way{Kind: fib.Netns, Netns: into, MTU: mtu})
	r.ribs[ns].Set(p, []*fib.Route{{Prefix: p, Way: way}})
	r.install(ns, p)
}

// TestLeak: packets go into the other namespace and answers come back; each namespace takes one off the TTL, and counts.
func TestLeak(t *testing.T) {
	r := leakRig(t)
	for _, c := range []struct {
		from, to nstable.DeviceID
		src, dst string
	}{{p1, p3, "192.0.2.7", "203.0.113.7"}, {p3, p1, "203.0.113.7", "192.0.2.7"}} {
		r.inject(c.from, udp4(t, c.from, ip4(c.src, c.dst, 64), 20))
		r.step()
		p := r.one(c.to)
		ip := layer[*layers.IPv4](t, p, layers.LayerTypeIPv4)
		if ip.TTL != 62 || ip.SrcIP.String() != c.src || ip.DstIP.String() != c.dst ||
			!header.IPv4(p.Data()[14:]).ChecksumOK() {
			t.Errorf("%v", p)
		}
		if e := header.Ethernet(p.Data()); e.Destination() != hostMAC(c.to) || e.Source() != deviceMAC(c.to) {
			t.Errorf("%x to %x", e.Source(), e.Destination())
		}
	}
	for _, c := range []struct {
		from, to nstable.DeviceID
		src, dst string
	}{{p1, p3, "2001:db8:a::7", "2001:db8:b::7"}, {p3, p1, "2001:db8:b::7", "2001:db8:a::7"}} {
		r.inject(c.from, udp6(t, c.from, ip6(c.src, c.dst, 64), 20))
		r.step()
		if ip := layer[*layers.IPv6](t, r.one(c.to), layers.LayerTypeIPv6); ip.HopLimit != 62 || ip.DstIP.String() != c.dst {
			t.Errorf("hop limit %d to %v", ip.HopLimit, ip.DstIP)
		}
	}
	for _, d := range []nstable.DeviceID{p1, p3} {
		if s := r.totals(d); s.LeakedOut != 2 || s.LeakedIn != 0 || s.Forwarded != 2 {
			t.Errorf("device %d: %+v", d, s)
		}
	}
	for _, d := range []nstable.DeviceID{lo0, lo1} {
		if s := r.totals(d); s.LeakedIn != 2 || s.RxPackets != 2 || s.RxBytes == 0 || s.Forwarded != 2 {
			t.Errorf("device %d: %+v", d, s)
		}
	}
	r.conserved()
}

// TestLeakApart: what the two namespaces have the same stays apart.
func TestLeakApart(t *testing.T) {
	r := leakRig(t)
	r.inject(p1, udp4(t, p1, ip4("192.0.2.7", "10.0.1.77", 64), 20))    // of both: stays
	r.inject(p1, udp4(t, p1, ip4("198.18.1.1", "203.0.113.7", 64), 20)) // claims to be the other router
	r.step()
	if n := len(r.ports[p3].take()); n != 0 {
		t.Errorf("%d packets in the other namespace", n)
	}
	if d := r.drops(lo1); d["ip4-own-source"] != 1 || len(d) != 1 {
		t.Errorf("drops %v", d)
	}
	if s := r.totals(p1); s.LeakedOut != 1 {
		t.Errorf("%d leaked", s.LeakedOut)
	}
	r.ports[p1].take()
	r.advanceHeld()
	r.conserved()
}

// advanceHeld lets held packets time out.
func (r *rig) advanceHeld() {
	for range 10 {
		r.now += 1e9
		r.step()
		for _, p := range r.ports {
			p.take()
		}
	}
}

// TestLeakErrors: each error comes from the namespace in which the packet failed, and finds back by the routes there.
func TestLeakErrors(t *testing.T) {
	const expired, unreachable = layers.ICMPv4TypeTimeExceeded, layers.ICMPv4TypeDestinationUnreachable
	for _, c := range []struct {
		name, dst string
		ttl       uint8
		df        bool
		from      string
		code      layers.ICMPv4TypeCode
		mtu       uint16
		at        nstable.DeviceID // that counts it
		reason    string
	}{
		{"TTL 1", "203.0.113.7", 1, false, "10.0.1.1", layers.CreateICMPv4TypeCode(expired, 0), 0, p1, "ttl-expired"},
		{"TTL 2", "203.0.113.7", 2, false, "198.18.1.1", layers.CreateICMPv4TypeCode(expired, 0), 0, lo1, "ttl-expired"},
		{"no route", "203.0.112.7", 9, false, "198.18.1.1", layers.CreateICMPv4TypeCode(unreachable, 0), 0, lo1, "no-route"},
		{"MTU there", "203.0.113.7", 9, true, "198.18.1.1", layers.CreateICMPv4TypeCode(unreachable, 4), 1000, lo1, "too-big"},
		{"MTU of the route", "203.0.111.7", 9, true, "10.0.1.1", layers.CreateICMPv4TypeCode(unreachable, 4), 900, p1, "too-big"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := leakRig(t)
			r.routeInto(0, "203.0.112.0/24", 1, 0)
			r.routeInto(0, "203.0.111.0/24", 1, 900)
			r.change(p3, func(d *nstable.Device) { d.MTU = 1000 })
			ip := ip4("192.0.2.7", c.dst, c.ttl)
			if c.df {
				ip.Flags = layers.IPv4DontFragment
			}
			r.inject(p1, udp4(t, p1, ip, 1200))
			r.step()
			p := r.one(p1)
			got := layer[*layers.IPv4](t, p, layers.LayerTypeIPv4)
			m := layer[*layers.ICMPv4](t, p, layers.LayerTypeICMPv4)
			if m.TypeCode != c.code || got.SrcIP.String() != c.from || got.DstIP.String() != "192.0.2.7" || m.Seq != c.mtu {
				t.Errorf("%v MTU %d from %v to %v", m.TypeCode, m.Seq, got.SrcIP, got.DstIP)
			}
			want := uint8(64) // the router's own; one less for each namespace that it is forwarded in
			if c.at == lo1 {
				want--
			}
			if got.TTL != want {
				t.Errorf("TTL %d, want %d", got.TTL, want)
			}
			if d := r.drops(c.at); d[c.reason] != 1 {
				t.Errorf("drops %v", d)
			}
			r.conserved()
		})
	}
}

func TestLeakErrors6(t *testing.T) {
	for _, c := range []struct {
		name, src string
		hops      uint8
		size      int
		from      string
		code      layers.ICMPv6TypeCode
		at        nstable.DeviceID
		reason    string
	}{
		{"hop limit 1", "2001:db8:a::7", 1, 20, "2001:db8:1::1", layers.CreateICMPv6TypeCode(3, 0), p1, "ttl-expired"},
		{"hop limit 2", "2001:db8:a::7", 2, 20, "2001:db8:f1::1", layers.CreateICMPv6TypeCode(3, 0), lo1, "ttl-expired"},
		{"MTU", "2001:db8:a::7", 9, 1400, "2001:db8:f1::1", layers.CreateICMPv6TypeCode(2, 0), lo1, "too-big"},
		{"scope", "fe80::5", 9, 20, "fe80::1", layers.CreateICMPv6TypeCode(1, 2), p1, "ip6-scope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := leakRig(t)
			r.change(p3, func(d *nstable.Device) { d.MTU = 1280 })
			e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("fe80::5")), r.now)
			e.Set(neigh.Permanent, hostMAC(p1), r.now)
			r.inject(p1, udp6(t, p1, ip6(c.src, "2001:db8:b::7", c.hops), c.size))
			r.step()
			p := r.one(p1)
			got := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
			m := layer[*layers.ICMPv6](t, p, layers.LayerTypeICMPv6)
			if m.TypeCode != c.code || got.SrcIP.String() != c.from || got.DstIP.String() != c.src {
				t.Errorf("%v from %v to %v", m.TypeCode, got.SrcIP, got.DstIP)
			}
			if d := r.drops(c.at); d[c.reason] != 1 {
				t.Errorf("drops %v", d)
			}
			r.conserved()
		})
	}
}

// TestLeakLoop: packets that routes send round and round end after maxCrossings, without an error to anybody.
func TestLeakLoop(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		r := leakRig(t)
		r.routeInto(1, "203.0.113.0/24", 0, 0)
		r.routeInto(1, "2001:db8:b::/64", 0, 0)
		b := udp4(t, p1, ip4("192.0.2.7", "203.0.113.7", 64), 20)
		if v6 {
			b = udp6(t, p1, ip6("2001:db8:a::7", "2001:db8:b::7", 64), 20)
		}
		r.inject(p1, b)
		r.step()
		if d := r.drops(lo0); d["loop"] != 1 {
			t.Errorf("drops %v", d)
		}
		if in := r.totals(lo0).LeakedIn + r.totals(lo1).LeakedIn; in != maxCrossings {
			t.Errorf("%d crossings", in)
		}
		r.conserved()
	}
}

// TestLeakRare: what is not forwarded is not leaked either, and neither is anything into a namespace that is gone, or whose
// loopback is down.
func TestLeakRare(t *testing.T) {
	plain := func(t *testing.T) []byte { return udp4(t, p1, ip4("192.0.2.7", "203.0.113.7", 64), 20) }
	for _, c := range []struct {
		name, reason string
		at           nstable.DeviceID
		prepare      func(*rig)
		packet       func(t *testing.T) []byte
	}{
		{"broadcast frame", "link-layer-broadcast", p1, nil, func(t *testing.T) []byte {
			b := plain(t)
			copy(b, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
			return b
		}},
		{"namespace gone", "egress-down", p1, func(r *rig) { r.view.Namespaces[1] = nil }, plain},
		{"namespace unknown", "egress-down", p1, func(r *rig) { r.routeInto(0, "203.0.113.0/24", 99, 0) }, plain},
		{"loopback down", "egress-down", p1, func(r *rig) { r.view.Devices[lo1].Up = false }, plain},
		{"strict source route", "ip4-source-route", p1, func(r *rig) {
			r.set(p1, func(s *setting.Device) { s.AcceptSourceRoute = true })
		}, func(t *testing.T) []byte {
			ip := ip4("192.0.2.7", "10.0.1.1", 64)
			ip.Options = []layers.IPv4Option{{OptionType: 137, OptionLength: 7, OptionData: []byte{4, 203, 0, 113, 7}}, {}}
			return udp4(t, p1, ip, 20)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := leakRig(t)
			if c.prepare != nil {
				c.prepare(r)
			}
			r.inject(p1, c.packet(t))
			r.step()
			if d := r.drops(c.at); d[c.reason] != 1 || len(d) != 1 {
				t.Errorf("drops %v, want %s", d, c.reason)
			}
			if s := r.totals(lo1); s.LeakedIn != 0 || len(r.ports[p3].take()) != 0 {
				t.Error("leaked")
			}
			r.conserved()
		})
	}
}

// TestLeakReversePath: the check of the source in the namespace that a packet comes from, and by the loopback's setting in
// the one that it comes into, where strict wants a route back into just that namespace.
func TestLeakReversePath(t *testing.T) {
	for _, c := range []struct {
		source     string
		p1, lo1    setting.RPFilter
		at         nstable.DeviceID
		dropped    string
		ipv6, opts bool
	}{
		{source: "192.0.2.7", p1: setting.RPFilterStrict, lo1: setting.RPFilterStrict},
		{source: "192.0.2.7", p1: setting.RPFilterStrict, lo1: setting.RPFilterStrict, opts: true},
		{source: "2001:db8:a::7", p1: setting.RPFilterStrict, lo1: setting.RPFilterStrict, ipv6: true},
		{source: "203.0.113.8", p1: setting.RPFilterStrict, at: p1, dropped: "rp-filter"},
		{source: "203.0.113.8", p1: setting.RPFilterLoose, lo1: setting.RPFilterLoose},
		{source: "203.0.113.8", lo1: setting.RPFilterStrict, at: lo1, dropped: "rp-filter"},
		{source: "203.0.113.8", lo1: setting.RPFilterStrict, at: lo1, dropped: "rp-filter", opts: true},
		{source: "2001:db8:b::8", lo1: setting.RPFilterStrict, at: lo1, dropped: "rp-filter", ipv6: true},
		{source: "172.16.0.1", lo1: setting.RPFilterStrict, at: lo1, dropped: "rp-filter"}, // back into another one
		{source: "172.16.0.1", lo1: setting.RPFilterLoose},
		{source: "172.17.0.1", lo1: setting.RPFilterLoose, at: lo1, dropped: "rp-filter"},
	} {
		r := leakRig(t)
		r.view.Namespaces = append(r.view.Namespaces, &nstable.Namespace{ID: 2, FIB: fib.NewTable(fib.TableOptions{})})
		r.routeInto(1, "172.16.0.0/24", 2, 0)
		r.set(p1, func(s *setting.Device) { s.RPFilter = c.p1 })
		r.set(lo1, func(s *setting.Device) { s.RPFilter = c.lo1 })
		var b []byte
		if c.ipv6 {
			b = udp6(t, p1, ip6(c.source, "2001:db8:b::7", 64), 20)
		} else {
			ip := ip4(c.source, "203.0.113.7", 64)
			if c.opts {
				ip.Options = []layers.IPv4Option{{OptionType: 1}}
			}
			b = udp4(t, p1, ip, 20)
		}
		r.inject(p1, b)
		r.step()
		want := 1
		if c.dropped != "" {
			want = 0
			if d := r.drops(c.at); d[c.dropped] != 1 {
				t.Errorf("%+v: drops %v", c, d)
			}
		}
		if n := len(r.ports[p3].take()); n != want {
			t.Errorf("%+v: %d packets: %v %v", c, n, r.drops(p1), r.drops(lo1))
		}
		r.conserved()
	}
}

// TestLeakOptions: each namespace records its own address.
func TestLeakOptions(t *testing.T) {
	r := leakRig(t)
	ip := ip4("192.0.2.7", "203.0.113.7", 64)
	ip.Options = []layers.IPv4Option{{OptionType: 7, OptionLength: 15, OptionData: append([]byte{4}, make([]byte, 12)...)}, {}}
	r.inject(p1, udp4(t, p1, ip, 20))
	r.step()
	p := r.one(p3)
	h := header.IPv4(p.Data()[14:])
	got := layer[*layers.IPv4](t, p, layers.LayerTypeIPv4).Options[0].OptionData
	if !h.ChecksumOK() || !bytes.Equal(got, []byte{12, 10, 0, 1, 1, 10, 0, 1, 1, 0, 0, 0, 0}) {
		t.Errorf("recorded %v", got)
	}
	r.conserved()
}

// TestLeakEcho: the router's own addresses answer into the namespace that a request came from, large ones in fragments.
func TestLeakEcho(t *testing.T) {
	for _, size := range []int{8, 4000} {
		r := leakRig(t)
		ip := ip4("192.0.2.7", "198.18.1.1", 64)
		ip.Protocol = layers.IPProtocolICMPv4
		echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0), Id: 7, Seq: 9}
		request := packet(t, ethernetTo(p1, layers.EthernetTypeIPv4), ip, echo, gopacket.Payload(make([]byte, size)))
		for _, b := range cutFrames(request) {
			r.inject(p1, b)
		}
		r.step()
		got := 0
		for _, b := range r.ports[p1].take() {
			h := header.IPv4(b[14:])
			if h.TTL() != 63 || fib.Addr4(h.Source()).Netip().String() != "198.18.1.1" ||
				fib.Addr4(h.Destination()).Netip().String() != "192.0.2.7" || h.TotalLen() > 1500 || !h.ChecksumOK() {
				t.Errorf("answer %x", b)
			}
			got += h.TotalLen() - h.HeaderLen()
		}
		if got != size+8 {
			t.Errorf("%d bytes came back of %d: %v %v", got, size+8, r.drops(lo1), r.drops(lo0))
		}
		r.conserved()
	}
}

// cutFrames cuts a frame of IPv4 as a sender on a link of 1500 bytes does.
func cutFrames(b []byte) [][]byte {
	const most = 1480
	payload := b[34 : 14+header.IPv4(b[14:]).TotalLen()] // without padding
	var out [][]byte
	for at := 0; at < len(payload); at += most {
		n := min(most, len(payload)-at)
		f := append(append([]byte(nil), b[:34]...), payload[at:at+n]...)
		h := header.IPv4(f[14:])
		h.SetTotalLen(20 + n)
		h.SetFragment(at/8, at+n < len(payload))
		h.SetChecksum()
		out = append(out, f)
	}
	return out
}

// TestLeakFragments: what is larger than the MTU of the link in the other namespace is cut there, or here where the route
// says so.
func TestLeakFragments(t *testing.T) {
	for _, mtu := range []uint32{0, 600} {
		r := leakRig(t)
		r.routeInto(0, "203.0.113.0/24", 1, mtu)
		limit := int(mtu)
		if mtu == 0 {
			limit = 700
			r.change(p3, func(d *nstable.Device) { d.MTU = 700 })
		}
		r.inject(p1, udp4(t, p1, ip4("192.0.2.7", "203.0.113.7", 64), 1300))
		r.step()
		list := r.ports[p3].take()
		for _, b := range list {
			if h := header.IPv4(b[14:]); h.TotalLen() > limit || h.TTL() != 62 || !h.ChecksumOK() {
				t.Errorf("fragment %x", b[:34])
			}
		}
		if len(list) < 2 {
			t.Errorf("%d fragments", len(list))
		}
		r.conserved()
	}
}

// TestLeakNoAllocation: crossing allocates nothing.
func TestLeakNoAllocation(t *testing.T) {
	for name, template := range map[string][]byte{
		"ip4": udp4(t, p1, ip4("192.0.2.7", "203.0.113.7", 64), 22),
		"ip6": udp6(t, p1, ip6("2001:db8:a::7", "2001:db8:b::7", 64), 2),
	} {
		r := leakRig(t)
		r.loopBy(256, p3, template)
		r.w.now = r.now
		r.w.round()
		if n := testing.AllocsPerRun(100, func() { r.w.round() }); n != 0 {
			t.Errorf("%s: %v allocations a round", name, n)
		}
		if s := r.totals(p3); s.TxPackets == 0 {
			t.Errorf("%s: nothing crossed", name)
		}
	}
}

// TestLeakManyQueues: all queues of a worker may send what they receive into another namespace in the same round.
func TestLeakManyQueues(t *testing.T) {
	const queues = 3 * crossingLimit / vectorSize
	r := leakRigOf(t, 4096)
	var bound []*boundPort
	for q := range queues {
		bound = append(bound, &boundPort{Port: newMemPort(t, r.pool), dev: p1, queue: q})
	}
	r.w.removePort(p1)
	r.w.addPort(p1, bound)
	b := udp4(t, p1, ip4("192.0.2.7", "203.0.113.7", 64), 20)
	for _, port := range bound {
		m := port.Port.(*memPort)
		r.ports[p1] = m
		for range vectorSize {
			r.inject(p1, b)
		}
	}
	r.step()
	if n := len(r.ports[p3].take()); n != queues*vectorSize {
		t.Errorf("%d packets of %d: %v", n, queues*vectorSize, r.drops(p1))
	}
	r.conserved()
}
