package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/internal/lab"
)

// The reference is the Linux kernel: a router of the same addresses, MACs and routes, that gets the same frames. Both
// are joined to hosts that only sniff. What comes out of one and not of the other is a defect, or has its reason here.

var (
	routerMAC = [3]string{"", "02:00:00:00:00:01", "02:00:00:00:00:02"} // of port 1 and 2
	hostMAC   = [3]string{"", "02:00:00:00:01:01", "02:00:00:00:01:02"}
)

// side is one of the two routers with its sniffers, by port.
type side struct {
	name string
	at   [3]*lab.Sniffer
}

func (w *world) side(name string, router *lab.Host) side {
	s := side{name: name}
	for n := 1; n <= 2; n++ {
		h := w.Host(fmt.Sprintf("%s-host%d", name, n))
		h.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
		w.Link(
			lab.End{Host: h, Name: "eth0", MAC: hostMAC[n]},
			lab.End{Host: router, Name: fmt.Sprintf("p%d", n), MAC: routerMAC[n]},
			lab.LinkOptions{},
		)
		s.at[n] = h.Sniff("eth0")
	}
	return s
}

// routes are the same on both sides.
var staticRoutes = []string{ //nolint:gochecknoglobals // a constant table
	"198.51.100.0/24 via 10.0.2.2",
	"unreachable 192.0.2.0/25",
	"prohibit 192.0.2.128/25",
	"blackhole 203.0.113.0/24",
	"2001:db8:100::/48 via 2001:db8:2::2",
	"blackhole 2001:db8:bad::/48",
	"prohibit 2001:db8:bad:1::/64",
}

func (w *world) kernel() *lab.Host {
	k := w.Host("kernel")
	for key, value := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv4.conf.all.rp_filter": "0",
		"net.ipv4.conf.default.rp_filter": "0", "net.ipv4.icmp_ratelimit": "0", "net.ipv6.icmp.ratelimit": "0",
		"net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.default.send_redirects": "0", "net.ipv6.auto_flowlabels": "0",
	} {
		k.Sysctl(key, value)
	}
	return k
}

// reference makes both routers and configures them alike.
func reference(t *testing.T) (w *world, ours, kernels side) {
	w = newWorld(t)
	k := w.kernel()
	w.k = k
	ours, kernels = w.side("ours", w.r.Host), w.side("kernel", k)
	for n := 1; n <= 2; n++ {
		dev := fmt.Sprintf("p%d", n)
		w.r.Must(
			fmt.Sprintf(
				"link add %[1]s type xdp\naddr add 10.0.%[2]d.1/24 dev %[1]s\n"+
					"addr add 2001:db8:%[2]d::1/64 dev %[1]s\nlink set %[1]s up",
				dev,
				n,
			),
		)
		k.Interface(dev).Addr(fmt.Sprintf("10.0.%d.1/24", n))
		k.Interface(dev).Addr(fmt.Sprintf("2001:db8:%d::1/64", n))
		for _, a := range []string{"10.0.%d.2", "2001:db8:%d::2", "fe80::%d"} {
			addr := fmt.Sprintf(a, n)
			w.r.Must(fmt.Sprintf("neigh add %s lladdr %s dev %s nud permanent", addr, hostMAC[n], dev))
			k.Run("ip", "neigh", "replace", addr, "lladdr", hostMAC[n], "dev", dev, "nud", "permanent")
		}
	}
	w.r.Must("link set p2 mtu 1400")
	k.Run("ip", "link", "set", "p2", "mtu", "1400")
	for _, route := range staticRoutes {
		w.r.Must("route add " + route)
		k.Run("sh", "-c", "ip route add "+route)
	}
	return w, ours, kernels
}

// probe is a frame with a mark in it by which its consequences are known.
type probe struct {
	name  string
	frame []byte
}

const markLen = 12

// mark is what the payload of probe n begins with; it is quoted in errors as well.
func mark(n int) []byte {
	return fmt.Appendf(nil, "nsr-%08d", n)
}

