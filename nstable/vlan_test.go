package nstable

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func (b *bench) vlan(ns, lower, name string, tag Tag, addrs ...string) {
	b.t.Helper()
	b.link(ns, LinkSpec{Name: name, Kind: VLAN, Lower: lower, Tag: tag}, addrs...)
}

func q(id uint16) Tag  { return Tag{VLAN8021Q, id} }
func ad(id uint16) Tag { return Tag{VLAN8021AD, id} }

// linkLine prints what matters here of a device.
func (b *bench) linkLine(ns, name string) string {
	b.t.Helper()
	l, err := b.Links(ns, name)
	b.ok(err)
	s := fmt.Sprintf("up=%v carrier=%v mtu=%d mac=%x", l[0].Up, l[0].Carrier, l[0].MTU, l[0].MAC[5])
	if l[0].Kind == VLAN {
		s += fmt.Sprintf(" %s on %s/%s lower up=%v", l[0].Tag, l[0].PeerNamespace, l[0].PeerName, l[0].PeerUp)
	}
	return s
}

// linkEvents takes the events of devices that a subscription has got.
func (b *bench) linkEvents(s *Subscription) string {
	return strings.Join(slices.DeleteFunc(b.events(s), func(e string) bool { return !strings.Contains(e, "link") }), "; ")
}

func TestVLAN(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p")
	b.vlan("init", "p", "p.5", q(5), "192.0.2.1/24")
	b.want(b.linkLine("init", "p.5"), "up=true carrier=true mtu=1500 mac=2 802.1Q id 5 on init/p lower up=true")
	b.vlan("init", "p", "s", ad(5))
	b.vlan("init", "s", "c", q(4094))
	add := func(s LinkSpec) error {
		s.Kind = VLAN
		_, err := b.AddLink("init", s)
		return err
	}
	before, stored := dump(b.Table), b.store.dump()
	b.refused(add(LinkSpec{Name: "x", Lower: "p", Tag: q(5)}), Exists, `"p.5" in namespace init`)
	b.refused(add(LinkSpec{Name: "p.5", Lower: "p", Tag: q(6)}), Exists, "p.5")
	b.refused(add(LinkSpec{Name: "x", Lower: "p", Tag: q(4095)}), Invalid, "4095")
	b.refused(add(LinkSpec{Name: "x", Lower: "p", Tag: Tag{0x9100, 5}}), Invalid, "0x9100")
	b.refused(add(LinkSpec{Name: "x", Lower: "nope", Tag: q(6)}), NotFound, "nope")
	b.refused(add(LinkSpec{Name: "x", Lower: "lo", Tag: q(6)}), Refused, "VLANs not supported on device lo")
	b.refused(add(LinkSpec{Name: "x", Lower: "c", Tag: q(6)}), Refused, "c has 2 tags already")
	b.refused(add(LinkSpec{Name: "x", Lower: "p", Tag: q(6), MTU: 1501}), Invalid, "1501 is more than the 1500 of p")
	b.store.setFull(true)
	b.refused(add(LinkSpec{Name: "x", Lower: "p", Tag: q(6)}), Storage, "no space")
	b.refused(b.DeleteLink("init", "s"), Storage, "no space")
	b.store.setFull(false)
	b.want(dump(b.Table), before)
	b.want(b.store.dump(), stored)
	b.reopen()
	b.want(dump(b.Table), before)
	// The data plane finds the devices by their tags.
	v := b.View()
	p := v.Device(b.deviceID("init", "p"))
	c := v.Device(b.deviceID("init", "c"))
	s := v.Device(c.Lower)
	if got := p.VLANs.Device(VLAN8021AD, 5); got != s.ID || c.Root != p.ID || s.Root != p.ID {
		t.Errorf("802.1ad id 5 of p is device %d; c is on %d and %d", got, c.Lower, c.Root)
	}
	if p.VLANs.Device(VLAN8021Q, 5) != b.deviceID("init", "p.5") || s.VLANs.Device(VLAN8021Q, 4094) != c.ID ||
		p.VLANs.Device(VLAN8021Q, 4094) != 0 || c.VLANs.Device(VLAN8021Q, 5) != 0 || s.VLANs.Device(VLAN8021AD, 5) != 0 {
		t.Error("wrong tables of VLANs")
	}
	b.ok(b.DeleteLink("init", "s"))
	b.want(linkNames(b, "init"), "lo p p.5")
	b.ok(add(LinkSpec{Name: "s", Lower: "p", Tag: ad(5)}))
	b.ok(b.DeleteLink("init", "p"))
	b.want(linkNames(b, "init"), "lo")
}

