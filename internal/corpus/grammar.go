package corpus

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// dimension is one thing that packets differ in; its first value is that of a plain packet.
type dimension struct {
	name   string
	values []Edit
}

func dimensionOf(name string, values ...Edit) dimension {
	return dimension{name, append([]Edit{plainly()}, values...)}
}

// Pairs are the packets in which at most two dimensions are other than plain: all of them, so that each rule meets each
// other.
func Pairs(v6 bool) []Probe { return PairsOf(v6, "") }

// PairsOf are those of Pairs in which the named dimension is other than plain: "source", "destination", "options" and so
// on (dimensions4, dimensions6).
func PairsOf(v6 bool, name string) []Probe {
	dims := dimensions(v6)
	var out []Probe
	if name == "" {
		out = append(out, Probe{V6: v6})
	}
	for i, a := range dims {
		for _, x := range a.values[1:] {
			if name == "" || a.name == name {
				out = append(out, probeOf(v6, x))
			}
			for _, b := range dims[i+1:] {
				if name != "" && a.name != name && b.name != name {
					continue
				}
				for _, y := range b.values[1:] {
					out = append(out, probeOf(v6, x, y))
				}
			}
		}
	}
	return out
}

// Random are packets in which three dimensions or more are other than plain.
func Random(rnd *rand.Rand, v6 bool, count int) []Probe {
	dims := dimensions(v6)
	out := make([]Probe, count)
	for k := range out {
		at := rnd.Perm(len(dims))[:3+rnd.IntN(3)]
		slices.Sort(at) // edits have their order
		edits := make([]Edit, len(at))
		for i, d := range at {
			edits[i] = dims[d].values[1+rnd.IntN(len(dims[d].values)-1)]
		}
		out[k] = probeOf(v6, edits...)
	}
	return out
}

// Mutations are packets of those given with bytes changed, most of them of the headers, or with an end cut off.
func Mutations(rnd *rand.Rand, from []Probe, count int) []Probe {
	out := make([]Probe, count)
	for k := range out {
		p := from[rnd.IntN(len(from))]
		p.Edits = slices.Clone(p.Edits)
		reach := 20 + 8
		if p.V6 {
			reach = 40 + 24
		}
		for range 1 + rnd.IntN(3) {
			at := 14 + rnd.IntN(reach)
			for hostByte(at, p.V6) {
				at = 14 + rnd.IntN(reach)
			}
			switch rnd.IntN(20) {
			case 0:
				p.Edits = append(p.Edits, truncate(at))
			case 1:
				p.Edits = append(p.Edits, byteAt(12+rnd.IntN(2), byte(rnd.Uint32()), true))
			case 2, 3:
				p.Edits = append(p.Edits, byteAt(at, byte(rnd.Uint32()), false))
			case 4, 5, 6: // one bit more or less than what is known
				p.Edits = append(p.Edits, flipAt(at, 1<<rnd.IntN(8)))
			default:
				p.Edits = append(p.Edits, byteAt(at, byte(rnd.Uint32()), true))
			}
		}
		out[k] = p
	}
	return out
}

// hostByte tells the bytes of a destination that choose a host on a link: that would mostly be one that is not there, and
// how many packets wait for such, and how often it is asked for, is not what mutations are for.
func hostByte(at int, v6 bool) bool {
	if v6 {
		return at >= 14+32 && at < 14+40
	}
	return at == 14+19
}

func flipAt(at int, bit byte) Edit {
	return bits(fmt.Sprintf("byte %d ^= %#02x", at, bit), func(b []byte) []byte {
		if at < len(b) {
			b[at] ^= bit
			fixSum4(b)
		}
		return b
	})
}

func probeOf(v6 bool, edits ...Edit) Probe { return Probe{V6: v6, Edits: edits} }

func dimensions(v6 bool) []dimension {
	if v6 {
		return dimensions6()
	}
	return dimensions4()
}

// Singles are the packets in which one dimension is other than plain.
func Singles(v6 bool) []Probe {
	out := []Probe{{V6: v6}}
	for _, d := range dimensions(v6) {
		for _, x := range d.values[1:] {
			out = append(out, probeOf(v6, x))
		}
	}
	return out
}
