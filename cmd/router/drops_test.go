package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"nsrouter/dataplane/counters"
)

// count has a device count as a worker would.
func (d *testDaemon) count(netns, dev string, count func(*counters.Slot)) {
	d.t.Helper()
	links, err := d.table.Links(netns, dev)
	if err != nil || len(links) != 1 {
		d.t.Fatalf("%s %s: %v, %v", netns, dev, links, err)
	}
	count(links[0].Counters.Worker(0))
}

// newDropsDaemon has p1 in init, which dropped for two reasons, and p2 in red, which dropped for one.
func newDropsDaemon(t *testing.T) *testDaemon {
	d := newTestDaemon(t)
	d.must("netns add red\nlink add p1 type xdp host eth1\n-n red link add p2 type xdp host eth2\nlink add d0 type dummy")
	d.count("init", "p1", func(s *counters.Slot) {
		s.RxPackets.Add(20)
		s.Forwarded.Add(3)
		s.Delivered.Add(2)
		s.Drops[counters.TTLExpired].Add(12)
		s.Drops[counters.NoRoute].Add(3)
		s.Suppressed[counters.ErrorAnswer].Add(4)
	})
	d.count("red", "p2", func(s *counters.Slot) {
		s.RxPackets.Add(1)
		s.Drops[counters.RateLimited].Add(1)
	})
	return d
}

func TestDrops(t *testing.T) {
	d := newDropsDaemon(t)
	const ttl, route = "TTL or hop limit ran out", "no route covers the destination"
	script(t, d, `
$ drops
device  reason       packets  explanation
p1      ttl-expired       12  `+ttl+`
p1      no-route           3  `+route+`
p1: received 20 forwarded 3 delivered 2 held 0 dropped 15 suppressed errors 4
$ d
device  reason       packets  explanation
...
p1      no-route           3  `+route+`
p1: received 20 forwarded 3 delivered 2 held 0 dropped 15 suppressed errors 4
$ -j drops dev p1
[{"ifname":"p1","reason":"ttl-expired","packets":12,"explanation":"`+ttl+`","netns":"init"},`+
		`{"ifname":"p1","reason":"no-route","packets":3,"explanation":"`+route+`","netns":"init"}]
$ drops d0
$ -j drops show d0
[]
$ -n red drops
device  reason        packets  explanation
p2      rate-limited        1  ...
p2: received 1 forwarded 0 delivered 0 held 0 dropped 1
$ --all-netns drops dev p2
device  reason        packets  explanation
red/p2  rate-limited        1  ...
red/p2: received 1 forwarded 0 delivered 0 held 0 dropped 1
$ drops dev p2
! Error: Cannot find device "p2"
? 2
$ -n blue drops
! Error: Cannot open network namespace "blue"...
? 2
$ drops dev p1 dev p1
! Error: duplicate "dev": give it once
? 1
$ drops -w 0
! Error: argument "0" is wrong: "-watch" takes seconds from 0.1 to 86400
? 1
$ drops --watch x y
! Error: duplicate "dev": give it once
? 1
$ -s link show p1
2: p1: ...
    link/ether ...
    xdp ...
    RX:  ...
             0 ...
    TX:  ...
             0 ...
    forwarded 3 delivered 2 held 0
    drops: ttl-expired 12 no-route 3
    suppressed errors 4
    queue 0: ...
`)
}

// TestDropsAll: every reason has a name of its own, an explanation, and a row.
func TestDropsAll(t *testing.T) {
	d := newDropsDaemon(t)
	var rows []dropJSON
	if err := json.Unmarshal([]byte(d.must("-j drops dev p1 all")), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != int(counters.NumReasons) {
		t.Errorf("%d rows of %d", len(rows), counters.NumReasons)
	}
	seen := make(map[string]bool)
	for _, r := range rows {
		if r.Reason == "" || r.Explanation == "" || seen[r.Reason] || r.IfName != "p1" || r.Netns != "init" {
			t.Errorf("%+v", r)
		}
		seen[r.Reason] = true
	}
}

// watcher gathers what a watching command prints, and ends it after some blocks.
type watcher struct {
	bytes.Buffer

	block  func(n int)
	blocks int
}

func (w *watcher) Write(b []byte) (int, error) {
	w.blocks++ // each is flushed whole
	w.block(w.blocks)
	return w.Buffer.Write(b)
}

func (d *testDaemon) watch(words string, block func(n int, stop func())) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w := &watcher{block: func(n int) { block(n, cancel) }}
	var errOut bytes.Buffer
	status := run(ctx, append([]string{"--socket", d.socket}, strings.Fields(words)...), strings.NewReader(""), w, &errOut)
	if status != 0 {
		d.t.Fatalf("router %s: status %d: %s", words, status, errOut.String())
	}
	return w.String()
}

