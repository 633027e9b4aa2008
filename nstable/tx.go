package nstable

import (
	"net/netip"
	"runtime/debug"
	"slices"
	"time"

	"nsrouter/fib"
)

// maxGroup bounds how many callers of Do share a commit.
const maxGroup = 1024

// request is a call of Do that waits for the committer.
type request struct {
	fn func(*Tx) error
	// volatile requests change nothing that is stored: they cannot fail because the store does.
	volatile bool
	err      error
	done     chan struct{}
}

// Tx is a running transaction. It is used by the function that it was given to, and no longer.
//
// All mutations come down to a few primitives, each of which changes memory at once and pushes what undoes it; besides
// they note what is to be stored, published, called and announced when the transaction is through.
type Tx struct {
	t *Table

	undo  []undoStep
	ops   []Op
	keys  []byte // where keys of routes are built, piece by piece
	news  news
	hooks []func() // calls of the data plane, after the publication
	// foreseen are the neighbours that hooks will make or remove.
	foreseen map[neighborRef]foreseen

	// What to publish. After an undo these may say too much, never too little.
	viewChanged bool
	changed     map[*device]struct{}
	touched     map[*namespace]*[]netip.Prefix // prefixes whose best route may be another one
	operators   map[*namespace]*operatorRoutes // what OperatorRoutes is to be told
	touchedLast struct {                       // the entry of touched that was used last
		ns   *namespace
		list *[]netip.Prefix
	}
	retired    []*device // their ids are free after the commit
	retiredNS  []*namespace
	departures []departure // devices that left a namespace
}

// Do runs fn as a transaction: when it fails, or the state cannot be stored, nothing has changed; when Do returns nil,
// all of it is durable, and no worker uses what was there before. Concurrent calls share a commit of the store, one at
// a time, in some order; fn sees what those before it did. It must not call methods of Table, nor wait for anybody who
// does.
func (t *Table) Do(fn func(tx *Tx) error) error { return t.submit(&request{fn: fn}) }

func (t *Table) submit(r *request) error {
	r.done = make(chan struct{})
	select {
	case t.requests <- r:
	case <-t.done:
		return fail(Refused, "the router is shutting down")
	}
	<-r.done
	return r.err
}

// doVolatile is Do for what is not stored.
func (t *Table) doVolatile(fn func(tx *Tx) error) error {
	return t.submit(&request{fn: fn, volatile: true})
}

// Failure is a change of a Bulk that was refused.
type Failure struct {
	Index int
	Err   error
}

// Bulk is a Do of n small changes, each of which is done or refused on its own: fn(tx, i) makes the i-th. It stops at
// the first that is refused, unless force is set, and keeps those before. The error is for the whole: nothing was
// changed then.
func (t *Table) Bulk(n int, force bool, fn func(tx *Tx, i int) error) (failed []Failure, err error) {
	err = t.Do(func(tx *Tx) error {
		tx.undo, tx.ops = slices.Grow(tx.undo, n), slices.Grow(tx.ops, n)
		for i := range n {
			if err := tx.Try(func() error { return fn(tx, i) }); err != nil {
				failed = append(failed, Failure{i, err})
				if !force {
					break
				}
			}
		}
		return nil
	})
	return failed, err
}

// Try runs fn as a part of the transaction: when it fails, what it did is undone, and the transaction may go on.
func (tx *Tx) Try(fn func() error) error {
	undo, ops, hooks := len(tx.undo), len(tx.ops), len(tx.hooks)
	retired, retiredNS, departures := len(tx.retired), len(tx.retiredNS), len(tx.departures)
	outer := tx.news.begin()
	err := fn()
	if err != nil {
		tx.rollback(undo)
		tx.news.undo()
		tx.ops, tx.hooks = tx.ops[:ops], tx.hooks[:hooks]
		tx.retired, tx.retiredNS, tx.departures = tx.retired[:retired], tx.retiredNS[:retiredNS], tx.departures[:departures]
	}
	tx.news.end(outer)
	return err
}

// undoStep takes back one change of memory: by a function, or, for the commonest one, the routes of a prefix.
type undoStep struct {
	do     func()
	ns     *namespace
	prefix netip.Prefix
	routes []*fib.Route
}

