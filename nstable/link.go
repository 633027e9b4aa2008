package nstable

import "nsrouter/nstable/setting"

// AddLink makes a device, down and without addresses; a Veth with its other end. It returns when an XDP device is
// attached to its host interface. It returns the name, which differs from the one of the spec if that has "%d".
func (t *Table) AddLink(namespace string, s LinkSpec) (string, error) {
	if s.MAC != nil {
		if err := checkMAC(*s.MAC); err != nil {
			return "", err
		}
	}
	var name string
	var err error
	switch s.Kind {
	case XDP:
		return t.addXDP(namespace, s)
	case Dummy:
		err = t.Do(func(tx *Tx) error { name, err = tx.addDummy(namespace, s); return err })
	case Veth:
		err = t.Do(func(tx *Tx) error { name, err = tx.addVeth(namespace, s); return err })
	case VLAN:
		return t.addVLAN(namespace, s)
	default:
		err = fail(Refused, "Operation not supported: every namespace has its lo, another cannot be made")
	}
	return name, err
}

// newDevice checks a spec of a virtual device and makes the device, without a place yet.
func (tx *Tx) newDevice(ns *namespace, s LinkSpec) (*device, error) {
	if err := checkDevices(ns, 1); err != nil {
		return nil, err
	}
	name, err := tx.t.deviceName(ns, s.Name)
	if err != nil {
		return nil, err
	}
	d := &device{kind: s.Kind, name: name, mtu: s.MTU, mac: randomMAC()}
	if d.mtu == 0 {
		d.mtu = defaultMTU
	}
	if s.MAC != nil {
		d.mac = *s.MAC
	}
	return d, checkMTU(d, d.mtu)
}

func (tx *Tx) addDummy(namespace string, s LinkSpec) (string, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return "", err
	}
	d, err := tx.newDevice(ns, s)
	if err != nil {
		return "", err
	}
	return d.name, tx.insertDevice(ns, d)
}

func (tx *Tx) addVeth(namespace string, s LinkSpec) (string, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return "", err
	}
	peerNS := ns
	if s.PeerNamespace != "" {
		if peerNS, err = tx.t.namespace(s.PeerNamespace); err != nil {
			return "", err
		}
	}
	if peerNS == ns {
		if err := checkDevices(ns, 2); err != nil {
			return "", err
		}
	}
	if s.Peer == "" {
		s.Peer = "veth%d"
	}
	d, err := tx.newDevice(ns, s)
	if err != nil {
		return "", err
	}
	// The ids of both ends are chosen first, so that each record names the other end.
	d.id = tx.t.freeDeviceID()
	tx.t.reserved[d.id] = &reservation{namespace: ns.name, name: d.name}
	defer delete(tx.t.reserved, d.id)
	p, err := tx.newDevice(peerNS, LinkSpec{Name: s.Peer, Kind: Veth, MTU: s.MTU})
	if err != nil {
		return "", err
	}
	p.id = tx.t.freeDeviceID()
	d.peer, p.peer = p.id, d.id
	// Linux makes the peer first too: it gets the lower ifindex.
	if err := tx.insertDevice(peerNS, p); err != nil {
		return "", err
	}
	err = tx.insertDevice(ns, d)
	tx.announceLink(p, false) // it knows its peer only now
	return d.name, err
}

func (d *device) portConfig() PortConfig {
	return PortConfig{Up: d.up, MTU: d.hostMTU(d.mtu), MAC: d.mac, OtherMACs: d.othersThan(d.mac)}
}

