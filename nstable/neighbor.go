package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// neighbors are the permanent neighbours of a device: the ones that are stored.
type neighbors struct{ macs map[netip.Addr][6]byte }

// SetNeighbor puts a neighbour of a device. A Permanent one is stored; other states are only told to the data plane.
// Without a MAC (zero) the known one stays.
func (tx *Tx) SetNeighbor(op NeighborOp, namespace, dev string, addr netip.Addr, mac [6]byte, state neigh.State) error {
	d, err := tx.t.device(namespace, dev)
	if err != nil {
		return err
	}
	if err := checkNeighbor(d, addr, state); err != nil {
		return err
	}
	known := tx.hasNeighbor(d, addr)
	switch {
	case known && op == AddNeighbor:
		return fail(Exists, "File exists: %s is a neighbour of %s already (use replace)", addr, dev)
	case !known && op == ChangeNeighbor:
		return fail(NotFound, "No such file or directory: %s is no neighbour of %s", addr, dev)
	}
	if mac == [6]byte{} && state.Valid() {
		if mac = tx.neighborMAC(d, addr); mac == [6]byte{} {
			return fail(Invalid, "No link layer address given: that of %s is not known (lladdr MAC)", addr)
		}
	}
	if state.Valid() {
		if err := checkMAC(mac); err != nil {
			return err
		}
	}
	if state == neigh.Permanent {
		if _, is := d.permanent.macs[addr]; !is {
			if err := checkPermanent(d.ns); err != nil {
				return err
			}
		}
		tx.setPermanent(d, addr, mac)
	} else {
		tx.unsetPermanent(d, addr)
	}
	tx.tellNeighbor(d, addr, mac, state)
	tx.foresee(d, addr, foreseen{there: true, mac: mac})
	return nil
}

// tellNeighbor tells the data plane a neighbour.
func (tx *Tx) tellNeighbor(d *device, addr netip.Addr, mac [6]byte, state neigh.State) {
	tx.hook(d, func(public *Device) {
		if err := tx.t.options.Datapath.SetNeighbor(public, addr, mac, state); err != nil {
			tx.t.log("neighbour "+addr.String()+" of "+public.Name+" is not in use", err)
		}
	})
}

// DeleteNeighbor removes a neighbour, permanent or learned.
func (tx *Tx) DeleteNeighbor(namespace, dev string, addr netip.Addr) error {
	d, err := tx.t.device(namespace, dev)
	if err != nil {
		return err
	}
	if !tx.hasNeighbor(d, addr) {
		return fail(
			NotFound,
			"No such file or directory: %s is no neighbour of %s (see neigh show dev %s)",
			addr,
			dev,
			dev,
		)
	}
	tx.unsetPermanent(d, addr)
	tx.hook(d, func(public *Device) { tx.t.options.Datapath.DeleteNeighbor(public, addr) })
	tx.foresee(d, addr, foreseen{})
	return nil
}

// FlushNeighbors removes the learned neighbours of a device, or of all devices of the namespace if dev is "". Permanent
// ones stay.
func (tx *Tx) FlushNeighbors(namespace, dev string) error {
	devices, err := tx.t.devicesOf(namespace, dev)
	if err != nil {
		return err
	}
	for _, d := range devices {
		tx.hook(d, func(public *Device) { tx.t.options.Datapath.FlushNeighbors(public, true) })
	}
	return nil
}

func checkNeighbor(d *device, addr netip.Addr, state neigh.State) error {
	switch {
	case d.kind == Loopback:
		return fail(Invalid, "Operation not supported: lo has no neighbours")
	case !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback():
		return fail(Invalid, "Invalid argument: %s is no neighbour's address", addr)
	case state == neigh.Incomplete:
		return fail(Invalid, "nud state %s cannot be set: use failed, and the next packet asks anew", state)
	}
	return nil
}

// hasNeighbor tells whether the address is a permanent neighbour or one that the data plane knows, or will when it has
// heard of this transaction.
func (tx *Tx) hasNeighbor(d *device, a netip.Addr) bool {
	if f, ok := tx.foreseen[neighborRef{d.neighbors, a}]; ok {
		return f.there
	}
	_, permanent := d.permanent.macs[a]
	return permanent || d.neighbors.Lookup(fib.AddrOf(a)) != nil
}

// neighborMAC is the known MAC address of a neighbour, or zero.
func (tx *Tx) neighborMAC(d *device, a netip.Addr) (mac [6]byte) {
	if f, ok := tx.foreseen[neighborRef{d.neighbors, a}]; ok {
		return f.mac
	}
	if n := d.neighbor(a); n != nil && n.HasMAC {
		return n.MAC
	}
	return mac
}

// foreseen is what the data plane will have of a neighbour after the transaction.
type foreseen struct {
	there bool
	mac   [6]byte
}

// neighborRef names a neighbour. A device that moves has another table from then on.
type neighborRef struct {
	table *neigh.Table
	addr  netip.Addr
}

// foresee notes what the data plane will have of a neighbour after the transaction.
func (tx *Tx) foresee(d *device, a netip.Addr, f foreseen) {
	ref := neighborRef{d.neighbors, a}
	old, had := tx.foreseen[ref]
	if tx.foreseen == nil {
		tx.foreseen = make(map[neighborRef]foreseen)
	}
	tx.foreseen[ref] = f
	tx.onUndo(func() {
		if had {
			tx.foreseen[ref] = old
		} else {
			delete(tx.foreseen, ref)
		}
	})
}

