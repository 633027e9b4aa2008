// Package corpus makes the packets by which this router is compared with the Linux kernel, and from which the fuzz tests
// start: by hand for every rule, all pairs of what a packet can be, and mutations of those.
//
// A packet is a list of named edits of a plain one, so that it can be made again under another number, and shrunk to the
// edits that matter. Its number, the mark, is all over its payload: whatever a router sends because of it can be told
// by the mark in what is forwarded or quoted, or else by the address that it goes to.
package corpus

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The world that the packets are made for: a router with two ports, and a host behind each.
//
//	port 1: 10.0.1.1/24, 2001:db8:1::1/64    port 2: 10.0.2.1/24, 2001:db8:2::1/64, a smaller MTU
//
// OnLink4 and OnLink6 are hosts on port 1, whose addresses all have HostMAC[1]; Far4 and Far6 are routed to the first
// of them. On port 2 only the hosts .2 and ::2 are there.
const (
	// MTU2 is the MTU of port 2 in bytes.
	MTU2 = 1400
	// Hosts is how many addresses the host on port 1 has in each family.
	Hosts = 200
	// Others is how many addresses the host on port 2 has for IPv4; only the first of them gets packets, but for errors.
	Others = 40
	// Far4 and Far6 are the networks behind the host on port 1, whose addresses are sources of the packets.
	Far4 = "172.20.0.0/16"
	// Far6 is what Far4 is, for IPv6.
	Far6 = "2001:db8:f::/48"
)

// MAC is a link-layer address.
type MAC [6]byte

func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// RouterMAC and HostMAC are the addresses of the router's port and of the host behind it, by port 1 and 2.
func RouterMAC(port int) MAC { return MAC{2, 0, 0, 0, 0, byte(port)} }

// HostMAC is the address of the host behind a port.
func HostMAC(port int) MAC { return MAC{2, 0, 0, 0, 1, byte(port)} }

// markedMAC is a sender's address by which the answer to an ARP request is known.
func markedMAC(n int) MAC { return MAC{2, 0x4e, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// Routes are those of the router, as `ip route add` takes them.
func Routes() []string {
	return []string{
		Far4 + " via 10.0.1.2",
		"198.51.100.0/24 via 10.0.2.2",
		"198.18.0.0/24 via 10.0.2.2 mtu 600",
		"unreachable 192.0.2.0/25",
		"prohibit 192.0.2.128/25",
		"blackhole 203.0.113.0/24",
		Far6 + " via 2001:db8:1::2",
		"2001:db8:100::/48 via 2001:db8:2::2",
		"2001:db8:200::/48 via 2001:db8:2::2 mtu 1300",
		"blackhole 2001:db8:bad::/48",
		"prohibit 2001:db8:bad:1::/64",
		"unreachable 2001:db8:bad:2::/64",
	}
}

// OnLink4 is the address of a host on port 1 that packet n comes from where it comes from the link. Else it has an address
// of its own in Far4: the kernel limits errors by whom they go to (net/ipv4/route.c, ip_error).
func OnLink4(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(2 + n%Hosts)}) }

// OnLink6 is what OnLink4 is, for IPv6.
func OnLink6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, 1, 15: byte(2 + n%Hosts)})
}

// Other4 is a host of port 2 that packet n claims to come from.
func Other4(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 2, byte(2 + n%Others)}) }

func far4(n int) netip.Addr { return netip.AddrFrom4([4]byte{172, 20, byte(n >> 8), byte(n)}) }

func far6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, 0xf, 12: byte(n >> 24), 13: byte(n >> 16),
		14: byte(n >> 8), 15: byte(n)})
}

// Edit is one thing that makes a packet other than plain.
type Edit struct {
	Name string
	do   func(*draft)
}

// Probe is a packet, or a few that belong together, to be sent to port 1 of the router.
type Probe struct {
	V6    bool
	Edits []Edit
}

// Alone tells whether what becomes of the packet may not be known by its mark or its addresses, so that nothing else may
// be sent meanwhile.
func (p Probe) Alone() bool {
	const n = 1<<16 - 1
	for _, f := range p.Frames(n) {
		if got, ok := Number(f); ok && got == n || For(f, n) {
			return false
		}
	}
	return true
}

