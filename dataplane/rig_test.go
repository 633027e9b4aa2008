package dataplane

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/limit"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// memPort is a port without a kernel: it receives what a test puts in, and keeps what is transmitted until the test
// takes it.
type memPort struct {
	pool   *frame.Pool
	rx, tx []frame.Desc
	owner  frame.Owner
	refuse bool // the transmit ring is full
	sent   []uint64
}

func newMemPort(t testing.TB, pool *frame.Pool) *memPort {
	owner, err := pool.AddOwner()
	if err != nil {
		t.Fatal(err)
	}
	return &memPort{pool: pool, owner: owner}
}

func (m *memPort) Receive(d []frame.Desc) int {
	n := copy(d, m.rx)
	m.rx = m.rx[:copy(m.rx, m.rx[n:])]
	return n
}

func (m *memPort) Transmit(d []frame.Desc) int {
	if m.refuse {
		return 0
	}
	for _, x := range d {
		m.pool.Lend(x.Addr, m.owner)
		for x.Options&frame.Chained != 0 {
			x = frame.Next(m.pool.Bytes(), x)
			m.pool.Lend(x.Addr, m.owner)
		}
	}
	m.tx = append(m.tx, d...)
	return len(d)
}

func (m *memPort) Complete(c *frame.Cache) int {
	for _, a := range m.sent {
		m.pool.Return(a, m.owner)
		c.Put(a)
	}
	n := len(m.sent)
	m.sent = m.sent[:0]
	return n
}

func (m *memPort) Flush()                     {}
func (m *memPort) Pending() int               { return len(m.sent) }
func (m *memPort) Refill(*frame.Cache) int    { return 0 }
func (m *memPort) FD() int                    { return -1 }
func (m *memPort) Reclaim(c *frame.Cache) int { return m.pool.Reclaim(m.owner, c) }

// take returns the packets transmitted since the last call and completes them.
func (m *memPort) take() [][]byte {
	var out [][]byte
	mem := m.pool.Bytes()
	for _, d := range m.tx {
		b := make([]byte, frame.Length(mem, d))
		if n := frame.Read(mem, d, 0, b); n != len(b) {
			panic(fmt.Sprintf("a packet of %d bytes has %d", len(b), n))
		}
		out = append(out, b)
		m.sent = append(m.sent, d.Addr)
		for d.Options&frame.Chained != 0 {
			d = frame.Next(mem, d)
			m.sent = append(m.sent, d.Addr)
		}
	}
	m.tx = m.tx[:0]
	return out
}

// rig is a worker without a thread, stepped by the test, in a small world:
//
//	namespace 0: p1 10.0.1.1/24 2001:db8:1::1/64, p2 10.0.2.1/24 2001:db8:2::1/64, v1 (veth to v2) 10.0.9.1/24
//	namespace 1: p3 10.0.1.1/24 2001:db8:1::1/64, v2 10.0.9.2/24
//
// In each, 10.0.N.2 and 2001:db8:N::2 are neighbours of port N with MAC 02:00:00:00:01:N; 10.0.2.9 is a silent one.
type rig struct {
	ribs []*fib.RIB // by namespace
	testing.TB
	pool  *frame.Pool
	w     *Worker
	view  *nstable.View
	ports map[nstable.DeviceID]*memPort
	now   int64
}

const (
	p1 nstable.DeviceID = iota + 1
	p2
	p3
	v1
	v2
	dummy0
	numDevices
)

func newRig(t testing.TB) *rig { return newRigOf(t, 1024) }

