package nstable

import (
	"net/netip"

	"nsrouter/dataplane/neigh"
)

// Mode is how an XDP device is bound to its host interface.
type Mode uint8

// Modes, best first.
const (
	ModeAuto     Mode = iota // the best that can be had
	ModeZeroCopy             // the driver's own buffers are the frame area
	ModeCopy                 // native XDP, packets are copied
	ModeGeneric              // XDP behind the driver, packets are copied
)

var modeNames = [...]string{"auto", "zerocopy", "copy", "generic"}

// String is the mode as the command line spells it.
func (m Mode) String() string { return modeNames[m] }

// ParseMode is the inverse of String.
func ParseMode(s string) (Mode, error) {
	for i, n := range modeNames {
		if s == n {
			return Mode(i), nil
		}
	}
	return 0, fail(Invalid, "mode %q is unknown: use auto, zerocopy, copy or generic", s)
}

// XDPSpec is what the operator asked for when making an XDP device.
type XDPSpec struct {
	Host   string // Linux interface in the daemon's own Linux network namespace
	Mode   Mode
	Queues int  // channels to set on the interface; 0 leaves them
	Force  bool // take it although it has addresses, a master or the default route
}

// PortInfo is what an attached host interface turned out to be.
type PortInfo struct {
	MAC     [6]byte
	MTU     uint32 // bytes of layer 3
	MaxMTU  uint32 // the largest that the device can have; 0: that of packets of one frame
	Mode    Mode   // the one obtained, never ModeAuto
	Queues  int    // all of them are bound
	Strips  bool   // it takes VLAN tags off frames, and cannot be told to leave them
	Carrier bool
}

// PortConfig is the state of a device that concerns its host interface.
type PortConfig struct {
	Up  bool
	MTU uint32 // bytes of layer 3, and of VLAN tags beyond the first
	MAC [6]byte
	// OtherMACs says that VLAN devices on the device have MAC addresses of their own.
	OtherMACs bool
}

// Ports attaches host interfaces; the daemon implements it. Calls are slow and are made without the table's lock, one
// at a time for each device. An implementation may call [Table.SetCarrier], [Table.PortGone] and [Table.PortBack] at
// any time, also from within.
type Ports interface {
	// Attach takes over the interface of spec for device id. When it fails while the table is being restored, the
	// implementation goes on trying (the interface may appear later) and calls [Table.PortBack] in the end, unless
	// Detach comes first.
	// Its error reads "attach HOST: reason".
	Attach(id DeviceID, spec XDPSpec) (PortInfo, error)
	// Detach gives the interface back. The data plane no longer uses the device.
	Detach(id DeviceID) error
	// Configure applies a device's state to its interface.
	Configure(id DeviceID, c PortConfig) error
}

// Bucket is a kind of stored object.
type Bucket uint8

// Buckets, in the order in which they must be loaded.
const (
	BucketNamespace Bucket = iota
	BucketDevice
	BucketAddress
	BucketNeighbor
	BucketRoute
	BucketNextHop
	NumBuckets
)

// Op is one change of the store: Value replaces what Key had; a nil Value removes it.
type Op struct {
	Bucket     Bucket
	Key, Value []byte
}

// Store keeps the state of a table. One table uses it, one call at a time.
type Store interface {
	// Commit makes all ops durable in their order, or none of them. The slices may be kept until it returns, not
	// longer.
	Commit(ops []Op) error
	// Load calls f for everything that is stored, bucket by bucket in ascending order, keys ascending. The slices are
	// valid only within the call.
	Load(f func(b Bucket, key, value []byte) error) error
}

// noPorts serves a table that cannot attach host interfaces.
type noPorts struct{}

func (noPorts) Attach(DeviceID, XDPSpec) (PortInfo, error) {
	return PortInfo{}, fail(Refused, "attach: this router has no AF_XDP")
}
func (noPorts) Detach(DeviceID) error                { return nil }
func (noPorts) Configure(DeviceID, PortConfig) error { return nil }

// noDatapath serves a table without workers.
type noDatapath struct{}

func (noDatapath) Quiesce()                                                    {}
func (noDatapath) SetNeighbor(*Device, netip.Addr, [6]byte, neigh.State) error { return nil }
func (noDatapath) DeleteNeighbor(*Device, netip.Addr) bool                     { return false }
func (noDatapath) FlushNeighbors(*Device, bool)                                {}
func (noDatapath) Announce(*Device, []netip.Addr)                              {}