func (tx *Tx) rollback(to int) {
	for i := len(tx.undo) - 1; i >= to; i-- {
		if u := &tx.undo[i]; u.do != nil {
			u.do()
		} else {
			u.ns.rib.Set(u.prefix, u.routes)
		}
	}
	clear(tx.undo[to:])
	tx.undo = tx.undo[:to]
}

// operatorRoutes are prefixes whose routes of the operator may have changed; all: or any others.
type operatorRoutes struct {
	prefixes []netip.Prefix
	all      bool
}

// maxOperated is how many prefixes are told one by one.
const maxOperated = 4096

func (o *operatorRoutes) add(p netip.Prefix) {
	if len(o.prefixes) == maxOperated {
		o.prefixes, o.all = nil, true
	}
	if !o.all {
		o.prefixes = append(o.prefixes, p)
	}
}

// operated notes that routes of the operator may have changed, if anybody is to be told.
func (tx *Tx) operated(ns *namespace) *operatorRoutes {
	if tx.t.options.OperatorRoutes == nil {
		return new(operatorRoutes)
	}
	o := tx.operators[ns]
	if o == nil {
		if tx.operators == nil {
			tx.operators = make(map[*namespace]*operatorRoutes)
		}
		o = new(operatorRoutes)
		tx.operators[ns] = o
	}
	return o
}

// onUndo pushes what takes back a change of memory just made.
func (tx *Tx) onUndo(f func()) { tx.undo = append(tx.undo, undoStep{do: f}) }

// put stores a record; remove removes it.
func (tx *Tx) put(b Bucket, key, value []byte) { tx.ops = append(tx.ops, Op{b, key, value}) }
func (tx *Tx) remove(b Bucket, key []byte)     { tx.ops = append(tx.ops, Op{b, key, nil}) }

// routeKey is the key of a route, which lives as long as the transaction.
func (tx *Tx) routeKey(ns NamespaceID, r *fib.Route) []byte {
	if cap(tx.keys)-len(tx.keys) < routeKeySize {
		tx.keys = make([]byte, 0, keyPiece)
	}
	at := len(tx.keys)
	tx.keys = appendRouteKey(tx.keys, ns, r)
	return tx.keys[at:len(tx.keys):len(tx.keys)]
}

// keyPiece is how many bytes of keys are made room for at once.
const keyPiece = 16 << 10

// touchedIn is the list of the prefixes of a namespace whose best route may have changed. A namespace that has one,
// empty or not, is brought up to date when the transaction is through.
func (tx *Tx) touchedIn(ns *namespace) *[]netip.Prefix {
	if tx.touchedLast.ns == ns {
		return tx.touchedLast.list
	}
	list := tx.touched[ns]
	if list == nil {
		list = new([]netip.Prefix)
		tx.touched[ns] = list
	}
	tx.touchedLast.ns, tx.touchedLast.list = ns, list
	return list
}

// touchDevice notes that routes of a device may have become usable, or unusable.
func (tx *Tx) touchDevice(d *device) {
	ns := d.ns
	tx.touchedIn(ns)
	ns.rib.Invalidate()
	tx.onUndo(ns.rib.Invalidate)
}

// A transaction of many changes leaves much garbage, which the runtime would keep for the next one; when none has come
// for a while, it goes back to the system.
const (
	manyChanges = 32 << 10
	quietTime   = 2 * time.Second
)

// run is the committer.
func (t *Table) run() {
	defer close(t.done)
	quiet := time.NewTimer(quietTime) // to restore was a transaction of many changes
	defer quiet.Stop()
	for {
		var group []*request
		select {
		case <-t.stop:
			return
		case <-quiet.C:
			go debug.FreeOSMemory()
			continue
		case r := <-t.requests:
			group = append(group, r)
		case <-t.probed.wake:
			group = append(group, t.probed.take())
		case <-t.learned.wake: // an empty group announces it
		}
	collect:
		for len(group) < maxGroup {
			select {
			case r := <-t.requests:
				group = append(group, r)
			default:
				break collect
			}
		}
		if t.commit(group) >= manyChanges {
			quiet.Reset(quietTime)
		}
		for _, r := range group {
			close(r.done)
		}
	}
}

