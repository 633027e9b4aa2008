package nstable

import (
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// address is an address of a device with the length of its prefix.
type address struct {
	prefix netip.Prefix // not masked
	order  uint32       // place among the device's, and key in the store
	// automatic is the IPv6 link-local address that comes and goes with the device's admin state; not stored.
	automatic bool
	// nodad says that it is used at once, without duplicate address detection.
	nodad bool
	state addressState // of an IPv6 address
	round uint32       // of its trial
	delay bool         // the trial begins with a random delay
}

// AddressSpec says what address is meant, and how to take it.
type AddressSpec struct {
	Prefix netip.Prefix // not masked
	NoDAD  bool         // use it at once; of an IPv6 address
}

// AddAddress adds an address to a device; refused if it has it.
func (tx *Tx) AddAddress(namespace, dev string, s AddressSpec) error {
	d, err := tx.t.device(namespace, dev)
	if err != nil {
		return err
	}
	return tx.addOneMore(d, s)
}

// ReplaceAddress makes sure that a device has an address.
func (tx *Tx) ReplaceAddress(namespace, dev string, s AddressSpec) error {
	d, err := tx.t.device(namespace, dev)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(d.addrs, func(a address) bool { return a.prefix == s.Prefix })
	if i < 0 {
		return tx.addOneMore(d, s)
	}
	if a := d.addrs[i]; a.nodad != s.NoDAD && a.prefix.Addr().Is6() && !a.automatic {
		tx.setNoDAD(d, i, s.NoDAD)
	}
	return nil
}

// setNoDAD changes whether an address is used without being tried. A trial that was going on, or had found a duplicate,
// is forgotten with that.
func (tx *Tx) setNoDAD(d *device, i int, nodad bool) {
	state := d.addrs[i].state
	if nodad {
		state = valid
	}
	tx.edit(d)
	d.addrs = slices.Clone(d.addrs)
	d.addrs[i].nodad = nodad
	tx.put(BucketAddress, addressKey(d.id, d.addrs[i].order), encodeAddress(d.addrs[i]))
	tx.setState(d, i, state)
}

// DeleteAddress removes an address. A secondary address with the same prefix takes the place of a primary one (as Linux
// does with promote_secondaries, the default of systemd). IPv4 routes that prefer it as their source go with it, IPv6
// ones lose the preference, and with a device's last IPv4 address go its IPv4 routes.
func (tx *Tx) DeleteAddress(namespace, dev string, p netip.Prefix) error {
	d, err := tx.t.device(namespace, dev)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(d.addrs, func(a address) bool { return a.prefix == p })
	if i < 0 {
		return fail(
			NotFound,
			"%s: Address not found: %s has no %s (see addr show dev %s)",
			family(p.Addr()),
			dev,
			p,
			dev,
		)
	}
	tx.dropAddress(d, i)
	return nil
}

// FlushAddresses removes all addresses of a device that match, or all with nil. It returns how many.
func (tx *Tx) FlushAddresses(namespace, dev string, match func(AddressInfo) bool) (int, error) {
	d, err := tx.t.device(namespace, dev)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := 0; i < len(d.addrs); {
		if info := d.addressInfo(i); match == nil || match(info) {
			tx.dropAddress(d, i)
			n++
		} else {
			i++
		}
	}
	return n, nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

func checkAddress(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid() || a.Is4In6() || a.Zone() != "":
		return fail(Invalid, "%q is no address with a prefix length such as 192.0.2.1/24 or 2001:db8::1/64", p)
	case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fail(Invalid, "%s: Invalid address: %s is not unicast", family(a), a)
	}
	return nil
}

// addOneMore adds an address if the namespace may have another one.
func (tx *Tx) addOneMore(d *device, s AddressSpec) error {
	if err := checkAddresses(d.ns); err != nil {
		return err
	}
	return tx.addAddress(d, s)
}

func (tx *Tx) addAddress(d *device, s AddressSpec) error {
	p := s.Prefix
	if err := checkAddress(p); err != nil {
		return err
	}
	if p.Addr() == netip.IPv6Loopback() && d.kind != Loopback { // as ipv6_add_addr of Linux has it (net/ipv6/addrconf.c)
		return fail(Invalid, "ipv6: Cannot assign loopback address on this device: %s is not lo, which has ::1 already", d.name)
	}
	for _, a := range d.addrs {
		if a.prefix == p || p.Addr().Is6() && a.prefix.Addr() == p.Addr() {
			return fail(Exists, "%s: Address already assigned: %s has %s", family(p.Addr()), d.name, a.prefix)
		}
	}
	if p.Addr().Is6() && d.mtu < minMTU6 {
		return fail(
			Refused,
			"ipv6: the mtu of %s is %d, IPv6 needs %d: link set %s mtu %d",
			d.name,
			d.mtu,
			minMTU6,
			d.name,
			minMTU6,
		)
	}
	tx.insertAddress(d, address{prefix: p, nodad: s.NoDAD && p.Addr().Is6()})
	return nil
}

// insertAddress puts a checked address behind the others; the automatic one is always the last.
func (tx *Tx) insertAddress(d *device, a address) {
	at := len(d.addrs)
	if at > 0 && d.addrs[at-1].automatic {
		at--
	}
	if at > 0 && !a.automatic {
		a.order = d.addrs[at-1].order + 1
	}
	tx.edit(d)
	tx.try(d, &a, a.automatic)
	d.addrs = slices.Insert(slices.Clone(d.addrs), at, a)
	if !a.automatic {
		tx.put(BucketAddress, addressKey(d.id, a.order), encodeAddress(a))
	}
	tx.connect(d)
	tx.announceAddress(d, at, false)
	if !a.automatic { // that one comes and goes with the device, which announces all
		tx.announceAddresses(d, a)
	}
}

// dropAddress removes the i-th address and what hangs on it.
func (tx *Tx) dropAddress(d *device, i int) {
	a := d.addrs[i]
	tx.announceAddress(d, i, true)
	tx.edit(d)
	d.addrs = slices.Delete(slices.Clone(d.addrs), i, i+1)
	if !a.automatic {
		tx.remove(BucketAddress, addressKey(d.id, a.order))
	}
	tx.connect(d)
	addr := a.prefix.Addr()
	if d.ns.rib.Prefers(addr) && !d.ns.hasAddress(addr) {
		tx.forgetSource(d.ns, addr)
	}
	if addr.Is4() && !slices.ContainsFunc(d.addrs, func(a address) bool { return a.prefix.Addr().Is4() }) {
		tx.flushDeviceRoutes(d, func(r *fib.Route) bool { return r.Prefix.Addr().Is4() && tx.dead(r, d) })
	}
}

// forgetSource removes the IPv4 routes that prefer a source address which is no more (fib_sync_down_addr of the
// kernel); IPv6 ones stay and lose the preference (fib6_remove_prefsrc).
func (tx *Tx) forgetSource(ns *namespace, addr netip.Addr) {
	prefers := func(r *fib.Route) bool { return r.Source == addr && r.Origin == fib.FromAPI }
	if addr.Is4() {
		tx.deleteRoutes(ns, prefers)
		return
	}
	tx.editRoutes(ns, func(list []*fib.Route) []*fib.Route {
		if !slices.ContainsFunc(list, prefers) {
			return list
		}
		next := slices.Clone(list)
		for i, r := range list {
			if prefers(r) {
				w := *r.Way
				w.Source = netip.Addr{}
				next[i] = &fib.Route{Way: ns.rib.Way(w), Prefix: r.Prefix, Order: r.Order}
			}
		}
		return next
	})
}

// hasAddress tells whether some device of the namespace has an address.
func (ns *namespace) hasAddress(a netip.Addr) bool {
	for _, d := range ns.byName {
		if slices.ContainsFunc(d.addrs, func(b address) bool { return b.prefix.Addr() == a }) {
			return true
		}
	}
	return false
}

// addLinkLocal gives a device that is up its IPv6 link-local address (RFC 4291 appendix A), unless the operator has set
// the same.
func (tx *Tx) addLinkLocal(d *device) {
	m := d.mac
	eui := netip.AddrFrom16(
		[16]byte{0: 0xfe, 1: 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]},
	)
	has := slices.ContainsFunc(d.addrs, func(a address) bool { return a.prefix.Addr() == eui || a.automatic })
	if d.kind != Loopback && d.mtu >= minMTU6 && !has {
		tx.insertAddress(d, address{prefix: netip.PrefixFrom(eui, 64), automatic: true})
	}
}

