package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// importDaemon is a daemon with d0, 10.0.0.1/24 and 2001:db8::1/64, and a directory for files.
func importDaemon(t *testing.T) (d *testDaemon, dir string) {
	d = newTestDaemon(t)
	d.must(`link add d0 type dummy
link set d0 up
addr add 10.0.0.1/24 dev d0
addr add 2001:db8::1/64 dev d0`)
	return d, t.TempDir()
}

func importFile(t *testing.T, dir, text string) string {
	t.Helper()
	name := filepath.Join(dir, "f")
	write(t, name, text)
	return name
}

// shown are the routes of protocol mrt, without what follows the device.
func shown(d *testDaemon, options string) string {
	var out []string
	for line := range strings.Lines(d.must(options + " route show proto mrt")) {
		out = append(out, strings.TrimSpace(line))
	}
	return strings.Join(out, "\n")
}

func TestImportList(t *testing.T) {
	d, dir := importDaemon(t)
	name := importFile(t, dir, "# two\n10.1.0.0/16 10.0.0.2\n10.2.0.0/16 via 10.0.0.3\n2001:db8:1::/48 2001:db8::2\n")
	for range 2 { // the second time replaces
		if r := d.run("route import " + name); r.status != 0 || !strings.HasPrefix(r.out, "3 routes applied in ") || r.err != "" {
			t.Fatalf("status %d: %s%s", r.status, r.out, r.err)
		}
	}
	if got := shown(d, "-4"); got != "10.1.0.0/16 via 10.0.0.2 dev d0\n10.2.0.0/16 via 10.0.0.3 dev d0" {
		t.Error(got)
	}
	if got := shown(d, "-6"); got != "2001:db8:1::/48 via 2001:db8::2 dev d0 metric 1024 pref medium" {
		t.Error(got)
	}
	var sums []struct {
		Read, Applied, Skipped int
		Removed                *int
		Seconds                float64
	}
	if err := json.Unmarshal([]byte(d.must("-4 -j r import "+name+" limit 1 metric 7")), &sums); err != nil || len(sums) != 1 {
		t.Fatal(err)
	}
	if sum := sums[0]; sum.Read != 1 || sum.Applied != 1 || sum.Skipped != 0 || sum.Removed != nil || sum.Seconds <= 0 {
		t.Errorf("%+v", sums)
	}
	r := d.runWith("10.9.0.0/16\n", "route", "import", "-", "via", "10.0.0.9", "proto", "bgp")
	if r.status != 0 || d.must("route show proto bgp") != "10.9.0.0/16 via 10.0.0.9 dev d0 \n" {
		t.Errorf("%+v", r)
	}
}

func TestImportReplace(t *testing.T) {
	d, dir := importDaemon(t)
	d.must("route add 10.8.0.0/16 via 10.0.0.2 proto static")
	d.must("route import " + importFile(t, dir, "10.1.0.0/16\n10.2.0.0/16\n10.3.0.0/16\n2001:db8:1::/48\n") + " dev d0")
	name := importFile(t, dir, "10.2.0.0/16\n10.4.0.0/16\n")
	if out := d.must("-j -4 route import " + name + " dev d0 replace"); !strings.Contains(out, `"applied":2,"skipped":0,"removed":2`) {
		t.Error(out)
	}
	if got := shown(d, "-4"); got != "10.2.0.0/16 dev d0 scope link\n10.4.0.0/16 dev d0 scope link" {
		t.Error(got)
	}
	if got := shown(d, "-6"); !strings.HasPrefix(got, "2001:db8:1::/48 ") {
		t.Errorf("-4 was said, and of IPv6 there is %q", got)
	}
	d.must("route show 10.8.0.0/16")
	if out := d.must("route import " + name + " dev d0 replace"); !strings.Contains(out, ", 1 removed that are no longer there") {
		t.Error(out)
	}
	if got := shown(d, "-6"); got != "" {
		t.Error(got)
	}

	d.must("route add 10.5.0.0/16 dev d0 proto mrt metric 5\nroute add 10.5.0.0/16 dev d0 proto mrt metric 9")
	d.must("route import " + name + " dev d0 metric 9 replace")
	if got := shown(d, "-4"); !strings.Contains(got, "10.5.0.0/16 dev d0 scope link metric 5") ||
		strings.Contains(got, "10.5.0.0/16 dev d0 scope link metric 9") {
		t.Error(got)
	}
}

