package counters

// Reason says why a packet was dropped. Every drop has exactly one, and is counted at the device it came in by.
type Reason uint8

// The reasons, in the order in which a packet meets them.
const (
	BadEthernet Reason = iota
	FrameTooLong
	UnknownEtherType
	UnknownVLAN
	NotForUs
	DeviceDown
	BadARP
	AddressConflict
	IP4BadHeader
	IP4BadChecksum
	IP4Truncated
	IP4BadSource
	IP4Multicast
	IP4OwnSource
	IP4BadDestination
	IP4SourceRoute
	IP4BadOption
	IP6BadHeader
	IP6Truncated
	IP6BadSource
	IP6Multicast
	IP6Scope
	IP6BadOptions
	IP6Option
	IP6Jumbo
	IP6RoutingHeader
	IP6Extensions
	ForwardingOff
	TTLExpired
	NoRoute
	RouteBlackhole
	RouteUnreachable
	RouteProhibit
	RPFilter
	LinkLayerBroadcast
	NoListener
	UnknownProtocol
	BadFragment
	FragmentDuplicate
	ReassemblyOverlap
	ReassemblyFull
	ReassemblyTimeout
	BadICMP
	TooBig
	NeighborHoldFull
	NeighborFailed
	NeighborTableFull
	NeighborBudget
	OtherNamespace
	Loop
	EgressDown
	TxFull
	HandoffFull
	NoFrame
	DummyDevice
	HostFull
	RateLimited
	// NumReasons is how many reasons there are.
	NumReasons
)

