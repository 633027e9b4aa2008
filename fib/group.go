package fib

import "slices"

// NextHop is what becomes of a packet.
type NextHop struct {
	Kind   Kind
	Device DeviceID // the device it leaves by; for Local the device that has the address
	// Gateway is the neighbour to send to; zero means the packet's destination ("attached"). Of the kind Netns it holds the
	// namespace, see [NextHop.Netns]: a field of its own would make the next hops of all packets larger.
	Gateway Addr
	// MTU limits the packet size on this route in bytes; zero means the device's.
	MTU uint32
	// Source4 is the IPv4 address that the router itself sends from by this route (its "src", or that of the connected
	// prefix), in host order; zero: one of the device's.
	Source4 uint32
}

// netnsMark makes what a next hop of the kind Netns has in place of a gateway an address that no neighbour has.
const netnsMark = 1<<64 - 1

// Netns is the namespace to look up in, of a next hop of that kind.
func (h *NextHop) Netns() NamespaceID { return NamespaceID(h.Gateway.Lo) }

// sameLink tells next hops that lead to the same neighbour.
func (h NextHop) sameLink(o NextHop) bool {
	return h.Kind == o.Kind && h.Device == o.Device && h.Gateway == o.Gateway
}

// Group is a set of next hops that flows are spread over. It is immutable, and has at least one next hop.
//
// A flow belongs to a bucket, a bucket to a next hop: as many buckets as its weight demands. A group that takes the
// place of another leaves as many buckets as it can where they are ([NewGroup]), so that the loss of a next hop moves
// the flows of that one only ("resilient" in the kernel's Documentation/networking/nexthop-group-resilient.rst), and
// nearly all of them come back when it does.
type Group struct {
	first   NextHop
	hops    []NextHop // first among them; empty where it is the only one
	weights []float64 // of hops
	buckets []uint16  // index in hops; a power of two of them

	// home is, by bucket, the next hop that it belongs to, as an index in homes: the one that it has, or one that is away.
	// Also a group of a single next hop remembers them.
	home  []uint16
	homes []NextHop
}

// WeightedHop is a next hop with its share of the flows.
type WeightedHop struct {
	NextHop

	Weight float64 // positive; only the proportion to those of the group's others counts
}

// Numbers of buckets: enough for each next hop that shares come out right to a few percent.
const (
	bucketsPerHop = 64
	minBuckets    = 128
	maxBuckets    = 1 << 14
)

// MaxHops is how many next hops a group can have.
const MaxHops = 1024

// NewGroup makes a group of 1 to [MaxHops] different next hops. Buckets stay with the next hops that they have in old,
// which may be nil, as far as the weights allow.
func NewGroup(hops []WeightedHop, old *Group) *Group {
	if old == nil {
		old = &Group{}
	}
	if len(hops) == 1 {
		return &Group{first: hops[0].NextHop, home: old.home, homes: old.homes}
	}
	g := &Group{hops: make([]NextHop, len(hops)), weights: make([]float64, len(hops))}
	for i := range hops {
		g.hops[i], g.weights[i] = hops[i].NextHop, hops[i].Weight
	}
	g.first = g.hops[0]
	n := minBuckets
	for n < bucketsPerHop*len(hops) && n < maxBuckets {
		n *= 2
	}
	n = max(n, len(old.home)) // fewer would move flows
	g.buckets = make([]uint16, n)
	g.assign(quotas(hops, n), old)
	g.settle(old)
	return g
}

// quotas divides n buckets by weight; what rounding leaves goes to those who lost most by it.
func quotas(hops []WeightedHop, n int) []int {
	sum := 0.0
	for i := range hops {
		sum += hops[i].Weight
	}
	out, left := make([]int, len(hops)), n
	rest, order := make([]float64, len(hops)), make([]int, len(hops))
	for i := range hops {
		exact := float64(n) * hops[i].Weight / sum
		out[i] = int(exact)
		rest[i], order[i] = exact-float64(out[i]), i
		left -= out[i]
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case rest[a] > rest[b]:
			return -1
		case rest[a] < rest[b]:
			return 1
		}
		return 0
	})
	for i := range left {
		out[order[i%len(order)]]++
	}
	return out
}

const noHop = 1<<16 - 1

