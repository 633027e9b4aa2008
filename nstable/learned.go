package nstable

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"nsrouter/dataplane/neigh"
)

// learnedQueue takes what workers tell of neighbours to the committer, which announces it in the order of all events.
type learnedQueue struct {
	listeners atomic.Int32  // who wants to hear of neighbours: without any, nothing is queued
	wake      chan struct{} // one token: there is something to take

	mu     sync.Mutex // held for a few instructions only, as workers take it
	queue  []learnedNeighbor
	queued map[*Namespace]int // how many of the queue are of a namespace
	missed map[string]uint64  // by namespace: how many found its share of the queue full
}

// learnedShare is how many announcements of one namespace wait at most: one tenant's noise is not another's loss.
const learnedShare = subscriptionBuffer / 4

// learnedNeighbor is a neighbour of a device as it was published when the data plane spoke of it.
type learnedNeighbor struct {
	device  *Device
	info    NeighborInfo
	deleted bool
}

// AnnounceNeighbor emits an event for a neighbour that the data plane has learned, changed or (deleted) forgotten.
// Nothing is stored, and nothing waits: workers may call it, also while the table waits for them. mac counts with
// hasMAC only.
func (t *Table) AnnounceNeighbor(
	id DeviceID,
	addr netip.Addr,
	mac [6]byte,
	hasMAC bool,
	state neigh.State,
	deleted bool,
) {
	q := &t.learned
	if q.listeners.Load() == 0 {
		return
	}
	d := t.View().Device(id)
	if d == nil {
		return
	}
	info := NeighborInfo{Device: d.Name, Index: d.Index, Addr: addr, MAC: mac, HasMAC: hasMAC, State: state}
	q.mu.Lock()
	if q.queued == nil {
		q.queued, q.missed = make(map[*Namespace]int), make(map[string]uint64)
	}
	if q.queued[d.Namespace] < learnedShare {
		q.queued[d.Namespace]++
		q.queue = append(q.queue, learnedNeighbor{d, info, deleted})
	} else {
		q.missed[d.Namespace.Name()]++
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *learnedQueue) take() (queue []learnedNeighbor, missed map[string]uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	queue, missed = q.queue, q.missed
	q.queue, q.queued, q.missed = nil, nil, nil
	return queue, missed
}

// learnedEvents returns what workers have told, and how much of it was lost. It comes after the calls of the data
// plane, so that what those flush is in it. departures are the devices that have moved by the transaction that is through.
func (t *Table) learnedEvents(departures []departure) (events []Event, missed map[string]uint64) {
	queue, missed := t.learned.take()
	for _, l := range queue {
		if mistaken(l.device, departures) {
			continue
		}
		events = append(events, Event{
			Namespace: l.device.Namespace.Name(), Kind: NeighborEvent, Deleted: l.deleted, Neighbor: &l.info, of: l.device.Namespace,
		})
	}
	return events, missed
}

// mistaken tells a device that arrived in its namespace by this transaction. A worker that speaks of it before the
// transaction is through may still mean the device where it was before: that must not be told in the new namespace.
func mistaken(public *Device, departures []departure) bool {
	for _, l := range departures {
		if l.device.id == public.ID && l.device.neighbors == public.Neighbors {
			return true
		}
	}
	return false
}
