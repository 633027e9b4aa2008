package tabledump

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestStore(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var s Store
	var want []Stored
	pos := int64(0)
	for range 300_000 {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], rnd.Uint64())
		binary.LittleEndian.PutUint64(b[8:], rnd.Uint64())
		p := netip.PrefixFrom(netip.AddrFrom16(b), rnd.IntN(129)).Masked()
		if rnd.IntN(2) == 0 {
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), rnd.IntN(33)).Masked()
		}
		pos += rnd.Int64N(1 << rnd.IntN(40))
		want = append(want, Stored{p, rnd.Uint32() >> rnd.IntN(32), pos})
		s.Add(want[len(want)-1])
	}
	if got := slices.Collect(s.All()); !slices.Equal(got, want) || s.Len() != len(want) {
		t.Errorf("%d routes come back otherwise than they went in", len(want))
	}
	for range s.All() {
		break // half a walk
	}
}
