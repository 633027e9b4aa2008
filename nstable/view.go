package nstable

import (
	"net/netip"
	"sync/atomic"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/limit"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// DeviceID names a device of the daemon, over all namespaces, for as long as it exists; then it may be given out again.
type DeviceID = fib.DeviceID

// NamespaceID names a namespace for as long as it exists.
type NamespaceID = fib.NamespaceID

// Init is the namespace that always exists.
const Init NamespaceID = 0

// Kind is the type of a device.
type Kind uint8

// Kinds of devices.
const (
	Loopback Kind = iota
	XDP           // a host interface taken over with AF_XDP
	Veth          // one end of a pair inside the daemon
	Dummy         // holds addresses, swallows packets
	VLAN          // sends and receives tagged frames by another device
)

// View is what the data plane sees of the table: immutable, published whole after each change. Workers load it once a
// round.
type View struct {
	// Devices are indexed by DeviceID; nil where there is none. Devices[0] is nil.
	Devices []*Device
	// Namespaces are indexed by NamespaceID; nil where there is none.
	Namespaces []*Namespace
	// Probing names the devices that have addresses to be tried.
	Probing []DeviceID
}

// Device returns the device of an id, or nil.
func (v *View) Device(id DeviceID) *Device {
	if int(id) >= len(v.Devices) {
		return nil
	}
	return v.Devices[id]
}

// Device is a device as published: immutable but for what its pointers lead to. A changed device is a new Device with
// the same ID.
type Device struct {
	ID    DeviceID
	Index int // ifindex within its namespace; not the host's
	Name  string
	Kind  Kind
	// Namespace is the only namespace that the device is in. This pointer decides where a packet belongs.
	Namespace *Namespace
	Peer      DeviceID // other end of a Veth
	// Lower is the device that a VLAN device is on, Root the one at the bottom, whose frames bear the Tag.
	Lower, Root DeviceID
	Tag         Tag
	VLANs       *VLANs // the VLAN devices on this one; nil: none
	MAC         [6]byte
	MTU         uint32 // bytes of layer 3
	Up          bool   // administratively
	Carrier     bool   // the link is there; for Veth: the peer is up; for VLAN: the lower device can be used
	// Addrs are the addresses with their prefix length, in the order in which they were added (the first is the primary
	// one), link-local IPv6 included.
	// Addresses that are not, or not yet, used (dad.go) are left out.
	Addrs []netip.Prefix
	// Probing are those that the owner is to try.
	Probing []Probe
	// Owner is the worker that resolves this device's neighbours and holds packets for them.
	Owner int
	// Settings are what `link set` sets besides.
	Settings *setting.Device

	Neighbors *neigh.Table     // written by the owner only
	Counters  *counters.Device // survive moves and renames
	Limits    *limit.Set       // likewise
}

// Usable tells whether packets can enter and leave by the device.
func (d *Device) Usable() bool { return d.Up && d.Carrier }

// Namespace is a namespace as published. It is one object for the namespace's whole life.
type Namespace struct {
	ID  NamespaceID
	FIB *fib.Table
	// Loopback is its lo, by which packets come in that routes of other namespaces lead here; set before it is published.
	Loopback DeviceID
	// Limits are the token buckets of what the router answers; workers take from them.
	Limits limit.Set

	name     atomic.Pointer[string]
	settings atomic.Pointer[setting.Namespace]
	own      atomic.Pointer[OwnAddrs]
}

// Name is what the namespace is called now. Any goroutine.
func (n *Namespace) Name() string {
	if name := n.name.Load(); name != nil {
		return *name
	}
	return "" // of a test
}

// PublishSettings makes s what workers see.
func (n *Namespace) PublishSettings(s *setting.Namespace) { n.settings.Store(s) }

// Settings are what `netns set` sets, as published last. Any goroutine; a worker asks once a batch.
func (n *Namespace) Settings() *setting.Namespace {
	if s := n.settings.Load(); s != nil {
		return s
	}
	return defaultSettings
}

// defaultSettings are those of a namespace that was never published.
var defaultSettings = setting.Namespaces.Default() //nolint:gochecknoglobals // a constant

// Datapath is what the table asks of the data plane besides reading views. All may be called with the table's lock
// held, and return when it is done. A data plane without workers (tests) may do nothing.
type Datapath interface {
	// Quiesce returns when no worker uses a view, snapshot or device that was replaced before the call.
	Quiesce()
	// SetNeighbor makes an entry, or changes it; packets held for it are sent, or dropped where state is Failed. state is
	// not Incomplete.
	SetNeighbor(d *Device, addr netip.Addr, mac [6]byte, state neigh.State) error
	// DeleteNeighbor removes an entry and drops what it holds; false if there was none.
	DeleteNeighbor(d *Device, addr netip.Addr) bool
	// FlushNeighbors removes all entries and drops what they hold: before a device moves, goes down or is deleted.
	// keepPermanent leaves the permanent ones.
	FlushNeighbors(d *Device, keepPermanent bool)
	// Announce tells the link of a device that it has addresses, if it is usable.
	Announce(d *Device, addrs []netip.Addr)
}