func (tx *Tx) setPermanent(d *device, addr netip.Addr, mac [6]byte) {
	n := d.permanent
	old, had := n.macs[addr]
	if n.macs == nil {
		n.macs = make(map[netip.Addr][6]byte)
	}
	n.macs[addr] = mac
	tx.onUndo(func() { n.restore(addr, old, had) })
	tx.put(BucketNeighbor, neighborKey(d.id, addr), encodeNeighbor(mac))
	tx.announceNeighbor(d, addr, mac, false)
}

func (tx *Tx) unsetPermanent(d *device, addr netip.Addr) {
	n := d.permanent
	old, had := n.macs[addr]
	if !had {
		return
	}
	delete(n.macs, addr)
	tx.onUndo(func() { n.restore(addr, old, true) })
	tx.remove(BucketNeighbor, neighborKey(d.id, addr))
	tx.announceNeighbor(d, addr, old, true)
}

func (n *neighbors) restore(addr netip.Addr, mac [6]byte, had bool) {
	if had {
		n.macs[addr] = mac
	} else {
		delete(n.macs, addr)
	}
}

// flushNeighbors removes all neighbours of a device that goes down, the permanent ones too, as neigh_ifdown of the
// kernel does.
func (tx *Tx) flushNeighbors(d *device) {
	for _, a := range d.permanent.sorted() {
		tx.unsetPermanent(d, a)
	}
	tx.hook(d, func(public *Device) { tx.t.options.Datapath.FlushNeighbors(public, false) })
}

func (n *neighbors) sorted() []netip.Addr {
	out := make([]netip.Addr, 0, len(n.macs))
	for a := range n.macs {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

func (tx *Tx) announceNeighbor(d *device, addr netip.Addr, mac [6]byte, deleted bool) {
	if e := tx.event(d.ns, NeighborEvent, deleted, false); e != nil {
		e.Neighbor = &NeighborInfo{
			Device: d.name, Index: d.index, Addr: addr, MAC: mac, HasMAC: true, State: neigh.Permanent,
		}
	}
}

// Neighbors lists the neighbours of a namespace, permanent and learned, device by device in ifindex order and by
// address; those of one device if dev is not "".
func (t *Table) Neighbors(namespace, dev string) ([]NeighborInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	devices, err := t.devicesOf(namespace, dev)
	if err != nil {
		return nil, err
	}
	var out []NeighborInfo
	for _, d := range devices {
		out = append(out, d.neighborInfos()...)
	}
	return out, nil
}

// neighborInfos lists the neighbours of a device by address.
func (d *device) neighborInfos() []NeighborInfo {
	var out []NeighborInfo
	for a, mac := range d.permanent.macs {
		out = append(out, d.static(a, mac))
	}
	d.neighbors.All(func(e *neigh.Entry) bool {
		if _, permanent := d.permanent.macs[e.Addr.Netip()]; !permanent {
			out = append(out, learned(d, e))
		}
		return true
	})
	slices.SortFunc(out, func(a, b NeighborInfo) int { return a.Addr.Compare(b.Addr) })
	return out
}

// neighbor describes what is known of an address behind d, or is nil.
func (d *device) neighbor(a netip.Addr) *NeighborInfo {
	if mac, ok := d.permanent.macs[a]; ok {
		return new(d.static(a, mac))
	}
	if e := d.neighbors.Lookup(fib.AddrOf(a)); e != nil {
		return new(learned(d, e))
	}
	return nil
}

// static describes a permanent neighbour.
func (d *device) static(a netip.Addr, mac [6]byte) NeighborInfo {
	info := NeighborInfo{Device: d.name, Index: d.index, Addr: a}
	if e := d.neighbors.Lookup(fib.AddrOf(a)); e != nil {
		info = learned(d, e)
	}
	info.MAC, info.HasMAC, info.State = mac, true, neigh.Permanent
	return info
}

func learned(d *device, e *neigh.Entry) NeighborInfo {
	info := NeighborInfo{
		Device: d.name, Index: d.index, Addr: e.Addr.Netip(), State: e.State(), Router: e.Router.Load(),
		Changed: e.Changed.Load(), Confirmed: e.Confirmed.Load(), Used: e.Used.Load(), Probes: uint32(e.Probes.Load()),
	}
	mac, ok := e.MAC()
	info.HasMAC = ok
	for i := range info.MAC {
		info.MAC[i] = byte(mac >> (40 - 8*i))
	}
	return info
}

// announceAddresses has the data plane tell the link of d that addresses are there, where the device's settings want it
// and it is usable by then.
func (tx *Tx) announceAddresses(d *device, addrs ...address) {
	var list []netip.Addr
	for _, a := range addrs {
		if a.state != valid {
			continue // announced when it is
		}
		if ip := a.prefix.Addr(); ip.Is4() && d.settings.ARPNotify || ip.Is6() && d.settings.NDiscNotify {
			list = append(list, ip)
		}
	}
	if d.up && len(list) > 0 {
		tx.hook(d, func(public *Device) { tx.t.options.Datapath.Announce(public, list) })
	}
}
