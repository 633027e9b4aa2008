package nstable

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// replica is what a reader of events knows: each object by what tells it from others, and what is told of it.
type replica struct {
	objects map[string]string
	whole   bool
	seq     uint64
}

func (r *replica) apply(e *Event) error {
	if e.Seq != r.seq+1 {
		return fmt.Errorf("event %d after %d", e.Seq, r.seq)
	}
	r.seq = e.Seq
	switch {
	case e.Kind == SnapshotEvent && r.whole:
		return fmt.Errorf("a second end of the state")
	case e.Kind == SnapshotEvent:
		r.whole = true
		return nil
	case e.Snapshot == r.whole:
		return fmt.Errorf("%s: part of the state %v, behind its end %v", eventLine(*e), e.Snapshot, r.whole)
	}
	key, value := describe(e)
	_, known := r.objects[key]
	switch {
	case e.Snapshot && known:
		return fmt.Errorf("%s is told twice", key)
	case e.Deleted && !known:
		return fmt.Errorf("%s was never told, and is deleted", key)
	case e.Deleted:
		delete(r.objects, key)
	default:
		r.objects[key] = value
	}
	return nil
}

// describe returns the key of an object, and what of it may change only with an event.
func describe(e *Event) (key, value string) {
	switch e.Kind {
	case LinkEvent:
		l := e.Link
		return fmt.Sprint(e.Namespace, " link ", l.Index), fmt.Sprint(l.Name, l.Kind, l.MAC, l.MTU, l.Up, l.Carrier, l.PeerNamespace)
	case AddressEvent:
		return fmt.Sprint(e.Namespace, " addr ", e.Address.Index, e.Address.Prefix), ""
	case RouteEvent:
		r := e.Route
		kind := fib.Kind(0) // as fib.Route.SamePlace: one of another kind takes its place
		if r.Origin == fib.Connected {
			kind = r.Kind
		}
		return fmt.Sprint(e.Namespace, " route ", r.Prefix, r.InLocalTable(), r.Metric, r.Order, kind),
			fmt.Sprint(r.Kind, r.Protocol, r.Source, r.Object)
	case NeighborEvent:
		return fmt.Sprint(e.Namespace, " neigh ", e.Neighbor.Index, e.Neighbor.Addr), fmt.Sprint(e.Neighbor.MAC, e.Neighbor.State)
	case NextHopEvent:
		return fmt.Sprint(e.Namespace, " nexthop ", e.NextHop.ID), fmt.Sprint(e.NextHop.Object)
	}
	return e.Namespace + " netns", ""
}

