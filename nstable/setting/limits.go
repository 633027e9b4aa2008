package setting

import (
	"math"

	"nsrouter/dataplane/counters"
)

// Limits is how many answers of each kind are sent a second; 0: no limit. They hold for all workers together.
type Limits struct {
	Rate       [counters.NumAnswers]uint32
	ErrorBurst uint32
}

// Burst is how many answers may go at once: what a tenth of a second brings, but for errors.
func (l *Limits) Burst(a counters.Answer) uint32 {
	if a == counters.ErrorAnswer {
		return l.ErrorBurst
	}
	const share = 10
	return max(1, l.Rate[a]/share)
}

// The limits of a namespace. Those of errors are the kernel's icmp_msgs_per_sec and icmp_msgs_burst; it limits nothing
// else, but a router that serves many must (RFC 4443 2.4(f) for what is too big).
const (
	errorRate  = 1000
	errorBurst = 50
	tooBigRate = 10_000
	answerRate = 100_000
	// What goes to programs costs a system call and Linux's work on it, some 5 us together.
	puntRate     = 30_000
	routingRate  = 20_000
	streamRate   = 200_000
	maxLimitRate = 10_000_000
)

// limits are the rows of the limits in T. Where limited is false there are none by default.
func limits[T any](limited bool, of func(*T) *Limits) Table[T] {
	row := func(name, help string, a counters.Answer, standard uint32) Row[T] {
		if !limited {
			standard = 0
		}
		return number(name, help+"; 0: no limit", 0, maxLimitRate, standard,
			func(v *T) *uint32 { return &of(v).Rate[a] })
	}
	return Table[T]{
		row("icmp-msgs-per-sec", "ICMP and ICMPv6 errors a second, besides those of too-big-rate", counters.ErrorAnswer, errorRate),
		number("icmp-msgs-burst", "how many ICMP and ICMPv6 errors at once", 1, math.MaxUint16, errorBurst,
			func(v *T) *uint32 { return &of(v).ErrorBurst }),
		row("too-big-rate", "\"packet too big\" and \"fragmentation needed\" a second", counters.TooBigAnswer, tooBigRate),
		row("echo-rate", "echo replies a second", counters.EchoAnswer, answerRate),
		row("neigh-rate", "answers to ARP requests and neighbour solicitations a second", counters.NeighborAnswer, answerRate),
		row("punt-rate", "other packets to the router itself, and to programs, a second", counters.PuntAnswer, puntRate),
		row("punt-routing-rate", "packets of routing protocols to programs a second", counters.RoutingPunt, routingRate),
		row("punt-tcp-rate", "TCP segments of connections to programs a second", counters.StreamPunt, streamRate),
	}
}
