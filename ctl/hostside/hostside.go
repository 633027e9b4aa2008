// Package hostside shows the router's devices to Linux: in the Linux network namespace of a router namespace, each
// device is a TAP of the same name, with the same MAC and IP addresses, MTU and state, so that programs there can use
// the router's addresses.
//
//	nstable: a view is about to be published --> Publishing --+      space (one for each Linux namespace)
//	                                                          +-->     link (one for each device in it): TAP, addresses
//	Linux: RTM_NEWLINK, RTM_DELLINK, RTM_GETNEIGH ------------+        neighbours that Linux has asked for
//	                                                          |            |                |
//	dataplane: a neighbour has changed --> NeighborChanged ---+        netlink, SetHost  Resolve (dataplane)
//
// A space has a goroutine, which brings its Linux namespace up to date with the newest view and then says so
// ([Server.Settle]); what it could not do, it logs and tries again later. The kernel's messages only tell that something
// has happened; what, is read from the kernel.
//
// Only the router speaks ARP and ND. Linux asks by RTM_GETNEIGH (app_solicit), which it sends instead of a solicitation;
// the answer comes from the device's [neigh.Table], at once or when the data plane has it.
//
// Admin state, MTU, addresses and permanent neighbours follow both ways: a change of a TAP becomes one of the device. A
// change of its name or MAC address is taken back. A TAP that was deleted is made again. Routes from Linux are not this
// package's.
package hostside

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"nsrouter/dataplane/neigh"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// TAP is the Linux end of a device.
type TAP interface {
	Index() int // Linux's ifindex
	// Close ends the use of the TAP, which stays, without carrier, for the next daemon.
	Close() error
	// Remove deletes the TAP.
	Remove() error
}

// Options of a Server.
type Options struct {
	// Open makes a TAP in the namespace of the calling thread, or takes one that is there and not in use. ifindex is that
	// of a new one, 0: any.
	Open func(name string, ifindex int) (TAP, error)
	// SetHost connects a device with its TAP; with nil it returns when the earlier one is used no more. Never nil.
	SetHost func(dev *nstable.Device, t TAP)
	// Resolve has the data plane ask for a neighbour of a device; it does not wait.
	Resolve func(dev *nstable.Device, addr netip.Addr)
	// Follow makes a change of a TAP one of its device. The three refuse what has left its namespace, whatever is called so now.
	Follow func(dev *nstable.Device, c nstable.LinkChange) error
	// FollowAddress makes an address that was added in Linux, or deleted, one of the device, or none.
	FollowAddress func(dev *nstable.Device, p netip.Prefix, added bool) error
	// FollowNeighbor makes a permanent neighbour that was added in Linux one of the device; nil: that was deleted.
	FollowNeighbor func(dev *nstable.Device, addr netip.Addr, mac *[6]byte) error
	Log            *zap.Logger
}

// Server has the spaces. Its methods may be called from any goroutine.
type Server struct {
	o Options
	// links are those of devices that have one, by DeviceID. Workers read them.
	links atomic.Pointer[[]*link]
	// behind counts the spaces that are not up to date.
	behind atomic.Int32

	mu     sync.Mutex
	view   *nstable.View // published last, or about to be
	spaces map[*nstable.Namespace]*space
}

// New makes a server without spaces.
func New(o Options) *Server {
	return &Server{o: o, view: new(nstable.View), spaces: make(map[*nstable.Namespace]*space)}
}

// Publishing takes up a view that is about to be published ([nstable.Options.Publishing]). It does not wait.
func (s *Server) Publishing(old, next *nstable.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.view = next
	for id := range max(len(old.Devices), len(next.Devices)) {
		before, after := old.Device(nstable.DeviceID(id)), next.Device(nstable.DeviceID(id))
		if before == after {
			continue
		}
		for _, d := range []*nstable.Device{before, after} {
			if d != nil && s.spaces[d.Namespace] != nil {
				s.spaces[d.Namespace].touch()
			}
		}
	}
}

// Attach begins to show the devices of a namespace in its Linux namespace. The handle stays the caller's, open until
// [Server.Detach] has returned.
func (s *Server) Attach(ns *nstable.Namespace, handle *netns.Handle) error {
	sp, err := newSpace(s, ns, handle)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.spaces[ns] = sp
	sp.touch()
	s.mu.Unlock()
	go sp.run()
	go sp.listen()
	return nil
}

// Detach ends that. The TAPs are deleted if remove is set; else they stay, without carrier.
func (s *Server) Detach(ns *nstable.Namespace, remove bool) error {
	s.mu.Lock()
	sp := s.spaces[ns]
	delete(s.spaces, ns)
	s.mu.Unlock()
	if sp == nil {
		return nil
	}
	err := sp.close(remove)
	s.mu.Lock()
	sp.settled()
	s.mu.Unlock()
	return err
}

// Settle returns when Linux shows what was published before the call, as far as that can be done, or with ctx.
func (s *Server) Settle(ctx context.Context) {
	if s.behind.Load() == 0 {
		return
	}
	s.mu.Lock()
	var waits []<-chan struct{}
	for _, sp := range s.spaces {
		if sp.pending != nil {
			waits = append(waits, sp.pending)
		}
	}
	s.mu.Unlock()
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return
		}
	}
}

// NeighborChanged hears of a neighbour that has changed ([dataplane.Options.NeighborChanged]). Workers call it.
func (s *Server) NeighborChanged(id nstable.DeviceID, e *neigh.Entry) {
	links := s.links.Load()
	if links == nil || int(id) >= len(*links) {
		return
	}
	if l := (*links)[id]; l != nil {
		l.asked.changed(e.Addr)
	}
}

// setLink notes the link of a device, or that it has none any more.
func (s *Server) setLink(id nstable.DeviceID, l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var links []*link
	if old := s.links.Load(); old != nil {
		links = slices.Clone(*old)
	}
	for int(id) >= len(links) {
		links = append(links, nil)
	}
	links[id] = l
	s.links.Store(&links)
}

// unsetLink takes l from its device, unless the device has another by now.
func (s *Server) unsetLink(id nstable.DeviceID, l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.links.Load()
	if old == nil || int(id) >= len(*old) || (*old)[id] != l {
		return
	}
	links := slices.Clone(*old)
	links[id] = nil
	s.links.Store(&links)
}

// Close ends all spaces and leaves their TAPs.
func (s *Server) Close() error {
	s.mu.Lock()
	var all []*nstable.Namespace
	for ns := range s.spaces {
		all = append(all, ns)
	}
	s.mu.Unlock()
	var errs []error
	for _, ns := range all {
		if err := s.Detach(ns, false); err != nil {
			errs = append(errs, fmt.Errorf("Linux network namespace of %s: %w", ns.Name(), err))
		}
	}
	return errors.Join(errs...)
}
