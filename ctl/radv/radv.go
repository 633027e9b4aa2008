// Package radv sends router advertisements by the devices that are set to (RFC 4861 6.2, RFC 8106): `link set DEV ra
// on`.
//
//	nstable: a view is about to be published ---> Publishing --+
//	                                                           |   advertisers   --> Send (dataplane)
//	dataplane: a router solicitation --> Solicited --> queue --+   by device, with
//	                                                      Run, a clock
//
// A device advertises while it is set to, is up with its link, and has a link-local address. It says what it has:
// prefixes of its addresses, its MTU, its MAC address, and what its settings say. A change of any of that is announced
// as the device itself was: soon, and thrice; a prefix that is no more is, so often, one that hosts are not to prefer.
// When a device is to advertise no more - switched off, down, moved to another namespace, deleted, or the daemon ends -
// its hosts are told with a router lifetime of zero, before the workers see the change. A device that has lost its link
// cannot do that.
package radv

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nsrouter/dataplane"
	"nsrouter/nstable"
)

// queueSize is how many solicitations wait for Run; more are dropped, since each makes its device advertise to all.
const queueSize = 256

// Options of a Server.
type Options struct {
	// Send sends an ICMPv6 message from source to a multicast group by a device, as [dataplane.Dataplane.SendToGroup]
	// does.
	Send func(dev *nstable.Device, source, group netip.Addr, message []byte) bool
	// Log hears of what cannot be advertised.
	Log func(msg string, err error)
}

// Server advertises. Its methods may be called from any goroutine; none calls back into a table.
type Server struct {
	o             Options
	wake          chan struct{}
	solicitations chan dataplane.RouterSolicitation

	mu          sync.Mutex
	advertisers map[nstable.DeviceID]*advertiser
	closed      bool
}

// New makes a server that has no devices yet.
func New(o Options) *Server {
	return &Server{
		o: o, wake: make(chan struct{}, 1), solicitations: make(chan dataplane.RouterSolicitation, queueSize),
		advertisers: make(map[nstable.DeviceID]*advertiser),
	}
}

// Solicited queues a solicitation. It never waits.
func (s *Server) Solicited(r dataplane.RouterSolicitation) {
	select {
	case s.solicitations <- r:
	default:
	}
}

// Publishing takes up what the table is about to publish, while the workers still have the view before it.
func (s *Server) Publishing(old, next *nstable.View) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	changed := false
	for id := range max(len(old.Devices), len(next.Devices)) {
		id := nstable.DeviceID(id)
		if before, after := old.Device(id), next.Device(id); before != after {
			changed = s.follow(id, before, after) || changed
		}
	}
	if changed {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// follow makes the advertiser of a device fit what becomes of the device.
func (s *Server) follow(id nstable.DeviceID, before, after *nstable.Device) (changed bool) {
	a := s.advertisers[id]
	from, on := advertises(after)
	if a != nil && (!on || from != a.source || before == nil || before.Namespace != after.Namespace) {
		s.retire(a)
		delete(s.advertisers, id)
		a, changed = nil, true
	}
	switch {
	case !on:
		return changed
	case a == nil:
		a = &advertiser{dev: after, source: from, random: rand.N[time.Duration]}
		s.advertisers[id] = a
	case same(a.dev, after):
		a.dev = after
		return changed
	}
	a.follow(after)
	a.announce(time.Now())
	return true
}

// advertises tells whether a device is to advertise, and from what address.
func advertises(d *nstable.Device) (from netip.Addr, on bool) {
	if d == nil || !d.Settings.RA.Send || !d.Usable() || d.Kind == nstable.Loopback || d.Kind == nstable.Dummy {
		return netip.Addr{}, false
	}
	return source(d)
}

// same tells whether there is nothing new to say of a device.
func same(a, b *nstable.Device) bool {
	return a.Settings.RA == b.Settings.RA && a.MTU == b.MTU && a.MAC == b.MAC && slices.Equal(prefixes(a), prefixes(b))
}

// Run advertises until ctx is done.
func (s *Server) Run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.advertise(time.Now()))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		case r := <-s.solicitations:
			s.solicited(r, time.Now())
		}
	}
}

func (s *Server) solicited(r dataplane.RouterSolicitation, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.advertisers[r.Device]; a != nil && a.dev.Namespace == r.Namespace {
		a.solicited(now)
	}
}

// advertise sends what is due, and returns when there is more to do.
func (s *Server) advertise(now time.Time) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wait = time.Hour
	for _, a := range s.advertisers {
		if !a.next.After(now) {
			if s.send(a, false) {
				a.sent(now)
			} else {
				a.next = now.Add(retryDelay)
			}
		}
		wait = min(wait, a.next.Sub(now))
	}
	return wait
}

// retire tells the hosts of a device's link that it is no router any more, if they were told that it is one.
func (s *Server) retire(a *advertiser) {
	if !a.last.IsZero() {
		s.send(a, true) // all that can be done: there may be no second chance
	}
}

func (s *Server) send(a *advertiser, final bool) bool {
	list, err := messages(a.dev, a.withdrawn, final)
	if err != nil {
		s.o.Log("router advertisement of "+a.dev.Name, err)
		return true // it would fail again: wait for the next time
	}
	for _, m := range list {
		if !s.o.Send(a.dev, a.source, netip.IPv6LinkLocalAllNodes(), m) {
			return false
		}
	}
	return true
}

// Close has all devices say that they are no routers any more, and ends the server.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		for _, a := range s.advertisers {
			s.retire(a)
		}
	}
	s.closed = true
	clear(s.advertisers)
}
