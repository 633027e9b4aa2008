package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBatchStopsAtFirstError(t *testing.T) {
	d := newTestDaemon(t)
	d.must("link add d0 type dummy\nlink set d0 up")
	r := d.runWith(`
# a comment, a blank line, a continued line, quotes
route add 10.1.0.0/16 \
      dev d0

route add "10.2.0.0/16" dev 'd0' # and its end
route add 10.2.0.0/16 dev d0
route add 10.3.0.0/16 dev d0
`, "-batch", "-")
	if r.status != 2 || r.err != "Error: File exists: route 10.2.0.0/16 metric 0 (replace or append it, or give another metric)"+
		" (Command failed -:7)\n" {
		t.Errorf("status %d, %q", r.status, r.err)
	}
	if got := routes(d); !slices.Equal(got, []string{"10.1.0.0/16", "10.2.0.0/16"}) {
		t.Errorf("routes: %q", got)
	}
}

func TestBatchForce(t *testing.T) {
	d := newTestDaemon(t)
	d.must("link add d0 type dummy\nlink set d0 up")
	file := filepath.Join(t.TempDir(), "b")
	write(t, file, `route add 10.1.0.0/16 dev d0
route add 10.1.0.0/16 dev d0
link add d0 type dummy
route add 10.2.0.0/33 dev d0
frobnicate
route add 10.3.0.0/16 dev d0
`)
	r := d.run("-force -batch " + file)
	if r.status != 2 {
		t.Errorf("status %d", r.status)
	}
	lines := strings.Split(strings.TrimSpace(r.err), "\n")
	for i, want := range []int{2, 3, 4, 5} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], "Error: ") ||
			!strings.HasSuffix(lines[i], fmt.Sprintf("(Command failed %s:%d)", file, want)) {
			t.Errorf("error %d is not one of line %d: %q", i, want, lines)
		}
	}
	if got := routes(d); !slices.Equal(got, []string{"10.1.0.0/16", "10.3.0.0/16"}) {
		t.Errorf("routes: %q", got)
	}
}

func TestBatchOfNextHopsNamesTheLine(t *testing.T) {
	const setUp = `link add d0 type dummy
link set d0 up
addr add 10.0.0.1/24 dev d0
netns add red
nexthop add id 1 via 10.0.0.7 dev d0
nexthop add id 2 via 10.0.0.8 dev d0
nexthop add id 10 group 1/2
route add 10.8.0.0/16 nhid 10
route add 192.0.2.0/24 via 10.8.0.1
`
	for last, want := range map[string]string{
		"route add 10.9.0.1/16 via 10.0.0.7":                                        "has host bits",
		"route add 10.9.0.0/16 nhid 77":                                             "Nexthop id does not exist: nhid 77",
		"nexthop add id 11 group \"\"":                                              "\"group\" value is invalid",
		"nexthop add id 11 group 1/78":                                              "there is no nexthop 78",
		"nexthop add id 10 blackhole":                                               "nexthop id 10",
		"route add 10.8.0.1 via 192.0.2.7":                                          "Too many levels of symbolic links",
		"netns set init max-routes 1\nroute add 10.9.0.0/16 via 10.0.0.7":           "No space left on device",
		"nexthop get id 79":                                                         "no nexthop id 79",
		"route add 10.9.0.0/16 nexthop via 10.0.0.7 nexthop via 10.99.0.1 weight 2": "no route leads to 10.99.0.1",
	} {
		d := newTestDaemon(t)
		r := d.runWith(setUp+last+"\nroute add 10.10.0.0/16 via 10.0.0.7\n", "-batch", "-")
		line := fmt.Sprintf("(Command failed -:%d)", strings.Count(setUp+last, "\n")+1)
		if r.status == 0 || !strings.Contains(r.err, want) || !strings.HasSuffix(strings.TrimSpace(r.err), line) {
			t.Errorf("%s: status %d: %q, want %q and %q", last, r.status, r.err, want, line)
		}
		if got := routes(d); !slices.Equal(got, []string{"10.0.0.0/24", "10.8.0.0/16", "nexthop", "nexthop", "192.0.2.0/24"}) {
			t.Errorf("%s: routes are %q", last, got)
		}
	}
}

func TestBatchWrongLineAfterChanges(t *testing.T) {
	d := newTestDaemon(t)
	r := d.runWith("link add d0 type dummy\nlink set d0 mtu\nlink del d0\n", "-b", "-")
	if r.status != 1 || !strings.Contains(r.err, "\"mtu\" needs a value (Command failed -:2)") {
		t.Errorf("status %d: %q", r.status, r.err)
	}
	d.must("link show d0")
}

func TestBatchShowsInOrder(t *testing.T) {
	d := newTestDaemon(t)
	r := d.runWith("netns add red\nnetns list\nnetns add blue\nnetns list\n-n blue link show lo\n", "-j", "-br", "-batch", "-")
	want := `[{"name":"init"},{"name":"red"}]
[{"name":"init"},{"name":"blue"},{"name":"red"}]
[{"ifname":"lo","operstate":"UNKNOWN","address":"00:00:00:00:00:00","flags":["LOOPBACK","UP","LOWER_UP"]}]
`
	if r.status != 0 || r.out != want {
		t.Errorf("status %d %s\n got %s\nwant %s", r.status, r.err, r.out, want)
	}
	if r := d.run("-batch /nonexistent"); r.status != 1 || !strings.Contains(r.err, `cannot open file "/nonexistent"`) {
		t.Errorf("status %d: %q", r.status, r.err)
	}
}

// TestBatchFollowsItsWriter is about a program that writes one command and looks for its effect before it writes the
// next.
func TestBatchFollowsItsWriter(t *testing.T) {
	d := newTestDaemon(t)
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		cmd := d.program("-batch", "-")
		cmd.Stdin, cmd.Stderr = in, os.Stderr
		done <- cmd.Run()
	}()
	fmt.Fprintln(out, "netns add red")
	deadline := time.Now().Add(20 * time.Second)
	for d.must("netns list") != "init\nred\n" {
		if time.Now().After(deadline) {
			t.Fatal("the command is not done while its writer waits")
		}
		time.Sleep(5 * time.Millisecond)
	}
	out.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBatchOfManyRoutes(t *testing.T) {
	const n = 100_000
	d := newTestDaemon(t)
	d.must("link add d0 type dummy\nlink set d0 up\naddr add 10.0.0.1/24 dev d0")
	file := filepath.Join(t.TempDir(), "b")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, "route add %d.%d.%d.0/24 via 10.0.0.%d\n", 20+i>>16, i>>8&255, i&255, 2+i%200)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	start := time.Now()
	if r := d.run("-batch " + file); r.status != 0 {
		t.Fatalf("status %d: %s", r.status, r.err)
	}
	took := time.Since(start)
	t.Logf("%d routes in %v", n, took)
	if took > time.Minute {
		t.Errorf("%d routes took %v", n, took)
	}
	if got := strings.Count(d.must("route"), "\n"); got != n+1 {
		t.Errorf("%d routes are shown, not %d", got, n+1)
	}
}

func routes(d *testDaemon) []string {
	var all []string
	for line := range strings.Lines(d.must("route")) {
		all = append(all, strings.Fields(line)[0])
	}
	return all
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
