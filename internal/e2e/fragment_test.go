package e2e

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/internal/corpus"
)

// fragmentProbes are IPv4 packets larger than the MTU on their way, each with an identification of its own: whole ones and
// fragments, with and without options, also malformed ones.
func fragmentProbes() [][]byte {
	rnd := rand.New(rand.NewPCG(2, 3))
	options := [][]byte{
		nil, nil, nil, {1, 1, 1, 1}, {0x88, 4, 0, 7}, {0x82, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
		{0x1e, 4, 1, 2, 0x9e, 4, 3, 4, 0x1e, 6, 5, 6, 7, 8, 1, 0}, // experimental, not copied and copied
		append([]byte{0x5e, 38}, make([]byte, 38)...),
		{0x1e, 4, 9, 9, 0, 0, 0, 0}, {0x94, 4, 0, 0, 1, 1, 1, 0},
	}
	destinations := [][4]byte{{10, 0, 2, 2}, {198, 51, 100, 76}, {198, 51, 100, 130}, {198, 51, 100, 200}, {198, 51, 100, 250}}
	var out [][]byte
	for n := range 400 {
		o := options[rnd.IntN(len(options))]
		size := 20 + len(o) + 900 + rnd.IntN(1500-20-40-900+1)
		b := make([]byte, 14+size)
		to, from := corpus.RouterMAC(1), corpus.HostMAC(1)
		copy(b, to[:])
		copy(b[6:], from[:])
		b[12], b[13] = 8, 0
		ip := b[14:]
		ip[0], ip[1] = 0x40|byte(5+len(o)/4), byte(rnd.IntN(256))
		binary.BigEndian.PutUint16(ip[2:], uint16(size))
		binary.BigEndian.PutUint16(ip[4:], uint16(n+1))
		flags := uint16(0)
		switch rnd.IntN(6) {
		case 0:
			flags = 0x2000 // a first fragment, not always of a multiple of 8 bytes
		case 1:
			flags = 0x2000 | uint16(1+rnd.IntN(4000))
		case 2:
			flags = uint16(1 + rnd.IntN(4000))
		case 3:
			flags = 0x8000 // reserved
		}
		binary.BigEndian.PutUint16(ip[6:], flags)
		ip[8], ip[9] = byte(2+rnd.IntN(60)), 253
		copy(ip[12:], []byte{10, 0, 1, 2})
		dst := destinations[rnd.IntN(len(destinations))]
		copy(ip[16:], dst[:])
		copy(ip[20:], o)
		for k := 20 + len(o); k < size; k++ {
			ip[k] = byte(rnd.Uint32())
		}
		header.IPv4(ip).SetChecksum()
		out = append(out, b)
	}
	return out
}

// byID are the IPv4 frames of protocol 253 that came out of port 2, in order, by identification.
func (s side) byID() map[uint16][]string {
	out := make(map[uint16][]string)
	for _, f := range s.at[2].Frames() {
		if len(f.Data) >= 34 && f.Data[12] == 8 && f.Data[13] == 0 && f.Data[23] == 253 {
			id := binary.BigEndian.Uint16(f.Data[18:])
			out[id] = append(out[id], fmt.Sprintf("%x", f.Data))
		}
	}
	return out
}

// TestFragmentation: the router cuts packets into the very frames that the kernel cuts them into.
func TestFragmentation(t *testing.T) {
	w := newReference(t)
	for _, route := range []string{
		"198.51.100.64/26 via 10.0.2.2 mtu 1280", "198.51.100.128/26 via 10.0.2.2 mtu 576",
		"198.51.100.192/27 via 10.0.2.2 mtu 301", "198.51.100.224/27 via 10.0.2.2 mtu 120",
	} {
		w.r.Must("route add " + route)
		w.linux.Run("sh", "-c", "ip route add "+route)
	}
	probes := fragmentProbes()
	for n, p := range probes {
		w.sides[ours].at[1].Send(p)
		w.sides[kernels].at[1].Send(p)
		if n%5 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	count := func() int { return len(w.sides[ours].at[2].Frames()) + len(w.sides[kernels].at[2].Frames()) }
	w.Eventually(5*time.Second, "silence", func() bool {
		before := count()
		time.Sleep(300 * time.Millisecond)
		return before == count()
	})
	a, b := w.sides[ours].byID(), w.sides[kernels].byID()
	cut := 0
	for n := range probes {
		x, y := a[uint16(n+1)], b[uint16(n+1)]
		if len(y) > 1 {
			cut++
		}
		if !slices.Equal(x, y) {
			t.Errorf("packet %d %x:\n  ours   %v\n  kernel %v", n, probes[n][14:60], x, y)
		}
	}
	if cut < len(probes)/2 {
		t.Errorf("the kernel cut only %d of %d packets", cut, len(probes))
	}
	w.conserved()
}
