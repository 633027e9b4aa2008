package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// TestRefused: a wrong command says so in one line that names the word at fault, with the status that belongs to it,
// and changes nothing.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red")
	w.host(1, "init")
	taken := w.Host("taken")
	busy, _ := w.Link(w.r.Host.End("busy", "192.0.2.1/24"), taken.End("eth0"), lab.LinkOptions{})
	w.r.Must("link add d0 type dummy\nlink add v0 type veth peer name v1")
	before := w.state()
	for _, c := range []struct {
		command string
		status  int
		says    string
	}{
		{"link add p9 type xdp", 2, "p9"},
		{"link add busy type xdp", 2, "192.0.2.1"},
		{"link add again type xdp host p1", 2, "p1"},
		{"link add p1 type xdp", 2, "p1"},
		{"link add x type xdp host busy force mode zerocopy", 2, "zerocopy"},
		{"link add x type xdp host busy mode fast", 1, "fast"},
		{"link add toolonganame12345 type dummy", 1, "toolonganame12345"},
		{"link add x type bridge", 1, "bridge"},
		{"link add link p1 name p1.7 type vlan id 7 loose_binding on", 1, "not supported"},
		{"link add link p1 name p1.7 type vlan id 4095", 2, "4095"},
		{"link set p9 up", 2, "p9"},
		{"link set p1 mtu 9001", 2, "9000"},
		{"link set p1 netns blue", 2, "blue"},
		{"link del lo", 2, "lo"},
		{"addr add 10.0.0.300/24 dev p1", 1, "10.0.0.300"},
		{"addr add 10.0.0.1/33 dev p1", 1, "10.0.0.1/33"},
		{"addr add 10.0.1.1/24 dev p1", 2, "10.0.1.1/24"},
		{"addr del 10.7.7.7/24 dev p1", 2, "10.7.7.7"},
		{"route add 10.5.0.0/16 via 10.9.9.9", 2, "10.9.9.9"},
		{"route add 10.5.0.1/16 via 10.0.1.2", 2, "10.5.0.1/16"},
		{"route add 10.5.0.0/16 dev p9", 2, "p9"},
		{"route del 10.5.0.0/16", 2, "10.5.0.0/16"},
		{"route add 10.5.0.0/16 via 10.0.1.2 metric many", 1, "many"},
		{"route show table 7", 1, "table"},
		{"neigh add 10.0.1.9 lladdr nonsense dev p1", 1, "nonsense"},
		{"neigh add 10.0.1.9 lladdr 02:00:00:00:00:01", 1, "dev"},
		{"netns add red", 2, "red"},
		{"netns del blue", 2, "blue"},
		{"netns del init", 2, "init"},
		{"netns add a/b", 2, "a/b"},
		{"-n blue link show", 2, "blue"},
		{"frobnicate", 1, "frobnicate"},
		{"link frobnicate", 1, "frobnicate"},
		{"--frobnicate link", 1, "frobnicate"},
	} {
		res := w.r.CLI(strings.Fields(c.command)...)
		said := res.Stderr
		if res.Status != c.status {
			t.Errorf("router %s: status %d, want %d: %s%s", c.command, res.Status, c.status, res.Stdout, said)
		}
		if !strings.HasPrefix(said, "Error: ") || strings.Count(said, "\n") != 1 || !strings.Contains(said, c.says) {
			t.Errorf("router %s: %q, want one line that begins with Error: and names %s", c.command, said, c.says)
		}
	}
	if got := w.state(); got != before {
		t.Errorf("a refused command changed something:\n%s", diff(before, got))
	}
	// An interface that is refused can be taken by force, and is given back as it was.
	w.r.Must("link add busy type xdp force\nlink del busy")
	if out := w.r.Host.Run("ip", "addr", "show", "dev", "busy"); !strings.Contains(out, "192.0.2.1/24") {
		t.Errorf("the interface came back without its address: %s", out)
	}
	busy.Delete()
}

