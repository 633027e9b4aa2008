package counters

// MIB is something about IP or ICMP that is counted besides: columns of /proc/net/snmp and snmp6, which have the names of
// RFC 4293 and RFC 5097. All are about packets that came in by the device, but for what the router sends by itself.
type MIB uint8

// What is counted. Local are datagrams for the router itself, fragments one by one; Output what the router sends in answer.
const (
	IP4Received     MIB = iota
	IP4HeaderErrors     // TTL
	IP4AddressErrors
	IP4Forwarded // tried to
	IP4UnknownProtocol
	IP4Local
	IP4Output
	IP4NoRoute
	IP4ReassemblyRequests
	IP4Reassembled
	IP4Fragmented
	ICMP4Received
	ICMP4Errors // damaged
	ICMP4Echo
	ICMP4EchoReply
	ICMP4TimestampReply
	ICMP4Unreachable
	ICMP4TimeExceeded
	ICMP4Parameter
	IP6Received
	IP6HeaderErrors
	IP6AddressErrors
	IP6Forwarded
	IP6UnknownProtocol
	IP6Local
	IP6Output
	IP6NoRoute
	IP6TooBig
	IP6ReassemblyRequests
	IP6Reassembled
	ICMP6Received
	ICMP6Errors
	ICMP6Echo
	ICMP6NeighborSolicit
	ICMP6NeighborAdvert
	ICMP6RouterSolicit
	ICMP6EchoReply
	ICMP6Unreachable
	ICMP6PacketTooBig
	ICMP6TimeExceeded
	ICMP6Parameter
	ICMP6SolicitSent
	ICMP6AdvertSent
	// NumMIB is how many there are.
	NumMIB
)
