package dataplane

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/internal/corpus"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// A script is what a fuzz test does with a rig: the first byte chooses the settings of the devices, then come frames,
// each behind four bytes: the device (by fuzzDevices), what to mend and to do (the flags below), the length.
const (
	mendMAC  = 1 << iota // the frame goes to the device itself
	mendIP4              // the IPv4 header checksum is right
	mendICMP             // the checksum of an ICMP or ICMPv6 message behind a plain header is right
	thenStep             // a round is made before the next frame
	thenWait             // and a second passes
)

var fuzzDevices = [...]nstable.DeviceID{p1, p2, p3} //nolint:gochecknoglobals // a constant table

// step of a script.
type scriptStep struct {
	dev   nstable.DeviceID
	flags byte
	frame []byte
}

func parseScript(b []byte) (settings byte, steps []scriptStep) {
	if len(b) == 0 {
		return 0, nil
	}
	settings, b = b[0], b[1:]
	for len(b) >= 4 && len(steps) < 2*vectorSize {
		n := min(int(binary.BigEndian.Uint16(b[2:])), len(b)-4, frame.MaxPacket)
		steps = append(steps, scriptStep{fuzzDevices[int(b[0])%len(fuzzDevices)], b[1], slices.Clone(b[4 : 4+n])})
		b = b[4+n:]
	}
	return settings, steps
}

func writeScript(settings byte, steps ...scriptStep) []byte {
	b := []byte{settings}
	for _, s := range steps {
		b = append(b, byte(slices.Index(fuzzDevices[:], s.dev)), s.flags)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(s.frame))), s.frame...)
	}
	return b
}

// mend makes right what the flags say, so that what is behind a check is reached.
func (s *scriptStep) mend() {
	b := s.frame
	if s.flags&mendMAC != 0 && len(b) >= 6 {
		m := header.MACBytes(deviceMAC(s.dev))
		copy(b, m[:])
	}
	for len(b) >= header.EthernetLen && header.IsVLAN(header.Ethernet(b).Type()) {
		b = b[min(header.VLANTagLen, len(b)):]
	}
	if len(b) < header.EthernetLen+header.IPv4MinLen {
		return
	}
	switch h := b[header.EthernetLen:]; {
	case h[0]>>4 == 4:
		ip := header.IPv4(h)
		hl := ip.HeaderLen()
		if hl < header.IPv4MinLen || ip.TotalLen() > len(h) || hl+header.ICMPLen > ip.TotalLen() {
			return
		}
		if s.flags&mendICMP != 0 && ip.Protocol() == header.ProtoICMP {
			m := header.ICMP(ip[hl:ip.TotalLen()])
			m.SetChecksum(0)
			m.SetChecksum(^header.Fold(header.Sum(0, m)))
		}
		if s.flags&mendIP4 != 0 {
			ip.SetChecksum()
		}
	case h[0]>>4 == 6 && s.flags&mendICMP != 0 && len(h) >= header.IPv6HeaderLen+header.ICMPLen:
		ip := header.IPv6(h)
		if n := ip.PayloadLen(); ip.NextHeader() == header.ProtoICMPv6 && n >= header.ICMPLen &&
			header.IPv6HeaderLen+n <= len(h) {
			setICMPv6Checksum(ip)
		}
	}
}

