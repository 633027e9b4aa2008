package dataplane

import (
	"time"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// What keeps a scan of a link from filling memory, and from keeping the living out (RFC 6583 6): a budget of new questions
// for each device, a limit of entries for each device and namespace, and eviction of those that are worth least.
const (
	askSources   = 64 // groups of senders with a share of their own
	askShare     = 8  // questions a second, and at once, of each
	handoffRatio = 4  // packets for unresolved neighbours that one worker gives another for each question allowed
	// evictionInterval bounds the searches of a full table.
	evictionInterval = int64(100 * time.Millisecond)
	// freshTime is how long an entry is safe from eviction, used or not: neigh_forced_gc of the kernel has it so.
	freshTime = int64(5 * time.Second)
)

// askBudget is the token buckets (GCRA: the time up to which tokens are used, nanoseconds) of a device for new
// questions. A sender first spends the share of its group, then what is for all: one that scans uses up the latter,
// and the others still have theirs.
type askBudget struct {
	all    int64
	source [askSources]int64
}

// take spends a token of a bucket with so many a second, and as many at once; false if none is left.
func take(used *int64, now int64, rate uint32) bool {
	cost := int64(time.Second) / int64(rate)
	*used = max(*used, now-int64(rate)*cost)
	if *used+cost > now {
		return false
	}
	*used += cost
	return true
}

// mayAsk spends a token of a device for the sender of a packet, zero: the router itself. The last eighth of a table is for
// the shares: a scan that filled it would keep the others out until one of its questions is old enough to be evicted.
func (w *Worker) mayAsk(out *nstable.Device, sender uint64, ratio uint32) bool {
	b := &w.neighbors.of(out.ID).budget
	return take(&b.source[sender%askSources], w.now, askShare*ratio) ||
		!w.pressed(out) && take(&b.all, w.now, out.Settings.NeighBudget*ratio)
}

// sender is a number for who sent a packet: the IPv4 address or the IPv6 /64, and the device.
func (w *Worker) sender(p *Packet) uint64 {
	if p.In == 0 {
		return 0
	}
	b := w.network(p)
	from := uint64(p.In) << 32
	if b[0]>>4 == 4 {
		from ^= uint64(header.IPv4(b).Source())
	} else {
		hi, _ := header.IPv6(b).Source()
		from ^= hi
	}
	return from * 0x9e3779b97f4a7c15 >> 32
}

// neighborsOf is how many neighbours a namespace has behind all devices. Those of all namespaces are counted again after a
// while, in one walk, since other workers make some.
func (w *Worker) neighborsOf(ns *nstable.Namespace) *int {
	k := &w.neighbors
	if n := max(len(w.view.Namespaces), int(ns.ID)+1); len(k.counts) < n {
		k.counts, k.lastCount = make([]int, n), 0
	}
	if w.now-k.lastCount >= tickInterval {
		k.lastCount = w.now
		clear(k.counts)
		for _, d := range w.view.Devices {
			if d != nil {
				k.counts[d.Namespace.ID] += d.Neighbors.Len()
			}
		}
	}
	return &k.counts[ns.ID]
}

// newNeighbor makes an entry, or returns nil where device or namespace have as many as they may and none that can go.
func (w *Worker) newNeighbor(d *nstable.Device, a fib.Addr) *neigh.Entry {
	c := w.neighborsOf(d.Namespace)
	if d.Neighbors.Len() >= int(d.Settings.NeighMax) || *c >= int(d.Namespace.Settings().NeighMax) {
		freed := w.evict(d)
		if *c -= freed; freed == 0 {
			return nil
		}
	}
	*c++
	return d.Neighbors.Add(a, w.now)
}

// evict removes what a full table can do best without, and tells how many that was: first who does not answer, else who
// was not used for a while. One that was asked within the second stays, so that it is not asked again so soon when the next
// packet comes.
func (w *Worker) evict(d *nstable.Device) int {
	if k := w.neighbors.of(d.ID); w.now-k.lastEviction >= evictionInterval {
		k.lastEviction = w.now
	} else {
		return 0
	}
	freed := 0
	limit := 1 + d.Neighbors.Len()/8
	sweep := func(worthless func(*neigh.Entry) bool) {
		d.Neighbors.All(func(e *neigh.Entry) bool {
			if worthless(e) {
				w.remove(d, e)
				freed++
			}
			return freed < limit
		})
	}
	sweep(func(e *neigh.Entry) bool {
		s := e.State()
		return (s == neigh.Failed || s == neigh.Incomplete) && w.now-e.Asked >= retransTime(d)
	})
	if freed == 0 {
		sweep(func(e *neigh.Entry) bool { return e.State() == neigh.Stale && !e.InUse() && w.idle(e) > freshTime })
	}
	return freed
}

// idle is how long nothing was sent to a neighbour, nor changed about it, nanoseconds.
func (w *Worker) idle(e *neigh.Entry) int64 {
	return w.now - max(e.Changed.Load(), e.Used.Load(), e.Confirmed.Load())
}

// pressed tells whether the table of a device, or its namespace, is nearly full.
func (w *Worker) pressed(d *nstable.Device) bool {
	return 8*d.Neighbors.Len() >= 7*int(d.Settings.NeighMax) ||
		8**w.neighborsOf(d.Namespace) >= 7*int(d.Namespace.Settings().NeighMax)
}
