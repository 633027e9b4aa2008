package nstable

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/limit"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// Sizes in bytes of layer 3.
const (
	minMTU      = 68 // RFC 791
	minMTU6     = 1280
	defaultMTU  = 1500
	loopbackMTU = 65536
)

// device is the truth about a device; all of it is under the table's lock. Slices in it are replaced, never changed, so
// that a copy of the struct is enough to undo.
type device struct {
	id     DeviceID
	ns     *namespace
	index  int
	name   string
	kind   Kind
	peer   DeviceID
	lower  *device   // that a VLAN device is on
	tag    Tag       // of a VLAN device
	uppers []*device // VLAN devices on this one, wherever they are
	mac    [6]byte
	ownMAC bool // the MAC was set by the operator: it does not follow that of the host interface or the lower device
	mtu    uint32
	up     bool
	gone   bool // deleted in the running transaction, or its host interface is still being given back

	addrs     []address
	connected []*connectedRoute // what follows from addrs while up, as it is in the RIB
	permanent *neighbors        // set by the operator
	host      *hostPort         // of an XDP device
	settings  *setting.Device   // replaced, never changed; nil before it is inserted

	neighbors *neigh.Table // of the data plane
	counters  *counters.Device
	limits    *limit.Set
	base      counters.Totals // what it had counted when it came into its namespace
	public    *Device         // as published last
}

// hostPort is the host's side of an XDP device.
type hostPort struct {
	spec     XDPSpec
	info     PortInfo
	attached bool
}

// edit prepares a change of d: the caller may assign to its fields.
func (tx *Tx) edit(d *device) {
	old := *d
	tx.onUndo(func() { old.public = d.public; *d = old })
	tx.changed[d] = struct{}{}
	tx.viewChanged = true
}

// carrier tells whether the link of d is there.
func (t *Table) carrier(d *device) bool {
	switch d.kind {
	case XDP:
		return d.host.attached && d.host.info.Carrier
	case Veth:
		peer := t.deviceByID(d.peer)
		return peer != nil && peer.up
	case VLAN:
		return d.lower != nil && d.lower.up && t.carrier(d.lower)
	}
	return true
}

// linkState tells what a device is good for.
func (t *Table) linkState(id DeviceID) fib.LinkState {
	d := t.deviceByID(id)
	if d == nil {
		return fib.LinkState{}
	}
	return fib.LinkState{Up: d.up, Carrier: t.carrier(d)}
}

func (t *Table) publicDevice(d *device) *Device {
	addrs := make([]netip.Prefix, 0, len(d.addrs))
	for i := range d.addrs {
		if d.addrs[i].state == valid {
			addrs = append(addrs, d.addrs[i].prefix)
		}
	}
	public := &Device{
		ID: d.id, Index: d.index, Name: d.name, Kind: d.kind, Namespace: d.ns.public, Peer: d.peer,
		MAC: d.mac, MTU: d.mtu, Up: d.up, Carrier: t.carrier(d), Addrs: addrs, Probing: t.probes(d),
		Owner: int(d.id) % t.options.Workers, Settings: d.settings, Neighbors: d.neighbors, Counters: d.counters,
		Limits: d.limits,
		VLANs:  d.publicVLANs(),
	}
	if d.kind == VLAN {
		public.Lower, public.Root, public.Tag = d.lower.id, d.root().id, d.tag
	}
	return public
}

// insertDevice gives a device its place in ns: an id (unless it has one), an ifindex, and what the data plane keeps for
// it.
func (tx *Tx) insertDevice(ns *namespace, d *device) error {
	t := tx.t
	if d.id == 0 {
		d.id = t.freeDeviceID()
	}
	d.neighbors = neigh.NewTable()
	d.counters = counters.NewDevice(t.options.Workers)
	d.limits = new(limit.Set)
	if d.permanent == nil {
		d.permanent = new(neighbors)
	}
	if d.settings == nil {
		d.settings = setting.Devices.Default()
	}
	grown := len(t.devices)
	t.devices = setSlot(t.devices, int(d.id), d)
	tx.onUndo(func() { t.devices[d.id] = nil; t.devices = t.devices[:grown] })
	tx.changed[d] = struct{}{}
	tx.enter(ns, d, d.name, d.index)
	if d.kind == Loopback {
		ns.public.Loopback = d.id
	}
	return nil
}

