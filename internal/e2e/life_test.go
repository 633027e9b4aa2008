package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// TestTCP: iperf3 for ten seconds, both families, without a second in which nothing arrives.
func TestTCP(t *testing.T) {
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	for _, c := range []struct {
		to      string
		seconds int
	}{{"10.0.2.2", 10}, {"2001:db8:2::2", 2}} {
		server := b.Start("iperf3", "-s", "-1", "--forceflush")
		w.Eventually(
			5*time.Second,
			"iperf3 server",
			func() bool { return strings.Contains(server.Output(), "listening") },
		)
		out := a.Run("iperf3", "-J", "-c", c.to, "-t", fmt.Sprint(c.seconds))
		var report struct {
			Intervals []struct {
				Sum struct {
					Seconds float64
					Bits    float64 `json:"bits_per_second"`
				}
			}
		}
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if len(report.Intervals) < c.seconds {
			t.Errorf("%s: %d intervals: %s", c.to, len(report.Intervals), out)
		}
		for i, s := range report.Intervals {
			if s.Sum.Bits == 0 && s.Sum.Seconds > 0.5 {
				t.Errorf("%s: second %d: nothing was sent", c.to, i)
			}
		}
		t.Logf("%s: %.2f Gbit/s in the last interval", c.to, report.Intervals[len(report.Intervals)-1].Sum.Bits/1e9)
	}
	w.conserved()
}

