package feed

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

const (
	// retryInterval is when a resync that failed, or that routes were refused in, is tried again.
	retryInterval = 5 * time.Second
	// resyncShare bounds the part of the time that resyncs take: one begins at the earliest this many times as long after
	// the last as that took.
	resyncShare = 4
	// patience is how long changes are collected, from the first on, while there are more.
	patience = 20 * time.Millisecond
)

// space is the Linux namespace of a router namespace.
type space struct {
	server *Server
	ns     *nstable.Namespace
	handle *netns.Handle // the caller's
	events *os.File
	asker  *asker
	done   chan struct{} // run has ended
	// closed says that run is to end, and stale that Linux is to be read whole.
	closed, stale atomic.Bool
	// names are links for other goroutines.
	names atomic.Pointer[map[int]link]

	// The rest is run's.

	links     map[int]link // by ifindex
	batch     batch
	due       time.Time // of the next resync; zero: none
	last      time.Time // end of the last resync
	took      time.Duration
	refused   int  // routes, since the last resync
	complains bool // that was logged
	fault     string
	export    exporter
	fpm       fpm
}

func newSpace(s *Server, ns *nstable.Namespace, handle *netns.Handle) (*space, error) {
	sp := &space{server: s, ns: ns, handle: handle, done: make(chan struct{}), links: make(map[int]link)}
	sp.publishLinks()
	sp.fpm.space = sp
	sp.export.space, sp.export.written = sp, make(map[netip.Prefix][]string)
	sp.batch.ownDeleted = sp.export.hear
	err := handle.Do(func() (err error) {
		if sp.events, err = listen(); err != nil {
			return err
		}
		sp.asker, err = newAsker()
		return err
	})
	if err != nil && sp.events != nil {
		_ = sp.events.Close()
	}
	return sp, err
}

// poke has run look at what it is asked for. It never waits.
func (sp *space) poke() { _ = sp.events.SetReadDeadline(time.Unix(1, 0)) }

// want asks for a resync, at a time or as soon as the last one allows it.
func (sp *space) want(at time.Time) {
	if earliest := sp.last.Add(resyncShare * sp.took); at.Before(earliest) {
		at = earliest
	}
	if sp.due.IsZero() || at.Before(sp.due) {
		sp.due = at
	}
}

// run follows Linux until close.
func (sp *space) run() {
	defer close(sp.done)
	conn, err := sp.events.SyscallConn()
	if err != nil {
		sp.log().Error("the routes of Linux are not followed", zap.Error(err))
		return
	}
	sp.want(time.Now())
	for !sp.closed.Load() {
		_ = sp.events.SetReadDeadline(earlier(sp.due, sp.export.retry))
		if sp.closed.Load() { // asked before the deadline was set
			return
		}
		if sp.stale.Swap(false) {
			sp.want(time.Now())
		}
		if !sp.due.IsZero() && !time.Now().Before(sp.due) {
			sp.read()
			continue
		}
		sp.fpm.follow()
		if sp.export.export() {
			continue // it may want to be called at another time now
		}
		err := conn.Read(func(fd uintptr) bool { return sp.hear(int(fd)) })
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return // closed
		}
	}
}

// earlier of two times; zero is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// read makes a resync.
func (sp *space) read() {
	began := time.Now()
	sp.due, sp.refused = time.Time{}, 0
	sp.forget()
	err := sp.resync()
	sp.last = time.Now()
	sp.took = sp.last.Sub(began)
	switch {
	case err == nil:
		sp.fault = ""
		sp.export.deleting = 0
		sp.export.add(nil, true)
		sp.complains = sp.complains && sp.refused > 0
		return
	case nstable.KindOf(err) == nstable.NotFound || sp.closed.Load():
		return // deleted: Detach comes
	case errors.Is(err, errInterrupted):
		sp.want(sp.last)
	default:
		sp.want(sp.last.Add(retryInterval))
	}
	if text := err.Error(); text != sp.fault {
		sp.fault = text
		sp.log().Warn("the routes of Linux are not known; tried again", zap.Error(err))
	}
}

// forget drops what waits to be heard, as what comes next is read anyway.
func (sp *space) forget() {
	conn, err := sp.events.SyscallConn()
	if err != nil {
		return
	}
	r := receivers.Get().(*receiver)
	defer receivers.Put(r)
	_ = conn.Control(func(fd uintptr) {
		for began := time.Now(); time.Since(began) < patience; {
			if n, _, err := r.receive(int(fd), func([]byte) {}); n == 0 && !errors.Is(err, unix.ENOBUFS) {
				return
			}
		}
	})
}

