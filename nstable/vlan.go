package nstable

import (
	"fmt"
	"slices"
)

// Tag is what the frames of a VLAN device bear (IEEE 802.1Q 9.6).
type Tag struct {
	Protocol uint16 // EtherType: VLAN8021Q or VLAN8021AD
	ID       uint16 // 0 to MaxVLAN
}

// EtherTypes of tags.
const (
	VLAN8021Q  = 0x8100
	VLAN8021AD = 0x88a8
)

// MaxVLAN is the highest VLAN identifier; 4095 is reserved.
const MaxVLAN = 4094

// MaxTags is how many tags a frame may have: VLAN devices are on others (QinQ) no higher than that.
const MaxTags = 2

// tagLen is the length of a tag in bytes.
const tagLen = 4

func (t Tag) String() string {
	switch t.Protocol {
	case VLAN8021Q:
		return fmt.Sprintf("802.1Q id %d", t.ID)
	case VLAN8021AD:
		return fmt.Sprintf("802.1ad id %d", t.ID)
	}
	return fmt.Sprintf("%#04x id %d", t.Protocol, t.ID)
}

func (t Tag) valid() bool {
	return (t.Protocol == VLAN8021Q || t.Protocol == VLAN8021AD) && t.ID <= MaxVLAN
}

// VLANs are the VLAN devices on a device, by their tags. It is immutable once published; nil has none.
type VLANs struct{ q, ad *[MaxVLAN + 2]DeviceID }

// Device returns the VLAN device of a tag, or 0. The identifier is one of 12 bits.
func (v *VLANs) Device(protocol, id uint16) DeviceID {
	if v == nil {
		return 0
	}
	ids := v.q
	if protocol == VLAN8021AD {
		ids = v.ad
	}
	if ids == nil {
		return 0
	}
	return ids[id]
}

// NewVLANs makes the table of the VLAN devices on a device; nil if there are none.
func NewVLANs(devices map[Tag]DeviceID) *VLANs {
	if len(devices) == 0 {
		return nil
	}
	v := new(VLANs)
	for tag, id := range devices {
		ids := &v.q
		if tag.Protocol == VLAN8021AD {
			ids = &v.ad
		}
		if *ids == nil {
			*ids = new([MaxVLAN + 2]DeviceID)
		}
		(*ids)[tag.ID] = id
	}
	return v
}

// publicVLANs is what the data plane sees of the VLAN devices on d.
func (d *device) publicVLANs() *VLANs {
	m := make(map[Tag]DeviceID, len(d.uppers))
	for _, u := range d.uppers {
		m[u.tag] = u.id
	}
	return NewVLANs(m)
}

// tags is how many tags the frames of d have. More than MaxTags can only come from a damaged store.
func (d *device) tags() int {
	n := 0
	for ; d.kind == VLAN && n <= MaxTags; d = d.lower {
		n++
	}
	return n
}

// root is the device that transmits the frames of d: d itself unless it is a VLAN device.
func (d *device) root() *device {
	for d.kind == VLAN {
		d = d.lower
	}
	return d
}

// addVLAN makes a VLAN device on lower, in its namespace. It may move to another later.
func (tx *Tx) addVLAN(lower *device, s LinkSpec) (*device, error) {
	if err := checkVLAN(lower, s.Tag); err != nil {
		return nil, err
	}
	if s.MTU > lower.mtu {
		return nil, fail(Invalid, "Invalid argument: mtu %d is more than the %d of %s", s.MTU, lower.mtu, lower.name)
	}
	if s.MTU == 0 {
		s.MTU = lower.mtu
	}
	own := s.MAC != nil
	if !own {
		s.MAC = &lower.mac
	}
	d, err := tx.newDevice(lower.ns, s)
	if err != nil {
		return nil, err
	}
	d.lower, d.tag, d.ownMAC = lower, s.Tag, own
	if err := tx.insertDevice(lower.ns, d); err != nil {
		return nil, err
	}
	tx.edit(lower)
	lower.uppers = append(slices.Clone(lower.uppers), d)
	return d, nil
}

// checkVLAN tells whether lower may have a VLAN device of that tag (vlan_check_real_dev of the kernel's
// net/8021q/vlan.c).
func checkVLAN(lower *device, t Tag) error {
	switch {
	case !t.valid():
		return fail(Invalid, "Invalid VLAN id or protocol: %s (id 0 to %d, protocol 802.1q or 802.1ad)", t, MaxVLAN)
	case lower.kind == Loopback:
		return fail(Refused, "VLANs not supported on device %s", lower.name)
	case lower.tags() >= MaxTags:
		return fail(Refused, "Operation not supported: %s has %d tags already, more are not possible", lower.name, MaxTags)
	}
	for _, u := range lower.uppers {
		if u.tag == t {
			err := &Error{Kind: Exists, Msg: fmt.Sprintf("VLAN device already exists: %s of %s is device %q in namespace %s",
				t, lower.name, u.name, u.ns.name)}
			if u.ns != lower.ns {
				err.Discreet = fmt.Sprintf("VLAN device already exists: %s of %s is in another namespace", t, lower.name)
			}
			return err
		}
	}
	return nil
}

// deleteUppers removes the VLAN devices on d, wherever they are.
func (tx *Tx) deleteUppers(d *device) {
	for len(d.uppers) > 0 {
		tx.deleteDevice(d.uppers[len(d.uppers)-1])
	}
}

