package dataplane

import (
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// limitNamespace changes the limits of a namespace.
func (r *rig) limitNamespace(ns nstable.NamespaceID, change func(*setting.Limits)) {
	s := *r.view.Namespaces[ns].Settings()
	change(&s.Limits)
	r.view.Namespaces[ns].PublishSettings(&s)
}

// provocation is a packet that an answer is due to.
type provocation struct {
	name   string
	answer counters.Answer
	reason string // for which it is dropped where the answer is kept back
	frame  func(t *testing.T, dev nstable.DeviceID) []byte
}

func provocations() []provocation {
	plain := func(src, dst string, ttl uint8) func(*testing.T, nstable.DeviceID) []byte {
		return func(t *testing.T, dev nstable.DeviceID) []byte { return udp4(t, dev, ip4(src, dst, ttl), 20) }
	}
	icmp := func(typ uint8) func(*testing.T, nstable.DeviceID) []byte {
		return func(t *testing.T, dev nstable.DeviceID) []byte {
			ip := ip4("10.0.1.2", "10.0.1.1", 64)
			ip.Protocol = layers.IPProtocolICMPv4
			m := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, 0)}
			return packet(t, ethernetTo(dev, layers.EthernetTypeIPv4), ip, m, gopacket.Payload("nsrouter"))
		}
	}
	return []provocation{
		{"expired", counters.ErrorAnswer, "ttl-expired", plain("10.0.1.2", "10.0.2.2", 1)},
		{"no route", counters.ErrorAnswer, "no-route", plain("10.0.1.2", "203.0.113.1", 64)},
		{"no listener", counters.ErrorAnswer, "no-listener", plain("10.0.1.2", "10.0.1.1", 64)},
		{"expired, IPv6", counters.ErrorAnswer, "ttl-expired", func(t *testing.T, dev nstable.DeviceID) []byte {
			return udp6(t, dev, ip6("2001:db8:1::2", "2001:db8:2::2", 1), 20)
		}},
		{"too big, IPv6", counters.TooBigAnswer, "too-big", func(t *testing.T, dev nstable.DeviceID) []byte {
			return udp6(t, dev, ip6("2001:db8:1::2", "2001:db8:2::2", 64), 1460)
		}},
		{"too big, DF", counters.TooBigAnswer, "too-big", func(t *testing.T, dev nstable.DeviceID) []byte {
			ip := ip4("10.0.1.2", "10.0.2.2", 64)
			ip.Flags = layers.IPv4DontFragment
			return udp4(t, dev, ip, 1480)
		}},
		{"echo", counters.EchoAnswer, "rate-limited", icmp(8)},
		{"ARP", counters.NeighborAnswer, "rate-limited", func(t *testing.T, dev nstable.DeviceID) []byte {
			return arp(t, dev, header.ARPRequest, hostMAC(dev), "10.0.1.2", "10.0.1.1")
		}},
		{"ND", counters.NeighborAnswer, "rate-limited", func(t *testing.T, dev nstable.DeviceID) []byte {
			return solicitation(t, dev, "fe80::7", "ff02::1:ff00:1", "2001:db8:1::1", 255, false)
		}},
		{"an echo reply", counters.PuntAnswer, "rate-limited", icmp(0)},
	}
}

// answered sends a provocation to a device n times, a few at once, and returns how many answers were sent.
func (r *rig) answered(p *provocation, dev nstable.DeviceID, n int) int {
	t := r.TB.(*testing.T)
	b := p.frame(t, dev)
	sent, before := 0, r.delivered(dev)
	for range n {
		r.inject(dev, b)
		r.step()
		sent += len(r.ports[dev].take())
		r.step()
	}
	if p.answer == counters.PuntAnswer { // which nobody answers
		sent += int(r.delivered(dev) - before)
	}
	return sent
}

func (r *rig) totals(dev nstable.DeviceID) (s counters.Totals) {
	r.view.Devices[dev].Counters.Sum(&s)
	return s
}

func (r *rig) delivered(dev nstable.DeviceID) uint64 {
	s := r.totals(dev)
	return s.Delivered
}

// TestBudget: of each kind of answer a device, and a namespace, gets as many as its limits say; what is kept back is
// counted; the other kinds, and the other namespaces, have their own.
func TestBudget(t *testing.T) {
	const rate, tries = 100, 300
	for _, p := range provocations() {
		for _, of := range []string{"device", "namespace"} {
			r := newRig(t)
			limit := func(l *setting.Limits) { l.Rate[p.answer], l.ErrorBurst = rate, rate/10 }
			if of == "device" {
				r.set(p1, func(s *setting.Device) { limit(&s.Limits) })
				r.limitNamespace(0, func(l *setting.Limits) { l.ErrorBurst = tries })
			} else {
				r.limitNamespace(0, limit)
			}
			if n := r.answered(&p, p1, tries); n != rate/10 {
				t.Errorf("%s, %s: %d answered at once", p.name, of, n)
			}
			r.now += int64(time.Second / 20)
			if n := r.answered(&p, p1, tries); n != rate/20 {
				t.Errorf("%s, %s: %d answered a twentieth of a second later", p.name, of, n)
			}
			s := r.totals(p1)
			want := uint64(2*tries - rate/10 - rate/20)
			if n := s.Suppressed[p.answer]; n != want {
				t.Errorf("%s, %s: %d counted as suppressed, want %d", p.name, of, n, want)
			}
			if n := r.drops(p1)[p.reason]; n != want && n != 2*tries {
				t.Errorf("%s, %s: dropped %v", p.name, of, r.drops(p1))
			}
			for _, other := range provocations() {
				if other.answer == p.answer {
					continue
				}
				if n := r.answered(&other, p1, 1); n != 1 {
					t.Errorf("%s, %s: keeps the answer to %s back", p.name, of, other.name)
				}
			}
			if n := r.answered(&p, p3, 1); n != 1 && p.name != "expired" && p.name != "expired, IPv6" &&
				p.answer != counters.TooBigAnswer { // there p3 has no route for it
				t.Errorf("%s, %s: keeps the answer of another namespace back", p.name, of)
			}
			r.conserved()
		}
	}
}

