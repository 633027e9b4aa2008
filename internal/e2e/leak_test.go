package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// tenant is a namespace with a port and a host behind it: like all others it has 10.0.1.0/24 and 2001:db8:1::/64, and
// besides a range of its own, by which it speaks with others.
func (w *world) tenant(ns string, n int) *lab.Host {
	h := w.hostAs(ns+"1", ns+"1", 1, ns)
	w.r.Must(fmt.Sprintf(`
		-n %[1]s addr add 100.64.%[2]d.1/24 dev %[1]s1
		-n %[1]s addr add 2001:db8:64:%[2]d::1/64 dev %[1]s1 nodad
		-n %[1]s route add 10.0.9.0/24 nexthop-netns shared
		-n %[1]s route add 2001:db8:9::/64 nexthop-netns shared
		-n shared route add 100.64.%[2]d.0/24 nexthop-netns %[1]s
		-n shared route add 2001:db8:64:%[2]d::/64 nexthop-netns %[1]s`, ns, n))
	h.Interface("eth0").Addr(fmt.Sprintf("100.64.%d.2/24", n))
	h.Interface("eth0").Addr(fmt.Sprintf("2001:db8:64:%d::2/64", n))
	h.Run("ip", "route", "add", "10.0.9.0/24", "via", "10.0.1.1", "src", fmt.Sprintf("100.64.%d.2", n))
	h.Run("ip", "route", "add", "2001:db8:9::/64", "via", "2001:db8:1::1", "src", fmt.Sprintf("2001:db8:64:%d::2", n))
	return h
}

type leakRow struct {
	Name   string
	Leaked struct{ In, Out uint64 }
}

func (w *world) leaked(ns string) (in, out uint64) {
	for _, row := range query[leakRow](w, "-s netns list") {
		if row.Name == ns {
			return row.Leaked.In, row.Leaked.Out
		}
	}
	w.t.Fatalf("no namespace %s", ns)
	return 0, 0
}

// TestSharedServices: two tenants with the same addresses use a server in a third namespace by routes, and hear nothing of
// each other; restart, deletion and re-creation.
func TestSharedServices(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	w.r.Must(`
		netns add red
		netns add blue
		netns add shared
		-n shared addr add 10.255.0.1/32 dev lo
		-n shared addr add 2001:db8:255::1/128 dev lo nodad`)
	server := w.hostAs("server", "srv", 9, "shared")
	red, blue := w.tenant("red", 1), w.tenant("blue", 2)
	w.settle()
	heard := blue.Sniff("eth0")
	for _, to := range []string{"10.0.9.2", "2001:db8:9::2", "10.0.9.1"} {
		w.ping(red, to, 30)
	}
	w.quiet(heard, "blue")
	w.ping(blue, "10.0.9.2", 30)
	w.ping(blue, "2001:db8:9::2", 30)
	w.ping(server, "100.64.1.2", 5)
	w.ping(server, "2001:db8:64:2::2", 5)
	w.silent(server, "10.0.1.2") // of both: the server knows neither
	if in, out := w.leaked("shared"); in < 160 || out < 160 {
		t.Errorf("shared: in %d out %d", in, out)
	}
	// Red poses as blue: shared has the route back to that into blue.
	w.r.Must("-n shared link set lo rp-filter strict")
	red.Interface("eth0").Addr("100.64.2.77/32")
	red.Try("ping", "-c", "3", "-i", "0.02", "-W", "0.2", "-I", "100.64.2.77", "10.0.9.2")
	if n := w.link("shared", "lo").Drops["rp-filter"]; n != 3 {
		t.Errorf("%d packets dropped for their source, want 3", n)
	}
	w.ping(red, "10.0.9.2", 5)
	w.traces(red)
	w.r.Stop()
	w.r.Start()
	w.settle()
	w.ping(red, "10.0.9.2", 20)
	w.ping(blue, "2001:db8:9::2", 20)
	w.r.Must("netns del shared\nnetns add shared")
	if out := w.r.Must("-n red route show nexthop-netns shared"); out != "" {
		t.Errorf("left of shared: %s", out)
	}
	w.silent(red, "10.0.9.2")
	w.conserved()
}

