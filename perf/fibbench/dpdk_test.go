//go:build dpdk

package main

import (
	"runtime"
	"testing"

	"nsrouter/fib/poptrie"
)

// TestDPDK builds DPDK's tables of random routes, of all lengths, and compares their answers with bart's.
func TestDPDK(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: it is DPDK's main thread
	if err := initDPDK(0, 0); err != nil {
		t.Fatal(err)
	}
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		routes := someRoutes(f, 2000)
		b := bench{contenders: contenders("rte_")}
		list, err := b.enter(f, routes, func(*contender) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		if err := check(f, routes, list); err != nil {
			t.Error(err)
		}
		for _, e := range list {
			if e.steady || e.name == measure {
				continue
			}
			for _, r := range routes[:20] {
				if err := e.insert(r.prefix, 300); err != nil {
					t.Errorf("%s: insert %v: %v", e.name, r.prefix, err)
				}
			}
			if m := e.memory(); m.lookup < 64<<20 || m.all < m.lookup {
				t.Errorf("%s: %+v", e.name, m)
			}
		}
		closeAll(list)
	}
}