// DeleteLink removes a device, the other end of a veth and VLAN devices with it. It returns when the host interface is
// given back.
func (t *Table) DeleteLink(namespace, name string) error {
	t.host.Lock()
	defer t.host.Unlock()
	var host *device
	var root *device // of a VLAN device
	var before PortConfig
	err := t.Do(func(tx *Tx) error {
		d, err := t.device(namespace, name)
		if err != nil {
			return err
		}
		switch d.kind {
		case Loopback:
			return fail(Refused, "Operation not supported: lo belongs to its namespace (netns del %s)", namespace)
		case XDP:
			// The id and the interface stay taken until the interface is given back.
			host = d
			t.reserved[d.id] = &reservation{host: d.host.spec.Host}
			tx.onUndo(func() { delete(t.reserved, d.id) })
		case VLAN:
			root = d.root()
			before = root.portConfig()
		}
		tx.deleteDevice(d)
		return nil
	})
	if err == nil && root != nil {
		t.hostFollows(root, before)
	}
	if err != nil || host == nil {
		return err
	}
	if err := t.options.Ports.Detach(host.id); err != nil {
		t.log("host interface "+host.host.spec.Host+" could not be given back as it was", err)
	}
	// Fails only when the table is closed meanwhile; the device is deleted all the same.
	_ = t.doVolatile(func(*Tx) error {
		delete(t.reserved, host.id)
		t.devices[host.id] = nil
		return nil
	})
	return nil
}

// SetLink changes a device. What its host interface may refuse is tried first; a move leaves sockets and interface
// alone.
func (t *Table) SetLink(namespace, name string, c LinkChange) error {
	t.host.Lock()
	defer t.host.Unlock()
	before, want, id, isHost, err := t.prepareLink(namespace, name, c)
	if err != nil {
		return err
	}
	if isHost && want != before {
		if err := t.options.Ports.Configure(id, want); err != nil {
			t.configure(id, before)
			return &Error{Kind: Refused, Msg: "Cannot change " + name, Err: err}
		}
	}
	after := want
	err = t.Do(func(tx *Tx) error {
		d, err := t.device(namespace, name)
		if err != nil {
			return err
		}
		err = tx.changeLink(d, c)
		after = d.root().portConfig()
		return err
	})
	switch {
	case !isHost:
	case err != nil && want != before:
		t.configure(id, before)
	case err == nil && after != want:
		t.configure(id, after)
	}
	return err
}

// configure applies what cannot be refused any more.
func (t *Table) configure(id DeviceID, c PortConfig) {
	if err := t.options.Ports.Configure(id, c); err != nil {
		t.log("the host interface does not follow its device", err)
	}
}

// prepareLink finds out whether a change is possible, before the host interface is touched: that of the device at the
// bottom, for a VLAN device, which follows afterwards.
func (t *Table) prepareLink(
	namespace, name string,
	c LinkChange,
) (now, want PortConfig, id DeviceID, isHost bool, err error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d, err := t.device(namespace, name)
	if err != nil {
		return now, now, 0, false, err
	}
	_, _, err = t.checkChange(d, c)
	root := d.root()
	now = root.portConfig()
	want = now
	if root == d {
		if c.Up != nil && *c.Up {
			want.Up = true
		}
		if c.MTU != 0 {
			want.MTU = d.hostMTU(c.MTU)
		}
		if c.MAC != nil {
			want.MAC, want.OtherMACs = *c.MAC, d.othersThan(*c.MAC)
		}
	}
	return now, want, root.id, root.kind == XDP && root.host.attached, err
}