var reasons = [NumReasons]struct{ name, help string }{
	BadEthernet:      {"bad-ethernet", "shorter than an Ethernet header and its tags, or from a multicast source address"},
	FrameTooLong:     {"frame-too-long", "an Ethernet frame longer than the router ever takes (14,336 bytes)"},
	UnknownEtherType: {"unknown-ethertype", "neither IPv4, IPv6 nor ARP"},
	UnknownVLAN:      {"unknown-vlan", "tagged for a VLAN that no device here stands for"},
	NotForUs:         {"not-for-us", "sent to another station's MAC address"},
	DeviceDown:       {"device-down", "the receiving device is administratively down"},
	BadARP:           {"bad-arp", "malformed ARP, or one that claims a broadcast or multicast address"},
	AddressConflict:  {"address-conflict", "ARP or neighbour discovery that claims an address of the router (RFC 5227 2.4)"},
	IP4BadHeader:     {"ip4-bad-header", "IPv4 version, header length or total length is wrong (RFC 1812 5.2.2)"},
	IP4BadChecksum:   {"ip4-bad-checksum", "the IPv4 header checksum is wrong"},
	IP4Truncated:     {"ip4-truncated", "the frame ends before the IPv4 total length"},
	IP4BadSource:     {"ip4-bad-source", "martian IPv4 source address (RFC 1812 5.3.7)"},
	IP4Multicast: {
		"ip4-multicast",
		"IPv4 multicast or broadcast, which is not forwarded and nobody here listens to",
	},
	IP4BadDestination: {
		"ip4-bad-destination",
		"martian IPv4 destination address (netns set NS martians rfc1812: RFC 1812 5.3.7, RFC 3927)",
	},
	IP4OwnSource:     {"ip4-own-source", "the IPv4 source is an address of the router itself"},
	IP4SourceRoute:   {"ip4-source-route", "source-routed IPv4 (RFC 7126), or a source route that cannot be followed"},
	IP4BadOption:     {"ip4-bad-option", "a malformed IPv4 option (RFC 1812 5.2.4)"},
	IP6BadHeader:     {"ip6-bad-header", "IPv6 version is wrong"},
	IP6Truncated:     {"ip6-truncated", "the frame ends before the IPv6 payload length"},
	IP6BadSource:     {"ip6-bad-source", "multicast, unspecified or loopback IPv6 source address (RFC 4291)"},
	IP6Multicast:     {"ip6-multicast", "IPv6 multicast, which is not forwarded and nobody here listens to"},
	IP6Scope:         {"ip6-scope", "a link-local address would leave its link (RFC 4291 2.5.6)"},
	IP6BadOptions:    {"ip6-bad-options", "malformed IPv6 options, too many of them, or padding that is none"},
	IP6Option:        {"ip6-option", "an unknown IPv6 option that forbids to pass over it (RFC 8200 4.2)"},
	IP6Jumbo:         {"ip6-jumbo", "a jumbogram, or a jumbo payload option in a packet that is none (RFC 2675)"},
	IP6RoutingHeader: {"ip6-routing-header", "for the router itself, with a routing header that it does not follow (RFC 5095)"},
	IP6Extensions:    {"ip6-extensions", "for the router itself, with more extension headers than it walks over"},
	ForwardingOff:    {"forwarding-off", "for others, in a namespace that does not forward (netns set NS ip-forward, ip6-forward)"},
	TTLExpired:       {"ttl-expired", "TTL or hop limit ran out"},
	NoRoute:          {"no-route", "no route covers the destination"},
	RouteBlackhole:   {"route-blackhole", "the route is a blackhole"},
	RouteUnreachable: {"route-unreachable", "the route says unreachable"},
	RouteProhibit:    {"route-prohibit", "the route says prohibit"},
	RPFilter: {
		"rp-filter",
		"no route leads back to the source, or not by the receiving device (rp-filter, RFC 3704)",
	},
	LinkLayerBroadcast: {
		"link-layer-broadcast",
		"unicast packet in a link-layer broadcast or multicast (RFC 1812 5.3.4)",
	},
	NoListener:        {"no-listener", "for the router itself, where nothing listens"},
	UnknownProtocol:   {"unknown-protocol", "for the router itself, by a protocol that it does not speak"},
	BadFragment:       {"bad-fragment", "a fragment for the router itself that fits in no datagram"},
	FragmentDuplicate: {"fragment-duplicate", "a fragment for the router itself that was here already"},
	ReassemblyOverlap: {"reassembly-overlap", "fragments for the router itself that overlap (RFC 5722)"},
	ReassemblyFull:    {"reassembly-full", "a fragment for the router itself, which keeps as many as it may"},
	ReassemblyTimeout: {"reassembly-timeout", "fragments for the router itself of a datagram that was not completed in time"},
	BadICMP:           {"bad-icmp", "malformed ICMP, ICMPv6 or neighbour discovery"},
	TooBig:            {"too-big", "larger than the MTU of the device it would leave by"},
	NeighborHoldFull:  {"neighbor-hold-full", "pushed out by a newer packet while its neighbour was being resolved"},
	NeighborFailed:    {"neighbor-failed", "the neighbour does not answer"},
	NeighborTableFull: {"neighbor-table-full", "device or namespace have as many neighbours as they may (neigh-max)"},
	NeighborBudget:    {"neighbor-budget", "too many unknown neighbours were to be asked for in a second (neigh-budget)"},
	OtherNamespace:    {"other-namespace", "the device it would leave by is in another namespace"},
	Loop:              {"loop", "crossed from namespace to namespace too often"},
	EgressDown:        {"egress-down", "the device it would leave by is down or gone"},
	TxFull:            {"tx-full", "the transmit ring is full"},
	HandoffFull:       {"handoff-full", "the ring to another worker is full"},
	NoFrame:           {"no-frame", "no free frame"},
	DummyDevice:       {"dummy-device", "sent into a dummy device or to the loopback"},
	HostFull:          {"host-full", "for a program, faster than Linux takes it"},
	RateLimited:       {"rate-limited", "an answer was due, but the namespace's budget for answers is used up"},
}

// String is the reason's name, as counters show it.
func (r Reason) String() string { return reasons[r].name }

// Help is one line that explains the reason to an operator.
func (r Reason) Help() string { return reasons[r].help }
