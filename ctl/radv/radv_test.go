package radv

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mdlayher/ndp"

	"nsrouter/dataplane"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// heard is an advertisement as hosts hear it.
type heard struct {
	at     time.Duration // since the start
	dev    nstable.DeviceID
	source string
	ra     *ndp.RouterAdvertisement
	raw    []byte
}

// world is a server with a fake clock, a table of one namespace or two, and a link.
type world struct {
	*testing.T
	s     *Server
	start time.Time
	view  *nstable.View
	heard []heard
	down  bool // the workers do not send
}

// run runs a test in a bubble with its own clock.
func run(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, start: time.Now(), view: &nstable.View{Namespaces: []*nstable.Namespace{{}, {ID: 1}}}}
		w.s = New(Options{Send: w.send, Log: func(msg string, err error) { t.Errorf("%s: %v", msg, err) }})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.s.Run(ctx)
		}()
		f(w)
		cancel()
		<-ended
	})
}

func (w *world) send(dev *nstable.Device, source, group netip.Addr, message []byte) bool {
	if w.down {
		return false
	}
	m, err := ndp.ParseMessage(message)
	if err != nil {
		w.Fatal(err)
	}
	if group != netip.MustParseAddr("ff02::1") {
		w.Errorf("sent to %s", group)
	}
	w.heard = append(w.heard, heard{
		time.Since(w.start), dev.ID, source.String(), m.(*ndp.RouterAdvertisement), slices.Clone(message),
	})
	return true
}

// publish shows the server a new view, in which a device is what change makes of it; nil removes it.
func (w *world) publish(id nstable.DeviceID, change func(*nstable.Device)) {
	old := w.view
	next := *old
	next.Devices = slices.Clone(old.Devices)
	for int(id) >= len(next.Devices) {
		next.Devices = append(next.Devices, nil)
	}
	if change == nil {
		next.Devices[id] = nil
	} else {
		d := nstable.Device{
			ID: id, Kind: nstable.XDP, Namespace: w.view.Namespaces[0], MAC: [6]byte{2, 0, 0, 0, 0, byte(id)}, MTU: 1500,
			Up: true, Carrier: true, Settings: setting.Devices.Default(), Addrs: []netip.Prefix{
				netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::1/64", id)),
				netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", id)),
			},
		}
		if old := next.Devices[id]; old != nil {
			d = *old
		}
		change(&d)
		next.Devices[id] = &d
	}
	w.s.Publishing(old, &next)
	w.view = &next
}

// set changes settings of a device.
func (w *world) set(id nstable.DeviceID, pairs ...string) {
	w.publish(id, func(d *nstable.Device) {
		s := *d.Settings
		for i := 0; i < len(pairs); i += 2 {
			if err := setting.Devices.Set(&s, pairs[i], pairs[i+1]); err != nil {
				w.Fatal(err)
			}
		}
		d.Settings = &s
	})
}

// after lets time pass and returns what was heard meanwhile.
func (w *world) after(d time.Duration) []heard {
	time.Sleep(d)
	synctest.Wait()
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	out := w.heard
	w.heard = nil
	return out
}

func (w *world) solicit(id nstable.DeviceID, ns int) {
	w.s.Solicited(dataplane.RouterSolicitation{Device: id, Namespace: w.view.Namespaces[ns]})
	synctest.Wait()
}

// TestOff: nothing is sent by a device that is not set to, has no link, no link-local address, or is no link at all.
func TestOff(t *testing.T) {
	run(t, func(w *world) {
		w.publish(1, func(*nstable.Device) {})
		w.set(2, "ra", "on")
		w.publish(2, func(d *nstable.Device) { d.Carrier = false })
		w.after(0)
		w.publish(3, func(d *nstable.Device) { d.Addrs = d.Addrs[:2] })
		w.set(3, "ra", "on")
		w.publish(4, func(d *nstable.Device) { d.Kind = nstable.Dummy })
		w.set(4, "ra", "on")
		w.solicit(1, 0)
		if got := w.after(time.Hour); len(got) != 0 {
			t.Errorf("heard %+v", got)
		}
	})
}

