package main

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"

	"nsrouter/fib/poptrie"
)

// someRoutes are n random prefixes of a family, of all lengths.
func someRoutes(f poptrie.Family, n int) []route {
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(f)))
	var routes []route
	for len(routes) < n {
		a := netipAddr(f, uniform.draw(f, nil, n)[rnd.IntN(n)])
		p := netip.PrefixFrom(a, 4+rnd.IntN(a.BitLen()-3)).Masked()
		routes = sorted(append(routes, route{p, 1 + poptrie.ID(rnd.IntN(nextHops))}))
	}
	return routes
}

func TestStreams(t *testing.T) {
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		routes := someRoutes(f, 50)
		covered := func(a netip.Addr) bool {
			for _, r := range routes {
				if r.prefix.Contains(a) {
					return true
				}
			}
			return false
		}
		for _, s := range allStreams() {
			keys := s.draw(f, routes, 20_000)
			if again := s.draw(f, routes, 20_000); !reflect.DeepEqual(keys, again) {
				t.Errorf("%v %s: another run draws others", f, s)
			}
			count, most := map[addr]int{}, 0
			for _, k := range keys {
				a := netipAddr(f, k)
				switch {
				case f == poptrie.IPv4 && (k.Lo != 0 || uint32(k.Hi) != 0):
					t.Fatalf("%v %s: %v is not an IPv4 address", f, s, k)
				case s != uniform && !covered(a):
					t.Fatalf("%v %s: %v is under no prefix", f, s, a)
				case s == uniform && f == poptrie.IPv6 && k.Hi>>61 != 1:
					t.Fatalf("%v %s: %v is outside 2000::/3", f, s, a)
				}
				count[k]++
				most = max(most, count[k])
			}
			if s == zipf && (most < 1000 || len(count) < 2000) {
				t.Errorf("%v %s: %d destinations, the commonest %d times: not Zipf's frequencies", f, s, len(count), most)
			}
			if s == uniform && len(count) < 19_000 {
				t.Errorf("%v %s: only %d different addresses", f, s, len(count))
			}
		}
	}
}

// TestFirstBits compares the arithmetic on 128 bits with package netip's.
func TestFirstBits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		for _, k := range uniform.draw(f, nil, 200) {
			a := netipAddr(f, k)
			if addrOf(a) != k {
				t.Fatalf("%v: is %v and back %v", k, a, addrOf(a))
			}
			for bits := range a.BitLen() + 1 {
				p := netip.PrefixFrom(a, bits).Masked()
				if got := netipAddr(f, firstBits(k, bits)); got != p.Addr() {
					t.Fatalf("first %d bits of %v: %v, want %v", bits, a, got, p.Addr())
				}
				if in := netipAddr(f, randomIn(p, rnd)); !p.Contains(in) {
					t.Fatalf("random address %v is not in %v", in, p)
				}
			}
		}
	}
}

// TestRandomIn checks that every host bit is drawn both ways.
func TestRandomIn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 3))
	for _, s := range []string{"10.0.0.0/9", "0.0.0.0/0", "2001:db8::/33", "2001:db8::/70", "::/0"} {
		p := netip.MustParsePrefix(s)
		all := addr{Hi: ^uint64(0), Lo: ^uint64(0)}
		one, low := addr{}, all
		for range 200 {
			k := randomIn(p, rnd)
			one.Hi, one.Lo = one.Hi|k.Hi, one.Lo|k.Lo
			low.Hi, low.Lo = low.Hi&k.Hi, low.Lo&k.Lo
		}
		base := addrOf(p.Addr())
		if p.Addr().Is4() {
			all = addr{Hi: 0xffffffff << 32}
		}
		net := firstBits(all, p.Bits())
		want := addr{Hi: base.Hi | all.Hi&^net.Hi, Lo: base.Lo | all.Lo&^net.Lo}
		if one != want || low != base {
			t.Errorf("%v: bits %x that are ever set, want %x; that are always set %x, want %x", p, one, want, low, base)
		}
	}
}

func TestQueriesAgree(t *testing.T) {
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		keys := uniform.draw(f, nil, 100)
		q := newQueries(f, keys)
		for i, k := range keys {
			if q.addrs[i] != netipAddr(f, k) {
				t.Fatalf("%v: address %v", k, q.addrs[i])
			}
			if f == poptrie.IPv4 && q.v4[i] != uint32(k.Hi>>32) {
				t.Fatalf("%v: %x", k, q.v4[i])
			}
			if f == poptrie.IPv6 && (q.v6[i] != k || q.wire[i] != q.addrs[i].As16()) {
				t.Fatalf("%v: %v, %x", k, q.v6[i], q.wire[i])
			}
		}
	}
}
