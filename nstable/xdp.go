package nstable

import "nsrouter/fib"

// addXDP reserves name, id and host interface, attaches, and makes the device.
func (t *Table) addXDP(namespace string, s LinkSpec) (string, error) {
	if s.XDP.Host == "" {
		s.XDP.Host = s.Name
	}
	if s.XDP.Queues < 0 {
		return "", fail(Invalid, "queues %d: use a positive number", s.XDP.Queues)
	}
	t.host.Lock()
	defer t.host.Unlock()
	d := &device{kind: XDP, host: &hostPort{spec: s.XDP}}
	if err := t.doVolatile(func(tx *Tx) error { return tx.reserve(namespace, &s, d) }); err != nil {
		return "", err
	}
	info, err := t.options.Ports.Attach(d.id, s.XDP)
	attached := err == nil
	if attached {
		d.host.attached, d.host.info = true, info
		d.mac, d.mtu = info.MAC, info.MTU
		err = t.finishXDP(namespace, s, d)
	}
	if err == nil {
		return d.name, nil
	}
	if attached {
		if err := t.options.Ports.Detach(d.id); err != nil {
			t.log("host interface "+s.XDP.Host+" could not be given back", err)
		}
	}
	_ = t.doVolatile(func(tx *Tx) error { delete(t.reserved, d.id); return nil }) // fails only at the very end
	if KindOf(err) == 0 {
		err = fail(Refused, "Cannot %v", err) // it begins with "attach HOST:"
	}
	return "", err
}

// reserve keeps a name, an id and the host interface until the reservation is deleted. Nothing of it is stored.
func (tx *Tx) reserve(namespace string, s *LinkSpec, d *device) error {
	t := tx.t
	ns, err := t.namespace(namespace)
	if err != nil {
		return err
	}
	if err := checkDevices(ns, 1); err != nil {
		return err
	}
	if d.name, err = t.deviceName(ns, s.Name); err != nil {
		return err
	}
	if err := t.checkHost(s.XDP.Host); err != nil {
		return err
	}
	d.id = t.freeDeviceID()
	r := &reservation{namespace: namespace, name: d.name, host: s.XDP.Host}
	t.reserved[d.id] = r
	tx.onUndo(func() { delete(t.reserved, d.id) })
	return nil
}

// checkHost refuses a host interface that another device has.
func (t *Table) checkHost(host string) error {
	for _, d := range t.devices {
		if d != nil && d.kind == XDP && !d.gone && d.host.spec.Host == host {
			return fail(
				Busy,
				"Device or resource busy: host interface %q belongs to device %q in namespace %q"+
					" (move it: -n %[3]s link set %[2]s netns NS)",
				host,
				d.name,
				d.ns.name,
			)
		}
	}
	for _, r := range t.reserved {
		if r.host == host {
			return fail(Busy, "Device or resource busy: host interface %q is being attached or detached", host)
		}
	}
	return nil
}

// finishXDP makes the device of an attached interface. What was asked for besides is configured first: it may be
// refused.
func (t *Table) finishXDP(namespace string, s LinkSpec, d *device) error {
	if s.MTU != 0 {
		d.mtu = s.MTU
	}
	if s.MAC != nil {
		d.mac, d.ownMAC = *s.MAC, true
	}
	if err := checkMTU(d, d.mtu); err != nil {
		return err
	}
	if d.mtu != d.host.info.MTU || d.mac != d.host.info.MAC {
		if err := t.options.Ports.Configure(d.id, d.portConfig()); err != nil {
			return err
		}
	}
	return t.Do(func(tx *Tx) error {
		ns, err := t.namespace(namespace)
		if err != nil {
			return err
		}
		r := t.reserved[d.id]
		if r.carrier != nil {
			d.host.info.Carrier = *r.carrier
		}
		delete(t.reserved, d.id)
		tx.onUndo(func() { t.reserved[d.id] = r })
		return tx.insertDevice(ns, d)
	})
}

// SetCarrier tells that the link of a host interface came or went.
func (t *Table) SetCarrier(id fib.DeviceID, carrier bool) error {
	return t.changePort(id, func(h *hostPort) { h.info.Carrier = carrier }, &carrier)
}

// PortGone tells that the host interface of a device has vanished: addresses and routes are kept, unused.
func (t *Table) PortGone(id fib.DeviceID) error {
	carrier := false
	return t.changePort(id, func(h *hostPort) { h.attached = false; h.info.Carrier = false }, &carrier)
}

// PortBack tells that the host interface of a device is attached again, or for the first time. The caller configures it
// as [Table.PortConfig] then says. Unless the operator has set the MAC, it is the interface's
// now.
func (t *Table) PortBack(id fib.DeviceID, info PortInfo) error {
	return t.changePort(id, func(h *hostPort) {
		h.attached, h.info = true, info
	}, &info.Carrier)
}

// PortConfig is what the host interface of a device is to be; false where there is no such device.
func (t *Table) PortConfig(id DeviceID) (PortConfig, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d := t.deviceByID(id)
	if d == nil || d.gone || d.kind != XDP {
		return PortConfig{}, false
	}
	return d.portConfig(), true
}

// changePort changes the host's side of a device. During attachment it only notes the carrier.
func (t *Table) changePort(id fib.DeviceID, change func(*hostPort), carrier *bool) error {
	return t.doVolatile(func(tx *Tx) error {
		d := t.deviceByID(id)
		if r := t.reserved[id]; r != nil && d == nil {
			r.carrier = carrier
			return nil
		}
		if d == nil || d.gone || d.kind != XDP {
			return fail(NotFound, "Cannot find device %d", id)
		}
		was := t.carrier(d)
		tx.edit(d)
		host := *d.host
		d.host = &host
		change(d.host)
		if !d.ownMAC && d.host.attached {
			tx.setMAC(d, d.host.info.MAC)
		}
		if now := t.carrier(d); now != was {
			tx.carrierChanged(d, now)
		} else {
			tx.announceLink(d, false)
		}
		return nil
	})
}
