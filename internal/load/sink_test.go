package load

import (
	"net"
	"testing"
)

// TestSink gives the sink's program packets that were forwarded as they should be, or not in one respect.
func TestSink(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	ipv4 := append(append(net.HardwareAddr{}, mac...), 2, 0, 0, 0, 0, 1, 0x08, 0,
		0x45, 0, 0, 28, 0, 0, 0, 0, TTL-1, 17, 0, 0, 10, 0, 0, 1, 10, 1, 5, 1, 0x40, 0, 0, Port, 0, 8, 0, 0)
	check := ^uint16(0)
	for i := 14; i < 34; i += 2 {
		sum := uint32(check) - uint32(uint16(ipv4[i])<<8|uint16(ipv4[i+1]))
		check = uint16(sum) - uint16(sum>>31) // end-around borrow
	}
	ipv4[24], ipv4[25] = byte(check>>8), byte(check)
	ipv6 := append(append(net.HardwareAddr{}, mac...), 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, TTL-1)
	ipv6 = append(ipv6, make([]byte, 32)...)
	ipv6 = append(ipv6, 0x40, 0, 0, Port, 0, 8, 1, 1)
	tagged := append(append(append([]byte{}, ipv4[:12]...), 0x81, 0, 0, 6), ipv4[12:]...) // VLAN 6 is that of 10.1.5.1
	for _, c := range []struct {
		what   string
		frame  []byte
		at     int // octet that is changed
		o      SinkOptions
		counts Counts
	}{
		{"IPv4", ipv4, -1, SinkOptions{}, Counts{1, 0}},
		{"IPv6", ipv6, -1, SinkOptions{}, Counts{1, 0}},
		{"tag that nobody asked for", tagged, -1, SinkOptions{}, Counts{1, 0}},
		{"tag", tagged, -1, SinkOptions{VLANs: 8}, Counts{1, 0}},
		{"other tag", tagged, 15, SinkOptions{VLANs: 8}, Counts{1, 1}},
		{"no tag", ipv4, -1, SinkOptions{VLANs: 8}, Counts{1, 1}},
		{"TTL as sent", ipv4, -1, SinkOptions{TTL: TTL}, Counts{1, 1}},
		{"other MAC", ipv4, 5, SinkOptions{}, Counts{1, 1}},
		{"other checksum", ipv4, 25, SinkOptions{}, Counts{1, 1}},
		{"other source, checksum as before", ipv4, 29, SinkOptions{}, Counts{1, 1}},
		{"other hop limit", ipv6, 21, SinkOptions{}, Counts{1, 1}},
		{"other port", ipv4, 37, SinkOptions{}, Counts{}},
		{"other port, IPv6", ipv6, 57, SinkOptions{}, Counts{}},
		{"no UDP", ipv4, 23, SinkOptions{}, Counts{}},
		{"no IP", ipv4, 12, SinkOptions{}, Counts{}},
	} {
		coll, err := sinkProgram(mac, c.o, 1)
		if err != nil {
			t.Fatal(err)
		}
		frame := append([]byte{}, c.frame...)
		if c.at >= 0 {
			frame[c.at] ^= 1
		}
		if _, _, err := coll.Programs["sink"].Test(frame); err != nil {
			t.Fatal(err)
		}
		s := &Sink{coll: coll}
		if got, err := s.Counts(); err != nil || got != c.counts {
			t.Errorf("%s: %+v, %v; want %+v", c.what, got, err, c.counts)
		}
		coll.Close()
	}
}