// TestBudgetShared: a limited device does not use up what its namespace has for the others.
func TestBudgetShared(t *testing.T) {
	r := newRig(t)
	r.set(p1, func(s *setting.Device) { s.Limits.Rate[counters.EchoAnswer] = 10 })
	r.limitNamespace(0, func(l *setting.Limits) { l.Rate[counters.EchoAnswer] = 500 })
	echo := provocations()[6]
	if n := r.answered(&echo, p1, 1000); n != 1 {
		t.Errorf("%d answered", n)
	}
	ip := ip4("10.0.2.2", "10.0.2.1", 64)
	ip.Protocol = layers.IPProtocolICMPv4
	m := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}
	b := packet(t, ethernetTo(p2, layers.EthernetTypeIPv4), ip, m)
	for range 49 {
		r.inject(p2, b)
	}
	r.step()
	if n := len(r.ports[p2].take()); n != 49 {
		t.Errorf("%d answered at the other device", n)
	}
	r.limitNamespace(0, func(l *setting.Limits) { l.Rate[counters.EchoAnswer] = 0 })
	r.set(p1, func(s *setting.Device) { s.Limits.Rate[counters.EchoAnswer] = 0 })
	if n := r.answered(&echo, p1, 200); n != 200 {
		t.Errorf("%d of 200 answered without limits", n)
	}
	r.conserved()
}

// TestFloodForwards: whatever answers are provoked, and however many, each packet to be sent on is sent on.
func TestFloodForwards(t *testing.T) {
	r := newRig(t)
	all := provocations()
	frames := make([][]byte, len(all))
	for i := range all {
		frames[i] = all[i].frame(t, p1)
	}
	plain := udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20)
	const rounds = 3000
	sent := 0
	for range rounds {
		for range 3 {
			for _, b := range frames {
				r.inject(p1, b)
			}
		}
		r.inject(p1, plain)
		r.now += int64(10 * time.Microsecond) // three million a second
		r.step()
		r.ports[p1].take()
		sent += len(r.ports[p2].take())
		r.step()
	}
	if sent != rounds {
		t.Errorf("%d of %d packets sent on", sent, rounds)
	}
	s := r.totals(p1)
	const passed = rounds * 10 * time.Microsecond
	errors := uint64(4*3*rounds) - s.Suppressed[counters.ErrorAnswer]
	if most := uint64(50 + passed.Seconds()*1000); errors > most || errors < most-1 {
		t.Errorf("%d errors in %v: want %d", errors, passed, most)
	}
	for _, a := range []counters.Answer{counters.TooBigAnswer, counters.NeighborAnswer} {
		if s.Suppressed[a] == 0 {
			t.Errorf("%v: nothing was suppressed", a)
		}
	}
	r.conserved()
}

// TestFragmentBudget: fragments for the router itself are limited as well, before anything is kept of them.
func TestFragmentBudget(t *testing.T) {
	r := newRig(t)
	r.limitNamespace(0, func(l *setting.Limits) { l.Rate[counters.PuntAnswer] = 20 })
	const tries = 6
	for id := range uint16(tries) {
		ip := ip4("10.0.1.2", "10.0.1.1", 64)
		ip.Flags, ip.Id = layers.IPv4MoreFragments, id
		r.inject(p1, udp4(t, p1, ip, 32))
		h := ip6("2001:db8:1::2", "2001:db8:1::1", 64)
		h.NextHeader = layers.IPProtocolIPv6Fragment
		b := []byte{17, 0, 0, 1, 0, 0, 0, byte(id)}
		r.inject(p1, packet(t, ethernetTo(p1, layers.EthernetTypeIPv6), h, gopacket.Payload(append(b, make([]byte, 32)...))))
	}
	r.step()
	if n := r.drops(p1)["rate-limited"]; n != 2*tries-2 {
		t.Errorf("%d of %d fragments dropped, 2 are allowed: %v", n, 2*tries, r.drops(p1))
	}
	if s := r.totals(p1); s.Suppressed[counters.PuntAnswer] != 2*tries-2 || s.Held != 2 {
		t.Errorf("suppressed %v, held %d", s.Suppressed, s.Held)
	}
	r.conserved()
}
