package dataplane

import (
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// Redirects to one host are spread as Linux spreads them (net/ipv4/route.c, ip_rt_send_redirect): the n-th at least
// redirectLoad*2^n after the one before, and after redirectLimit of them that did not help none until the host has not
// sent that way for redirectSilence.
const (
	redirectLoad    = int64(20e6) // nanoseconds
	redirectLimit   = 9
	redirectSilence = redirectLoad << (redirectLimit + 1)
	// redirectSlots is how many hosts a worker remembers: the one that hashes to a slot takes it from the one before.
	redirectSlots = 256
)

// redirected is a host that was told of a nearer router.
type redirected struct {
	ns   nstable.NamespaceID
	host uint32
	n    uint8 // redirects sent
	last int64 // when it was last sent one, or last sent something when no more are due; nanoseconds
}

// mayRedirect tells whether a redirect to a host of the present namespace is due, and counts it.
func (w *Worker) mayRedirect(host uint32) bool {
	r := &w.redirects[(host^uint32(w.ns.ID)<<16)*0x9e3779b1>>24%redirectSlots]
	if r.host != host || r.ns != w.ns.ID || w.now-r.last > redirectSilence {
		*r = redirected{ns: w.ns.ID, host: host}
	}
	switch {
	case r.n >= redirectLimit:
		r.last = w.now
		return false
	case r.n > 0 && w.now-r.last <= redirectLoad<<r.n:
		return false
	}
	r.last = w.now
	r.n++
	return true
}

// redirect4 tells the sender of a packet, which is about to leave by the link it came from, of the router there that is
// nearer (RFC 1812 4.3.3.2, 5.2.7.2): a packet of the router's own, made from a copy. The sender must be on that link;
// RFC 1812 wants it in one prefix with the next hop besides, Linux does not by default (shared_media).
//
// o is what is known of the packet's options, if it has any, else of those of another.
func (w *Worker) redirect4(p *Packet, h header.IPv4, adj *adjacency, o options4) {
	src, to := h.Source(), h.Destination()
	if adj.hop.Gateway.Is4() {
		to = uint32(adj.hop.Gateway.Lo)
	}
	if p.Flags&Directed != 0 || !mayError4(p, h) || !w.onLink4(src, w.dev) ||
		w.set.Martians == setting.MartiansRFC1812 && !sameSubnet4(w.dev, src, to) ||
		!w.mayRedirect(src) || !w.allow(errorPurse) {
		return
	}
	var reply [header.IPv4MaxOptions]byte
	options := 0
	if p.Flags&Optioned != 0 {
		if options, _ = w.answerOptions(&o, h, &reply); options < 0 {
			return
		}
	}
	addr, ok := w.cache.Get()
	if !ok {
		return
	}
	grow := header.IPv4MinLen + options + header.ICMPLen
	quoted := min(len(h), maxError4-grow)
	q := Packet{Addr: addr + frame0, Len: uint32(header.EthernetLen + grow + quoted), Out: w.dev.ID, Flags: Own}
	e := header.IPv4(w.network(&q))
	quote := e[grow:]
	copy(quote, h)
	quote.DecrementTTL() // as it is sent on
	m := header.ICMP(e[header.IPv4MinLen+options:])
	m.Set(header.ICMPRedirect, header.ICMPRedirectHost, to)
	m.SetChecksum(^header.Fold(header.Sum(0, m)))
	w.ipID++
	header.SetIPv4(e, h.TOS()&tosMask|precedence, grow+quoted, w.ipID, ownTTL, header.ProtoICMP, w.sourceFor4(src), src)
	if options > 0 {
		e.SetOptions(reply[:options])
		w.fillAnswer(&o, e) // ip4-output computes the checksum
	}
	w.ethernet(&q).SetType(header.TypeIPv4)
	w.handoff(w.id, ip4Output, &q) // to itself: the vectors of this run have no room for one more
}
