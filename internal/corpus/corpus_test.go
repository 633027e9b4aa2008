package corpus

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func all(seed uint64, count int) []Probe {
	rnd := rand.New(rand.NewPCG(seed, 1))
	var out []Probe
	for _, v6 := range []bool{false, true} {
		family := append(Hand(v6), Pairs(v6)...)
		family = append(family, Random(rnd, v6, count)...)
		out = append(out, append(family, Mutations(rnd, family, count)...)...)
	}
	return out
}

// TestSame: a packet is the same each time it is made, and so is the corpus of a seed.
func TestSame(t *testing.T) {
	a, b := all(7, 500), all(7, 500)
	if len(a) != len(b) {
		t.Fatalf("%d and %d packets", len(a), len(b))
	}
	for i := range a {
		x, y, z := a[i].Frames(i), b[i].Frames(i), a[i].Frames(i)
		if a[i].Name() != b[i].Name() || !slices.EqualFunc(x, y, bytes.Equal) || !slices.EqualFunc(x, z, bytes.Equal) {
			t.Fatalf("%s, %s: %x, %x, %x", a[i].Name(), b[i].Name(), x, y, z)
		}
	}
}

// TestFrames: each packet can be sent, and is known again by its mark or its addresses unless it is to be sent alone.
func TestFrames(t *testing.T) {
	names := make(map[string]bool)
	for i, p := range all(3, 2000) {
		n := 100 + i
		known := p.Alone()
		for _, f := range p.Frames(n) {
			if len(f) < 14 || len(f) > maxFrame {
				t.Errorf("%s: %d bytes", p.Name(), len(f))
			}
			got, ok := Number(f)
			known = known || ok && got == n || For(f, n)
		}
		if !known {
			t.Errorf("%s: is not known again", p.Name())
		}
		names[p.Name()] = true
	}
	if len(names) < 20000 {
		t.Errorf("only %d different packets", len(names))
	}
}

// TestPlain: plain packets are right in the eyes of gopacket, which makes the same bytes of them.
func TestPlain(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, tr := range []Edit{plainly(), carry("SYN", tcp(2)), carry("echo", icmp(8, 0))} {
			if v6 && tr.Name == "echo" {
				continue // not as ICMPv6, whose data gopacket loses
			}
			want := probeOf(v6, tr, size(77)).Frames(4711)[0]
			p := gopacket.NewPacket(want, layers.LayerTypeEthernet, gopacket.Default)
			if e := p.ErrorLayer(); e != nil {
				t.Fatalf("%v: %v", tr.Name, e.Error())
			}
			var again []gopacket.SerializableLayer
			for _, l := range p.Layers() {
				if c, ok := l.(interface {
					SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
				}); ok {
					_ = c.SetNetworkLayerForChecksum(p.NetworkLayer())
				}
				again = append(again, l.(gopacket.SerializableLayer))
			}
			b := gopacket.NewSerializeBuffer()
			o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
			if err := gopacket.SerializeLayers(b, o, again...); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("IPv6 %v %s: %x, want %x", v6, tr.Name, want, b.Bytes())
			}
		}
	}
}

// TestFragments: the pieces of a packet make the whole again.
func TestFragments(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		whole := probeOf(v6, size(100)).Frames(9)[0]
		header := 14 + 20
		if v6 {
			header = 14 + 40
		}
		var joined []byte
		for _, f := range probeOf(v6, size(100), cut("", piece{0, 24, false}, piece{24, 64, false},
			piece{64, -1, true})).Frames(9) {
			at := header
			if v6 {
				at += 8
			}
			joined = append(joined, f[at:]...)
		}
		if !bytes.Equal(joined, whole[header:]) {
			t.Errorf("IPv6 %v: %x, want %x", v6, joined, whole[header:])
		}
	}
}

// TestWithout: a packet less an edit is made of the others.
func TestWithout(t *testing.T) {
	p := probeOf(false, ttl(1), size(40), tos(8))
	if got, want := p.Without(1).Name(), probeOf(false, ttl(1), tos(8)).Name(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if p.Name() != probeOf(false, ttl(1), size(40), tos(8)).Name() {
		t.Errorf("the packet itself has changed: %s", p.Name())
	}
}
