package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// ip4Reassemble puts together what comes in fragments for the router itself (RFC 791 3.2, RFC 1812 4.2.2.8), and goes on
// with it as ip4-local does.
//
// Edges: ip4-output, icmp4-error, drop.
func (w *Worker) ip4Reassemble(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		optioned := p.Flags&Optioned != 0
		p.Flags &^= Optioned // what is known of options does not outlast the batch
		h := header.IPv4(w.network(p))
		key := fragmentKey{
			source: fib.Addr4(h.Source()), destination: fib.Addr4(h.Destination()), ns: w.ns.ID,
			id: uint32(h.ID()), protocol: h.Protocol(),
		}
		if !w.isMine(i, w.fragmentOwner(&key), ip4Reassemble) {
			continue
		}
		if !w.allow(puntPurse) {
			w.toDrop(i, counters.RateLimited)
			continue
		}
		hl := h.HeaderLen()
		w.count(counters.IP4ReassemblyRequests)
		f := fragment{
			offset: h.FragmentOffset() * unit, size: h.TotalLen() - hl, data: hl, more: h.MoreFragments(), ecn: h.TOS() & 3,
			optioned: optioned, options: w.options[i],
		}
		if f.more { // what is no whole unit is not used, as in Linux
			f.size &^= unit - 1
		}
		if f.offset+f.size > maxDatagram {
			w.toDrop(i, counters.BadFragment)
			continue
		}
		if d := w.gather(i, &key, &f); d != nil {
			w.count(counters.IP4Reassembled)
			w.whole4(i, d)
		}
	}
}

// whole4 goes on with a complete datagram, whose last fragment was packet i.
func (w *Worker) whole4(i uint16, d *assembly) {
	part := &w.reassembly.parts[d.first]
	first, optioned, options := header.IPv4(w.network(&part.Packet)), part.optioned, part.options
	ecn, ok := congestion(d.ecn)
	if hl := first.HeaderLen(); ok && hl+d.length <= maxDatagram {
		h := header.IPv4(w.join(i, d, hl))
		h.SetTotalLen(len(h))
		h.SetFragment(0, false)
		h.SetTOS(h.TOS() | ecn)
		h.SetChecksum()
		p := &w.packets[i]
		copy(w.network(p), h[:hl])
		if optioned { // for the answer, as in Linux
			p.Flags |= Optioned
			w.options[i] = options
		}
		w.local4(i, p, h)
		return
	}
	w.refuse(i, d)
}

// refuse drops a complete datagram that makes none, the last fragment, packet i, included.
func (w *Worker) refuse(i uint16, d *assembly) {
	last := w.reassembly.take(d)
	w.slot.HeldOut.Add(1)
	w.packets[i] = last.Packet
	w.toDrop(i, counters.BadFragment)
	w.abandon(d, counters.BadFragment)
}
