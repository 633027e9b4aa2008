package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
)

// pieceLimit is how many fragments one run of the graph may make. A whole batch of full frames for a link of 576 bytes
// needs 256 of them, and the largest datagram for one of 68 bytes 1,366.
const pieceLimit = 4096

// Fragments are more packets than the vectors of the graph hold, so the nodes that make them put them on the list
// Worker.pieces, and sendPieces takes that through the rest of the graph, a vector at a time. Of the packet that was cut,
// the first fragment keeps what it came in by, and with it whatever is counted there; the others count as the router's
// own. So the counters of a device see each packet once, and its transmitted packets are those on the wire.

// piece appends a fragment of packet p to the list: head and body behind an Ethernet header; false where no frame is free.
// first is where the fragments of p begin on the list.
func (w *Worker) piece(p *Packet, first int, etherType uint16, head, body []byte) bool {
	if len(w.pieces) == cap(w.pieces) {
		return false
	}
	var ethernet [header.EthernetLen]byte
	d, ok := w.cache.New(len(ethernet) + len(head) + len(body))
	if !ok {
		return false
	}
	header.Ethernet(ethernet[:]).SetType(etherType)
	frame.Write(w.mem, d, ethernet[:], head, body)
	q := *p
	if len(w.pieces) > first {
		q = Packet{Out: p.Out, Via: p.Via, Crossings: p.Crossings, Flags: Own, Priority: p.Priority}
	}
	q.Addr, q.Len, q.Flags = d.Addr, d.Len, q.Flags&^Chained|Flags(d.Options)
	w.pieces = append(w.pieces, q)
	return true
}

// takeBack frees the fragments from first on: a packet is sent whole or not at all, since the rest of it would only
// occupy its receiver.
func (w *Worker) takeBack(first int) {
	w.freeAll(w.pieces[first:])
	w.pieces = w.pieces[:first]
}

// sendPieces sends the fragments that the run has made. Their devices were looked at in this run.
func (w *Worker) sendPieces() {
	for list := w.pieces; len(list) > 0; {
		n := copy(w.packets[:], list)
		list = list[n:]
		for i := range n {
			p := &w.packets[i]
			switch out := w.view.Device(p.Out); {
			case out == nil:
				w.toDrop(uint16(i), counters.EgressDown)
			case p.Via == fib.Addr{}: // for all on the link
				w.sendBroadcast(uint16(i), p, out)
			default:
				w.sendVia(uint16(i), p, out, p.Via)
			}
		}
		w.runNodes()
	}
	w.pieces = w.pieces[:0]
}