// assign fills the buckets: first those that can go home, then those that can stay, then the others.
func (g *Group) assign(quota []int, old *Group) {
	home, present := indices(old.homes, g.hops), indices(old.Hops(), g.hops)
	take := func(i int, h uint16) bool {
		if h == noHop || quota[h] == 0 {
			return false
		}
		g.buckets[i] = h
		quota[h]--
		return true
	}
	for i := range g.buckets {
		g.buckets[i] = noHop
		if len(old.home) > 0 {
			take(i, home[old.home[i&(len(old.home)-1)]])
		}
	}
	for i, h := range g.buckets {
		if h == noHop && (len(old.buckets) > 0 || len(old.home) > 0) {
			take(i, present[old.at(uint32(i))])
		}
	}
	next := 0
	for i, h := range g.buckets {
		if h != noHop {
			continue
		}
		// In turn, so that neighbouring buckets differ where there is nothing to keep.
		for quota[next] == 0 {
			next = (next + 1) % len(quota)
		}
		take(i, uint16(next))
		next = (next + 1) % len(quota)
	}
}

// settle says which next hop each bucket belongs to: the one that it has now, unless its old one is away.
func (g *Group) settle(old *Group) {
	g.homes = slices.Clone(g.hops)
	g.home = slices.Clone(g.buckets)
	if len(old.home) == 0 {
		return
	}
	present := indices(old.homes, g.hops)
	away := make(map[uint16]uint16) // from old.homes to g.homes
	for i := range g.home {
		h := old.home[i&(len(old.home)-1)]
		if present[h] != noHop {
			continue
		}
		if _, known := away[h]; !known {
			if len(away) == MaxHops {
				continue
			}
			away[h] = uint16(len(g.homes))
			g.homes = append(g.homes, old.homes[h])
		}
		g.home[i] = away[h]
	}
}

// indices returns for each next hop of a list its place in another, or noHop.
func indices(list, in []NextHop) []uint16 {
	out := make([]uint16, len(list))
	for i := range list {
		out[i] = noHop
		if j := slices.IndexFunc(in, list[i].sameLink); j >= 0 {
			out[i] = uint16(j)
		}
	}
	return out
}

// at is the index of the next hop of a bucket.
func (g *Group) at(hash uint32) uint16 {
	if len(g.buckets) == 0 {
		return 0
	}
	return g.buckets[hash&uint32(len(g.buckets)-1)]
}

// Single tells that there is one next hop, for which no hash is needed.
func (g *Group) Single() bool { return len(g.buckets) == 0 }

// First is the only next hop of a single group, or any of several.
func (g *Group) First() *NextHop { return &g.first }

// Pick returns the next hop of a flow by its hash, of which the low bits choose the bucket.
func (g *Group) Pick(hash uint32) *NextHop {
	if len(g.buckets) == 0 {
		return &g.first
	}
	return &g.hops[g.buckets[hash&uint32(len(g.buckets)-1)]]
}

// Hops are the next hops. The list must not be changed.
func (g *Group) Hops() []NextHop {
	if len(g.hops) == 0 {
		return []NextHop{g.first}
	}
	return g.hops
}

// LeavesBy tells whether some next hop leaves by a device.
func (g *Group) LeavesBy(d DeviceID) bool {
	if len(g.hops) == 0 {
		return g.first.Device == d
	}
	for i := range g.hops {
		if g.hops[i].Device == d {
			return true
		}
	}
	return false
}

// Buckets is the number of buckets.
func (g *Group) Buckets() int { return max(1, len(g.buckets)) }

// Bucket is the number of the bucket that a hash chooses.
func (g *Group) Bucket(hash uint32) int { return int(hash) & (g.Buckets() - 1) }

// leadsTo tells whether the group spreads over exactly these next hops, in these shares.
func (g *Group) leadsTo(hops []WeightedHop) bool {
	if len(hops) == 1 {
		return g.Single() && g.first == hops[0].NextHop
	}
	if len(g.hops) != len(hops) {
		return false
	}
	for i := range hops {
		if g.hops[i] != hops[i].NextHop || g.weights[i] != hops[i].Weight {
			return false
		}
	}
	return true
}

// bytes is about what the group takes.
func (g *Group) bytes() int {
	const hop = 40
	return 192 + (hop+8)*len(g.hops) + hop*len(g.homes) + 2*len(g.buckets) + 2*len(g.home)
}
