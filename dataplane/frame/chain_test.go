package frame

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestChain: a packet of any length is written into frames and read from them byte for byte, from any offset; its length and
// the number of its frames are right; and all of them are free in the end, also where there were too few.
func TestChain(t *testing.T) {
	p := newPool(t, 64)
	c := p.NewCache()
	rnd := rand.New(rand.NewPCG(1, 2))
	for length := 1; length <= MaxChain; length += 1 + rnd.IntN(40) {
		want := make([]byte, length)
		for k := range want {
			want[k] = byte(rnd.Uint32())
		}
		d, ok := c.New(length)
		if !ok {
			t.Fatal("no frames")
		}
		cut := rnd.IntN(length + 1)
		Write(p.Bytes(), d, want[:cut], nil, want[cut:])
		if n := Length(p.Bytes(), d); n != length {
			t.Fatalf("%d bytes, want %d", n, length)
		}
		if n := Pieces(p.Bytes(), d); n != (length+MaxPacket-1)/MaxPacket || n > MaxPieces {
			t.Fatalf("%d bytes in %d pieces", length, n)
		}
		from := rnd.IntN(length)
		got := make([]byte, 1+rnd.IntN(MaxChain))
		if n := Read(p.Bytes(), d, from, got); !bytes.Equal(got[:n], want[from:][:min(len(got), length-from)]) {
			t.Fatalf("%d bytes from %d of %d differ", n, from, length)
		}
		c.PutChain(d)
		if n := p.Census()[Worker]; n != 0 {
			t.Fatalf("%d frames are not free", n)
		}
	}
	for c.Len() > 3 || p.FreeInDepot() > 0 {
		if _, ok := c.Get(); !ok {
			t.Fatal("no frames")
		}
	}
	taken := p.Census()[Worker]
	if _, ok := c.New(3*MaxPacket + 1); ok || c.Len() != 3 || p.Census()[Worker] != taken {
		t.Errorf("a packet of four frames is made of three, %d are left", c.Len())
	}
	if _, ok := c.New(3 * MaxPacket); !ok {
		t.Error("a packet of three frames is not made of three")
	}
}
