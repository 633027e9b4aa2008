package dataplane

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// routerSolicit is a router solicitation from a host behind p1, changed by edit, with the options given.
func routerSolicit(t testing.TB, src string, options []byte, edit func(*layers.IPv6, *layers.ICMPv6)) []byte {
	e := ethernetTo(p1, layers.EthernetTypeIPv6)
	ip := ip6(src, "ff02::2", 255)
	ip.NextHeader = layers.IPProtocolICMPv6
	m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(header.ICMPv6RouterSolicit, 0)}
	if edit != nil {
		edit(ip, m)
	}
	if ip.DstIP.IsMulticast() {
		e.DstMAC = []byte{0x33, 0x33, 0, 0, 0, 2}
	}
	_ = m.SetNetworkLayerForChecksum(ip)
	return packet(t, e, ip, m, gopacket.Payload(append(make([]byte, 4), options...)))
}

// TestRouterSolicit: what of a solicitation is valid (RFC 4861 6.1.1), what is learned from it (6.2.6), and that the
// control plane hears of the valid ones on devices that advertise.
func TestRouterSolicit(t *testing.T) {
	lla := []byte{1, 1, 2, 0, 0, 0, 0x0a, 1}
	none := fib.AddrOf(netip.MustParseAddr("fe80::77"))
	for _, c := range []struct {
		name    string
		src     string
		options []byte
		edit    func(*layers.IPv6, *layers.ICMPv6)
		valid   bool
		state   neigh.State // of fe80::77 afterwards
		known   bool
	}{
		{name: "plain", src: "fe80::77", options: lla, valid: true, known: true, state: neigh.Stale},
		{name: "without an option", src: "fe80::77", valid: true},
		{name: "no address yet", src: "::", valid: true},
		{name: "no address, but an option", src: "::", options: lla},
		{name: "unknown option", src: "fe80::77", options: append([]byte{99, 1, 0, 0, 0, 0, 0, 0}, lla...), valid: true,
			known: true, state: neigh.Stale},
		{name: "option of length 0", src: "fe80::77", options: []byte{99, 0, 0, 0, 0, 0, 0, 0}},
		{name: "cut option", src: "fe80::77", options: []byte{1, 2, 2, 0, 0, 0, 0x0a, 1}},
		{name: "group address", src: "fe80::77", options: []byte{1, 1, 3, 0, 0, 0, 0x0a, 1}},
		{name: "hop limit", src: "fe80::77", options: lla, edit: func(ip *layers.IPv6, _ *layers.ICMPv6) { ip.HopLimit = 254 }},
		{name: "code", src: "fe80::77", options: lla, edit: func(_ *layers.IPv6, m *layers.ICMPv6) {
			m.TypeCode = layers.CreateICMPv6TypeCode(header.ICMPv6RouterSolicit, 1)
		}},
		{name: "to the router", src: "fe80::77", options: lla, valid: true, known: true, state: neigh.Stale,
			edit: func(ip *layers.IPv6, _ *layers.ICMPv6) { ip.DstIP = netip.MustParseAddr("fe80::1").AsSlice() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			var heard []RouterSolicitation
			r.w.solicited = func(s RouterSolicitation) { heard = append(heard, s) }
			b := routerSolicit(t, c.src, c.options, c.edit)
			r.inject(p1, b)
			r.step()
			if len(heard) != 0 {
				t.Error("heard of a device that does not advertise")
			}
			s := *setting.Devices.Default()
			s.RA.Send = true
			r.view.Devices[p1].Settings = &s
			r.inject(p1, b)
			r.step()
			want := 0
			if c.valid {
				want = 1
			}
			if len(heard) != want || want == 1 && (heard[0].Device != p1 || heard[0].Namespace != r.view.Namespaces[0]) {
				t.Errorf("heard %v", heard)
			}
			if n := r.drops(p1)["bad-icmp"]; (n == 0) != c.valid {
				t.Errorf("%d dropped", n)
			}
			e := r.view.Devices[p1].Neighbors.Lookup(none)
			if (e != nil) != c.known || e != nil && (e.State() != c.state || e.Router.Load()) {
				t.Errorf("neighbour %+v", e)
			}
			r.conserved()
		})
	}
}

// TestRouterSolicitChecksum: a wrong checksum, and a message cut short.
func TestRouterSolicitChecksum(t *testing.T) {
	r := newRig(t)
	r.w.solicited = func(RouterSolicitation) { t.Error("heard") }
	b := routerSolicit(t, "fe80::77", nil, nil)
	b[len(b)-1] ^= 1
	r.inject(p1, b)
	r.step()
	if n := r.drops(p1)["bad-icmp"]; n != 1 {
		t.Errorf("%d dropped", n)
	}
	r.conserved()
}

