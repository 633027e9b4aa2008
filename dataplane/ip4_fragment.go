package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
)

// ip4Fragment cuts packets that are larger than the MTU of the device they leave by (Detail), and may be cut, into
// fragments (RFC 791 3.2, RFC 1812 4.2.2.7). Out and Via say where they go.
//
// Edges: transmit and resolve (of the fragments: pieces), drop.
func (w *Worker) ip4Fragment(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		if why, ok := w.cut4(header.IPv4(w.datagram(p)), p, int(p.Detail)); !ok {
			w.toDrop(i, why)
			continue
		}
		w.count(counters.IP4Fragmented)
		w.free(p)
	}
}

// cut4 makes the fragments of packet p, whose bytes are d: as many as fit the MTU, all with the header's length, in
// order, as Linux does (net/ipv4/ip_output.c, ip_frag_next). Options that belong to the first fragment only are
// overwritten with "no operation" in the others (ip_options_fragment). All fragments are made, or none; d stays as it is.
func (w *Worker) cut4(d header.IPv4, p *Packet, mtu int) (reason, bool) {
	hl, total := d.HeaderLen(), d.TotalLen()
	space := min(mtu, frame.JumboMTU) - hl
	if space < unit {
		return counters.TooBig, false
	}
	first, offset, more := len(w.pieces), d.FragmentOffset(), d.MoreFragments()
	var head [header.IPv4MinLen + header.IPv4MaxOptions]byte
	f := header.IPv4(head[:copy(head[:], d[:hl])])
	for at := hl; at < total; {
		n := total - at
		if n > space {
			n = space &^ (unit - 1)
		}
		if at > hl && offset == 0 && hl > header.IPv4MinLen {
			header.ClearUncopied(f[header.IPv4MinLen:])
		}
		f.SetTotalLen(hl + n)
		f.SetFragment(offset+(at-hl)/unit, more || at+n < total)
		f.SetChecksum()
		if !w.piece(p, first, header.TypeIPv4, f, d[at:at+n]) {
			w.takeBack(first)
			return counters.NoFrame, false
		}
		at += n
	}
	return 0, true
}

// echoLarge4 answers an echo request h that is larger than the first piece of packet i.
func (w *Worker) echoLarge4(i uint16, p *Packet, h header.IPv4) {
	hl, source, to, tos := h.HeaderLen(), h.Destination(), h.Source(), h.TOS()
	m := header.ICMP(h[hl:])
	m[0] = header.ICMPEchoReply
	m.SetChecksum(header.UpdateSum16(m.Checksum(), header.ICMPEchoRequest<<8, header.ICMPEchoReply<<8))
	reply := h[hl-header.IPv4MinLen:]
	w.ipID++
	header.SetIPv4(reply, tos, len(reply), w.ipID, ownTTL, header.ProtoICMP, source, to)
	w.sendLarge4(i, p, reply)
}

// sendLarge4 sends the own packet d, which is larger than a frame, and spends packet i, which has the beginning of what it
// answers, or more.
func (w *Worker) sendLarge4(i uint16, p *Packet, d header.IPv4) {
	w.cutRest(p)
	*p = Packet{Addr: p.Addr, Len: p.Len, Flags: Own}
	copy(w.network(p), d)
	var adj adjacency
	via, ok := w.prepare4(i, p, d, &adj)
	if !ok {
		return
	}
	p.Out, p.Via = adj.dev.ID, via
	if why, ok := w.cut4(d, p, int(adj.mtu)); !ok {
		w.toDrop(i, why)
		return
	}
	w.free(p)
}
