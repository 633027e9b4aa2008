package nstable

import (
	"net/netip"
	"testing"

	"nsrouter/dataplane/neigh"
)

// TestNeighborsInOrder: commands about a neighbour that share a transaction see each other, though the data plane hears of
// them only at its end.
func TestNeighborsInOrder(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d", "10.0.0.1/24")
	a, mac := netip.MustParseAddr("10.0.0.9"), [6]byte{2, 0, 0, 0, 0, 9}
	add := func(tx *Tx, state neigh.State) error { return tx.SetNeighbor(AddNeighbor, "init", "d", a, mac, state) }
	del := func(tx *Tx) error { return tx.DeleteNeighbor("init", "d", a) }
	b.ok(b.Do(func(tx *Tx) error { return add(tx, neigh.Permanent) }))
	steps := []func(*Tx) error{
		del,
		func(tx *Tx) error { return add(tx, neigh.Permanent) },
		del,
		func(tx *Tx) error { return add(tx, neigh.Reachable) },
		del,
	}
	failed, err := b.Bulk(len(steps), false, func(tx *Tx, i int) error { return steps[i](tx) })
	b.ok(err)
	if len(failed) != 0 {
		t.Fatalf("step %d: %v", failed[0].Index, failed[0].Err)
	}
	err = b.Do(func(tx *Tx) error {
		b.refused(del(tx), NotFound, "10.0.0.9")
		b.ok(add(tx, neigh.Stale))
		b.refused(tx.Try(func() error { return add(tx, neigh.Permanent) }), Exists, "10.0.0.9")
		return nil
	})
	b.ok(err)
	neighbors, err := b.Neighbors("init", "d")
	b.ok(err)
	if len(neighbors) != 1 || neighbors[0].State != neigh.Stale {
		t.Errorf("%+v", neighbors)
	}
}
