// Package e2e tests the real daemon between Linux hosts: network namespaces joined to it by veth pairs, with AF_XDP on
// its side. Each test has a lab of its own; they can run beside each other and beside another copy of themselves.
package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/client"
	"nsrouter/internal/lab"
)

// world is a router with hosts around it.
type world struct {
	*lab.Lab
	t *testing.T
	r *lab.Router
}

func newWorld(t *testing.T, args ...string) *world {
	return newWorldWith(t, lab.RouterOptions{Args: args})
}

// newWorldWith makes a world whose daemon, if it still runs when the test ends, must account for every frame and packet.
func newWorldWith(t *testing.T, o lab.RouterOptions) *world {
	l := lab.New(t)
	w := &world{Lab: l, t: t, r: l.Router(o)}
	t.Cleanup(func() {
		if w.r.Process().Running() {
			w.conserved()
		}
	})
	return w
}

// host joins a host to a new port of the router: hostN has 10.0.N.2/24 and 2001:db8:N::2/64 on eth0, and the router as
// its gateway. The port pN is in the namespace ns with 10.0.N.1 and 2001:db8:N::1; it is up.
func (w *world) host(n int, ns string) *lab.Host {
	return w.hostAs(fmt.Sprintf("host%d", n), fmt.Sprintf("p%d", n), n, ns)
}

// hostAs is host with names of the caller's choice, so that networks can overlap.
func (w *world) hostAs(name, port string, n int, ns string) *lab.Host {
	h := w.Host(name)
	w.Link(
		h.End("eth0", fmt.Sprintf("10.0.%d.2/24", n), fmt.Sprintf("2001:db8:%d::2/64", n)),
		w.r.Host.End(port),
		lab.LinkOptions{},
	)
	h.Route("default", fmt.Sprintf("10.0.%d.1", n))
	h.Route("default", fmt.Sprintf("2001:db8:%d::1", n))
	w.r.Must(fmt.Sprintf(`
		-n %[1]s link add %[2]s type xdp
		-n %[1]s addr add 10.0.%[3]d.1/24 dev %[2]s
		-n %[1]s addr add 2001:db8:%[3]d::1/64 dev %[2]s nodad
		-n %[1]s link set %[2]s up`, ns, port, n))
	return h
}

// settle waits until no IPv6 address of the router is being tried for duplicates. The addresses of the ports of hosts are
// not, but the link-local ones are.
func (w *world) settle() {
	w.t.Helper()
	w.Eventually(10*time.Second, "addresses that are used", func() bool {
		for _, ns := range query[struct{ Name string }](w, "netns list") {
			if w.r.Must("-o -n "+ns.Name+" addr show tentative -dadfailed") != "" {
				return false
			}
		}
		return true
	})
}

// ping sends count echo requests, 20 ms apart, and fails the test unless each is answered.
func (w *world) ping(from *lab.Host, to string, count int) {
	w.t.Helper()
	if got := from.Ping(to, count, 20*time.Millisecond); got != count {
		w.t.Errorf("ping from %s to %s: %d of %d answered", from.Name, to, got, count)
	}
}

// silent fails the test if an echo request is answered.
func (w *world) silent(from *lab.Host, to string) {
	w.t.Helper()
	if res := from.Try("ping", "-n", "-c", "2", "-i", "0.1", "-W", "0.5", to); res.Status == 0 {
		w.t.Errorf("ping from %s to %s is answered: %s", from.Name, to, res.Stdout)
	}
}

// query decodes what a command prints with -j.
func query[T any](w *world, command string) []T {
	w.t.Helper()
	var rows []T
	out := w.r.Must("-j " + command)
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		w.t.Fatalf("router -j %s: %v\n%s", command, err, out)
	}
	return rows
}

// linkRow is what these tests read of `link show`.
type linkRow struct {
	IfName    string   `json:"ifname"`
	Flags     []string `json:"flags"`
	OperState string   `json:"operstate"`
	MTU       int      `json:"mtu"`
	Stats     struct {
		Rx struct{ Packets, Dropped uint64 }
		Tx struct{ Packets uint64 }
	} `json:"stats64"`
	Forwarding struct{ Forwarded, Delivered, Held uint64 }
	Drops      map[string]uint64
}

func (w *world) link(ns, name string) linkRow {
	w.t.Helper()
	rows := query[linkRow](w, "-s -n "+ns+" link show dev "+name)
	if len(rows) != 1 {
		w.t.Fatalf("%d rows for %s", len(rows), name)
	}
	return rows[0]
}

// TestPing: IPv4 and IPv6 between two ports, the first packet included; the router answers itself.
func TestPing(t *testing.T) {
	w := newWorld(t)
	a, b := w.host(1, "init"), w.host(2, "init")
	w.ping(a, "10.0.2.2", 50)
	w.ping(b, "2001:db8:1::2", 50)
	w.ping(a, "10.0.1.1", 10)
	w.ping(a, "10.0.2.1", 10)
	w.ping(b, "2001:db8:2::1", 10)
	w.settle()
	w.ping(b, linkLocal(w, "p2")+"%eth0", 10)
	w.conserved()
}

func linkLocal(w *world, dev string) string {
	for _, row := range query[struct {
		Addrs []struct{ Local, Scope string } `json:"addr_info"`
	}](w, "addr show dev "+dev) {
		for _, a := range row.Addrs {
			if a.Scope == "link" {
				return a.Local
			}
		}
	}
	w.t.Fatalf("%s has no link-local address", dev)
	return ""
}

