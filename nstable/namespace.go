package nstable

import (
	"net/netip"
	"slices"
	"strings"

	"nsrouter/dataplane/counters"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// InitName is the name of the namespace that always exists.
const InitName = "init"

// namespace is the truth about a namespace; all of it is under the table's lock.
type namespace struct {
	id      NamespaceID
	name    string
	gone    bool // deleted in the running transaction
	public  *Namespace
	byName  map[string]*device
	byIndex map[int]*device
	// lastIndex is the ifindex given out last; the next free one above it comes next.
	lastIndex int
	rib       *fib.RIB
	table     *Table
	settings  *setting.Namespace // replaced, never changed
	owners    []Owner            // replaced, never changed
	retired   counters.Totals    // what devices counted here that are no longer here
}

// install brings the forwarding table up to date for the given prefixes.
func (ns *namespace) install(prefixes []netip.Prefix) {
	if err := ns.rib.Install(ns.public.FIB, prefixes); err != nil {
		ns.table.log("routes of namespace "+ns.name+" are not used, since their forwarding table cannot grow", err)
	}
}

func (ns *namespace) info() NamespaceInfo {
	return NamespaceInfo{
		ID: ns.id, Name: ns.name, Devices: len(ns.byName), Routes: ns.rib.Len(), Settings: ns.settings,
		Owners: ns.owners,
	}
}

func (t *Table) listNamespaces() []NamespaceInfo {
	var out []NamespaceInfo
	for _, ns := range t.namespaces {
		if ns != nil {
			out = append(out, ns.info())
		}
	}
	slices.SortFunc(out, func(a, b NamespaceInfo) int {
		if (a.ID == Init) != (b.ID == Init) {
			return map[bool]int{true: -1, false: 1}[a.ID == Init]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// AddNamespace makes a namespace with its lo, and with settings that are not at their default.
func (tx *Tx) AddNamespace(name string, values ...setting.Value) error {
	if err := checkNamespaceName(name); err != nil {
		return err
	}
	settings, err := apply(setting.Namespaces, setting.Namespaces.Default(), values)
	if err != nil {
		return err
	}
	if tx.t.byName[name] != nil {
		return fail(Exists, "Cannot create network namespace %q: File exists", name)
	}
	ns := tx.insertNamespace(NamespaceID(freeSlot(tx.t.namespaces)), name)
	ns.settings = settings
	tx.put(BucketNamespace, namespaceKey(ns.id), encodeNamespace(ns))
	tx.announceNamespace(ns, false)
	lo := &device{kind: Loopback, name: "lo", mtu: loopbackMTU}
	if err := tx.insertDevice(ns, lo); err != nil {
		return err
	}
	for _, a := range []string{"127.0.0.1/8", "::1/128"} {
		if err := tx.addAddress(lo, AddressSpec{Prefix: netip.MustParsePrefix(a)}); err != nil {
			return err
		}
	}
	tx.setUp(lo, true)
	return nil
}

// SetNamespace changes settings of a namespace: all of them, or none.
func (tx *Tx) SetNamespace(namespace string, values []setting.Value) error {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return err
	}
	old := ns.settings
	changed, err := apply(setting.Namespaces, old, values)
	if err != nil {
		return err
	}
	ns.settings = changed
	tx.onUndo(func() { ns.settings = old })
	tx.viewChanged = true
	tx.operated(ns).all = true // settings say where routes come from
	tx.put(BucketNamespace, namespaceKey(ns.id), encodeNamespace(ns))
	tx.announceNamespace(ns, false)
	return nil
}

// RenameNamespace gives a namespace another name. Who hears the events of the old name hears that it is gone.
func (tx *Tx) RenameNamespace(namespace, name string) error {
	t := tx.t
	ns, err := t.namespace(namespace)
	switch {
	case err != nil:
		return err
	case ns.id == Init:
		return fail(Refused, "Cannot rename namespace %q: it always exists", namespace)
	case name == namespace:
		return nil
	case t.byName[name] != nil:
		return fail(Exists, "Cannot rename network namespace %q to %q: File exists", namespace, name)
	}
	if err := checkNamespaceName(name); err != nil {
		return err
	}
	tx.announceNamespace(ns, true)
	tx.nameNamespace(ns, name)
	tx.onUndo(func() { tx.nameNamespace(ns, namespace) })
	tx.put(BucketNamespace, namespaceKey(ns.id), encodeNamespace(ns))
	if e := tx.event(ns, NamespaceEvent, false, false); e != nil {
		e.Netns, e.Was = new(ns.info()), namespace
	}
	return nil
}

func (tx *Tx) nameNamespace(ns *namespace, name string) {
	delete(tx.t.byName, ns.name)
	tx.t.byName[name] = ns
	ns.name = name
	ns.public.name.Store(&name)
}

// apply is old with other values.
func apply[T any](table setting.Table[T], old *T, values []setting.Value) (*T, error) {
	changed := *old
	for _, v := range values {
		if err := table.Set(&changed, v.Name, v.Value); err != nil {
			return nil, fail(Invalid, "%v", err)
		}
	}
	return &changed, nil
}

// insertNamespace puts an empty namespace into its slot.
func (tx *Tx) insertNamespace(id NamespaceID, name string) *namespace {
	t := tx.t
	ns := &namespace{
		id: id, name: name, table: t,
		public:   &Namespace{ID: id, FIB: fib.NewTable(t.options.Tables)},
		byName:   make(map[string]*device),
		byIndex:  make(map[int]*device),
		rib:      fib.NewRIB(t.linkState),
		settings: setting.Namespaces.Default(),
	}
	ns.public.name.Store(&name)
	grown := len(t.namespaces)
	t.namespaces = setSlot(t.namespaces, int(id), ns)
	t.byName[name] = ns
	tx.viewChanged = true
	tx.onUndo(func() {
		delete(t.byName, name)
		t.namespaces[id] = nil
		t.namespaces = t.namespaces[:grown]
	})
	return ns
}

func (tx *Tx) announceNamespace(ns *namespace, deleted bool) {
	if e := tx.event(ns, NamespaceEvent, deleted, false); e != nil {
		e.Netns = new(ns.info())
	}
}

// deleteNamespace sends the XDP devices home to init, and removes the other devices and the namespace.
func (tx *Tx) deleteNamespace(ns *namespace) error {
	t := tx.t
	if ns.id == Init {
		return fail(Refused, "Cannot remove namespace %q: it always exists", ns.name)
	}
	for _, d := range ns.ordered() {
		switch {
		case ns.byIndex[d.index] != d: // went with its peer
		case d.kind == XDP:
			name := d.name
			if t.nameTaken(t.namespaces[Init], name) {
				name = t.freeName(t.namespaces[Init], "dev%d")
			}
			tx.move(d, t.namespaces[Init], name)
		default:
			tx.deleteDevice(d)
		}
	}
	tx.deleteObjects(ns, func(*fib.Object) bool { return true })
	tx.deleteRoutes(ns, func(*fib.Route) bool { return true })
	tx.deleteRoutesInto(ns)
	ns.gone = true
	delete(t.byName, ns.name)
	tx.viewChanged = true
	tx.retiredNS = append(tx.retiredNS, ns)
	tx.onUndo(func() {
		ns.gone = false
		t.byName[ns.name] = ns
	})
	tx.remove(BucketNamespace, namespaceKey(ns.id))
	tx.announceNamespace(ns, true)
	return nil
}

// deleteRoutesInto removes the routes of other namespaces that lead into one that is deleted, as routes go with their
// device: who made them cannot keep it, and another namespace of its name is not the one that they were meant for.
func (tx *Tx) deleteRoutesInto(gone *namespace) {
	for _, ns := range tx.t.namespaces {
		if ns != nil && !ns.gone && ns.rib.LeadsInto(gone.id) {
			tx.deleteRoutes(ns, func(r *fib.Route) bool { return r.Kind == fib.Netns && r.Netns == gone.id })
		}
	}
}

// ordered lists the devices by ifindex.
func (ns *namespace) ordered() []*device {
	out := make([]*device, 0, len(ns.byIndex))
	for _, d := range ns.byIndex {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *device) int { return a.index - b.index })
	return out
}

// freeIndex chooses the ifindex of a device that comes in: the wanted one if it is free.
func (ns *namespace) freeIndex(wanted int) int {
	if wanted > 0 && ns.byIndex[wanted] == nil {
		return wanted
	}
	i := ns.lastIndex + 1
	for ns.byIndex[i] != nil {
		i++
	}
	return i
}

// checkNamespaceName accepts what can be a file under /run/netns and a word of a command line.
func checkNamespaceName(name string) error {
	switch {
	case name == "", name == ".", name == "..", len(name) > 255, strings.ContainsAny(name, "/\x00"),
		strings.ContainsFunc(name, isSpaceOrControl):
		return fail(
			Invalid,
			"Invalid netns name %q: use 1 to 255 bytes without slash, space or control characters",
			name,
		)
	}
	return nil
}

// isSpaceOrControl tells the bytes that no name may have; bytes beyond ASCII are fine, as in Linux.
func isSpaceOrControl(r rune) bool { return r <= ' ' || r == 0x7f }

// freeSlot returns the first index of s that is nil, or its length. Index zero of devices is taken by a caller who
// starts with one.
func freeSlot[T any](s []*T) int {
	for i, v := range s {
		if v == nil {
			return i
		}
	}
	return len(s)
}

// setSlot stores v at index i, growing the slice as needed.
func setSlot[T any](s []*T, i int, v *T) []*T {
	for len(s) <= i {
		s = append(s, nil)
	}
	s[i] = v
	return s
}
