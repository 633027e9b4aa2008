// Package feed brings the routes of Linux into the router: those that routing daemons, DHCP clients and `ip route` make in
// the Linux network namespace of a router namespace become routes of that, with their protocol and metric. And it writes
// the operator's routes into Linux (exporter), for programs to send by. Daemons may also tell their routes by FPM (fpm).
//
//	Linux namespace                       space (one for each, with a goroutine)
//	  RTM_NEWROUTE, RTM_DELNEXTHOP, ... --> receiver --> batch of changes --> applier --> nstable.Learner, a transaction
//	  RTM_GETROUTE <------------------- resync: dump, mark and sweep ------->
//
// A message of the kernel says what has changed, in words whose meaning depends on what was there (replaced, appended, one
// of several gateways deleted). The routes that the router has of Linux are the memory of that: there is no second copy.
// Where messages were lost (ENOBUFS), where they do not fit what is known, and where the kernel changes routes without
// telling (a link that goes down), all is read anew and compared, which takes a fifth of the time at most. A dump that
// was interrupted is begun again.
//
// Not taken: routes of other tables than main, of the kernel itself (connected ones: they follow from addresses, which the
// router has), of the router (protocol 110), for a type of service, and multicast. What the router cannot send as Linux
// would, by an interface that is none of the router's or through a tunnel, is unreachable in the router.
//
// Netlink is spoken here directly, as the kernel's message of a single route would cost a library two system calls and
// some allocations each.
package feed

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"

	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// Options of a Server.
type Options struct {
	Table *nstable.Table
	Log   *zap.Logger
	// Lost is told that messages of the kernel were lost in a namespace; nil: nobody. For tests.
	Lost func(ns *nstable.Namespace)
}

func (o *Options) lost(ns *nstable.Namespace) {
	if o.Lost != nil {
		o.Lost(ns)
	}
}

// Server has the spaces. Its methods may be called from any goroutine.
type Server struct {
	o Options

	mu     sync.Mutex
	spaces map[*nstable.Namespace]*space
}

// New makes a server without spaces.
func New(o Options) *Server { return &Server{o: o, spaces: make(map[*nstable.Namespace]*space)} }

// Publishing takes up a view that is about to be published ([nstable.Options.Publishing]): routes by a device that comes,
// or is renamed, are read again. It does not wait.
func (s *Server) Publishing(old, next *nstable.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spaces) == 0 {
		return
	}
	for id, after := range next.Devices {
		before := old.Device(nstable.DeviceID(id))
		if after == nil || after == before {
			continue
		}
		if before == nil || before.Neighbors != after.Neighbors || before.Name != after.Name {
			if sp := s.spaces[after.Namespace]; sp != nil {
				sp.stale.Store(true)
				sp.poke()
			}
		}
	}
}

// OperatorRoutes hears of changes of the operator's routes ([nstable.Options.OperatorRoutes]): Linux is to have them. It does
// not wait.
func (s *Server) OperatorRoutes(ns *nstable.Namespace, prefixes []netip.Prefix, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sp := s.spaces[ns]; sp != nil {
		sp.export.add(prefixes, all)
		sp.poke()
	}
}

// settleTime bounds the wait for Linux.
const settleTime = 200 * time.Millisecond

// Settle returns when Linux has the few routes that were said just before the call, or soon after.
func (s *Server) Settle(ctx context.Context) {
	var waits []<-chan struct{}
	s.mu.Lock()
	for _, sp := range s.spaces {
		if w := sp.export.settled(); w != nil {
			waits = append(waits, w)
		}
	}
	s.mu.Unlock()
	if len(waits) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, w := range waits {
		select {
		case <-w:
		case <-ctx.Done():
			return
		}
	}
}

// Attach begins to learn from the Linux namespace of a namespace.
func (s *Server) Attach(ns *nstable.Namespace, handle *netns.Handle) error {
	sp, err := newSpace(s, ns, handle)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.spaces[ns] = sp
	s.mu.Unlock()
	go sp.run()
	return nil
}

// Detach ends that, and takes away what was learned.
func (s *Server) Detach(ns *nstable.Namespace) {
	s.mu.Lock()
	sp := s.spaces[ns]
	delete(s.spaces, ns)
	s.mu.Unlock()
	if sp != nil {
		sp.close(false)
	}
}

// Close ends all spaces.
func (s *Server) Close() {
	s.mu.Lock()
	spaces := s.spaces
	s.spaces = make(map[*nstable.Namespace]*space)
	s.mu.Unlock()
	for _, sp := range spaces {
		sp.close(true)
	}
}
