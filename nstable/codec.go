package nstable

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// How objects are stored. Keys are fixed-width numbers in network byte order, so that the store's order is theirs:
//
//	namespace  id(4)
//	device     id(4)
//	address    device(4) order(4)
//	neighbour  device(4) address(4 or 16)
//	route      namespace(4) family(1: 4, 6) address(4 or 16) length(1) table(1: 0 local, 1 main) metric(4) order(8)
//	next hop   namespace(4) id(4)
//
// A value starts with the version of its form (1), then come its fields: numbers as unsigned varints, strings and
// addresses with their length before them (an absent address has none).
//
//	namespace  name, settings, and owners if there are any: of each flags (1 a group), id, role
//	device     kind, namespace, ifindex, name, peer, MAC, MTU, flags (1 up, 2 MAC set by the operator),
//	           for XDP: host, mode, queues, force (0, 1); for VLAN: lower device, EtherType of the tag, VLAN id; and settings
//	address    address, prefix length, and flags if there are any (1 nodad)
//	neighbour  MAC
//	route      kind, protocol, scope, MTU, source, next-hop object, legs; of the kind netns then the namespace
//	next hop   protocol, flags (1 blackhole, 2 IPv6), legs, number of members, and of each id and weight
//	legs       their number, and of each gateway, device, weight, flags (1 onlink)
//	settings   how many are not at their default, and of each name and value
//
// An unknown version, an unknown setting or a record of the wrong length is refused: a newer router may have written
// it. Version 2 had of settings only a namespace's limit of routes, as a number; version 1 not even that, and one leg in
// a route.
const recordVersion = 3