// TestVLANLink: a VLAN device has its carrier, MAC and MTU of the device below, and keeps routes while that is down.
func TestVLANLink(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p")
	b.vlan("init", "p", "s", ad(1), "192.0.2.1/24")
	b.vlan("init", "s", "c", q(2), "198.51.100.1/24")
	routes := func() int { return strings.Count(b.fibOf("init"), "dev c") }
	with := routes()
	s := b.subscribe("init")
	defer s.Close()
	b.ok(b.up("init", "p", false))
	b.want(b.linkEvents(s),
		"init +link p up=false carrier=true; init +link s up=true carrier=false; init +link c up=true carrier=false")
	b.want(b.linkLine("init", "c"), "up=true carrier=false mtu=1500 mac=2 802.1Q id 2 on init/s lower up=true")
	if n := routes(); n >= with {
		t.Errorf("%d of %d routes by c are used without its carrier", n, with)
	}
	b.ok(b.up("init", "p", true))
	if n := routes(); n != with {
		t.Errorf("%d of %d routes by c are used", n, with)
	}
	b.ok(b.SetCarrier(b.deviceID("init", "p"), false))
	b.want(b.linkLine("init", "c")[:21], "up=true carrier=false")
	b.ok(b.SetCarrier(b.deviceID("init", "p"), true))
	b.want(b.linkLine("init", "c")[:20], "up=true carrier=true")
	b.ok(b.up("init", "s", false))
	b.want(b.linkLine("init", "c")[:21], "up=true carrier=false")
	b.ok(b.SetCarrier(b.deviceID("init", "p"), false))
	b.ok(b.SetCarrier(b.deviceID("init", "p"), true))
	b.want(b.linkLine("init", "c")[:21], "up=true carrier=false")
	b.ok(b.up("init", "s", true))
	b.want(b.linkLine("init", "c")[:20], "up=true carrier=true")

	b.ok(b.SetLink("init", "p", LinkChange{MTU: 1400}))
	b.want(b.linkLine("init", "c"), "up=true carrier=true mtu=1400 mac=2 802.1Q id 2 on init/s lower up=true")
	b.refused(b.SetLink("init", "c", LinkChange{MTU: 1401}), Invalid, "1401 is more than the 1400 of s")
	b.ok(b.SetLink("init", "p", LinkChange{MTU: 1500}))
	b.want(b.linkLine("init", "s")[:29], "up=true carrier=true mtu=1400")
	b.ok(b.SetLink("init", "s", LinkChange{MTU: 1500}))
	b.ok(b.SetLink("init", "c", LinkChange{MTU: 1500}))
	if got := b.ports.config[b.deviceID("init", "p")]; got.MTU != 1504 || got.OtherMACs {
		t.Errorf("two tags and 1500 bytes: the host interface is configured %+v", got)
	}
	b.ok(b.addr("init", "c", "2001:db8::1/64"))
	b.refused(b.SetLink("init", "p", LinkChange{MTU: 1000}), Refused, "remove the IPv6 addresses of c first")

	b.ok(b.SetLink("init", "p", LinkChange{MAC: &[6]byte{2, 0, 0, 0, 0, 7}}))
	b.want(b.linkLine("init", "c")[30:35], "mac=7")
	b.want(b.addrsOf("init", "s"), "192.0.2.1/24, auto")
	b.ok(b.SetLink("init", "s", LinkChange{MAC: &[6]byte{2, 0, 0, 0, 0, 8}}))
	b.want(b.linkLine("init", "c")[30:35], "mac=8")
	if got := b.ports.config[b.deviceID("init", "p")]; !got.OtherMACs {
		t.Errorf("another MAC address: the host interface is configured %+v", got)
	}
	b.ok(b.SetLink("init", "p", LinkChange{MAC: &[6]byte{2, 0, 0, 0, 0, 9}}))
	b.want(b.linkLine("init", "s")[30:35], "mac=8")
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
	if got := b.ports.config[b.deviceID("init", "p")]; !got.OtherMACs || got.MTU != 1504 {
		t.Errorf("after a restart the host interface is configured %+v", got)
	}
	b.ok(b.DeleteLink("init", "s"))
	if got := b.ports.config[b.deviceID("init", "p")]; got.OtherMACs {
		t.Errorf("without VLANs the host interface is configured %+v", got)
	}
}