// leaveLower takes a VLAN device, which is being deleted, off the device below it.
func (tx *Tx) leaveLower(d *device) {
	lower := d.lower
	if lower == nil {
		return
	}
	tx.edit(lower)
	tx.edit(d)
	d.lower = nil
	lower.uppers = slices.DeleteFunc(slices.Clone(lower.uppers), func(u *device) bool { return u == d })
}

// setMAC gives a device another MAC address, and the VLAN devices on it that have none of their own.
func (tx *Tx) setMAC(d *device, mac [6]byte) {
	if d.mac == mac {
		return
	}
	tx.edit(d)
	d.mac = mac
	if d.up {
		tx.removeLinkLocal(d)
		tx.addLinkLocal(d)
		tx.announceAddresses(d, d.addrs...)
	}
	for _, u := range d.uppers {
		if !u.ownMAC {
			tx.setMAC(u, mac)
			tx.announceLink(u, false)
		}
	}
}

// shrinkUppers lowers the MTU of the VLAN devices on d to that of d (NETDEV_CHANGEMTU in the kernel's
// vlan_device_event); it does not come back by itself.
func (tx *Tx) shrinkUppers(d *device) {
	for _, u := range d.uppers {
		if u.mtu > d.mtu {
			tx.setMTU(u, d.mtu)
			tx.store(u)
			tx.announceLink(u, false)
		}
	}
}

// checkUppers tells whether the VLAN devices on d may have an MTU of that many bytes, where they have a larger one.
func checkUppers(d *device, mtu uint32) error {
	for _, u := range d.uppers {
		if u.mtu > mtu {
			if err := checkMTU(u, mtu); err != nil {
				if u.ns != d.ns {
					err = &Error{Kind: KindOf(err), Msg: err.Error(), Discreet: fmt.Sprintf(
						"mtu %d is not for a VLAN device on %s that is in another namespace", mtu, d.name)}
				}
				return err
			}
		}
		if err := checkUppers(u, mtu); err != nil {
			return err
		}
	}
	return nil
}

// lowerChanged makes the VLAN devices on d follow its link.
func (tx *Tx) lowerChanged(d *device, usable bool) {
	for _, u := range d.uppers {
		tx.carrierChanged(u, usable)
	}
}

// hostMTU is the MTU of the host interface that the frames of d and of the VLAN devices on it need when d has the given
// one. Every interface that knows VLANs carries one tag besides its MTU (is_skb_forwardable of the kernel, for one).
func (d *device) hostMTU(mtu uint32) uint32 {
	n := mtu
	for _, u := range d.uppers {
		for _, over := range u.uppers {
			n = max(n, min(over.mtu, mtu)+tagLen)
		}
	}
	return n
}

// othersThan tells whether a VLAN device on d has another MAC address than the given one, which is or will be that of d.
func (d *device) othersThan(mac [6]byte) bool {
	return slices.ContainsFunc(d.uppers, func(u *device) bool { return u.ownMAC && u.mac != mac || u.othersThan(mac) })
}

// addVLAN makes a VLAN device, and the host interface at the bottom carry its frames.
func (t *Table) addVLAN(namespace string, s LinkSpec) (string, error) {
	t.host.Lock()
	defer t.host.Unlock()
	var d, root *device
	var before PortConfig
	err := t.Do(func(tx *Tx) (err error) {
		lower, err := t.device(namespace, s.Lower)
		if err != nil {
			return err
		}
		root = lower.root()
		before = root.portConfig()
		d, err = tx.addVLAN(lower, s)
		return err
	})
	if err != nil {
		return "", err
	}
	t.hostFollows(root, before)
	return d.name, nil
}

// hostFollows has the host interface of root, if it has one, follow a change of it or of the VLAN devices on it.
func (t *Table) hostFollows(root *device, before PortConfig) {
	t.mu.RLock()
	attached := root.kind == XDP && !root.gone && root.host.attached
	now := root.portConfig()
	t.mu.RUnlock()
	if attached && now != before {
		t.configure(root.id, now)
	}
}

// checkVLANs joins the VLAN devices of the store to those that they are on, and refuses what could not have been made.
func (t *Table) checkVLANs() error {
	damaged := func(d *device) error {
		return fail(Storage, "the stored state cannot be restored: VLAN device %q in namespace %s is damaged", d.name, d.ns.name)
	}
	for _, d := range t.devices {
		if d != nil && d.kind == VLAN {
			if d.lower = t.deviceByID(d.lower.id); d.lower == nil {
				return damaged(d)
			}
		}
	}
	for _, d := range t.devices {
		if d == nil || d.kind != VLAN {
			continue
		}
		if checkVLAN(d.lower, d.tag) != nil || d.mtu > d.lower.mtu {
			return damaged(d)
		}
		d.lower.uppers = append(d.lower.uppers, d)
	}
	for _, d := range t.devices {
		if d != nil && d.kind != VLAN {
			d.inheritMAC()
		}
	}
	return nil
}

// inheritMAC gives d's MAC address to the VLAN devices on it that have none of their own: they are stored only when
// they change themselves.
func (d *device) inheritMAC() {
	for _, u := range d.uppers {
		if !u.ownMAC {
			u.mac = d.mac
		}
		u.inheritMAC()
	}
}