// TestBatch: a hundred thousand routes load, and survive a restart; a batch stops at its first error and names the
// line.
func TestBatch(t *testing.T) {
	w := newWorld(t)
	w.host(1, "init")
	const routes = 100_000
	var b strings.Builder
	for i := range routes {
		fmt.Fprintf(&b, "route add 100.%d.%d.%d/30 via 10.0.1.2\n", 64+i>>14, i>>6&255, i<<2&255)
	}
	begin := time.Now()
	w.r.Batch(b.String())
	t.Logf("%d routes in %v", routes, time.Since(begin))
	count := func() int { return strings.Count(w.r.Must("route show"), "via 10.0.1.2") }
	if n := count(); n != routes {
		t.Errorf("%d routes, want %d", n, routes)
	}
	res := w.r.Input(
		"# a comment\nroute add 10.77.0.0/16 via 10.0.1.2\n\n"+
			"route add 10.78.0.0/16 via 10.99.0.1\nroute add 10.79.0.0/16 via 10.0.1.2\n",
		"-batch",
		"-",
	)
	if res.Status != 2 || !strings.Contains(res.Stderr, "4") || !strings.Contains(res.Stderr, "10.99.0.1") ||
		strings.Count(res.Stderr, "\n") != 1 {
		t.Errorf("status %d: %q", res.Status, res.Stderr)
	}
	out := w.r.Must("route show")
	if !strings.Contains(out, "10.77.0.0/16") || strings.Contains(out, "10.79.0.0/16") {
		t.Error("the batch did not stop at its first error, and keep what was before")
	}
	w.r.Kill()
	begin = time.Now()
	w.r.Start()
	t.Logf("restarted with them in %v", time.Since(begin))
	if n := count(); n != routes+1 {
		t.Errorf("%d routes after the restart, want %d", n, routes+1)
	}
	if out := w.r.Must("route get 100.64.0.5"); !strings.Contains(out, "via 10.0.1.2 dev p1") {
		t.Errorf("route get: %s", out)
	}
}

// TestVethBetweenNamespaces: a veth pair inside the daemon joins two namespaces; deleting one of them takes the pair
// along and sends the port home.
func TestVethBetweenNamespaces(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a, b := w.hostAs("a", "p1", 1, "red"), w.hostAs("b", "p2", 2, "blue")
	w.silent(a, "10.0.2.2")
	w.r.Must(`
		-n red link add up0 type veth peer name down0 netns blue
		-n red addr add 10.9.0.1/30 dev up0
		-n blue addr add 10.9.0.2/30 dev down0
		-n red addr add 2001:db8:9::1/64 dev up0 nodad
		-n blue addr add 2001:db8:9::2/64 dev down0 nodad
		-n red link set up0 up
		-n blue link set down0 up
		-n red route add 10.0.2.0/24 via 10.9.0.2
		-n blue route add 10.0.1.0/24 via 10.9.0.1
		-n red -6 route add 2001:db8:2::/64 via 2001:db8:9::2
		-n blue -6 route add 2001:db8:1::/64 via 2001:db8:9::1`)
	w.ping(a, "10.0.2.2", 20)
	w.ping(b, "2001:db8:1::2", 20)
	if out := a.Run("ping", "-n", "-c", "1", "10.0.2.2"); !strings.Contains(out, "ttl=62") {
		t.Errorf("TTL is not lowered once for each namespace: %s", out)
	}
	w.conserved()
	w.r.Must("netns del blue")
	w.silent(a, "10.0.2.2")
	if out := w.r.Must("-n red link show"); strings.Contains(out, "up0") {
		t.Errorf("the pair outlives a namespace of one end: %s", out)
	}
	if l := w.link("init", "p2"); l.OperState != "DOWN" {
		t.Errorf("the port did not go home to init, down: %+v", l)
	}
	w.r.Must("netns add blue")
	w.conserved()
}

