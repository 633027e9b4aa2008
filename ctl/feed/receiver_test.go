package feed

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// TestReceivers: namespaces that wait for the table, all with routes to be learned, have no receiver of their own each.
func TestReceivers(t *testing.T) {
	var made atomic.Int32
	fresh := receivers.New
	receivers.New = func() any {
		made.Add(1)
		return fresh()
	}
	t.Cleanup(func() { receivers.New = fresh }) // when the rig's server is closed
	r := newRig(t)
	const many = 16
	linux := make([]*netns.Handle, many)
	spaces := make([]*nstable.Namespace, many)
	for i := range many {
		name := fmt.Sprintf("n%d", i)
		r.do(func(tx *nstable.Tx) error { return tx.AddNamespace(name) })
		var err error
		if linux[i], err = netns.Anonymous(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { linux[i].Close() })
		if spaces[i], err = r.table.Namespace(name); err != nil {
			t.Fatal(err)
		}
		if err := r.server.Attach(spaces[i], linux[i]); err != nil {
			t.Fatal(err)
		}
	}
	route := func(i int, prefix string) {
		t.Helper()
		add := exec.Command("ip", "route", "add", "blackhole", prefix, "proto", "bird")
		if err := linux[i].Do(add.Run); err != nil {
			t.Fatal(err)
		}
	}
	learned := func(prefix string) func() bool {
		p := netip.MustParsePrefix(prefix)
		return func() bool {
			return !slices.ContainsFunc(spaces, func(ns *nstable.Namespace) bool { return ns.FIB.Lookup(p.Addr()) == nil })
		}
	}
	for i := range many {
		route(i, "10.1.0.0/24")
	}
	r.eventually("first routes", learned("10.1.0.0/24"))
	runtime.GC()
	runtime.GC() // what the pool had is gone
	made.Store(0)
	held, release := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- r.table.Do(func(*nstable.Tx) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	for i := range many {
		route(i, "10.2.0.0/24")
	}
	time.Sleep(100 * time.Millisecond) // for the last to be heard
	if n := made.Load(); n == 0 || n > many*2/3 {
		t.Errorf("%d receivers for %d namespaces that wait", n, many)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r.eventually("second routes", learned("10.2.0.0/24"))
}
