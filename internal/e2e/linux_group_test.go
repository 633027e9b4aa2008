package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
	"nsrouter/internal/lab"
	"nsrouter/internal/netns"
)

// TestLinuxErrors: what a host, or a router beyond it, says about a program's packets reaches the program.
func TestLinuxErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	w.host(1, "red")
	red, err := netns.Open(w.r.NetnsPrefix + "red")
	w.must(err)
	defer red.Close()
	for _, address := range []string{"10.0.1.2:9", "[2001:db8:1::2]:9"} {
		var conn net.Conn
		w.must(red.Do(func() (err error) {
			conn, err = net.Dial("udp", address)
			return err
		}))
		w.must(conn.SetDeadline(time.Now().Add(10 * time.Second)))
		_, err := conn.Write([]byte("nobody listens"))
		w.must(err)
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: %v", address, err)
		}
		conn.Close()
		w.must(red.Do(func() error {
			conn, err := net.DialTimeout("tcp", address, 10*time.Second)
			if !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("TCP to %s: %v", address, err)
			}
			if err == nil {
				conn.Close()
			}
			return nil
		}))
	}
	w.conserved()
}

// TestLinuxGroups: a program in a namespace joins groups, which Linux tells the link (IGMP, MLD), as it does the groups that
// neighbours ask for the router's own addresses by; it hears what a host sends to them and to all, and the host hears it.
// A program in another namespace, which has joined the same, hears nothing.
func TestLinuxGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a := w.hostAs("a", "p1", 1, "red")
	w.hostAs("b", "p2", 1, "blue")
	wire := a.Sniff("eth0")
	w.r.Must("-n red link set p1 down\n-n red link set p1 up")
	const to4, to6 = "239.1.2.3:7001", "[ff02::1:77%p1]:7002"
	red := map[string]*net.UDPConn{
		to4: w.join("red", "p1", to4), to6: w.join("red", "p1", to6),
		"10.0.1.255:7003":      w.join("red", "", "0.0.0.0:7003"),
		"255.255.255.255:7004": w.join("red", "", "0.0.0.0:7004"),
	}
	blue := map[string]*net.UDPConn{
		to4: w.join("blue", "p2", to4), to6: w.join("blue", "p2", to6),
		"10.0.1.255:7003":      w.join("blue", "", "0.0.0.0:7003"),
		"255.255.255.255:7004": w.join("blue", "", "0.0.0.0:7004"),
	}
	for what, is := range map[string]func(f []byte) bool{
		"an IGMPv3 report":                          igmpReport,
		"an MLDv2 report":                           reports(netip.MustParseAddr("ff02::1:77")),
		"an MLDv2 report of a solicited-node group": reports(netip.MustParseAddr("ff02::1:ff00:1")),
	} {
		if _, ok := wire.Wait(10*time.Second, is); !ok {
			t.Errorf("%s was not heard", what)
		}
	}
	w.queried(wire)
	for to, conn := range red {
		w.tell(a, strings.Replace(to, "%p1", "%eth0", 1), "from a")
		if from := heard(t, conn, "from a", 10*time.Second); from == nil {
			t.Errorf("what a sends to %s is not heard in red", to)
		}
	}
	w.must(a.NS.Do(func() error {
		group, err := net.ResolveUDPAddr("udp", to4)
		if err != nil {
			return err
		}
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, err := net.ListenMulticastUDP("udp", eth0, group)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := red[to4].WriteTo([]byte("from red"), group); err != nil {
			return err
		}
		if from := heard(t, conn, "from red", 10*time.Second); from == nil || from.String() != "10.0.1.1:7001" {
			t.Errorf("a hears %v", from)
		}
		return nil
	}))
	for to, conn := range blue {
		if from := heard(t, conn, "", 50*time.Millisecond); from != nil {
			t.Errorf("blue hears what %v sends to %s", from, to)
		}
	}
	w.conserved()
}

// reports tells the MLDv2 reports of a group, which have the router alert option before them (RFC 3810 5).
func reports(group netip.Addr) func(f []byte) bool {
	return func(f []byte) bool {
		return is6(f) && len(f) > 62 && f[20] == unix.IPPROTO_HOPOPTS && f[62] == 143 &&
			bytes.Contains(f[62:], group.AsSlice())
	}
}