// newCorpusRig is a rig with the routes and neighbours that the packets of package corpus are made for.
func newCorpusRig(t testing.TB) *rig {
	r := newRig(t)
	for n, d := range map[int]nstable.DeviceID{1: p1, 2: p2} {
		r.view.Devices[d].Addrs = append(r.view.Devices[d].Addrs, netip.MustParsePrefix(corpus.LinkLocal(n)+"/64"))
	}
	r.view.Devices[p2].MTU = corpus.MTU2
	r.publishOwn()
	r.befriend()
	for _, line := range corpus.Routes() {
		f := strings.Fields(line)
		switch f[0] {
		case "unreachable":
			r.route(0, f[1], fib.NextHop{Kind: fib.Unreachable})
		case "prohibit":
			r.route(0, f[1], fib.NextHop{Kind: fib.Prohibit})
		case "blackhole":
			r.route(0, f[1], fib.NextHop{Kind: fib.Blackhole})
		default:
			hop := fib.NextHop{Kind: fib.Unicast, Device: p2, Gateway: fib.AddrOf(netip.MustParseAddr(f[2]))}
			if f[0] == corpus.Far4 || f[0] == corpus.Far6 {
				hop.Device = p1
			}
			if len(f) > 4 {
				_, _ = fmt.Sscan(f[4], &hop.MTU)
			}
			r.route(0, f[0], hop)
		}
	}
	r.route(0, "10.0.1.255/32", fib.NextHop{Kind: fib.Broadcast, Device: p1})
	r.route(0, "10.0.2.255/32", fib.NextHop{Kind: fib.Broadcast, Device: p2})
	r.route(0, "2001:db8:1::/128", fib.NextHop{Kind: fib.Anycast, Device: p1})
	r.route(0, "10.99.0.0/16", fib.NextHop{Kind: fib.Unicast, Device: v1, Gateway: fib.Addr4(10<<24 | 9<<8 | 2)})
	return r
}

// befriend makes the neighbours behind p1 and p2 known for good.
func (r *rig) befriend() {
	for dev, addrs := range map[nstable.DeviceID][]string{p1: {"10.0.1.2", "2001:db8:1::2"},
		p2: {"10.0.2.2", "2001:db8:2::2"}} {
		for _, a := range addrs {
			e := r.neighbor(dev, a)
			if e == nil {
				e = r.view.Devices[dev].Neighbors.Add(fib.AddrOf(netip.MustParseAddr(a)), r.now)
			}
			e.Set(neigh.Permanent, hostMAC(dev), r.now)
		}
	}
}

// chooseSettings gives every setting of the table a value of those it takes: its default if seed is 0.
func chooseSettings[T any](table setting.Table[T], seed byte) *T {
	v := table.Default()
	if seed == 0 {
		return v
	}
	rnd := rand.New(rand.NewPCG(uint64(seed), 2))
	for i := range table {
		words := strings.FieldsFunc(table[i].Values, func(c rune) bool { return strings.ContainsRune("{}|[] ", c) })
		if table[i].Kind == setting.Number {
			words = []string{"0", "1", "2", "64", "1000"}
		}
		_ = table.Set(v, table[i].Name, words[rnd.IntN(len(words))]) // one that it does not take changes nothing
	}
	return v
}

// choose gives the devices and namespaces settings by seed: their defaults if it is 0.
func (r *rig) choose(seed byte) {
	for _, d := range r.view.Devices {
		if d != nil {
			d.Settings = chooseSettings(setting.Devices, seed)
		}
	}
	for _, n := range r.view.Namespaces {
		n.PublishSettings(chooseSettings(setting.Namespaces, seed))
	}
}

// canary is what memory holds that no packet has written: at offset i byte i%8 of this, and of another in a second run.
type canary [8]byte

var canaries = [2]canary{ //nolint:gochecknoglobals // a constant table
	{0xc5, 0x3b, 0x9d, 0x71, 0xe6, 0x2a, 0x84, 0x5f}, {0x1d, 0xb6, 0x47, 0xf9, 0x30, 0xce, 0x6b, 0xa2},
}

// poison fills all free frames.
func (c *canary) poison(p *frame.Pool) {
	mem, full := p.Bytes(), bytes.Repeat(c[:], frame.Size/len(c))
	for at := 0; at < len(mem); at += frame.Size {
		if p.Owner(uint64(at)) == frame.Free {
			copy(mem[at:], full)
		}
	}
}

// in tells whether four bytes of poison or more are in a frame.
func (c *canary) in(b []byte) bool {
	twice := append(c[:], c[:]...)
	for i := range c {
		if bytes.Contains(b, twice[i:i+4]) {
			return true
		}
	}
	return false
}