// TestWorkers: the same with two workers, so that every packet is handed over, and with queues on both.
func TestWorkers(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	a, b := w.host(1, "init"), w.host(2, "init")
	w.ping(a, "10.0.2.2", 100)
	w.ping(b, "2001:db8:1::2", 100)
	c := w.Host("multi")
	w.Link(c.End("eth0", "10.0.3.2/24"), w.r.Host.End("p3"), lab.LinkOptions{Queues: 2})
	c.Route("default", "10.0.3.1")
	w.r.Must(`
		link add p3 type xdp
		addr add 10.0.3.1/24 dev p3
		link set p3 up`)
	w.ping(c, "10.0.1.2", 100)
	w.ping(a, "10.0.3.2", 100)
	stop := w.flood(a, "10.0.2.2")
	rows := query[struct {
		ID      int
		Load    float64
		Packets float64 `json:"packets_per_second"`
		Queues  []struct {
			Netns, Dev string
			Queue      int
		}
	}](w, "worker show 0.5")
	stop()
	queues := make(map[string]bool)
	for _, r := range rows {
		if r.Load <= 0 || r.Load > 1 || r.Packets <= 0 {
			t.Errorf("worker under load: %+v", r)
		}
		for _, q := range r.Queues {
			queues[fmt.Sprint(q.Netns, q.Dev, q.Queue)] = true
		}
	}
	if want := []string{"initp10", "initp20", "initp30", "initp31"}; len(rows) != 2 ||
		!slices.Equal(slices.Sorted(maps.Keys(queues)), want) {
		t.Errorf("%d workers serve %v", len(rows), queues)
	}
	w.conserved()
}

// allMLDv2Routers hear which groups a host is in (RFC 3810 5.2.14).
var allMLDv2Routers = netip.MustParseAddr("ff02::16") //nolint:gochecknoglobals // a constant

// quiet fails the test if something was heard of another namespace. That Linux in this one says which groups it is in is
// none of that.
func (w *world) quiet(s *lab.Sniffer, ns string) {
	w.t.Helper()
	for _, f := range s.Frames() {
		if protocol, _ := transportOf(f.Data); protocol == 0 && is6(f.Data) && destination(f.Data) == allMLDv2Routers {
			continue
		}
		w.t.Errorf("heard in %s: %x", ns, f.Data)
	}
}

// TestTenants: two namespaces with the same addresses on both sides. Each host reaches its own peer; nothing is heard
// on the other side.
func TestTenants(t *testing.T) {
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	hosts := map[string]*lab.Host{}
	for _, ns := range []string{"red", "blue"} {
		for n := 1; n <= 2; n++ {
			hosts[ns+fmt.Sprint(n)] = w.hostAs(ns+fmt.Sprint(n), ns+fmt.Sprint(n), n, ns)
		}
	}
	w.settle() // what the router says of itself is not what blue is to hear of red
	other := hosts["blue2"].Sniff("eth0")
	w.ping(hosts["red1"], "10.0.2.2", 50)
	w.ping(hosts["red1"], "2001:db8:2::2", 50)
	hosts["red1"].Try("ping", "-c", "3", "-i", "0.02", "-W", "0.2", "10.0.2.77") // a neighbour that is not there
	w.quiet(other, "blue")
	w.ping(hosts["blue1"], "10.0.2.2", 50)
	// Blue's second port goes down: red does not notice, blue's first host reaches nobody.
	w.r.Must("-n blue link set blue2 down")
	w.ping(hosts["red1"], "10.0.2.2", 20)
	w.silent(hosts["blue1"], "10.0.2.2")
	w.conserved()
}

// conserved fails the test if the daemon has lost track of a frame, or of a packet: what came in by each device, and by
// all that a namespace has had, was forwarded, delivered, dropped for a reason, or waits. What is under way has a moment
// to arrive.
func (w *world) conserved() {
	w.t.Helper()
	faults := w.unaccounted()
	for deadline := time.Now().Add(3 * time.Second); faults != "" && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		faults = w.unaccounted()
	}
	if faults != "" {
		w.t.Error(faults)
	}
}

// unaccounted tells what does not add up, a line each.
func (w *world) unaccounted() string {
	w.t.Helper()
	c := client.New(w.r.Socket)
	defer c.Close()
	f, err := c.GetFrames(context.Background(), &v1.GetFramesRequest{})
	if err != nil {
		return "frames: " + err.Error()
	}
	faults := ""
	if f.Lost != 0 || f.Total != f.Free+f.Held+f.Pipeline+f.Queues {
		faults = fmt.Sprintf("frames are lost: %v\n", f)
	}
	for _, ns := range query[netnsRow](w, "-s netns list") {
		if s := ns.Forwarding; s.Received != s.Forwarded+s.Delivered+s.Held+s.Dropped {
			faults += fmt.Sprintf("namespace %s: %+v, drops %v\n", ns.Name, s, ns.Drops)
		}
		for _, l := range query[linkRow](w, "-s -n "+ns.Name+" link show") {
			s := l.Forwarding
			if l.Stats.Rx.Packets != s.Forwarded+s.Delivered+s.Held+l.Stats.Rx.Dropped {
				faults += fmt.Sprintf("%s %s: received %d, forwarded %d, delivered %d, held %d, dropped %d: %v\n",
					ns.Name, l.IfName, l.Stats.Rx.Packets, s.Forwarded, s.Delivered, s.Held, l.Stats.Rx.Dropped, l.Drops)
			}
		}
	}
	return faults
}

// netnsRow is what these tests read of `netns list`.
type netnsRow struct {
	Name       string
	Forwarding struct{ Received, Forwarded, Delivered, Held, Dropped uint64 }
	Drops      map[string]uint64
}
