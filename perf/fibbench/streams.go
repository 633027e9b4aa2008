package main

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"nsrouter/fib/poptrie"
)

const (
	streamLen    = 1 << 20 // addresses of a stream: more than a cache or a branch predictor holds
	destinations = 1 << 18 // of the Zipf stream
	batch        = 256     // addresses of a call
)

// stream is a way to draw the addresses that are looked up.
type stream string

const (
	uniform stream = "U" // uniform over the address space (IPv6: over 2000::/3)
	under   stream = "R" // a random address under a random prefix of the table
	zipf    stream = "Z" // of 262,144 addresses drawn as R, with Zipf's frequencies (s = 1.1)
)

func allStreams() []stream { return []stream{uniform, under, zipf} }

// addr is an address as a left-aligned number of 128 bits: IPv4 stands in the upper half of Hi.
type addr = poptrie.Addr

// draw draws n addresses, the same ones each time.
func (s stream) draw(f poptrie.Family, routes []route, n int) []addr {
	rnd := rand.New(rand.NewPCG(42, uint64(s[0])))
	out := make([]addr, n)
	switch s {
	case uniform:
		for i := range out {
			out[i] = addr{Hi: rnd.Uint64()>>3 | 1<<61, Lo: rnd.Uint64()}
			if f == poptrie.IPv4 {
				out[i] = addr{Hi: rnd.Uint64() &^ (1<<32 - 1)}
			}
		}
	case under:
		for i := range out {
			out[i] = randomIn(routes[rnd.IntN(len(routes))].prefix, rnd)
		}
	case zipf:
		hosts := make([]addr, destinations)
		for i := range hosts {
			hosts[i] = randomIn(routes[rnd.IntN(len(routes))].prefix, rnd)
		}
		z := rand.NewZipf(rnd, 1.1, 1, destinations-1)
		for i := range out {
			out[i] = hosts[z.Uint64()]
		}
	}
	return out
}

// randomIn is a random address in a prefix.
func randomIn(p netip.Prefix, rnd *rand.Rand) addr {
	base, host := addrOf(p.Addr()), addr{Hi: rnd.Uint64(), Lo: rnd.Uint64()}
	if p.Addr().Is4() {
		host = addr{Hi: host.Hi &^ (1<<32 - 1)}
	}
	net := firstBits(host, p.Bits())
	return addr{Hi: base.Hi | host.Hi&^net.Hi, Lo: base.Lo | host.Lo&^net.Lo}
}

// firstBits is a with all but its first n bits cleared.
func firstBits(a addr, n int) addr {
	if n <= 64 {
		return addr{Hi: a.Hi &^ (^uint64(0) >> n)}
	}
	return addr{Hi: a.Hi, Lo: a.Lo &^ (^uint64(0) >> (n - 64))}
}

func addrOf(a netip.Addr) addr {
	if a.Is4() {
		b := a.As4()
		return addr{Hi: uint64(binary.BigEndian.Uint32(b[:])) << 32}
	}
	b := a.As16()
	return addr{Hi: binary.BigEndian.Uint64(b[:]), Lo: binary.BigEndian.Uint64(b[8:])}
}

// octets are an address in network order.
func octets(a addr) (b [16]byte) {
	binary.BigEndian.PutUint64(b[:], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return b
}

func netipAddr(f poptrie.Family, a addr) netip.Addr {
	b := octets(a)
	if f == poptrie.IPv4 {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b)
}

// queries are addresses in the form that each contender takes; what a family does not need is nil.
type queries struct {
	addrs []netip.Addr
	v4    []uint32   // host order
	v6    []addr     // host order
	wire  [][16]byte // IPv6, network order
}

func newQueries(f poptrie.Family, list []addr) *queries {
	q := &queries{addrs: make([]netip.Addr, len(list))}
	for i, a := range list {
		q.addrs[i] = netipAddr(f, a)
	}
	if f == poptrie.IPv6 {
		q.v6, q.wire = list, make([][16]byte, len(list))
		for i, a := range list {
			q.wire[i] = octets(a)
		}
		return q
	}
	q.v4 = make([]uint32, len(list))
	for i, a := range list {
		q.v4[i] = uint32(a.Hi >> 32)
	}
	return q
}
