package dataplane

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// rigHost is the Linux side of a device of a rig: nobody serves it but the test.
type rigHost struct {
	r    *rig
	link *hostLink
}

// join connects a device of a rig with Linux.
func (r *rig) join(dev nstable.DeviceID) *rigHost {
	h := &rigHost{r, &hostLink{dev: r.view.Devices[dev]}}
	r.w.look()
	r.w.setHost(dev, nil, h.link)
	return h
}

// take returns what Linux would receive.
func (h *rigHost) take() (frames [][]byte) {
	w := &h.r.w.toHost
	for item := w.ring.peek(); item != nil; item = w.ring.peek() {
		if item.link == h.link {
			frames = append(frames, bytes.Clone(w.whole(item.Desc, 0)))
		}
		h.r.w.cache.PutChain(item.Desc)
		if item.queue != nil { // not one of the test's own
			item.queue.written.Add(1)
		}
		w.ring.pop()
	}
	return frames
}

// tcp4 is a segment to the router's port.
func tcp4(t testing.TB, dev nstable.DeviceID, src, dst string, port layers.TCPPort, syn bool) []byte {
	ip := ip4(src, dst, 64)
	ip.Protocol = layers.IPProtocolTCP
	u := &layers.TCP{SrcPort: 1000, DstPort: port, SYN: syn, ACK: !syn}
	_ = u.SetNetworkLayerForChecksum(ip)
	return packet(t, ethernetTo(dev, layers.EthernetTypeIPv4), ip, u)
}

// grouped is a frame to a group of the link.
func grouped(b []byte, mac string) []byte {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		panic(err)
	}
	copy(b, hw)
	return b
}

// lldp is a frame of the link layer discovery protocol.
func lldp(t testing.TB) []byte {
	return grouped(packet(t, ethernetTo(p1, layers.EthernetTypeLinkLayerDiscovery), gopacket.Payload("lldp")), "01:80:c2:00:00:0e")
}

// isFrame tells whether got is frame b without the padding of a short one.
func isFrame(got, b []byte) bool { return len(got) > 20 && bytes.HasPrefix(b, got) }

