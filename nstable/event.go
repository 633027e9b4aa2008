package nstable

import (
	"context"
	"sync"
)

// EventKind says what an event is about.
type EventKind uint8

// Kinds of events.
const (
	NamespaceEvent EventKind = iota
	LinkEvent
	AddressEvent
	RouteEvent
	NeighborEvent
	NextHopEvent
	// MissedEvent tells a subscriber that it was too slow: Missed events were not delivered at this point.
	MissedEvent
)

// Event is one change, as it was when it happened. Exactly one of the pointers is set, as Kind says; what they lead to
// is not changed any more.
type Event struct {
	// Seq numbers all events of the table without a gap from 1; the order is that in which the changes happened.
	Seq       uint64
	Namespace string // the one that sees it
	Kind      EventKind
	Deleted   bool

	Link     *LinkInfo
	Address  *AddressInfo
	Route    *RouteInfo
	NextHop  *NextHopInfo
	Neighbor *NeighborInfo // permanent ones, and what the data plane announces with [Table.AnnounceNeighbor]
	Missed   uint64
}

// subscriptionBuffer is how many events wait for a subscriber before it misses some.
const subscriptionBuffer = 4096

// Subscription receives events. Its methods may be called from any goroutine.
type Subscription struct {
	table     *Table
	namespace string // "" is all
	wake      chan struct{}

	mu     sync.Mutex
	queue  []Event
	missed uint64
	closed bool
}

// Subscribe starts to deliver the events of a namespace, or of all with "". Nothing that is committed afterwards is
// left out, but for what a MissedEvent tells. A namespace that is deleted ends with its own NamespaceEvent; one made
// later under the same name goes on.
func (t *Table) Subscribe(namespace string) *Subscription {
	s := &Subscription{table: t, namespace: namespace, wake: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribers[s] = struct{}{}
	t.learned.listeners.Store(int32(len(t.subscribers)))
	return s
}

// Close ends the subscription; Next returns what is queued and then fails.
func (s *Subscription) Close() {
	s.table.mu.Lock()
	delete(s.table.subscribers, s)
	s.table.learned.listeners.Store(int32(len(s.table.subscribers)))
	s.table.mu.Unlock()
	s.end()
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits for the next event. It fails when ctx is done, or when the subscription or the table is closed.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		e, ok, closed := s.take()
		if ok {
			return e, nil
		}
		if closed {
			s.signal() // for whoever else waits
			return Event{}, fail(Refused, "the subscription is closed")
		}
		select {
		case <-ctx.Done():
			return Event{}, ctx.Err()
		case <-s.wake:
		}
	}
}

func (s *Subscription) take() (e Event, ok, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) > 0 {
		e = s.queue[0]
		s.queue = s.queue[1:]
		return e, true, false
	}
	if s.missed > 0 {
		e = Event{Kind: MissedEvent, Missed: s.missed, Namespace: s.namespace}
		s.missed = 0
		return e, true, false
	}
	return Event{}, false, s.closed
}

// put queues events without ever waiting; as many as missed tells, by namespace, are lost before them. Once some are
// missed, all further ones are until the subscriber has been told.
func (s *Subscription) put(missed map[string]uint64, events []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for namespace, n := range missed {
		if s.namespace == "" || s.namespace == namespace {
			s.missed += n
		}
	}
	for i := range events {
		e := &events[i]
		if s.namespace != "" && s.namespace != e.Namespace {
			continue
		}
		if s.missed > 0 || len(s.queue) >= subscriptionBuffer {
			s.missed++
			continue
		}
		s.queue = append(s.queue, *e)
	}
	if len(s.queue) > 0 || s.missed > 0 {
		s.signal()
	}
}
