package e2e

import (
	"encoding/json"
	"reflect"
	"regexp"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// bridge46 is a router between two hosts that have IPv4 addresses on their loopback only: IPv4 goes by IPv6 next hops
// (RFC 8950), on the host's side as well.
type bridge46 struct{ a, b *lab.Host }

// routes46 are the router's, as ip(8) takes them.
var routes46 = []string{ //nolint:gochecknoglobals // a constant table
	"route add 192.0.2.1 via inet6 2001:db8:1::2",
	"route add 198.51.100.1 via inet6 fe80::ff:fe00:202 dev p2",
	"route add 203.0.113.0/24 nexthop via inet6 2001:db8:2::2 dev p2 weight 2 nexthop via inet6 2001:db8:1::2 dev p1",
	"route add 198.18.0.0/15 via inet6 2001:db8:2::99",
}

func (w *world) bridge46(name string, router *lab.Host) bridge46 {
	host := func(n, port, mac, own, gateway string) *lab.Host {
		h := w.Host(name + "-" + n)
		w.Link(lab.End{Host: h, Name: "eth0", MAC: mac}, router.End(port), lab.LinkOptions{})
		h.Run("ip", "addr", "add", "2001:db8:"+n+"::2/64", "dev", "eth0", "nodad")
		h.Run("ip", "addr", "add", own+"/32", "dev", "lo")
		h.Run("ip", "route", "add", "0.0.0.0/0", "via", "inet6", gateway, "dev", "eth0", "src", own)
		return h
	}
	return bridge46{
		host("1", "p1", "02:00:00:00:02:01", "192.0.2.1", "2001:db8:1::1"),
		host("2", "p2", "02:00:00:00:02:02", "198.51.100.1", "2001:db8:2::1"),
	}
}

// errors46 are what ping says of the packets that do not arrive.
func (b bridge46) errors46() []string {
	var out []string
	from := regexp.MustCompile(`From .*`)
	for _, args := range [][]string{
		{"-t", "1", "198.51.100.1"}, {"-W", "5", "198.18.0.1"}, {"-M", "do", "-s", "1400", "198.51.100.1"},
	} {
		res := b.a.Try("ping", append([]string{"-n", "-c", "1"}, args...)...)
		out = append(out, from.FindString(res.Stdout))
	}
	return out
}

// TestIPv4ByIPv6: without an IPv4 address, this router and Linux forward IPv4 by IPv6 next hops, show the routes alike,
// and send their errors from the same address.
func TestIPv4ByIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.Host("kernel")
	k.Sysctl("net.ipv4.ip_forward", "1")
	k.Sysctl("net.ipv6.conf.all.forwarding", "1")
	ours, kernels := w.bridge46("ours", w.r.Host), w.bridge46("kernel", k)
	for n, p := range map[string]string{"1": "p1", "2": "p2"} {
		w.r.Must("link add " + p + " type xdp\naddr add 2001:db8:" + n + "::1/64 dev " + p + "\nlink set " + p + " up")
		k.Run("ip", "addr", "add", "2001:db8:"+n+"::1/64", "dev", p, "nodad")
	}
	w.r.Must("link set p2 mtu 1300")
	k.Run("ip", "link", "set", "p2", "mtu", "1300")
	for _, r := range routes46 {
		w.r.Must(r)
		k.Run("sh", "-c", "ip "+r)
	}
	for _, b := range []bridge46{ours, kernels} {
		w.Eventually(5*time.Second, "ping from "+b.a.Name, func() bool {
			return b.a.Try("ping", "-n", "-c", "1", "-W", "1", "198.51.100.1").Status == 0
		})
		b.a.Run("ping", "-n", "-c", "5", "-i", "0.05", "198.51.100.1")
		b.b.Run("ping", "-n", "-c", "5", "-i", "0.05", "-s", "1000", "192.0.2.1")
	}
	if got, want := ours.errors46(), kernels.errors46(); !reflect.DeepEqual(got, want) {
		t.Errorf("errors %q\nwant   %q", got, want)
	} else if want[0] == "" || want[1] == "" || want[2] == "" {
		t.Errorf("errors %q", want)
	}
	const show = "route show"
	if got, want := routes(t, w.r.Must("-j "+show)), routes(t, k.Run("sh", "-c", "ip -j "+show)); !reflect.DeepEqual(got, want) {
		t.Errorf("routes %+v\nwant   %+v", got, want)
	}
	w.conserved()
}

type route46 struct {
	Dst, Gateway, Dev string
	Via               *struct{ Family, Host string }
	Nexthops          []struct {
		Gateway, Dev string
		Weight       int
		Via          *struct{ Family, Host string }
	}
}

func routes(t *testing.T, text string) (rows []route46) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return rows
}

// TestShortLinks: links of a /31 (RFC 3021), of which both addresses are hosts, and of /32, with a route to the neighbour.
func TestShortLinks(t *testing.T) {
	w := newWorld(t)
	a, b := w.Host("a"), w.Host("b")
	w.Link(a.End("eth0", "10.9.0.1/31"), w.r.Host.End("p1"), lab.LinkOptions{})
	w.Link(b.End("eth0", "10.8.0.2/32"), w.r.Host.End("p2"), lab.LinkOptions{})
	w.r.Must(`link add p1 type xdp
		addr add 10.9.0.0/31 dev p1
		link set p1 up
		link add p2 type xdp
		addr add 10.8.0.1/32 dev p2
		link set p2 up
		route add 10.8.0.2 dev p2`)
	a.Route("default", "10.9.0.0")
	b.Run("ip", "route", "add", "10.8.0.1", "dev", "eth0")
	b.Route("default", "10.8.0.1")
	w.ping(a, "10.9.0.0", 3)
	w.ping(b, "10.8.0.1", 3)
	w.ping(a, "10.8.0.2", 3)
	w.ping(b, "10.9.0.1", 3)
	w.conserved()
}
