package poptrie

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gaissmai/bart"
)

// streamLen is the number of addresses of a stream, a power of two: more than a cache holds results for.
const streamLen = 1 << 20

// stream draws the addresses of a benchmark: uniform over the family's address space (IPv6: 2000::/3), under random prefixes of the
// table, or of 262,144 such destinations with Zipf's frequencies.
func stream(kind string, f Family, routes []route) []Addr {
	rnd := rand.New(rand.NewPCG(42, 1))
	if kind == "under" {
		return under(routes, rnd, streamLen)
	}
	keys := make([]Addr, streamLen)
	if kind == "zipf" {
		dst := under(routes, rnd, 1<<18)
		z := rand.NewZipf(rnd, 1.1, 1, uint64(len(dst)-1))
		for i := range keys {
			keys[i] = dst[z.Uint64()]
		}
		return keys
	}
	for i := range keys {
		keys[i] = Addr{rnd.Uint64()>>3 | 1<<61, rnd.Uint64()}
		if f == IPv4 {
			keys[i] = Addr{Hi: rnd.Uint64() &^ (1<<32 - 1)}
		}
	}
	return keys
}

// sample takes n routes at random.
func sample(routes []route, n int) []route {
	if n >= len(routes) {
		return routes
	}
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	out := make([]route, 0, n)
	for _, i := range rnd.Perm(len(routes))[:n] {
		out = append(out, routes[i])
	}
	return out
}

// contender looks up 256 addresses from position i of a stream on.
type contender struct {
	name string
	look func(i int)
}

const benchBatch = 256

type looker interface {
	Insert(netip.Prefix, ID)
	Lookup(netip.Addr) (ID, bool)
}

func contenders(b *testing.B, f Family, routes []route, keys []Addr) []contender {
	ids := make([]ID, benchBatch)
	dst, addrs := make([]uint32, len(keys)), make([]netip.Addr, len(keys))
	for i, k := range keys {
		dst[i], addrs[i] = uint32(k.Hi>>32), addrOf(f, k)
	}
	var list []contender
	roots := []uint8{0}
	if f == IPv4 && len(routes) > 250_000 {
		roots = append(roots, maxBits)
	}
	for _, root := range roots {
		tbl := loaded(b, f, routes, Options{RootBits: root})
		look := func(i int) { tbl.Lookup6(keys[i:i+benchBatch], ids) }
		if f == IPv4 {
			look = func(i int) { tbl.Lookup4(dst[i:i+benchBatch], ids) }
		}
		list = append(list, contender{fmt.Sprintf("poptrie/root=%d", root), look})
	}
	for _, o := range []struct {
		name string
		l    looker
	}{{"bart.Fast", new(bart.Fast[ID])}, {"bart.Table", new(bart.Table[ID])}} {
		for _, r := range routes {
			o.l.Insert(r.prefix, r.id)
		}
		list = append(list, contender{o.name, nil})
		// A direct call for each type: through the interface it would not be a fair race.
		switch l := o.l.(type) {
		case *bart.Fast[ID]:
			list[len(list)-1].look = func(i int) {
				for j, a := range addrs[i : i+benchBatch] {
					ids[j], _ = l.Lookup(a)
				}
			}
		case *bart.Table[ID]:
			list[len(list)-1].look = func(i int) {
				for j, a := range addrs[i : i+benchBatch] {
					ids[j], _ = l.Lookup(a)
				}
			}
		}
	}
	return list
}

// BenchmarkLookup times one look-up, in batches of 256, beside the tables of gaissmai/bart.
func BenchmarkLookup(b *testing.B) {
	for _, f := range []Family{IPv4, IPv6} {
		for _, n := range []int{10, 1000, 100_000, 1_000_000} {
			routes := sample(realTable(f), n)
			for _, kind := range []string{"uniform", "under", "zipf"} {
				b.Run(fmt.Sprintf("%v/%d/%s", f, n, kind), func(b *testing.B) {
					for _, c := range contenders(b, f, routes, stream(kind, f, routes)) {
						b.Run(c.name, func(b *testing.B) {
							i := 0
							for range b.N/benchBatch + 1 {
								c.look(i)
								i = (i + benchBatch) & (streamLen - 1)
							}
						})
					}
				})
			}
		}
	}
}
