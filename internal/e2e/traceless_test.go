package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holding is what the daemon holds.
type holding struct{ files, threads, memory int }

func (w *world) holding() (h holding) {
	w.t.Helper()
	count := func(dir string) int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", w.r.Process().Pid(), dir))
		if err != nil {
			w.t.Fatal(err)
		}
		return len(entries)
	}
	h.files, h.threads = count("fd"), count("task")
	var err error
	if h.memory, err = w.r.Process().RSS(); err != nil {
		w.t.Fatal(err)
	}
	return h
}

// TestNoTrace: 200 namespaces, with devices that have a TAP each and that talk, leave no files, threads, goroutines or memory
// behind when they are deleted.
func TestNoTrace(t *testing.T) {
	t.Setenv("GOGC", "100") // what is kept is to be seen, not what is collected later
	w := newWorld(t)
	const atOnce, rounds = 50, 4
	churn := func() {
		var add, del strings.Builder
		for i := range atOnce {
			fmt.Fprintf(&add, "netns add x%d\n-n x%d link add d0 type dummy\n-n x%d link set d0 up\n", i, i, i)
			fmt.Fprintf(&add, "-n x%d addr add 192.0.2.1/24 dev d0\n", i)
			if i > 0 {
				fmt.Fprintf(&add, "-n x%d link add v0 type veth peer name v1 netns x%d\n-n x%d link set v0 up\n", i, i-1, i)
			}
			fmt.Fprintf(&del, "netns del x%d\n", i)
		}
		w.r.Batch(add.String())
		for i := range atOnce / 10 { // frames and a route of Linux, and a process that is there when the namespace goes
			w.linux(fmt.Sprintf("x%d", i), "ip route add 198.51.100.0/24 via 192.0.2.2 dev d0")
			w.r.CLI("netns", "exec", fmt.Sprintf("x%d", i), "--", "ping", "-c", "1", "-W", "0.01", "198.51.100.1")
		}
		w.r.Batch(del.String())
	}
	churn() // Go and the libraries open what they keep
	first := w.holding()
	for range rounds - 1 {
		churn()
	}
	var last holding
	w.Eventually(10*time.Second, "no more files than after the first of the rounds", func() bool {
		last = w.holding()
		return last.files <= first.files
	})
	t.Logf("after %d namespaces %+v, after %d %+v", atOnce, first, rounds*atOnce, last)
	const moreThreads, moreMemory = 8, 16 << 20 // as Go needs them
	if last.threads > first.threads+moreThreads || last.memory > first.memory+moreMemory {
		t.Errorf("threads or memory grow")
	}
	w.conserved()
	w.r.Process().Signal(syscall.SIGQUIT) // Go tells all goroutines
	if _, err := w.r.Process().Wait(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	log := w.r.Log()
	if all := strings.Count(log, "\ngoroutine "); all < 5 {
		t.Fatalf("the daemon tells %d goroutines", all)
	}
	perNetns := regexp.MustCompile(`(?m)^nsrouter/(ctl/hostside|ctl/feed|tap|dataplane)\.\(\*(space|Device|Dataplane)\)\S*`)
	seen := make(map[string]bool)
	for _, f := range perNetns.FindAllString(log, -1) {
		if seen[f] { // once is for init, which has but lo
			t.Errorf("more than one goroutine is in %s", f)
		}
		seen[f] = true
	}
	if len(seen) == 0 {
		t.Error("none of init's goroutines is told")
	}
}
