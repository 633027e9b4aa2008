// Package nstable is the control plane's truth: the namespaces, their devices, addresses, static neighbours and routes.
//
// A [Table] is changed by transactions only, which are durable once they are acknowledged, and undone without a trace
// when they fail ([Table.Do]). What the data plane needs is published as a [View] and as the namespaces' fib tables,
// after the state is on disk; when a change returns, no worker uses anything older.
//
// # Files
//
// Each object has a file: namespace.go, device.go (all devices), link.go (the commands, with their slow parts at the
// host interface), vlan.go, address.go (dad.go: duplicates), route.go (way.go: what a route may say), nexthop.go,
// neighbor.go. routeshow.go and linkshow.go list them; event.go tells listeners of changes (news.go: those of a
// transaction, learned.go: those of workers, snapshot.go: the state before them). tx.go tells how
// transactions work, codec.go how objects are stored, restore.go how they come back.
package nstable

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"nsrouter/fib"
)

// Options of a table.
type Options struct {
	Store    Store    // nil: nothing is kept
	Workers  int      // of the data plane; 0 is 1
	Datapath Datapath // nil: there are no workers
	Ports    Ports    // nil: host interfaces cannot be attached
	Tables   fib.TableOptions
	// TableMemory limits the forwarding table of each namespace, in bytes; 0: no limit.
	TableMemory int
	// Publishing is told of a view that is about to be published, while workers still have the old one: the last moment
	// to send by a device that goes. It is called with the table's lock held, may wait for workers, and must not call
	// the table. May be nil.
	Publishing func(old, next *View)
	// OperatorRoutes is told of the prefixes whose routes of the operator may have changed in a namespace, or (all) that any
	// may have, or its settings, once that is published. It must not wait, nor call the table. nil: nobody.
	OperatorRoutes func(ns *Namespace, prefixes []netip.Prefix, all bool)
	// DetectDuplicates has the data plane try IPv6 addresses before they are used; it answers by [Table.AddressProbed].
	DetectDuplicates bool
	// Log hears what nobody waits for, such as an interface that cannot be attached at start. nil: nobody listens.
	Log func(msg string, err error)
}

// Table holds all namespaces. Its methods may be called from any goroutine.
type Table struct {
	options  Options
	requests chan *request
	stop     chan struct{} // closed: the committer is to end
	done     chan struct{} // the committer has ended
	closing  sync.Once
	view     atomic.Pointer[View]
	learned  learnedQueue
	probed   probedQueue
	round    uint32 // of the last trial of an address; the committer's

	// host serialises commands that touch host interfaces, slow as they are. It is taken before mu, and never from
	// Ports.
	host sync.Mutex

	// mu guards what follows, and all objects in it. The committer alone writes.
	mu          sync.RWMutex
	byName      map[string]*namespace
	namespaces  []*namespace // by id
	devices     []*device    // by id
	reserved    map[DeviceID]*reservation
	subscribers map[*Subscription]struct{}
	wanted      map[string]kinds // by namespace ("" is all): what subscribers want to hear of
}

// reservation keeps the name, the id and the host interface of a device that is being attached or detached.
type reservation struct {
	namespace, name, host string
	carrier               *bool // what SetCarrier said meanwhile
}

// View returns what the data plane sees: one atomic load.
func (t *Table) View() *View { return t.view.Load() }

// Namespaces lists all namespaces by name, init first.
func (t *Table) Namespaces() []NamespaceInfo {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.listNamespaces()
}

// Namespace finds a namespace by name.
func (t *Table) Namespace(name string) (*Namespace, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ns, err := t.namespace(name)
	if err != nil {
		return nil, err
	}
	return ns.public, nil
}

func (t *Table) namespace(name string) (*namespace, error) {
	if ns := t.byName[name]; ns != nil {
		return ns, nil
	}
	return nil, fail(NotFound, "Cannot open network namespace %q: No such file or directory", name)
}

// device finds a device of a namespace by their names.
func (t *Table) device(namespace, name string) (*device, error) {
	ns, err := t.namespace(namespace)
	if err != nil {
		return nil, err
	}
	if d := ns.byName[name]; d != nil {
		return d, nil
	}
	return nil, fail(NotFound, "Cannot find device %q", name)
}

// deviceByID returns a device or nil.
func (t *Table) deviceByID(id fib.DeviceID) *device {
	if int(id) >= len(t.devices) {
		return nil
	}
	return t.devices[id]
}

func (t *Table) log(msg string, err error) {
	if t.options.Log != nil {
		t.options.Log(msg, err)
	}
}
