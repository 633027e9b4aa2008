package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/netns"
)

// ipLink is what these tests read of `addr show`, the router's and that of iproute2.
type ipLink struct {
	Index   int      `json:"ifindex"`
	Name    string   `json:"ifname"`
	Flags   []string `json:"flags"`
	MTU     int      `json:"mtu"`
	Address string   `json:"address"`
	Addrs   []struct {
		Local     string `json:"local"`
		Bits      int    `json:"prefixlen"`
		Tentative bool   `json:"tentative"` // the router's: tried for duplicates, and not in Linux before that
	} `json:"addr_info"`
}

func (l ipLink) String() string {
	var addrs []string
	for _, a := range l.Addrs {
		if !a.Tentative {
			addrs = append(addrs, fmt.Sprintf("%s/%d", a.Local, a.Bits))
		}
	}
	slices.Sort(addrs)
	up := slices.Contains(l.Flags, "UP")
	carrier := slices.Contains(l.Flags, "LOWER_UP") // of a link that is down Linux does not say
	return fmt.Sprintf("%d %s %s mtu %d up %v carrier %v %v\n", l.Index, l.Name, l.Address, l.MTU, up, up && carrier, addrs)
}

// linux runs a command in a namespace by `netns exec`, which must succeed, and returns what it prints.
func (w *world) linux(ns, command string) string {
	w.t.Helper()
	res := w.r.CLI(append([]string{"netns", "exec", ns, "--"}, strings.Fields(command)...)...)
	if res.Status != 0 {
		w.t.Fatalf("in %s: %s: status %d: %s%s", ns, command, res.Status, res.Stdout, res.Stderr)
	}
	return res.Stdout
}

// shownBy is the devices and addresses that one side shows.
func (w *world) shownBy(out string) string {
	w.t.Helper()
	var rows []ipLink
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	slices.SortFunc(rows, func(a, b ipLink) int { return a.Index - b.Index })
	var b strings.Builder
	for _, row := range rows {
		b.WriteString(row.String())
	}
	return b.String()
}

// agree waits until Linux shows in a namespace what the router has there. A command has returned only when Linux shows
// what it changed; a carrier's change, though, the kernel tells a little later.
func (w *world) agree(when string, namespaces ...string) {
	w.t.Helper()
	for _, ns := range namespaces {
		var router, linux string
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			router = w.shownBy(w.r.Must("-j -n " + ns + " addr show"))
			if linux = w.shownBy(w.linux(ns, "ip -j addr show")); router == linux {
				break
			}
			if time.Now().After(deadline) {
				w.t.Fatalf("%s: %s differs (- router, + Linux):\n%s", when, ns, diff(router, linux))
			}
		}
	}
}

// TestLinuxSide: a program in a namespace sees its devices of all kinds: the same names, ifindexes, MAC and IP addresses,
// MTUs and states, as they are made, changed, moved and deleted.
func TestLinuxSide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a := w.host(1, "red")
	w.r.Must(`
		-n red link add link p1 name p1.5 type vlan id 5
		-n red link set p1.5 up
		-n red addr add 10.5.0.1/24 dev p1.5
		-n red link add d0 type dummy
		-n red addr add 192.0.2.1/32 dev d0
		-n red addr add 198.51.100.1/32 dev lo
		-n red link add v0 type veth peer name v1 netns blue
		-n red link set v0 up`)
	w.agree("made", "init", "red", "blue")
	w.r.Must(`
		-n blue link set v1 up
		-n blue addr add 2001:db8:9::1/64 dev v1 nodad
		-n red link set d0 mtu 1300 address 02:00:00:00:00:aa name e0
		-n red addr del 198.51.100.1/32 dev lo
		-n red addr add 10.5.0.2/24 dev p1.5
		-n red addr del 10.5.0.1/24 dev p1.5`)
	w.agree("changed", "red", "blue")
	a.Interface("eth0").Down()
	w.agree("without carrier", "red")
	a.Interface("eth0").Up()
	w.agree("with carrier", "red")
	w.r.Must("-n red link set p1 netns blue name q1\n-n red link del e0\n-n red link del v0")
	w.agree("moved, deleted", "red", "blue")
	w.r.Must("netns del blue") // q1 goes home
	w.agree("home", "init", "red")
}

