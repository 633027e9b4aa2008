package tap

import (
	"bytes"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
)

// maxTrain bounds the segments of a train; 45 full ones fill 64 KiB.
const maxTrain = 64

// maxDatagram is the longest IP packet, bytes.
const maxDatagram = 1<<16 - 1

// tcpSegment is a frame with TCP over IP that can be part of a train: data, no IP options or extensions, whole, and no flag
// that asks for more than to be taken in.
type tcpSegment struct {
	frame     []byte // without what pads it
	ipv6      bool
	transport int // where the TCP header begins
	headers   int // length of all headers
}

// train is what goes to Linux with one call: a frame, or TCP segments that continue each other as if they had
// never been cut (net/ipv4/tcp_offload.c, tcp_gro_receive, has the conditions).
type train struct {
	header  [vnetLen]byte
	headers [maxHeaders]byte     // for all segments of a train
	parts   [2 + maxTrain][]byte // vnet header, headers, payloads
	used    int                  // of parts
}

// maxHeaders is the length of Ethernet, IPv6 and TCP headers with all options of TCP.
const maxHeaders = ethernetLen + header.IPv6HeaderLen + 60

const (
	ethernetLen = 14
	tcpSumAt    = 16 // where the checksum is in a TCP header
)

// trains are used only while there is something to write.
var trains = sync.Pool{New: func() any { return new(train) }} //nolint:gochecknoglobals // a pool is meant to be shared

// WriteFrames has Linux receive Ethernet frames by the TAP, in their order. Segments of a TCP connection that follow each
// other arrive as one, which costs Linux as little as a short one. It does not wait, and tells how many frames Linux did not
// want, for instance since the TAP is down. The frames are only read. Any goroutine.
func (d *Device) WriteFrames(frames [][]byte) (refused int) {
	t := trains.Get().(*train)
	for len(frames) > 0 {
		n := t.gather(frames)
		if _, err := unix.Writev(d.fd, t.parts[:t.used]); err != nil {
			refused += n
		}
		frames = frames[n:]
	}
	clear(t.parts[:])
	trains.Put(t)
	return refused
}

// gather takes the first of frames, and those that continue it. It tells how many there are.
func (t *train) gather(frames [][]byte) int {
	t.header = [vnetLen]byte{}
	t.parts[0], t.parts[1], t.used = t.header[:], frames[0], 2
	first, ok := asSegment(frames[0])
	if !ok {
		return 1
	}
	size, length := len(first.payload()), len(first.frame)
	sequence := first.sequence() + uint32(size)
	last, n := first, 1
	for ; n < min(len(frames), maxTrain) && len(last.payload()) == size && !last.push(); n++ {
		s, ok := asSegment(frames[n])
		if !ok || s.sequence() != sequence || !first.sameFlow(s) {
			break
		}
		more := len(s.payload())
		if more > size || length+more > ethernetLen+maxDatagram {
			break
		}
		if n == 1 && !first.checksumOK() || !s.checksumOK() { // Linux believes of a train that they are
			break
		}
		t.parts[2+n] = s.payload()
		length += more
		sequence += uint32(more)
		last = s
	}
	if n > 1 {
		t.parts[2], t.used = first.payload(), 2+n
		t.join(first, last, length)
	}
	return n
}