func TestImportMaps(t *testing.T) {
	d, dir := importDaemon(t)
	name := importFile(t, dir,
		"10.1.0.0/16 192.0.2.1\n10.2.0.0/16 192.0.2.2\n10.3.0.0/16 198.51.100.1\n10.4.0.0/16\n10.5.0.0/16 10.0.0.5\n")
	for words, want := range map[string]string{
		"via 10.0.0.9 map 192.0.2.2 dev d0 map 192.0.2.0/24 via 10.0.0.2": "10.0.0.2 - 10.0.0.9 10.0.0.9 10.0.0.9",
		"map 192.0.2.2 via 10.0.0.4 dev d0 map default via 10.0.0.3":      "10.0.0.3 10.0.0.4 10.0.0.3 10.0.0.3 10.0.0.3",
		"map 0.0.0.0/0 via 10.0.0.2 map 10/8 via 10.0.0.7 dev d0":         "",
		"map 0.0.0.0/0 via 10.0.0.2 dev d0 metric 3 dev d0":               "10.0.0.2 10.0.0.2 10.0.0.2 - 10.0.0.2",
	} {
		r := d.run("-j route import " + name + " " + words)
		if want == "" {
			if reason := "Error: " + name + ":4: 10.4.0.0/16 has no next hop: give one for all such routes with "; r.status != 2 ||
				!strings.HasPrefix(r.err, reason) || shown(d, "") != "" {
				t.Errorf("%s: %+v", words, r)
			}
			continue
		}
		if r.status != 0 {
			t.Errorf("%s: %+v", words, r)
		}
		var list []struct{ Gateway string }
		if err := json.Unmarshal([]byte(d.must("-j route show proto mrt")), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range list {
			got = append(got, l.Gateway)
			if l.Gateway == "" {
				got[len(got)-1] = "-"
			}
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s\n got %s\nwant %s", words, g, want)
		}
		d.must("route flush proto mrt")
	}
}

func TestImportRefused(t *testing.T) {
	d, dir := importDaemon(t)
	name := importFile(t, dir, "10.1.0.0/16 10.0.0.2\n\n10.2.0.0/16 99.0.0.1\n10.3.0.0/16 10.0.0.2\n")
	r := d.run("route import " + name)
	if r.status != 2 || !strings.HasPrefix(r.err, "Error: "+name+":3: 10.2.0.0/16: Nexthop has invalid gateway: ") ||
		!strings.HasSuffix(r.err, " (nothing was applied; \"partial\" applies what comes before)\n") ||
		strings.Count(r.err, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	if got := shown(d, ""); got != "" {
		t.Error(got)
	}
	r = d.run("route import " + name + " partial")
	if r.status != 2 || !strings.HasSuffix(r.err, " (1 of 3 routes were applied)\n") {
		t.Errorf("%+v", r)
	}
	if got := shown(d, ""); got != "10.1.0.0/16 via 10.0.0.2 dev d0" {
		t.Error(got)
	}
	empty := importFile(t, t.TempDir(), "#\n")
	both := importFile(t, dir, "10.1.0.0/16\n2001:db8:1::/48\n")
	for words, want := range map[string]string{
		"":                                "1 not enough information: the file is missing",
		"/nonexistent":                    "1 cannot open file \"/nonexistent\" for reading: no such file or directory",
		dir + " via 10.0.0.2":             "2 " + dir + ": read " + dir + ": is a directory",
		name + " peer 10.0.0.1":           "2 " + name + ": a list of prefixes names no peers",
		name + " via":                     "1 command line is not complete: \"via\" needs a value",
		name + " via 10.0.0.300":          "1 inet or inet6 address is expected rather than \"10.0.0.300\"",
		name + " map":                     "1 command line is not complete: \"map\" needs a next hop",
		name + " map x via 1.1.1.1":       "1 a next hop, a prefix of next hops or \"default\" is expected after \"map\"",
		name + " map 1.1.1.1 metric 3":    "1 \"via ADDR\", \"dev NAME\" or \"nhid ID\" is expected after \"map 1.1.1.1\"",
		name + " nhid 3 dev d0":           "1 \"nhid\" goes without \"via\" and \"dev\"",
		name + " limit 0":                 "1 argument \"0\" is wrong: \"limit\" takes a number of routes",
		name + " via 1.1.1.1 via 2.2.2.2": "1 duplicate \"via\"",
		name + " via 1.1.1.1 map default via 2.2.2.2": "1 duplicate \"map default\"",
		name + " frobnicate":                          "1 either \"file\" is duplicate, or \"frobnicate\" is a garbage",
		both + " dev d0 replace limit 1":              "1 \"replace\" goes without \"limit\"",
		both + " via 10.0.0.2":                        "2 " + both + ":2: 2001:db8:1::/48 cannot go via 10.0.0.2: take one",
		empty + " dev d0":                             "2 \"" + empty + "\" has no routes to apply: 0 routes read, 0 of them",
	} {
		r := d.run("route import " + words)
		if got := fmt.Sprintf("%d %s", r.status, strings.TrimPrefix(r.err, "Error: ")); !strings.HasPrefix(got, want) {
			t.Errorf("%s\n got %s\nwant %s", words, got, want)
		}
	}
}

// tableDump is an MRT dump with one peer and a route to each prefix.
func tableDump(prefixes []netip.Prefix, hop func(i int) [4]byte) []byte {
	var b []byte
	record := func(subtype uint16, body []byte) {
		b = append(b, "time\x00\x0d"...)
		b = binary.BigEndian.AppendUint16(b, subtype)
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
	}
	record(1, []byte("\x0a\x00\x00\x01\x00\x00\x00\x01\x02\x0a\x00\x00\x02\xc0\x00\x02\x01\x00\x00\xfb\xf5")) // a peer, AS 64501
	for i, p := range prefixes {
		a, h := p.Addr().As4(), hop(i)
		body := append([]byte{0, 0, 0, 0, byte(p.Bits())}, a[:(p.Bits()+7)/8]...)
		body = append(body, "\x00\x01\x00\x00time\x00\x07\x40\x03\x04"...)
		record(2, append(body, h[:]...))
	}
	return b
}

// threePrefixes are 10.1.0.0/16 and the two after it.
func threePrefixes() (list []netip.Prefix) {
	for i := range byte(3) {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, i + 1}), 16))
	}
	return list
}

