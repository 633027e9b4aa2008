package setting

// Namespace is the settings of a namespace.
type Namespace struct {
	// MaxRoutes limits the routes, connected ones included; 0: no limit. Those that are there stay, even if they are
	// more.
	MaxRoutes uint32
	// IPFragTime and IP6FragTime are how long the other fragments of a datagram for the router itself are waited for,
	// seconds; the thresholds how much memory its fragments may take, bytes at each worker.
	IPFragTime, IP6FragTime             uint32
	IPFragHighThresh, IP6FragHighThresh uint32
	// Martians are the addresses from and to which nothing is forwarded.
	Martians Martians
}

// Namespaces describes the settings of a namespace.
//
//nolint:gochecknoglobals // a constant table
var Namespaces = Table[Namespace]{
	number("max-routes", "how many routes there may be, connected ones included; 0: no limit", 0, 1<<32-1, 0,
		func(n *Namespace) *uint32 { return &n.MaxRoutes }),
	number("ipfrag-time", "seconds to wait for all IPv4 fragments of a datagram", 1, 3600, 30,
		func(n *Namespace) *uint32 { return &n.IPFragTime }),
	number("ipfrag-high-thresh", "bytes that a worker may keep of IPv4 fragments; 0: nothing is reassembled", 0, 1<<30, 4<<20,
		func(n *Namespace) *uint32 { return &n.IPFragHighThresh }),
	number("ip6frag-time", "seconds to wait for all IPv6 fragments of a datagram", 1, 3600, 60,
		func(n *Namespace) *uint32 { return &n.IP6FragTime }),
	number("ip6frag-high-thresh", "bytes that a worker may keep of IPv6 fragments; 0: nothing is reassembled", 0, 1<<30, 4<<20,
		func(n *Namespace) *uint32 { return &n.IP6FragHighThresh }),
	martians(),
}
