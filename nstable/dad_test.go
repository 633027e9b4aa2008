package nstable

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/nstable/setting"
)

// detecting is a bench that tries addresses, with a host interface p1 that is up.
func detecting(t *testing.T) (*bench, DeviceID) {
	b := newBench(t)
	b.detect = true
	b.reopen()
	_, err := b.AddLink("init", LinkSpec{Name: "p1", Kind: XDP, XDP: XDPSpec{Host: "p1"}})
	b.ok(err)
	b.ok(b.up("init", "p1", true))
	return b, b.deviceID("init", "p1")
}

// probing is what the data plane is asked to try.
func (b *bench) probing(id DeviceID) string {
	var out []string
	for _, p := range b.View().Device(id).Probing {
		out = append(out, fmt.Sprintf("%s x%d delay %v", p.Addr, p.Transmits, p.Delay))
	}
	return strings.Join(out, ", ")
}

// result tells the result of the trial of an address, and waits until the table has heard it.
func (b *bench) result(id DeviceID, addr string, duplicate bool) {
	b.t.Helper()
	for _, p := range b.View().Device(id).Probing {
		if p.Addr.String() == addr {
			b.AddressProbed(ProbeResult{Device: id, Round: p.Round, Duplicate: duplicate, MAC: [6]byte{2, 0, 0, 0, 0, 9}})
			for range 1000 {
				if !strings.Contains(b.probing(id), addr+" ") {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}
	}
	b.t.Fatalf("%s is not tried, or for ever: %s", addr, b.probing(id))
}

// ownRoutes are the local and anycast routes of IPv6 by a device, which make it answer.
func (b *bench) ownRoutes(dev string) string {
	var out []string
	b.ok(b.Routes("init", RouteRange{}, func(r *RouteInfo) error {
		if r.Prefix.Addr().Is6() && devicesOf(r) == dev {
			out = append(out, r.Prefix.String())
		}
		return nil
	}))
	slices.Sort(out)
	return strings.Join(out, " ")
}

const lla = "fe80::ff:fe00:2"

// TestTentative: an address is the router's own when its trial is through, and is announced at every step.
func TestTentative(t *testing.T) {
	b, id := detecting(t)
	b.want(b.probing(id), lla+" x1 delay true")
	s := b.subscribe("init")
	defer s.Close()
	b.ok(b.addr("init", "p1", "10.0.0.1/24"))
	b.ok(b.addr("init", "p1", "2001:db8::1/64"))
	b.want(b.probing(id), "2001:db8::1 x1 delay false, "+lla+" x1 delay true")
	b.want(b.addrsOf("init", "p1"), "10.0.0.1/24, 2001:db8::1/64 tentative, auto tentative")
	if got := fmt.Sprint(b.View().Device(id).Addrs); got != "[10.0.0.1/24]" {
		t.Errorf("the data plane has %s", got)
	}
	b.want(b.ownRoutes("p1"), "2001:db8::/64 fe80::/64")
	b.events(s)
	b.result(id, "2001:db8::1", false)
	b.want(strings.Join(b.events(s), ", "), "init +route 2001:db8::1/128 dev p1 kind 1, "+
		"init +route 2001:db8::/128 dev p1 kind 3, init +addr p1 2001:db8::1/64")
	b.want(b.addrsOf("init", "p1"), "10.0.0.1/24, 2001:db8::1/64, auto tentative")
	b.result(id, lla, false)
	b.want(b.addrsOf("init", "p1"), "10.0.0.1/24, 2001:db8::1/64, auto")
	b.want(b.probing(id), "")
	b.want(b.ownRoutes("p1"), "2001:db8::/128 2001:db8::/64 2001:db8::1/128 fe80::/128 fe80::/64 "+lla+"/128")
	if len(b.View().Probing) != 0 {
		t.Errorf("the view names %v", b.View().Probing)
	}
	// Down and up again: all are tried again, and again after a restart.
	b.ok(b.up("init", "p1", false))
	b.want(b.addrsOf("init", "p1"), "10.0.0.1/24, 2001:db8::1/64 tentative")
	b.want(b.probing(id), "")
	b.ok(b.up("init", "p1", true))
	b.want(b.probing(id), "2001:db8::1 x1 delay true, "+lla+" x1 delay true")
	b.reopen()
	b.want(b.probing(id), "2001:db8::1 x1 delay true, "+lla+" x1 delay true")
}

// TestDADFailed: an address that another node has stays, unused, and is tried again when the device comes up.
func TestDADFailed(t *testing.T) {
	b, id := detecting(t)
	b.ok(b.addr("init", "p1", "2001:db8::1/64"))
	b.result(id, lla, false)
	round := b.View().Device(id).Probing[0].Round
	b.result(id, "2001:db8::1", true)
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64 dadfailed tentative, auto")
	b.want(b.ownRoutes("p1"), "2001:db8::/64 fe80::/128 fe80::/64 "+lla+"/128")
	if len(b.logged) != 1 || !strings.Contains(b.logged[0], "2001:db8::1") || !strings.Contains(b.logged[0], "02:00:00:00:00:09") {
		t.Errorf("logged %q", b.logged)
	}
	b.AddressProbed(ProbeResult{Device: id, Round: round}) // too late, and of a device that is not there
	b.AddressProbed(ProbeResult{Device: 99, Round: round})
	b.ok(b.addr("init", "p1", "2001:db8:1::1/64"))
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64 dadfailed tentative, 2001:db8:1::1/64 tentative, auto")
	b.ok(b.up("init", "p1", false))
	b.ok(b.up("init", "p1", true))
	b.AddressProbed(ProbeResult{Device: id, Round: round})
	b.result(id, "2001:db8::1", false)
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64, 2001:db8:1::1/64 tentative, auto tentative")
}

// TestNoDAD: what is used at once: by the word nodad, which is kept, by settings, and by the kind of the device.
func TestNoDAD(t *testing.T) {
	b, id := detecting(t)
	b.result(id, lla, false)
	spec := AddressSpec{Prefix: netip.MustParsePrefix("2001:db8::1/64"), NoDAD: true}
	b.ok(b.Do(func(tx *Tx) error { return tx.AddAddress("init", "p1", spec) }))
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64 nodad, auto")
	b.reopen()
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64 nodad, auto tentative")
	spec.NoDAD = false
	b.ok(b.Do(func(tx *Tx) error { return tx.ReplaceAddress("init", "p1", spec) }))
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64, auto tentative") // it was in use
	b.ok(b.addr("init", "p1", "2001:db8::2/64"))
	spec = AddressSpec{Prefix: netip.MustParsePrefix("2001:db8::2/64"), NoDAD: true}
	b.ok(b.SetLink("init", "p1", LinkChange{Settings: []setting.Value{{Name: "ndisc-notify", Value: "on"}}}))
	b.datapath.take()
	b.ok(b.Do(func(tx *Tx) error { return tx.ReplaceAddress("init", "p1", spec) }))
	b.want(b.addrsOf("init", "p1"), "2001:db8::1/64, 2001:db8::2/64 nodad, auto tentative")
	if got := b.datapath.take(); !slices.Contains(got, "announce p1@init [2001:db8::2]") {
		t.Errorf("an address comes into use: %q", got)
	}
	for _, off := range []string{"dad-transmits", "accept-dad"} {
		b.ok(b.SetLink("init", "p1", LinkChange{Settings: []setting.Value{{Name: off, Value: "0"}}}))
		b.ok(b.up("init", "p1", false))
		b.ok(b.up("init", "p1", true))
		b.want(b.addrsOf("init", "p1"), "2001:db8::1/64, 2001:db8::2/64 nodad, auto")
		b.ok(b.SetLink("init", "p1", LinkChange{Settings: []setting.Value{{Name: off, Value: "1"}}}))
	}
	b.ok(b.SetLink("init", "p1", LinkChange{Settings: []setting.Value{{Name: "dad-transmits", Value: "3"}}}))
	b.ok(b.addr("init", "p1", "2001:db8::3/64"))
	b.want(b.probing(id), "2001:db8::3 x3 delay false")
	b.dummy("init", "d0", "2001:db8:7::1/64")
	b.want(b.addrsOf("init", "d0"), "2001:db8:7::1/64, auto")
	b.want(b.addrsOf("init", "lo"), "127.0.0.1/8, ::1/128")
}

// TestTentativeWithoutCarrier: an address is not tried on a link that is not there.
func TestTentativeWithoutCarrier(t *testing.T) {
	b, id := detecting(t)
	b.SetCarrier(id, false)
	b.want(b.probing(id), "")
	b.want(b.addrsOf("init", "p1"), "auto tentative")
	b.SetCarrier(id, true)
	b.want(b.probing(id), lla+" x1 delay true")
	b.result(id, lla, false)
	b.SetCarrier(id, false)
	b.SetCarrier(id, true)
	b.want(b.addrsOf("init", "p1"), "auto") // once is enough while the device is up (addrconf_notify)
}

// TestTentativeUnstored: what the link says is heard also while nothing can be stored.
func TestTentativeUnstored(t *testing.T) {
	b, id := detecting(t)
	b.store.setFull(true)
	b.result(id, lla, false)
	b.want(b.addrsOf("init", "p1"), "auto")
	b.store.setFull(false)
}
