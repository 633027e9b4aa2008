package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/netns"
)

// linux runs ip(8) in a network namespace of its own.
type linux struct {
	t  *testing.T
	ns *netns.Handle
}

func newLinux(t *testing.T) *linux {
	t.Helper()
	ns, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	if err := ns.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }); err != nil {
		t.Fatal(err)
	}
	return &linux{t, ns}
}

func (l *linux) run(line string) result {
	l.t.Helper()
	var out, errOut strings.Builder
	cmd := exec.Command("ip", strings.Fields(line)...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := l.ns.Do(cmd.Run)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatalf("ip %s: %v", line, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// settled runs a line until it prints what is the same, for five seconds at most: Linux marks routes linkdown up to a
// second after the peer went down (net/core/link_watch.c).
func (l *linux) settled(line string, same func(result) bool) result {
	l.t.Helper()
	r := l.run(line)
	for end := time.Now().Add(5 * time.Second); !same(r) && time.Now().Before(end); r = l.run(line) {
		time.Sleep(50 * time.Millisecond)
	}
	return r
}

// reference is the set-up that both sides get: the same words for both.
const reference = `
link set lo up
link add v0 address 02:00:00:00:00:01 type veth peer name v1
link set v1 address 02:00:00:00:00:02
link set dev v0 up
link set v1 up mtu 1400
addr add 10.0.0.1/24 dev v0
addr add 10.0.0.2/24 dev v0
address add 10.9.0.1 dev v0
addr add 10.20.0.1/24 dev v1
addr replace 2001:db8::1/64 dev v0 nodad
-6 addr add fd00::1/128 dev v1 nodad
route add 10.1.0.0/16 via 10.0.0.7
route add 10.1.0.0/16 via 10.0.0.8 metric 7 proto static
r a default via 10.0.0.9 dev v0 proto bgp src 10.0.0.2 mtu 1300
route add blackhole 10.2/16
route add unreachable 10.3.0.0/16 metric 5
route add prohibit 10.4.0.0/16
route append 10.1.0.0/16 via 10.0.0.9
route add 10.5.0.1 dev v0 scope link
route replace 10.5.0.2/32 via 10.99.0.1 dev v0 onlink
-6 route add 2001:db8:1::/48 via 2001:db8::7
route add default via 2001:db8::9 metric 50
-6 route add blackhole 2001:db8:2::/48
neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev v0
neigh add 2001:db8::7 lladdr 02:00:00:00:00:07 dev v0 nud permanent
neigh add 10.0.0.8 dev v0 nud stale
neigh change 10.0.0.7 dev v0 nud permanent
neigh replace 10.0.0.11 dev v0 lladdr 02:00:00:00:00:0b
neigh del 10.0.0.11 dev v0
neigh del 10.0.0.12 dev v0
neigh change 10.0.0.12 dev v0 nud failed
neigh add 10.0.0.9 dev v0 lladdr 02:00:00:00:00:09 nud foo
`

// listings are what is asked of both sides then.
const listings = `
link
link show v0
-br link
-o link show dev v1
link show type veth
link show up
addr
addr show v0
-4 addr show dev v0
-br addr
-o -6 addr show v0
-o addr
-o -br addr
addr show to 10.0.0.0/24
addr show scope link
route
route show
route show 10.1.0.0/16
route show root 10.4.0.0/14
route show match 10.1.2.3
route show dev v0
route show proto static
route show proto kernel
route show type blackhole
route list via 10.0.0.7
-d route show 10.1.0.0/16
route show default
route show all
-6 route
-6 route show 2001:db8:1::/48
-6 route show dev v0
route get 10.1.2.3
route get 10.0.0.55
route get 10.0.0.1
route get 10.0.0.255
route get 10.1.2.3 from 10.20.0.5 iif v1
route get 8.8.8.8 from 10.0.0.1
route get 2001:db8::5
route get 2001:db8:1::5
-6 route get 2001:db8::1
neigh
neigh show dev v0
neigh show 10.0.0.7
-4 neigh show nud permanent
neigh show nud failed
`

// common leaves out what Linux has and the router has not: duplicate address detection and the noprefixroute of newer
// kernels. IPv6 routes, which Linux lists as its tree has them, are sorted.
func common(line, text string) string {
	text = regexp.MustCompile(` (tentative|nodad|noprefixroute|proto kernel_l[lo])`).ReplaceAllString(text, "")
	if strings.HasPrefix(line, "-d route get") {
		text, _, _ = strings.Cut(text, "    prefix ") // the router's explanation
	}
	lines := strings.SplitAfter(text, "\n")
	if strings.Contains(line, "-6 route") {
		slices.Sort(lines)
	}
	return strings.Join(lines, "")
}

// TestListingsAreThoseOfIP compares the text and the JSON of listings with what ip(8) prints of the same set-up.
func TestListingsAreThoseOfIP(t *testing.T) { compareWithIP(t, reference, listings) }

// compareWithIP gives the same set-up to both sides and compares what the listings print.
func compareWithIP(t *testing.T, setUp, listings string) {
	t.Helper()
	d, l := newTestDaemon(t), newLinux(t)
	for line := range strings.Lines(strings.TrimSpace(setUp)) {
		if line == "link set lo up\n" {
			l.run(line)
			continue
		}
		want, got := l.run(line), d.run(line)
		if (want.status == 0) != (got.status == 0) {
			t.Errorf("%s\nip: %d %s\nrouter: %d %s", strings.TrimSpace(line), want.status, want.err, got.status, got.err)
		}
	}
	for line := range strings.Lines(strings.TrimSpace(listings)) {
		line = strings.TrimSpace(line)
		got := d.run(line)
		same := func(want result) bool {
			return common(line, want.out) == common(line, got.out) && (want.status == 0) == (got.status == 0)
		}
		if want := l.settled(line, same); !same(want) {
			t.Errorf("%s\n%s%s%s", line, differences(common(line, want.out), common(line, got.out)), want.err, got.err)
		}
		sameJSON(t, line, l.run("-j "+line).out, d.run("-j "+line).out)
	}
}

// differences are the lines that only one side has.
func differences(ip, router string) string {
	var b strings.Builder
	only := func(who, text, other string) {
		for line := range strings.Lines(text) {
			if !slices.Contains(strings.SplitAfter(other, "\n"), line) {
				b.WriteString(who + ": " + line)
			}
		}
	}
	only("ip", ip, router)
	only("router", router, ip)
	if b.Len() == 0 {
		return "the order differs:\n" + ip + "and\n" + router
	}
	return b.String()
}

// sameJSON compares two arrays of objects.
func sameJSON(t *testing.T, line, want, got string) {
	t.Helper()
	w, g := objectsOf(line, want), objectsOf(line, got)
	if len(w) != len(g) {
		t.Errorf("-j %s\nip:\n%s\nrouter:\n%s", line, want, got)
		return
	}
	for i := range w {
		if !reflect.DeepEqual(w[i], g[i]) {
			t.Errorf("-j %s: object %d\nip:\n%v\nrouter:\n%v", line, i, w[i], g[i])
		}
	}
}

// objectsOf reads an array, without what [common] leaves out, the empty objects with which ip(8) marks what it skips,
// and what the router tells besides.
func objectsOf(line, text string) []map[string]any {
	var all []map[string]any
	if json.Unmarshal([]byte(text), &all) != nil {
		return nil
	}
	for _, o := range all {
		delete(o, "linkinfo")
		delete(o, "fib")
		info, _ := o["addr_info"].([]any)
		info = slices.DeleteFunc(info, func(a any) bool { return len(a.(map[string]any)) == 0 })
		for _, a := range info {
			for _, key := range []string{"tentative", "nodad", "noprefixroute", "protocol"} {
				delete(a.(map[string]any), key)
			}
		}
		if info != nil {
			o["addr_info"] = info
		}
	}
	if strings.Contains(line, "-6 route") {
		slices.SortFunc(all, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
	return all
}