// join makes the headers of a train: those of a packet of all payloads, with the checksum still to be completed.
func (t *train) join(first, last tcpSegment, length int) {
	h := t.headers[:copy(t.headers[:], first.frame[:first.headers])]
	t.parts[1] = h
	ip, tcp := h[ethernetLen:], h[first.transport:]
	tcp[13] = last.frame[last.transport+13]
	gso := byte(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	var pseudo uint64
	if first.ipv6 {
		gso = unix.VIRTIO_NET_HDR_GSO_TCPV6
		be.PutUint16(ip[4:], uint16(length-ethernetLen-header.IPv6HeaderLen))
		pseudo = header.PseudoSum6(header.IPv6(ip), header.ProtoTCP, length-first.transport)
	} else {
		header.IPv4(ip).SetTotalLen(length - ethernetLen)
		header.IPv4(ip).SetChecksum()
		pseudo = header.PseudoSum4(header.IPv4(ip), length-first.transport)
	}
	be.PutUint16(tcp[tcpSumAt:], header.Fold(pseudo))
	ne := binary.NativeEndian
	t.header[0], t.header[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, gso
	ne.PutUint16(t.header[2:], uint16(first.headers))
	ne.PutUint16(t.header[4:], uint16(len(first.payload())))
	ne.PutUint16(t.header[6:], uint16(first.transport))
	ne.PutUint16(t.header[8:], tcpSumAt)
}

// asSegment reads the headers of a frame; false where it can be no part of a train.
func asSegment(f []byte) (s tcpSegment, ok bool) {
	if len(f) < ethernetLen+header.IPv4MinLen+header.TCPLen {
		return s, false
	}
	ip := f[ethernetLen:]
	var length int
	switch be.Uint16(f[ethernetLen-2:]) {
	case header.TypeIPv4:
		p := header.IPv4(ip)
		if ip[0] != 0x45 || p.IsFragment() || p.Protocol() != header.ProtoTCP || !p.ChecksumOK() {
			return s, false
		}
		s.transport, length = ethernetLen+header.IPv4MinLen, p.TotalLen()
	case header.TypeIPv6:
		if len(ip) < header.IPv6HeaderLen || ip[0]>>4 != 6 || ip[6] != header.ProtoTCP {
			return s, false
		}
		s.ipv6, s.transport, length = true, ethernetLen+header.IPv6HeaderLen, header.IPv6HeaderLen+int(be.Uint16(ip[4:]))
	default:
		return s, false
	}
	if length > len(ip) || ethernetLen+length < s.transport+header.TCPLen {
		return s, false
	}
	s.frame = f[:ethernetLen+length]
	tcp := s.frame[s.transport:]
	s.headers = s.transport + int(tcp[12]>>4)*4
	const tcpACK = 1 << 4
	return s, s.headers >= s.transport+header.TCPLen && s.headers < len(s.frame) && tcp[13]&^tcpPSH == tcpACK
}

func (s tcpSegment) payload() []byte  { return s.frame[s.headers:] }
func (s tcpSegment) sequence() uint32 { return be.Uint32(s.frame[s.transport+4:]) }
func (s tcpSegment) push() bool       { return s.frame[s.transport+13]&tcpPSH != 0 }

// sameFlow tells whether s and o differ in nothing but what segments of one write differ in: length, IPv4's
// identification, the sequence number, PSH and checksums.
func (s tcpSegment) sameFlow(o tcpSegment) bool {
	if s.headers != o.headers || s.ipv6 != o.ipv6 || !bytes.Equal(s.frame[:ethernetLen+2], o.frame[:ethernetLen+2]) {
		return false
	}
	a, b := s.frame[ethernetLen:s.headers], o.frame[ethernetLen:s.headers]
	if s.ipv6 {
		if !bytes.Equal(a[2:4], b[2:4]) || !bytes.Equal(a[6:header.IPv6HeaderLen], b[6:header.IPv6HeaderLen]) {
			return false
		}
	} else if !bytes.Equal(a[6:10], b[6:10]) || !bytes.Equal(a[12:20], b[12:20]) {
		return false
	}
	a, b = s.frame[s.transport:s.headers], o.frame[s.transport:s.headers]
	return bytes.Equal(a[:4], b[:4]) && bytes.Equal(a[8:13], b[8:13]) && bytes.Equal(a[14:16], b[14:16]) &&
		bytes.Equal(a[18:], b[18:])
}

func (s tcpSegment) checksumOK() bool {
	tcp := s.frame[s.transport:]
	var pseudo uint64
	if s.ipv6 {
		pseudo = header.PseudoSum6(header.IPv6(s.frame[ethernetLen:]), header.ProtoTCP, len(tcp))
	} else {
		pseudo = header.PseudoSum4(header.IPv4(s.frame[ethernetLen:]), len(tcp))
	}
	return header.Fold(header.Sum(pseudo, tcp)) == 0xffff
}
