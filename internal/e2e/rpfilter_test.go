package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"nsrouter/internal/lab"
)

// filterRouter is one of two routers of the same addresses, MACs and routes: ours and the kernel.
type filterRouter struct {
	host *lab.Host
	run  func(object, command string) // a command of ip(8)
	at   [3]*lab.Sniffer              // what is heard and sent at the other ends, by port
}

func filterMAC(port int, router bool) string {
	if router {
		return fmt.Sprintf("02:00:00:00:0a:%02d", port)
	}
	return fmt.Sprintf("02:00:00:00:0b:%02d", port)
}

// filterRoutes lead back to some of filterSources: by p1, by p2, by both, and nowhere.
var filterRoutes = []string{ //nolint:gochecknoglobals // a constant table
	"172.20.1.0/24 via 10.0.1.2", "172.20.2.0/24 via 10.0.2.2",
	"172.20.3.0/24 nexthop via 10.0.1.2 nexthop via 10.0.2.2",
	"unreachable 192.0.2.0/25", "prohibit 192.0.2.128/25", "blackhole 203.0.113.0/24",
}

// filterSources are sources of packets that come in by p1. The router's own addresses are martians, with a filter or
// without: what becomes of them without is the matter of other tests.
func filterSources(filters bool) []string {
	sources := []string{
		"10.0.1.2", "10.0.1.200", "10.0.2.2", "10.0.2.200",
		"172.20.1.1", "172.20.2.1", "172.20.3.1",
		"192.0.2.1", "192.0.2.129", "203.0.113.1", "9.9.9.9",
	}
	if filters {
		sources = append(sources, "10.0.1.1", "10.0.2.1", "10.0.2.255")
	}
	return sources
}

func (w *world) filterRouter(name string, router *lab.Host) *filterRouter {
	r := &filterRouter{host: router}
	for port := 1; port <= 2; port++ {
		h := w.Host(fmt.Sprintf("%s-host%d", name, port))
		h.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
		w.Link(
			lab.End{Host: h, Name: "eth0", MAC: filterMAC(port, false)},
			lab.End{Host: router, Name: fmt.Sprintf("p%d", port), MAC: filterMAC(port, true)},
			lab.LinkOptions{},
		)
		r.at[port] = h.Sniff("eth0")
	}
	return r
}

func (r *filterRouter) configure() {
	for port := 1; port <= 2; port++ {
		dev := fmt.Sprintf("p%d", port)
		r.run("addr", fmt.Sprintf("add 10.0.%d.1/24 dev %s", port, dev))
		r.run("link", fmt.Sprintf("set %s up", dev))
		for _, last := range []int{2, 200} {
			r.run("neigh", fmt.Sprintf("replace 10.0.%d.%d lladdr %s dev %s nud permanent",
				port, last, filterMAC(port, false), dev))
		}
	}
	for _, route := range filterRoutes {
		r.run("route", "add "+route)
	}
}

// filterMark begins the payload of probe n, which errors quote.
func filterMark(n int) []byte { return fmt.Appendf(nil, "rpf-%04d", n) }

func filterProbe(t *testing.T, n int, src, dst string) []byte {
	t.Helper()
	hw := func(s string) []byte {
		var m [6]byte
		if _, err := fmt.Sscanf(s, "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]); err != nil {
			t.Fatal(err)
		}
		return m[:]
	}
	e := &layers.Ethernet{
		SrcMAC: hw(filterMAC(1, false)), DstMAC: hw(filterMAC(1, true)), EthernetType: layers.EthernetTypeIPv4,
	}
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Id: 77, Protocol: layers.IPProtocolUDP,
		SrcIP: netip.MustParseAddr(src).AsSlice(), DstIP: netip.MustParseAddr(dst).AsSlice(),
	}
	udp := &layers.UDP{SrcPort: 4000, DstPort: 4001}
	_ = udp.SetNetworkLayerForChecksum(ip)
	b := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, o, e, ip, udp, gopacket.Payload(filterMark(n))); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b.Bytes())
}

