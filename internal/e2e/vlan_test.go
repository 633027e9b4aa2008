package e2e

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/internal/corpus"
	"nsrouter/internal/lab"
)

// The kernel of the tests has no VLAN devices: hosts send and sniff tagged frames raw, and two ports of the router, joined
// by a veth pair of the host, carry VLANs to each other.

// tag puts a VLAN tag in front of the outermost EtherType of a frame.
func tag(frame []byte, protocol, tci uint16) []byte {
	t := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, protocol), tci)
	return slices.Insert(slices.Clone(frame), 12, t...)
}

const (
	customerTag = 0x8100
	serviceTag  = 0x88a8
)

// tagsIn lists the tags of a frame, the outer one first.
func tagsIn(frame []byte) (tags []string) {
	for at := 12; at+4 <= len(frame); at += 4 {
		protocol := binary.BigEndian.Uint16(frame[at:])
		if protocol != customerTag && protocol != serviceTag {
			break
		}
		tags = append(tags, fmt.Sprintf("%04x:%04x", protocol, binary.BigEndian.Uint16(frame[at+2:])))
	}
	return tags
}

// raw are two hosts that only send and sniff, on the ports p1 and p2.
func (w *world) raw() (at [3]*lab.Sniffer) {
	for n := 1; n <= 2; n++ {
		h := w.Host(fmt.Sprintf("raw%d", n))
		h.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
		w.Link(lab.End{Host: h, Name: "eth0", MAC: corpus.HostMAC(n).String()},
			lab.End{Host: w.r.Host, Name: fmt.Sprintf("p%d", n), MAC: corpus.RouterMAC(n).String()}, lab.LinkOptions{})
		at[n] = h.Sniff("eth0")
		w.r.Must(fmt.Sprintf("link add p%[1]d type xdp\nlink set p%[1]d up", n))
	}
	return at
}

// vlanProbe is an untagged frame of host 1 with a mark.
func vlanProbe(t *testing.T, n int, dst string, upper gopacket.SerializableLayer) []byte {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: []byte{10, 5, 0, 2}}
	ip.DstIP = netip.MustParseAddr(dst).AsSlice()
	switch u := upper.(type) {
	case *layers.UDP:
		_ = u.SetNetworkLayerForChecksum(ip)
	case *layers.ICMPv4:
		ip.Protocol = layers.IPProtocolICMPv4
	}
	return frame4(t, ip, upper, gopacket.Payload(vlanMark(n)))
}

// frame4 is a frame from host 1 to the router's port 1.
func frame4(t *testing.T, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	src, dst := corpus.HostMAC(1), corpus.RouterMAC(1)
	e := &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4}
	b := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, append([]gopacket.SerializableLayer{e}, l...)...); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b.Bytes())
}

func vlanMark(n int) []byte { return fmt.Appendf(nil, "vlan-probe-%08d", n) }