// TestLinuxSideLives: neither a crash nor an orderly restart takes the devices from a program that runs in the namespace,
// or the routes that it has made. When nobody is there, an orderly end leaves nothing.
func TestLinuxSideLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	w.host(1, "red")
	name := w.r.NetnsPrefix + "red"
	program := w.r.Host.Start(w.r.Binary, "--socket", w.r.Socket, "netns", "exec", "red", "sleep", "100")
	w.Eventually(5*time.Second, "the program", func() bool { return w.r.Must("netns pids red") != "" })
	w.linux("red", "ip route add 192.0.2.0/24 via 10.0.1.2 dev p1 proto 186")
	w.linux("red", "ip -6 route add 2001:db8:77::/64 via 2001:db8:1::2 dev p1 proto 186")
	w.agree("before", "red")
	routes := func() string {
		return w.linux("red", "ip route show proto 186") + w.linux("red", "ip -6 route show proto 186")
	}
	before, routesBefore := w.linux("red", "ip -j addr show"), routes()
	for _, how := range []struct {
		what string
		stop func()
	}{{"crash", w.r.Kill}, {"restart", w.r.Stop}} {
		how.stop()
		w.r.Start()
		w.agree("after a "+how.what, "red")
		if after := w.linux("red", "ip -j addr show"); w.shownBy(after) != w.shownBy(before) {
			t.Errorf("%s:\n%s", how.what, diff(w.shownBy(before), w.shownBy(after)))
		}
		if after := routes(); after != routesBefore {
			t.Errorf("routes of a program, after a %s:\n%s", how.what, diff(routesBefore, after))
		}
	}
	program.Signal(syscall.SIGKILL)
	if _, err := program.Wait(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	w.r.Stop()
	if _, err := netns.Open(name); err == nil {
		t.Errorf("%s is left when nobody is in there", name)
	}
	w.r.Start()
	w.agree("made anew", "red")
}

// TestBehindTheBack: a TAP that is deleted, or taken into another Linux namespace, and a Linux namespace whose name is
// deleted are there again, as they were, and the log tells; forwarding goes on.
func TestBehindTheBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	a := w.host(1, "red")
	w.host(2, "red")
	thief := w.Host("thief")
	name := w.r.NetnsPrefix + "red"
	w.agree("before", "red")
	reported := func(what string) {
		t.Helper()
		w.Eventually(10*time.Second, "a message: "+what, func() bool { return strings.Contains(w.r.Log(), what) })
	}
	stop := w.flood(a, "10.0.2.2")
	w.linux("red", "ip link del p1")
	reported("the TAP was deleted or moved away")
	w.agree("deleted", "red")
	w.linux("red", "ip link set p2 netns "+thief.NetnsName())
	w.agree("moved away", "red")
	w.Eventually(5*time.Second, "the thief has nothing", func() bool { return slices.Equal(thief.Interfaces(), []string{"lo"}) })
	owned, err := netns.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer owned.Close()
	w.r.Host.Run("ip", "netns", "del", name)
	reported("the name of the Linux network namespace was removed; it is there again")
	again, err := netns.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.Inode() != owned.Inode() {
		t.Error("the name came back with another namespace")
	}
	byName := w.shownBy(w.r.Host.Run("ip", "-n", name, "-j", "addr", "show"))
	if want := w.shownBy(w.r.Must("-j -n red addr show")); byName != want {
		t.Errorf("ip -n %s:\n%s", name, diff(want, byName))
	}
	stop()
	w.ping(a, "10.0.2.2", 20)
	// While the daemon is not there, the next one makes what is missing.
	w.r.Kill()
	w.r.Host.Run("ip", "-n", name, "link", "del", "p1")
	w.r.Host.Run("ip", "-n", name, "link", "del", "p2")
	w.r.Host.Run("ip", "netns", "del", name)
	w.r.Start()
	w.agree("while the daemon was not there", "red")
	w.ping(a, "10.0.2.2", 20)
}

// TestConnectionLives: a TCP connection to a program in a namespace outlives a crash of the daemon, its orderly restart, a
// link that goes down and up, a TAP that is deleted, and a move of the device to another namespace and back.
func TestConnectionLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a := w.host(1, "red")
	red, err := netns.Open(w.r.NetnsPrefix + "red")
	if err != nil {
		t.Fatal(err)
	}
	defer red.Close()
	// A process inside, for which an orderly end leaves the TAPs.
	w.r.Host.Start(w.r.Binary, "--socket", w.r.Socket, "netns", "exec", "red", "sleep", "100")
	w.Eventually(5*time.Second, "the program", func() bool { return w.r.Must("netns pids red") != "" })
	var listener net.Listener
	w.must(red.Do(func() (err error) {
		listener, err = net.Listen("tcp", "10.0.1.1:7000")
		return err
	}))
	defer listener.Close()
	var client net.Conn
	w.must(a.NS.Do(func() (err error) {
		client, err = net.DialTimeout("tcp", "10.0.1.1:7000", 10*time.Second)
		return err
	}))
	defer client.Close()
	server, err := listener.Accept()
	w.must(err)
	defer server.Close()
	for _, after := range []struct {
		what string
		do   func()
	}{
		{"nothing", func() {}},
		{"a crash", func() { w.r.Kill(); w.r.Start() }},
		{"a restart", func() { w.r.Stop(); w.r.Start() }},
		{"down and up", func() { w.r.Must("-n red link set p1 down\n-n red link set p1 up") }},
		{"the TAP was deleted", func() { w.linux("red", "ip link del p1") }},
		{"there and back", func() {
			w.r.Must("-n red link set p1 netns blue\n-n blue link set p1 netns red")
			w.r.Must("-n red addr add 10.0.1.1/24 dev p1\n-n red link set p1 up")
		}},
	} {
		after.do()
		for _, way := range []struct{ from, to net.Conn }{{client, server}, {server, client}} {
			w.must(way.from.SetDeadline(time.Now().Add(30 * time.Second)))
			w.must(way.to.SetDeadline(time.Now().Add(30 * time.Second)))
			if _, err := way.from.Write([]byte(after.what)); err != nil {
				t.Fatalf("%s: %v", after.what, err)
			}
			got := make([]byte, len(after.what))
			if _, err := io.ReadFull(way.to, got); err != nil || string(got) != after.what {
				t.Fatalf("%s: %v, %q", after.what, err, got)
			}
		}
	}
}