// checkChange checks a change as a whole, and returns where the device goes under what name.
func (t *Table) checkChange(d *device, c LinkChange) (ns *namespace, name string, err error) {
	ns, name = d.ns, d.name
	if c.Namespace != "" {
		if ns, err = t.namespace(c.Namespace); err != nil {
			return nil, "", err
		}
	}
	if c.Name != "" {
		name = c.Name
	}
	if d.kind == Loopback && (ns != d.ns || name != d.name || c.MAC != nil) {
		return nil, "", fail(Invalid, "Invalid argument: lo cannot be moved or renamed, and has no MAC address")
	}
	if ns != d.ns {
		if err := checkDevices(ns, 1); err != nil {
			return nil, "", err
		}
	}
	if ns != d.ns || name != d.name {
		if name, err = t.deviceName(ns, name); err != nil {
			if KindOf(err) == Exists && c.Name == "" {
				err = fail(
					Exists,
					"File exists: namespace %s has a device %q already (say name NEW to rename it on the way)",
					ns.name,
					d.name,
				)
			}
			return nil, "", err
		}
	}
	if c.MTU != 0 {
		after := d
		if ns != d.ns {
			after = &device{kind: d.kind, name: d.name, host: d.host} // its addresses stay behind
		}
		if err := checkMTU(after, c.MTU); err != nil {
			return nil, "", err
		}
		if d.kind == VLAN && c.MTU > d.lower.mtu {
			return nil, "", fail(Invalid, "Numerical result out of range: mtu %d is more than the %d of %s",
				c.MTU, d.lower.mtu, d.lower.name)
		}
		if err := checkUppers(d, c.MTU); err != nil {
			return nil, "", err
		}
	}
	if c.MAC != nil {
		if err := checkMAC(*c.MAC); err != nil {
			return nil, "", err
		}
	}
	return ns, name, nil
}

// changeLink makes a change of a device: the move first, so that all else happens where it arrives.
func (tx *Tx) changeLink(d *device, c LinkChange) error {
	ns, name, err := tx.t.checkChange(d, c)
	if err != nil {
		return err
	}
	// Moves, and what setUp does, are stored and announced as they happen.
	newMAC := c.MAC != nil && (*c.MAC != d.mac || d.kind == VLAN && !d.ownMAC)
	edited := ns == d.ns && name != d.name || len(c.Settings) > 0 || c.MTU != 0 && c.MTU != d.mtu || newMAC
	switch {
	case ns != d.ns:
		tx.move(d, ns, name)
	case name != d.name:
		tx.rename(d, name)
	}
	if c.Up != nil && !*c.Up {
		tx.setUp(d, false)
	}
	if len(c.Settings) > 0 {
		changed, err := apply(setting.Devices, d.settings, c.Settings)
		if err != nil {
			return err
		}
		tx.edit(d)
		d.settings = changed
	}
	tx.setMTU(d, c.MTU)
	if newMAC {
		tx.edit(d)
		d.ownMAC = true
		tx.setMAC(d, *c.MAC)
	}
	if edited {
		tx.store(d)
		tx.announceLink(d, false)
	}
	if c.Up != nil && *c.Up {
		tx.setUp(d, true)
	}
	return nil
}

// setMTU changes the MTU; below the minimum of IPv6 the automatic link-local address goes.
func (tx *Tx) setMTU(d *device, mtu uint32) {
	if mtu == 0 || mtu == d.mtu {
		return
	}
	tx.edit(d)
	d.mtu = mtu
	switch {
	case mtu < minMTU6:
		tx.removeLinkLocal(d)
	case d.up:
		tx.addLinkLocal(d)
	}
	tx.shrinkUppers(d)
}

// DeleteNamespace removes a namespace: its XDP devices go home to init, down and unconfigured, and renamed devN where
// the name is taken; its other devices are removed, with the other ends of veths wherever they are.
func (t *Table) DeleteNamespace(name string) error {
	t.host.Lock()
	defer t.host.Unlock()
	var before map[*device]PortConfig
	err := t.Do(func(tx *Tx) error {
		ns, err := t.namespace(name)
		if err != nil {
			return err
		}
		before = ns.portConfigs()
		return tx.deleteNamespace(ns)
	})
	if err != nil {
		return err
	}
	for port, c := range before {
		t.hostFollows(port, c)
	}
	return nil
}

// portConfigs are those of the devices that transmit what the devices of ns send: its own, and others that its VLAN
// devices are on.
func (ns *namespace) portConfigs() map[*device]PortConfig {
	out := make(map[*device]PortConfig)
	for _, d := range ns.byName {
		out[d.root()] = d.root().portConfig()
	}
	return out
}