// TestVLANFollowsPort: an interface that comes back with another MAC address gives it to the VLAN devices too, stored or
// not.
func TestVLANFollowsPort(t *testing.T) {
	b := newBench(t)
	b.xdp("init", "p")
	b.vlan("init", "p", "p.5", q(5))
	id := b.deviceID("init", "p")
	b.ok(b.PortGone(id))
	b.want(b.linkLine("init", "p.5")[:21], "up=true carrier=false")
	b.ok(b.PortBack(id, PortInfo{MAC: [6]byte{2, 0, 0, 0, 0, 0x77}, MTU: 1500, Mode: ModeCopy, Queues: 1, Carrier: true}))
	b.want(b.linkLine("init", "p.5")[:35], "up=true carrier=true mtu=1500 mac=77"[:35])
	b.ok(b.SetLink("init", "p.5", LinkChange{MAC: &[6]byte{2, 0, 0, 0, 0, 0x55}}))
	if c, ok := b.PortConfig(id); !ok || c != (PortConfig{Up: true, MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 0, 0x77}, OtherMACs: true}) {
		t.Errorf("the host interface that is back is to be %+v, %v", c, ok)
	}
	if c, ok := b.PortConfig(b.deviceID("init", "p.5")); ok {
		t.Errorf("a VLAN device has a host interface: %+v", c)
	}
	b.ok(b.DeleteLink("init", "p.5"))
	b.vlan("init", "p", "p.5", q(5))
	b.ok(b.up("init", "p", false)) // stores the new address of p, and not that of p.5
	b.ok(b.up("init", "p", true))
	b.reopen()
	b.want(b.linkLine("init", "p.5")[:35], b.linkLine("init", "p")[:35])
}

// TestVLANNamespaces: a VLAN device leaves the device below it, and goes when that goes, wherever it is.
func TestVLANNamespaces(t *testing.T) {
	b := newBench(t)
	for _, ns := range []string{"red", "blue"} {
		b.ok(b.addNamespace(ns))
	}
	b.xdp("init", "p")
	b.vlan("init", "p", "five", q(5), "192.0.2.1/24")
	b.vlan("init", "p", "six", q(6))
	b.ok(b.SetLink("init", "five", LinkChange{Namespace: "red"}))
	b.want(b.linkLine("red", "five")[:21]+b.addrsOf("red", "five"), "up=false carrier=true")
	b.ok(b.up("red", "five", true))
	b.ok(b.addr("red", "five", "192.0.2.1/24"))
	// The port moves: what is on it stays where it is, without a link until the port is up again.
	s := b.subscribe("red")
	defer s.Close()
	b.ok(b.SetLink("init", "p", LinkChange{Namespace: "blue"}))
	b.want(b.linkEvents(s), "red +link five up=true carrier=false; red +link five up=true carrier=false")
	b.want(b.linkLine("red", "five"), "up=true carrier=false mtu=1500 mac=4 802.1Q id 5 on blue/p lower up=false")
	b.want(linkNames(b, "init")+" / "+linkNames(b, "blue"), "lo six / lo p")
	b.ok(b.up("blue", "p", true))
	b.want(b.linkLine("red", "five")[:20], "up=true carrier=true")
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
	// A namespace takes its VLAN devices along, not those of its ports.
	b.ok(b.DeleteNamespace("red"))
	b.want(linkNames(b, "blue"), "lo p")
	b.refused(b.up("init", "five", true), NotFound, "five")
	b.vlan("blue", "p", "five", q(5))
	b.vlan("blue", "five", "inner", q(1))
	b.ok(b.SetLink("blue", "five", LinkChange{Namespace: "init"}))
	b.ok(b.DeleteNamespace("blue")) // p goes home, inner is deleted
	b.want(linkNames(b, "init"), "lo p five six")
	if d := b.View().Device(b.deviceID("init", "five")); d.VLANs != nil {
		t.Error("five still has VLANs")
	}
	b.ok(b.addNamespace("red"))
	b.ok(b.SetLink("init", "six", LinkChange{Namespace: "red"}))
	b.ok(b.DeleteLink("init", "p"))
	b.want(linkNames(b, "init")+" / "+linkNames(b, "red"), "lo / lo")
}

