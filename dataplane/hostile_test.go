package dataplane

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// TestHeldWhileMoving: a packet waits for a neighbour when the device that it came in by goes to another namespace.
// Nothing about it is said there, neither at once nor when the neighbour is given up.
func TestHeldWhileMoving(t *testing.T) {
	for _, flush := range []bool{false, true} {
		r := newRig(t)
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.9", 64), 20))
		r.step()
		old := r.view.Devices[p1]
		if flush { // as the table does at a move
			r.w.forgetFrom(old)
			if r.drops(p1)["egress-down"] != 1 || r.w.neighbors.held != 0 {
				t.Errorf("drops %v, held %d", r.drops(p1), r.w.neighbors.held)
			}
		}
		moved := *old
		moved.Namespace = r.view.Namespaces[1]
		view := *r.view
		view.Devices = append([]*nstable.Device(nil), view.Devices...)
		view.Devices[p1] = &moved
		r.view = &view
		r.pass(5 * time.Second)
		for _, d := range []nstable.DeviceID{p1, p3} {
			if n := len(r.ports[d].take()); n != 0 {
				t.Errorf("device %d sent %d packets", d, n)
			}
		}
		r.conserved()
	}
}

// TestPadding: an answer to a short ARP request is padded with zeros, not with what the frame carried before.
func TestPadding(t *testing.T) {
	r := newRig(t)
	for i := range r.pool.Bytes() {
		r.pool.Bytes()[i] = 'S'
	}
	r.inject(p1, arp(t, p1, header.ARPRequest, hostMAC(p1), "10.0.1.2", "10.0.1.1")[:14+header.ARPLen])
	r.step()
	sent := r.ports[p1].take()[0]
	if len(sent) != minFrame || bytes.ContainsRune(sent, 'S') {
		t.Errorf("%d bytes: %q", len(sent), sent)
	}
}

// TestHandoffOfOwn: own packets of two namespaces come over in one go; each leaves by its device.
func TestHandoffOfOwn(t *testing.T) {
	r := newRig(t)
	for _, out := range []nstable.DeviceID{p1, p3, p1} {
		a, _ := r.w.cache.Get()
		r.w.inbox[0].push(&Packet{Addr: a + frame0, Len: minFrame, Out: out, Flags: Own, Next: transmit})
	}
	r.step()
	if a, b := len(r.ports[p1].take()), len(r.ports[p3].take()); a != 2 || b != 1 {
		t.Errorf("%d by p1, %d by p3", a, b)
	}
	r.conserved()
}

// TestMapped: IPv4-mapped IPv6 addresses meet neither IPv4's neighbours nor its routes.
func TestMapped(t *testing.T) {
	r := newRig(t)
	r.inject(p1, udp6(t, p1, ip6("::ffff:10.0.1.2", "2001:db8:2::2", 64), 20))
	r.inject(p1, udp6(t, p1, ip6("2001:db8:1::2", "::ffff:10.0.2.2", 64), 20))
	r.inject(p1, solicitation(t, p1, "2001:db8:1::7", "ff02::1:ff00:101", "::ffff:10.0.1.1", 255, true))
	ip := ip6("2001:db8:1::7", "2001:db8:1::1", 255)
	ip.NextHeader = layers.IPProtocolICMPv6
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)}
	_ = m.SetNetworkLayerForChecksum(ip)
	mac := header.MACBytes(0x0200000000ee)
	r.inject(p1, packet(t, ethernetTo(p1, layers.EthernetTypeIPv6), ip, m, &layers.ICMPv6NeighborAdvertisement{
		Flags: 0x60, TargetAddress: make([]byte, 16),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}},
	}))
	// gopacket writes no mapped target: put it in, and the checksum right.
	d := r.ports[p1].rx[3]
	h := header.IPv6(r.pool.Bytes()[d.Addr+14 : d.Addr+uint64(d.Len)])
	target := fib.Addr4(10<<24 | 1<<8 | 2)
	header.ND(h.Payload()).SetTarget(target.Hi, target.Lo)
	setICMPv6Checksum(h)
	r.step()
	for id, p := range r.ports {
		if n := len(p.take()); n != 0 {
			t.Errorf("device %d sent %d packets", id, n)
		}
	}
	if mac, _ := r.neighbor(p1, "10.0.1.2").MAC(); mac != hostMAC(p1) {
		t.Errorf("the IPv4 neighbour's MAC became %x", mac)
	}
	r.conserved()
}

// TestAnycast: the subnet-router anycast address is resolved, without override, and from a unicast address.
func TestAnycast(t *testing.T) {
	r := newRig(t)
	r.inject(p1, solicitation(t, p1, "2001:db8:1::7", "ff02::1:ff00:0", "2001:db8:1::", 255, true))
	r.step()
	p := r.one(p1)
	na := layer[*layers.ICMPv6NeighborAdvertisement](t, p, layers.LayerTypeICMPv6NeighborAdvertisement)
	ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
	if na.Flags != 0xc0 || na.TargetAddress.String() != "2001:db8:1::" || ip.SrcIP.String() != "2001:db8:1::1" {
		t.Errorf("%+v from %v", na, ip.SrcIP)
	}
	r.conserved()
}

// TestUnknownProtocol: the answer points at the byte that names the protocol, behind extension headers too.
func TestUnknownProtocol(t *testing.T) {
	for _, c := range []struct {
		next    layers.IPProtocol
		payload []byte
		pointer byte
	}{
		{253, make([]byte, 16), 6},
		{header.ExtDestination, append([]byte{253, 0, 1, 4, 0, 0, 0, 0}, make([]byte, 16)...), 40},
	} {
		r := newRig(t)
		ip := ip6("2001:db8:1::2", "2001:db8:1::1", 64)
		ip.NextHeader = c.next
		r.inject(p1, packet(t, ethernetTo(p1, layers.EthernetTypeIPv6), ip, gopacket.Payload(c.payload)))
		r.step()
		b := r.one(p1).Data()[14+40:]
		if b[0] != 4 || b[1] != 1 || b[7] != c.pointer {
			t.Errorf("%v: ICMPv6 %d/%d, pointer %d, want %d", c.next, b[0], b[1], b[7], c.pointer)
		}
		r.conserved()
	}
}

// TestCensusTogether: censuses that come together do not wait for each other's workers.
func TestCensusTogether(t *testing.T) {
	pool, err := frame.NewPool(1024)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	view := new(nstable.View)
	d, err := New(Options{CPUs: []int{-1, -1, -1}, Pool: pool, View: func() *nstable.View { return view }})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 200 {
				if f := d.Census(); f.Lost != 0 || f.Total != f.Free {
					t.Errorf("%+v", f)
					return
				}
			}
		})
	}
	wait.Wait()
	d.Close()
}

// TestNapGrows: a frame that the kernel never sends does not keep the worker awake.
func TestNapGrows(t *testing.T) {
	r := newRig(t)
	r.w.view = r.view
	a, _ := r.w.cache.Get()
	r.pool.Lend(a, r.ports[p1].owner)
	stuck := &stuckPort{memPort: r.ports[p1]}
	r.w.ports = []*boundPort{{Port: stuck, dev: p1}}
	for range 12 {
		r.w.flush()
		r.w.sleep()
	}
	if r.w.nap != time.Duration(tickInterval) {
		t.Errorf("the nap is %v", r.w.nap)
	}
}

// stuckPort has a frame that is never completed.
type stuckPort struct{ *memPort }

func (*stuckPort) Pending() int              { return 1 }
func (*stuckPort) Complete(*frame.Cache) int { return 0 }