func (t *Table) newTx() *Tx {
	return &Tx{
		t:       t,
		changed: make(map[*device]struct{}),
		touched: make(map[*namespace]*[]netip.Prefix),
	}
}

// commit runs a group of requests: memory first, then the store, then the publication. Readers are kept out for as
// long. It returns how many changes there were.
func (t *Table) commit(group []*request) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	tx := t.newTx()
	for _, r := range group {
		r.err = tx.Try(func() error { return r.fn(tx) })
	}
	if len(tx.ops) > 0 && t.options.Store != nil {
		if err := t.options.Store.Commit(tx.ops); err != nil {
			tx.rollback(0)
			touched := tx.touched
			tx = t.newTx()
			tx.touched = touched
			err = &Error{Kind: Storage, Msg: "the state cannot be stored, nothing was changed", Err: err}
			for _, r := range group {
				switch {
				case r.volatile:
					r.err = tx.Try(func() error { return r.fn(tx) })
				case r.err == nil:
					r.err = err
				}
			}
		}
	}
	tx.publish()
	return len(tx.undo)
}

// publish makes the transaction visible to workers, waits until they use nothing older, and tells the data plane and
// the subscribers.
func (tx *Tx) publish() {
	t := tx.t
	published := tx.viewChanged
	if tx.viewChanged {
		tx.publishView()
	}
	for ns, prefixes := range tx.touched {
		if int(ns.id) < len(t.namespaces) && t.namespaces[ns.id] == ns { // else it was never there: undone
			published = true
			ns.install(*prefixes)
		}
	}
	if published {
		t.options.Datapath.Quiesce()
	}
	for ns := range tx.touched {
		ns.rib.Release(ns.public.FIB)
	}
	for ns, o := range tx.operators {
		t.options.OperatorRoutes(ns.public, o.prefixes, o.all)
	}
	for _, f := range tx.hooks {
		f()
	}
	for _, l := range tx.departures {
		l.settle()
	}
	for _, d := range tx.retired {
		if t.reserved[d.id] == nil {
			t.devices[d.id] = nil
		}
	}
	for _, ns := range tx.retiredNS {
		t.namespaces[ns.id] = nil
		ns.public.FIB.Close()
	}
	tx.deliver()
}

// deliver tells the subscribers what workers said meanwhile, and what the transaction changed.
func (tx *Tx) deliver() {
	events, missed := tx.t.learnedEvents(tx.departures)
	tx.t.deliver(missed, append(events, tx.news.events...))
}

func (t *Table) deliver(missed map[string]uint64, events []Event) {
	if len(events) > 0 || len(missed) > 0 {
		for s := range t.subscribers {
			s.put(missed, events)
		}
	}
}

// publishView replaces the view: changed devices get a new public object, the others keep theirs.
func (tx *Tx) publishView() {
	t := tx.t
	v := &View{Devices: make([]*Device, len(t.devices)), Namespaces: make([]*Namespace, len(t.namespaces))}
	touched := make(map[*namespace]struct{})
	for _, l := range tx.departures {
		touched[l.from] = struct{}{}
	}
	for id, d := range t.devices {
		if d == nil || d.gone {
			continue
		}
		if _, ok := tx.changed[d]; ok || d.public == nil {
			d.public = t.publicDevice(d)
			touched[d.ns] = struct{}{}
		}
		v.Devices[id] = d.public
		if len(d.public.Probing) > 0 {
			v.Probing = append(v.Probing, d.public.ID)
		}
	}
	for id, ns := range t.namespaces {
		if ns != nil && !ns.gone {
			v.Namespaces[id] = ns.public
			ns.public.PublishSettings(ns.settings)
		}
	}
	for ns := range touched {
		ns.public.PublishOwn(ns.ownAddrs())
	}
	if t.options.Publishing != nil {
		old := t.view.Load()
		if old == nil {
			old = new(View)
		}
		t.options.Publishing(old, v)
	}
	t.view.Store(v)
}
