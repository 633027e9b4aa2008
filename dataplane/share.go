package dataplane

import (
	"encoding/binary"
	"math/bits"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
)

// A device with fewer queues than there are workers leaves some of them without work. With the setting spread the worker that
// has a queue shares out what it receives there over all workers, itself included, by a hash of the flow: what a card does
// with its queues, in software. Each packet costs a look at its headers and two cache lines that go from CPU to CPU
// (BenchmarkShare): it pays where that worker is busy and others are not, and is off unless it is asked for.

// sharedKey makes the hash differ from that of a card, which may have chosen the queue by one much alike.
const sharedKey = 0x9e3779b97f4a7c15

// share passes the first n packets, which were just received, to their workers; what is this worker's own goes on here.
func (w *Worker) share(n int) {
	for i := range n {
		p := &w.packets[i]
		to := int(uint64(w.flowHash(p)) * uint64(len(w.peers)) >> 32)
		if to == w.id {
			w.to(ethernetInput, uint16(i))
			continue
		}
		p.Next, p.Namespace = ethernetInput, w.ns.ID
		if !w.outbox[to].push(p) {
			w.refuseShared(p, counters.HandoffFull)
			continue
		}
		w.notify[to] = true
	}
}

// takeShared goes on with a packet that another worker has received. One whose device was in another namespace then is
// dropped: what was received in one must not be met in the other.
func (w *Worker) takeShared(i uint16) {
	p := &w.packets[i]
	if p.Namespace != w.ns.ID {
		w.refuseShared(p, counters.OtherNamespace)
		return
	}
	p.Namespace = 0
	w.to(ethernetInput, i)
}

// refuseShared counts a packet, which ethernet-input has not seen, as received and dropped.
func (w *Worker) refuseShared(p *Packet, why reason) {
	length := int(p.Len)
	if p.Flags&Chained != 0 {
		length += frame.Rest(w.mem, p.Addr)
	}
	w.slot.RxPackets.Add(1)
	w.slot.RxBytes.Add(uint64(length))
	w.discard(p, why)
}

// flowHash is a hash of what all packets of a flow have in common: of IP addresses, and of the ports of TCP, UDP and SCTP
// where the packet is no fragment, below up to two VLAN tags. All else, ARP for instance, has one value. Nothing of the frame
// has been checked.
func (w *Worker) flowHash(p *Packet) uint32 {
	b := w.mem[p.Addr : p.Addr+uint64(p.Len)]
	at := header.EthernetLen
	for range 3 {
		if len(b) < at {
			return 0
		}
		switch binary.BigEndian.Uint16(b[at-2:]) {
		case header.TypeIPv4:
			return hash4(b[at:])
		case header.TypeIPv6:
			return hash6(b[at:])
		case header.TypeVLAN, header.TypeServiceVLAN:
			at += header.VLANTagLen
		default:
			return 0
		}
	}
	return 0
}

func hash4(b []byte) uint32 {
	if len(b) < header.IPv4MinLen {
		return 0
	}
	h := header.IPv4(b)
	ports := uint64(0)
	if at := h.HeaderLen(); !h.IsFragment() && len(b) >= at+4 {
		ports = portsOf(h.Protocol(), b[at:])
	}
	return foldFlow(binary.BigEndian.Uint64(b[12:]), ports)
}

func hash6(b []byte) uint32 {
	if len(b) < header.IPv6HeaderLen {
		return 0
	}
	ports := uint64(0)
	if len(b) >= header.IPv6HeaderLen+4 {
		ports = portsOf(b[6], b[header.IPv6HeaderLen:])
	}
	word := func(at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
	// Rotated, so that addresses with the same halves do not cancel out.
	return foldFlow(word(8)^bits.RotateLeft64(word(16), 17), ports^word(24)^bits.RotateLeft64(word(32), 31))
}

// portsOf are the ports of a transport header, with its protocol.
func portsOf(protocol uint8, b []byte) uint64 {
	switch protocol {
	case header.ProtoTCP, header.ProtoUDP, header.ProtoSCTP:
		return uint64(binary.BigEndian.Uint32(b)) | uint64(protocol)<<32
	}
	return uint64(protocol) << 32
}

// foldFlow mixes two words: the halves of 128-bit products, one upon the other.
func foldFlow(a, b uint64) uint32 {
	hi, lo := bits.Mul64(a^sharedKey, b^0xbf58476d1ce4e5b9)
	hi, lo = bits.Mul64(hi^lo, 0x94d049bb133111eb)
	return uint32((hi ^ lo) >> 32)
}
