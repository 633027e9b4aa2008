package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a table whose namespace red learns from a Linux namespace, where veths stand for the TAPs of its devices.
type rig struct {
	testing.TB
	table  *nstable.Table
	server *Server
	linux  *netns.Handle
	losses atomic.Int64
	done   string // what Linux was told last
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{TB: t}
	var server atomic.Pointer[Server]
	var err error
	r.table, err = nstable.Open(nstable.Options{
		Publishing: func(old, next *nstable.View) {
			if s := server.Load(); s != nil {
				s.Publishing(old, next)
			}
		},
		OperatorRoutes: func(ns *nstable.Namespace, prefixes []netip.Prefix, all bool) {
			if s := server.Load(); s != nil {
				s.OperatorRoutes(ns, prefixes, all)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.table.Close)
	r.server = New(Options{
		Table: r.table, Log: zap.NewNop(), Lost: func(*nstable.Namespace) { r.losses.Add(1) },
	})
	server.Store(r.server)
	if r.linux, err = netns.Anonymous(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.linux.Close() })
	r.do(func(tx *nstable.Tx) error { return tx.AddNamespace("red") })
	for i, dev := range []string{"p1", "p2"} {
		r.dummy(dev)
		r.ip("link add %s type veth peer name q%d", dev, i)
		r.ip("link set q%d up\nlink set %s up", i, dev)
		r.ip("addr add 10.0.%d.1/24 dev %s", i+1, dev)
		r.ip("addr add 2001:db8:%d::1/64 dev %s nodad", i+1, dev)
	}
	r.attach()
	t.Cleanup(r.server.Close)
	return r
}

func (r *rig) dummy(name string) {
	r.Helper()
	if _, err := r.table.AddLink("red", nstable.LinkSpec{Name: name, Kind: nstable.Dummy}); err != nil {
		r.Fatal(err)
	}
	if err := r.table.SetLink("red", name, nstable.LinkChange{Up: new(true)}); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) namespace() *nstable.Namespace {
	r.Helper()
	ns, err := r.table.Namespace("red")
	if err != nil {
		r.Fatal(err)
	}
	return ns
}

func (r *rig) attach() {
	r.Helper()
	if err := r.server.Attach(r.namespace(), r.linux); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) do(fn func(*nstable.Tx) error) {
	r.Helper()
	if err := r.table.Do(fn); err != nil {
		r.Fatal(err)
	}
}

// try runs commands of ip in the Linux namespace, a line each.
func (r *rig) try(commands string) error {
	r.done = commands
	lines := strings.Split(strings.TrimSpace(commands), "\n")
	var failed error
	for len(lines) > 0 {
		six := strings.HasPrefix(lines[0], "-6 ") // not a word of a batch
		args, batch := []string{"-force", "-batch", "-"}, ""
		if six {
			args = append([]string{"-6"}, args...)
		}
		for len(lines) > 0 && strings.HasPrefix(lines[0], "-6 ") == six {
			batch += strings.TrimPrefix(lines[0], "-6 ") + "\n"
			lines = lines[1:]
		}
		cmd := exec.Command("ip", args...)
		cmd.Stdin = strings.NewReader(batch)
		err := r.linux.Do(func() error {
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
		failed = errors.Join(failed, err)
	}
	return failed
}

func (r *rig) ip(format string, args ...any) {
	r.Helper()
	if err := r.try(fmt.Sprintf(format, args...)); err != nil {
		r.Fatalf("ip %s: %v", fmt.Sprintf(format, args...), err)
	}
}

// learned prints the routes that the router has of Linux, prefix by prefix in their order.
func (r *rig) learned() []string {
	r.Helper()
	out := []string{}
	err := r.table.Routes("red", nstable.RouteRange{}, func(i *nstable.RouteInfo) error {
		if i.Origin != fib.FromKernel {
			return nil
		}
		kind := [...]string{"unicast", "", "", "", "blackhole", "unreachable", "prohibit", "throw"}[i.Kind]
		var hops []string
		for _, h := range i.Hops {
			via := ""
			if h.Gateway.IsValid() {
				via = h.Gateway.String()
			}
			if i.Object != 0 { // Linux does not say it of a group of one
				h.Weight = 1
			}
			hops = append(hops, fmt.Sprintf("%s %s %d", via, h.Device, h.Weight))
		}
		if i.Prefix.Addr().Is6() {
			slices.Sort(hops)
		}
		source := ""
		if i.Source.IsValid() {
			source = i.Source.String()
		}
		out = append(out, fmt.Sprintf("%s %s metric %d proto %d nhid %d src %s mtu %d [%s]", kind, i.Prefix, i.Metric,
			i.Protocol, i.Object.Number(), source, i.MTU, strings.Join(hops, ", ")))
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return out
}

// jsonHop and jsonRoute are what `ip -json route` prints.
type jsonHop struct {
	Gateway string
	Via     struct{ Host string }
	Dev     string
	Weight  uint32
}

type jsonRoute struct {
	jsonHop
	Type, Dst, Protocol, Prefsrc string
	Metric                       uint32
	Nhid                         uint32
	Nexthops                     []jsonHop
	Metrics                      []struct{ Mtu uint32 }
}

// kernel prints the routes that Linux has, as learned does.
func (r *rig) kernel() []string {
	r.Helper()
	type entry struct {
		prefix netip.Prefix
		text   string
	}
	var all []entry
	for _, family := range []string{"-4", "-6"} {
		var text []byte
		err := r.linux.Do(func() (err error) {
			text, err = exec.Command("ip", family, "-d", "-N", "-json", "route", "show", "table", "main").Output()
			return err
		})
		if err != nil {
			r.Fatal(err)
		}
		var routes []jsonRoute
		if err := json.Unmarshal(text, &routes); err != nil {
			r.Fatalf("%v: %s", err, text)
		}
		for _, j := range routes {
			if j.Protocol == "2" || j.Protocol == "110" {
				continue
			}
			p := r.prefix(family, j.Dst)
			hops := j.Nexthops
			if len(hops) == 0 && (j.Type == "1" || j.Type == "unicast") {
				hops = []jsonHop{j.jsonHop}
			}
			var list []string
			for _, h := range hops {
				via := h.Gateway + h.Via.Host
				if j.Nhid != 0 {
					h.Weight = 1
				}
				list = append(list, fmt.Sprintf("%s %s %d", via, h.Dev, max(h.Weight, 1)))
			}
			if p.Addr().Is6() {
				slices.Sort(list)
			}
			mtu := uint32(0)
			for _, m := range j.Metrics {
				mtu = m.Mtu
			}
			kind := map[string]string{"1": "unicast", "6": "blackhole", "7": "unreachable", "8": "prohibit", "9": "throw"}[j.Type]
			if kind == "" {
				kind = j.Type
			}
			all = append(all, entry{p, fmt.Sprintf("%s %s metric %d proto %s nhid %d src %s mtu %d [%s]", kind, p, j.Metric,
				j.Protocol, j.Nhid, j.Prefsrc, mtu, strings.Join(list, ", "))})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return fib.ComparePrefixes(a.prefix, b.prefix) })
	out := []string{}
	for _, e := range all {
		out = append(out, e.text)
	}
	return out
}

func (r *rig) prefix(family, s string) netip.Prefix {
	r.Helper()
	switch {
	case s == "default" && family == "-4":
		s = "0.0.0.0/0"
	case s == "default":
		s = "::/0"
	case !strings.Contains(s, "/") && family == "-4":
		s += "/32"
	case !strings.Contains(s, "/"):
		s += "/128"
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		r.Fatal(err)
	}
	return p
}

// same waits until the router has what Linux has, and returns that.
func (r *rig) same() []string {
	r.Helper()
	var got, want []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got, want = r.learned(), r.kernel(); slices.Equal(got, want) {
			return got
		}
	}
	without := func(list, other []string) string {
		return strings.Join(slices.DeleteFunc(list, func(s string) bool { return slices.Contains(other, s) }), "\n")
	}
	r.Fatalf("after\n%s\nthe router has %d routes, besides others\n%s\nLinux has %d, besides others\n%s", r.done, len(got),
		without(slices.Clone(got), want), len(want), without(slices.Clone(want), got))
	return nil
}

// TestRoutes: each kind of route of Linux, made, replaced, appended to, withdrawn, and those that go without a word.
func TestRoutes(t *testing.T) {
	r := newRig(t)
	for _, step := range []struct {
		command string
		want    int // routes
	}{
		{"route add 192.0.2.0/24 via 10.0.1.2 proto 186 metric 20", 1},
		{"route add default via 10.0.2.2 src 10.0.2.1 mtu 1400", 2},
		{"route add 192.0.2.0/24 via 10.0.2.2 proto 186 metric 10", 3},
		{"route replace 192.0.2.0/24 via 10.0.1.3 proto bird metric 20", 3},
		{"route append 192.0.2.0/24 via 10.0.1.4 metric 20", 4},
		{"route prepend 192.0.2.0/24 via 10.0.1.5 metric 20", 5},
		{"route change 192.0.2.0/24 via 10.0.1.6 metric 20", 5},
		{"route del 192.0.2.0/24 via 10.0.1.4 metric 20", 4},
		{"route add 198.51.100.0/24 nexthop via 10.0.1.2 weight 3 nexthop via 10.0.2.2", 5},
		{"route add 198.51.101.0/24 dev p1", 6},
		{"route add 198.51.102.0/24 via inet6 2001:db8:1::2 dev p1", 7},
		{"route add 198.51.103.0/24 via 10.9.9.9 dev p1 onlink", 8},
		{"route add blackhole 203.0.113.0/28\nroute add unreachable 203.0.113.16/28\nroute add prohibit 203.0.113.32/28\n" +
			"route add throw 203.0.113.48/28", 12},
		{"-6 route add 2001:db8:f::/48 via 2001:db8:1::2 proto 11", 13},
		{"-6 route append 2001:db8:f::/48 via 2001:db8:2::2", 13},
		{"-6 route append 2001:db8:f::/48 via 2001:db8:2::3 dev p2", 13},
		{"-6 route del 2001:db8:f::/48 via 2001:db8:2::2", 13},
		{"-6 route append 2001:db8:f::/48 dev p2", 14},
		{"-6 route replace 2001:db8:f::/48 via 2001:db8:2::9", 14},
		{"-6 route add default nexthop via 2001:db8:1::2 weight 2 nexthop via 2001:db8:2::2", 15},
		{"-6 route add blackhole 2001:db8:e::/48", 16},
		{"-6 route del 2001:db8:f::/48 via 2001:db8:2::9\n-6 route del default", 14},
		{"nexthop add id 7 via 10.0.1.2 dev p1\nnexthop add id 8 via 10.0.2.2 dev p2\nnexthop add id 9 group 7/8,5", 14},
		{"route add 100.64.0.0/16 nhid 7\nroute add 100.65.0.0/16 nhid 9", 16},
		{"nexthop replace id 7 via 10.0.1.3 dev p1", 16},
		{"nexthop del id 7", 15},
		{"route flush proto bird", 14},
		{"addr del 10.0.2.1/24 dev p2", 12},
		{"link set p1 down", 7},
		{"link set p1 up", 7},
		{"link del p2", 5},
		{"route flush table main\n-6 route flush table main", 0},
	} {
		r.ip("%s", step.command)
		if n := len(r.same()); n != step.want {
			t.Errorf("%s: %d routes, want %d: %q", step.command, n, step.want, r.learned())
		}
	}
}

// TestRandom: whatever is done, the router comes to have what Linux has; also when it began in the middle of it, and when
// messages are lost.
func TestRandom(t *testing.T) {
	seed := uint64(os.Getpid())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 5))
	r := newRig(t)
	for round := range 40 {
		var b strings.Builder
		for range 1 + rnd.IntN(60) {
			fmt.Fprintln(&b, randomCommand(rnd))
		}
		switch round % 8 {
		case 3:
			r.server.Detach(r.namespace())
			if left := r.learned(); len(left) > 0 {
				t.Errorf("after Detach: %q", left)
			}
			r.attach()
		case 5:
			r.server.mu.Lock()
			r.server.spaces[r.namespace()].stale.Store(true) // a resync meanwhile
			r.server.spaces[r.namespace()].poke()
			r.server.mu.Unlock()
		}
		_ = r.try(b.String()) // some are refused
		r.same()
	}
}

func randomCommand(rnd *rand.Rand) string {
	verb := []string{"add", "replace", "append", "prepend", "change", "del", "del"}[rnd.IntN(7)]
	metric := []string{"", " metric 5", " metric 9"}[rnd.IntN(3)]
	via4 := func() string {
		d := 1 + rnd.IntN(2)
		return fmt.Sprintf("via 10.0.%d.%d dev p%d", d, 2+rnd.IntN(3), d)
	}
	via6 := func() string {
		d := 1 + rnd.IntN(2)
		return fmt.Sprintf("via 2001:db8:%d::%d dev p%d", d, 2+rnd.IntN(3), d)
	}
	six := rnd.IntN(2) == 0
	family, prefix, via := "", fmt.Sprintf("192.0.%d.0/24", 2+rnd.IntN(3)), via4
	if six {
		family, prefix, via = "-6 ", fmt.Sprintf("2001:db8:f%d::/48", rnd.IntN(3)), via6
	}
	choice := rnd.IntN(14)
	if six && choice >= 3 && choice <= 6 {
		// The kernel's dump leaves out what is between gateways of one metric (fib6_dump_node skips to the last).
		metric = fmt.Sprintf(" metric %d", 6+rnd.IntN(2))
	}
	switch choice {
	case 0:
		return fmt.Sprintf("nexthop replace id %d %s", 1+rnd.IntN(3), via())
	case 1:
		return fmt.Sprintf("nexthop replace id %d group %d/%d,3", 4+rnd.IntN(2), 1+rnd.IntN(3), 1+rnd.IntN(3))
	case 2:
		return fmt.Sprintf("nexthop del id %d", 1+rnd.IntN(5))
	case 3, 4:
		return fmt.Sprintf("%sroute %s %s nhid %d%s", family, verb, prefix, 1+rnd.IntN(5), metric)
	case 5:
		return fmt.Sprintf("%sroute %s blackhole %s%s", family, verb, prefix, metric)
	case 6:
		return fmt.Sprintf("%sroute %s %s dev p%d%s", family, verb, prefix, 1+rnd.IntN(2), metric)
	case 7, 8:
		return fmt.Sprintf("%sroute %s %s%s nexthop %s weight 2 nexthop %s", family, verb, prefix, metric, via(), via())
	case 9:
		if rnd.IntN(4) == 0 {
			dev := 1 + rnd.IntN(2)
			return fmt.Sprintf("link set p%d down\nlink set p%d up\naddr replace 2001:db8:%d::1/64 dev p%d nodad", dev, dev, dev, dev)
		}
	}
	return fmt.Sprintf("%sroute %s %s %s%s", family, verb, prefix, via(), metric)
}

// TestLost: the kernel's messages that found no room are made up for.
func TestLost(t *testing.T) {
	r := newRig(t)
	r.same()
	const routes = 60000 // more than receiveBuffer has room for
	r.ip("route add 192.0.2.0/24 via 10.0.1.2")
	r.do(func(*nstable.Tx) error { // the committer is busy meanwhile
		r.bulk(unix.RTM_NEWROUTE, routes)
		return r.try("route del 192.0.2.0/24")
	})
	if n := len(r.same()); n != routes {
		t.Errorf("%d routes, want %d", n, routes)
	}
	if r.losses.Load() == 0 {
		t.Error("nothing was lost: the test shows nothing")
	}
}

// TestRoom: what does not fit is taken up once there is room.
func TestRoom(t *testing.T) {
	r := newRig(t)
	limit := func(n string) {
		r.do(func(tx *nstable.Tx) error {
			return tx.SetNamespace("red", []setting.Value{{Name: "max-routes", Value: n}})
		})
	}
	limit("20")
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, "route add 100.64.%d.0/24 via 10.0.1.2\n", i)
	}
	r.ip("%s", b.String())
	r.eventually("the limit is reached", func() bool {
		n := 0
		_ = r.table.Routes("red", nstable.RouteRange{}, func(*nstable.RouteInfo) error { n++; return nil })
		return n == 20
	})
	limit("0")
	if n := len(r.same()); n != 100 {
		t.Errorf("%d routes", n)
	}
}

// TestStrange: what the router cannot send as Linux does is unreachable, until it can.
func TestStrange(t *testing.T) {
	r := newRig(t)
	r.ip("link add p3 type veth peer name q3\nlink set p3 up\nlink set q3 up\nroute add 192.0.2.0/24 dev p3 metric 7\n" +
		"route add 198.51.100.0/24 nexthop via 10.0.1.2 nexthop dev p3\nnexthop add id 5 dev p3\nroute add 203.0.113.0/24 nhid 5")
	want := func(routes ...string) {
		t.Helper()
		r.eventually(strings.Join(routes, "; "), func() bool { return slices.Equal(r.learned(), routes) })
	}
	want("unreachable 192.0.2.0/24 metric 7 proto 3 nhid 0 src  mtu 0 []",
		"unicast 198.51.100.0/24 metric 0 proto 3 nhid 0 src  mtu 0 [10.0.1.2 p1 1]",
		"unicast 203.0.113.0/24 metric 0 proto 3 nhid 5 src  mtu 0 []")
	get, err := r.table.RouteGet("red", nstable.GetQuery{Destination: netip.MustParseAddr("203.0.113.1")})
	if err == nil {
		t.Errorf("route get: %+v", get)
	}
	r.dummy("p3")
	r.same()
	if err := r.table.DeleteLink("red", "p3"); err != nil {
		t.Fatal(err)
	}
	r.ip("route add 192.0.2.0/28 via 10.0.1.2")
	r.dummy("p3")
	r.same()
}

// TestOthers: routes that are none of the router's business.
func TestOthers(t *testing.T) {
	r := newRig(t)
	r.ip("route add 192.0.2.0/24 via 10.0.1.2 proto 110\nroute add 192.0.2.0/24 via 10.0.1.2 table 100\n" +
		"route add 192.0.2.0/24 via 10.0.1.2 tos 8\nroute add local 192.0.2.0/24 dev lo\nroute add 198.51.100.0/24 dev p1")
	r.eventually("the last one", func() bool { return len(r.learned()) == 1 })
	r.dummy("p3") // has it read anew
	time.Sleep(50 * time.Millisecond)
	if got := r.learned(); len(got) != 1 || !strings.Contains(got[0], "198.51.100.0/24") {
		t.Errorf("%q", got)
	}
}

// bulk makes or deletes n IPv4 routes in Linux, as fast as that can do it.
func (r *rig) bulk(kind uint16, n int) {
	r.Helper()
	var a *asker
	if err := r.linux.Do(func() (err error) { a, err = newAsker(); return err }); err != nil {
		r.Fatal(err)
	}
	defer a.close()
	device := r.index("p1")
	const atOnce = 256
	buffer := make([]byte, dumpBuffer)
	for i := 0; i < n; i += atOnce {
		var request []byte
		for j := i; j < min(i+atOnce, n); j++ {
			way := &fib.Way{Protocol: 186, Metric: 20, Legs: []fib.Leg{
				{Gateway: netip.AddrFrom4([4]byte{10, 0, 1, byte(2 + j%200)}), Device: device, Weight: 1},
			}}
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(100 + j>>16), byte(j >> 8), byte(j), 0}), 24)
			flags := uint16(unix.NLM_F_REQUEST)
			if kind == unix.RTM_NEWROUTE {
				flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
			}
			if j == min(i+atOnce, n)-1 {
				flags |= unix.NLM_F_ACK
			}
			request = appendMessage(request, kind, flags, 0, appendRoute(nil, p, way))
		}
		if err := unix.Sendto(a.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			r.Fatal(err)
		}
		got, err := a.receive(buffer)
		if err != nil {
			r.Fatal(err)
		}
		for m := range messages(buffer[:got]) {
			if err := answer(m.body); err != nil {
				r.Fatal(err)
			}
		}
	}
}

// index is Linux's ifindex of a device, as legs that are written have it.
func (r *rig) index(name string) fib.DeviceID {
	r.Helper()
	for i, l := range r.links() {
		if l.name == name {
			return fib.DeviceID(i)
		}
	}
	r.Fatalf("there is no %s", name)
	return 0
}

// links are those of the Linux namespace.
func (r *rig) links() map[int]link {
	r.Helper()
	links := make(map[int]link)
	err := r.linux.Do(func() error {
		a, err := newAsker()
		if err != nil {
			return err
		}
		defer a.close()
		return a.dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), make([]byte, dumpBuffer), func(m message) error {
			if i, l, ok := parseLink(m); ok {
				links[i] = l
			}
			return nil
		})
	})
	if err != nil {
		r.Fatal(err)
	}
	return links
}

func (r *rig) eventually(what string, ok func() bool) {
	r.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within 10 s: %s; the router has %q", what, r.learned())
		}
	}
}