// TestSchedule: the first three come within 16 seconds of each other, the others at random intervals of 200 to 600
// seconds (RFC 4861 6.2.4).
func TestSchedule(t *testing.T) {
	run(t, func(w *world) {
		w.set(1, "ra", "on")
		got := w.after(200 * time.Hour)
		if len(got) < 1000 {
			t.Fatalf("%d advertisements in 200 hours", len(got))
		}
		if got[0].at > maxResponseDelay {
			t.Errorf("the first after %v", got[0].at)
		}
		least, most := time.Hour, time.Duration(0)
		for i := range got[1:] {
			gap := got[i+1].at - got[i].at
			switch {
			case i < 2 && gap != 16*time.Second:
				t.Errorf("initial interval %d: %v", i, gap)
			case i >= 2:
				least, most = min(least, gap), max(most, gap)
			}
		}
		if least < 200*time.Second || least > 210*time.Second || most > 600*time.Second || most < 590*time.Second {
			t.Errorf("intervals from %v to %v", least, most)
		}
	})
}

// TestIntervals: what settings make of the interval's limits.
func TestIntervals(t *testing.T) {
	for _, c := range []struct {
		interval, least string
		low, high       time.Duration
	}{
		{"600", "auto", 200 * time.Second, 600 * time.Second},
		{"9", "auto", 3 * time.Second, 9 * time.Second},
		{"8", "auto", 6 * time.Second, 8 * time.Second},
		{"4", "auto", 3 * time.Second, 4 * time.Second},
		{"100", "30", 30 * time.Second, 100 * time.Second},
		{"100", "90", 75 * time.Second, 100 * time.Second},
	} {
		s := setting.Devices.Default()
		for _, err := range []error{
			setting.Devices.Set(s, "ra-interval", c.interval), setting.Devices.Set(s, "ra-min-interval", c.least),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		if low, high := interval(&s.RA); low != c.low || high != c.high {
			t.Errorf("%s %s: %v to %v", c.interval, c.least, low, high)
		}
	}
}

// TestSolicited: an answer comes within half a second, to all; not within three seconds of the last (RFC 4861 6.2.6);
// however many ask; and moves the next one. A solicitation of another namespace is none.
func TestSolicited(t *testing.T) {
	run(t, func(w *world) {
		w.set(1, "ra", "on")
		w.after(100 * time.Second)
		w.solicit(1, 1)
		if got := w.after(time.Second); len(got) != 0 {
			t.Errorf("answered into another namespace: %+v", got)
		}
		begin := time.Since(w.start)
		for range 50 {
			w.solicit(1, 0)
		}
		got := w.after(time.Second)
		if len(got) != 1 || got[0].at-begin > maxResponseDelay {
			t.Fatalf("answers: %+v", got)
		}
		first := got[0].at
		w.solicit(1, 0)
		if got = w.after(5 * time.Second); len(got) != 1 ||
			got[0].at-first < minDelay || got[0].at-first > minDelay+maxResponseDelay {
			t.Fatalf("second answer: %+v, the first was at %v", got, first)
		}
		if got := w.after(190 * time.Second); len(got) != 0 {
			t.Errorf("the interval does not begin anew: %+v", got)
		}
	})
}

// TestFinal: hosts are told when the device is switched off, goes down, moves, loses its address, is deleted, or the
// daemon ends; not when they never heard of it.
func TestFinal(t *testing.T) {
	for name, end := range map[string]func(*world){
		"off":     func(w *world) { w.set(1, "ra", "off") },
		"down":    func(w *world) { w.publish(1, func(d *nstable.Device) { d.Up = false }) },
		"moved":   func(w *world) { w.publish(1, func(d *nstable.Device) { d.Namespace = w.view.Namespaces[1] }) },
		"deleted": func(w *world) { w.publish(1, nil) },
		"closed":  func(w *world) { w.s.Close() },
		"address": func(w *world) { w.publish(1, func(d *nstable.Device) { d.Addrs = d.Addrs[:2] }) },
		"other address": func(w *world) {
			w.publish(1, func(d *nstable.Device) {
				d.Addrs = append(slices.Clone(d.Addrs[:2]), netip.MustParsePrefix("fe80::9/64"))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(w *world) {
				w.set(1, "ra", "on", "ra-preference", "high", "ra-rdnss", "2001:db8::53")
				w.after(time.Minute)
				end(w)
				got := w.after(0)
				if len(got) != 1 || got[0].ra.RouterLifetime != 0 || got[0].source != "fe80::1" {
					t.Fatalf("heard %+v", got)
				}
				if got[0].ra.RouterSelectionPreference != ndp.Medium {
					t.Error("a router that is none is preferred")
				}
				last := got[0].ra.Options[len(got[0].ra.Options)-1]
				if servers, ok := last.(*ndp.RecursiveDNSServer); !ok || servers.Lifetime != 0 {
					t.Errorf("the servers stay: %+v", last)
				}
				again := w.after(time.Hour)
				if goes := name == "moved" || name == "other address"; goes != (len(again) > 0) {
					t.Errorf("heard afterwards: %d", len(again))
				}
				for _, h := range again {
					if name == "other address" && h.source != "fe80::9" || h.ra.RouterLifetime == 0 {
						t.Errorf("heard afterwards: %+v", h)
					}
				}
			})
			run(t, func(w *world) {
				w.set(1, "ra", "on")
				end(w) // before the first is sent
				for _, h := range w.after(0) {
					if h.ra.RouterLifetime == 0 {
						t.Errorf("heard as the last, and the first: %+v", h)
					}
				}
			})
		})
	}
}

// TestChanged: what is new is announced like the device itself; what is not is not.
func TestChanged(t *testing.T) {
	for name, change := range map[string]func(*nstable.Device){
		"MTU":    func(d *nstable.Device) { d.MTU = 1400 },
		"MAC":    func(d *nstable.Device) { d.MAC[5]++ },
		"prefix": func(d *nstable.Device) { d.Addrs = append(d.Addrs, netip.MustParsePrefix("2001:db8:9::1/64")) },
		"other": func(d *nstable.Device) {
			d.Addrs = append(d.Addrs, netip.MustParsePrefix("2001:db8:1::5/64"), netip.MustParsePrefix("10.1.1.1/24"))
		},
	} {
		run(t, func(w *world) {
			w.set(1, "ra", "on")
			w.after(100 * time.Second)
			w.publish(1, change)
			want := 3
			if name == "other" {
				want = 0
			}
			if got := w.after(40 * time.Second); len(got) != want {
				t.Errorf("%s: %d advertisements", name, len(got))
			}
		})
	}
}

// TestWithdrawn: a prefix that a device has no more is not preferred any more, and not mentioned after three times; one
// that comes back is as before.
func TestWithdrawn(t *testing.T) {
	run(t, func(w *world) {
		old := netip.MustParsePrefix("fd00:1::1/64")
		add := func() {
			w.publish(1, func(d *nstable.Device) { d.Addrs = append(slices.Clone(d.Addrs), old) })
		}
		remove := func() { w.publish(1, func(d *nstable.Device) { d.Addrs = d.Addrs[:3] }) }
		const stays = "2001:db8:1:: 720h0m0s 168h0m0s"
		expect := func(what string, h heard, want ...string) {
			t.Helper()
			var got []string
			for _, o := range h.ra.Options {
				if p, ok := o.(*ndp.PrefixInformation); ok {
					got = append(got, fmt.Sprintf("%s %v %v", p.Prefix, p.ValidLifetime, p.PreferredLifetime))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		w.set(1, "ra", "on")
		add()
		w.after(100 * time.Second)
		remove()
		got := w.after(time.Hour)
		if len(got) < 4 {
			t.Fatalf("%d advertisements", len(got))
		}
		for i := range 3 {
			expect("removed", got[i], stays, "fd00:1:: 2h0m0s 0s")
		}
		expect("removed for a while", got[3], stays)
		add()
		w.after(100 * time.Second)
		remove()
		add()
		for _, h := range w.after(time.Minute) {
			expect("there again", h, stays, "fd00:1:: 720h0m0s 168h0m0s")
		}
	})
}

// TestRetry: what the workers do not send is tried again, and the first three are counted from then.
func TestRetry(t *testing.T) {
	run(t, func(w *world) {
		w.down = true
		w.set(1, "ra", "on")
		w.after(time.Minute)
		w.s.mu.Lock()
		w.down = false
		w.s.mu.Unlock()
		if got := w.after(40 * time.Second); len(got) != 3 {
			t.Errorf("%d advertisements", len(got))
		}
	})
}

// TestMessage: everything that settings and device say is in the message.
func TestMessage(t *testing.T) {
	run(t, func(w *world) {
		w.publish(7, func(d *nstable.Device) {
			d.MTU = 1400
			d.Addrs = append(d.Addrs, netip.MustParsePrefix("fd00:7::1/48"), netip.MustParsePrefix("2001:db8:7::9/64"),
				netip.MustParsePrefix("2001:db8:70::/127"), netip.MustParsePrefix("2001:db8:71::1/128"))
		})
		w.set(7, "ra", "on", "ra-interval", "100", "ra-preference", "low", "ra-managed", "on", "ra-other", "on",
			"ra-hop-limit", "32", "ra-reachable-time", "30000", "ra-retrans-timer", "500", "ra-valid-lifetime", "infinity",
			"ra-preferred-lifetime", "1000", "ra-rdnss", "2001:db8::53,2001:db8::54")
		got := w.after(time.Second)
		if len(got) != 1 {
			t.Fatalf("heard %+v", got)
		}
		ra := *got[0].ra
		want := ndp.RouterAdvertisement{
			CurrentHopLimit: 32, ManagedConfiguration: true, OtherConfiguration: true, RouterSelectionPreference: ndp.Low,
			RouterLifetime: 300 * time.Second, ReachableTime: 30 * time.Second, RetransmitTimer: 500 * time.Millisecond,
			Options: []ndp.Option{
				&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: []byte{2, 0, 0, 0, 0, 7}},
				&ndp.MTU{MTU: 1400},
				&ndp.PrefixInformation{
					PrefixLength: 64, Prefix: netip.MustParseAddr("2001:db8:7::"), OnLink: true,
					AutonomousAddressConfiguration: true, ValidLifetime: ndp.Infinity, PreferredLifetime: 1000 * time.Second,
				},
				&ndp.PrefixInformation{
					PrefixLength: 48, Prefix: netip.MustParseAddr("fd00:7::"), OnLink: true,
					ValidLifetime: ndp.Infinity, PreferredLifetime: 1000 * time.Second,
				},
				&ndp.RecursiveDNSServer{
					Lifetime: 300 * time.Second,
					Servers:  []netip.Addr{netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("2001:db8::54")},
				},
			},
		}
		equal(t, &want, &ra)
		// A lifetime shorter than the interval would leave hosts without a router between two advertisements.
		w.set(7, "ra-lifetime", "50", "ra-mtu", "off", "ra-on-link", "off", "ra-autonomous", "off",
			"ra-valid-lifetime", "500", "ra-rdnss", "none")
		if got = w.after(4 * time.Second); len(got) != 1 {
			t.Fatalf("heard %+v", got)
		}
		want.RouterLifetime = 100 * time.Second
		want.Options = []ndp.Option{want.Options[0], want.Options[2], want.Options[3]}
		for _, o := range want.Options[1:] {
			p := o.(*ndp.PrefixInformation)
			p.OnLink, p.AutonomousAddressConfiguration = false, false
			p.ValidLifetime, p.PreferredLifetime = 500*time.Second, 500*time.Second
		}
		equal(t, &want, got[0].ra)
		w.set(7, "ra-lifetime", "0", "ra-mtu", "9000")
		if got = w.after(4 * time.Second); len(got) != 1 || got[0].ra.RouterLifetime != 0 ||
			got[0].ra.Options[1].(*ndp.MTU).MTU != 1400 {
			t.Fatalf("heard %+v", got)
		}
	})
}

func equal(t *testing.T, want, got ndp.Message) {
	t.Helper()
	a, err := ndp.MarshalMessage(want)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ndp.MarshalMessage(got)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a, b) {
		t.Errorf("heard %x\nwant  %x", b, a)
	}
}

// TestSplit: more prefixes than fit into 1,280 bytes go into several messages, each prefix once.
func TestSplit(t *testing.T) {
	run(t, func(w *world) {
		const count = 100
		w.publish(1, func(d *nstable.Device) {
			for i := range count {
				d.Addrs = append(d.Addrs, netip.MustParsePrefix(fmt.Sprintf("fd00:%x::1/64", i+1)))
			}
		})
		w.set(1, "ra", "on", "ra-rdnss", "fd00::53")
		got := w.after(time.Second)
		seen := map[netip.Addr]bool{}
		servers := 0
		for _, h := range got {
			if len(h.raw) > messageLimit {
				t.Errorf("a message of %d bytes", len(h.raw))
			}
			for _, o := range h.ra.Options {
				switch o := o.(type) {
				case *ndp.PrefixInformation:
					if seen[o.Prefix] {
						t.Errorf("%s twice", o.Prefix)
					}
					seen[o.Prefix] = true
				case *ndp.RecursiveDNSServer:
					servers++
				}
			}
		}
		if len(got) != 3 || len(seen) != count+1 || servers != 1 {
			t.Errorf("%d messages, %d prefixes, %d lists of servers", len(got), len(seen), servers)
		}
	})
}
