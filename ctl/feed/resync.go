package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// dumpBuffer is room for what the kernel answers at once (netlink_dump: 32 KiB at most).
const dumpBuffer = 64 << 10

// sweepStep is how many prefixes a transaction of the sweep looks at.
const sweepStep = 64 << 10

// tries is how often an interrupted dump is begun anew before the rest of the world has its turn.
const tries = 4

// resync makes the router have what Linux has, whatever it had before. What Linux tells meanwhile is heard afterwards:
// that it may be in the dump already does no harm.
func (sp *space) resync() error {
	buffer := make([]byte, dumpBuffer)
	if err := sp.asker.barrier(buffer); err != nil {
		return err
	}
	links := make(map[int]link)
	err := sp.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), buffer, func() { clear(links) },
		func(m message) error {
			if index, l, ok := parseLink(m); ok {
				links[index] = l
			}
			return nil
		})
	if err != nil {
		return fmt.Errorf("read the links: %w", err)
	}
	sp.links = links
	sp.publishLinks()
	objects, err := sp.resyncNexthops(buffer)
	if err != nil {
		return fmt.Errorf("read the next-hop objects: %w", err)
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := sp.resyncRoutes(family, buffer); err != nil {
			return fmt.Errorf("read the routes: %w", err)
		}
	}
	return sp.learn(func(a *applier) { // those that no route uses any more
		a.learner.DeleteObjects(func(n uint32) bool { return !objects[n] })
	})
}

// dump asks for all objects of a kind until it has a whole answer; again is called before each new try.
func (sp *space) dump(kind uint16, body, buffer []byte, again func(), each func(message) error) error {
	for i := 0; ; i++ {
		again()
		err := sp.asker.dump(kind, body, buffer, each)
		if !errors.Is(err, errInterrupted) || i == tries {
			return err
		}
	}
}

// resyncNexthops takes over the next-hop objects, single ones before groups, and returns their numbers.
func (sp *space) resyncNexthops(buffer []byte) (map[uint32]bool, error) {
	var b batch
	body := make([]byte, 8) // struct nhmsg
	err := sp.dump(unix.RTM_GETNEXTHOP, body, buffer, b.reset, func(m message) error {
		b.message(m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(b.list, func(x, y change) int {
		return min(len(x.nexthop.object.Members), 1) - min(len(y.nexthop.object.Members), 1)
	})
	numbers := make(map[uint32]bool, len(b.list))
	for i := range b.list {
		numbers[b.list[i].nexthop.object.ID.Number()] = true
	}
	return numbers, sp.learn(func(a *applier) {
		for i := range b.list {
			a.apply(&b.list[i])
		}
	})
}

// resyncRoutes takes over the routes of a family, and gives up those that are no more.
func (sp *space) resyncRoutes(family byte, buffer []byte) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0], body[4] = family, unix.RT_TABLE_MAIN
	d := routeDump{space: sp}
	err := sp.dump(unix.RTM_GETROUTE, body, buffer, d.restart, d.message)
	if err == nil {
		err = d.flush()
	}
	if err != nil {
		return err
	}
	slices.SortFunc(d.seen, fib.ComparePrefixes)
	return sweep(family, d.seen, sp.learn)
}

// routeDump takes over routes as the kernel lists them: those of a prefix one after the other.
type routeDump struct {
	space *space
	batch batch
	seen  []netip.Prefix
}

func (d *routeDump) restart() {
	d.batch.reset()
	d.seen = d.seen[:0]
}

func (d *routeDump) message(m message) error {
	n := len(d.batch.list)
	d.batch.message(m)
	if len(d.batch.list) <= maxBatch || d.batch.list[n-1].prefix == d.batch.list[len(d.batch.list)-1].prefix {
		return nil
	}
	// The newest begins another prefix: the others are whole.
	last := d.batch.list[n]
	last.way.Legs = slices.Clone(last.way.Legs)
	d.batch.list = d.batch.list[:n]
	if err := d.flush(); err != nil {
		return err
	}
	d.batch.list = append(d.batch.list, last)
	return nil
}

// flush makes the routes of the batch all that their prefixes have.
func (d *routeDump) flush() error {
	list := d.batch.list
	err := d.space.learn(func(a *applier) {
		var ways []*fib.Way
		for i := 0; i < len(list); {
			ways = ways[:0]
			p := list[i].prefix
			for ; i < len(list) && list[i].prefix == p; i++ {
				if w := a.way(&list[i].route); p.Addr().Is6() || !slices.Contains(ways, w) { // IPv6 may have it twice
					ways = append(ways, w)
				}
			}
			a.set(p, ways)
		}
	})
	for i := range list {
		if i == 0 || list[i].prefix != list[i-1].prefix {
			d.seen = append(d.seen, list[i].prefix)
		}
	}
	d.batch.reset()
	return err
}

// sweep takes away the routes of a family that learn has of its origin and whose prefixes are not among those seen, which are
// sorted.
func sweep(family byte, seen []netip.Prefix, learn func(func(a *applier)) error) error {
	next := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if family == unix.AF_INET6 {
		next = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	is6 := next.Addr().Is6()
	for more := true; more; {
		start := next
		err := learn(func(a *applier) {
			more, next = false, start
			var gone []netip.Prefix
			looked := 0
			at, _ := slices.BinarySearchFunc(seen, start, fib.ComparePrefixes)
			for p := range a.learner.From(start) {
				if p.Addr().Is6() != is6 {
					break
				}
				if looked++; looked > sweepStep {
					more, next = true, p
					break
				}
				for at < len(seen) && fib.ComparePrefixes(seen[at], p) < 0 {
					at++
				}
				if at == len(seen) || seen[at] != p {
					gone = append(gone, p)
				}
			}
			for _, p := range gone {
				a.set(p, nil)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// learn runs fn in a transaction and notes what came of it.
func (sp *space) learn(fn func(a *applier)) error {
	var a *applier
	err := sp.server.o.Table.Learn(sp.ns, fib.FromKernel, func(l *nstable.Learner) error {
		a = newApplier(l, fib.FromKernel, func(index int) nstable.DeviceID { return l.Device(sp.links[index].name) })
		fn(a)
		return nil
	})
	if err != nil {
		return err
	}
	if a.doubtful {
		sp.want(time.Now())
	}
	if a.count > 0 {
		sp.refuse(a.count, a.refused)
	}
	return nil
}

// link is what is known of an interface of Linux.
type link struct {
	name  string
	flags uint32 // those of goneWith
}

// goneWith are the flags with the loss of which routes or next-hop objects go.
const goneWith = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP

// parseLink reads RTM_NEWLINK or RTM_DELLINK; false for messages about a bridge's ports.
func parseLink(m message) (index int, l link, ok bool) {
	// struct ifinfomsg: family, pad, type (u16), index (s32), flags (u32), change (u32).
	if len(m.body) < unix.SizeofIfInfomsg || m.body[0] != unix.AF_UNSPEC {
		return 0, l, false
	}
	index = int(int32(binary.NativeEndian.Uint32(m.body[4:])))
	l.flags = binary.NativeEndian.Uint32(m.body[8:]) & goneWith
	for kind, b := range attributes(m.body[unix.SizeofIfInfomsg:]) {
		if kind == unix.IFLA_IFNAME && len(b) > 0 {
			l.name = string(b[:len(b)-1])
		}
	}
	return index, l, true
}