// traces follows the way from a tenant to the server and asks for its MTU, both families.
func (w *world) traces(red *lab.Host) {
	w.t.Helper()
	w.r.Must("-n shared link set srv mtu 1300")
	for _, c := range [][]string{
		{"10.0.9.2", "100.64.1.1", "10.255.0.1", "10.0.9.2"},
		{"2001:db8:9::2", "2001:db8:64:1::1", "2001:db8:255::1", "2001:db8:9::2"},
	} {
		out := red.Run("traceroute", "-n", "-q", "1", "-w", "1", c[0])
		var hops []string
		for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
			hops = append(hops, strings.Fields(line)[1])
		}
		if !slices.Equal(hops, c[1:]) {
			w.t.Errorf("way to %s: %v, want %v", c[0], hops, c[1:])
		}
		big := red.Try("ping", "-n", "-c", "2", "-i", "0.1", "-W", "1", "-M", "do", "-s", "1400", c[0])
		if !strings.Contains(big.Stdout+big.Stderr, "1300") {
			w.t.Errorf("no MTU told to %s: %s%s", c[0], big.Stdout, big.Stderr)
		}
	}
}

// chain is a host, three routers one behind the other, and another host: A 10.0.1.2 - r1 - r2 - r3 - 10.0.2.2 B, with
// 10.1.12.0/24 and 10.1.23.0/24 between, the like in IPv6, and a last link of 1400 bytes.
type chain struct{ a *lab.Host }

// answers tells what becomes of echo requests with each TTL, and of large ones.
func (c *chain) answers() []string {
	var out []string
	ask := func(args ...string) {
		r := c.a.Try("ping", append([]string{"-n", "-c", "1", "-W", "1"}, args...)...)
		line := "silence"
		for _, l := range strings.Split(r.Stdout+r.Stderr, "\n") {
			if strings.Contains(l, "from ") || strings.Contains(l, "From ") {
				line = regexp.MustCompile(` time=.*`).ReplaceAllString(l, "")
			}
		}
		out = append(out, strings.Join(args, " ")+": "+line)
	}
	for _, to := range []string{"10.0.2.2", "2001:db8:2::2"} {
		for ttl := 1; ttl <= 5; ttl++ {
			ask("-t", fmt.Sprint(ttl), to)
		}
		ask("-M", "do", "-s", "1390", to)
	}
	ask("-M", "dont", "-s", "1390", "10.0.2.2") // cut on the way
	for _, own := range []string{"10.1.12.2", "10.1.23.3", "2001:db8:12::2", "2001:db8:23::3"} {
		ask(own)
	}
	return out
}

// linuxChain makes the chain of Linux routers.
func linuxChain(l *lab.Lab) *chain {
	a, b := l.Host("ka"), l.Host("kb")
	var r [3]*lab.Host
	for i := range r {
		r[i] = l.Host(fmt.Sprintf("k%d", i+1))
		r[i].Sysctl("net.ipv4.ip_forward", "1")
		r[i].Sysctl("net.ipv6.conf.all.forwarding", "1")
		r[i].Sysctl("net.ipv4.icmp_ratelimit", "0")
		r[i].Sysctl("net.ipv6.icmp.ratelimit", "0")
	}
	end := func(h *lab.Host, name, net string, n int) lab.End {
		return h.End(name, fmt.Sprintf("10.%s.%d/24", net, n), fmt.Sprintf("2001:db8:%s::%d/64", net[strings.Index(net, ".")+1:], n))
	}
	l.Link(end(a, "eth0", "0.1", 2), end(r[0], "p1", "0.1", 1), lab.LinkOptions{})
	l.Link(end(r[0], "v12", "1.12", 1), end(r[1], "v21", "1.12", 2), lab.LinkOptions{})
	l.Link(end(r[1], "v23", "1.23", 2), end(r[2], "v32", "1.23", 3), lab.LinkOptions{})
	l.Link(end(r[2], "p2", "0.2", 1), end(b, "eth0", "0.2", 2), lab.LinkOptions{MTU: 1400})
	a.Route("default", "10.0.1.1")
	a.Route("default", "2001:db8:1::1")
	b.Route("default", "10.0.2.1")
	b.Route("default", "2001:db8:2::1")
	for i, towards := range [3][4]string{
		{"", "", "10.1.12.2", "2001:db8:12::2"}, {"10.1.12.1", "2001:db8:12::1", "10.1.23.3", "2001:db8:23::3"},
		{"10.1.23.2", "2001:db8:23::2", "", ""},
	} {
		for k, prefix := range []string{"10.0.1.0/24", "2001:db8:1::/64", "10.0.2.0/24", "2001:db8:2::/64"} {
			if towards[k] != "" {
				r[i].Route(prefix, towards[k])
			}
		}
	}
	r[0].Route("10.1.23.0/24", "10.1.12.2")
	r[0].Route("2001:db8:23::/64", "2001:db8:12::2")
	return &chain{a: a}
}