// TestVLANPortFollows: with the VLAN devices on it goes what the port does for them, however they go.
func TestVLANPortFollows(t *testing.T) {
	for name, remove := range map[string]func(*bench) error{
		"link del":  func(b *bench) error { return b.DeleteLink("red", "s") },
		"netns del": func(b *bench) error { return b.DeleteNamespace("red") },
		"netns del, the port": func(b *bench) error {
			_ = b.SetLink("init", "p", LinkChange{Namespace: "red"})
			return b.DeleteNamespace("red")
		},
	} {
		b := newBench(t)
		b.ok(b.addNamespace("red"))
		b.xdp("init", "p")
		b.vlan("init", "p", "s", ad(1))
		b.vlan("init", "s", "c", q(2))
		b.ok(b.SetLink("init", "s", LinkChange{MAC: &[6]byte{2, 0, 0, 0, 0, 8}, Namespace: "red"}))
		b.ok(b.SetLink("init", "c", LinkChange{Namespace: "red"}))
		if got := b.ports.config[b.deviceID("init", "p")]; got.MTU != 1504 || !got.OtherMACs {
			t.Errorf("%s: with VLANs the host interface is configured %+v", name, got)
		}
		b.ok(remove(b))
		if got := b.ports.config[b.deviceID("init", "p")]; got.MTU != 1500 || got.OtherMACs {
			t.Errorf("%s: without VLANs the host interface is configured %+v", name, got)
		}
	}
}

// TestVLANVeth: both ends of a pair can have VLANs, which go with either.
func TestVLANVeth(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.link("init", LinkSpec{Name: "v", Kind: Veth, Peer: "w", PeerNamespace: "red"})
	b.vlan("init", "v", "v.5", q(5))
	b.vlan("red", "w", "w.5", q(5))
	b.want(b.linkLine("init", "v.5")[:21], "up=true carrier=false")
	b.ok(b.up("red", "w", true))
	b.want(b.linkLine("init", "v.5")[:20], "up=true carrier=true")
	b.ok(b.up("red", "w", false))
	b.want(b.linkLine("init", "v.5")[:21], "up=true carrier=false")
	b.ok(b.DeleteNamespace("red"))
	b.want(linkNames(b, "init"), "lo")
}

// TestVLANDamaged: a store with a VLAN device that could not have been made is refused.
func TestVLANDamaged(t *testing.T) {
	for name, damage := range map[string]func(b *bench, five, six *device){
		"no parent":     func(b *bench, five, _ *device) { five.lower = &device{id: 99} },
		"itself":        func(b *bench, five, _ *device) { five.lower = five },
		"a circle":      func(b *bench, five, six *device) { five.lower, six.lower = six, five },
		"twice":         func(b *bench, five, six *device) { five.tag = six.tag },
		"on lo":         func(b *bench, five, _ *device) { five.lower = b.byName["init"].byName["lo"] },
		"large MTU":     func(b *bench, five, _ *device) { five.mtu = 1501 },
		"no such tag":   func(b *bench, five, _ *device) { five.tag.Protocol = 0x9100 },
		"too many tags": func(b *bench, five, six *device) { six.lower = five; five.lower = b.byName["init"].byName["c"] },
	} {
		b := newBench(t)
		b.dummy("init", "d")
		b.vlan("init", "d", "s", ad(1))
		b.vlan("init", "s", "c", q(2))
		b.vlan("init", "d", "five", q(5))
		b.vlan("init", "d", "six", q(6))
		b.Close()
		five, six := *b.byName["init"].byName["five"], *b.byName["init"].byName["six"]
		damage(b, &five, &six)
		for _, d := range []*device{&five, &six} {
			_ = b.store.Commit([]Op{{BucketDevice, deviceKey(d.id), encodeDevice(d)}})
		}
		if _, err := Open(Options{Store: b.store}); KindOf(err) != Storage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