// flood sends echo requests from a host as fast as they are answered, until it is stopped or the test ends.
func (w *world) flood(h *lab.Host, to string) (stop func()) {
	p := h.Start("ping", "-f", "-q", "-s", "16", to)
	return func() {
		w.t.Helper()
		p.Signal(syscall.SIGKILL)
		if _, err := p.Wait(5 * time.Second); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestMoveUnderLoad: a device moves between namespaces while packets flow. They stop before the command returns, start
// again when it comes back, are never heard on the wrong side, and no frame is lost track of.
func TestMoveUnderLoad(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a := w.hostAs("a", "p1", 1, "red")
	b := w.hostAs("b", "p2", 2, "red")
	c := w.hostAs("c", "p3", 2, "blue") // the same network as b, in the other namespace
	atB, atC := b.Sniff("eth0"), c.Sniff("eth0")
	stop := w.flood(a, "10.0.2.2")
	arrives := func(s *lab.Sniffer) func() bool {
		return func() bool { return len(flooded(s)) > 100 }
	}
	w.Eventually(5*time.Second, "traffic to b", arrives(atB))
	for i := range 5 {
		w.r.Must("-n red link set p1 netns blue")
		time.Sleep(20 * time.Millisecond) // what was on the veth arrives
		atB.Reset()
		atC.Reset()
		time.Sleep(100 * time.Millisecond)
		if n := len(flooded(atB)); n != 0 {
			t.Errorf("move %d: %d frames in red after the command returned: %x", i, n, flooded(atB)[0].Data)
		}
		if n := len(flooded(atC)); n != 0 {
			t.Errorf("move %d: %d frames in blue before the device is up", i, n)
		}
		w.r.Must("-n blue addr add 10.0.1.1/24 dev p1\n-n blue link set p1 up")
		w.Eventually(5*time.Second, "traffic to c", arrives(atC))
		if n := len(flooded(atB)); n != 0 {
			t.Errorf("move %d: %d frames in red while the device is in blue", i, n)
		}
		w.r.Must("-n blue link set p1 netns red\n-n red addr add 10.0.1.1/24 dev p1\n-n red link set p1 up")
		time.Sleep(20 * time.Millisecond)
		atB.Reset()
		atC.Reset()
		w.Eventually(5*time.Second, "traffic to b again", arrives(atB))
		if n := len(flooded(atC)); n != 0 {
			t.Errorf("move %d: %d frames in blue after the device left", i, n)
		}
	}
	stop()
	w.conserved()
}

// flooded are the frames of the flood, without what the router itself asks its neighbours now and then.
func flooded(s *lab.Sniffer) (frames []lab.Frame) {
	for _, f := range s.Frames() {
		if len(f.Data) > 30 && f.Data[12] == 8 && f.Data[13] == 0 && bytes.Equal(f.Data[26:30], []byte{10, 0, 1, 2}) {
			frames = append(frames, f)
		}
	}
	return frames
}

// TestIdle: four ports attached and no traffic cost next to nothing, and the first packet after a pause is not held up
// by sleep.
func TestIdle(t *testing.T) {
	w := newWorld(t)
	a := w.host(1, "init")
	for n := 2; n <= 4; n++ {
		w.host(n, "init")
	}
	w.ping(a, "10.0.2.2", 3)
	time.Sleep(time.Second)
	before, err := w.r.Process().CPU()
	if err != nil {
		t.Fatal(err)
	}
	const pause = 10 * time.Second
	time.Sleep(pause)
	after, err := w.r.Process().CPU()
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used > pause*2/100 {
		t.Errorf("idle for %v and used %v of CPU: more than 2 %%", pause, used)
	}
	// A worker that sleeps in ppoll answers within tens of microseconds; one that waited for its next tick would take
	// up to a second. The bound leaves the other programs of a busy machine their share.
	best := time.Hour
	for range 5 {
		time.Sleep(1500 * time.Millisecond)
		out := a.Run("ping", "-n", "-q", "-c", "1", "10.0.2.2")
		_, rtt, _ := strings.Cut(out, "mdev = ")
		rtt, _, _ = strings.Cut(rtt, "/")
		d, err := time.ParseDuration(rtt + "ms")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		best = min(best, d)
	}
	if best > time.Millisecond {
		t.Errorf("first packet after a pause: %v at best", best)
	}
	t.Logf("idle CPU %.2f %%, first packet after a pause %v at best", 100*float64(after-before)/float64(pause), best)
}

// state is everything that `show` prints of a namespace's settings.
func (w *world) state() string {
	w.t.Helper()
	var b strings.Builder
	for _, ns := range query[struct{ Name string }](w, "netns list") {
		for _, what := range []string{"link show", "addr show", "route show", "-6 route show"} {
			// What is still being tried for duplicates is a matter of time.
			b.WriteString(strings.ReplaceAll(w.r.Must("-n "+ns.Name+" "+what), "tentative ", ""))
		}
		for _, row := range query[struct {
			Dst, Dev, Lladdr string
			State            []string
		}](w, "-n "+ns.Name+" neigh show") {
			if len(row.State) == 1 && row.State[0] == "PERMANENT" {
				fmt.Fprintf(&b, "%+v\n", row)
			}
		}
	}
	return b.String()
}

// attached tells whether an XDP program is on an interface of the router's host.
func (w *world) attached(dev string) bool {
	return strings.Contains(w.r.Host.Run("ip", "link", "show", "dev", dev), "xdp")
}

// TestKill: killed with -9 under load, no program stays attached; a restart has every acknowledged setting and forwards
// at once.
func TestKill(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red")
	a := w.hostAs("a", "p1", 1, "red")
	w.hostAs("b", "p2", 2, "red")
	w.host(3, "init")
	w.r.Must(`
		link add dummy0 type dummy
		addr add 192.0.2.1/24 dev dummy0
		link set dummy0 up
		link add v0 type veth peer name v1 netns red
		addr add 10.9.0.1/30 dev v0
		-n red addr add 10.9.0.2/30 dev v1
		link set v0 up
		-n red link set v1 up
		-n red route add 198.51.100.0/24 via 10.0.2.2 metric 7
		-n red route add 198.51.100.0/24 via 10.0.2.3 metric 9
		-n red route add blackhole 203.0.113.0/24
		-n red route add unreachable 2001:db8:dead::/48
		-n red neigh add 10.0.2.77 lladdr 02:00:00:00:00:77 dev p2 nud permanent
		link set p3 mtu 1400`)
	var routes strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&routes, "-n red route add 172.%d.%d.0/24 via 10.0.2.2\n", 16+i/256, i%256)
	}
	for line := range strings.Lines(routes.String()) {
		if strings.HasPrefix(line, "-n red route add 172.16.0.0/24") {
			w.r.Must(line)
		}
	}
	w.r.Input(strings.ReplaceAll(routes.String(), "-n red route add", "route replace"), "-n", "red", "-batch", "-")
	want := w.state()
	stop := w.flood(a, "10.0.2.2")
	time.Sleep(200 * time.Millisecond)
	w.r.Kill()
	w.Eventually(2*time.Second, "programs gone", func() bool { return !w.attached("p1") && !w.attached("p2") })
	w.r.Start()
	if got := w.state(); got != want {
		t.Errorf("after the restart:\n%s", diff(want, got))
	}
	w.ping(a, "10.0.2.2", 10)
	stop()
	w.conserved()
	// An orderly stop releases the interfaces, and the state is back as well.
	w.r.Stop()
	if w.attached("p1") {
		t.Error("a program is attached after SIGTERM")
	}
	if _, err := os.Stat(w.r.Socket); err == nil {
		t.Error("the socket is there after SIGTERM")
	}
	w.r.Start()
	if got := w.state(); got != want {
		t.Errorf("after the orderly restart:\n%s", diff(want, got))
	}
	w.ping(a, "10.0.2.2", 10)
}

