package nstable

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// Open makes a table from what the store has: everything as it was, but for host interfaces, which are not attached,
// and learned neighbours. An empty store gives the namespace init with its lo. Neither the Datapath nor the Ports are
// called: see [Table.Start].
func Open(o Options) (*Table, error) {
	o.Workers = max(o.Workers, 1)
	if o.Ports == nil {
		o.Ports = noPorts{}
	}
	datapath := o.Datapath
	if datapath == nil {
		datapath = noDatapath{}
	}
	o.Datapath = noDatapath{}
	t := &Table{
		options:     o,
		requests:    make(chan *request),
		stop:        make(chan struct{}),
		done:        make(chan struct{}),
		byName:      make(map[string]*namespace),
		devices:     make([]*device, 1),
		reserved:    make(map[DeviceID]*reservation),
		subscribers: make(map[*Subscription]struct{}),
		learned:     learnedQueue{wake: make(chan struct{}, 1)},
		probed:      probedQueue{wake: make(chan struct{}, 1)},
	}
	if o.Store != nil {
		if err := t.restore(); err != nil {
			return nil, err
		}
	}
	if t.byName[InitName] == nil {
		first := &request{fn: func(tx *Tx) error { return tx.AddNamespace(InitName) }}
		if t.commit([]*request{first}); first.err != nil {
			return nil, first.err
		}
	}
	t.options.Datapath = datapath
	go t.run()
	return t, nil
}

// Start is called once, when the workers run: it tells the data plane the permanent neighbours and attaches the host
// interfaces. One that cannot be attached is logged; its device keeps all its configuration, without carrier, until
// [Table.PortBack].
func (t *Table) Start() error {
	t.host.Lock()
	defer t.host.Unlock()
	var ports []*device
	err := t.doVolatile(func(tx *Tx) error {
		for _, d := range t.devices {
			if d == nil {
				continue
			}
			for _, a := range d.permanent.sorted() {
				tx.tellNeighbor(d, a, d.permanent.macs[a], neigh.Permanent)
			}
			if d.kind == XDP {
				ports = append(ports, d)
			}
		}
		return nil
	})
	for _, d := range ports {
		t.attachAgain(d)
	}
	return err
}

func (t *Table) attachAgain(d *device) {
	t.mu.RLock()
	info := t.linkInfo(d)
	spec := d.host.spec
	t.mu.RUnlock()
	port, err := t.options.Ports.Attach(d.id, spec)
	if err == nil {
		err = t.PortBack(d.id, port)
	}
	if err != nil {
		t.log(fmt.Sprintf("device %s in namespace %s has no carrier until its host interface %s can be attached",
			info.Name, info.Namespace, spec.Host), err)
		return
	}
	t.mu.RLock()
	c := d.portConfig()
	t.mu.RUnlock()
	if c != (PortConfig{MTU: port.MTU, MAC: port.MAC}) {
		t.configure(d.id, c)
	}
}

// Close ends the table: further changes are refused, subscriptions end. Host interfaces stay attached; they are their
// owner's.
func (t *Table) Close() {
	t.closing.Do(func() { close(t.stop) })
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.subscribers {
		s.end()
	}
	clear(t.subscribers)
	t.learned.listeners.Store(0)
}

// restore rebuilds the state from the store, in memory and in the view.
func (t *Table) restore() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := loader{t: t, tx: t.newTx()}
	if err := t.options.Store.Load(l.load); err != nil {
		return &Error{Kind: Storage, Msg: "the stored state cannot be restored", Err: err}
	}
	if len(t.byName) > 0 && (t.byName[InitName] == nil || t.byName[InitName].id != Init) {
		return fail(Storage, "the stored state cannot be restored: it has no namespace %s", InitName)
	}
	if err := t.checkPairs(); err != nil {
		return err
	}
	if err := t.checkVLANs(); err != nil {
		return err
	}
	l.setRoutes()
	if err := t.checkObjects(); err != nil {
		return err
	}
	for _, d := range l.up {
		l.tx.setUp(d, true)
	}
	l.tx.ops, l.tx.news, l.tx.hooks = nil, news{}, nil
	l.tx.publish()
	return nil
}