// TestFullDisk: when the disk is full a change is refused and nothing is changed, also by a restart; when there is room
// again it goes on.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	w.r.Stop()
	if err := unix.Mount("tmpfs", w.r.State, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(w.r.State, unix.MNT_DETACH) })
	w.r.Start()
	a := w.host(1, "init")
	w.host(2, "init")
	ballast := filepath.Join(w.r.State, "ballast")
	var full error
	f, err := os.Create(ballast)
	for err == nil && full == nil {
		_, full = f.Write(make([]byte, 4096))
	}
	f.Close()
	before := w.state()
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "route add 100.64.%d.%d/32 via 10.0.1.2\n", i>>8, i&255)
	}
	if res := w.r.Input(b.String(), "-batch", "-"); res.Status != 2 || !strings.Contains(res.Stderr, "no space left") {
		t.Errorf("a batch on a full disk: status %d: %s", res.Status, res.Stderr)
	}
	if got := w.state(); got != before {
		t.Errorf("what was refused has changed something:\n%s", diff(before, got))
	}
	w.ping(a, "10.0.2.2", 5)
	w.r.Kill()
	w.r.Start()
	if got := w.state(); got != before {
		t.Errorf("after a restart on the full disk:\n%s", diff(before, got))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	w.r.Must("route add 198.51.100.0/24 via 10.0.1.2")
	w.conserved()
}

// TestControlSocket: its mode, and that idle and rude clients keep nobody out; a second daemon on the same socket is
// refused.
func TestControlSocket(t *testing.T) {
	w := newWorld(t)
	info, err := os.Stat(w.r.Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("socket mode %v, %v", info.Mode(), err)
	}
	for i := range 400 {
		c, err := net.Dial("unix", w.r.Socket)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer c.Close()
		if i%2 == 1 {
			_, _ = c.Write([]byte("\x00\xff junk\r\n\r\nGET / HTTP/9\r\n"))
		}
	}
	if out := w.r.Must("netns list"); !strings.Contains(out, "init") {
		t.Errorf("netns list: %s", out)
	}
	out := w.r.Host.Try(w.r.Binary, "run", "--socket", w.r.Socket, "--state", "none")
	if out.Status != 2 || !strings.Contains(out.Stderr, w.r.Socket) {
		t.Errorf("a second daemon on the socket: status %d: %s", out.Status, out.Stderr)
	}
	out = w.r.Host.Try(w.r.Binary, "run", "--socket", w.r.Socket+"2", "--state", w.r.State)
	if out.Status != 2 || !strings.Contains(out.Stderr, w.r.State) {
		t.Errorf("a second daemon on the state: status %d: %s", out.Status, out.Stderr)
	}
	out = w.r.Host.Try(w.r.Binary, "run", "--socket", w.r.Socket+"3", "--state", "none", "--cpus", "9999")
	if out.Status == 0 || !strings.Contains(out.Stderr, "--cpus") {
		t.Errorf("a CPU that is not there: status %d: %s", out.Status, out.Stderr)
	}
}