// TestLinuxAddresses: an address that a program adds in a namespace is the router's at once, as one that a DHCP client has
// got, and one that it deletes is not any more.
func TestLinuxAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	a := w.host(1, "red")
	shown := func(prefix string) bool { return strings.Contains(w.r.Must("-n red addr show dev p1"), " "+prefix+" ") }
	best := time.Hour
	for _, address := range []string{"10.0.1.7", "10.0.1.8", "2001:db8:1::7", "2001:db8:1::8"} {
		prefix := address + "/24"
		if strings.Contains(address, ":") {
			prefix = address + "/64"
		}
		w.linux("red", "ip addr add "+prefix+" dev p1")
		start := time.Now()
		w.Eventually(5*time.Second, prefix+" in the router", func() bool { return shown(prefix) })
		best = min(best, time.Since(start))
		w.ping(a, address, 5)
		w.linux("red", "ip addr del "+prefix+" dev p1")
		w.Eventually(5*time.Second, prefix+" gone", func() bool { return !shown(prefix) })
		w.silent(a, address)
	}
	// By the kernel's message, and not when all is looked at again.
	if t.Logf("%v", best); best > 2*time.Second {
		t.Errorf("an address of Linux is the router's after %v at best", best)
	}
	w.linux("red", "ip addr add 10.0.1.7/24 dev p1")
	w.Eventually(5*time.Second, "10.0.1.7 in the router", func() bool { return shown("10.0.1.7/24") })
	w.r.Kill()
	w.r.Host.Run("ip", "-n", w.r.NetnsPrefix+"red", "addr", "add", "10.0.1.9/24", "dev", "p1")
	w.r.Start()
	w.Eventually(5*time.Second, "what was added while there was no daemon", func() bool { return shown("10.0.1.9/24") })
	w.ping(a, "10.0.1.7", 5)
	w.r.Must("-n red addr del 10.0.1.7/24 dev p1\n-n red addr del 10.0.1.9/24 dev p1")
	w.agree("deleted in the router", "red")
	w.silent(a, "10.0.1.9")
	w.conserved()
}

// Bounds of a thousand namespaces, their Linux sides included: of the issue, and beyond them what docs/namespaces.md says
// of an empty one, with room for the ways of Go's heap.
const (
	manySpaces   = 1000
	manyTime     = 10 * time.Second
	manyMemory   = 300 << 20
	memoryOfEach = 150 << 10
)

// TestThousandNamespaces: a thousand namespaces are made in time and within memory, each with its Linux side, cost next to
// nothing when idle, and go without a trace.
func TestThousandNamespaces(t *testing.T) {
	w := newWorldWith(t, lab.RouterOptions{Memory: true})
	memory := func() int {
		rss, err := w.r.Process().RSS()
		if err != nil {
			t.Fatal(err)
		}
		return rss
	}
	var add, del strings.Builder
	for i := range manySpaces {
		fmt.Fprintf(&add, "netns add n%d\n", i)
		fmt.Fprintf(&del, "netns del n%d\n", i)
	}
	before := memory()
	start := time.Now()
	w.r.Batch(add.String())
	took, after := time.Since(start), memory()
	each := (after - before) / manySpaces
	t.Logf("%d namespaces in %v; the daemon: %d MiB, %d KiB for each", manySpaces, took, after>>20, each>>10)
	if took > manyTime || after > manyMemory || each > memoryOfEach {
		t.Errorf("at most %v, %d MiB, %d KiB for each are allowed", manyTime, manyMemory>>20, memoryOfEach>>10)
	}
	for _, ns := range []string{"n0", "n500", "n999"} {
		w.agree("one of many", ns)
	}
	cpu := func() time.Duration {
		used, err := w.r.Process().CPU()
		if err != nil {
			t.Fatal(err)
		}
		return used
	}
	const pause = 6 * time.Second
	busy := cpu()
	time.Sleep(pause)
	if used := cpu() - busy; used > pause*3/100 {
		t.Errorf("%d idle namespaces use %v of CPU in %v", manySpaces, used, pause)
	}
	w.r.Batch(del.String())
	if left, _ := filepath.Glob(filepath.Join(netns.Dir, w.r.NetnsPrefix+"n*")); len(left) != 0 {
		t.Errorf("%d names are left in %s", len(left), netns.Dir)
	}
}