// serialize makes the frame of probe n from layers, with lengths and checksums, and pads its payload to size.
func serialize(t *testing.T, n, size int, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	payload := append(mark(n), make([]byte, size)...)
	b := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, append(l, gopacket.Payload(payload))...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

func ethernet(typ layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: mac(hostMAC[1]), DstMAC: mac(routerMAC[1]), EthernetType: typ}
}

func mac(s string) []byte {
	var m [6]byte
	if _, err := fmt.Sscanf(s, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]); err != nil {
		panic(err)
	}
	return m[:]
}

// probes4 is the hand-made corpus for IPv4, numbered from first.
func probes4(t *testing.T, first int) []probe {
	var out []probe
	add := func(name string, size int, edit func(*layers.Ethernet, *layers.IPv4), upper ...gopacket.SerializableLayer) {
		e := ethernet(layers.EthernetTypeIPv4)
		ip := &layers.IPv4{
			Version:  4,
			TTL:      64,
			Id:       77,
			Protocol: layers.IPProtocolUDP,
			SrcIP:    []byte{10, 0, 1, 2},
			DstIP:    []byte{10, 0, 2, 2},
		}
		if len(upper) == 0 {
			upper = []gopacket.SerializableLayer{&layers.UDP{SrcPort: 4000, DstPort: 4001}}
		}
		if edit != nil {
			edit(e, ip)
		}
		if u, ok := upper[0].(*layers.UDP); ok {
			_ = u.SetNetworkLayerForChecksum(ip)
		}
		out = append(
			out,
			probe{name, serialize(t, first+len(out), size, append([]gopacket.SerializableLayer{e, ip}, upper...)...)},
		)
	}
	addrs := func(src, dst string) func(*layers.Ethernet, *layers.IPv4) {
		return func(_ *layers.Ethernet, ip *layers.IPv4) {
			ip.SrcIP, ip.DstIP = netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()
		}
	}
	add("plain", 20, nil)
	add("large", 1300, nil)
	for _, dst := range []string{"198.51.100.9", "192.0.2.1", "192.0.2.200", "203.0.113.1", "172.31.0.1",
		"10.0.1.1", "10.0.2.1", "10.0.1.255",
		"10.0.2.255", "10.0.2.0", "224.0.0.5", "239.1.2.3", "255.255.255.255", "127.0.0.1", "0.0.0.0"} {
		add("to "+dst, 20, addrs("10.0.1.2", dst))
	}
	for _, src := range []string{"198.51.100.7", "127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0",
		"240.0.0.1", "0.1.2.3", "10.0.2.2"} {
		add("from "+src, 20, addrs(src, "10.0.2.2"))
	}
	for _, ttl := range []uint8{0, 1, 2, 255} {
		add(fmt.Sprintf("TTL %d", ttl), 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TTL = ttl })
		add(
			fmt.Sprintf("TTL %d for the router", ttl),
			20,
			func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TTL, ip.DstIP = ttl, []byte{10, 0, 2, 1} },
		)
		add(
			fmt.Sprintf("TTL %d without a route", ttl),
			20,
			func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TTL, ip.DstIP = ttl, []byte{9, 9, 9, 9} },
		)
	}
	add("type of service", 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TOS = 0xb9 })
	add("type of service, expired", 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TOS, ip.TTL = 0xb9, 1 })
	add("reserved flag", 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.Flags = layers.IPv4EvilBit })
	add("first fragment", 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.Flags = layers.IPv4MoreFragments })
	add("later fragment", 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.FragOffset = 100 })
	add("later fragment, expired", 20, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.FragOffset, ip.TTL = 100, 1 })
	add("DF, too big", 1400, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.Flags = layers.IPv4DontFragment })
	add(
		"DF, just fits",
		1400-20-8-markLen,
		func(_ *layers.Ethernet, ip *layers.IPv4) { ip.Flags = layers.IPv4DontFragment },
	)
	add("no operation", 20, func(_ *layers.Ethernet, ip *layers.IPv4) {
		ip.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	})
	add("other station", 20, func(e *layers.Ethernet, _ *layers.IPv4) { e.DstMAC = mac("02:00:00:00:00:99") })
	add("link-layer broadcast", 20, func(e *layers.Ethernet, _ *layers.IPv4) { e.DstMAC = mac("ff:ff:ff:ff:ff:ff") })
	add("link-layer multicast", 20, func(e *layers.Ethernet, _ *layers.IPv4) { e.DstMAC = mac("01:00:5e:00:00:05") })
	icmp := func(typ, code uint8, edit func(*layers.Ethernet, *layers.IPv4)) {
		add(fmt.Sprintf("ICMP %d/%d", typ, code), 40, func(e *layers.Ethernet, ip *layers.IPv4) {
			ip.Protocol = layers.IPProtocolICMPv4
			edit(e, ip)
		}, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(typ, code), Id: 5, Seq: 6})
	}
	for _, dst := range []string{"10.0.2.2", "10.0.1.1", "10.0.2.1", "9.9.9.9", "10.0.2.255"} {
		icmp(8, 0, addrs("10.0.1.2", dst))
		icmp(0, 0, addrs("10.0.1.2", dst))
		icmp(3, 1, addrs("10.0.1.2", dst))
	}
	icmp(11, 0, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TTL = 1 })
	icmp(8, 0, func(_ *layers.Ethernet, ip *layers.IPv4) { ip.TTL = 1 })
	add("unknown protocol for the router", 20, func(_ *layers.Ethernet, ip *layers.IPv4) {
		ip.Protocol, ip.DstIP = 253, []byte{10, 0, 1, 1}
	}, gopacket.Payload{})
	return append(out, broken(out[0], first+len(out))...)
}