func (tx *Tx) removeLinkLocal(d *device) {
	if i := slices.IndexFunc(d.addrs, func(a address) bool { return a.automatic }); i >= 0 {
		tx.dropAddress(d, i)
	}
}

func (d *device) addressInfo(i int) AddressInfo {
	a := d.addrs[i]
	info := AddressInfo{
		Namespace: d.ns.name, Device: d.name, Index: d.index, Prefix: a.prefix, Automatic: a.automatic,
		Secondary: a.prefix.Addr().Is4() && d.primary(i) != a.prefix.Addr(), NoDAD: a.nodad,
		Tentative: a.state != valid, DADFailed: a.state == duplicate,
	}
	switch addr := a.prefix.Addr(); {
	case addr.IsLoopback():
		info.Scope = fib.ScopeHost
	case addr.Is6() && addr.IsLinkLocalUnicast():
		info.Scope = fib.ScopeLink
	}
	return info
}

func (tx *Tx) announceAddress(d *device, i int, deleted bool) {
	if e := tx.event(d.ns, AddressEvent, deleted, false); e != nil {
		e.Address = new(d.addressInfo(i))
	}
}

// Addresses lists the addresses of a namespace, device by device in ifindex order; those of one device if dev is not
// "".
func (t *Table) Addresses(namespace, dev string) ([]AddressInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	devices, err := t.devicesOf(namespace, dev)
	if err != nil {
		return nil, err
	}
	var out []AddressInfo
	for _, d := range devices {
		for i := range d.addrs {
			out = append(out, d.addressInfo(i))
		}
	}
	return out, nil
}

// devicesOf lists the devices of a namespace by ifindex, or the one with the given name.
func (t *Table) devicesOf(namespace, dev string) ([]*device, error) {
	if dev != "" {
		d, err := t.device(namespace, dev)
		return []*device{d}, err
	}
	ns, err := t.namespace(namespace)
	if err != nil {
		return nil, err
	}
	return ns.ordered(), nil
}
