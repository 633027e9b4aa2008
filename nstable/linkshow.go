package nstable

// linkInfo describes a device.
func (t *Table) linkInfo(d *device) LinkInfo {
	info := LinkInfo{
		ID: d.id, Namespace: d.ns.name, Index: d.index, Name: d.name, Kind: d.kind, MAC: d.mac, MTU: d.mtu,
		Up: d.up, Carrier: t.carrier(d), Settings: d.settings, Counters: d.counters,
	}
	peer := t.deviceByID(d.peer)
	if d.kind == VLAN && d.lower != nil {
		peer = d.lower
		info.Tag = d.tag
	}
	if peer != nil {
		info.PeerNamespace, info.PeerName, info.PeerIndex, info.PeerUp = peer.ns.name, peer.name, peer.index, peer.up
	}
	if h := d.host; h != nil {
		info.XDP = &XDPInfo{
			Host: h.spec.Host, Asked: h.spec.Mode, QueuesAsked: h.spec.Queues, Present: h.attached,
		}
		if h.attached {
			info.XDP.Mode, info.XDP.Queues, info.XDP.Strips = h.info.Mode, h.info.Queues, h.info.Strips
			info.XDP.MaxMTU = maxMTU(d)
		}
	}
	return info
}

// Links lists the devices of a namespace by ifindex, or the one with the given name unless that is "".
func (t *Table) Links(namespace, dev string) ([]LinkInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	devices, err := t.devicesOf(namespace, dev)
	if err != nil {
		return nil, err
	}
	out := make([]LinkInfo, len(devices))
	for i, d := range devices {
		out[i] = t.linkInfo(d)
	}
	return out, nil
}

// DeviceName is the name of a device and of its namespace; false where it is gone.
func (t *Table) DeviceName(id DeviceID) (namespace, name string, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	d := t.deviceByID(id)
	if d == nil || d.gone {
		return "", "", false
	}
	return d.ns.name, d.name, true
}