// broken are copies of a plain IPv4 probe with one thing wrong.
func broken(plain probe, first int) []probe {
	var out []probe
	add := func(name string, edit func(b []byte) []byte) {
		b := bytes.Clone(plain.frame)
		copy(b[14+20+8:], mark(first+len(out)))
		out = append(out, probe{name, edit(b)})
	}
	set := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at] = v
			binary.BigEndian.PutUint16(b[24:], 0)
			binary.BigEndian.PutUint16(b[24:], checksum(b[14:34]))
			return b
		}
	}
	add("version 5", set(14, 0x55))
	add("header length 16", set(14, 0x44))
	add("header longer than the packet", set(14, 0x4f))
	add("total length less than the header", set(17, 19))
	add("total length more than the frame", set(16, 4))
	add("total length less than the frame", set(17, 50))
	add("checksum", func(b []byte) []byte { b[24] ^= 1; return b })
	add("padded", func(b []byte) []byte { return append(b, make([]byte, 30)...) })
	return out
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// probes6 is the hand-made corpus for IPv6.
func probes6(t *testing.T, first int) []probe {
	var out []probe
	add := func(name string, size int, edit func(*layers.Ethernet, *layers.IPv6), upper ...gopacket.SerializableLayer) {
		e := ethernet(layers.EthernetTypeIPv6)
		ip := &layers.IPv6{Version: 6, HopLimit: 64, FlowLabel: 0x12345, NextHeader: layers.IPProtocolUDP,
			SrcIP: netip.MustParseAddr("2001:db8:1::2").
				AsSlice(),
			DstIP: netip.MustParseAddr("2001:db8:2::2").AsSlice()}
		if len(upper) == 0 {
			upper = []gopacket.SerializableLayer{&layers.UDP{SrcPort: 4000, DstPort: 4001}}
		}
		edit(e, ip)
		for _, l := range upper {
			if c, ok := l.(interface {
				SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
			}); ok {
				_ = c.SetNetworkLayerForChecksum(ip)
			}
		}
		out = append(
			out,
			probe{name, serialize(t, first+len(out), size, append([]gopacket.SerializableLayer{e, ip}, upper...)...)},
		)
	}
	addrs := func(src, dst string) func(*layers.Ethernet, *layers.IPv6) {
		return func(_ *layers.Ethernet, ip *layers.IPv6) {
			ip.SrcIP, ip.DstIP = netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()
		}
	}
	for _, dst := range []string{"2001:db8:2::2", "2001:db8:100::9", "2001:db8:bad::1", "2001:db8:bad:1::1",
		"2001:db8:ffff::1", "2001:db8:1::1",
		"2001:db8:2::1", "fe80::77", "ff02::77", "ff0e::77", "::1", "::"} {
		add("to "+dst, 20, addrs("2001:db8:1::2", dst))
	}
	for _, src := range []string{"2001:db8:100::7", "::1", "ff02::1", "::", "fe80::1"} {
		add("from "+src, 20, addrs(src, "2001:db8:2::2"))
	}
	for _, hops := range []uint8{0, 1, 2, 255} {
		add(fmt.Sprintf("hop limit %d", hops), 20, func(_ *layers.Ethernet, ip *layers.IPv6) { ip.HopLimit = hops })
		add(fmt.Sprintf("hop limit %d for the router", hops), 20, func(_ *layers.Ethernet, ip *layers.IPv6) {
			ip.HopLimit, ip.DstIP = hops, netip.MustParseAddr("2001:db8:2::1").AsSlice()
		})
	}
	add("too big", 1400, addrs("2001:db8:1::2", "2001:db8:2::2"))
	add("just fits", 1400-40-8-markLen, addrs("2001:db8:1::2", "2001:db8:2::2"))
	add("traffic class", 20, func(_ *layers.Ethernet, ip *layers.IPv6) { ip.TrafficClass = 0xb9 })
	add("other station", 20, func(e *layers.Ethernet, _ *layers.IPv6) { e.DstMAC = mac("02:00:00:00:00:99") })
	add(
		"no next header",
		0,
		func(_ *layers.Ethernet, ip *layers.IPv6) { ip.NextHeader = layers.IPProtocolNoNextHeader },
		gopacket.Payload{},
	)
	for _, dst := range []string{"2001:db8:2::2", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:ffff::1"} {
		for _, typ := range []uint8{128, 129, 1, 3} {
			add(fmt.Sprintf("ICMPv6 %d to %s", typ, dst), 40, func(e *layers.Ethernet, ip *layers.IPv6) {
				addrs("2001:db8:1::2", dst)(e, ip)
				ip.NextHeader = layers.IPProtocolICMPv6
			}, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(typ, 0)}, gopacket.Payload{0, 5, 0, 6})
		}
	}
	return out
}

