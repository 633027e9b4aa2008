package dataplane

import (
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// options4 is what a walk over the options of a packet found, or what is still to be written into those of an answer:
// offsets from the start of the IPv4 header, zero where there is none (struct ip_options of the kernel's
// include/net/inet_sock.h). As in the kernel, the walk itself moves the pointers of record route and timestamp on and
// fills the slots before them; forwarding and answering correct the addresses in them once it is known by which device
// the packet leaves.
type options4 struct {
	record, stamp, route uint8 // record route, timestamp, source route
	recordAddr           bool  // the slot before the pointer has our address
	stampAddr, stampTime bool  // it has our address, the time
	strict               bool  // the source route is a strict one
	hit                  bool  // it has led here, and goes on to nextHop
	changed              bool  // something is no longer as the checksum has it
	nextHop              uint32
}

// ip4Options takes the packets that have IPv4 options, which are few: it looks up their routes, honours record route,
// timestamp and, where the device allows it, source routes (RFC 791 3.1, RFC 1812 5.2.4), and passes on what it does not
// know. It does what ip_rcv_options of the kernel's net/ipv4/ip_input.c does, byte for byte.
//
// Edges: ip4-local, ip4-forward, icmp4-error, drop.
func (w *Worker) ip4Options(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		h := header.IPv4(w.network(p))
		hop := w.route4(h.Destination(), p)
		w.hops[i] = hop
		if hop.Kind.Forwards() || hop.Kind == fib.Local ||
			hop.Kind == fib.Broadcast && w.dev.Settings.BroadcastForwarding {
			if why, bad := w.spoofed4(p, h.Source()); bad {
				w.toDrop(i, why)
				continue
			}
		}
		o := &w.options[i]
		*o = options4{}
		p.Flags |= Optioned
		if hop.Kind == fib.Local {
			p.Flags |= Local
		}
		if fault := w.walkOptions(o, h, hop); fault != 0 {
			w.badOption(i, hop, fault)
			continue
		}
		if o.route != 0 && !w.followRoute(i, p, h, o) {
			continue
		}
		w.sort4(i, w.hops[i], ip4Local, ip4Forward)
	}
}

// noRoute is where packets go that no route covers.
var noRoute = &fib.NextHop{Kind: fib.Throw} //nolint:gochecknoglobals // a constant

// route4 looks up where a single packet to dst goes; never nil.
func (w *Worker) route4(dst uint32, p *Packet) *fib.NextHop {
	g := w.fib.Lookup(fib.Addr4(dst).Netip())
	if g == nil {
		return noRoute
	}
	return w.pick(g, p, false)
}

// badOption answers with a parameter problem that points at the byte at fault (RFC 1812 5.2.4, 4.3.3.5).
func (w *Worker) badOption(i uint16, hop *fib.NextHop, fault int) {
	if hop.Kind == fib.Broadcast {
		w.toDrop(i, counters.IP4BadOption)
		return
	}
	w.packets[i].Detail = uint16(fault)
	w.toError(icmp4Error, i, counters.IP4BadOption, 0)
}

// walkOptions checks the options of a header and acts on them: __ip_options_compile of net/ipv4/ip_options.c. It returns
// the offset of the byte at fault, or zero. An option that it does not know it leaves alone (RFC 1812 5.2.4).
func (w *Worker) walkOptions(o *options4, h header.IPv4, hop *fib.NextHop) (fault int) {
	end := h.HeaderLen()
	for at := header.IPv4MinLen; at < end; {
		switch h[at] {
		case header.Opt4End:
			// What is behind the end is cleared, so that nothing is smuggled in it.
			for at++; at < end; at++ {
				if h[at] != header.Opt4End {
					h[at] = header.Opt4End
					o.changed = true
				}
			}
			return 0
		case header.Opt4Nop:
			at++
			continue
		}
		if end-at < 2 || h[at+1] < 2 || int(h[at+1]) > end-at {
			return at
		}
		n := int(h[at+1])
		switch h[at] {
		case header.Opt4LooseRoute, header.Opt4StrictRoute:
			fault = o.sourceRoute(h[at:at+n], at)
		case header.Opt4RecordRoute:
			fault = w.recordRoute(o, h, at, hop)
		case header.Opt4Timestamp:
			fault = w.timestamp(o, h, at, hop)
		case header.Opt4RouterAlert:
			if n < 4 {
				fault = at + 1
			}
		}
		if fault != 0 {
			return fault
		}
		at += n
	}
	return 0
}

