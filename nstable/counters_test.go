package nstable

import (
	"testing"

	"nsrouter/dataplane/counters"
)

// count lets a device receive n packets of ten bytes, one in two of them dropped.
func (b *bench) count(ns, dev string, n uint64) {
	b.t.Helper()
	slot := b.View().Device(b.deviceID(ns, dev)).Counters.Worker(1)
	slot.RxPackets.Add(n)
	slot.RxBytes.Add(10 * n)
	slot.Forwarded.Add(n / 2)
	slot.Drops[counters.NoRoute].Add(n - n/2)
}

func (b *bench) wantReceived(ns string, n uint64) {
	b.t.Helper()
	c, err := b.NamespaceCounters(ns)
	b.ok(err)
	want := counters.Totals{RxPackets: n, RxBytes: 10 * n, Forwarded: n / 2}
	want.Drops[counters.NoRoute] = n - n/2
	if c != want {
		b.t.Errorf("namespace %s counted %+v, want %d packets", ns, c, n)
	}
}

// TestNamespaceCounters: what was counted in a namespace stays its own when devices move on or are deleted.
func TestNamespaceCounters(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	b.xdp("red", "p1")
	b.dummy("red", "d")
	b.wantReceived("red", 0)
	b.count("red", "p1", 10)
	b.count("red", "d", 6)
	b.wantReceived("red", 16)

	b.ok(b.SetLink("red", "p1", LinkChange{Namespace: "blue"}))
	b.wantReceived("red", 16)
	b.wantReceived("blue", 0)
	b.count("blue", "p1", 100)
	b.wantReceived("red", 16)
	b.wantReceived("blue", 100)

	b.ok(b.SetLink("blue", "p1", LinkChange{Namespace: "red", Name: "q"})) // and back again
	b.count("red", "q", 2)
	b.wantReceived("red", 18)
	b.wantReceived("blue", 100)

	b.ok(b.DeleteLink("red", "d"))
	b.wantReceived("red", 18)
	b.ok(b.DeleteNamespace("red"))
	b.wantReceived("init", 0)
	b.count("init", "q", 4)
	b.wantReceived("init", 4)
	_, err := b.NamespaceCounters("red")
	b.refused(err, NotFound, "red")

	b.ok(b.addNamespace("red")) // a new one
	b.wantReceived("red", 0)
}

// TestNamespaceCountersUndone: a move that fails moves no counts.
func TestNamespaceCountersUndone(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.dummy("red", "d")
	b.count("red", "d", 8)
	b.store.setFull(true)
	b.refused(b.SetLink("red", "d", LinkChange{Namespace: "init"}), Storage, "no space")
	b.refused(b.DeleteLink("red", "d"), Storage, "no space")
	b.store.setFull(false)
	b.wantReceived("red", 8)
	b.wantReceived("init", 0)
	b.count("red", "d", 2)
	b.wantReceived("red", 10)
}

// TestNamespaceCountersHeld: a packet that was waiting when its device moved does not make the count of another
// namespace negative.
func TestNamespaceCountersHeld(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.xdp("red", "p1")
	slot := b.View().Device(b.deviceID("red", "p1")).Counters.Worker(0)
	slot.RxPackets.Add(1)
	slot.Held.Add(1)
	b.ok(b.SetLink("red", "p1", LinkChange{Namespace: "init"}))
	slot.HeldOut.Add(1)
	for ns, want := range map[string]counters.Totals{"red": {RxPackets: 1, Held: 1}, "init": {}} {
		if c, err := b.NamespaceCounters(ns); err != nil || c != want {
			t.Errorf("namespace %s counted %+v, want %+v (%v)", ns, c, want, err)
		}
	}
}