// newRigOf is newRig with a number of frames.
func newRigOf(t testing.TB, frames int) *rig {
	pool, err := frame.NewPool(frames)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	r := &rig{TB: t, pool: pool, ports: make(map[nstable.DeviceID]*memPort), now: 1e12}
	r.view = &nstable.View{Devices: make([]*nstable.Device, numDevices)}
	for id := range nstable.NamespaceID(2) {
		r.view.Namespaces = append(r.view.Namespaces, &nstable.Namespace{ID: id, FIB: fib.NewTable(fib.TableOptions{})})
		up := func(fib.DeviceID) fib.LinkState { return fib.LinkState{Up: true, Carrier: true} }
		r.ribs = append(r.ribs, fib.NewRIB(up))
	}
	r.w, err = newWorker(0, -1, Options{CPUs: []int{-1}, Pool: pool, View: func() *nstable.View { return r.view },
		Epochs: new(fib.Epochs), NeighborChanged: func(nstable.DeviceID, *neigh.Entry, bool) {},
		AddressConflict: func(nstable.DeviceID, fib.Addr, [6]byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(r.w.wake.event) })
	r.w.peers = []*Worker{r.w}
	r.w.outbox = []*handoffRing{&r.w.inbox[0]}
	r.device(p1, nstable.XDP, 0, "10.0.1.1/24", "2001:db8:1::1/64", "fe80::1/64")
	r.device(p2, nstable.XDP, 0, "10.0.2.1/24", "2001:db8:2::1/64", "fe80::2/64")
	r.device(p3, nstable.XDP, 1, "10.0.1.1/24", "2001:db8:1::1/64", "fe80::1/64")
	r.device(v1, nstable.Veth, 0, "10.0.9.1/24", "fe80::9/64").Peer = v2
	r.device(v2, nstable.Veth, 1, "10.0.9.2/24", "fe80::9:2/64").Peer = v1
	r.device(dummy0, nstable.Dummy, 0, "10.0.7.1/24")
	for _, d := range []nstable.DeviceID{p1, p2, p3} {
		r.ports[d] = newMemPort(t, pool)
		r.w.addPort(d, []*boundPort{{Port: r.ports[d], dev: d}})
		n := "1"
		if d == p2 {
			n = "2"
		}
		for _, a := range []string{"10.0." + n + ".2", "2001:db8:" + n + "::2"} {
			e := r.view.Devices[d].Neighbors.Add(fib.AddrOf(netip.MustParseAddr(a)), r.now)
			e.Set(neigh.Reachable, hostMAC(d), r.now)
			e.Confirmed.Store(r.now)
		}
	}
	return r
}

// hostMAC is the address of the neighbour behind a port, deviceMAC the port's own.
func hostMAC(d nstable.DeviceID) uint64   { return 0x020000000100 | uint64(d) }
func deviceMAC(d nstable.DeviceID) uint64 { return 0x020000000000 | uint64(d) }

func (r *rig) device(id nstable.DeviceID, kind nstable.Kind, ns nstable.NamespaceID, addrs ...string) *nstable.Device {
	d := &nstable.Device{ID: id, Kind: kind, Namespace: r.view.Namespaces[ns], MAC: header.MACBytes(deviceMAC(id)),
		MTU: 1500, Up: true, Carrier: true, Neighbors: neigh.NewTable(), Counters: counters.NewDevice(1), Limits: new(limit.Set),
		Settings: setting.Devices.Default()}
	for _, s := range addrs {
		a := netip.MustParsePrefix(s)
		d.Addrs = append(d.Addrs, a)
		if a.Addr().IsLinkLocalUnicast() {
			continue
		}
		r.route(ns, a.Masked().String(), fib.NextHop{Kind: fib.Unicast, Device: id})
		r.route(ns, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()).String(), fib.NextHop{Kind: fib.Local, Device: id})
	}
	r.view.Devices[id] = d
	return d
}

// route puts a route by one next hop, or by several in equal shares.
func (r *rig) route(ns nstable.NamespaceID, prefix string, hops ...fib.NextHop) {
	r.Helper()
	p := netip.MustParsePrefix(prefix)
	r.setRoute(ns, p, hops...)
	r.install(ns, p)
}

func (r *rig) setRoute(ns nstable.NamespaceID, p netip.Prefix, hops ...fib.NextHop) {
	way := fib.Way{Kind: hops[0].Kind, MTU: hops[0].MTU}
	if a := hops[0].Source4; a != 0 {
		way.Source = fib.Addr4(a).Netip()
	}
	for _, h := range hops {
		l := fib.Leg{Device: h.Device, Weight: 1}
		if h.Gateway != (fib.Addr{}) {
			l.Gateway = h.Gateway.Netip()
		}
		way.Legs = append(way.Legs, l)
	}
	r.ribs[ns].Set(p, []*fib.Route{{Prefix: p, Way: r.ribs[ns].Way(way)}})
}

func (r *rig) install(ns nstable.NamespaceID, prefixes ...netip.Prefix) {
	r.Helper()
	if err := r.ribs[ns].Install(r.view.Namespaces[ns].FIB, prefixes); err != nil {
		r.Fatal(err)
	}
}

