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
	// SnapshotEvent tells a subscriber that it has the whole state now.
	SnapshotEvent
)

// Event is one change, as it was when it happened. Exactly one of the pointers is set, as Kind says; what they lead to
// is not changed any more.
type Event struct {
	// Seq numbers the events of a subscription from 1, those included that it has missed: a gap is as large as the Missed of
	// the event behind it. It counts for one subscription alone, so that it does not tell what happens in other namespaces.
	Seq       uint64
	Namespace string // the one that sees it
	Kind      EventKind
	Deleted   bool
	// Snapshot says that this is no change, but what is there.
	Snapshot bool

	Netns    *NamespaceInfo
	Was      string // with Netns: the name that the namespace had until now. What is in it is not told again.
	Link     *LinkInfo
	Address  *AddressInfo
	Route    *RouteInfo
	NextHop  *NextHopInfo
	Neighbor *NeighborInfo // permanent ones, and what the data plane announces with [Table.AnnounceNeighbor]
	Missed   uint64

	of    *Namespace // names are given again, this is not
	local bool       // about a route of the local table
	lost  uint64     // not zero: it stands for as many events that nobody has room for
}

// subscriptionBuffer is how many events wait for a subscriber before it misses some.
const subscriptionBuffer = 4096

// Interest is what a subscriber wants to hear of.
type Interest struct {
	Namespace string      // "" is all
	Kinds     []EventKind // none is all
	// LocalTable adds the routes that deliver to the router itself.
	LocalTable bool
	// Snapshot asks for the whole state first.
	Snapshot bool
}

// kinds is a set of kinds of events.
type kinds uint16

func (i *Interest) kinds() (set kinds) {
	for _, k := range i.Kinds {
		set |= 1 << k
	}
	if set == 0 {
		return ^kinds(0)
	}
	return set
}

// Subscription receives events. Close may be called from any goroutine, Next from one at a time.
type Subscription struct {
	table    *Table
	interest Interest
	kinds    kinds
	wake     chan struct{}

	// The reader's.
	walk  *walk   // of the state, until it is told
	ready []Event // to be told next
	seq   uint64  // of the last event that was told

	mu     sync.Mutex
	queue  []Event
	missed uint64
	closed bool
}

// Subscribe starts to deliver events, after the state if that is asked for. Nothing that is committed afterwards is left
// out, but for what a MissedEvent tells. A namespace that is deleted ends with its own NamespaceEvent; one made later
// under the same name goes on.
func (t *Table) Subscribe(i Interest) (*Subscription, error) {
	s := &Subscription{table: t, interest: i, kinds: i.kinds(), wake: make(chan struct{}, 1)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i.Namespace != "" {
		if _, err := t.namespace(i.Namespace); err != nil {
			return nil, err
		}
	}
	if i.Snapshot {
		s.walk = t.newWalk(i.Namespace)
	}
	t.subscribers[s] = struct{}{}
	t.listen()
	return s, nil
}

// Close ends the subscription; Next returns what is queued and then fails.
func (s *Subscription) Close() {
	s.table.mu.Lock()
	delete(s.table.subscribers, s)
	s.table.listen()
	s.table.mu.Unlock()
	s.end()
}

// listen notes what anybody wants to hear of: the rest is not made.
func (t *Table) listen() {
	t.wanted = make(map[string]kinds)
	var neighbors int32
	for s := range t.subscribers {
		t.wanted[s.interest.Namespace] |= s.kinds
		if s.kinds&(1<<NeighborEvent) != 0 {
			neighbors++
		}
	}
	t.learned.listeners.Store(neighbors)
}

// wants tells whether anybody wants to hear of a kind of events in a namespace.
func (t *Table) wants(ns *namespace, kind EventKind) bool {
	return len(t.wanted) > 0 && (t.wanted[""]|t.wanted[ns.name])&(1<<kind) != 0
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

// maxEvents is how many events Next returns at most.
const maxEvents = 256

// Next waits for events and returns what is there, some hundred at most. It fails when ctx is done, or when the subscription
// or the table is closed. The slice is the subscription's, until the next call.
func (s *Subscription) Next(ctx context.Context) ([]Event, error) {
	for {
		events, closed := s.take()
		if len(events) > 0 {
			return events, nil
		}
		if closed {
			s.signal() // for whoever else waits
			return nil, fail(Refused, "the subscription is closed")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.wake:
		}
	}
}

// take returns and numbers the events that are to be told next. Of none, closed tells whether there will be some.
func (s *Subscription) take() (events []Event, closed bool) {
	for len(s.ready) == 0 && s.walk != nil {
		s.ready = s.walk.next(s)
	}
	if len(s.ready) == 0 {
		s.ready, closed = s.drain()
	}
	n := min(len(s.ready), maxEvents)
	events, s.ready = s.ready[:n], s.ready[n:]
	for i := range events {
		if e := &events[i]; e.Kind == MissedEvent {
			s.seq += e.Missed
		} else {
			s.seq++
		}
		events[i].Seq = s.seq
	}
	return events, closed
}

// drain takes what is queued.
func (s *Subscription) drain() (events []Event, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, s.queue = s.queue, nil
	if s.missed > 0 {
		events = append(events, Event{Kind: MissedEvent, Missed: s.missed, Namespace: s.interest.Namespace})
		s.missed = 0
	}
	return events, s.closed
}

// hears tells whether the subscriber wants an event.
func (s *Subscription) hears(e *Event) bool {
	return (s.interest.Namespace == "" || s.interest.Namespace == e.Namespace) && s.kinds&(1<<e.Kind) != 0 &&
		(s.interest.LocalTable || !e.local)
}

// put queues events without ever waiting; as many as missed tells, by namespace, are lost before them. Once some are
// missed, all further ones are until the subscriber has been told.
func (s *Subscription) put(missed map[string]uint64, events []Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for namespace, n := range missed {
		if (s.interest.Namespace == "" || s.interest.Namespace == namespace) && s.kinds&(1<<NeighborEvent) != 0 {
			s.missed += n
		}
	}
	for i := range events {
		e := &events[i]
		switch {
		case !s.hears(e):
		case e.lost > 0:
			s.missed += e.lost
		case s.missed > 0 || len(s.queue) >= subscriptionBuffer:
			s.missed++
		default:
			s.queue = append(s.queue, *e)
		}
	}
	if len(s.queue) > 0 || s.missed > 0 {
		s.signal()
	}
}