// checkPairs refuses a store in which a veth lacks its other end, or a namespace its lo.
func (t *Table) checkPairs() error {
	for _, d := range t.devices {
		if d == nil {
			continue
		}
		peer := t.deviceByID(d.peer)
		if (d.kind == Veth) != (d.peer != 0) || d.peer != 0 && (peer == nil || peer.peer != d.id || peer == d) {
			return fail(
				Storage,
				"the stored state cannot be restored: device %q in namespace %s lacks its peer",
				d.name,
				d.ns.name,
			)
		}
	}
	for name, ns := range t.byName {
		if lo := ns.byName["lo"]; lo == nil || lo.kind != Loopback {
			return fail(Storage, "the stored state cannot be restored: namespace %s has no lo", name)
		}
	}
	return nil
}

// checkObjects refuses a store with next-hop objects that could not have been made, or routes by ones that are not there.
func (t *Table) checkObjects() error {
	for name, ns := range t.byName {
		for _, o := range ns.rib.Objects() {
			if !ns.validObject(o) {
				return fail(Storage, "the stored state cannot be restored: nexthop id %d of namespace %s is damaged", o.ID, name)
			}
		}
		for p, list := range ns.rib.From(netip.Prefix{}) {
			for _, r := range list {
				if o := ns.rib.Object(r.Object); r.Object != 0 && (o == nil || !ns.rib.CanSend(o, p.Addr().Is6())) {
					return fail(Storage, "the stored state cannot be restored: route %s of namespace %s lacks its nexthop %d",
						p, name, r.Object)
				}
			}
		}
	}
	return nil
}

func (ns *namespace) validObject(o *fib.Object) bool {
	hasLeg := o.Leg != (fib.Leg{})
	if !o.IsGroup() {
		return hasLeg != o.Blackhole && (!hasLeg || o.Leg.Weight > 0)
	}
	return !hasLeg && !o.Blackhole && !slices.ContainsFunc(o.Members, func(m fib.Member) bool {
		member := ns.rib.Object(m.ID)
		return m.Weight == 0 || member == nil || member.IsGroup() || member.Blackhole && len(o.Members) > 1
	})
}

// loader takes the records of a store in the order of their buckets and keys.
type loader struct {
	t  *Table
	tx *Tx
	up []*device // to be raised when all is there
	// The routes of one prefix come one after the other.
	ns     *namespace
	prefix netip.Prefix
	list   []*fib.Route
}

func (l *loader) load(b Bucket, key, value []byte) error {
	var err error
	switch b {
	case BucketNamespace:
		err = l.namespace(key, value)
	case BucketDevice:
		err = l.device(key, value)
	case BucketAddress:
		err = l.address(key, value)
	case BucketNeighbor:
		err = l.neighbor(key, value)
	case BucketRoute:
		err = l.route(key, value)
	case BucketNextHop:
		err = l.nextHop(key, value)
	default:
		err = errRecord
	}
	if err != nil {
		return fmt.Errorf("%s record %x: %w", bucketNames[b%NumBuckets], key, err)
	}
	return nil
}

var bucketNames = [NumBuckets]string{"namespace", "device", "address", "neighbour", "route", "next hop"}

func (l *loader) namespace(key, value []byte) error {
	name, settings, owners, err := decodeNamespace(value)
	if err != nil {
		return err
	}
	if len(key) != 4 || l.t.byName[name] != nil || checkNamespaceName(name) != nil {
		return errRecord
	}
	id := NamespaceID(binary.BigEndian.Uint32(key))
	if id > maxID {
		return errRecord
	}
	ns := l.tx.insertNamespace(id, name)
	ns.settings, ns.owners = settings, owners
	return nil
}

// maxID bounds the ids in a store: tables are indexed by them.
const maxID = 1 << 20

