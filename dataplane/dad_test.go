package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

const tried = "2001:db8:1::aaaa"

// tryAddress has an address of p1 tried, and returns where the results go.
func (r *rig) tryAddress(p nstable.Probe) *[]nstable.ProbeResult {
	p.Addr = netip.MustParseAddr(tried)
	view := *r.view
	d := *view.Devices[p1]
	d.Probing = []nstable.Probe{p}
	view.Devices = append([]*nstable.Device(nil), view.Devices...)
	view.Devices[p1], view.Probing = &d, []nstable.DeviceID{p1}
	r.view = &view
	results := new([]nstable.ProbeResult)
	r.w.probed = func(p nstable.ProbeResult) { *results = append(*results, p) }
	return results
}

// TestProbe: what is sent for a trial, when, and that silence ends it well.
func TestProbe(t *testing.T) {
	for _, transmits := range []uint32{1, 3} {
		r := newRig(t)
		results := r.tryAddress(nstable.Probe{Round: 7, Transmits: transmits})
		var at []time.Duration
		for now := time.Duration(0); now < 6*time.Second; now += 100 * time.Millisecond {
			r.step()
			if len(r.ports[p1].tx) > 0 {
				p := r.one(p1)
				e := layer[*layers.Ethernet](t, p, layers.LayerTypeEthernet)
				ip := layer[*layers.IPv6](t, p, layers.LayerTypeIPv6)
				ns := layer[*layers.ICMPv6NeighborSolicitation](t, p, layers.LayerTypeICMPv6NeighborSolicitation)
				if e.DstMAC.String() != "33:33:ff:00:aa:aa" || ip.SrcIP.String() != "::" || ip.HopLimit != 255 ||
					ip.DstIP.String() != "ff02::1:ff00:aaaa" || ns.TargetAddress.String() != tried {
					t.Errorf("%v", p)
				}
				if len(ns.Options) != 1 || ns.Options[0].Type == layers.ICMPv6OptSourceAddress {
					t.Errorf("options %v", ns.Options)
				}
				h := header.IPv6(p.Data()[14:])
				if header.Fold(header.Sum(header.PseudoSum6(h, 58, h.PayloadLen()), h.Payload())) != 0xffff {
					t.Error("wrong checksum")
				}
				at = append(at, now)
			}
			if len(*results) == 1 && now < time.Duration(transmits)*time.Second {
				t.Errorf("through after %v: less than a second after the last probe", now)
			}
			r.now += int64(100 * time.Millisecond)
		}
		if len(at) != int(transmits) {
			t.Errorf("probes at %v, want %d", at, transmits)
		}
		for k, when := range at {
			if when < time.Duration(k)*time.Second || when > time.Duration(k)*1100*time.Millisecond+100*time.Millisecond {
				t.Errorf("probes at %v: not a second apart", at)
			}
		}
		if len(*results) != 1 || (*results)[0] != (nstable.ProbeResult{Device: p1, Round: 7}) {
			t.Errorf("results %+v", *results)
		}
		r.conserved()
	}
}

// TestProbeDelay: the first probe of a device that came up waits at random, no longer than RFC 4862 5.4.2 allows.
func TestProbeDelay(t *testing.T) {
	seen := map[int]bool{}
	for range 30 {
		r := newRig(t)
		r.tryAddress(nstable.Probe{Round: 7, Transmits: 1, Delay: true})
		for step := 0; ; step++ {
			r.step()
			if len(r.ports[p1].take()) > 0 {
				seen[step] = true
				break
			}
			if step > 10 {
				t.Fatal("no probe within a second")
			}
			r.now += int64(100 * time.Millisecond)
		}
	}
	if len(seen) < 2 {
		t.Errorf("always after %v", seen)
	}
}

