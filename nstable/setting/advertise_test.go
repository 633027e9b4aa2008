package setting

import (
	"net/netip"
	"testing"
)

// TestAdvertising: the defaults of RFC 4861 6.2.1, and what the words and lists stand for.
func TestAdvertising(t *testing.T) {
	d := Devices.Default()
	want := RA{
		Interval: 600, MinInterval: Auto, Lifetime: Auto, HopLimit: 64, MTU: DeviceMTU, OnLink: true, Autonomous: true,
		ValidLifetime: 2592000, PreferredLifetime: 604800,
	}
	if d.RA != want {
		t.Errorf("default %+v, want %+v", d.RA, want)
	}
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	for _, c := range []struct {
		name, value, shown string // shown "": refused
		want               func(*RA)
	}{
		{"ra", "on", "on", func(r *RA) { r.Send = true }},
		{"ra-interval", "4", "4", func(r *RA) { r.Interval = 4 }},
		{"ra-interval", "3", "", nil},
		{"ra-interval", "1801", "", nil},
		{"ra-interval", "auto", "", nil},
		{"ra-min-interval", "3", "3", func(r *RA) { r.MinInterval = 3 }},
		{"ra-min-interval", "auto", "auto", func(r *RA) { r.MinInterval = Auto }},
		{"ra-min-interval", "2", "", nil},
		{"ra-lifetime", "0", "0", func(r *RA) { r.Lifetime = 0 }},
		{"ra-lifetime", "9001", "", nil},
		{"ra-mtu", "off", "off", func(r *RA) { r.MTU = 0 }},
		{"ra-mtu", "1280", "1280", func(r *RA) { r.MTU = 1280 }},
		{"ra-mtu", "1279", "", nil},
		{"ra-mtu", "device", "device", func(r *RA) { r.MTU = DeviceMTU }},
		{"ra-hop-limit", "256", "", nil},
		{"ra-reachable-time", "3600001", "", nil},
		{"ra-preference", "low", "low", func(r *RA) { r.Preference = PreferenceLow }},
		{"ra-on-link", "off", "off", func(r *RA) { r.OnLink = false }},
		{"ra-valid-lifetime", "infinity", "infinity", func(r *RA) { r.ValidLifetime = Infinity }},
		{"ra-valid-lifetime", "4294967295", "", nil},
		{"ra-rdnss", "2001:DB8::1,2001:db8:0::2", "2001:db8::1,2001:db8::2", func(r *RA) { r.RDNSS = Servers{one, two} }},
		{"ra-rdnss", "none", "none", func(r *RA) { r.RDNSS = Servers{} }},
		{"ra-rdnss", "", "", nil},
		{"ra-rdnss", "192.0.2.1", "", nil},
		{"ra-rdnss", "::ffff:192.0.2.1", "", nil},
		{"ra-rdnss", "fe80::1%eth0", "", nil},
		{"ra-rdnss", "ff02::1", "", nil},
		{"ra-rdnss", "2001:db8::1,", "", nil},
		{"ra-rdnss", "::1,::2,::3,::4,::5", "", nil},
	} {
		d, after := Devices.Default(), want
		err := Devices.Set(d, c.name, c.value)
		if c.want != nil {
			c.want(&after)
		}
		if d.RA != after || (err == nil) != (c.shown != "") {
			t.Errorf("%s %s: %+v, %v", c.name, c.value, d.RA, err)
		}
		if v, err := Devices.Parse(c.name, c.value); v.Value != c.shown {
			t.Errorf("%s %s is shown as %q: %v", c.name, c.value, v.Value, err)
		}
	}
}