// TestExec: programs run in the Linux namespace that belongs to a router namespace, and the client knows its own.
func TestExec(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\n-n red link add d7 type dummy")
	exec := func(args ...string) string {
		t.Helper()
		res := w.r.CLI(append([]string{"netns", "exec", "red"}, args...)...)
		if res.Status != 0 {
			t.Fatalf("netns exec red %v: status %d: %s%s", args, res.Status, res.Stdout, res.Stderr)
		}
		return res.Stdout
	}
	if out := exec("--", w.r.Binary, "netns", "identify"); strings.TrimSpace(out) != "red" {
		t.Errorf("identify: %q", out)
	}
	if out := exec(w.r.Binary, "link", "show"); !strings.Contains(out, "d7") {
		t.Errorf("a command without -n inside red: %s", out)
	}
	if res := w.r.CLI("netns", "exec", "red", "sh", "-c", "exit 7"); res.Status != 7 {
		t.Errorf("status %d, want the program's 7", res.Status)
	}
	if out := w.Host("other").Run("ip", "netns", "exec", w.r.NetnsPrefix+"red", "true"); out != "" {
		t.Errorf("ip netns exec: %s", out)
	}
	// Who lives in a namespace that is deleted gets nothing done in another.
	script := w.Dir + "/orphan"
	orphan := w.r.Host.Start(
		w.r.Binary,
		"--socket",
		w.r.Socket,
		"netns",
		"exec",
		"red",
		"sh",
		"-c",
		"echo started; until test -e "+script+"; do sleep 0.05; done; "+w.r.Binary+" --socket "+w.r.Socket+" link add x type dummy",
	)
	w.Eventually(5*time.Second, "a process in red", func() bool { return strings.Contains(orphan.Output(), "started") })
	w.r.Must("netns del red\nnetns add red")
	if err := os.WriteFile(script, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, err := orphan.Wait(5 * time.Second); err != nil || status != 2 ||
		!strings.Contains(orphan.Output(), "red (deleted)") {
		t.Errorf("status %d, %v: %s", status, err, orphan.Output())
	}
	if out := w.r.Must("link show"); strings.Contains(out, "x:") {
		t.Errorf("a process of a deleted namespace made a link in init: %s", out)
	}
	w.r.Must("netns del red")
	if _, err := os.Stat(filepath.Join("/run/netns", w.r.NetnsPrefix+"red")); err == nil {
		t.Error("the Linux namespace's name outlives the namespace")
	}
}

// TestRename: a namespace gets another name under traffic; its Linux namespace, the programs in it and its socket go with
// it, and the old name is free.
func TestRename(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red")
	a := w.hostAs("a", "p1", 1, "red")
	w.hostAs("b", "p2", 2, "red")
	program := w.inside("red")("sh", "-c", "while sleep 0.1; do :; done")
	w.Eventually(5*time.Second, "a program in red", func() bool { return w.r.Must("netns pids red") != "" })
	stop := w.flood(a, "10.0.2.2")
	w.r.Must("netns set red name rouge")
	w.ping(a, "10.0.2.2", 20)
	w.ping(a, "10.0.1.1", 5)
	if out := w.r.Must("netns identify " + fmt.Sprint(program.Pid())); strings.TrimSpace(out) != "rouge" {
		t.Errorf("the program is in %q", out)
	}
	names := func() string {
		var names []string
		for _, name := range []string{"red", "rouge"} {
			for _, path := range []string{"/run/netns/" + w.r.NetnsPrefix + name, w.r.Socket + ".d/" + name + ".sock"} {
				if _, err := os.Stat(path); err == nil {
					names = append(names, filepath.Base(path))
				}
			}
		}
		return strings.Join(names, " ")
	}
	if got, want := names(), w.r.NetnsPrefix+"rouge rouge.sock"; got != want {
		t.Errorf("there are %s, want %s", got, want)
	}
	w.r.Must("netns add red\nnetns del red\n-n rouge addr add 192.0.2.1/32 dev p1")
	if out := w.r.Host.Run("ip", "-n", w.r.NetnsPrefix+"rouge", "addr", "show", "dev", "p1"); !strings.Contains(out, "192.0.2.1/32") {
		t.Errorf("Linux has %s", out)
	}
	w.r.Kill()
	w.r.Start()
	w.ping(a, "10.0.2.2", 5)
	if got, want := names(), w.r.NetnsPrefix+"rouge rouge.sock"; got != want {
		t.Errorf("after a restart there are %s, want %s", got, want)
	}
	stop()
	w.conserved()
}

// TestWithoutHost: a namespace without a Linux namespace has none, also after a restart, and gets one when it is set so.
func TestWithoutHost(t *testing.T) {
	w := newWorld(t)
	there := func() bool {
		_, err := os.Stat(filepath.Join("/run/netns", w.r.NetnsPrefix+"red"))
		return err == nil
	}
	w.r.Must("netns add red host none")
	for range 2 {
		if there() {
			t.Error("there is a Linux namespace")
		}
		if out := w.r.Refused(2, "netns exec red true"); !strings.Contains(out, "netns set red host netns") {
			t.Errorf("netns exec: %s", out)
		}
		w.r.Stop()
		w.r.Start()
	}
	w.r.Must("netns set red host netns\nnetns exec red true")
	w.r.Must("netns set red host none")
	if there() {
		t.Error("the Linux namespace outlives the setting")
	}
}

// TestHeldNames: two daemons do not share Linux namespaces; a namespace that is there is adopted, and stays.
func TestHeldNames(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red")
	out := w.Host("other").Try(w.r.Binary, "run", "--socket", w.r.Socket+"2", "--state", "none",
		"--netns-prefix", w.r.NetnsPrefix)
	if out.Status == 0 || !strings.Contains(out.Stderr, "--netns-prefix") {
		t.Errorf("a second daemon with the same names: status %d: %s", out.Status, out.Stderr)
	}
	adopted := w.Host("router-blue") // the name that the router gives to the Linux namespace of blue
	w.r.Must("netns add blue")
	if inside := w.r.Must("netns exec blue readlink /proc/self/ns/net"); !strings.Contains(inside,
		fmt.Sprint(adopted.NS.Inode())) {
		t.Errorf("blue is in %s, not in the adopted %d", inside, adopted.NS.Inode())
	}
	w.r.Must("netns del blue")
	if _, err := os.Stat(filepath.Join("/run/netns", w.r.NetnsPrefix+"blue")); err != nil {
		t.Errorf("the adopted namespace was deleted: %v", err)
	}
}

// TestOwnMounts: a daemon started by `ip netns exec` leaves no broken names in /run/netns, and its own exec works.
func TestOwnMounts(t *testing.T) {
	l := lab.New(t)
	h := l.Host("h")
	binary, err := lab.Build()
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(l.Dir, "s")
	prefix := l.Prefix + "own-"
	p := l.Host("shell").
		Start("ip", "netns", "exec", h.NetnsName(), binary, "run", "--socket", socket, "--state", "none",
			"--netns-prefix", prefix)
	l.Eventually(10*time.Second, "the daemon is ready", func() bool { return strings.Contains(p.Output(), "ready") })
	if left, _ := filepath.Glob("/run/netns/" + prefix + "*"); len(left) != 0 {
		t.Errorf("left in /run/netns: %v", left)
	}
	if out := h.Run(binary, "--socket", socket, "netns", "exec", "init", "echo", "inside"); out != "inside\n" {
		t.Errorf("netns exec: %q", out)
	}
	p.Signal(unix.SIGTERM)
	if status, err := p.Wait(10 * time.Second); err != nil || status != 0 {
		t.Errorf("status %d, %v: %s", status, err, p.Output())
	}
}

// TestMonitor: events of the namespace asked for, one line each as they happen, and of no other.
func TestMonitor(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red")
	m := w.Host("watcher").Start(w.r.Binary, "--socket", w.r.Socket, "-n", "red", "monitor", "all", "--snapshot")
	w.Eventually(5*time.Second, "the state", func() bool { return strings.Contains(m.Output(), "that is all") })
	w.r.Must(
		"link add d0 type dummy\n-n red link add d1 type dummy\n-n red link set d1 up\n" +
			"-n red addr add 10.1.1.1/24 dev d1\n-n red link del d1",
	)
	w.Eventually(3*time.Second, "events", func() bool {
		return strings.Contains(m.Output(), "Deleted") && strings.Contains(m.Output(), "10.1.1.1")
	})
	a := w.host(1, "red")
	w.ping(a, "10.0.1.1", 1)
	w.Eventually(
		3*time.Second,
		"a neighbour that was learned",
		func() bool { return strings.Contains(m.Output(), "10.0.1.2 dev p1 lladdr") },
	)
	if strings.Contains(m.Output(), "d0") {
		t.Errorf("init's event in red: %s", m.Output())
	}
	if m.Signal(unix.SIGINT); true {
		if status, err := m.Wait(3 * time.Second); err != nil || status == 2 {
			t.Errorf("monitor ended by SIGINT: status %d, %v: %s", status, err, m.Output())
		}
	}
}