// TestDropsWatch: one block after the other, the later ones with what was added a second.
func TestDropsWatch(t *testing.T) {
	d := newDropsDaemon(t)
	more := func(n int, stop func()) {
		d.count("init", "p1", func(s *counters.Slot) { s.Drops[counters.NoRoute].Add(1000) })
		if n == 3 {
			stop()
		}
	}
	out := d.watch("-j drops dev p1 -w 0.1", more)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d blocks: %s", len(lines), out)
	}
	for i, line := range lines {
		var rows []dropJSON
		if err := json.Unmarshal([]byte(line), &rows); err != nil || len(rows) != 2 {
			t.Fatalf("%v: %s", err, line)
		}
		still, moving := &rows[0], &rows[1]
		if (moving.PerSecond == nil) != (i == 0) || moving.Packets != uint64(3+1000*i) {
			t.Errorf("block %d: %s", i, line)
		}
		if i > 0 && (*still.PerSecond != 0 || *moving.PerSecond < 100 || *moving.PerSecond > 1e6) {
			t.Errorf("block %d: %s", i, line)
		}
	}
	text := d.watch("drops dev p1 -watch 0.1", more)
	if strings.Count(text, "explanation") != 3 || strings.Count(text, "per-second") != 2 || strings.Count(text, "\n\n") != 2 {
		t.Errorf("watch: %s", text)
	}
}

// TestRedrawn: on a terminal each block takes the place of the one before, whatever that had at the ends of its lines.
func TestRedrawn(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := redrawn("a\nb\n", f, false), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := redrawn("a\n", f, true); !strings.HasPrefix(got, "\x1b[H\x1b[2J") {
		t.Errorf("%q", got)
	}
}

func TestRPFilterSetting(t *testing.T) {
	d := newDropsDaemon(t)
	for _, c := range []struct{ value, shown string }{
		{"strict", "strict"}, {"2", "loose"}, {"loose", "loose"}, {"1", "strict"}, {"0", ""},
	} {
		d.must("link set p1 rp-filter " + c.value)
		want := `"settings":{"rp_filter":"` + c.shown + `"}`
		if got := d.must("-j link show p1"); strings.Contains(got, want) != (c.shown != "") {
			t.Errorf("rp-filter %s: %s", c.value, got)
		}
	}
	script(t, d, `
$ link set p1 rp-filter 3
! Error: argument "3" is wrong: "rp-filter" takes off or strict or loose
? 1
`)
}

// TestLimitSettings: the limits of answers are set of a namespace and of a device, and shown where they are not the
// default.
func TestLimitSettings(t *testing.T) {
	d := newDropsDaemon(t)
	for _, name := range []string{
		"icmp-msgs-per-sec", "icmp-msgs-burst", "too-big-rate", "echo-rate", "neigh-rate", "punt-rate",
		"punt-routing-rate", "punt-tcp-rate",
	} {
		want := `"settings":{"` + strings.ReplaceAll(name, "-", "_") + `":7}`
		d.must("netns set red " + name + " 7\nlink set p1 " + name + " 7")
		for _, list := range []string{"-j netns", "-j link show p1"} {
			if got := d.must(list); !strings.Contains(got, want) {
				t.Errorf("%s: no %s: %s", list, want, got)
			}
		}
		standard := map[string]string{"icmp-msgs-per-sec": "1000", "icmp-msgs-burst": "50", "too-big-rate": "10000",
			"punt-rate": "30000", "punt-routing-rate": "20000", "punt-tcp-rate": "200000"}[name]
		if standard == "" {
			standard = "100000"
		}
		d.must("netns set red " + name + " " + standard)
		if name == "icmp-msgs-burst" {
			d.must("link set p1 " + name + " 50")
		} else {
			d.must("link set p1 " + name + " 0")
		}
		if got := d.must("-j netns") + d.must("-j link show p1"); strings.Contains(got, "settings") {
			t.Errorf("%s at its default is shown: %s", name, got)
		}
	}
	script(t, d, `
$ netns set red echo-rate many
! Error: argument "many" is wrong: "echo-rate" takes a number from 0 to 10000000
? 1
$ link set p1 icmp-msgs-burst 0
! Error: argument "0" is wrong: "icmp-msgs-burst" takes a number from 1 to 65535
? 1
`)
}

// TestHashPolicySetting: the sysctl's numbers do for the names, and 1 is the default here.
func TestHashPolicySetting(t *testing.T) {
	d := newDropsDaemon(t)
	for value, shown := range map[string]bool{"l3": true, "0": true, "5-tuple": false, "l4": false, "1": false} {
		d.must("netns set red fib-multipath-hash-policy " + value)
		if got := d.must("-j netns"); strings.Contains(got, `"settings":{"fib_multipath_hash_policy":"l3"}`) != shown {
			t.Errorf("%s: %s", value, got)
		}
	}
	script(t, d, `
$ netns set red fib-multipath-hash-policy 3
! Error: argument "3" is wrong: "fib-multipath-hash-policy" takes l3 or 5-tuple
? 1
$ route get 10.0.0.1 flowlabel 0x100000
! Error: argument "0x100000" is wrong: "flowlabel" takes a number up to 1048575
? 1
`)
}