// read applies what a subscription has to tell, at most the given number of times.
func (r *replica) read(s *Subscription, times int) error {
	for range times {
		events, _ := s.take()
		if len(events) == 0 {
			return nil
		}
		for i := range events {
			if err := r.apply(&events[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// snapshot subscribes with a snapshot that is told one route at a time.
func (b *bench) snapshot(namespace string) (*Subscription, *replica, error) {
	s, err := b.Subscribe(Interest{Namespace: namespace, LocalTable: true, Snapshot: true})
	if err != nil {
		return nil, nil, err
	}
	s.walk.piece = 1
	return s, &replica{objects: make(map[string]string)}, nil
}

// TestSnapshot: whatever changes while the state is told, who has read it and the changes since knows the state, and was
// told nothing twice, in an order in which it can be followed.
func TestSnapshot(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		defer b.Close()
		b.ok(b.addNamespace("red"))
		for _, ns := range []string{"init", "red"} {
			b.dummy(ns, "a", "10.0.0.1/24", "2001:db8::1/64")
			for _, p := range modelPrefixes[:5] {
				gateway := "10.0.0.9"
				if strings.Contains(p, ":") {
					gateway = "2001:db8::9"
				}
				b.ok(b.route(fib.Add, ns, via(p, gateway, "a")))
			}
		}
		for range rapid.IntRange(0, 10).Draw(rt, "commands before") {
			_, _ = randomCommand(rt, b)
		}
		namespace := rapid.SampledFrom([]string{"", "init", "red"}).Draw(rt, "namespace")
		s, got, err := b.snapshot(namespace)
		if err != nil {
			return // there is no red
		}
		defer s.Close()
		var commands []string
		for range rapid.IntRange(0, 60).Draw(rt, "commands") {
			command, _ := randomCommand(rt, b)
			commands = append(commands, command)
			if err := got.read(s, rapid.IntRange(0, 4).Draw(rt, "reads")); err != nil {
				rt.Fatalf("%v\n%s", err, strings.Join(commands, "\n"))
			}
		}
		if err := got.read(s, 1<<20); err != nil || !got.whole {
			rt.Fatalf("%v, end %v\n%s", err, got.whole, strings.Join(commands, "\n"))
		}
		now, want, err := b.snapshot(namespace)
		if err != nil {
			want = &replica{} // red is gone
		} else {
			defer now.Close()
			if err := want.read(now, 1<<20); err != nil {
				rt.Fatal(err)
			}
		}
		if !maps.Equal(got.objects, want.objects) {
			rt.Fatalf("read:\n%s\nthere is:\n%s\nby\n%s", lines(got.objects), lines(want.objects), strings.Join(commands, "\n"))
		}
	})
}

func lines(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+": "+v)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// TestSnapshotAtCursor: a change at the very route that was told last is told, one at the next is in the state.
func TestSnapshotAtCursor(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	for i := range 4 {
		b.ok(b.route(fib.Add, "init", via(fmt.Sprintf("20.%d.0.0/16", i), "10.0.0.9", "")))
	}
	s, err := b.Subscribe(Interest{Namespace: "init", Kinds: []EventKind{RouteEvent}, Snapshot: true})
	b.ok(err)
	defer s.Close()
	s.walk.piece = 1
	var got []string
	for last := ""; !strings.Contains(last, "20.1.0.0"); {
		events, _ := s.take()
		last = eventLine(events[0])
		got = append(got, last)
	}
	for i := range 4 {
		b.ok(b.deleteRoute("init", via(fmt.Sprintf("20.%d.0.0/16", i), "", "")))
	}
	b.ok(b.route(fib.Add, "init", via("20.3.0.0/16", "10.0.0.8", "")))
	got = append(got, b.events(s)...)
	b.want(strings.Join(got, "\n"), `init +route 10.0.0.0/24 dev d kind 0
init +route 20.0.0.0/16 dev d kind 0
init +route 20.1.0.0/16 dev d kind 0
init +route 20.3.0.0/16 dev d kind 0
init +route fe80::/64 dev d kind 0
that is all
init -route 20.0.0.0/16 dev d kind 0
init -route 20.1.0.0/16 dev d kind 0`)
}

// TestSnapshotNeighbors: workers change their tables first, and tell of it then. What they have changed when the state is
// read, and tell after that, is in the state and not told again.
func TestSnapshotNeighbors(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	id := b.deviceID("init", "d")
	table := b.View().Device(id).Neighbors
	learn := func(addr string, state neigh.State) {
		a := netip.MustParseAddr(addr)
		e := table.Lookup(fib.AddrOf(a))
		if e == nil {
			e = table.Add(fib.AddrOf(a), 0)
		}
		e.Set(state, 0x020000000001, 0)
	}
	tell := func(addr string, state neigh.State, deleted bool) {
		b.AnnounceNeighbor(id, netip.MustParseAddr(addr), [6]byte{2, 0, 0, 0, 0, 1}, true, state, deleted)
	}
	other := b.subscribe("init")
	defer other.Close()
	s, err := b.Subscribe(Interest{Namespace: "init", Kinds: []EventKind{NeighborEvent}, Snapshot: true})
	b.ok(err)
	defer s.Close()
	learn("10.0.0.2", neigh.Reachable) // changed and not told yet
	learn("10.0.0.4", neigh.Reachable) // is to go
	learn("10.0.0.5", neigh.Incomplete)
	b.datapath.atQuiesce = func() {
		b.datapath.atQuiesce = nil
		tell("10.0.0.2", neigh.Reachable, false)
		learn("10.0.0.3", neigh.Stale) // after the state was read
		tell("10.0.0.3", neigh.Stale, false)
		table.Delete(table.Lookup(fib.AddrOf(netip.MustParseAddr("10.0.0.4"))))
		tell("10.0.0.4", neigh.Reachable, true)
	}
	first := b.events(s)
	tell("10.0.0.3", neigh.Reachable, false)
	b.ok(b.addNamespace("red")) // the committer delivers
	b.want(strings.Join(append(first, b.events(s)...), "\n"), `init +neigh d 10.0.0.2 REACHABLE
init +neigh d 10.0.0.3 STALE
that is all
init +neigh d 10.0.0.3 REACHABLE`)
	b.want(strings.Join(b.events(other), "\n"), `init +neigh d 10.0.0.2 REACHABLE
init +neigh d 10.0.0.3 STALE
init -neigh d 10.0.0.4 REACHABLE
init +neigh d 10.0.0.3 REACHABLE`)
}

// TestSnapshotSlow: a reader that is slower than the changes while the state is told is told how many it missed, and what
// waits for it does not grow.
func TestSnapshotSlow(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	s, got, err := b.snapshot("init")
	b.ok(err)
	defer s.Close()
	b.ok(got.read(s, 1))
	change := func(n int) {
		for i := range n {
			b.ok(b.SetLink("init", "d", LinkChange{MTU: uint32(1300 + i%2)}))
		}
	}
	change(subscriptionBuffer + 7)
	missed, changes := uint64(0), 0
	for seq := got.seq; !got.whole; {
		events, _ := s.take()
		if n := len(s.queue) + len(s.ready); n > subscriptionBuffer+10 {
			t.Errorf("%d events wait", n)
		}
		for i := range events {
			e := &events[i]
			if seq += max(1, e.Missed); e.Seq != seq {
				t.Fatalf("event %d, want %d", e.Seq, seq)
			}
			missed += e.Missed
			got.whole = got.whole || e.Kind == SnapshotEvent
			if e.Kind == LinkEvent && !e.Snapshot {
				changes++
			}
		}
	}
	if changes != subscriptionBuffer {
		t.Errorf("%d changes", changes)
	}
	if missed != 7 {
		t.Errorf("missed %d", missed)
	}
}

// TestInterest: who wants to hear of links misses none because of routes, and is told nothing of them; what nobody wants to
// hear of is not made.
func TestInterest(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	s, err := b.Subscribe(Interest{Namespace: "init", Kinds: []EventKind{LinkEvent, NeighborEvent}})
	b.ok(err)
	defer s.Close()
	if b.wants(b.byName["init"], RouteEvent) {
		t.Error("events of routes are made")
	}
	all, err := b.Subscribe(Interest{Kinds: []EventKind{RouteEvent}})
	b.ok(err)
	defer all.Close()
	for i := range subscriptionBuffer + 1 {
		b.ok(b.route(fib.Add, "init", via(fmt.Sprintf("20.%d.%d.0/24", i>>8, i&255), "10.0.0.9", "")))
	}
	b.ok(b.up("init", "d", false))
	b.want(strings.Join(b.events(s), "\n"), "init +link d up=false carrier=true")
	if _, err := b.Subscribe(Interest{Namespace: "none"}); KindOf(err) != NotFound {
		t.Errorf("a namespace that is not there: %v", err)
	}
}

// TestSnapshotConcurrent: the same with readers and writers that run at the same time.
func TestSnapshotConcurrent(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	spec := func(i int) RouteSpec { return via(fmt.Sprintf("20.%d.%d.0/24", i>>8, i&255), "10.0.0.9", "") }
	const table = 3000
	_, err := b.Bulk(table, false, func(tx *Tx, i int) error { return tx.Route(fib.Add, "init", spec(i)) })
	b.ok(err)
	const changes = subscriptionBuffer / 4 // fewer events than would be missed by a reader that has to wait
	var writers, readers sync.WaitGroup
	replicas := make([]*replica, 4)
	for i := range replicas {
		s, r, err := b.snapshot("init")
		b.ok(err)
		s.walk.piece = 10
		replicas[i] = r
		readers.Go(func() {
			defer s.Close()
			for {
				events, err := s.Next(t.Context())
				for i := range events {
					if err = r.apply(&events[i]); err != nil {
						break
					}
					if events[i].Kind == NextHopEvent {
						return
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			for i := w; i < changes; i += 2 {
				route := spec(i * 7 % table)
				if b.deleteRoute("init", route) != nil || b.Do(func(tx *Tx) error { return tx.Route(fib.Add, "init", route) }) != nil {
					t.Error("a route was not there, or is still")
				}
			}
		})
	}
	writers.Wait()
	b.ok(b.nexthop(fib.Add, "init", NextHopSpec{ID: 1, Blackhole: true}))
	readers.Wait()
	now, want, err := b.snapshot("init")
	b.ok(err)
	defer now.Close()
	b.ok(want.read(now, 1<<20))
	for i, r := range replicas {
		if !maps.Equal(r.objects, want.objects) {
			t.Errorf("reader %d knows %d objects, there are %d", i, len(r.objects), len(want.objects))
		}
	}
}
