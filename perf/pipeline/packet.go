package main

import (
	"encoding/binary"
	"net/netip"

	"nsrouter/dataplane/header"
)

const (
	frameLen = 64 // bytes of a packet from its Ethernet header on, as testpmd's net_null has them
	startTTL = 64
)

// flow is what the packets of a loop have in common.
type flow struct {
	port   int // that receives them
	source netip.Addr
}

// packet makes a UDP packet to dst, with a VLAN tag if that is not zero. UDP over IPv4 has no checksum here, over IPv6 one that nobody
// looks at.
func (f flow) packet(dst netip.Addr, vlan uint16) []byte {
	be := binary.BigEndian
	b := make([]byte, 0, frameLen)
	to, from := portMAC(f.port), hostMAC(f.port, 0)
	b = append(append(b, to[:]...), from[:]...)
	if vlan != 0 {
		b = be.AppendUint16(be.AppendUint16(b, header.TypeVLAN), vlan)
	}
	if dst.Is4() {
		b = be.AppendUint16(b, header.TypeIPv4)
		at := len(b)
		b = append(b, 0x45, 0)
		b = be.AppendUint16(b, uint16(frameLen-at))
		b = append(b, 0, 0, 0, 0, startTTL, header.ProtoUDP, 0, 0)
		b = append(append(b, f.source.AsSlice()...), dst.AsSlice()...)
		header.IPv4(b[at:]).SetChecksum()
	} else {
		b = be.AppendUint16(b, header.TypeIPv6)
		b = append(b, 0x60, 0, 0, 0)
		b = be.AppendUint16(b, uint16(frameLen-len(b)-header.IPv6HeaderLen+4))
		b = append(b, header.ProtoUDP, startTTL)
		b = append(append(b, f.source.AsSlice()...), dst.AsSlice()...)
	}
	b = be.AppendUint16(be.AppendUint16(b, 1000), 2000)
	b = be.AppendUint16(be.AppendUint16(b, uint16(frameLen-len(b)+4)), 0)
	return b[:frameLen]
}