// enter puts a device into a namespace: the one place where its owner is set.
func (tx *Tx) enter(ns *namespace, d *device, name string, index int) {
	last := ns.lastIndex
	d.ns, d.name, d.index = ns, name, ns.freeIndex(index)
	ns.byName[d.name], ns.byIndex[d.index] = d, d
	ns.lastIndex = max(last, d.index)
	tx.onUndo(func() {
		delete(ns.byName, d.name)
		delete(ns.byIndex, d.index)
		ns.lastIndex = last
	})
	tx.viewChanged = true
	tx.store(d)
	tx.announceLink(d, false)
}

// leave takes a device, which is down and unconfigured, out of its namespace.
func (tx *Tx) leave(d *device) {
	ns, name, index := d.ns, d.name, d.index
	delete(ns.byName, name)
	delete(ns.byIndex, index)
	tx.onUndo(func() { ns.byName[name], ns.byIndex[index] = d, d })
	tx.viewChanged = true
	tx.departures = append(tx.departures, departure{d, ns})
	tx.announceLink(d, true)
}

// store puts the record of a device.
func (tx *Tx) store(d *device) { tx.put(BucketDevice, deviceKey(d.id), encodeDevice(d)) }

func (tx *Tx) announceLink(d *device, deleted bool) {
	if e := tx.event(d.ns, LinkEvent, deleted, false); e != nil {
		e.Link = new(tx.t.linkInfo(d))
	}
}

// setUp raises or lowers a device.
func (tx *Tx) setUp(d *device, up bool) {
	if d.up == up {
		return
	}
	if !up {
		tx.flushDeviceObjects(d, false)
		tx.flushDeviceRoutes(d, func(r *fib.Route) bool { return tx.dead(r, d) })
		tx.flushNeighbors(d)
	}
	tx.edit(d)
	d.up = up
	tx.tryAll(d)
	if up {
		tx.addLinkLocal(d)
	} else {
		tx.removeLinkLocal(d)
	}
	tx.connect(d)
	tx.touchDevice(d)
	tx.store(d)
	tx.announceLink(d, false)
	if up {
		tx.announceAddresses(d, d.addrs...)
	}
	if peer := tx.t.deviceByID(d.peer); peer != nil && !peer.gone {
		tx.carrierChanged(peer, up)
	}
	if tx.t.carrier(d) {
		tx.lowerChanged(d, up)
	}
}

// carrierChanged makes the rest follow the link of d: routes are kept, but not used without it.
func (tx *Tx) carrierChanged(d *device, carrier bool) {
	tx.changed[d] = struct{}{}
	tx.viewChanged = true
	tx.touchDevice(d)
	tx.announceLink(d, false)
	if carrier {
		tx.announceAddresses(d, d.addrs...)
	} else if d.public != nil {
		tx.hook(d, func(public *Device) { tx.t.options.Datapath.FlushNeighbors(public, true) })
	}
	if d.up {
		tx.lowerChanged(d, carrier)
	}
}

// hook queues a call of the data plane about a device as it will be published; it is left out if the device has moved
// on by then.
func (tx *Tx) hook(d *device, f func(public *Device)) {
	neighbors := d.neighbors
	tx.hooks = append(tx.hooks, func() {
		if !d.gone && d.neighbors == neighbors {
			f(d.public)
		}
	})
}

// unconfigure takes from a device all that does not survive a move: it is down afterwards, without addresses, routes
// and neighbours.
func (tx *Tx) unconfigure(d *device) {
	tx.setUp(d, false)
	for len(d.addrs) > 0 {
		tx.dropAddress(d, 0)
	}
	tx.flushDeviceObjects(d, true)
	tx.dropDeviceLegs(d)
	tx.flushNeighbors(d)
	tx.edit(d)
	d.settings = setting.Devices.Default()
	if old := d.public; old != nil {
		tx.hooks = append(tx.hooks, func() { tx.t.options.Datapath.FlushNeighbors(old, false) })
	}
}

// move takes a device to another namespace, where it arrives down and unconfigured. The name is free there.
func (tx *Tx) move(d *device, to *namespace, name string) {
	tx.unconfigure(d)
	tx.leave(d)
	tx.edit(d)
	d.neighbors = neigh.NewTable()
	tx.enter(to, d, name, d.index)
	if peer := tx.t.deviceByID(d.peer); peer != nil {
		tx.announceLink(peer, false) // it tells where its peer is
	}
	for _, u := range d.uppers {
		tx.announceLink(u, false) // as it does
	}
}

// deleteDevice removes a device, and with it the VLAN devices on it and the other end of a veth.
func (tx *Tx) deleteDevice(d *device) {
	t := tx.t
	tx.deleteUppers(d)
	peer := t.deviceByID(d.peer)
	tx.unconfigure(d)
	tx.leave(d)
	tx.edit(d)
	d.gone, d.peer = true, 0
	tx.leaveLower(d)
	tx.retired = append(tx.retired, d)
	tx.remove(BucketDevice, deviceKey(d.id))
	if peer != nil {
		tx.edit(peer)
		peer.peer = 0
		tx.deleteDevice(peer)
	}
}