// queried fails unless Linux answers a querier on the link (RFC 3376 4.1, RFC 3810 5.1), as a switch that snoops needs it.
func (w *world) queried(wire *lab.Sniffer) {
	w.t.Helper()
	wire.Take()
	query4 := []byte{0x11, 10, 0, 0, 0, 0, 0, 0, 0, 125, 0, 0} // within a second, of all groups
	binary.BigEndian.PutUint16(query4[2:], ^header.Fold(header.Sum(0, query4)))
	ip4 := &layers.IPv4{
		Version: 4, TTL: 1, Protocol: layers.IPProtocolIGMP, SrcIP: net.IP{10, 0, 1, 2}, DstIP: net.IP{224, 0, 0, 1},
		Options: []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}, // router alert
	}
	wire.Send(frameOf(w.t, "01:00:5e:00:00:01", layers.EthernetTypeIPv4, ip4, gopacket.Payload(query4)))
	ip6 := &layers.IPv6{
		Version: 6, HopLimit: 1, NextHeader: layers.IPProtocolICMPv6, SrcIP: net.ParseIP("fe80::99"), DstIP: net.ParseIP("ff02::1"),
		HopByHop: &layers.IPv6HopByHop{Options: []*layers.IPv6HopByHopOption{
			{OptionType: 5, OptionData: []byte{0, 0}}, {OptionType: 1},
		}},
	}
	query6 := append([]byte{0x03, 0xe8, 0, 0}, make([]byte, 20)...) // within a second, of all groups
	query6[21] = 125
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(130, 0)}
	w.must(icmp.SetNetworkLayerForChecksum(ip6))
	wire.Send(frameOf(w.t, "33:33:00:00:00:01", layers.EthernetTypeIPv6, ip6, icmp, gopacket.Payload(query6)))
	for what, is := range map[string]func(f []byte) bool{
		"IGMP": igmpReport, "MLD": reports(netip.MustParseAddr("ff02::1:77")),
	} {
		if _, ok := wire.Wait(10*time.Second, is); !ok {
			w.t.Errorf("no answer to the %s query", what)
		}
	}
}

// frameOf makes a frame from a host to a group.
func frameOf(t *testing.T, to string, kind layers.EthernetType, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	dst, err := net.ParseMAC(to)
	if err != nil {
		t.Fatal(err)
	}
	e := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 0x99}, DstMAC: dst, EthernetType: kind}
	b, o := gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, append([]gopacket.SerializableLayer{e}, l...)...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// igmpReport tells the IGMPv3 reports of 239.1.2.3.
func igmpReport(f []byte) bool {
	protocol, rest := transportOf(f)
	return is4(f) && protocol == unix.IPPROTO_IGMP && rest[0] == 0x22 && bytes.Contains(rest, []byte{239, 1, 2, 3})
}

// join opens a socket in a namespace for what is sent to an address, a group of a device if one is named.
func (w *world) join(ns, dev, address string) (conn *net.UDPConn) {
	w.t.Helper()
	linux, err := netns.Open(w.r.NetnsPrefix + ns)
	w.must(err)
	defer linux.Close()
	w.must(linux.Do(func() error {
		addr, err := net.ResolveUDPAddr("udp", strings.ReplaceAll(address, "%p1", "%"+dev))
		if err != nil || dev == "" {
			conn, err = net.ListenUDP("udp4", addr)
			return err
		}
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		conn, err = net.ListenMulticastUDP("udp", ifi, addr)
		return err
	}))
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

// tell has a host send a datagram.
func (w *world) tell(h *lab.Host, address, text string) {
	w.t.Helper()
	w.must(h.NS.Do(func() error {
		conn, err := net.Dial("udp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte(text))
		return err
	}))
}

// heard waits for a datagram that says text, or any where that is empty, and returns who sent it, or nil.
func heard(t *testing.T, conn *net.UDPConn, text string, timeout time.Duration) net.Addr {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	var buf [64]byte
	for {
		n, from, err := conn.ReadFrom(buf[:])
		var late net.Error
		switch {
		case errors.As(err, &late) && late.Timeout():
			return nil
		case err != nil:
			t.Fatal(err)
		case text == "" || string(buf[:n]) == text:
			return from
		}
	}
}
