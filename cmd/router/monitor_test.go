package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMonitorSnapshot: what is there comes first, then the changes; all are numbered, and of one namespace.
func TestMonitorSnapshot(t *testing.T) {
	d := newTestDaemon(t)
	d.must(`netns add red
link add d0 type dummy
-n red link add d1 type dummy
-n red link set d1 up
-n red addr add 10.0.0.1/24 dev d1
-n red nexthop add id 7 via 10.0.0.7 dev d1
-n red route add 10.9.0.0/16 nhid 7
-n red neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev d1 nud permanent`)
	m := d.start("-n", "red", "-d", "monitor", "all", "--snapshot")
	m.until("that is all")
	d.must("link add d2 type dummy\n-n red route del 10.9.0.0/16")
	m.until("Deleted")
	var got []string
	for line := range strings.Lines(m.text()) {
		words := strings.Fields(line)
		got = append(got, strings.Join(words[:min(3, len(words))], " "))
	}
	want := []string{
		"[1][NETNS]netns red routes", "[2][LINK]1: lo: <LOOPBACK,UP,LOWER_UP>", "[3][LINK]2: d1: <BROADCAST,NOARP,UP,LOWER_UP>",
		"[4][ADDR]1: lo inet", "[5][ADDR]1: lo inet6", "[6][ADDR]2: d1 inet", "[7][ADDR]2: d1 inet6",
		"[8][NEXTHOP]id 7 via", "[9][NEIGH]10.0.0.7 dev d1",
		"[10][ROUTE]unicast 10.0.0.0/24 dev", "[11][ROUTE]unicast 10.9.0.0/16 nhid", "[12][ROUTE]unicast fe80::/64 dev",
		"[13][SNAPSHOT]that is all:", "[14][ROUTE]Deleted unicast 10.9.0.0/16",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMonitorJSON: an object for each event.
func TestMonitorJSON(t *testing.T) {
	d := newTestDaemon(t)
	m := d.start("-j", "monitor", "link", "--snapshot", "--all-netns")
	m.until(`"end"`)
	d.must("netns add red\n-n red link add d0 type dummy\n-n red link del d0")
	m.until(`"deleted"`)
	want := []string{
		"1 new link init lo", "2 end snapshot  ", "3 new link red lo", "4 new link red lo",
		"5 new link red d0", "6 deleted link red d0",
	}
	i := 0
	for line := range strings.Lines(m.text()) {
		var e struct {
			Seq                          json.Number
			Event, Object, Netns, IfName string
			Snapshot                     bool
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text := strings.Join([]string{e.Seq.String(), e.Event, e.Object, e.Netns, e.IfName}, " ")
		if i >= len(want) || text != want[i] || e.Snapshot != (i == 0) {
			t.Errorf("line %d: %s, snapshot %v", i, text, e.Snapshot)
		}
		i++
	}
}

// started is a program in a process of its own that writes to a file.
type started struct {
	d    *testDaemon
	file string
}

func (d *testDaemon) start(words ...string) *started {
	d.t.Helper()
	f, err := os.CreateTemp(d.t.TempDir(), "out")
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := d.program(words...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		f.Close()
	})
	return &started{d, f.Name()}
}

func (s *started) text() string {
	text, err := os.ReadFile(s.file)
	if err != nil {
		s.d.t.Fatal(err)
	}
	return string(text)
}

// until waits for a word in what is written.
func (s *started) until(word string) {
	s.d.t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(s.text(), word); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.d.t.Fatalf("no %q in\n%s", word, s.text())
		}
	}
}