// mutations are probes with a few bytes of their IP header changed at random, and half of the time a right checksum
// again.
func mutations(seed uint64, from []probe, first, count int) []probe {
	rnd := rand.New(rand.NewPCG(seed, 1))
	out := make([]probe, count)
	for i := range out {
		p := from[rnd.IntN(len(from))]
		b := bytes.Clone(p.frame)
		if at := bytes.Index(b, []byte("nsr-")); at >= 0 {
			copy(b[at:], mark(first+i))
		}
		header := 20
		if b[14]>>4 == 6 {
			header = 40
		}
		for range 1 + rnd.IntN(2) {
			b[14+rnd.IntN(min(header, len(b)-14))] = byte(rnd.Uint32())
		}
		if b[14]>>4 == 4 && rnd.IntN(4) != 0 {
			b[24], b[25] = 0, 0
			binary.BigEndian.PutUint16(b[24:], checksum(b[14:34]))
		}
		out[i] = probe{fmt.Sprintf("mutation of %q", p.name), b}
	}
	return out
}

// consequences are the frames that a router sent because of each probe: by number, then what came out of which port.
func (s side) consequences() map[int][]string {
	out := make(map[int][]string)
	for port := 1; port <= 2; port++ {
		for _, f := range s.at[port].Frames() {
			at := bytes.Index(f.Data, []byte("nsr-"))
			if at < 0 || at+markLen > len(f.Data) {
				continue
			}
			var n int
			if _, err := fmt.Sscanf(string(f.Data[at:at+markLen]), "nsr-%08d", &n); err == nil {
				out[n] = append(out[n], fmt.Sprintf("port %d: %x", port, normalize(f.Data)))
			}
		}
	}
	for _, frames := range out {
		slices.Sort(frames)
	}
	return out
}

