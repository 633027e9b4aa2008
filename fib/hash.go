package fib

import "math/bits"

// Flow is what packets of one flow have in common.
type Flow struct {
	Source, Destination Addr
	Protocol            uint8
	// Ports are the source port in the upper half and the destination port in the lower; of an ICMP echo its identifier
	// in the upper half. HasPorts is false where the packet does not show them (fragments, other protocols).
	Ports    uint32
	HasPorts bool
	Label    uint32 // flow label of IPv6 (RFC 6437), 20 bits
}

// HashPolicy says what of a flow chooses the next hop. The numbers are those of Linux (fib_multipath_hash_policy).
type HashPolicy uint8

// The policies.
const (
	// HashL3 takes addresses, and the flow label of IPv6.
	HashL3 HashPolicy = iota
	// HashFiveTuple takes addresses, protocol and ports; where there are no ports, the flow label of IPv6 (RFC 6438).
	HashFiveTuple
)

// Hash spreads flows over buckets. seed differs between tables, so that routers, and namespaces, behind each other do
// not all choose alike. The rounds are those of multiply-and-fold: the two halves of a 128-bit product.
func (f *Flow) Hash(policy HashPolicy, seed uint64) uint32 {
	rest := uint64(f.Label)
	if policy != HashL3 {
		if f.HasPorts {
			rest = uint64(f.Ports)
		}
		rest ^= uint64(f.Protocol) << 32
	}
	h := fold(f.Source.Lo^seed, f.Destination.Lo^0x9e3779b97f4a7c15)
	h ^= fold(f.Source.Hi^0xbf58476d1ce4e5b9, f.Destination.Hi^seed)
	h = fold(h^rest, seed|1)
	h = fold(h^0x94d049bb133111eb, 0x9e3779b97f4a7c15)
	return uint32(h ^ h>>32)
}

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