// TestVLANTags: what tags frames bear on the wire, coming and going, and what becomes of those that nobody wants.
func TestVLANTags(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	at := w.raw()
	w.r.Must(`
		netns add red
		link add link p1 name p1.5 type vlan id 5
		link add link p1 name s9 type vlan id 9 protocol 802.1ad
		link add link s9 name c5 type vlan id 5
		link add link p2 name p2.7 type vlan id 7
		link add link p2 name t8 type vlan id 8 protocol 802.1ad
		link add link t8 name d8 type vlan id 4094
		link set s9 up
		link set t8 up
		addr add 10.0.1.1/24 dev p1`)
	for dev, net := range map[string]string{"p1.5": "10.5.0", "p2.7": "10.7.0", "d8": "10.8.0", "c5": "10.6.0"} {
		n := 1
		if dev == "p2.7" || dev == "d8" {
			n = 2
		}
		w.r.Must(fmt.Sprintf("link set %[1]s netns red\n-n red link set %[1]s up\n-n red addr add %[2]s.1/24 dev %[1]s\n"+
			"-n red neigh add %[2]s.2 lladdr %[3]s dev %[1]s", dev, net, corpus.HostMAC(n)))
	}
	w.r.Must("neigh add 10.5.0.2 lladdr " + corpus.HostMAC(1).String() + " dev p1\nroute add 10.5.0.0/24 dev p1")
	udp := func() *layers.UDP { return &layers.UDP{SrcPort: 4000, DstPort: 4001} }
	echo := func() *layers.ICMPv4 {
		return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1}
	}
	for n, c := range []struct {
		name  string
		frame []byte
		at    int
		tags  string
	}{
		{"answered in its VLAN, without its priority", tag(vlanProbe(t, 0, "10.5.0.1", echo()), customerTag, 0xa005), 1, "8100:0005"},
		{"from VLAN to VLAN with its priority", tag(vlanProbe(t, 1, "10.7.0.2", udp()), customerTag, 0xb005), 2, "8100:b007"},
		{"from one tag to two", tag(vlanProbe(t, 2, "10.8.0.2", udp()), customerTag, 0x6005), 2, "88a8:6008 8100:6ffe"},
		{
			"from two tags to two", tag(tag(vlanProbe(t, 3, "10.8.0.2", udp()), customerTag, 0x3005), serviceTag, 0xa009), 2,
			"88a8:a008 8100:3ffe",
		},
		{
			"from two tags to one",
			tag(tag(vlanProbe(t, 4, "10.7.0.2", udp()), customerTag, 0x3005), serviceTag, 0xa009), 2, "8100:3007",
		},
		{"a priority tag, answered without", tag(vlanProbe(t, 5, "10.0.1.1", echo()), customerTag, 0xe000), 1, ""},
		{"untagged, answered so", vlanProbe(t, 6, "10.0.1.1", echo()), 1, ""},
	} {
		at[1].Send(c.frame)
		got, ok := at[c.at].Wait(5*time.Second, func(b []byte) bool { return strings.Contains(string(b), string(vlanMark(n))) })
		if tags := strings.Join(tagsIn(got.Data), " "); !ok || tags != c.tags {
			t.Errorf("%s: arrived %v with tags %q, want %q: %x", c.name, ok, tags, c.tags, got.Data)
		}
	}
	at[1].Send(tag(vlanProbe(t, 90, "10.7.0.2", udp()), customerTag, 6))
	at[1].Send(tag(vlanProbe(t, 91, "10.7.0.2", udp()), serviceTag, 5))
	at[1].Send(tag(tag(vlanProbe(t, 92, "10.7.0.2", udp()), customerTag, 6), serviceTag, 9))
	w.Eventually(5*time.Second, "unknown VLANs to be counted", func() bool {
		return w.link("init", "p1").Drops["unknown-vlan"] == 2 && w.link("init", "s9").Drops["unknown-vlan"] == 1
	})
	if out := w.r.Must("-d link show p1"); !strings.Contains(out, "rxvlan off") {
		t.Error(out)
	}
	if log := w.r.Log(); !strings.Contains(log, "VLAN tag stripping is off while the router has the interface: rx-vlan-hw-parse") {
		t.Errorf("the log does not say that tags stay:\n%s", log)
	}
	w.conserved()
}

// trunk joins two ports of the router, t1 and t2, by a veth pair of the host, and two hosts behind red and blue.
func (w *world) trunk(o lab.LinkOptions) (a, b *lab.Host) {
	w.r.Must("netns add red\nnetns add blue")
	w.Link(w.r.Host.End("t1"), w.r.Host.End("t2"), o)
	w.r.Must("link add t1 type xdp\nlink add t2 type xdp\nlink set t1 up\nlink set t2 up")
	return w.hostAs("a", "p1", 1, "red"), w.hostAs("b", "p2", 2, "blue")
}

// across routes between red and blue by two VLAN devices of init, which move there.
func (w *world) across(left, right string) {
	w.r.Must(fmt.Sprintf(`
		link set %[1]s netns red
		link set %[2]s netns blue
		-n red addr add 10.5.0.1/30 dev %[1]s
		-n blue addr add 10.5.0.2/30 dev %[2]s
		-n red addr add 2001:db8:5::1/64 dev %[1]s nodad
		-n blue addr add 2001:db8:5::2/64 dev %[2]s nodad
		-n red link set %[1]s up
		-n blue link set %[2]s up
		-n red route add 10.0.2.0/24 via 10.5.0.2
		-n blue route add 10.0.1.0/24 via 10.5.0.1
		-n red route add 2001:db8:2::/64 via 2001:db8:5::2
		-n blue route add 2001:db8:1::/64 via 2001:db8:5::1`, left, right))
}

