package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// told is what these tests read of an event.
type told struct {
	Seq                  uint64
	Event, Object, Netns string
	Snapshot             bool
	IfName               string
	Dst                  string                   // of a route or a neighbour
	AddrInfo             []struct{ Local string } `json:"addr_info"`
	Missed               uint64
}

func (e told) String() string {
	s := fmt.Sprint(e.Netns, " ", e.Event, " ", e.Object, " ", e.IfName, e.Dst)
	for _, a := range e.AddrInfo {
		s += " " + a.Local
	}
	return s
}

// monitor is a `router monitor` that runs.
type monitor struct {
	w *world
	p *lab.Process
}

// monitor starts one, with a snapshot, and returns when it is through with that.
func (w *world) monitor(words ...string) *monitor {
	w.t.Helper()
	args := append([]string{"--socket", w.r.Socket, "-j"}, words...)
	m := &monitor{w, w.r.Host.Start(w.r.Binary, append(args, "--snapshot")...)}
	w.Eventually(20*time.Second, "the end of the state", func() bool { return strings.Contains(m.p.Output(), `"event":"end"`) })
	return m
}

// events are those that were told, checked for their numbers.
func (m *monitor) events() (out []told) {
	m.w.t.Helper()
	seq := uint64(0)
	text := m.p.Output()
	for line := range strings.Lines(text[:strings.LastIndexByte(text, '\n')+1]) {
		var e told
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			m.w.t.Fatalf("%v: %s", err, line)
		}
		if seq += max(1, e.Missed); e.Seq != seq {
			m.w.t.Fatalf("event %d is to be %d: %s", e.Seq, seq, line)
		}
		out = append(out, e)
	}
	return out
}

// until waits for an event.
func (m *monitor) until(what string) {
	m.w.t.Helper()
	m.w.Eventually(20*time.Second, what, func() bool {
		return slices.ContainsFunc(m.events(), func(e told) bool { return e.String() == what })
	})
}

// changes are the events behind the state that are about a namespace, as text.
func (m *monitor) changes(ns string) (out []string) {
	events := m.events()
	end := slices.IndexFunc(events, func(e told) bool { return e.Event == "end" })
	for _, e := range events[end+1:] {
		if e.Netns == ns {
			out = append(out, e.String())
		}
	}
	return out
}

// TestMonitorMove: a device that moves to and fro under traffic leaves in one namespace and arrives in the other, in this
// order; who listens to one hears nothing of the other, and all that there is to hear of its own.
func TestMonitorMove(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a, _ := w.host(1, "red"), w.host(2, "blue")
	red, blue := w.monitor("-n", "red", "monitor", "all"), w.monitor("-n", "blue", "monitor", "all")
	all := w.monitor("--all-netns", "monitor")
	stop := w.flood(a, "10.0.1.1")
	at, to := "red", "blue"
	for range 6 {
		w.r.Must(fmt.Sprintf(`-n %[1]s link set p1 netns %[2]s
			-n %[2]s addr add 10.0.1.1/24 dev p1
			-n %[2]s link set p1 up
			-n %[2]s route add 198.51.100.0/24 via 10.0.1.2`, at, to))
		w.ping(a, "10.0.1.1", 3)
		at, to = to, at
	}
	stop()
	w.r.Must("-n red link add end type dummy\n-n blue link add end type dummy")
	for ns, m := range map[string]*monitor{"red": red, "blue": blue} {
		m.until(ns + " new link end")
		all.until(ns + " new link end")
		for _, e := range m.events() {
			if e.Netns != ns {
				t.Errorf("the monitor of %s was told %v", ns, e)
			}
		}
		if one, of := m.changes(ns), all.changes(ns); !slices.Equal(one, of) {
			t.Errorf("%s:\n%s\nof all:\n%s", ns, strings.Join(one, "\n"), strings.Join(of, "\n"))
		}
	}
	where, moves := "red", 0
	for _, e := range all.events() {
		switch {
		case e.Object != "link" || e.IfName != "p1":
		case e.Event == "deleted" && e.Netns == where:
			where = ""
			moves++
		case where == "":
			where = e.Netns
		}
		if e.IfName == "p1" && e.Netns != where && where != "" {
			t.Fatalf("%v, but p1 is in %q", e, where)
		}
	}
	if moves != 6 || where != "red" {
		t.Errorf("%d moves, the last to %q", moves, where)
	}
	neighbors := slices.DeleteFunc(all.events(), func(e told) bool { return e.Object != "neigh" || e.Dst != "10.0.1.2" })
	if len(neighbors) < 6 {
		t.Errorf("the neighbour was learned anew after each move, told was %v", neighbors)
	}
}

