package dataplane

import "nsrouter/dataplane/counters"

// What the router sends of its own is limited, so that nobody has it send more than is good for it or for others (RFC
// 1812 4.3.2.8, RFC 4443 2.4(f)): an answer needs a token of the device that its cause came in by, and one of the
// namespace. The tokens are those of all workers together; see package limit.
const (
	errorPurse    = counters.ErrorAnswer
	tooBigPurse   = counters.TooBigAnswer
	echoPurse     = counters.EchoAnswer
	neighborPurse = counters.NeighborAnswer
	puntPurse     = counters.PuntAnswer
	routingPurse  = counters.RoutingPunt
	streamPurse   = counters.StreamPunt
)

// allow takes the tokens of an answer because of a packet of the present device. Where there is none it counts the
// answer as suppressed, and is false. The device is asked first: one that is limited does not use up what others share.
func (w *Worker) allow(a counters.Answer) bool {
	dev, ns := &w.dev.Settings.Limits, &w.set.Limits
	if w.dev.Limits[a].Take(w.now, dev.Rate[a], dev.Burst(a)) && w.ns.Limits[a].Take(w.now, ns.Rate[a], ns.Burst(a)) {
		return true
	}
	w.slot.Suppressed[a].Add(1)
	return false
}

// allowError is allow for the error that packet p is about to be answered with.
func (w *Worker) allowError(p *Packet) bool {
	if p.Reason == counters.TooBig {
		return w.allow(tooBigPurse)
	}
	return w.allow(errorPurse)
}

// punt is about packet i, which is for the router itself and which that does not answer: it goes to Linux, or ends.
func (w *Worker) punt(i uint16) {
	if w.host != nil {
		w.to(hostOutput, i)
		return
	}
	if !w.allow(puntPurse) {
		w.toDrop(i, counters.RateLimited)
		return
	}
	w.consume(i)
}