// large sends packets of a size that must not be cut.
func (w *world) large(from *lab.Host, to string, size int) {
	w.t.Helper()
	payload := fmt.Sprint(size - 28)
	if res := from.Try("ping", "-n", "-M", "do", "-s", payload, "-c", "3", "-i", "0.1", "-W", "3", to); res.Status != 0 {
		w.t.Errorf("%d bytes from %s to %s: %s%s", size, from.Name, to, res.Stdout, res.Stderr)
	}
}

// TestVLANTrunk: two namespaces reach each other by a VLAN, by neighbours that they resolve there, in full packets; a
// second VLAN of the same trunk hears nothing of it. What the parent and the VLAN device count is the same.
func TestVLANTrunk(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	a, b := w.trunk(lab.LinkOptions{})
	w.r.Must(`
		link add link t1 name t1.5 type vlan id 5
		link add link t2 name t2.5 type vlan id 5
		link add link t2 name other type vlan id 6
		link set other up`)
	w.across("t1.5", "t2.5")
	w.ping(a, "10.0.2.2", 50)
	w.ping(b, "2001:db8:1::2", 50)
	w.large(a, "10.0.2.2", 1500)
	vlan, port, other := w.link("blue", "t2.5"), w.link("init", "t2"), w.link("init", "other")
	if vlan.Stats.Rx.Packets < 100 || vlan.Stats.Rx.Packets > port.Forwarding.Delivered || other.Stats.Rx.Packets > 20 {
		t.Errorf("t2.5 received %d packets, t2 passed on %d, another VLAN received %d", vlan.Stats.Rx.Packets,
			port.Forwarding.Delivered, other.Stats.Rx.Packets)
	}
	// The parent's link is theirs; their routes come back with it.
	w.r.Must("link set t1 down")
	w.silent(a, "10.0.2.2")
	if l := w.link("red", "t1.5"); l.OperState != "LOWERLAYERDOWN" {
		t.Errorf("t1.5 is %s", l.OperState)
	}
	w.r.Must("link set t1 up")
	w.ping(a, "10.0.2.2", 20)
	// All of it is there after a restart.
	w.conserved()
	w.r.Stop()
	w.r.Start()
	w.ping(a, "10.0.2.2", 20)
	w.ping(b, "2001:db8:1::2", 20)
	// The MTU of the trunk is theirs too.
	w.r.Must("link set t2 mtu 1400")
	if l := w.link("blue", "t2.5"); l.MTU != 1400 {
		t.Errorf("t2.5 has MTU %d", l.MTU)
	}
	w.r.Must("netns del red")
	if got := w.r.Must("link show type vlan") + w.r.Must("-n blue link show type vlan"); strings.Contains(got, "t1.5") {
		t.Error(got)
	}
	w.r.Must("link del t2")
	if got := w.r.Must("-n blue link show type vlan"); got != "" {
		t.Error(got)
	}
}

