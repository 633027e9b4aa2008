package tap

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
)

// tcpFrame is a frame with a TCP segment, with right checksums.
func tcpFrame(ipv6 bool, sequence uint32, flags byte, options, payload []byte) []byte {
	f := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0}
	length := header.TCPLen + len(options) + len(payload)
	if ipv6 {
		f[12], f[13] = 0x86, 0xdd
		ip := make([]byte, header.IPv6HeaderLen)
		ip[0], ip[6], ip[7], ip[23], ip[39] = 0x60, header.ProtoTCP, 63, 1, 2
		be.PutUint16(ip[4:], uint16(length))
		f = append(f, ip...)
	} else {
		ip := make(header.IPv4, header.IPv4MinLen)
		header.SetIPv4(ip, 0, header.IPv4MinLen+length, uint16(sequence), 63, header.ProtoTCP, 0x0a000001, 0x0a000002)
		ip[6] = 0x40
		ip.SetChecksum()
		f = append(f, ip...)
	}
	tcp := make([]byte, header.TCPLen)
	be.PutUint16(tcp, 1000)
	be.PutUint16(tcp[2:], 80)
	be.PutUint32(tcp[4:], sequence)
	be.PutUint32(tcp[8:], 7)
	tcp[12], tcp[13] = byte(header.TCPLen+len(options))/4<<4, flags
	be.PutUint16(tcp[14:], 512)
	at := len(f)
	f = append(append(append(f, tcp...), options...), payload...)
	sum(f, at, ipv6)
	return f
}

// sum makes the TCP checksum right.
func sum(f []byte, transport int, ipv6 bool) {
	tcp := f[transport:]
	be.PutUint16(tcp[16:], 0)
	var pseudo uint64
	if ipv6 {
		pseudo = header.PseudoSum6(header.IPv6(f[14:]), header.ProtoTCP, len(tcp))
	} else {
		pseudo = header.PseudoSum4(header.IPv4(f[14:]), len(tcp))
	}
	be.PutUint16(tcp[16:], ^header.Fold(header.Sum(pseudo, tcp)))
}

// connection is a byte stream in segments of 100 bytes, the last of 60.
func connection(ipv6 bool, options []byte, n int) (frames [][]byte) {
	for k := range n {
		size, flags := 100, byte(0x10)
		if k == n-1 {
			size, flags = 60, 0x18
		}
		frames = append(frames, tcpFrame(ipv6, 1<<32-150+uint32(k*100), flags, options, bytes.Repeat([]byte{byte('a' + k)}, size)))
	}
	return frames
}

// lengths are those of the trains that frames make.
func lengths(frames [][]byte) (n []int) {
	for t := new(train); len(frames) > 0; frames = frames[n[len(n)-1]:] {
		n = append(n, t.gather(frames))
	}
	return n
}

