package load_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

// sum is the one's complement sum of big-endian words.
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, part := range parts {
		for ; len(part) > 1; part = part[2:] {
			s += uint32(binary.BigEndian.Uint16(part))
		}
		if len(part) == 1 {
			s += uint32(part[0]) << 8
		}
	}
	s = s&0xffff + s>>16
	return uint16(s&0xffff + s>>16)
}

// packet is what a frame of the source says.
type packet struct {
	vlan, port uint16
	to         netip.Addr
}

// parse checks all that a frame of the source says of itself; false if it is not one.
func parse(t *testing.T, frame []byte) (p packet, ok bool) {
	t.Helper()
	layer3, proto := frame[14:], binary.BigEndian.Uint16(frame[12:])
	if proto == 0x8100 {
		p.vlan, proto = binary.BigEndian.Uint16(frame[14:]), binary.BigEndian.Uint16(frame[16:])
		layer3 = frame[18:]
	}
	var udp []byte
	switch {
	case proto == 0x0800 && layer3[9] == 17:
		p.to, udp = netip.AddrFrom4([4]byte(layer3[16:20])), layer3[20:binary.BigEndian.Uint16(layer3[2:])]
		if layer3[0] != 0x45 || layer3[8] != load.TTL || sum(layer3[:20]) != 0xffff {
			t.Errorf("IPv4 header % x", layer3[:20])
		}
	case proto == 0x86dd && layer3[6] == 17:
		p.to, udp = netip.AddrFrom16([16]byte(layer3[24:40])), layer3[40:]
		pseudo := []byte{0, 17, layer3[4], layer3[5]}
		if layer3[0] != 0x60 || layer3[7] != load.TTL || sum(layer3[8:40], pseudo, udp) != 0xffff {
			t.Errorf("IPv6 header % x, UDP % x: sum %x", layer3[:40], udp, sum(layer3[8:40], pseudo, udp))
		}
	default:
		return p, false // the neighbour discovery of the interfaces themselves
	}
	p.port = binary.BigEndian.Uint16(udp)
	if binary.BigEndian.Uint16(udp[2:]) != load.Port || int(binary.BigEndian.Uint16(udp[4:])) != len(udp) {
		t.Errorf("UDP header % x of %d bytes", udp[:8], len(udp))
	}
	return p, true
}

// TestFrames looks at what a paced source sends: every destination, flow and VLAN, on every device, in turns.
func TestFrames(t *testing.T) {
	for name, c := range map[string]struct {
		src, first                          string
		destinations, flows, vlans, devices int
		length                              int
	}{
		"IPv4":       {"10.0.1.2", "10.9.0.5", 64, 16, 0, 1, 60},
		"IPv6":       {"fd00::2", "fd09::5", 64, 16, 0, 1, 62},
		"IPv4, VLAN": {"10.0.1.2", "10.9.0.5", 32, 1, 8, 4, 64},
		"IPv6, VLAN": {"fd00::2", "fd09::5", 32, 1, 8, 2, 66},
	} {
		t.Run(name, func(t *testing.T) {
			l := lab.New(t)
			near, far := l.Host("near"), l.Host("far")
			o := load.SourceOptions{
				Src: netip.MustParseAddr(c.src), Destinations: addresses(c.first, c.destinations), Flows: c.flows,
				VLANs: c.vlans, Rate: 5_000,
			}
			var ears []*lab.Sniffer
			for i := range c.devices {
				name := []string{"a", "b", "c", "d"}[i]
				out, in := l.Link(near.End(name), lab.End{Host: far, Name: name, MAC: "02:00:00:00:00:01"}, lab.LinkOptions{})
				detach, err := load.Pass(in)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(detach)
				o.Devices, o.To = append(o.Devices, out), in.MAC
				ears = append(ears, far.Sniff(name))
			}
			source, err := load.NewSource(o)
			if err != nil {
				t.Fatal(err)
			}
			defer source.Close()
			if err := source.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
				if n, err := source.Sent(); err != nil || n >= 64 {
					break
				}
			}
			sent, err := source.Stop()
			if err != nil || sent < 64 {
				t.Fatalf("sent %d, %v", sent, err)
			}
			got := 0
			for i, ear := range ears {
				got += eachFrame(t, ear, int(sent)/c.devices, func(k int, frame []byte, p packet) {
					n := k*c.devices + i
					want := packet{to: o.Destinations[n%c.destinations], port: uint16(16384 + n%c.flows)}
					if c.vlans > 0 {
						want.vlan = uint16(1 + k%c.vlans)
					}
					if p != want || len(frame) != c.length {
						t.Fatalf("packet %d: %+v in %d bytes, want %+v in %d", n, p, len(frame), want, c.length)
					}
				})
			}
			if got != int(sent) {
				t.Errorf("%d packets arrived of %d", got, sent)
			}
		})
	}
}

// eachFrame calls check with each packet of a source, once n of them have come or a second has passed, and returns their number.
func eachFrame(t *testing.T, ear *lab.Sniffer, n int, check func(k int, frame []byte, p packet)) (k int) {
	t.Helper()
	for deadline := time.Now().Add(time.Second); len(ear.Frames()) < n && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, f := range ear.Frames() {
		if p, ok := parse(t, f.Data); ok {
			check(k, f.Data, p)
			k++
		}
	}
	return k
}