// play runs a script on a new rig whose free memory is poisoned, and returns all that was sent and counted.
func play(t *testing.T, script []byte, c *canary) []string {
	r := newCorpusRig(t)
	r.addVLANs()
	seed, steps := parseScript(script)
	r.choose(seed)
	c.poison(r.pool)
	var out []string
	flush := func() {
		r.step()
		for id, port := range r.ports {
			for _, b := range port.take() {
				if c.in(b) {
					t.Errorf("device %d sends what was never received: %x", id, b)
				}
				out = append(out, fmt.Sprintf("%d: %x", id, b))
			}
		}
	}
	for k := range steps {
		s := &steps[k]
		s.mend()
		if c.in(s.frame) {
			return nil
		}
		r.inject(s.dev, s.frame)
		if s.flags&(thenStep|thenWait) != 0 || len(r.ports[s.dev].rx) == vectorSize {
			flush()
		}
		if s.flags&thenWait != 0 {
			r.pass(time.Second)
		}
	}
	flush()
	r.pass(4 * time.Second) // neighbours are given up, questions closed
	flush()
	r.conserved()
	for _, d := range r.view.Devices {
		if d != nil {
			out = append(out, fmt.Sprintf("%d: %v", d.ID, r.drops(d.ID)))
		}
	}
	slices.Sort(out)
	return out
}

// FuzzGraph feeds raw frames to the graph, by several devices and with different settings: no panic, no frame lost, the
// counters add up, nothing is sent that was not received, and nothing depends on what lies around a frame.
func FuzzGraph(f *testing.F) {
	for _, v6 := range []bool{false, true} {
		for k, p := range corpus.Hand(v6) {
			f.Add(scriptOf(p, k))
		}
		for k, p := range corpus.Singles(v6) {
			f.Add(scriptOf(p, k))
		}
	}
	for _, script := range taggedScripts(f) {
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		a, b := play(t, script, &canaries[0]), play(t, script, &canaries[1])
		if a == nil || b == nil {
			return
		}
		if !slices.Equal(a, b) {
			t.Errorf("what is outside the frames matters:\n%s\n\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	})
}

// addVLANs puts VLAN devices on the ports, in both namespaces, with one tag and with two.
func (r *rig) addVLANs() {
	r.vlan(p1, q(5), 0, "10.5.0.1/24", "2001:db8:5::1/64")
	outer := r.vlan(p1, ad(9), 0, "10.9.0.1/24")
	r.vlan(outer.ID, q(5), 1, "10.5.0.1/24")
	r.vlan(p2, q(7), 0, "10.7.0.1/24", "2001:db8:7::1/64").MTU = 600
	r.vlan(v1, q(8), 0, "10.8.0.1/24")
	r.vlan(v2, q(8), 1, "10.8.0.2/24")
}

// taggedScripts are seeds: packets from each VLAN to each network. Each has one silent neighbour at most: several are given
// up in the order of a map, and so are the identifications of the errors.
func taggedScripts(t testing.TB) (scripts [][]byte) {
	for _, tags := range [][][2]uint16{
		{customer(0xb, 5)}, {service(1, 9)}, {service(1, 9), customer(2, 5)}, {customer(7, 0)}, {customer(0, 0), service(0, 9)},
		{customer(0, 6)}, {customer(0, 5), customer(0, 5)},
	} {
		arpFrame := tagged(arp(t, p1, header.ARPRequest, hostMAC(p1), "10.5.0.9", "10.5.0.1"), tags...)
		for _, dst := range []string{"10.7.0.2", "10.5.0.1", "10.5.0.9", "10.8.0.9", "10.0.2.2", "192.0.2.1"} {
			b := tagged(udp4(t, p1, ip4("10.5.0.2", dst, 64), 700), tags...)
			scripts = append(scripts, writeScript(0, scriptStep{p1, thenStep, b}, scriptStep{p1, thenWait, arpFrame}))
		}
	}
	return scripts
}

// scriptOf is the script that plays a packet of the corpus, with settings by k.
func scriptOf(p corpus.Probe, k int) []byte {
	var steps []scriptStep
	for _, b := range p.Frames(k) {
		steps = append(steps, scriptStep{p1, thenStep, b})
	}
	return writeScript(byte(k), steps...)
}