// TestVLANQinQ: two tags, with full packets: the router raises the MTU of its interfaces by what the second one needs.
func TestVLANQinQ(t *testing.T) {
	w := newWorld(t)
	a, b := w.trunk(lab.LinkOptions{})
	for n := 1; n <= 2; n++ {
		w.r.Must(fmt.Sprintf(`
			link add link t%[1]d name s%[1]d type vlan protocol 802.1ad id 100
			link add link s%[1]d name c%[1]d type vlan id 5
			link set s%[1]d up`, n))
	}
	w.across("c1", "c2")
	w.ping(a, "10.0.2.2", 30)
	w.ping(b, "2001:db8:1::2", 30)
	w.large(a, "10.0.2.2", 1500)
	w.large(b, "10.0.1.2", 1500)
	// As large as can be: the frame is full.
	for _, dev := range []string{"t1", "s1", "-n red c1", "-n red p1", "t2", "s2", "-n blue c2", "-n blue p2"} {
		netns, name := "", dev
		if at := strings.LastIndex(dev, " "); at > 0 {
			netns, name = dev[:at], dev[at+1:]
		}
		w.r.Must(netns + " link set " + name + " mtu 1770")
	}
	a.Run("ip", "link", "set", "eth0", "mtu", "1770")
	b.Run("ip", "link", "set", "eth0", "mtu", "1770")
	w.large(a, "10.0.2.2", 1770)
	for _, dev := range []string{"s1", "s2"} {
		if l := w.link("init", dev); l.Stats.Rx.Packets != l.Forwarding.Delivered+l.Stats.Rx.Dropped || l.Forwarding.Delivered < 60 {
			t.Errorf("%s: %+v %+v", dev, l.Stats, l.Forwarding)
		}
	}
	w.conserved()
}

// TestVLANInVeth: VLANs on a veth pair inside the daemon.
func TestVLANInVeth(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	w.r.Must(`
		netns add red
		netns add blue
		link add t1 type veth peer name t2
		link set t1 up
		link set t2 up
		link add link t1 name t1.5 type vlan id 5
		link add link t2 name t2.5 type vlan id 5`)
	a, b := w.hostAs("a", "p1", 1, "red"), w.hostAs("b", "p2", 2, "blue")
	w.across("t1.5", "t2.5")
	w.ping(a, "10.0.2.2", 50)
	w.ping(b, "2001:db8:1::2", 50)
	w.large(a, "10.0.2.2", 1500)
	w.conserved()
}

// TestVLANMoveUnderLoad: a VLAN device moves between namespaces while its frames come in. They are never heard on the
// wrong side, and no frame is lost track of; the port that they come in by stays where it is.
func TestVLANMoveUnderLoad(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	at := w.raw()
	w.r.Must("netns add red\nnetns add blue\nlink del p2\nlink add link p1 name v5 type vlan id 5\nlink set v5 netns red")
	b, c := w.hostAs("b", "p3", 3, "red"), w.hostAs("c", "p4", 3, "blue")
	atB, atC := b.Sniff("eth0"), c.Sniff("eth0")
	frame := tag(frame4(t, &layers.IPv4{
		Version: 4, TTL: 64, Protocol: 253, SrcIP: []byte{10, 0, 1, 2}, DstIP: []byte{10, 0, 3, 2},
	}, gopacket.Payload(vlanMark(0))), customerTag, 5)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(200 * time.Microsecond):
				at[1].Send(frame)
			}
		}
	}()
	arrive := func(ns string, s *lab.Sniffer) {
		t.Helper()
		w.r.Must(fmt.Sprintf("-n %[1]s addr add 10.0.1.1/24 dev v5\n-n %[1]s link set v5 up", ns))
		w.Eventually(5*time.Second, "traffic in "+ns, func() bool { return len(flooded(s)) > 50 })
	}
	arrive("red", atB)
	for i := range 5 {
		for _, m := range []struct {
			from, to string
			old, now *lab.Sniffer
		}{{"red", "blue", atB, atC}, {"blue", "red", atC, atB}} {
			w.r.Must(fmt.Sprintf("-n %s link set v5 netns %s", m.from, m.to))
			out := w.r.Must("-n " + m.to + " addr show dev v5")
			if strings.Contains(out, "10.0.1.1") || !strings.Contains(out, "DOWN") {
				t.Errorf("arrived as %s", out)
			}
			time.Sleep(20 * time.Millisecond) // what was on the veth arrives
			atB.Reset()
			atC.Reset()
			time.Sleep(50 * time.Millisecond)
			if n := len(flooded(atB)) + len(flooded(atC)); n != 0 {
				t.Errorf("move %d: %d frames while the device is down in %s", i, n, m.to)
			}
			arrive(m.to, m.now)
			if n := len(flooded(m.old)); n != 0 {
				t.Errorf("move %d: %d frames in %s after the device left", i, n, m.from)
			}
		}
	}
	close(end)
	<-ended
	w.conserved()
}