// TestHostOutput: what goes to Linux as it came, and what does not.
func TestHostOutput(t *testing.T) {
	for name, c := range map[string]struct {
		frame func(*rig) []byte
		want  bool
	}{
		"TCP": {func(r *rig) []byte { return tcp4(r, p1, "10.0.1.2", "10.0.1.1", 80, true) }, true},
		"TCP to another device's address": {
			func(r *rig) []byte { return tcp4(r, p1, "10.0.1.2", "10.0.2.1", 80, true) }, true},
		"UDP":       {func(r *rig) []byte { return udp4(r, p1, ip4("10.0.1.2", "10.0.1.1", 64), 20) }, true},
		"UDP, IPv6": {func(r *rig) []byte { return udp6(r, p1, ip6("2001:db8:1::2", "2001:db8:1::1", 64), 20) }, true},
		"UDP to the link-local address": {
			func(r *rig) []byte { return udp6(r, p1, ip6("fe80::1:2", "fe80::1", 64), 20) }, true},
		"OSPF to its group": {func(r *rig) []byte {
			ip := ip4("10.0.1.2", "224.0.0.5", 1)
			ip.Protocol = layers.IPProtocolOSPF
			return grouped(packet(r, ethernetTo(p1, layers.EthernetTypeIPv4), ip, gopacket.Payload("hello")), "01:00:5e:00:00:05")
		}, true},
		"OSPFv3 to its group": {func(r *rig) []byte {
			ip := ip6("fe80::1:2", "ff02::5", 1)
			ip.NextHeader = layers.IPProtocolOSPF
			return grouped(packet(r, ethernetTo(p1, layers.EthernetTypeIPv6), ip, gopacket.Payload("hello")), "33:33:00:00:00:05")
		}, true},
		"DHCP of who has no address": {func(r *rig) []byte {
			return grouped(udp4(r, p1, ip4("0.0.0.0", "255.255.255.255", 64), 20), "ff:ff:ff:ff:ff:ff")
		}, true},
		"broadcast of the link": {func(r *rig) []byte {
			return grouped(udp4(r, p1, ip4("10.0.1.2", "10.0.1.255", 64), 20), "ff:ff:ff:ff:ff:ff")
		}, true},
		"LLDP": {func(r *rig) []byte { return lldp(r) }, true},
		"a fragment": {func(r *rig) []byte {
			ip := ip4("10.0.1.2", "10.0.1.1", 64)
			ip.FragOffset = 10
			return packet(r, ethernetTo(p1, layers.EthernetTypeIPv4), ip, gopacket.Payload("rest of it"))
		}, true},
		"an ICMP error": {func(r *rig) []byte {
			ip := ip4("10.0.1.2", "10.0.1.1", 64)
			ip.Protocol = layers.IPProtocolICMPv4
			return packet(r, ethernetTo(p1, layers.EthernetTypeIPv4), ip, &layers.ICMPv4{
				TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, 3)}, gopacket.Payload(make([]byte, 28)))
		}, true},
		"an echo request, which the router answers": {func(r *rig) []byte {
			ip := ip4("10.0.1.2", "10.0.1.1", 64)
			ip.Protocol = layers.IPProtocolICMPv4
			return packet(r, ethernetTo(p1, layers.EthernetTypeIPv4), ip, &layers.ICMPv4{
				TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)})
		}, false},
		"what is forwarded": {func(r *rig) []byte { return udp4(r, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20) }, false},
		"a group, from an own address": {func(r *rig) []byte {
			return grouped(udp4(r, p1, ip4("10.0.1.1", "224.0.0.9", 1), 20), "01:00:5e:00:00:09")
		}, false},
		"from no address": {func(r *rig) []byte { return udp4(r, p1, ip4("0.0.0.0", "10.0.1.1", 64), 20) }, false},
		"by another device": {func(r *rig) []byte {
			r.inject(p2, udp4(r, p2, ip4("10.0.2.2", "10.0.1.1", 64), 20))
			return udp4(r, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if name == "broadcast of the link" {
				r.route(0, "10.0.1.255/32", fib.NextHop{Kind: fib.Broadcast, Device: p1})
			}
			host := r.join(p1)
			b := c.frame(r)
			r.inject(p1, b)
			r.step()
			got := host.take()
			if c.want != (len(got) == 1 && isFrame(got[0], b)) || len(got) > 1 {
				t.Errorf("Linux receives %x\nof %x\ndrops %v", got, b, r.drops(p1))
			}
			r.conserved()
		})
	}
}

// TestHostMoved: a device that has moved is not that of the namespace in whose Linux namespace the TAP is.
func TestHostMoved(t *testing.T) {
	r := newRig(t)
	host := r.join(p1)
	r.change(p1, func(d *nstable.Device) { // as it is in another namespace
		d.Namespace = r.view.Namespaces[1]
		d.Neighbors = r.view.Devices[p3].Neighbors
	})
	r.inject(p1, tcp4(r, p1, "10.0.1.2", "10.0.1.1", 80, true))
	if !r.w.fromHost.put(r.w.mem, host.link, udp4(r, p1, ip4("10.0.1.1", "10.0.1.2", 64), 20)) {
		t.Fatal("no room")
	}
	r.step()
	if got, sent := host.take(), r.ports[p1].take(); len(got) != 0 || len(sent) != 0 {
		t.Errorf("Linux receives %x, the link %x", got, sent)
	}
	r.conserved()
}