// TestDuplicate: what ends a trial badly, and what means nothing (RFC 4862 5.4.3, 5.4.4).
func TestDuplicate(t *testing.T) {
	advert := func(t testing.TB, target string, hops uint8) []byte {
		ip := ip6("2001:db8:1::2", "ff02::1", hops)
		ip.NextHeader = layers.IPProtocolICMPv6
		m := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)}
		_ = m.SetNetworkLayerForChecksum(ip)
		e := ethernetTo(p1, layers.EthernetTypeIPv6)
		e.DstMAC = []byte{0x33, 0x33, 0, 0, 0, 1}
		mac := header.MACBytes(hostMAC(p1))
		return packet(t, e, ip, m, &layers.ICMPv6NeighborAdvertisement{
			Flags: 0x20, TargetAddress: netip.MustParseAddr(target).AsSlice(),
			Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: mac[:]}},
		})
	}
	const group = "ff02::1:ff00:aaaa"
	for _, c := range []struct {
		name      string
		frame     []byte
		duplicate bool
	}{
		{"probe", solicitation(t, p1, "::", group, tried, 255, false), true},
		{"advertisement", advert(t, tried, 255), true},
		{"resolution", solicitation(t, p1, "2001:db8:1::7", group, tried, 255, true), false},
		{"probe from off the link", solicitation(t, p1, "::", group, tried, 254, false), false},
		{"probe with an option it may not have", solicitation(t, p1, "::", group, tried, 255, true), false},
		{"advertisement from off the link", advert(t, tried, 254), false},
		{"probe for another", solicitation(t, p1, "::", group, "2001:db8:1::bb00:aaaa", 255, false), false},
		{"advertisement of another", advert(t, "2001:db8:1::aaab", 255), false},
		{"echo request", udp6(t, p1, ip6("2001:db8:1::2", tried, 64), 20), false},
	} {
		for _, early := range []bool{true, false} { // before the worker has begun, or while it waits
			r := newRig(t)
			results := r.tryAddress(nstable.Probe{Round: 7, Transmits: 1})
			if early {
				r.w.lastTick = r.now
			} else {
				r.step()
				r.one(p1)
			}
			r.inject(p1, c.frame)
			r.inject(p1, c.frame)
			r.step()
			r.ports[p1].take() // a resolution of the address that is not ours yet
			want := []nstable.ProbeResult{{Device: p1, Round: 7, Duplicate: true, MAC: header.MACBytes(hostMAC(p1))}}
			if c.duplicate && (len(*results) != 1 || (*results)[0] != want[0]) || !c.duplicate && len(*results) != 0 {
				t.Errorf("%s, early %v: results %+v", c.name, early, *results)
			}
			if d := r.drops(p1); c.duplicate && len(d) != 0 {
				t.Errorf("%s: drops %v", c.name, d)
			}
			// It is told once.
			for range 30 {
				r.now += int64(100 * time.Millisecond)
				r.step()
			}
			if len(*results) != 1 {
				t.Errorf("%s: in the end %+v", c.name, *results)
			}
			r.conserved()
		}
	}
}

// TestProbeHeard: a probe of our own that the link sends back is no claim (RFC 7527); one with another nonce is.
func TestProbeHeard(t *testing.T) {
	for _, change := range []byte{0, 1} {
		r := newRig(t)
		results := r.tryAddress(nstable.Probe{Round: 7, Transmits: 1})
		r.step()
		sent := r.ports[p1].take()[0]
		sent[6] ^= 0x04 // it comes from another station's MAC, or a bridge would not send it back
		sent[len(sent)-1] ^= change
		h := header.IPv6(sent[14:])
		setICMPv6Checksum(h)
		r.inject(p1, sent)
		r.step()
		if len(*results) != int(change) {
			t.Errorf("nonce changed by %d: %+v", change, *results)
		}
		r.conserved()
	}
}

// TestTentative: what is being tried is no source, and nobody is told that it is here.
func TestTentative(t *testing.T) {
	r := newRig(t)
	r.tryAddress(nstable.Probe{Round: 7, Transmits: 1})
	r.step()
	r.one(p1)
	r.inject(p1, solicitation(t, p1, "2001:db8:1::7", "ff02::1:ff00:aaaa", tried, 255, true))
	r.step()
	if n := len(r.ports[p1].take()); n != 0 {
		t.Errorf("a solicitation for a tentative address is answered %d times", n)
	}
	if a, ok := r.w.source6(r.w.view.Devices[p1], fib.AddrOf(netip.MustParseAddr("2001:db8:1::aaab"))); !ok ||
		a.Netip().String() == tried {
		t.Errorf("source %v", a)
	}
	r.conserved()
}

// TestTrialForgotten: a trial that the table asks for no more is ended; the next one of the same address begins anew.
func TestTrialForgotten(t *testing.T) {
	r := newRig(t)
	r.tryAddress(nstable.Probe{Round: 7, Transmits: 1})
	r.step()
	r.one(p1)
	results := r.tryAddress(nstable.Probe{Round: 8, Transmits: 1})
	r.now += int64(900 * time.Millisecond)
	r.step()
	r.one(p1)
	r.now += int64(500 * time.Millisecond)
	r.step()
	if len(*results) != 0 || len(r.w.trials) != 1 {
		t.Errorf("results %+v, %d trials", *results, len(r.w.trials))
	}
	r.view.Probing = nil
	r.now += int64(100 * time.Millisecond)
	r.step()
	if len(r.w.trials) != 0 {
		t.Errorf("%d trials are left", len(r.w.trials))
	}
	r.conserved()
}