// diff shows the lines that only one text has.
func diff(want, got string) string {
	var b strings.Builder
	in := func(text, line string) bool { return strings.Contains("\n"+text, "\n"+line) }
	for line := range strings.Lines(want) {
		if !in(got, line) {
			b.WriteString("- " + line)
		}
	}
	for line := range strings.Lines(got) {
		if !in(want, line) {
			b.WriteString("+ " + line)
		}
	}
	return b.String()
}

// TestVanish: an interface disappears under load and comes back under its name. The device waits with its addresses and
// routes; others go on.
func TestVanish(t *testing.T) {
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	c := w.host(3, "init")
	w.r.Must("route add 198.51.100.0/24 via 10.0.2.2\nlink add link p2 name s type vlan protocol 802.1ad id 9")
	w.r.Must("link add link s name c address 02:00:00:00:00:77 type vlan id 3")
	forVLANs := func() {
		t.Helper()
		out := w.r.Host.Run("ip", "-d", "link", "show", "p2")
		if !strings.Contains(out, "mtu 1504 ") || !strings.Contains(out, "promiscuity 1 ") {
			t.Errorf("p2 does not serve the VLAN devices on it: %s", out)
		}
	}
	forVLANs()
	stop := w.flood(a, "10.0.2.2")
	time.Sleep(100 * time.Millisecond)
	b.Interface("eth0").Delete()
	w.Eventually(10*time.Second, "p2 without carrier", func() bool { return w.link("init", "p2").OperState == "DOWN" })
	w.ping(c, "10.0.1.2", 10)
	if out := w.r.Must("addr show dev p2"); !strings.Contains(out, "10.0.2.1/24") {
		t.Errorf("the address went with the interface: %s", out)
	}
	if out := w.r.Must("route show"); !strings.Contains(out, "198.51.100.0/24 via 10.0.2.2 dev p2") ||
		!strings.Contains(out, "linkdown") {
		t.Errorf("the routes should wait: %s", out)
	}
	stop()
	w.conserved()
	w.Link(b.End("eth0", "10.0.2.2/24", "2001:db8:2::2/64"), w.r.Host.End("p2"), lab.LinkOptions{})
	b.Route("default", "10.0.2.1")
	w.Eventually(10*time.Second, "p2 with carrier", func() bool { return w.link("init", "p2").OperState == "UP" })
	w.ping(c, "10.0.2.2", 10)
	forVLANs()
	w.conserved()
}