// TestHostInput: what Linux sends leaves by the device as it is, unless that is down or it is longer than its MTU allows.
func TestHostInput(t *testing.T) {
	r := newRig(t)
	host := r.join(p1)
	b := udp4(r, p1, ip4("10.0.1.1", "10.0.1.2", 64), 20)
	for _, up := range []bool{true, false} {
		r.change(p1, func(d *nstable.Device) { d.Up = up })
		for range 3 {
			r.w.fromHost.put(r.w.mem, host.link, b)
		}
		r.step()
		sent := r.ports[p1].take()
		if up != (len(sent) == 3 && bytes.Equal(sent[2], b)) {
			t.Errorf("up %v: the link receives %x", up, sent)
		}
	}
	r.change(p1, func(d *nstable.Device) { d.Up, d.MTU = true, 1000 })
	for _, n := range []int{header.EthernetLen + 1000, header.EthernetLen + 1001} {
		r.w.fromHost.put(r.w.mem, host.link, append(b, make([]byte, n-len(b))...))
	}
	r.step()
	if sent := r.ports[p1].take(); len(sent) != 1 || len(sent[0]) != header.EthernetLen+1000 {
		t.Errorf("frames of an IP packet of MTU and of one byte more: the link receives %d", len(sent))
	}
	if !r.w.fromHost.put(r.w.mem, host.link, make([]byte, frame.MaxChain+1)) || r.w.fromHost.ring.len() != 0 {
		t.Error("a frame that is too long is kept")
	}
	r.conserved()
}

// TestHostShare: however much Linux has to send, in a round it is a batch, and the rest in the next ones.
func TestHostShare(t *testing.T) {
	r := newRig(t)
	a, b := r.join(p1), r.join(p2)
	frames := map[*rigHost][]byte{
		a: udp4(r, p1, ip4("10.0.1.1", "10.0.1.2", 64), 20), b: udp4(r, p2, ip4("10.0.2.1", "10.0.2.2", 64), 20),
	}
	const each = 100
	for k := range 2 * each {
		h := []*rigHost{a, b}[k/10%2]
		if !r.w.fromHost.put(r.w.mem, h.link, frames[h]) {
			t.Fatal("no room")
		}
	}
	for left := 2 * each; left > 0; left -= vectorSize {
		if n := r.w.takeHost(); n != min(vectorSize, left) {
			t.Fatalf("%d in a round, of %d", n, left)
		}
	}
	r.step()
	for _, dev := range []nstable.DeviceID{p1, p2} {
		if n := len(r.ports[dev].take()); n != each {
			t.Errorf("%d of %d frames leave by %d", n, each, dev)
		}
	}
	r.conserved()
}