func TestTrains(t *testing.T) {
	timestamps := []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	change := func(k int, f func(frame []byte)) func([][]byte) [][]byte {
		return func(frames [][]byte) [][]byte { f(frames[k]); return frames }
	}
	for _, tt := range []struct {
		name   string
		change func(frames [][]byte) [][]byte
		want   []int // IPv4: the IP header is 14 to 33, TCP's 34 to 65
	}{
		{"follow each other", func(f [][]byte) [][]byte { return f }, []int{5}},
		{"padded", func(f [][]byte) [][]byte { f[4] = append(f[4], 0, 0); return f }, []int{5}},
		{"one is missing", func(f [][]byte) [][]byte { return slices.Delete(f, 2, 3) }, []int{2, 2}},
		{"one comes twice", func(f [][]byte) [][]byte { return slices.Insert(f, 2, f[1]) }, []int{2, 4}},
		{"wrong checksum", change(2, func(f []byte) { f[80] ^= 1 }), []int{2, 1, 2}},
		{"wrong checksum first", change(0, func(f []byte) { f[80] ^= 1 }), []int{1, 4}},
		{"wrong header checksum", change(2, func(f []byte) { f[24] ^= 1 }), []int{2, 1, 2}},
		{"another acknowledgement", change(2, func(f []byte) { f[45]++; sum(f, 34, false) }), []int{2, 1, 2}},
		{"another window", change(2, func(f []byte) { f[49]++; sum(f, 34, false) }), []int{2, 1, 2}},
		{"another time", change(2, func(f []byte) { f[61]++; sum(f, 34, false) }), []int{2, 1, 2}},
		{"another port", change(2, func(f []byte) { f[35]++; sum(f, 34, false) }), []int{2, 1, 2}},
		{"pushed", change(2, func(f []byte) { f[47] |= tcpPSH; sum(f, 34, false) }), []int{3, 2}},
		{"reset", change(2, func(f []byte) { f[47] |= 1 << 2; sum(f, 34, false) }), []int{2, 1, 2}},
		{"end", change(4, func(f []byte) { f[47] |= tcpFIN; sum(f, 34, false) }), []int{4, 1}},
		{"congestion", change(2, func(f []byte) { f[15] = 3; header.IPv4(f[14:34]).SetChecksum() }), []int{2, 1, 2}},
		{"TTL", change(2, func(f []byte) { f[22]--; header.IPv4(f[14:34]).SetChecksum() }), []int{2, 1, 2}},
		{"fragment", change(2, func(f []byte) { f[20] = 0x20; header.IPv4(f[14:34]).SetChecksum() }), []int{2, 1, 2}},
		{"another MAC", change(2, func(f []byte) { f[11]++ }), []int{2, 1, 2}},
		{"cut off", func(f [][]byte) [][]byte { f[2] = f[2][:len(f[2])-1]; return f }, []int{2, 1, 2}},
		{"short", func(f [][]byte) [][]byte { f[2] = f[2][:15]; return f }, []int{2, 1, 2}},
	} {
		if got := lengths(tt.change(connection(false, timestamps, 5))); !slices.Equal(got, tt.want) {
			t.Errorf("%s: trains of %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := lengths(connection(true, timestamps, 5)); !slices.Equal(got, []int{5}) {
		t.Errorf("IPv6: trains of %v", got)
	}
	if got := lengths(connection(true, nil, 100)); !slices.Equal(got, []int{maxTrain, 100 - maxTrain}) {
		t.Errorf("many: trains of %v", got)
	}
	long := bytes.Repeat([]byte{1}, 9000)
	var jumbo [][]byte
	for k := range uint32(9) {
		jumbo = append(jumbo, tcpFrame(false, k*9000, 0x10, nil, long))
	}
	if got := lengths(jumbo); !slices.Equal(got, []int{7, 2}) {
		t.Errorf("segments of 9,000 bytes: trains of %v", got)
	}
}

// cut gives the segments of what gather has made, as Linux sends it.
func cut(t testing.TB, tr *train) (frames [][]byte) {
	ne := binary.NativeEndian
	h := readHeader(tr.header[:])
	if got := int(ne.Uint16(tr.header[2:])); tr.used > 2 && got != len(tr.parts[1]) {
		t.Fatalf("vnet header says %d bytes of headers, there are %d", got, len(tr.parts[1]))
	}
	finish(h, bytes.Join(tr.parts[1:tr.used], nil), func(f []byte) { frames = append(frames, bytes.Clone(f)) })
	return frames
}

// TestRoundTrip has trains cut into the segments that they were.
func TestRoundTrip(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		frames := connection(ipv6, []byte{1, 1, 1, 0}, 9)
		for k, f := range frames {
			if !ipv6 { // as Linux counts
				be.PutUint16(f[18:], uint16(65530+k))
				header.IPv4(f[14:34]).SetChecksum()
			}
		}
		tr := new(train)
		if n := tr.gather(frames); n != 9 {
			t.Fatalf("a train of %d", n)
		}
		got := cut(t, tr)
		if len(got) != 9 {
			t.Fatalf("%d segments of 9", len(got))
		}
		for k := range got {
			if !bytes.Equal(got[k], frames[k]) {
				t.Errorf("segment %d (IPv6 %t):\n%x, was\n%x", k, ipv6, got[k], frames[k])
			}
		}
	}
}

// FuzzTrains has what three changed segments make carry the bytes that they carried.
func FuzzTrains(f *testing.F) {
	f.Add(false, uint16(80), byte(1), uint16(47), byte(8), []byte("payload"))
	f.Add(true, uint16(20), byte(3), uint16(19), byte(1), []byte{0})
	f.Fuzz(func(t *testing.T, ipv6 bool, at uint16, x byte, at2 uint16, x2 byte, payload []byte) {
		payload = payload[:min(len(payload), 1400)]
		var frames [][]byte
		for k := range uint32(3) {
			frames = append(frames, tcpFrame(ipv6, k*uint32(len(payload)), 0x10, nil, payload))
		}
		frames[1][int(at)%len(frames[1])] ^= x
		frames[2][int(at2)%len(frames[2])] ^= x2
		tr := new(train)
		for rest := frames; len(rest) > 0; {
			n := tr.gather(rest)
			if n == 1 {
				if !bytes.Equal(tr.parts[1], rest[0]) || tr.header != [vnetLen]byte{} {
					t.Fatal("a frame alone is not as it was")
				}
			} else {
				got := cut(t, tr)
				for k := range got {
					want := bytes.Clone(rest[k])
					if !ipv6 { // Linux does not look at the identification of what is whole
						copy(got[k][18:20], want[18:20])
						header.IPv4(got[k][14:34]).SetChecksum()
					}
					if want = want[:min(len(want), len(got[k]))]; !bytes.Equal(got[k], want) {
						t.Fatalf("segment %d of %d:\n%x, was\n%x", k, n, got[k], want)
					}
				}
				if len(got) != n {
					t.Fatalf("%d segments of %d", len(got), n)
				}
			}
			rest = rest[n:]
		}
	})
}

// FuzzFinish has frames with any vnet header finished: nothing but whole frames of the right size comes.
func FuzzFinish(f *testing.F) {
	for _, ipv6 := range []bool{false, true} {
		tr := new(train)
		tr.gather(connection(ipv6, nil, 4))
		f.Add(bytes.Join(tr.parts[:tr.used], nil))
		f.Add(append(make([]byte, vnetLen), connection(ipv6, nil, 1)[0]...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= vnetLen || len(b) > readLen {
			return
		}
		h, total, n := readHeader(b), len(b)-vnetLen, 0
		gso := h.gso&^unix.VIRTIO_NET_HDR_GSO_ECN != 0
		finish(h, b[vnetLen:], func(frame []byte) {
			n++
			if !gso && (n > 1 || len(frame) != total) {
				t.Fatalf("frame %d of %d bytes, was %d", n, len(frame), total)
			}
			if gso && (len(frame) > total || n > total) {
				t.Fatalf("segment %d has %d bytes, all had %d", n, len(frame), total)
			}
			if s, ok := asSegment(frame); gso && ok && s.transport == h.csumStart && !s.checksumOK() {
				t.Fatal("segment with a wrong checksum")
			}
		})
	})
}