func TestImportMRT(t *testing.T) {
	d, dir := importDaemon(t)
	data := tableDump(threePrefixes(), func(i int) [4]byte { return [4]byte{10, 0, 0, byte(i * 2)} }) // the second's is 10.0.0.2
	copy(data[len(data)-4:], "\x00\x00\x00\x00")                                                      // the last has none
	data = append(data, "time\x00\x0d\x00\x03\x00\x00\x00\x04????"...)                                // of a multicast table
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(data)
	z.Close()
	name := importFile(t, dir, packed.String())

	out := d.must("-j route import " + name + " peer 192.0.2.1 peer-as 64501 map 10.0.0.0 via 10.0.0.77")
	if !strings.HasPrefix(out, `[{"read":4,"applied":2,"skipped":2,"seconds":`) {
		t.Error(out)
	}
	if got := shown(d, ""); got != "10.1.0.0/16 via 10.0.0.77 dev d0\n10.2.0.0/16 via 10.0.0.2 dev d0" {
		t.Error(got)
	}
	r := d.run("route import " + name + " peer 192.0.2.9")
	if r.status != 2 || !strings.Contains(r.err, ": record at byte 0: no peer 192.0.2.9 is in the table: it has 192.0.2.1 of AS") {
		t.Errorf("%+v", r)
	}
	if out = d.must("route import " + name + " map default via 10.0.0.5"); !strings.HasPrefix(out, "3 routes applied in ") {
		t.Error(out)
	}
}

// TestImportDamage cuts and breaks files: nothing is applied, or with "partial" what is before the damage.
func TestImportDamage(t *testing.T) {
	d, dir := importDaemon(t)
	list := "10.1.0.0/16\n10.2.0.0/16\n10.3.0.1/16\n10.4.0.0/16\n"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, "10.1.0.0/16\n10.2.0.0/16\n")
	z.Close()
	packed.Bytes()[packed.Len()-8] ^= 1 // the checksum
	dump := tableDump(threePrefixes(), func(int) [4]byte { return [4]byte{10, 0, 0, 2} })
	for text, reason := range map[string]string{
		list:                       ":3: prefix 10.3.0.1/16 has host bits: 10.3.0.0/16 has none",
		packed.String():            ":3: the gzip data is damaged: gzip: invalid checksum",
		string(dump[:len(dump)-1]): ": record at byte 105: the file is cut off in the record's body, ",
	} {
		name := importFile(t, dir, text)
		r := d.run("route import " + name + " dev d0")
		if r.status != 2 || !strings.HasPrefix(r.err, "Error: "+name+reason) || shown(d, "") != "" ||
			!strings.HasSuffix(r.err, " (nothing was applied; \"partial\" applies what comes before: 2 routes)\n") {
			t.Errorf("%+v", r)
		}
		d.must("route add 10.9.0.0/16 dev d0 proto mrt") // "replace" keeps it: who knows what the file had
		r = d.run("-j route import " + name + " dev d0 partial replace")
		if r.status != 2 || !strings.HasPrefix(r.err, "Error: "+name+reason) || !strings.Contains(r.out, `"applied":2,`) {
			t.Errorf("%+v", r)
		}
		if got := strings.Count(shown(d, ""), "\n"); got != 2 {
			t.Error(shown(d, ""))
		}
		d.must("route flush proto mrt")
	}
	name := importFile(t, dir, list)
	d.must("route import " + name + " dev d0 limit 2") // the damage is behind
}

