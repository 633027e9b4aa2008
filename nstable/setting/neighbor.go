package setting

// Neighbor is the settings of a device that are about its neighbours; the names are those of ip-sysctl.
type Neighbor struct {
	// ProxyARP answers ARP requests for addresses that the router reaches by another device.
	ProxyARP bool
	// ARPNotify and NDiscNotify announce the device's addresses when it comes up, gets an address or another MAC.
	ARPNotify, NDiscNotify bool
	// NeighMax limits the entries; NeighBudget how many unresolved ones are begun to be asked for in a second.
	NeighMax, NeighBudget uint32
	// BaseReachableTime is how long a confirmation is good for, at random 0.5 to 1.5 times; GCStaleTime how long an
	// entry stays unused; DelayFirstProbeTime how long one in use waits before it is asked again. Seconds.
	BaseReachableTime, GCStaleTime, DelayFirstProbeTime uint32
	// RetransTime is the time between two requests, milliseconds.
	RetransTime uint32
	// UcastSolicit and McastSolicit are how many requests go to the known address and to all.
	UcastSolicit, McastSolicit uint32
}

// Bounds of neighbour tables. Linux has 1024 for all devices together (gc_thresh3), too few for a router with a
// busy /20 behind a port. An entry takes about 130 bytes with its share of the hash.
const (
	defaultNeighMax          = 8192
	defaultNamespaceNeighMax = 65536
	highestNeighMax          = 1 << 20
)

func neighborRows() Table[Device] {
	n := func(name, help string, low, high, standard uint32, field func(*Neighbor) *uint32) Row[Device] {
		return number(name, help, low, high, standard, func(d *Device) *uint32 { return field(&d.Neighbor) })
	}
	return Table[Device]{
		toggle("proxy-arp", "answer ARP requests for what is reached by another device",
			func(d *Device) *bool { return &d.ProxyARP }),
		toggle("arp-notify", "announce IPv4 addresses by ARP when the device comes up, gets one or another MAC",
			func(d *Device) *bool { return &d.ARPNotify }),
		toggle("ndisc-notify", "the same for IPv6 addresses, by unsolicited neighbour advertisements",
			func(d *Device) *bool { return &d.NDiscNotify }),
		n("neigh-max", "how many neighbours there may be, permanent ones not limited", 16, highestNeighMax,
			defaultNeighMax, func(n *Neighbor) *uint32 { return &n.NeighMax }),
		n("neigh-budget", "how many unknown neighbours are asked for anew in a second", 1, 1_000_000, 1000,
			func(n *Neighbor) *uint32 { return &n.NeighBudget }),
		n("base-reachable-time", "how long an answer is good for, on average; seconds", 1, 86400, 30,
			func(n *Neighbor) *uint32 { return &n.BaseReachableTime }),
		n("gc-stale-time", "how long an unused neighbour stays, where there are many; seconds", 1, 86400, 60,
			func(n *Neighbor) *uint32 { return &n.GCStaleTime }),
		n("delay-first-probe-time", "how long a stale neighbour is used before it is asked; seconds", 1, 3600, 5,
			func(n *Neighbor) *uint32 { return &n.DelayFirstProbeTime }),
		n("retrans-time-ms", "time between two requests for a neighbour; milliseconds", 100, 60000, 1000,
			func(n *Neighbor) *uint32 { return &n.RetransTime }),
		n("ucast-solicit", "how often a neighbour is asked at its known address", 1, 100, 3,
			func(n *Neighbor) *uint32 { return &n.UcastSolicit }),
		n("mcast-solicit", "how often a neighbour is asked by broadcast or multicast", 1, 100, 3,
			func(n *Neighbor) *uint32 { return &n.McastSolicit }),
	}
}