// rename gives a device another name in its namespace.
func (tx *Tx) rename(d *device, name string) {
	ns, old := d.ns, d.name
	delete(ns.byName, old)
	ns.byName[name] = d
	tx.onUndo(func() { delete(ns.byName, name); ns.byName[old] = d })
	tx.edit(d)
	d.name = name
}

// freeDeviceID returns the lowest id that no device has.
func (t *Table) freeDeviceID() DeviceID {
	for id := 1; ; id++ {
		if (id >= len(t.devices) || t.devices[id] == nil) && t.reserved[DeviceID(id)] == nil {
			return DeviceID(id)
		}
	}
}

// nameTaken tells whether a device of ns has the name, or is about to get it.
func (t *Table) nameTaken(ns *namespace, name string) bool {
	if ns.byName[name] != nil {
		return true
	}
	for _, r := range t.reserved {
		if r.namespace == ns.name && r.name == name {
			return true
		}
	}
	return false
}

// freeName replaces "%d" in a pattern by the first number that gives a free name.
func (t *Table) freeName(ns *namespace, pattern string) string {
	for i := 0; ; i++ {
		if name := strings.Replace(pattern, "%d", fmt.Sprint(i), 1); !t.nameTaken(ns, name) {
			return name
		}
	}
}

// deviceName checks a name for a new place in ns, by the rules of dev_valid_name and dev_alloc_name of the kernel's
// net/core/dev.c.
func (t *Table) deviceName(ns *namespace, name string) (string, error) {
	if strings.Count(name, "%") == 1 && strings.Contains(name, "%d") {
		name = t.freeName(ns, name)
	}
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/:%\x00"),
		strings.ContainsFunc(name, isSpaceOrControl):
		return "", fail(Invalid, "%q is not a valid ifname: use no slash, colon, percent sign or space", name)
	case len(name) > 15:
		return "", fail(Invalid, "%q is not a valid ifname: it has %d bytes, at most 15 are possible", name, len(name))
	case t.nameTaken(ns, name):
		return "", fail(Exists, "File exists: %s has a device %q already", ns.name, name)
	}
	return name, nil
}

// maxMTU is the largest MTU that d can have: packets are chains of frames where driver and kernel have these. Where the host
// interface is not attached, it is not known what it will have.
func maxMTU(d *device) uint32 {
	switch {
	case d.kind == Loopback:
		return loopbackMTU
	case d.kind == XDP && d.host.attached:
		return max(d.host.info.MaxMTU, frame.MaxMTU)
	}
	return frame.JumboMTU
}

// checkMTU tells whether d may have an MTU of that many bytes.
func checkMTU(d *device, mtu uint32) error {
	limit := maxMTU(d)
	switch {
	case mtu < minMTU:
		return fail(Invalid, "mtu less than device minimum: %d, %s takes %d to %d", mtu, d.name, minMTU, limit)
	case mtu > limit && d.kind == XDP && mtu <= frame.JumboMTU:
		return fail(Invalid, "mtu greater than device maximum: %d, %s takes %d to %d: a packet there has too few frames for more, "+
			"by its driver and kernel (link show %[2]s: Linux 6.6 and mode copy give more)", mtu, d.name, minMTU, limit)
	case mtu > limit:
		return fail(Invalid, "mtu greater than device maximum: %d, %s takes %d to %d", mtu, d.name, minMTU, limit)
	case mtu < minMTU6 && slices.ContainsFunc(d.addrs, func(a address) bool { return a.prefix.Addr().Is6() && !a.automatic }):
		return fail(
			Refused,
			"mtu %d is below %d, the minimum of IPv6: remove the IPv6 addresses of %s first",
			mtu,
			minMTU6,
			d.name,
		)
	}
	return nil
}

func checkMAC(mac [6]byte) error {
	if mac[0]&1 != 0 || mac == [6]byte{} {
		return fail(Invalid, "Cannot assign requested address: %02x:%02x:%02x:%02x:%02x:%02x is multicast or zero",
			mac[0], mac[1], mac[2], mac[3], mac[4], mac[5])
	}
	return nil
}

// randomMAC makes a locally administered unicast address.
func randomMAC() (mac [6]byte) {
	_, _ = rand.Read(mac[:]) // never fails, see crypto/rand
	mac[0] = mac[0]&^1 | 2
	return mac
}