// TestNames: an interface attached by an alternative name stays attached, also when it is renamed.
func TestNames(t *testing.T) {
	w := newWorld(t)
	a := w.host(1, "init")
	b := w.Host("b")
	w.Link(b.End("eth0", "10.0.2.2/24"), w.r.Host.End("lan"), lab.LinkOptions{})
	b.Route("default", "10.0.2.1")
	w.r.Host.Run("ip", "link", "property", "add", "dev", "lan", "altname", "office")
	w.r.Must("link add p2 type xdp host office\naddr add 10.0.2.1/24 dev p2\nlink set p2 up")
	w.ping(a, "10.0.2.2", 5)
	w.r.Host.Run("ip", "link", "set", "lan", "name", "lan2")
	w.r.Must("link set p2 mtu 1480") // has the daemon look at the host
	time.Sleep(200 * time.Millisecond)
	w.ping(a, "10.0.2.2", 5)
	if l := w.link("init", "p2"); l.OperState != "UP" {
		t.Errorf("p2 is %s", l.OperState)
	}
	w.conserved()
}

// TestHopelessInterface: an interface that comes back in a shape that cannot be attached is tried again now and then, which
// costs next to nothing, and disturbs nobody; when it can be attached it is.
func TestHopelessInterface(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	b.Interface("eth0").Delete()
	w.Eventually(10*time.Second, "p2 without carrier", func() bool { return w.link("init", "p2").OperState == "DOWN" })
	// What is there under its name now has an address of the host.
	w.Link(b.End("eth0", "10.0.2.2/24"), w.r.Host.End("away"), lab.LinkOptions{})
	w.r.Host.Run("ip", "addr", "add", "192.0.2.1/24", "dev", "away")
	w.r.Host.Run("ip", "link", "set", "away", "down")
	w.r.Host.Run("ip", "link", "set", "away", "name", "p2")
	w.r.Host.Run("ip", "link", "set", "p2", "up")
	before, err := w.r.Process().CPU()
	if err != nil {
		t.Fatal(err)
	}
	const pause = 5 * time.Second
	time.Sleep(pause)
	after, err := w.r.Process().CPU()
	if err != nil {
		t.Fatal(err)
	}
	if used := after - before; used > pause*2/100 {
		t.Errorf("%v of CPU in %v", used, pause)
	}
	if n := strings.Count(w.r.Log(), "cannot be attached"); n == 0 || n > 4 {
		t.Errorf("%d tries in %v:\n%s", n, pause, w.r.Log())
	}
	w.ping(a, "10.0.1.1", 3)
	w.r.Host.Run("ip", "addr", "flush", "dev", "p2")
	w.Eventually(30*time.Second, "p2 attached", func() bool { return w.link("init", "p2").OperState == "UP" })
	b.Route("default", "10.0.2.1")
	w.ping(a, "10.0.2.2", 5)
	w.conserved()
}

// TestDamagedState: a daemon does not start on a store that is damaged, names the file, and leaves it as it is.
func TestDamagedState(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nlink add d0 type dummy")
	w.r.Stop()
	files, err := filepath.Glob(filepath.Join(w.r.State, "*.db"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	good, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte("not a database"), good[14:]...)
	for i := 4096; i < 4196; i++ {
		bad[i] ^= 0xff
	}
	if err := os.WriteFile(files[0], bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.r.TryStart(); err == nil || !strings.Contains(err.Error(), files[0]) ||
		!strings.Contains(err.Error(), "status 2") {
		t.Errorf("started on a damaged store, or did not name it: %v", err)
	}
	if left, _ := os.ReadFile(files[0]); string(left) != string(bad) {
		t.Error("the damaged file was changed")
	}
	if err := os.WriteFile(files[0], good, 0o600); err != nil {
		t.Fatal(err)
	}
	w.r.Start()
	if out := w.r.Must("netns list"); !strings.Contains(out, "red") {
		t.Errorf("lost: %s", out)
	}
}
