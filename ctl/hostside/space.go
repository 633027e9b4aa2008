package hostside

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/neigh"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// mark is the alias of the TAPs, so that the router knows its own again.
const mark = "made by router"

// retryInterval is when what could not be done is tried again, though nothing has changed.
const retryInterval = 5 * time.Second

// space is the Linux namespace of a router namespace.
type space struct {
	server *Server
	ns     *nstable.Namespace
	handle *netns.Handle
	nl     *netlink.Handle // usable from any thread
	raw    *requests
	events *os.File // the kernel's messages; what listen reads

	wake chan struct{} // one token: there is something to do
	stop chan struct{}
	done chan struct{} // run has ended
	deaf chan struct{} // listen has ended

	// pending is closed when the space is up to date, nil while it is; version counts what it has to follow. Under the
	// server's lock.
	pending chan struct{}
	version uint64

	heard heard

	// The rest is run's.

	links   map[*neigh.Table]*link // a device that is in the namespace has a table of its own for as long as it is
	byIndex map[int]*link          // those that have a TAP, by the ifindex of Linux
	asks    budget
	// messages is of the log, and unsaid how many were too many.
	messages budget
	unsaid   int
	// adopted says that what earlier daemons have left was looked at.
	adopted bool
}

func newSpace(s *Server, ns *nstable.Namespace, handle *netns.Handle) (*space, error) {
	sp := &space{
		server: s, ns: ns, handle: handle, links: make(map[*neigh.Table]*link), byIndex: make(map[int]*link),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}), deaf: make(chan struct{}),
		asks:     budget{perSecond: asksPerSecond, atOnce: asksAtOnce},
		messages: budget{perSecond: messagesPerSecond, atOnce: messagesAtOnce},
	}
	err := handle.Do(func() (err error) {
		if sp.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		if sp.raw, err = newRequests(); err != nil {
			return err
		}
		if sp.events, err = subscribe(); err != nil {
			return err
		}
		return prepareNamespace()
	})
	if err != nil {
		sp.closeSockets()
		return nil, err
	}
	return sp, nil
}

func (sp *space) closeSockets() {
	if sp.nl != nil {
		sp.nl.Close()
	}
	if sp.raw != nil {
		sp.raw.close()
	}
	if sp.events != nil {
		_ = sp.events.Close()
	}
}

// touch says that there is something to follow; under the server's lock.
func (sp *space) touch() {
	sp.version++
	if sp.pending == nil {
		sp.pending = make(chan struct{})
		sp.server.behind.Add(1)
	}
	sp.poke()
}

// settled says that there is nothing to follow; under the server's lock.
func (sp *space) settled() {
	if sp.pending != nil {
		close(sp.pending)
		sp.pending = nil
		sp.server.behind.Add(-1)
	}
}

// poke has run look at what there is to do. It never waits.
func (sp *space) poke() {
	select {
	case sp.wake <- struct{}{}:
	default:
	}
}

// run follows the views and the kernel until close.
func (sp *space) run() {
	defer close(sp.done)
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	for {
		select {
		case <-sp.stop:
			return
		case <-sp.wake:
		case <-retry.C:
			for _, l := range sp.links {
				l.again = len(l.refused) > 0
			}
		}
		sp.takeHeard() // before the view: what it changes is in there
		sp.server.mu.Lock()
		view, version := sp.server.view, sp.version
		sp.server.mu.Unlock()
		failed := sp.follow(view)
		failed = sp.readdress() || failed
		failed = sp.restate() || failed
		sp.server.mu.Lock()
		if sp.version == version {
			sp.settled()
		}
		sp.server.mu.Unlock()
		if failed {
			retry.Reset(retryInterval)
		}
		sp.answer()
	}
}

// follow makes Linux show what the view has, and tells whether something could not be done.
func (sp *space) follow(view *nstable.View) (failed bool) {
	var devices []*nstable.Device // by id: what is on another comes later
	present := make(map[*neigh.Table]bool)
	for _, d := range view.Devices {
		if d != nil && d.Namespace == sp.ns {
			devices = append(devices, d)
			present[d.Neighbors] = true
		}
	}
	for table, l := range sp.links {
		if !present[table] {
			l.report("delete", l.end(true))
			delete(sp.links, table)
		}
	}
	if !sp.adopted {
		sp.sweep(devices)
	}
	for _, d := range devices {
		l := sp.links[d.Neighbors]
		if l == nil {
			l = newLink(sp, d)
			sp.links[d.Neighbors] = l
		}
		err := l.show(d)
		l.report("show", err)
		failed = failed || err != nil
	}
	return failed
}

// sweep deletes the TAPs that an earlier daemon has left and that no device has the name of.
func (sp *space) sweep(devices []*nstable.Device) {
	all, err := sp.nl.LinkList()
	if err != nil {
		return // an interrupted dump: the next view is another chance
	}
	sp.adopted = true
	for _, l := range all {
		a := l.Attrs()
		if l.Type() != "tuntap" || a.Alias != mark ||
			slices.ContainsFunc(devices, func(d *nstable.Device) bool { return d.Name == a.Name }) {
			continue
		}
		if err := sp.nl.LinkDel(l); err != nil {
			sp.log().Warn("delete a TAP that an earlier daemon has left", zap.String("dev", a.Name), zap.Error(err))
		}
	}
}

// holder finds the link whose TAP has a name in Linux.
func (sp *space) holder(name string) *link {
	for _, l := range sp.links {
		if l.name == name {
			return l
		}
	}
	return nil
}

// close ends the space; see [Server.Detach].
func (sp *space) close(remove bool) error {
	close(sp.stop)
	<-sp.done
	_ = sp.events.Close()
	<-sp.deaf
	var errs []error
	for l := range maps.Values(sp.links) {
		if err := l.end(remove); err != nil {
			errs = append(errs, fmt.Errorf("TAP of %s: %w", l.dev.Name, err))
		}
	}
	clear(sp.links)
	sp.closeSockets()
	return errors.Join(errs...)
}

func (sp *space) log() *zap.Logger { return sp.server.o.Log.With(zap.String("netns", sp.ns.Name())) }
