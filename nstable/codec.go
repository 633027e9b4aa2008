package nstable

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"nsrouter/fib"
)

// How objects are stored. Keys are fixed-width numbers in network byte order, so that the store's order is theirs:
//
//	namespace  id(4)
//	device     id(4)
//	address    device(4) order(4)
//	neighbour  device(4) address(4 or 16)
//	route      namespace(4) family(1: 4, 6) address(4 or 16) length(1) table(1: 0 local, 1 main) metric(4) order(8)
//
// A value starts with the version of its form (1), then come its fields: numbers as unsigned varints, strings and
// addresses with their length before them (an absent address has none).
//
//	namespace  name
//	device     kind, namespace, ifindex, name, peer, MAC, MTU, flags (1 up, 2 MAC set by the operator),
//	           and for XDP: host, mode, queues, force (0, 1)
//	address    address, prefix length
//	neighbour  MAC
//	route      kind, device, gateway, source, protocol, scope, MTU, flags (1 onlink)
//
// An unknown version or a record of the wrong length is refused: a newer router may have written it.
const recordVersion = 1

func namespaceKey(id NamespaceID) []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }
func deviceKey(id DeviceID) []byte       { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

func addressKey(id DeviceID, order uint32) []byte {
	return binary.BigEndian.AppendUint32(deviceKey(id), order)
}

func neighborKey(id DeviceID, a netip.Addr) []byte { return append(deviceKey(id), a.AsSlice()...) }

func routeKey(ns NamespaceID, r *fib.Route) []byte {
	k := binary.BigEndian.AppendUint32(make([]byte, 0, 4+1+16+1+1+4+8), uint32(ns))
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

// writer builds a record.
type writer struct{ b []byte }

func newWriter(size int) *writer { return &writer{append(make([]byte, 0, size), recordVersion)} }

func (w *writer) num(v uint64)    { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) bytes(p []byte)  { w.num(uint64(len(p))); w.b = append(w.b, p...) }
func (w *writer) string(s string) { w.num(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) flag(bit uint64, set bool) uint64 {
	if set {
		return bit
	}
	return 0
}

func (w *writer) addr(a netip.Addr) {
	switch {
	case !a.IsValid():
		w.num(0)
	case a.Is4():
		b := a.As4()
		w.bytes(b[:])
	default:
		b := a.As16()
		w.bytes(b[:])
	}
}

// reader takes a record apart; its error sticks.
type reader struct {
	b   []byte
	err error
}

var errRecord = errors.New("the record is damaged, or of a newer router")

func newReader(b []byte) *reader {
	r := &reader{b: b}
	if r.num(255) != recordVersion {
		r.err = errRecord
	}
	return r
}

// num reads a number of at most limit.
func (r *reader) num(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.err = errRecord
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.num(uint64(len(r.b)))
	if r.err != nil || n > uint64(len(r.b)) {
		r.err = errRecord
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) addr() netip.Addr {
	p := r.bytes()
	a, ok := netip.AddrFromSlice(p)
	if !ok && len(p) > 0 {
		r.err = errRecord
	}
	return a
}

func (r *reader) mac() (mac [6]byte) {
	if copy(mac[:], r.bytes()) != len(mac) {
		r.err = errRecord
	}
	return mac
}

// end returns the error, also if something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errRecord
	}
	return r.err
}

func encodeNamespace(ns *namespace) []byte {
	w := newWriter(16)
	w.string(ns.name)
	return w.b
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
	w.num(w.flag(1, d.up) | w.flag(2, d.host != nil && d.host.ownMAC))
	if h := d.host; h != nil {
		w.string(h.spec.Host)
		w.num(uint64(h.spec.Mode))
		w.num(uint64(h.spec.Queues))
		w.num(w.flag(1, h.spec.Force))
	}
	return w.b
}

// decodeDevice reads a device, and the id of its namespace.
func decodeDevice(value []byte) (*device, NamespaceID, error) {
	r := newReader(value)
	d := &device{kind: Kind(r.num(uint64(Dummy)))}
	ns := NamespaceID(r.num(1<<32 - 1))
	d.index = int(r.num(1<<31 - 1))
	d.name = string(r.bytes())
	d.peer = DeviceID(r.num(1<<32 - 1))
	d.mac = r.mac()
	d.mtu = uint32(r.num(1<<32 - 1))
	flags := r.num(3)
	d.up = flags&1 != 0
	if d.kind == XDP {
		d.host = &hostPort{ownMAC: flags&2 != 0}
		d.host.spec.Host = string(r.bytes())
		d.host.spec.Mode = Mode(r.num(uint64(ModeGeneric)))
		d.host.spec.Queues = int(r.num(1 << 16))
		d.host.spec.Force = r.num(1) == 1
	}
	return d, ns, r.end()
}

func encodeAddress(a address) []byte {
	w := newWriter(20)
	w.addr(a.prefix.Addr())
	w.num(uint64(a.prefix.Bits()))
	return w.b
}

func decodeAddress(value []byte) (netip.Prefix, error) {
	r := newReader(value)
	p := netip.PrefixFrom(r.addr(), int(r.num(128)))
	if r.err == nil && !p.IsValid() {
		r.err = errRecord
	}
	return p, r.end()
}

func encodeNeighbor(mac [6]byte) []byte {
	w := newWriter(8)
	w.bytes(mac[:])
	return w.b
}

func encodeRoute(r *fib.Route) []byte {
	w := newWriter(48)
	w.num(uint64(r.Kind))
	w.num(uint64(r.Device))
	w.addr(r.Gateway)
	w.addr(r.Source)
	w.num(uint64(r.Protocol))
	w.num(uint64(r.Scope))
	w.num(uint64(r.MTU))
	w.num(w.flag(1, r.OnLink))
	return w.b
}

// decodeRoute reads a route and the id of its namespace.
func decodeRoute(key, value []byte) (*fib.Route, NamespaceID, error) {
	size := 4
	if len(key) > 4 && key[4] == 6 {
		size = 16
	}
	if len(key) != 4+1+size+1+1+4+8 || key[4] != 4 && key[4] != 6 {
		return nil, 0, fmt.Errorf("key of %d bytes: %w", len(key), errRecord)
	}
	ns := NamespaceID(binary.BigEndian.Uint32(key))
	a, _ := netip.AddrFromSlice(key[5 : 5+size])
	key = key[5+size:]
	r := newReader(value)
	route := &fib.Route{
		Prefix: netip.PrefixFrom(a, int(key[0])),
		Metric: binary.BigEndian.Uint32(key[2:]),
		Order:  int64(binary.BigEndian.Uint64(key[6:])),
		Kind:   fib.Kind(r.num(uint64(fib.Throw))),
		Device: DeviceID(r.num(1<<32 - 1)),
	}
	route.Gateway, route.Source = r.addr(), r.addr()
	route.Protocol = fib.Protocol(r.num(255))
	route.Scope = fib.Scope(r.num(255))
	route.MTU = uint32(r.num(1<<32 - 1))
	route.OnLink = r.num(1) == 1
	if r.err == nil && !route.Prefix.IsValid() {
		r.err = errRecord
	}
	return route, ns, r.end()
}