func TestImportInBatch(t *testing.T) {
	d, dir := importDaemon(t)
	name := importFile(t, dir, "10.1.0.0/16\n10.2.0.0/16\n")
	r := d.runWith("route add 10.1.0.0/16 dev d0 proto mrt\nroute import "+name+" via 10.0.0.2\nroute del 10.2.0.0/16\n", "-b", "-")
	if r.status != 0 || shown(d, "") != "10.1.0.0/16 via 10.0.0.2 dev d0" {
		t.Errorf("%+v %q", r, shown(d, ""))
	}
	r = d.runWith("route import - dev d0\n10.3.0.0/16\n", "-b", "-")
	if r.status != 1 || !strings.Contains(r.err, "standard input has the commands of this batch") {
		t.Errorf("%+v", r)
	}
}

func TestImportMany(t *testing.T) {
	const n = 30_000
	d, dir := importDaemon(t)
	prefixes := make([]netip.Prefix, n)
	for i := range prefixes {
		prefixes[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i)}), 24)
	}
	name := importFile(t, dir, string(tableDump(prefixes, func(i int) [4]byte { return [4]byte{10, 0, 0, byte(2 + i%200)} })))
	start := time.Now()
	d.must("route import " + name)
	t.Logf("%d routes in %v", n, time.Since(start))
	if got := strings.Count(shown(d, ""), "\n") + 1; got != n {
		t.Errorf("%d routes", got)
	}
}

func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		width int
		part  float64
		want  string
	}{
		{79, 0.5, "reading 5000 routes, 2500/s  50% [####################--------------------]"},
		{50, 1, "reading 5000 routes, 2500/s 100% [###############]"},
		{40, 0.25, "reading 5000 routes, 2500/s  25%"},
		{20, 0.25, "reading 5000 routes,"},
		{79, -1, "reading 5000 routes, 2500/s"},
		{0, 1, ""},
	} {
		if got := progressLine(c.width, "reading", 5000, 2500, c.part); got != c.want || len(got) > c.width {
			t.Errorf("%d columns, %v\n got %q\nwant %q", c.width, c.part, got, c.want)
		}
	}
}

// TestImportInterrupted stops an import by a signal: at its beginning, while it reads, and while it waits for more.
func TestImportInterrupted(t *testing.T) {
	d, _ := importDaemon(t)
	for _, c := range []struct {
		name, text string
		endless    bool
	}{
		{"begin", "", false}, {"read", "10.1.0.0/16\n", true}, {"wait", "10.1.0.0/16\n", false},
	} {
		cmd := d.program("route", "import", "-", "dev", "d0", "partial")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var reason bytes.Buffer
		cmd.Stderr = &reason
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := time.AfterFunc(200*time.Millisecond, func() { _ = cmd.Process.Signal(unix.SIGINT) })
		defer stop.Stop()
		for _, err = io.WriteString(in, c.text); err == nil && c.endless; {
			_, err = io.WriteString(in, c.text)
		}
		if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 2 || reason.String() != "Error: interrupted: nothing was applied\n" {
			t.Errorf("%s: %v: %s", c.name, err, reason.String())
		}
	}
	if got := shown(d, ""); got != "" {
		t.Error(got)
	}
}

// TestImportProgress looks at what a terminal gets.
func TestImportProgress(t *testing.T) {
	d, dir := importDaemon(t)
	var list strings.Builder
	for i := range 4 * checkEvery {
		fmt.Fprintf(&list, "20.%d.%d.0/24\n", i>>8, i&255)
	}
	name := importFile(t, dir, list.String())
	terminal, screen := openTerminal(t)
	cmd := d.program("route", "import", name, "dev", "d0")
	cmd.Stderr = terminal
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "16384 routes applied in ") {
		t.Errorf("%v: %s", err, out)
	}
	terminal.Close()
	got := screen()
	if !strings.HasPrefix(got, "\rreading 4096 routes, ") || !strings.Contains(got, "%") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
	if r := d.run("route import " + name + " dev d0"); r.err != "" {
		t.Errorf("no terminal, and still %q", r.err)
	}
}

// openTerminal makes a terminal, and what returns all that was written to it once it is closed.
func openTerminal(t *testing.T) (*os.File, func() string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	written := make(chan string, 1)
	go func() {
		all, _ := io.ReadAll(master) // ends with EIO
		written <- string(all)
	}()
	t.Cleanup(func() { terminal.Close(); master.Close() })
	return terminal, func() string { return <-written }
}