// routerChain makes the chain of namespaces of one router, joined by veth pairs or by routes.
func (w *world) routerChain(veth bool) *chain {
	w.r.Must("netns add r1\nnetns add r2\nnetns add r3")
	a, b := w.host(1, "r1"), w.host(2, "r3")
	b.Run("ip", "link", "set", "eth0", "mtu", "1400")
	w.r.Must("-n r3 link set p2 mtu 1400")
	if veth {
		w.r.Must(`
			-n r1 link add v12 type veth peer name v21 netns r2
			-n r2 link add v23 type veth peer name v32 netns r3`)
	}
	for _, end := range []string{"r1 v12 12 1", "r2 v21 12 2", "r2 v23 23 2", "r3 v32 23 3"} {
		f := strings.Fields(end)
		if !veth {
			f[1] = "lo"
		}
		length := map[bool][2]string{true: {"24", "64"}, false: {"32", "128"}}[veth]
		w.r.Must(fmt.Sprintf(`
			-n %[1]s addr add 10.1.%[3]s.%[4]s/%[5]s dev %[2]s
			-n %[1]s addr add 2001:db8:%[3]s::%[4]s/%[6]s dev %[2]s nodad
			-n %[1]s link set %[2]s up`, f[0], f[1], f[2], f[3], length[0], length[1]))
	}
	for _, route := range []string{ // of, by netns or by gateway, to
		"r1 r2 12 2 10.0.2.0/24 2001:db8:2::/64", "r1 r2 12 2 10.1.23.0/24 2001:db8:23::/64",
		"r2 r1 12 1 10.0.1.0/24 2001:db8:1::/64", "r2 r3 23 3 10.0.2.0/24 2001:db8:2::/64",
		"r3 r2 23 2 10.0.1.0/24 2001:db8:1::/64",
	} {
		f := strings.Fields(route)
		by4, by6 := fmt.Sprintf("via 10.1.%s.%s", f[2], f[3]), fmt.Sprintf("via 2001:db8:%s::%s", f[2], f[3])
		if !veth {
			by4, by6 = "nexthop-netns "+f[1], "nexthop-netns "+f[1]
		}
		w.r.Must(fmt.Sprintf("-n %[1]s route add %[2]s %[3]s\n-n %[1]s route add %[4]s %[5]s", f[0], f[4], by4, f[5], by6))
	}
	if !veth { // what is on the link between them in the other chains
		w.r.Must(`
			-n r1 route add 10.1.12.2 nexthop-netns r2
			-n r1 route add 2001:db8:12::2 nexthop-netns r2
			-n r2 route add 10.1.23.3 nexthop-netns r3
			-n r2 route add 2001:db8:23::3 nexthop-netns r3`)
	}
	w.settle()
	return &chain{a: a}
}

// TestChain: a chain of namespaces answers as a chain of Linux routers does, whether veth pairs join them or routes: the same
// hops with the same addresses, TTLs and MTUs.
func TestChain(t *testing.T) {
	l := lab.New(t)
	reference := linuxChain(l)
	reference.a.Ping("10.0.2.2", 3, 10*time.Millisecond)
	reference.a.Ping("2001:db8:2::2", 3, 10*time.Millisecond)
	want := reference.answers()
	for _, veth := range []bool{true, false} {
		t.Run(fmt.Sprintf("veth=%v", veth), func(t *testing.T) {
			w := newWorld(t)
			c := w.routerChain(veth)
			w.ping(c.a, "10.0.2.2", 3)
			w.ping(c.a, "2001:db8:2::2", 3)
			for i, got := range c.answers() {
				if got != want[i] {
					t.Errorf("%s\nLinux: %s", got, want[i])
				}
			}
			w.conserved()
		})
	}
	for _, line := range want {
		if strings.HasSuffix(line, "silence") {
			t.Errorf("Linux: %s", line)
		}
	}
}
