package nstable

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// TestEventsOfMove: each side of a move sees its part, in order, and nothing of the other; who listens to all sees both
// in one order.
func TestEventsOfMove(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	b.dummy("red", "d", "192.0.2.1/24")
	red, blue, all := b.subscribe("red"), b.subscribe("blue"), b.subscribe("")
	defer red.Close()
	defer blue.Close()
	defer all.Close()
	b.ok(b.SetLink("red", "d", LinkChange{Namespace: "blue"}))
	r, bl, a := b.events(red), b.events(blue), b.events(all)
	gone := slices.Index(r, "red -link d up=false carrier=true")
	if gone < 0 || gone != len(r)-1 {
		t.Errorf("red's last event is not the device's end: %q", r)
	}
	if !slices.Contains(r, "red -addr d 192.0.2.1/24") {
		t.Errorf("red did not see the address go: %q", r)
	}
	if len(bl) == 0 || bl[0] != "blue +link d up=false carrier=true" {
		t.Errorf("blue: %q", bl)
	}
	if !slices.Equal(a, append(slices.Clone(r), bl...)) {
		t.Errorf("all: %q\nred: %q\nblue: %q", a, r, bl)
	}
}

// TestEventsFollowCommit: what was refused, or could not be stored, is not announced.
func TestEventsFollowCommit(t *testing.T) {
	b := newBench(t)
	s := b.subscribe("")
	defer s.Close()
	b.store.setFull(true)
	b.refused(b.addNamespace("red"), Storage, "no space left")
	b.store.setFull(false)
	b.refused(b.addNamespace("a/b"), Invalid, "a/b")
	if got := b.events(s); len(got) != 0 {
		t.Errorf("announced: %q", got)
	}
	b.ok(b.addNamespace("red"))
	if got := b.events(s); len(got) == 0 || got[0] != "red +netns" {
		t.Errorf("%q", got)
	}
}

// TestNoisyNeighbors: what one namespace's links have to tell in a burst is not another's loss.
func TestNoisyNeighbors(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	b.dummy("red", "r", "10.0.0.1/24")
	b.dummy("blue", "d", "10.0.0.1/24")
	noisy, quiet := b.subscribe("red"), b.subscribe("blue")
	defer noisy.Close()
	defer quiet.Close()
	id := b.deviceID("red", "r")
	b.ok(b.Do(func(tx *Tx) error {
		for i := range 2 * subscriptionBuffer {
			a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
			b.AnnounceNeighbor(id, a, [6]byte{2}, true, neigh.Stale, false)
		}
		return tx.Route(fib.Add, "blue", via("10.5.0.0/16", "", "d"))
	}))
	b.want(fmt.Sprint(b.events(quiet)), "[blue +route 10.5.0.0/16 dev d kind 0]")
	heard := b.events(noisy)
	if n := len(heard); n == 0 || heard[n-1] != fmt.Sprintf("missed %d", 2*subscriptionBuffer-n+1) {
		t.Errorf("%d events, the last is %v", n, heard[max(0, n-1):])
	}
}

// TestSlowSubscriber: one that does not read is told how much it has missed, and never makes anybody wait; sequence
// numbers show the gap.
func TestSlowSubscriber(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d")
	s := b.subscribe("init")
	defer s.Close()
	const changes = subscriptionBuffer + 100
	for i := range changes {
		b.ok(b.Do(func(tx *Tx) error {
			p := fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255)
			return tx.Route(0, "init", via(p, "", "d"))
		}))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	got, missed := 0, uint64(0)
	last := uint64(0)
	for missed == 0 {
		events, err := s.Next(ctx)
		b.ok(err)
		for _, e := range events {
			if e.Seq != last+max(1, e.Missed) {
				t.Fatalf("event %d after %d, %d missed", e.Seq, last, e.Missed)
			}
			last = e.Seq
			if e.Kind == MissedEvent {
				missed = e.Missed
				continue
			}
			got++
		}
	}
	if got != subscriptionBuffer || missed != 100 {
		t.Errorf("got %d, missed %d", got, missed)
	}
	b.ok(b.addNamespace("red")) // another namespace's
	b.ok(b.up("init", "d", false))
	events, err := s.Next(ctx)
	b.ok(err)
	if e := events[0]; e.Namespace != "init" || e.Seq != last+1 {
		t.Errorf("after the gap: %+v", e)
	}
}

// TestTableLoaded: of a transaction of more changes than a reader has room for, the rest is only counted, and what was
// refused of it is not; other readers hear what is theirs.
func TestTableLoaded(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	s := b.subscribe("init")
	defer s.Close()
	links, err := b.Subscribe(Interest{Kinds: []EventKind{LinkEvent}})
	b.ok(err)
	defer links.Close()
	const changes, every = 3 * subscriptionBuffer, 16
	kept := 0
	failed, err := b.Bulk(changes, true, func(tx *Tx, i int) error {
		if err := tx.Route(fib.Add, "init", via(fmt.Sprintf("20.%d.%d.0/24", i>>8, i&255), "10.0.0.9", "")); err != nil {
			return err
		}
		if i%every == 0 {
			return fail(Refused, "no")
		}
		if i == changes-1 {
			kept = len(tx.news.events)
			tx.announceLink(tx.t.byName["init"].byName["d"], false)
		}
		return nil
	})
	b.ok(err)
	heard := b.events(s)
	want := changes - len(failed) - subscriptionBuffer + 1 // and the link
	if n := len(heard); n != subscriptionBuffer+1 || heard[n-1] != fmt.Sprintf("missed %d", want) {
		t.Errorf("%d events, the last is %s; %d were to be missed", n, heard[n-1], want)
	}
	if kept > subscriptionBuffer+2 {
		t.Errorf("%d events kept", kept)
	}
	b.want(fmt.Sprint(b.events(links)), "[init +link d up=true carrier=true]")
}