// TestMonitorWhileChanging: who reads the state of a table of 20,000 routes, some of which come and go all the time, and
// then the changes, knows in the end what is there.
func TestMonitorWhileChanging(t *testing.T) {
	w := newWorld(t)
	w.r.Must("link add d0 type dummy\naddr add 10.0.0.1/24 dev d0\nlink set d0 up")
	prefix := func(i int) string { return fmt.Sprintf("20.%d.%d.0/24", i>>8, i&255) }
	var table strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&table, "route add %s via 10.0.0.9\n", prefix(i))
	}
	w.r.Batch(table.String())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for round := 0; ; round++ {
			var changes strings.Builder
			for i := range 200 {
				verb := "del"
				if round%2 == 1 {
					verb = "add"
				}
				fmt.Fprintf(&changes, "route %s %s via 10.0.0.9\n", verb, prefix(i*97+round/2%97))
			}
			if res := w.r.Input(changes.String(), "-batch", "-"); res.Status != 0 {
				t.Errorf("changes: %s", res.Stderr)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	readers := []*monitor{w.monitor("monitor", "route"), w.monitor("monitor", "all"), w.monitor("--all-netns", "monitor", "route")}
	time.Sleep(time.Second)
	close(stop)
	<-stopped
	w.r.Must("route add blackhole 30.0.0.0/8")
	there := make(map[string]bool)
	for _, r := range query[struct{ Dst string }](w, "route show") {
		there[r.Dst] = true
	}
	for i, m := range readers {
		m.until("init new route 30.0.0.0/8")
		known, changed := make(map[string]bool), 0
		for _, e := range m.events() {
			switch {
			case e.Missed > 0:
				t.Errorf("reader %d missed %d", i, e.Missed)
			case e.Object != "route" || strings.Contains(e.Dst, ":"):
			case e.Event == "deleted" && !known[e.Dst]:
				t.Errorf("reader %d was told that %s is deleted, of which it did not know", i, e.Dst)
			case e.Event == "deleted":
				delete(known, e.Dst)
				changed++
			case known[e.Dst]:
				t.Errorf("reader %d was told of %s twice", i, e.Dst)
			default:
				known[e.Dst] = true
			}
		}
		if !maps.Equal(known, there) {
			t.Errorf("reader %d knows %d routes, there are %d", i, len(known), len(there))
		}
		if changed == 0 {
			t.Errorf("reader %d saw no change", i)
		}
	}
}

// TestMonitorStopped: a reader that does not read holds nobody up, and is told how much it has missed.
func TestMonitorStopped(t *testing.T) {
	t.Setenv("GOGC", "100") // what is kept is to be seen, not what is collected later
	w := newWorld(t)
	w.r.Must("link add d0 type dummy\naddr add 10.0.0.1/24 dev d0\nlink set d0 up")
	m := w.monitor("monitor", "all")
	m.p.Signal(unix.SIGSTOP)
	const routes = 60_000
	var table strings.Builder
	for i := range routes {
		fmt.Fprintf(&table, "route add 20.%d.%d.0/24 via 10.0.0.9\n", i>>8, i&255)
	}
	before := w.rss()
	start := time.Now()
	w.r.Batch(table.String())
	for i := range 100 {
		w.r.Must(fmt.Sprintf("link set d0 mtu %d", 1300+i))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("changes took %v", took)
	}
	if after := w.rss(); after > before+routes*1500 {
		t.Errorf("memory grew from %d to %d bytes", before, after)
	}
	m.p.Signal(unix.SIGCONT)
	var heard, missed uint64
	w.Eventually(20*time.Second, "what was missed", func() bool {
		heard, missed = 0, 0
		for _, e := range m.events() {
			missed += e.Missed
			if e.Missed == 0 && !e.Snapshot && e.Event != "end" {
				heard++
			}
		}
		return heard+missed == routes+100
	})
	if missed == 0 || heard == 0 {
		t.Errorf("heard %d, missed %d", heard, missed)
	}
	w.r.Must("link add last type dummy")
	m.until("init new link last")
}

func (w *world) rss() int {
	w.t.Helper()
	n, err := w.r.Process().RSS()
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