func namespaceKey(id NamespaceID) []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }
func deviceKey(id DeviceID) []byte       { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

func addressKey(id DeviceID, order uint32) []byte {
	return binary.BigEndian.AppendUint32(deviceKey(id), order)
}

func neighborKey(id DeviceID, a netip.Addr) []byte { return append(deviceKey(id), a.AsSlice()...) }

func nextHopKey(ns NamespaceID, id fib.ObjectID) []byte {
	return binary.BigEndian.AppendUint32(namespaceKey(ns), id.Number())
}

// routeKeySize is the size in bytes of the longest key of a route.
const routeKeySize = 4 + 1 + 16 + 1 + 1 + 4 + 8

func appendRouteKey(k []byte, ns NamespaceID, r *fib.Route) []byte {
	k = binary.BigEndian.AppendUint32(k, uint32(ns))
	a := r.Prefix.Addr()
	if a.Is4() {
		b := a.As4()
		k = append(append(k, 4), b[:]...)
	} else {
		b := a.As16()
		k = append(append(k, 6), b[:]...)
	}
	table := byte(1)
	if r.InLocalTable() {
		table = 0
	}
	k = append(k, byte(r.Prefix.Bits()), table)
	k = binary.BigEndian.AppendUint32(k, r.Metric)
	return binary.BigEndian.AppendUint64(k, uint64(r.Order))
}

func encodeNamespace(ns *namespace) []byte {
	w := newWriter(16)
	w.string(ns.name)
	encodeSettings(w, setting.Namespaces, ns.settings)
	for _, o := range ns.owners {
		w.num(w.flag(1, o.Group))
		w.num(uint64(o.ID))
		w.num(uint64(o.Role))
	}
	return w.b
}

// decodeNamespace reads the name, the settings and the owners of a namespace.
func decodeNamespace(value []byte) (string, *setting.Namespace, []Owner, error) {
	r := newReader(value)
	name := string(r.bytes())
	settings := setting.Namespaces.Default()
	switch r.version {
	case 1:
	case 2:
		settings.MaxRoutes = uint32(r.num(1<<32 - 1))
	default:
		decodeSettings(r, setting.Namespaces, settings)
	}
	var owners []Owner
	for r.err == nil && len(r.b) > 0 {
		o := Owner{Principal: Principal{Group: r.num(1) == 1, ID: uint32(r.num(1<<32 - 1))}, Role: Role(r.num(uint64(Admin)))}
		if o.Role == NoRole {
			r.err = errRecord
		}
		owners = append(owners, o)
	}
	return name, settings, owners, r.end()
}

func encodeSettings[T any](w *writer, table setting.Table[T], v *T) {
	changed := table.Values(v, false)
	w.num(uint64(len(changed)))
	for _, s := range changed {
		w.string(s.Name)
		w.string(s.Value)
	}
}

// decodeSettings reads what is not at its default into v.
func decodeSettings[T any](r *reader, table setting.Table[T], v *T) {
	for range r.num(uint64(len(table))) {
		name, value := string(r.bytes()), string(r.bytes())
		if r.err == nil {
			r.err = table.Set(v, name, value)
		}
	}
}

func encodeDevice(d *device) []byte {
	w := newWriter(64)
	w.num(uint64(d.kind))
	w.num(uint64(d.ns.id))
	w.num(uint64(d.index))
	w.string(d.name)
	w.num(uint64(d.peer))
	w.bytes(d.mac[:])
	w.num(uint64(d.mtu))
	w.num(w.flag(1, d.up) | w.flag(2, d.ownMAC))
	if h := d.host; h != nil {
		w.string(h.spec.Host)
		w.num(uint64(h.spec.Mode))
		w.num(uint64(h.spec.Queues))
		w.num(w.flag(1, h.spec.Force))
	}
	if d.kind == VLAN {
		w.num(uint64(d.lower.id))
		w.num(uint64(d.tag.Protocol))
		w.num(uint64(d.tag.ID))
	}
	encodeSettings(w, setting.Devices, d.settings)
	return w.b
}

// decodeDevice reads a device, and the id of its namespace. Of the device that a VLAN device is on it knows the id.
func decodeDevice(value []byte) (*device, NamespaceID, error) {
	r := newReader(value)
	d := &device{kind: Kind(r.num(uint64(VLAN)))}
	ns := NamespaceID(r.num(1<<32 - 1))
	d.index = int(r.num(1<<31 - 1))
	d.name = string(r.bytes())
	d.peer = DeviceID(r.num(1<<32 - 1))
	d.mac = r.mac()
	d.mtu = uint32(r.num(1<<32 - 1))
	flags := r.num(3)
	d.up, d.ownMAC = flags&1 != 0, flags&2 != 0
	switch d.kind {
	case XDP:
		d.host = new(hostPort)
		d.host.spec.Host = string(r.bytes())
		d.host.spec.Mode = Mode(r.num(uint64(ModeGeneric)))
		d.host.spec.Queues = int(r.num(1 << 16))
		d.host.spec.Force = r.num(1) == 1
	case VLAN:
		d.lower = &device{id: DeviceID(r.num(1<<32 - 1))}
		d.tag.Protocol, d.tag.ID = uint16(r.num(1<<16-1)), uint16(r.num(MaxVLAN))
	default:
	}
	d.settings = setting.Devices.Default()
	if r.version > 2 {
		decodeSettings(r, setting.Devices, d.settings)
	}
	return d, ns, r.end()
}

func encodeAddress(a address) []byte {
	w := newWriter(20)
	w.addr(a.prefix.Addr())
	w.num(uint64(a.prefix.Bits()))
	if a.nodad {
		w.num(addressNoDAD)
	}
	return w.b
}

const addressNoDAD = 1

func decodeAddress(value []byte) (address, error) {
	r := newReader(value)
	a := address{prefix: netip.PrefixFrom(r.addr(), int(r.num(128)))}
	if r.err == nil && !a.prefix.IsValid() {
		r.err = errRecord
	}
	if r.err == nil && len(r.b) > 0 {
		a.nodad = r.num(addressNoDAD) == addressNoDAD
	}
	return a, r.end()
}

func encodeNeighbor(mac [6]byte) []byte {
	w := newWriter(8)
	w.bytes(mac[:])
	return w.b
}

// routeRecord is the value of all routes of a way.
func routeRecord(way *fib.Way) []byte {
	if way.Record == nil {
		w := newWriter(32 + 32*len(way.Legs))
		w.num(uint64(way.Kind))
		w.num(uint64(way.Protocol))
		w.num(uint64(way.Scope))
		w.num(uint64(way.MTU))
		w.addr(way.Source)
		w.num(uint64(way.Object))
		w.legs(way.Legs)
		if way.Kind == fib.Netns {
			w.num(uint64(way.Netns))
		}
		way.Record = w.b
	}
	return way.Record
}

func (w *writer) legs(legs []fib.Leg) {
	w.num(uint64(len(legs)))
	for i := range legs {
		w.addr(legs[i].Gateway)
		w.num(uint64(legs[i].Device))
		w.num(uint64(legs[i].Weight))
		w.num(w.flag(1, legs[i].OnLink))
	}
}

func (r *reader) legs() []fib.Leg {
	n := r.num(fib.MaxHops)
	var legs []fib.Leg
	for range n {
		l := fib.Leg{Gateway: r.addr(), Device: DeviceID(r.num(1<<32 - 1)), Weight: uint32(r.num(maxWeight))}
		l.OnLink = r.num(1) == 1
		if r.err != nil {
			return nil
		}
		legs = append(legs, l)
	}
	return legs
}

// decodeRoute reads a route and the id of its namespace. Its way is not in a RIB yet.
func decodeRoute(key, value []byte) (fib.Route, NamespaceID, error) {
	size := 4
	if len(key) > 4 && key[4] == 6 {
		size = 16
	}
	if len(key) != 4+1+size+1+1+4+8 || key[4] != 4 && key[4] != 6 {
		return fib.Route{}, 0, fmt.Errorf("key of %d bytes: %w", len(key), errRecord)
	}
	ns := NamespaceID(binary.BigEndian.Uint32(key))
	a, _ := netip.AddrFromSlice(key[5 : 5+size])
	key = key[5+size:]
	r := newReader(value)
	way := &fib.Way{Metric: binary.BigEndian.Uint32(key[2:]), Kind: fib.Kind(r.num(uint64(fib.Netns)))}
	if r.version == 1 {
		r.wayOfVersion1(way)
	} else {
		way.Protocol = fib.Protocol(r.num(255))
		way.Scope = fib.Scope(r.num(255))
		way.MTU = uint32(r.num(1<<32 - 1))
		way.Source = r.addr()
		way.Object = fib.ObjectID(r.num(1<<32 - 1))
		way.Legs = r.legs()
		if way.Kind == fib.Netns {
			way.Netns = NamespaceID(r.num(maxID))
		}
	}
	route := fib.Route{Way: way, Prefix: netip.PrefixFrom(a, int(key[0])), Order: int64(binary.BigEndian.Uint64(key[6:]))}
	if r.err == nil && !route.Prefix.IsValid() {
		r.err = errRecord
	}
	return route, ns, r.end()
}

// wayOfVersion1 reads what follows the kind: device, gateway, source, protocol, scope, MTU, flags.
func (r *reader) wayOfVersion1(way *fib.Way) {
	l := fib.Leg{Device: DeviceID(r.num(1<<32 - 1)), Gateway: r.addr(), Weight: 1}
	way.Source = r.addr()
	way.Protocol = fib.Protocol(r.num(255))
	way.Scope = fib.Scope(r.num(255))
	way.MTU = uint32(r.num(1<<32 - 1))
	l.OnLink = r.num(1) == 1
	if l.Device != 0 {
		way.Legs = []fib.Leg{l}
	}
}

func encodeNextHop(o *fib.Object) []byte {
	w := newWriter(48)
	w.num(uint64(o.Protocol))
	w.num(w.flag(1, o.Blackhole) | w.flag(2, o.IPv6))
	if o.Leg != (fib.Leg{}) {
		w.legs([]fib.Leg{o.Leg})
	} else {
		w.legs(nil)
	}
	w.num(uint64(len(o.Members)))
	for _, m := range o.Members {
		w.num(uint64(m.ID))
		w.num(uint64(m.Weight))
	}
	return w.b
}

// decodeNextHop reads a next-hop object and the id of its namespace.
func decodeNextHop(key, value []byte) (*fib.Object, NamespaceID, error) {
	if len(key) != 8 {
		return nil, 0, fmt.Errorf("key of %d bytes: %w", len(key), errRecord)
	}
	r := newReader(value)
	o := &fib.Object{ID: fib.ObjectID(binary.BigEndian.Uint32(key[4:])), Protocol: fib.Protocol(r.num(255))}
	flags := r.num(3)
	o.Blackhole, o.IPv6 = flags&1 != 0, flags&2 != 0
	if legs := r.legs(); len(legs) > 0 {
		o.Leg = legs[0]
	}
	for range r.num(fib.MaxHops) {
		o.Members = append(o.Members, fib.Member{ID: fib.ObjectID(r.num(1<<32 - 1)), Weight: uint32(r.num(maxWeight))})
		if r.err != nil {
			break
		}
	}
	return o, NamespaceID(binary.BigEndian.Uint32(key)), r.end()
}
