package fib

import "math/bits"

// Flow is what packets of one flow have in common: the 5-tuple, or of it what can be known. Ports are zero where a packet
// does not show them (fragments, other protocols).
type Flow struct {
	Source, Destination Addr
	Protocol            uint8
	Ports               uint32 // source port in the upper half, destination port in the lower
}

// Hash spreads flows over buckets. seed differs between tables, so that routers, and namespaces, behind each other do
// not all choose alike. The rounds are those of multiply-and-fold: the two halves of a 128-bit product.
func (f *Flow) Hash(seed uint64) uint32 {
	h := fold(f.Source.Lo^seed, f.Destination.Lo^0x9e3779b97f4a7c15)
	h ^= fold(f.Source.Hi^0xbf58476d1ce4e5b9, f.Destination.Hi^seed)
	h = fold(h^uint64(f.Protocol)<<32^uint64(f.Ports), seed|1)
	h = fold(h^0x94d049bb133111eb, 0x9e3779b97f4a7c15)
	return uint32(h ^ h>>32)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
