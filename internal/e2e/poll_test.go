package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// pollRow is what `worker show` tells of how a worker polls.
type pollRow struct {
	Poll    string
	Sleeps  float64 `json:"sleeps_per_second"`
	Rounds  float64 `json:"rounds_per_second"`
	Longest uint64  `json:"longest_round_us"`
}

// TestPollModes: workers change their polling modes under traffic, and nothing is lost. A busy one never sleeps, on a machine
// that may have no CPU to spare, and yet commands are answered, neighbours asked for, and nothing is held on to.
func TestPollModes(t *testing.T) {
	w := newWorld(t, "--workers", "2", "--poll", "interrupt,1=busy")
	a, b := w.host(1, "init"), w.host(2, "init")
	modes := func() string {
		rows := query[pollRow](w, "worker show 0.1")
		return fmt.Sprint(rows[0].Poll, " ", rows[1].Poll)
	}
	if got := modes(); got != "interrupt busy" {
		t.Errorf("at first: %s", got)
	}
	w.ping(a, "10.0.2.2", 2) // neighbours are known
	stop := w.numbered(a, b, "10.0.2.2")
	var changes strings.Builder
	for range 8 {
		for _, mode := range []string{"busy", "interrupt", "adaptive"} {
			fmt.Fprintf(&changes, "worker set 0 poll %s\nworker set 1 poll %s queue init/p1:0\n", mode, mode)
			fmt.Fprintf(&changes, "worker set 0 queue init/p1:0\n")
		}
	}
	w.r.Batch(changes.String())
	if sent, came, late := stop(); came != sent || late != 0 || sent < 100 {
		t.Errorf("%d datagrams sent, %d came, %d of them late", sent, came, late)
	}
	if got := modes(); got != "adaptive adaptive" {
		t.Errorf("after the changes: %s", got)
	}
	w.r.Must("worker set 0 poll busy\nworker set 1 poll busy")
	for i, r := range query[pollRow](w, "worker show 0.5") {
		if r.Poll != "busy" || r.Sleeps != 0 || r.Rounds == 0 || r.Longest < 64 {
			t.Errorf("busy worker %d: %+v", i, r)
		}
	}
	w.r.Must("neigh flush dev p1\nneigh flush dev p2")
	w.ping(a, "10.0.2.2", 20) // asks again
	w.ping(a, "2001:db8:2::2", 20)
	w.conserved()
	w.r.Must("worker set 0 poll interrupt\nworker set 1 poll interrupt")
	for i, r := range query[pollRow](w, "worker show 1.5") { // one second is the longest sleep
		if r.Poll != "interrupt" || r.Sleeps == 0 {
			t.Errorf("worker %d by interrupt: %+v", i, r)
		}
	}
	w.ping(b, "10.0.1.2", 20)
	for line, why := range map[string]string{
		"worker set 0 poll fast":                 `"fast" is no polling mode: it is one of adaptive, busy, interrupt`,
		"worker set 2 poll busy":                 "there is no worker 2",
		"worker set 0 poll busy queue init/p1:1": "init/p1 has no queue 1",
		"worker set 0 poll lazy queue init/p1:0": "no polling mode",
	} {
		if said := w.r.Refused(2, line); !strings.Contains(said, why) {
			t.Errorf("router %s: %s", line, said)
		}
	}
	if got := modes(); got != "interrupt interrupt" {
		t.Errorf("after refusals: %s", got)
	}
	w.conserved()
}