// hear takes up what the kernel tells, and is false when there is nothing to be heard.
func (sp *space) hear(fd int) bool {
	heard := sp.collect(fd)
	sp.flush()
	return heard
}

// collect gathers what the kernel tells, and tells whether that was anything. It does not wait for the table while it has a
// receiver, of which there would be one for each namespace else.
func (sp *space) collect(fd int) (heard bool) {
	r := receivers.Get().(*receiver)
	defer receivers.Put(r)
	began := time.Now()
	for !sp.batch.full() && (!heard || time.Since(began) < patience) {
		n, lost, err := r.receive(fd, sp.messages)
		if errors.Is(err, unix.ENOBUFS) || lost {
			sp.server.o.lost(sp.ns)
			sp.want(time.Now())
			heard = true
			continue
		}
		if n == 0 {
			break
		}
		heard = true
	}
	return heard
}

func (sp *space) messages(b []byte) {
	for m := range messages(b) {
		switch m.kind {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			sp.flush() // by the links as they were
			sp.hearLink(m)
		case unix.RTM_DELADDR: // with it go routes (fib_del_ifaddr of the kernel), without a message before 6.8
			sp.want(time.Now())
		default:
			sp.batch.message(m)
		}
	}
}

// hearLink follows a link. Routes and next-hop objects that go with a link that goes down are not told of all
// (fib_disable_ip of the kernel's net/ipv4/fib_frontend.c, nexthop_flush_dev): they are read.
func (sp *space) hearLink(m message) {
	index, l, ok := parseLink(m)
	if !ok {
		return
	}
	was, known := sp.links[index]
	if m.kind == unix.RTM_DELLINK {
		delete(sp.links, index)
		l = link{}
	} else {
		sp.links[index] = l
	}
	sp.publishLinks()
	if l.flags&^was.flags != 0 { // it takes routes again
		sp.export.add(nil, true)
	}
	if known && (was.name != l.name || was.flags&^l.flags != 0) {
		sp.want(time.Now())
	}
}

// publishLinks shows the links to other goroutines.
func (sp *space) publishLinks() { sp.names.Store(new(maps.Clone(sp.links))) }

// indexOf is Linux's ifindex of a name; 0: none.
func (sp *space) indexOf(name string) int {
	for index, l := range sp.links {
		if l.name == name {
			return index
		}
	}
	return 0
}

// flush makes the changes that were heard.
func (sp *space) flush() {
	if len(sp.batch.list) == 0 {
		return
	}
	err := sp.learn(func(a *applier) {
		for i := range sp.batch.list {
			a.apply(&sp.batch.list[i])
		}
	})
	if err != nil && nstable.KindOf(err) != nstable.NotFound && !sp.closed.Load() {
		sp.log().Warn("routes of Linux are not taken up; tried again", zap.Error(err))
		sp.want(time.Now().Add(retryInterval))
	}
	sp.batch.reset()
	if sp.due.IsZero() && cap(sp.batch.list) > keepBatch {
		sp.batch = batch{ownDeleted: sp.batch.ownDeleted}
	}
}

// keepBatch is how many changes' room an idle namespace keeps.
const keepBatch = 64

// refuse notes that the router does not take routes, for want of room; it tries again.
func (sp *space) refuse(n int, why error) {
	sp.refused += n
	sp.want(time.Now().Add(retryInterval))
	if !sp.complains {
		sp.complains = true
		sp.log().Warn("routes of Linux are not taken up; tried again", zap.Int("routes", n), zap.Error(why))
	}
}

// close ends the space. Its routes go unless keep is set.
func (sp *space) close(keep bool) {
	sp.closed.Store(true)
	sp.poke()
	<-sp.done
	sp.fpm.close()
	_ = sp.events.Close()
	sp.asker.close()
	if keep {
		return
	}
	// What is deleted with its namespace is gone already.
	sp.fpm.forget(false)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		_ = sweep(family, nil, sp.learn)
	}
	_ = sp.server.o.Table.Learn(sp.ns, fib.FromKernel, func(l *nstable.Learner) error {
		l.DeleteObjects(func(uint32) bool { return true })
		return nil
	})
}

func (sp *space) log() *zap.Logger { return sp.server.o.Log.With(zap.String("netns", sp.ns.Name())) }