// Name says what the packet is.
func (p Probe) Name() string {
	names := make([]string, len(p.Edits))
	for i, e := range p.Edits {
		names[i] = e.Name
	}
	family := "IPv4 "
	if p.V6 {
		family = "IPv6 "
	}
	if len(names) == 0 {
		return family + "plain"
	}
	return family + strings.Join(names, ", ")
}

// Without is the probe less its edit i.
func (p Probe) Without(i int) Probe {
	p.Edits = append(append([]Edit(nil), p.Edits[:i]...), p.Edits[i+1:]...)
	return p
}

// Frames makes the Ethernet frames, in the order in which they are to be sent, under number n.
func (p Probe) Frames(n int) [][]byte {
	d := plain(n, p.V6)
	for _, e := range p.Edits {
		e.do(d)
	}
	return d.frames()
}

const markLen = 12

// markOf is what the payload of packet n consists of.
func markOf(n int) []byte { return fmt.Appendf(nil, "nsr-%08d", n%1e8) }

// Number finds the number of the packet that a frame is a consequence of, by the mark in it.
func Number(frame []byte) (n int, ok bool) {
	for rest := frame; ; {
		at := bytes.Index(rest, []byte("nsr-"))
		if at < 0 || at+markLen > len(rest) {
			return 0, false
		}
		if _, err := fmt.Sscanf(string(rest[at:at+markLen]), "nsr-%08d", &n); err == nil {
			return n, true
		}
		rest = rest[at+4:]
	}
}

// For tells whether a frame without a mark is a consequence of packet n, or the packet itself: by its addresses.
func For(frame []byte, n int) bool {
	if len(frame) < 14 {
		return false
	}
	if m := markedMAC(n); bytes.Equal(frame[:6], m[:]) || bytes.Equal(frame[6:12], m[:]) || len(frame) >= 28 &&
		bytes.Equal(frame[22:28], m[:]) {
		return true
	}
	switch b := frame[14:]; {
	case frame[12] == 8 && frame[13] == 0 && len(b) >= 20:
		from, to := netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		return from == OnLink4(n) || from == far4(n) || to == OnLink4(n) || to == far4(n)
	case frame[12] == 0x86 && frame[13] == 0xdd && len(b) >= 40:
		from, to := netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		return from == OnLink6(n) || from == far6(n) || to == OnLink6(n) || to == far6(n)
	}
	return false
}

// Hand is the packets of a family that no combination of dimensions makes.
func Hand(v6 bool) []Probe {
	if v6 {
		return hand6()
	}
	return hand4()
}

// Sync are an echo request that port 1 answers, and a packet that leaves by port 2, both with a token in them.
func Sync(token []byte) [][]byte {
	var out [][]byte
	for _, to := range []string{"10.0.1.1", "10.0.2.2"} {
		d := plain(0, false)
		d.src, d.dst, d.size = OnLink4(0), netip.MustParseAddr(to), 0
		d.transport = icmp(8, 0, append([]byte{0, 0, 0, 0}, token...)...)
		out = append(out, d.frames()...)
	}
	return out
}

// Describe prints the layers of a frame in a line.
func Describe(frame []byte) string {
	var b strings.Builder
	for _, l := range gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default).Layers() {
		if b.Len() > 0 {
			b.WriteString(" / ")
		}
		switch l := l.(type) {
		case *layers.Ethernet:
			fmt.Fprintf(&b, "%v > %v %v", l.SrcMAC, l.DstMAC, l.EthernetType)
		case *layers.IPv4:
			fmt.Fprintf(&b, "IPv4 %v > %v ttl %d tos %#x len %d id %d flags %v offset %d proto %v options %v",
				l.SrcIP, l.DstIP, l.TTL, l.TOS,
				l.Length, l.Id, l.Flags, l.FragOffset, l.Protocol, l.Options)
		case *layers.IPv6:
			fmt.Fprintf(&b, "IPv6 %v > %v hops %d class %#x label %#x len %d next %v", l.SrcIP, l.DstIP, l.HopLimit,
				l.TrafficClass, l.FlowLabel,
				l.Length, l.NextHeader)
		case *layers.ICMPv4:
			fmt.Fprintf(&b, "ICMP %v rest %#x", l.TypeCode, uint32(l.Id)<<16|uint32(l.Seq))
		case *layers.ICMPv6:
			fmt.Fprintf(&b, "ICMPv6 %v", l.TypeCode)
		default:
			fmt.Fprintf(&b, "%v (%d bytes)", l.LayerType(), len(l.LayerContents()))
		}
	}
	return b.String()
}
