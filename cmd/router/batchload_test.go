package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

// table is n lines of a routing table, in a few forms: by gateway, by two, by device with a comment, for IPv6, of a type.
func table(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		p := fmt.Sprintf("%d.%d.%d.0/24", 20+i>>16, i>>8&255, i&255)
		switch i % 7 {
		case 0:
			lines[i] = fmt.Sprintf("route add %s dev d0 # %d", p, i%3)
		case 1:
			lines[i] = fmt.Sprintf("route add %s metric %d nexthop via 10.0.0.2 nexthop via 10.0.0.3", p, i%5)
		case 2:
			lines[i] = fmt.Sprintf("r  a   %s via 10.0.0.2", p)
		case 3:
			lines[i] = fmt.Sprintf("route add blackhole %s", p)
		case 4:
			lines[i] = fmt.Sprintf("route add 2001:db8:%x::5/48 dev d0", i)
		default:
			lines[i] = fmt.Sprintf("route add %s via 10.0.0.%d", p, 2+i%200)
		}
	}
	return lines
}

const tableSetUp = "link add d0 type dummy\nlink set d0 up\naddr add 10.0.0.1/24 dev d0\naddr add 2001:db8::1/64 dev d0"

// TestBatchLoadsATable: a table makes the same routes whether it is sent as a load or line by line.
func TestBatchLoadsATable(t *testing.T) {
	lines := table(20 * minRun)
	d := newTestDaemon(t)
	d.must(tableSetUp)
	if r := d.runWith(strings.Join(lines, "\n"), "-batch", "-"); r.status != 0 || r.out+r.err != "" {
		t.Fatalf("status %d: %s%s", r.status, r.out, r.err)
	}
	one := newTestDaemon(t)
	one.must(tableSetUp)
	for part := range slices.Chunk(lines, minRun-1) {
		if r := one.runWith(strings.Join(part, "\n"), "-batch", "-"); r.status != 0 {
			t.Fatal(r.err)
		}
	}
	for _, family := range []string{"-4", "-6"} {
		got, want := d.must(family+" route"), one.must(family+" route")
		if got != want || strings.Count(got, "\n") < 2*minRun {
			t.Errorf("%s: %d lines, want %d:\n%s", family, strings.Count(got, "\n"), strings.Count(want, "\n"), differences(want, got))
		}
	}
}

// TestBatchLoadNamesTheLine: a line that is refused amid many is named, and the words are those of a single command,
// with the prefix before them where they do not say it.
func TestBatchLoadNamesTheLine(t *testing.T) {
	for wrong, want := range map[string]string{
		"route add 20.0.5.0/24 via 10.0.0.9":              "File exists: route 20.0.5.0/24 metric 0 (replace or append i...",
		"route add 99.0.0.1/24 via 10.0.0.9":              "Invalid prefix for given prefix length: 99.0.0.1/24 has host...",
		"route add 99.0.0.0/24 via 99.0.0.9":              "99.0.0.0/24: Nexthop has invalid gateway: no route leads to ...",
		"route add 99.0.0.0/24 nhid 5":                    "99.0.0.0/24: Nexthop id does not exist: nhid 5 (see nexthop show)",
		"route add 99.0.0.0/24 via ::ffff:1.2.3.4 dev d0": "inet address is expected rather than \"::ffff:1.2.3.4\"...",
		"route add 99.0.0.0/24 frobnicate d0":             "either \"to\" is duplicate, or \"frobnicate\" is a garbage",
		"route del 99.0.0.0/24":                           "No such process: no route 99.0.0.0/24 fits (see route show 99.0.0.0/24)",
		"link show nope":                                  "Cannot find device \"nope\"",
	} {
		lines := table(4 * minRun)
		const at = 3*minRun + 11
		lines[at] = wrong
		d := newTestDaemon(t)
		d.must(tableSetUp)
		r := d.runWith(strings.Join(lines, "\n"), "-batch", "-")
		want, open := strings.CutSuffix(want, "...")
		tail := fmt.Sprintf(" (Command failed -:%d)\n", at+1)
		if r.status == 0 || strings.Count(r.err, "\n") != 1 ||
			!strings.HasPrefix(r.err, "Error: "+want) || !strings.HasSuffix(r.err, tail) ||
			!open && r.err != "Error: "+want+tail {
			t.Errorf("%s: status %d: %s", wrong, r.status, r.err)
		}
		if n := strings.Count(d.must("-o -4 route")+d.must("-o -6 route show proto boot"), "\n"); n != at+1 {
			t.Errorf("%s: %d routes are there, not the %d before it and one connected", wrong, n, at)
		}
		d = newTestDaemon(t)
		d.must(tableSetUp)
		r = d.runWith(strings.Join(lines, "\n"), "-force", "-batch", "-")
		if r.status == 0 || strings.Count(r.err, "\n") != 1 || !strings.HasSuffix(r.err, tail) {
			t.Errorf("-force, %s: status %d: %s", wrong, r.status, r.err)
		}
		if n := strings.Count(d.must("-o -4 route")+d.must("-o -6 route show proto boot"), "\n"); n != len(lines) {
			t.Errorf("-force, %s: %d routes are there, not %d", wrong, n, len(lines))
		}
	}
}

// TestBatchLoadKeepsOrder: what is between the routes of a table happens between them.
func TestBatchLoadKeepsOrder(t *testing.T) {
	lines := table(3 * minRun)
	d := newTestDaemon(t)
	d.must(tableSetUp)
	again := slices.Concat(lines, []string{"route show 20.0.2.0/24", "route del 20.0.5.0/24", "route del 20.0.2.0/24"},
		[]string{lines[5], "route replace 20.0.2.0/24 via 10.0.0.77", "route show root 20.0.0.0/21"})
	r := d.runWith(strings.Join(again, "\n"), "-batch", "-")
	want := "20.0.2.0/24 via 10.0.0.2 dev d0 \n"
	if r.status != 0 || !strings.HasPrefix(r.out, want) || !strings.Contains(r.out, "20.0.2.0/24 via 10.0.0.77 dev d0 \n") {
		t.Errorf("status %d: %s%s", r.status, r.out, r.err)
	}
}

// TestShowTakesConstantMemory: the client shows many routes without holding them.
func TestShowTakesConstantMemory(t *testing.T) {
	d := newTestDaemon(t)
	d.must(tableSetUp)
	var b strings.Builder
	const n = 150_000
	for i := range n {
		fmt.Fprintf(&b, "route add %d.%d.%d.0/24 via 10.0.0.2\n", 20+i>>16, i>>8&255, i&255)
	}
	if r := d.runWith(b.String(), "-batch", "-"); r.status != 0 {
		t.Fatal(r.err)
	}
	for _, words := range []string{"route show", "-j route show", "-d route show"} {
		cmd := d.program(strings.Fields(words)...)
		rows, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var first, last int // KiB, after the first and the last million bytes that came while it ran
		for err == nil {
			if _, err = io.CopyN(io.Discard, rows, 1<<20); err == nil {
				last = max(last, peakMemory(t, cmd.Process.Pid))
			}
			if first == 0 {
				first = last
			}
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if first == 0 || last > first+16<<10 {
			t.Errorf("router %s takes %d KiB after its first rows, %d after its last", words, first, last)
		}
	}
}

// peakMemory is the most memory that a process has had, in KiB.
func peakMemory(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return 0 // it has just ended
	}
	return kib
}
