package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTableUnderLoad: a table of 200,000 routes comes, changes and goes while packets flow by one of its prefixes, and no
// packet is lost: replacing routes leaves no gap, and neither does a table that grows out of its form.
func TestTableUnderLoad(t *testing.T) {
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	b.Interface("eth0").Addr("192.0.2.1/32")
	w.r.Must("route add 192.0.2.0/24 via 10.0.2.2")
	batch := func(name, verb, gateway string) string {
		var lines strings.Builder
		for i := range 200_000 {
			fmt.Fprintf(&lines, "route %s %d.%d.%d.0/24 via %s\n", verb, 20+i>>16, i>>8&255, i&255, gateway)
		}
		fmt.Fprintf(&lines, "route replace 192.0.2.0/24 via 10.0.2.2 mtu 1400\n")
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	add, change := batch("add", "add", "10.0.2.2"), batch("change", "replace", "10.0.1.2")
	done := make(chan int, 1)
	const pings = 150
	go func() { done <- a.Ping("192.0.2.1", pings, 20*time.Millisecond) }()
	rounds := 0
	for len(done) == 0 {
		w.r.Must("-batch " + add)
		w.r.Must("-batch " + change)
		if n := strings.Count(w.r.Must("route show via 10.0.1.2"), "\n"); n != 200_000 {
			t.Errorf("%d routes were changed", n)
		}
		w.r.Must("route flush root 0/0 via 10.0.1.2")
		rounds++
	}
	if got := <-done; got != pings {
		t.Errorf("%d of %d pings were answered", got, pings)
	}
	t.Logf("%d rounds", rounds)
	w.conserved()
}