// sourceRoute notes a loose or strict source route, option b at offset at. A second one is an error (RFC 1812 5.2.4.1).
func (o *options4) sourceRoute(b []byte, at int) (fault int) {
	switch {
	case len(b) < 3:
		return at + 1
	case b[2] < 4:
		return at + 2
	case o.route != 0:
		return at
	}
	o.strict = b[0] == header.Opt4StrictRoute
	o.route = uint8(at)
	return 0
}

// recordRoute writes our address into the next free slot of a record route option; a full one stays as it is.
func (w *Worker) recordRoute(o *options4, h header.IPv4, at int, hop *fib.NextHop) (fault int) {
	b := h[at : at+int(h[at+1])]
	switch {
	case o.record != 0:
		return at
	case len(b) < 3:
		return at + 1
	case b[2] < 4:
		return at + 2
	}
	if pointer := int(b[2]); pointer <= len(b) {
		if pointer+3 > len(b) {
			return at + 2
		}
		header.PutAddr(b[pointer-1:], w.addressee4(h, hop))
		b[2] += 4
		o.changed, o.recordAddr = true, true
	}
	o.record = uint8(at)
	return 0
}

// timestamp writes our address and the time into the next free slot of a timestamp option; where there is none it
// counts that (RFC 791 3.1).
func (w *Worker) timestamp(o *options4, h header.IPv4, at int, hop *fib.NextHop) (fault int) {
	b := h[at : at+int(h[at+1])]
	switch {
	case o.stamp != 0:
		return at
	case len(b) < 4:
		return at + 1
	case b[2] < 5:
		return at + 2
	}
	pointer, kind := int(b[2]), b[3]&0xf
	switch {
	case pointer <= len(b):
		if pointer+3 > len(b) ||
			(kind == header.TimestampAndAddress || kind == header.TimestampPrescribed) && pointer+7 > len(b) {
			return at + 2
		}
		w.stamp(o, h, b, kind, hop)
	case kind != header.TimestampPrescribed:
		if b[3]>>4 == 15 {
			return at + 3
		}
		b[3] += 1 << 4
		o.changed = true
	}
	o.stamp = uint8(at)
	return 0
}

// stamp fills the slot of a timestamp option b that has room for it.
func (w *Worker) stamp(o *options4, h header.IPv4, b []byte, kind byte, hop *fib.NextHop) {
	slot := b[b[2]-1:]
	switch kind {
	case header.TimestampOnly:
		header.PutAddr(slot, w.dayTime())
		b[2] += 4
	case header.TimestampAndAddress:
		header.PutAddr(slot, w.addressee4(h, hop))
		header.PutAddr(slot[4:], w.dayTime())
		b[2] += 8
		o.stampAddr = true
	case header.TimestampPrescribed:
		if !w.notUnicast4(header.Addr(slot)) {
			return // another router's
		}
		header.PutAddr(slot[4:], w.dayTime())
		b[2] += 8
	default:
		return
	}
	o.changed, o.stampTime = true, true
}

// readWall takes up the time of day, which may be set at any moment; read now and then, not for each packet.
func (w *Worker) readWall() { w.wall = time.Now().UnixNano() - nanotime() }

// dayTime is the time as timestamps have it: milliseconds since midnight UT (RFC 791 3.1, RFC 792).
func (w *Worker) dayTime() uint32 {
	const day, millisecond = 86400 * 1000, 1e6
	return uint32((w.now + w.wall) / millisecond % day)
}