// normalize takes out what a router may choose: the identification of its own IPv4 packets, with the checksum over it.
func normalize(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) >= 34 && b[12] == 8 && b[13] == 0 && b[23] == 1 && (b[14+20] != 8 || b[14+6]&0x20 != 0) && ownICMP(b) {
		copy(b[18:20], []byte{0, 0})
		copy(b[24:26], []byte{0, 0})
	}
	if len(b) >= 54 && b[12] == 0x86 && b[20] == 58 && bytes.HasPrefix(b[22:], []byte{0x20, 1, 0x0d, 0xb8, 0, 1}) {
		b[15] &= 0xf0 // the flow label of an own packet
		b[16], b[17] = 0, 0
	}
	return b
}

// ownICMP tells an ICMP message that comes from the router's own address.
func ownICMP(b []byte) bool { return b[26] == 10 && b[29] == 1 }

// different lists the probes that the routers treat differently.
func different(probes []probe, ours, kernels side) []string {
	a, b := ours.consequences(), kernels.consequences()
	var out []string
	for n, p := range probes {
		if x, y := fmt.Sprint(a[n]), fmt.Sprint(b[n]); x != y && !permitted(a[n], b[n]) {
			out = append(out, fmt.Sprintf("%d %s: %x\n  ours   %s\n  kernel %s", n, p.name, p.frame, x, y))
		}
	}
	return out
}

// permitted tells differences that are meant. The kernel sends IPv4 errors about what it has no route for to a source
// only five times and then once a second, by a limit that no sysctl of a namespace lifts (net/ipv4/route.c, ip_error).
func permitted(ours, kernels []string) bool {
	return len(kernels) == 0 && len(ours) == 1 && ownUnreachable(ours[0])
}

func ownUnreachable(f string) bool {
	var port int
	var b []byte
	_, err := fmt.Sscanf(f, "port %d: %x", &port, &b)
	return err == nil && len(b) > 36 && ownICMP(b) && b[34] == 3 && (b[35] <= 1 || b[35] == 13)
}

// TestReference sends the corpus to both routers and compares all that comes out.
func TestReference(t *testing.T) {
	w, ours, kernels := reference(t)
	probes := probes4(t, 0)
	probes = append(probes, probes6(t, len(probes))...)
	seed := uint64(1)
	if s := os.Getenv("REFERENCE_SEED"); s != "" { // for longer runs with other packets
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	hand := len(probes)
	probes = append(probes, mutations(seed, probes, hand, 1000)...)
	for n, p := range probes {
		for _, s := range []side{ours, kernels} {
			s.at[1].Send(p.frame)
		}
		if n%20 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	w.Eventually(5*time.Second, "silence", func() bool {
		before := len(
			ours.at[1].Frames(),
		) + len(
			ours.at[2].Frames(),
		) + len(
			kernels.at[1].Frames(),
		) + len(
			kernels.at[2].Frames(),
		)
		time.Sleep(300 * time.Millisecond)
		return before == len(
			ours.at[1].Frames(),
		)+len(
			ours.at[2].Frames(),
		)+len(
			kernels.at[1].Frames(),
		)+len(
			kernels.at[2].Frames(),
		)
	})
	bad := different(probes, ours, kernels)
	for i, d := range bad {
		if i == 60 {
			break
		}
		t.Error(d)
	}
	forwarded := len(kernels.at[2].Frames())
	t.Logf(
		"%d probes, %d of them by hand; the kernel forwarded %d and answered %d; %d differ",
		len(probes),
		hand,
		forwarded,
		len(kernels.at[1].Frames()),
		len(bad),
	)
	if forwarded < 100 {
		t.Error("the reference itself forwards too little to compare with")
	}
	w.conserved()
}
