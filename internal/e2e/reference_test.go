package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/corpus"
	"nsrouter/internal/lab"
)

// The reference is the Linux kernel: a router of the same addresses, MACs and routes, that gets the same frames. Both
// are joined to hosts that only sniff. What comes out of one and not of the other is a defect, or a difference with a
// name and a reason (permit_test.go).

// side is one of the two routers with its sniffers, by port.
type side struct {
	name string
	at   [3]*lab.Sniffer
}

// reference is both routers, and what was sent to them so far.
type reference struct {
	*world
	sides  [2]side   // ours, the kernel's
	linux  *lab.Host // whose kernel the other router is
	next   int       // number of the next probe
	frames uint64    // sent to each
	syncs  int
	late   map[int][2][]response // by probe: what came after its window
	// patience is how long to wait for what comes late: until a neighbour is given up.
	patience time.Duration
}

const (
	ours = iota
	kernels
)

func newReference(t *testing.T) *reference {
	r := &reference{world: newWorld(t, "--workers", "1"), next: 1, late: make(map[int][2][]response),
		patience: 3500 * time.Millisecond}
	k := r.kernel()
	r.linux = k
	r.sides = [2]side{r.side("ours", r.r.Host), r.side("kernel", k)}
	var mine, theirs strings.Builder
	for n := 1; n <= 2; n++ {
		fmt.Fprintf(&mine, "link add p%[1]d type xdp\naddr add 10.0.%[1]d.1/24 dev p%[1]d\n"+
			"addr add 2001:db8:%[1]d::1/64 dev p%[1]d\nlink set p%[1]d up\n", n)
		k.Interface(fmt.Sprintf("p%d", n)).Addr(fmt.Sprintf("10.0.%d.1/24", n))
		k.Interface(fmt.Sprintf("p%d", n)).Addr(fmt.Sprintf("2001:db8:%d::1/64", n))
	}
	// How many answers are sent is no matter here, and they are to be the router's own, not those of a Linux behind it.
	mine.WriteString("netns set init host none icmp-msgs-per-sec 0 too-big-rate 0\n")
	both := func(line string, args ...any) {
		fmt.Fprintf(&mine, line+"\n", args...)
		fmt.Fprintf(&theirs, line+"\n", args...)
	}
	both("link set dev p2 mtu %d", corpus.MTU2)
	for n := range corpus.Hosts {
		for _, a := range []any{corpus.OnLink4(n), corpus.OnLink6(n)} {
			both("neigh replace %v lladdr %v dev p1 nud permanent", a, corpus.HostMAC(1))
		}
	}
	for n := range corpus.Others {
		both("neigh replace %v lladdr %v dev p2 nud permanent", corpus.Other4(n), corpus.HostMAC(2))
	}
	both("neigh replace 2001:db8:2::2 lladdr %v dev p2 nud permanent", corpus.HostMAC(2))
	// These have no host, but a neighbour: how many packets wait for one that does not answer is no matter here.
	both("neigh replace 10.0.1.0 lladdr %v dev p1 nud permanent", corpus.HostMAC(1))
	both("neigh replace 10.0.2.0 lladdr %v dev p2 nud permanent", corpus.HostMAC(2))
	both("neigh replace fe80::77 lladdr %v dev p1 nud permanent", corpus.HostMAC(1))
	both("neigh replace %s lladdr %v dev p1 nud permanent", corpus.LinkLocal(2), corpus.HostMAC(1))
	both("neigh replace fe80::1:1 lladdr %v dev p1 nud permanent", corpus.HostMAC(1))
	for _, limit := range []string{"icmp-msgs-per-sec", "too-big-rate", "echo-rate", "neigh-rate", "punt-rate"} {
		fmt.Fprintf(&mine, "netns set init %s 0\n", limit)
	}
	for _, route := range corpus.Routes() {
		both("route add %s", route)
	}
	r.r.Batch(mine.String())
	batch := filepath.Join(r.Dir, "kernel.batch")
	if err := os.WriteFile(batch, []byte(theirs.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	k.Run("ip", "-batch", batch)
	// A device joins all groups of routers when forwarding is switched on, not when it is made later (addrconf.c,
	// dev_forward_change); answers for anycast addresses wait for this long (ndisc.c).
	k.Sysctl("net.ipv6.conf.all.forwarding", "0")
	k.Sysctl("net.ipv6.conf.all.forwarding", "1")
	for _, dev := range []string{"p1", "p2"} {
		k.Sysctl("net.ipv6.neigh."+dev+".proxy_delay", "0")
	}
	// What the interfaces' own stacks have said before they were taken over, and what both say at their beginning.
	r.world.settle()
	time.Sleep(300 * time.Millisecond)
	r.sync()
	for s := range r.sides {
		for port := 1; port <= 2; port++ {
			r.sides[s].at[port].Reset()
		}
	}
	return r
}

// kernel is the host whose kernel is the other router. Its rate limits are off.
func (r *reference) kernel() *lab.Host {
	k := r.Host("kernel")
	for key, value := range map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1", "net.ipv4.conf.all.rp_filter": "0",
		"net.ipv4.conf.default.rp_filter": "0", "net.ipv4.icmp_ratelimit": "0", "net.ipv4.icmp_ratemask": "0",
		"net.ipv6.icmp.ratelimit": "0", "net.ipv6.icmp.ratemask": "\n", "net.ipv4.conf.all.send_redirects": "0",
		"net.ipv4.conf.default.send_redirects": "0", "net.ipv6.auto_flowlabels": "0",
	} {
		k.Sysctl(key, value)
	}
	return k
}

// side makes the hosts behind a router. What their own stacks do is of no interest, and off.
func (r *reference) side(name string, router *lab.Host) side {
	s := side{name: name}
	for n := 1; n <= 2; n++ {
		h := r.Host(fmt.Sprintf("%s-host%d", name, n))
		h.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
		h.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
		h.Sysctl("net.ipv4.conf.all.arp_ignore", "8")
		r.Link(
			lab.End{Host: h, Name: "eth0", MAC: corpus.HostMAC(n).String()},
			lab.End{Host: router, Name: fmt.Sprintf("p%d", n), MAC: corpus.RouterMAC(n).String()},
			lab.LinkOptions{},
		)
		s.at[n] = h.Sniff("eth0")
	}
	return s
}
