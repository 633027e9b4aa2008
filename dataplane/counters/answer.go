package counters

// Answer is a kind of what the router sends because of a packet that it received, or does for it apart from forwarding:
// each kind has rate limits of its own, and counters of what they kept back.
//
// A packet that an error is due about is dropped for the reason of the error, whether that is sent or not. One whose
// answer is kept back otherwise is dropped as [RateLimited].
type Answer uint8

// The kinds.
const (
	// ErrorAnswer is an ICMP or ICMPv6 error (RFC 1812 4.3.2.8, RFC 4443 2.4(f)) other than TooBigAnswer.
	ErrorAnswer Answer = iota
	// TooBigAnswer is "packet too big" and "fragmentation needed", which path MTU discovery lives on: a flood that
	// provokes other errors must not use up its tokens (Linux exempts it from the limit: icmpv4_mask_allow).
	TooBigAnswer
	// EchoAnswer is an echo reply.
	EchoAnswer
	// NeighborAnswer is an ARP reply or a neighbour advertisement.
	NeighborAnswer
	// PuntAnswer is the work on other packets for the router itself, or for the programs that use its addresses, where they
	// are none of the next two kinds.
	PuntAnswer
	// RoutingPunt is the packets of routing protocols to programs (BGP, OSPF, BFD, ...).
	RoutingPunt
	// StreamPunt is the TCP segments to programs, but those that begin a connection.
	StreamPunt
	// NumAnswers is how many kinds there are.
	NumAnswers
)

var answers = [NumAnswers]string{"errors", "too-big", "echo", "neighbor", "punt", "punt-routing", "punt-tcp"}

// String is the name of the kind, as counters show it.
func (a Answer) String() string { return answers[a] }