// reactions are, by probe, what came out because of it: the port, the IP protocol and, of ICMP, type and code.
func (r *filterRouter) reactions(count int) []string {
	out := make([][]string, count)
	for port := 1; port <= 2; port++ {
		for _, f := range r.at[port].Frames() {
			if len(f.Data) < 36 || f.Data[12] != 8 || f.Data[13] != 0 {
				continue
			}
			what := fmt.Sprintf("protocol %d by port %d", f.Data[23], port)
			if f.Data[23] == 1 { // which of several ways back an answer takes is up to the router
				what = fmt.Sprintf("ICMP type %d code %d", f.Data[34], f.Data[35])
			}
			for n := range out {
				if bytes.Contains(f.Data, filterMark(n)) {
					out[n] = append(out[n], what)
				}
			}
		}
	}
	text := make([]string, count)
	for n := range out {
		slices.Sort(out[n])
		text[n] = strings.Join(out[n], ", ")
	}
	return text
}

// TestReversePathFilter compares rp-filter with the kernel's rp_filter, off, strict and loose: which packets are sent on,
// which are answered and how, and how many are counted as filtered.
func TestReversePathFilter(t *testing.T) {
	for value, name := range []string{"off", "strict", "loose"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.r.Must("netns set init host none") // whose answers would be compared
			k := w.Host("kernel")
			for key, v := range map[string]string{
				"ip_forward": "1", "conf.all.rp_filter": "0", "conf.default.rp_filter": "0", "icmp_ratelimit": "0",
				"conf.all.send_redirects": "0", "conf.default.send_redirects": "0",
			} {
				k.Sysctl("net.ipv4."+key, v)
			}
			ours, kernel := w.filterRouter("ours", w.r.Host), w.filterRouter("kernel", k)
			w.r.Must("link add p1 type xdp\nlink add p2 type xdp")
			ours.run = func(object, command string) { w.r.Must(object + " " + command) }
			kernel.run = func(object, command string) { k.Run("sh", "-c", "ip "+object+" "+command) }
			ours.configure()
			kernel.configure()
			ours.run("link", "set p1 rp-filter "+name)
			k.Sysctl("net.ipv4.conf.p1.rp_filter", strconv.Itoa(value))
			w.compareFilters(ours, kernel, name != "off")
		})
	}
}

func (w *world) compareFilters(ours, kernel *filterRouter, filters bool) {
	w.t.Helper()
	var names []string
	for _, src := range filterSources(filters) {
		for _, dst := range []string{"10.0.2.2", "172.20.2.7", "10.0.1.1"} {
			frame := filterProbe(w.t, len(names), src, dst)
			ours.at[1].Send(frame)
			kernel.at[1].Send(frame)
			names = append(names, fmt.Sprintf("from %s to %s", src, dst))
			time.Sleep(3 * time.Millisecond)
		}
	}
	time.Sleep(200 * time.Millisecond)
	got, want := ours.reactions(len(names)), kernel.reactions(len(names))
	sent := 0
	for n, name := range names {
		if got[n] != want[n] {
			w.t.Errorf("%s: ours %q, the kernel %q", name, got[n], want[n])
		}
		if want[n] != "" {
			sent++
		}
	}
	filtered, kernels := w.dropped("p1")["rp-filter"], netstat(kernel.host, "IPReversePathFilter")
	if filtered != kernels || filters == (kernels == 0) || sent == 0 {
		w.t.Errorf("filtered %d, the kernel %d; %d had a reaction: %v", filtered, kernels, sent, w.dropped("p1"))
	}
}

// netstat reads a counter of /proc/net/netstat.
func netstat(h *lab.Host, name string) uint64 {
	lines := strings.Split(h.Run("cat", "/proc/net/netstat"), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		names, values := strings.Fields(lines[i]), strings.Fields(lines[i+1])
		if at := slices.Index(names, name); at >= 0 && at < len(values) {
			n, err := strconv.ParseUint(values[at], 10, 64)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}