// inject lets a frame arrive at a port.
func (r *rig) inject(dev nstable.DeviceID, b []byte) {
	r.Helper()
	d, ok := r.w.cache.New(len(b))
	if !ok {
		r.Fatal("no free frame")
	}
	frame.Write(r.pool.Bytes(), d, b)
	r.ports[dev].rx = append(r.ports[dev].rx, d)
}

// injectPieces is inject for a packet in pieces of these sizes; the last has what is left.
func (r *rig) injectPieces(dev nstable.DeviceID, b []byte, sizes ...int) {
	r.Helper()
	var pieces []frame.Desc
	for k := 0; k <= len(sizes); k++ {
		n := len(b)
		if k < len(sizes) {
			n = min(n, sizes[k])
		}
		d, ok := r.w.cache.New(n)
		if !ok {
			r.Fatal("no free frame")
		}
		frame.Write(r.pool.Bytes(), d, b[:n])
		b = b[n:]
		pieces = append(pieces, d)
	}
	for k := len(pieces) - 1; k > 0; k-- {
		frame.Link(r.pool.Bytes(), pieces[k-1].Addr, pieces[k])
		pieces[k-1].Options = frame.Chained
	}
	r.ports[dev].rx = append(r.ports[dev].rx, pieces[0])
}

// step makes rounds until nothing moves.
func (r *rig) step() {
	for range 2 * maxCrossings {
		r.w.now = r.now
		if r.w.round() == 0 && len(r.w.crossings) == 0 {
			return
		}
	}
}

// conserved fails the test if a frame is lost, or if the counters of a device do not add up.
func (r *rig) conserved() {
	r.Helper()
	for _, p := range r.ports {
		p.take()
	}
	r.step()
	f := r.w.frames()
	free, pipeline := r.w.hostFrames()
	f.Free += free
	f.Pipeline += pipeline
	owners := r.pool.Census()
	if owners[frame.Worker] != f.Held+f.Pipeline || owners[frame.Free] != f.Free+r.pool.FreeInDepot() {
		r.Errorf("frames: owners %v, places %+v, depot %d", owners, f, r.pool.FreeInDepot())
	}
	for _, d := range r.view.Devices {
		if d == nil {
			continue
		}
		var s counters.Totals
		d.Counters.Sum(&s)
		if s.RxPackets != s.Forwarded+s.Delivered+s.Held+s.RxDropped() {
			r.Errorf("device %d: received %d, forwarded %d, delivered %d, held %d, dropped %d", d.ID,
				s.RxPackets, s.Forwarded, s.Delivered, s.Held, s.RxDropped())
		}
	}
}

func (r *rig) drops(dev nstable.DeviceID) map[string]uint64 {
	var s counters.Totals
	r.view.Devices[dev].Counters.Sum(&s)
	m := map[string]uint64{}
	for i, n := range s.Drops {
		if n > 0 {
			m[counters.Reason(i).String()] = n
		}
	}
	return m
}

// packet serializes layers with lengths and checksums.
func packet(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...); err != nil {
		t.Fatal(err)
	}
	return append([]byte(nil), b.Bytes()...)
}

func ethernetTo(dev nstable.DeviceID, typ layers.EthernetType) *layers.Ethernet {
	src, dst := header.MACBytes(hostMAC(dev)), header.MACBytes(deviceMAC(dev))
	return &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: typ}
}

func ip4(src, dst string, ttl uint8) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: ttl, Protocol: layers.IPProtocolUDP, SrcIP: netip.MustParseAddr(src).AsSlice(),
		DstIP: netip.MustParseAddr(dst).AsSlice()}
}

func ip6(src, dst string, hops uint8) *layers.IPv6 {
	return &layers.IPv6{
		Version:    6,
		HopLimit:   hops,
		NextHeader: layers.IPProtocolUDP,
		SrcIP:      netip.MustParseAddr(src).AsSlice(),
		DstIP:      netip.MustParseAddr(dst).AsSlice(),
	}
}

func udp4(t testing.TB, dev nstable.DeviceID, ip *layers.IPv4, payload int) []byte {
	u := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	_ = u.SetNetworkLayerForChecksum(ip)
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv4), ip, u, gopacket.Payload(make([]byte, payload)))
}

func udp6(t testing.TB, dev nstable.DeviceID, ip *layers.IPv6, payload int) []byte {
	u := &layers.UDP{SrcPort: 1000, DstPort: 2000}
	_ = u.SetNetworkLayerForChecksum(ip)
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv6), ip, u, gopacket.Payload(make([]byte, payload)))
}