// TestHostSilence: Linux does not speak ARP and neighbour discovery, and not on a VLAN of its choice.
func TestHostSilence(t *testing.T) {
	neighbor := func(typ uint8) []byte {
		ip := ip6("fe80::1", "fe80::2", 255)
		ip.NextHeader = layers.IPProtocolICMPv6
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}
		_ = m.SetNetworkLayerForChecksum(ip)
		return packet(t, ethernetTo(p1, layers.EthernetTypeIPv6), ip, m, gopacket.Payload(make([]byte, 20)))
	}
	for _, c := range []struct {
		name   string
		frame  []byte
		silent bool
	}{
		{"ARP", packet(t, ethernetTo(p1, layers.EthernetTypeARP), gopacket.Payload(make([]byte, 28))), true},
		{"solicitation", neighbor(layers.ICMPv6TypeNeighborSolicitation), true},
		{"advertisement", neighbor(layers.ICMPv6TypeNeighborAdvertisement), true},
		{"router advertisement", neighbor(layers.ICMPv6TypeRouterAdvertisement), false},
		{"UDP", udp6(t, p1, ip6("fe80::1", "fe80::2", 64), 20), false},
		{"nothing", nil, true},
		{"a header alone", make([]byte, header.EthernetLen), false},
		{"a tag", packet(t, ethernetTo(p1, layers.EthernetTypeDot1Q), &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4},
			gopacket.Payload(make([]byte, 28))), true},
		{"a service tag", packet(t, ethernetTo(p1, layers.EthernetTypeQinQ), gopacket.Payload(make([]byte, 28))), true},
	} {
		if got := mustNotSend(c.frame); got != c.silent {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestPuntClasses: a flood of one class leaves the others what is theirs, and a sender that floods leaves others of its
// class a share.
func TestPuntClasses(t *testing.T) {
	r := newRig(t)
	host := r.join(p1)
	r.limitNamespace(0, func(l *setting.Limits) {
		l.Rate[counters.PuntAnswer], l.Rate[counters.RoutingPunt], l.Rate[counters.StreamPunt] = 10, 10, 10
	})
	classes := map[string]func(src string) []byte{
		"UDP":            func(src string) []byte { return udp4(r, p1, ip4(src, "10.0.1.1", 64), 20) },
		"BGP":            func(src string) []byte { return tcp4(r, p1, src, "10.0.1.1", portBGP, false) },
		"a TCP segment":  func(src string) []byte { return tcp4(r, p1, src, "10.0.1.1", 22, false) },
		"BGP, beginning": func(src string) []byte { return tcp4(r, p1, src, "10.0.1.1", portBGP, true) },
	}
	send := func(what, src string, n int) (passed int) {
		b := classes[what](src)
		for range n {
			r.inject(p1, b)
			r.step()
			passed += len(host.take())
		}
		return passed
	}
	const flood = 500
	if got := send("UDP", "10.0.1.66", flood); got < puntShare || got > puntShare+2 {
		t.Errorf("of a flood pass %d, want its share and a token or so", got)
	}
	if got := send("UDP", "10.0.1.2", 20); got != 20 {
		t.Errorf("beside the flood of UDP pass %d of 20 of another sender", got)
	}
	// The flood's sender has no share left, but the other classes have tokens of their own.
	for _, what := range []string{"BGP", "a TCP segment"} {
		if got := send(what, "10.0.1.66", 1); got != 1 {
			t.Errorf("%s of the flood's sender does not pass", what)
		}
	}
	if got := r.totals(p1); got.Suppressed[counters.PuntAnswer] == 0 || r.drops(p1)["rate-limited"] == 0 {
		t.Errorf("suppressed %v, drops %v", got.Suppressed, r.drops(p1))
	}
	for what, want := range map[string]counters.Answer{
		"UDP": puntPurse, "BGP": routingPurse, "a TCP segment": streamPurse, "BGP, beginning": puntPurse,
	} {
		b := classes[what]("10.0.1.2")
		r.inject(p1, b)
		p := Packet{Addr: r.ports[p1].rx[0].Addr, Len: uint32(len(b))}
		if got := r.w.puntClass(&p); got != want {
			t.Errorf("%s is of class %v, want %v", what, got, want)
		}
		r.step()
		host.take()
	}
	r.conserved()
}

// TestHostQueues: a namespace whose packets Linux does not take leaves the others room, and its own routing protocols some.
func TestHostQueues(t *testing.T) {
	r := newRig(t)
	host, other := r.join(p1), r.join(p3)
	for ns := range nstable.NamespaceID(2) {
		r.limitNamespace(ns, func(l *setting.Limits) { clear(l.Rate[:]) })
	}
	begin := false
	send := func(dev nstable.DeviceID, port layers.TCPPort, n int) (passed uint64) {
		before := r.totals(dev).Delivered
		for range n {
			r.inject(dev, tcp4(r, dev, "10.0.1.2", "10.0.1.1", port, begin))
			r.step()
		}
		return r.totals(dev).Delivered - before
	}
	const quarter = handoffSize / 4
	begin = true
	if got := send(p1, 80, quarter); got != quarter/2 {
		t.Errorf("%d beginnings of connections wait of one namespace, want %d", got, quarter/2)
	}
	begin = false
	if got := quarter/2 + send(p1, 80, quarter); got != quarter {
		t.Errorf("%d wait of one namespace, want %d", got, quarter)
	}
	if got := send(p1, portBGP, quarter); got != quarter/2 {
		t.Errorf("and %d of its routing protocols, want %d", got, quarter/2)
	}
	if got := send(p3, 80, 10); got != 10 {
		t.Errorf("%d of 10 of another namespace pass", got)
	}
	host.take()
	if got := send(p1, 80, 10); got != 10 {
		t.Errorf("%d of 10 pass after Linux has taken the others", got)
	}
	other.take()
	r.conserved()
}

// TestHostFull: what Linux does not take in time is dropped, and counted. There is room left for connections when there is
// none for the beginning of one, and for routing protocols when there is none for those.
func TestHostFull(t *testing.T) {
	r := newRig(t)
	host := r.join(p1)
	classes := []struct {
		port layers.TCPPort
		syn  bool
	}{{80, true}, {80, false}, {portBGP, false}} // those for which there is least room first
	for full, waiting := range []int{0, handoffSize / 2, handoffSize * 3 / 4, handoffSize} {
		for class, c := range classes {
			for range waiting {
				r.w.toHost.ring.push(&hostItem{link: host.link})
			}
			before := r.drops(p1)["host-full"]
			r.inject(p1, tcp4(r, p1, "10.0.1.2", "10.0.1.1", c.port, c.syn))
			r.step()
			if dropped := r.drops(p1)["host-full"] - before; (dropped == 1) != (class < full) {
				t.Errorf("%d of %d wait: %d of %+v dropped", waiting, handoffSize, dropped, c)
			}
			for range waiting { // they have no frames
				r.w.toHost.ring.peek()
				r.w.toHost.ring.pop()
			}
			host.take()
		}
	}
	r.conserved()
}

// pipePort is a HostPort whose other side is the test.
type pipePort struct {
	out  chan []byte // what Linux sends
	stop chan struct{}

	mu  sync.Mutex
	got [][]byte
}

func newPipePort() *pipePort { return &pipePort{out: make(chan []byte), stop: make(chan struct{})} }

func (p *pipePort) ReadFrames(yield func([]byte)) error {
	for {
		select {
		case b := <-p.out:
			yield(b)
		case <-p.stop:
			return nil
		}
	}
}

func (p *pipePort) WriteFrames(frames [][]byte) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range frames {
		p.got = append(p.got, bytes.Clone(f))
	}
	return 0
}

func (p *pipePort) Interrupt() { close(p.stop) }

func (p *pipePort) received() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// TestSetHost: with real workers, frames go both ways, and none after SetHost has taken the port away.
func TestSetHost(t *testing.T) {
	r := newRig(t) // for its view
	r.view.Devices[p1].Counters, r.view.Devices[p1].Owner = counters.NewDevice(2), 1
	plane, err := New(Options{CPUs: []int{-1, -1}, Pool: r.pool, View: func() *nstable.View { return r.view }})
	if err != nil {
		t.Fatal(err)
	}
	wire := newMemPort(t, r.pool)
	if err := plane.AddPort(p1, []Port{wire}, nil); err != nil {
		t.Fatal(err)
	}
	port := newPipePort()
	plane.SetHost(r.view.Devices[p1], port)
	const count = 100
	for range count {
		port.out <- udp4(t, p1, ip4("10.0.1.1", "10.0.1.2", 64), 20)
	}
	eventually(t, "what Linux sends", func() bool { return wireTaken(plane, wire) >= count })
	in := tcp4(t, p1, "10.0.1.2", "10.0.1.1", 80, true)
	plane.workers[plane.defaultWorker(p1, 0)].call(func(w *Worker) {
		addr, _ := w.cache.Get()
		copy(r.pool.Bytes()[addr+frame0:], in)
		wire.rx = append(wire.rx, frame.Desc{Addr: addr + frame0, Len: uint32(len(in))})
	})
	eventually(t, "what Linux receives", func() bool {
		got := port.received()
		return len(got) == 1 && isFrame(got[0], in)
	})
	plane.SetHost(r.view.Devices[p1], nil)
	select {
	case port.out <- in:
		t.Error("Linux is still read")
	case <-time.After(10 * time.Millisecond):
	}
	if f := plane.Census(); f.Lost != 0 || f.Total != f.Free+f.Held+f.Pipeline+f.Queues {
		t.Errorf("census %+v", f)
	}
	if err := plane.RemovePort(p1, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	plane.Close()
}

// wireTaken is how many frames a port has transmitted so far.
func wireTaken(d *Dataplane, port *memPort) (n int) {
	d.workers[d.defaultWorker(p1, 0)].call(func(*Worker) { n = len(port.tx) })
	return n
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