func (l *loader) device(key, value []byte) error {
	d, nsID, err := decodeDevice(value)
	if err != nil {
		return err
	}
	if len(key) != 4 || int(nsID) >= len(l.t.namespaces) || l.t.namespaces[nsID] == nil {
		return errRecord
	}
	ns := l.t.namespaces[nsID]
	d.id = DeviceID(binary.BigEndian.Uint32(key))
	if d.id == 0 || d.id > maxID || d.index <= 0 || ns.byIndex[d.index] != nil || ns.byName[d.name] != nil {
		return errRecord
	}
	if d.up {
		d.up = false
		l.up = append(l.up, d)
	}
	return l.tx.insertDevice(ns, d)
}

// owner returns the device that a key starts with.
func (l *loader) owner(key []byte) (*device, error) {
	if len(key) < 4 {
		return nil, errRecord
	}
	d := l.t.deviceByID(DeviceID(binary.BigEndian.Uint32(key)))
	if d == nil {
		return nil, errRecord
	}
	return d, nil
}

func (l *loader) address(key, value []byte) error {
	d, err := l.owner(key)
	if err != nil {
		return err
	}
	a, err := decodeAddress(value)
	if err != nil {
		return err
	}
	if len(key) != 8 || checkAddress(a.prefix) != nil {
		return errRecord
	}
	a.order, a.state = binary.BigEndian.Uint32(key[4:]), l.t.initialState(d, &a)
	d.addrs = append(d.addrs, a)
	return nil
}

func (l *loader) neighbor(key, value []byte) error {
	d, err := l.owner(key)
	if err != nil {
		return err
	}
	r := newReader(value)
	mac := r.mac()
	if err := r.end(); err != nil {
		return err
	}
	a, ok := netip.AddrFromSlice(key[4:])
	if !ok {
		return errRecord
	}
	l.tx.setPermanent(d, a, mac)
	return nil
}

func (l *loader) route(key, value []byte) error {
	r, nsID, err := decodeRoute(key, value)
	if err != nil {
		return err
	}
	if int(nsID) >= len(l.t.namespaces) || l.t.namespaces[nsID] == nil || r.Prefix.Masked() != r.Prefix {
		return errRecord
	}
	ns := l.t.namespaces[nsID]
	if err := l.checkLegs(ns, r.Legs); err != nil {
		return err
	}
	if r.Kind == fib.Netns && (int(r.Netns) >= len(l.t.namespaces) || l.t.namespaces[r.Netns] == nil || r.Netns == nsID) {
		return errRecord
	}
	r.Way = ns.rib.Way(*r.Way)
	if ns != l.ns || r.Prefix != l.prefix {
		l.setRoutes()
		l.ns, l.prefix = ns, r.Prefix
	}
	l.list = append(l.list, &r)
	return nil
}

// checkLegs refuses legs by a device of another namespace, or of none.
func (l *loader) checkLegs(ns *namespace, legs []fib.Leg) error {
	for i := range legs {
		if d := l.t.deviceByID(legs[i].Device); legs[i].Device != 0 && (d == nil || d.ns != ns) {
			return errRecord
		}
	}
	return nil
}

// setRoutes puts the routes collected so far.
func (l *loader) setRoutes() {
	if len(l.list) > 0 {
		l.ns.rib.Set(l.prefix, slices.Clone(l.list))
		touched := l.tx.touchedIn(l.ns)
		*touched = append(*touched, l.prefix)
		l.list = l.list[:0]
	}
}

func (l *loader) nextHop(key, value []byte) error {
	o, nsID, err := decodeNextHop(key, value)
	if err != nil {
		return err
	}
	if int(nsID) >= len(l.t.namespaces) || l.t.namespaces[nsID] == nil || o.ID == 0 {
		return errRecord
	}
	ns := l.t.namespaces[nsID]
	if err := l.checkLegs(ns, []fib.Leg{o.Leg}); err != nil {
		return err
	}
	ns.rib.SetObject(o.ID, o)
	l.tx.touchedIn(ns)
	return nil
}
