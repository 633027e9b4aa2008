package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
)

// ip6Fragment cuts packets of the router's own that are larger than the MTU of the device they leave by (Detail): in
// IPv6 nobody but the source does that (RFC 8200 4.5). Out and Via say where they go.
//
// Edges: transmit and resolve (of the fragments: pieces), drop.
func (w *Worker) ip6Fragment(v []uint16) {
	for _, i := range v {
		p := &w.packets[i]
		if why, ok := w.cut6(header.IPv6(w.network(p)), p, int(p.Detail)); !ok {
			w.toDrop(i, why)
			continue
		}
		w.free(p)
	}
}

// cut6 makes the fragments of the own packet p, whose bytes are d: a fixed header and what follows it, without extension
// headers. All are made, or none; d stays as it is.
func (w *Worker) cut6(d header.IPv6, p *Packet, mtu int) (reason, bool) {
	const headers = header.IPv6HeaderLen + header.FragmentLen
	space := min(mtu, frame.JumboMTU) - headers
	if space < unit {
		return counters.TooBig, false
	}
	first, payload, id := len(w.pieces), d.Payload(), w.fragmentID()
	f := make(header.IPv6, headers) // on the stack
	copy(f, d[:header.IPv6HeaderLen])
	f.SetNextHeader(header.ExtFragment)
	for at := 0; at < len(payload); {
		n := len(payload) - at
		if n > space {
			n = space &^ (unit - 1)
		}
		f.SetPayloadLen(header.FragmentLen + n)
		header.Fragment(f[header.IPv6HeaderLen:]).Set(d.NextHeader(), at/unit, at+n < len(payload), id)
		if !w.piece(p, first, header.TypeIPv6, f, payload[at:at+n]) {
			w.takeBack(first)
			return counters.NoFrame, false
		}
		at += n
	}
	return 0, true
}

// sendLarge6 is sendLarge4 for IPv6.
func (w *Worker) sendLarge6(i uint16, p *Packet, d header.IPv6, flags Flags) {
	w.cutRest(p)
	*p = Packet{Addr: p.Addr, Len: p.Len, Flags: flags}
	copy(w.network(p), d)
	var adj adjacency
	out, mtu, ok := w.prepare6(i, p, d, &adj)
	if !ok {
		return
	}
	p.Out = out.ID
	if len(d) > int(min(mtu, frame.JumboMTU)) {
		if why, ok := w.cut6(d, p, int(mtu)); !ok {
			w.toDrop(i, why)
			return
		}
	} else if !w.piece(p, len(w.pieces), header.TypeIPv6, d, nil) {
		w.toDrop(i, counters.NoFrame)
		return
	}
	w.free(p)
}

// fragmentID is an identification that no worker gives out again for a long time and nobody can guess (RFC 7739): a
// number of this worker's, permuted with a secret that all workers share.
func (w *Worker) fragmentID() uint32 {
	w.fragments++
	return permute(w.fragments*uint32(len(w.peers))+uint32(w.id), w.secret)
}

// permute maps 32 bits to 32 bits one to one, otherwise for each secret: four rounds of a Feistel cipher (Luby and
// Rackoff, 1988) over halves of 16 bits, whose round function is a multiplication.
func permute(n uint32, secret uint64) uint32 {
	l, r := uint16(n>>16), uint16(n)
	for round := range uint64(4) {
		x := (uint64(r) + round<<16 + secret) * 0x9e3779b97f4a7c15
		x = (x ^ x>>29 ^ secret>>round) * 0xbf58476d1ce4e5b9
		l, r = r, l^uint16(x>>48)
	}
	return uint32(l)<<16 | uint32(r)
}
