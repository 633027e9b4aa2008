package nstable

import (
	"net/netip"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// NamespaceInfo describes a namespace.
type NamespaceInfo struct {
	ID       NamespaceID
	Name     string
	Devices  int // lo included
	Routes   int // of all tables
	Settings *setting.Namespace
	Owners   []Owner // read-only
}

// LinkInfo describes a device. It is a copy.
type LinkInfo struct {
	ID        DeviceID
	Namespace string
	Index     int // ifindex within the namespace
	Name      string
	Kind      Kind
	MAC       [6]byte
	MTU       uint32 // bytes of layer 3
	Up        bool   // administratively
	Carrier   bool
	// PeerNamespace, PeerName and PeerIndex name the other end of a Veth, or the device that a VLAN device is on.
	PeerNamespace, PeerName string
	PeerIndex               int
	PeerUp                  bool // its administrative state
	// XDP is set for XDP devices only.
	XDP *XDPInfo
	// Tag is that of a VLAN device.
	Tag      Tag
	Settings *setting.Device
	// Counters lead to the device's living counters.
	Counters *counters.Device
}

// XDPInfo is what `link show` tells of an XDP device besides.
type XDPInfo struct {
	Host        string // Linux interface
	Asked       Mode
	QueuesAsked int  // channels to be set; 0: the interface's own number
	Mode        Mode // obtained; ModeAuto while not attached
	Queues      int  // bound; 0 while not attached
	Present     bool // the host interface is there and attached
	Strips      bool // see [PortInfo]
	MaxMTU      uint32
}

// AddressInfo describes an address of a device.
type AddressInfo struct {
	Namespace string
	Device    string
	Index     int // of the device
	Prefix    netip.Prefix
	Scope     fib.Scope
	// Secondary says that an earlier address of the device has the same IPv4 prefix.
	Secondary bool
	// Automatic marks the IPv6 link-local address that a device has while it is up.
	Automatic bool
	// NoDAD says that it was added to be used at once. Tentative and DADFailed are of duplicate address detection: not
	// used yet; not used since another node has it (it is tentative then as well).
	NoDAD, Tentative, DADFailed bool
}

// RouteInfo describes a route with the names of its devices.
type RouteInfo struct {
	fib.Route
	// Hops are the ways that it sends by, those of its next-hop object included; none for a blackhole and its like.
	Hops []HopInfo
	// Group tells that they are those of a group of next-hop objects.
	Group bool
	// Netns is the namespace that it leads into, of the kind fib.Netns.
	Netns string
}

// HopInfo describes a way that a route or a next-hop object sends by.
type HopInfo struct {
	Gateway netip.Addr // invalid: the destination itself
	Device  string     // "" where the gateway is looked up among the routes
	Weight  uint32
	OnLink  bool
	// Dead says that it is not used since its device is down, LinkDown since that has no carrier, Unresolved since no
	// route leads to the gateway.
	Dead, LinkDown, Recursive, Unresolved bool
}

// NextHopInfo describes a next-hop object.
type NextHopInfo struct {
	fib.Object
	Hop HopInfo // where it is neither a blackhole nor a group
}

// NeighborInfo describes a neighbour.
type NeighborInfo struct {
	Device string
	Index  int // of the device
	Addr   netip.Addr
	MAC    [6]byte
	HasMAC bool
	State  neigh.State
	Router bool
	// Changed, Confirmed and Used are when state or MAC changed, when it answered last, and when it was last seen to be
	// in use: nanoseconds of the monotonic clock, 0 where that is not known. Probes is how often it was asked.
	Changed, Confirmed, Used int64
	Probes                   uint32
}

// GetInfo is the answer of RouteGet: what would become of a packet.
type GetInfo struct {
	Route RouteInfo
	// Hop is the way that the packet's flow takes, with recursive gateways resolved.
	Hop HopInfo
	// Chosen is the place in the route's Hops of the one that leads there.
	Chosen int
	// Through are the prefixes of the routes that lead to its gateway, one after the other, if that is no neighbour.
	Through []netip.Prefix
	Source  netip.Addr // address that the router itself would send from; invalid if it has none
	// Group is the group of next hops that the prefix leads to, Bucket the one of its Buckets that the flow is in.
	Group           fib.GroupID
	Bucket, Buckets int
	// Neighbor is the state of the neighbour that the packet is sent to; nil where the router does not know it.
	Neighbor *NeighborInfo
}

// GetQuery is a packet that [Table.RouteGet] is asked about.
type GetQuery struct {
	Destination netip.Addr
	Source      netip.Addr // invalid: not said
	InDevice    string     // that it comes in by; "": the router's own
	Protocol    uint8      // of layer 4
	SourcePort  uint16     // for ICMP and ICMPv6 the identifier of an echo
	DestPort    uint16
	Label       uint32 // flow label of IPv6
}

// LinkSpec says what device to make.
type LinkSpec struct {
	Name string // up to 15 bytes; "%d" in it stands for the first free number
	Kind Kind   // XDP, Veth, Dummy or VLAN
	XDP  XDPSpec
	// Peer and PeerNamespace name the other end of a Veth; by default a free "veth%d" in the same namespace.
	Peer, PeerNamespace string
	// Lower is the device, in the same namespace, that a VLAN device is to be on; Tag is what its frames bear.
	Lower string
	Tag   Tag
	MTU   uint32   // bytes; 0 is 1500, or what the host interface or the lower device has
	MAC   *[6]byte // nil: random, or what the host interface or the lower device has
}

// LinkChange says what to change of a device. All of it happens at once, or nothing.
type LinkChange struct {
	Up        *bool
	MTU       uint32 // bytes; 0 leaves it
	MAC       *[6]byte
	Name      string // new name; "" leaves it
	Namespace string // to move to; "" leaves it
	Settings  []setting.Value
}

// RouteSpec says what route is meant, in the operator's terms. For a deletion zero fields match any, and Kind only
// counts with HasKind.
type RouteSpec struct {
	Prefix   netip.Prefix
	Kind     fib.Kind
	HasKind  bool
	Legs     []LegSpec // via and dev, or several "nexthop"
	AllLegs  bool      // for a deletion: Legs are all that the route has
	Object   fib.ObjectID
	Source   netip.Addr
	Metric   uint32 // 0: 0 for IPv4, 1024 for IPv6
	Protocol fib.Protocol
	Scope    *fib.Scope // nil: what fits
	MTU      uint32
	// Netns is the namespace that the route leads into; "": none. It is of the kind fib.Netns then.
	Netns string
}

// LegSpec says by what a route or a next-hop object sends.
type LegSpec struct {
	Via    netip.Addr // gateway; invalid: none
	Device string
	Weight uint32 // 0: 1, or any for a deletion
	OnLink bool   // do not check that the gateway is on the link
}

// NextHopSpec says what a next-hop object is to be: a leg, a blackhole, or a group of others.
type NextHopSpec struct {
	ID        fib.ObjectID // 0: the next free one
	Leg       LegSpec
	Blackhole bool
	Members   []fib.Member
	Protocol  fib.Protocol
	IPv6      bool // family of a leg without gateway
}

// NeighborOp is how to put a neighbour.
type NeighborOp uint8

// Operations.
const (
	AddNeighbor     NeighborOp = iota // refused if it is there
	ReplaceNeighbor                   // made or changed
	ChangeNeighbor                    // must be there
)
