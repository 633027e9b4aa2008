package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/fib"
)

const limitedBroadcast = 1<<32 - 1

// bad4Source tells the source addresses that Linux refuses (net/ipv4/route.c, ip_route_input_slow): multicast, limited
// broadcast, loopback, and the unspecified address (RFC 1812 5.3.7).
func bad4Source(a uint32) bool {
	return a>>28 == 0xe || a == limitedBroadcast || a>>24 == 127 || a == 0
}

// bad4Destination tells the destinations that stay on their link or host: multicast, limited broadcast, loopback and
// "this host" (RFC 1812 5.3.5, 5.3.7).
func bad4Destination(a uint32) bool {
	return a>>28 == 0xe || a == limitedBroadcast || a>>24 == 127 || a == 0
}

// special4 tells by its first byte that an address may be one of those: all others are neither.
var special4 = func() (t [256]uint8) { //nolint:gochecknoglobals // a constant
	for first := range t {
		if a := uint32(first) << 24; bad4Source(a) || bad4Source(a|0xffffff) || bad4Destination(a) || bad4Destination(a|0xffffff) {
			t[first] = 1
		}
	}
	return t
}()

// stays4 ends a packet that is never forwarded, from src to dst: Linux hears of groups and broadcasts, also of who has no
// address yet (RFC 2131 4.1).
func (w *Worker) stays4(i uint16, src, dst uint32) {
	group := dst>>28 == 0xe || dst == limitedBroadcast
	switch {
	case bad4Source(src) && (src != 0 || dst != limitedBroadcast || w.host == nil):
		w.toDrop(i, counters.IP4BadSource)
	case !group || w.host == nil:
		w.toDrop(i, counters.IP4Multicast)
	case src != 0 && w.isLocal4(src):
		w.toDrop(i, counters.IP4OwnSource)
	default:
		w.to(hostOutput, i)
	}
}

// martian4 drops packet i where RFC 1812 5.3.7 or RFC 3927 refuses one of its addresses that Linux lets pass, or where
// its addresses are the same. False where it may go on.
func (w *Worker) martian4(i uint16, src, dst uint32) bool {
	switch {
	case src>>24 == 0, src>>28 == 0xf, src == dst, linkLocal4(src) && !w.isLocal4(dst), w.isBroadcast4(src):
		w.toDrop(i, counters.IP4BadSource)
	case dst>>24 == 0, dst>>28 == 0xf, linkLocal4(dst) && !w.isLocal4(dst):
		w.toDrop(i, counters.IP4BadDestination)
	case w.packets[i].Flags&Group != 0 && !w.isBroadcast4(dst):
		w.toDrop(i, counters.LinkLayerBroadcast) // RFC 1812 5.3.4: also where it is for us
	default:
		return false
	}
	return true
}

// linkLocal4 tells an address that is good on one link only (RFC 3927 2.7).
func linkLocal4(a uint32) bool { return a>>16 == 169<<8|254 }

// isBroadcast4 tells the broadcast address of a prefix that the router is connected to.
func (w *Worker) isBroadcast4(a uint32) bool {
	g := w.fib.Lookup(fib.Addr4(a).Netip())
	return g != nil && g.First().Kind == fib.Broadcast
}