// notUnicast4 tells an address that is our own, a broadcast or a multicast address (inet_addr_type of the kernel).
func (w *Worker) notUnicast4(a uint32) bool {
	if a == 0 || a>>28 == 0xe || a == limitedBroadcast {
		return true
	}
	g := w.fib.Lookup(fib.Addr4(a).Netip())
	return g != nil && (g.First().Kind == fib.Local || g.First().Kind == fib.Broadcast)
}

// addressee4 is the address by which the sender of a packet knows us: the one that it has sent to, or the one that we
// would send to it from (fib_compute_spec_dst of net/ipv4/fib_frontend.c).
func (w *Worker) addressee4(h header.IPv4, hop *fib.NextHop) uint32 {
	if hop.Kind == fib.Local {
		return h.Destination()
	}
	return w.sourceFor4(h.Source())
}

// followRoute obeys a source route that the device allows (ip_options_rcv_srr): where the packet is for us, the next
// address of the list is its destination. False where the packet has ended here.
func (w *Worker) followRoute(i uint16, p *Packet, h header.IPv4, o *options4) bool {
	if !w.dev.Settings.AcceptSourceRoute {
		w.toDrop(i, counters.IP4SourceRoute) // RFC 7126 4.3, 4.4
		return false
	}
	switch hop := w.hops[i]; {
	case p.Flags&Group != 0:
		w.toDrop(i, counters.LinkLayerBroadcast)
		return false
	case hop.Kind.Forwards() && o.strict:
		const destination = 16 // offset of the field: a strict route has not led here
		w.badOption(i, hop, destination)
		return false
	case hop.Kind.Forwards():
		return true // a loose route on its way to the next stop
	case hop.Kind != fib.Local:
		w.toDrop(i, counters.IP4SourceRoute)
		return false
	}
	b := h[o.route : int(o.route)+int(h[o.route+1])]
	for pointer := int(b[2]); pointer <= len(b); pointer += 4 {
		if pointer+3 > len(b) {
			w.badOption(i, w.hops[i], int(o.route)+2)
			return false
		}
		next := header.Addr(b[pointer-1:])
		hop := w.route4(next, p)
		if bad4Destination(next) || !hop.Kind.Forwards() && hop.Kind != fib.Local {
			w.toDrop(i, counters.IP4SourceRoute)
			return false
		}
		w.hops[i] = hop
		o.changed = true
		if hop.Kind.Forwards() {
			o.hit, o.nextHop = true, next
			p.Flags &^= Local
			return true
		}
		h.SetDestination(next)
	}
	return true
}

// finishOptions completes the options of a packet that leaves by out: the recorded addresses are those of that device
// (RFC 1812 5.2.4.2; ip_forward_options), and the destination is the next stop of a source route.
func (w *Worker) finishOptions(o *options4, h header.IPv4, out uint32) {
	if o.recordAddr {
		b := h[o.record:]
		header.PutAddr(b[b[2]-5:], out)
	}
	if o.hit {
		w.advanceRoute(o, h, out)
		if o.stampAddr {
			b := h[o.stamp:]
			header.PutAddr(b[b[2]-9:], out)
		}
	}
	if o.changed {
		h.SetChecksum()
	}
}

// advanceRoute makes the next stop of a source route the destination, and puts our address in its place.
func (w *Worker) advanceRoute(o *options4, h header.IPv4, out uint32) {
	b := h[o.route : int(o.route)+int(h[o.route+1])]
	for pointer := int(b[2]); pointer+3 <= len(b); pointer += 4 {
		if header.Addr(b[pointer-1:]) == o.nextHop {
			h.SetDestination(o.nextHop)
			header.PutAddr(b[pointer-1:], out)
			b[2] = byte(pointer + 4)
			return
		}
	}
}
