package tap

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
)

var be = binary.BigEndian //nolint:gochecknoglobals // short for a constant

// finish makes of what Linux sends what a network card would: segments with complete checksums. f is used up. What cannot
// be, because its headers contradict each other, is dropped.
func finish(h vnetHeader, f []byte, yield func(frame []byte)) {
	switch {
	case h.gso&^unix.VIRTIO_NET_HDR_GSO_ECN != unix.VIRTIO_NET_HDR_GSO_NONE:
		segment(h, f, yield)
	case h.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM == 0:
		yield(f)
	case complete(f, h.csumStart, h.csumField):
		yield(f)
	}
}

// complete puts in a checksum, whose field has the sum over the pseudo-header; false if it is not within f.
func complete(f []byte, start, field int) bool {
	if start+field+2 > len(f) {
		return false
	}
	sum := ^header.Fold(header.Sum(0, f[start:]))
	if sum == 0 { // which says "none" in UDP, and means the same elsewhere
		sum = 0xffff
	}
	be.PutUint16(f[start+field:], sum)
	return true
}

// TCP flags that not all segments of a sequence have.
const (
	tcpFIN = 1 << 0
	tcpPSH = 1 << 3
	tcpCWR = 1 << 7
)

// segments are what a TCP segment larger than the link is cut into (net/ipv4/tcp_offload.c, tcp_gso_segment).
type segments struct {
	network, transport int // where the headers begin
	headers            int // length of all headers
	ipv6               bool
	sequence           uint32
	id                 uint16 // of IPv4
	flags              byte   // of TCP
}

// segment yields the segments of a frame with a payload of h.size bytes each.
func segment(h vnetHeader, f []byte, yield func(frame []byte)) {
	s, ok := parse(h, f)
	if !ok {
		return
	}
	payload := f[s.headers:]
	out := buffers.Get().(*[readLen]byte)
	defer buffers.Put(out)
	copy(out[:], f[:s.headers])
	for at := 0; at < len(payload); at += h.size {
		n := min(h.size, len(payload)-at)
		copy(out[s.headers:], payload[at:at+n])
		frame := out[:s.headers+n]
		s.number(frame, at, at/h.size, at+n == len(payload))
		yield(frame)
	}
}

// parse reads the headers of what is to be cut; false where they are no TCP over IP, or not all there.
func parse(h vnetHeader, f []byte) (s segments, ok bool) {
	const ethernetLen, tagLen, tcpLen, tcpSum = 14, 4, 20, 16
	kind := h.gso &^ unix.VIRTIO_NET_HDR_GSO_ECN
	if len(f) < ethernetLen || h.size == 0 || h.csumField != tcpSum || h.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM == 0 {
		return s, false
	}
	at := ethernetLen
	for header.IsVLAN(be.Uint16(f[at-2:])) { // a VLAN device of Linux on the TAP
		if at += tagLen; at > len(f) {
			return s, false
		}
	}
	least := header.IPv4MinLen
	switch typ := be.Uint16(f[at-2:]); {
	case typ == header.TypeIPv4 && kind == unix.VIRTIO_NET_HDR_GSO_TCPV4:
	case typ == header.TypeIPv6 && kind == unix.VIRTIO_NET_HDR_GSO_TCPV6:
		s.ipv6, least = true, header.IPv6HeaderLen
	default:
		return s, false
	}
	s.network, s.transport = at, h.csumStart
	if s.transport < at+least || s.transport+tcpLen > len(f) {
		return s, false
	}
	if !s.ipv6 && (header.IPv4(f[at:]).HeaderLen() != s.transport-at) {
		return s, false
	}
	tcp := f[s.transport:]
	s.headers = s.transport + int(tcp[12]>>4)*4
	if s.headers < s.transport+tcpLen || s.headers > len(f) {
		return s, false
	}
	s.sequence, s.flags = be.Uint32(tcp[4:]), tcp[13]
	if !s.ipv6 {
		s.id = header.IPv4(f[at:]).ID()
	}
	return s, true
}

// number makes the headers of the segment k, whose payload begins at offset, right.
func (s *segments) number(frame []byte, offset, k int, last bool) {
	ip, tcp := frame[s.network:], frame[s.transport:]
	be.PutUint32(tcp[4:], s.sequence+uint32(offset))
	tcp[13] = s.flags
	if !last {
		tcp[13] &^= tcpFIN | tcpPSH
	}
	if k > 0 {
		tcp[13] &^= tcpCWR
	}
	be.PutUint16(tcp[16:], 0)
	var pseudo uint64
	if s.ipv6 {
		be.PutUint16(ip[4:], uint16(len(ip)-header.IPv6HeaderLen))
		pseudo = header.PseudoSum6(header.IPv6(ip), header.ProtoTCP, len(tcp))
	} else {
		h := header.IPv4(ip)
		h.SetTotalLen(len(ip))
		be.PutUint16(ip[4:], s.id+uint16(k))
		h.SetChecksum()
		pseudo = header.PseudoSum4(h, len(tcp))
	}
	be.PutUint16(tcp[16:], ^header.Fold(header.Sum(pseudo, tcp)))
}