// TestRouterSolicitUpdates: a host that has another MAC address now, and one that was taken for a router.
func TestRouterSolicitUpdates(t *testing.T) {
	r := newRig(t)
	e := r.view.Devices[p1].Neighbors.Add(fib.AddrOf(netip.MustParseAddr("fe80::77")), r.now)
	e.Set(neigh.Reachable, 0x020000000099, r.now)
	e.Router.Store(true)
	r.inject(p1, routerSolicit(t, "fe80::77", []byte{1, 1, 2, 0, 0, 0, 0x0a, 1}, nil))
	r.step()
	if mac, _ := e.MAC(); mac != 0x020000000a01 || e.State() != neigh.Stale || e.Router.Load() {
		t.Errorf("MAC %x, state %v, router %v", mac, e.State(), e.Router.Load())
	}
	r.conserved()
}

// TestSendToGroup: a message of the control plane's leaves by its device with hop limit 255 and a checksum; not by a
// device that is down, in another namespace, gone or of too small an MTU.
func TestSendToGroup(t *testing.T) {
	r := newRig(t)
	r.step() // takes up the view
	dev := r.view.Devices[p1]
	source, group := fib.AddrOf(netip.MustParseAddr("fe80::1")), fib.AddrOf(netip.MustParseAddr("ff02::1"))
	message := append([]byte{header.ICMPv6RouterAdvert, 0, 0xff, 0xff}, make([]byte, 12)...)
	message = append(message, 5, 1, 0, 0, 0, 0, 5, 220) // MTU 1500
	if !r.w.sendToGroup(dev, source, group, message) {
		t.Fatal("not sent")
	}
	r.w.flush()
	p := decode(t, r.ports[p1].take()[0])
	ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
	if ip.HopLimit != 255 || ip.SrcIP.String() != "fe80::1" || ip.DstIP.String() != "ff02::1" {
		t.Errorf("header %+v", ip)
	}
	e := layer[*layers.Ethernet](t, p, layers.LayerTypeEthernet)
	if e.DstMAC.String() != "33:33:00:00:00:01" || e.SrcMAC.String() != "02:00:00:00:00:01" {
		t.Errorf("link %v", e)
	}
	h := header.IPv6(ip.Contents)
	if sum := header.Fold(header.Sum(header.PseudoSum6(h, header.ProtoICMPv6, len(message)), ip.Payload)); sum != 0xffff {
		t.Errorf("checksum: sum %x", sum)
	}
	if !bytes.Equal(ip.Payload[4:], message[4:]) {
		t.Errorf("message %x", ip.Payload)
	}

	refused := func(why string) {
		t.Helper()
		if r.w.sendToGroup(dev, source, group, message) {
			t.Errorf("sent: %s", why)
		}
	}
	change := func(why string, edit func()) {
		t.Helper()
		now := *dev
		r.view.Devices[p1] = &now
		defer func() { r.view.Devices[p1] = dev }()
		edit()
		refused(why)
	}
	change("down", func() { r.view.Devices[p1].Up = false })
	change("no carrier", func() { r.view.Devices[p1].Carrier = false })
	change("moved", func() { r.view.Devices[p1].Namespace = r.view.Namespaces[1] })
	change("gone", func() { r.view.Devices[p1] = nil })
	message = make([]byte, 1461)
	refused("too long")
	message = message[:4]
	refused("too short")
	r.conserved()
	large := *dev
	large.MTU = 1 << 16
	r.view.Devices[p1] = &large
	if r.w.sendToGroup(&large, source, group, make([]byte, 2000)) {
		t.Error("sent: more than a frame holds")
	}
}

// TestRouterSolicitVLAN: a solicitation in a VLAN is the VLAN device's, in its namespace, and what is sent by that device
// has its tag. One in no VLAN is not.
func TestRouterSolicitVLAN(t *testing.T) {
	r := newRig(t)
	d := r.vlan(p1, q(7), 1, "2001:db8:7::1/64", "fe80::7/64")
	s := *d.Settings
	s.RA.Send = true
	d.Settings = &s
	var heard []RouterSolicitation
	r.w.solicited = func(s RouterSolicitation) { heard = append(heard, s) }
	b := routerSolicit(t, "fe80::77", nil, nil)
	r.inject(p1, b)
	r.inject(p1, tagged(b, customer(0, 8)))
	r.step()
	if len(heard) != 0 {
		t.Errorf("heard %v", heard)
	}
	r.inject(p1, tagged(b, customer(0, 7)))
	r.step()
	if len(heard) != 1 || heard[0] != (RouterSolicitation{Device: d.ID, Namespace: r.view.Namespaces[1]}) {
		t.Errorf("heard %v", heard)
	}
	message := append([]byte{header.ICMPv6RouterAdvert, 0, 0, 0}, make([]byte, 12)...)
	source, group := fib.AddrOf(netip.MustParseAddr("fe80::7")), fib.AddrOf(netip.MustParseAddr("ff02::1"))
	if !r.w.sendToGroup(d, source, group, message) {
		t.Fatal("not sent")
	}
	r.w.flush()
	sent := r.ports[p1].take()
	if len(sent) != 1 {
		t.Fatalf("%d frames sent", len(sent))
	}
	tags, rest := tagsOf(t, sent[0])
	if len(tags) != 1 || tags[0] != customer(0, 7) || rest[40] != header.ICMPv6RouterAdvert {
		t.Errorf("sent %x", sent[0])
	}
	r.conserved()
}
