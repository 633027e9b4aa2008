package setting

import (
	"slices"

	"nsrouter/fib"
)

// Namespace is the settings of a namespace.
type Namespace struct {
	// Host is whether the namespace has a Linux network namespace.
	Host Host
	// MaxRoutes limits the routes, connected ones included; 0: no limit. Those that are there stay, even if they are
	// more.
	MaxRoutes uint32
	// MaxDevices limits the devices, lo not counted; 0: no limit. Those that are there stay.
	MaxDevices uint32
	// MaxAddresses limits the addresses, those of lo included; MaxNextHops the next-hop objects; MaxPermanent the permanent
	// neighbours. 0: no limit.
	MaxAddresses, MaxNextHops, MaxPermanent uint32
	// NoForward4 and NoForward6 have it forward nothing of a family: it is a host then.
	NoForward4, NoForward6 bool
	// FPMPort is where routes are taken by FPM in the Linux namespace; 0: nowhere.
	FPMPort uint32
	// StaleTime is how many seconds such routes stay when their connection has ended.
	StaleTime uint32
	// MultipathHash is what of a packet chooses among several next hops.
	MultipathHash fib.HashPolicy
	// Fragments is reassembly.
	Fragments Fragments
	// NeighMax limits the neighbours of all devices; permanent ones are limited by MaxPermanent.
	NeighMax uint32
	// Limits are those of answers to what all devices of the namespace receive.
	Limits Limits
	// Martians are the addresses from and to which nothing is forwarded.
	Martians Martians
}

// Host is what a namespace has on the Linux side.
type Host uint8

// What there may be.
const (
	HostNetns Host = iota // a Linux network namespace, with the devices in it
	HostNone              // nothing: no program can be in the namespace
)

// Names of quotas that errors tell of.
const (
	DevicesMax   = "devices-max"
	AddressesMax = "addresses-max"
	NextHopsMax  = "nexthops-max"
	PermanentMax = "neigh-permanent-max"
)

// Namespaces describes the settings of a namespace.
//
//nolint:gochecknoglobals // a constant table
var Namespaces = slices.Concat(
	group("devices, routes and neighbours", slices.Concat(quotas(
		alsoNamed("routes-max", number("max-routes", "how many routes there may be, connected ones included; 0: no limit",
			0, 1<<32-1, 0, func(n *Namespace) *uint32 { return &n.MaxRoutes })),
		number(DevicesMax, "how many devices there may be, lo not counted; 0: no limit", 0, 1<<32-1, 0,
			func(n *Namespace) *uint32 { return &n.MaxDevices }),
		number(AddressesMax, "how many addresses there may be, 127.0.0.1 and ::1 included, link-local ones that come by "+
			"themselves not; 0: no limit", 0, 1<<32-1, 0, func(n *Namespace) *uint32 { return &n.MaxAddresses }),
		number(NextHopsMax, "how many nexthop objects there may be; 0: no limit", 0, 1<<32-1, 0,
			func(n *Namespace) *uint32 { return &n.MaxNextHops }),
		number(PermanentMax, "how many permanent neighbours there may be; 0: no limit", 0, 1<<32-1, 0,
			func(n *Namespace) *uint32 { return &n.MaxPermanent }),
		number("neigh-max", "how many neighbours there may be behind all devices; permanent ones have their own limit", 16,
			highestNeighMax, defaultNamespaceNeighMax, func(n *Namespace) *uint32 { return &n.NeighMax }),
	), Table[Namespace]{
		martians(),
		multipathHash(),
	})),
	group("forwarding", Table[Namespace]{
		unless("ip-forward", "forward IPv4 packets of others; off: drop them as a host does",
			func(n *Namespace) *bool { return &n.NoForward4 }),
		unless("ip6-forward", "the same for IPv6", func(n *Namespace) *bool { return &n.NoForward6 }),
	}),
	group("fragments for the router itself", fragments()),
	group("answers to what all devices of the namespace receive (for a device: link set)",
		quotas(limits(true, func(n *Namespace) *Limits { return &n.Limits })...)),
	group("the Linux side", slices.Concat(quotas(
		choice("host", "have a Linux network namespace, in which programs use the devices; none: no program can be in the "+
			"namespace", []string{"netns", "none"}, func(n *Namespace) *Host { return &n.Host }),
	), Table[Namespace]{
		number("fpm-port", "the TCP port on 127.0.0.1 of the Linux namespace where a routing daemon tells routes by FPM (FRR's "+
			"dplane_fpm_nl: 2620), from whoever connects; 0: none", 0, 1<<16-1, 0,
			func(n *Namespace) *uint32 { return &n.FPMPort }),
		number("stale-time", "how many seconds the routes of a routing daemon stay when its FPM connection has ended", 0, 86400,
			defaultStaleTime, func(n *Namespace) *uint32 { return &n.StaleTime }),
	})),
)

// defaultStaleTime is time enough for a routing daemon to start again, in seconds.
const defaultStaleTime = 120

// alsoNamed is a row with another name, like those of its fellows.
func alsoNamed[T any](name string, r Row[T]) Row[T] {
	r.also = name
	return r
}

// multipathHash is the policy by which flows are told apart: not Linux's default, which has the packets of two hosts go
// one way.
func multipathHash() Row[Namespace] {
	r := choice("fib-multipath-hash-policy", "what chooses among several next hops: addresses and IPv6 flow label, or "+
		"protocol and ports besides", []string{"l3", "5-tuple"},
		func(n *Namespace) *fib.HashPolicy { return &n.MultipathHash })
	r.Default = "5-tuple"
	byName := r.set
	r.set = func(n *Namespace, s string) error {
		if s == "l4" { // as people call the sysctl's 1
			s = "5-tuple"
		}
		return byName(n, s)
	}
	return r
}
