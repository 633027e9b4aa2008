package e2e

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// sources is how many addresses the pinging host has: as many flows.
const sources = 48

// spread is a host with many addresses, and two others that have the same address behind them.
type spread struct {
	*world
	from  *lab.Host
	heard map[string]*lab.Sniffer
}

func newSpread(t *testing.T) *spread {
	w := newWorld(t)
	s := &spread{world: w, from: w.host(1, "init"), heard: make(map[string]*lab.Sniffer)}
	for i := range sources {
		s.from.Interface("eth0").Addr(fmt.Sprintf("10.0.1.%d/24", 100+i))
	}
	for n := 2; n <= 3; n++ {
		h := w.host(n, "init")
		h.Interface("eth0").Addr("192.0.2.1/32")
		h.Sysctl("net/ipv4/conf/all/rp_filter", "0")
		s.heard[fmt.Sprintf("p%d", n)] = h.Sniff("eth0")
	}
	return s
}

// ways pings from each source and returns by which port each flow left.
func (s *spread) ways() map[int]string {
	s.t.Helper()
	for _, sniffer := range s.heard {
		sniffer.Reset()
	}
	for i := range sources {
		source := fmt.Sprintf("10.0.1.%d", 100+i)
		id := fmt.Sprint(1000 + i) // a part of the flow, which ping(8) chooses at random
		if res := s.from.Try("ping", "-n", "-c", "1", "-W", "2", "-e", id, "-I", source, "192.0.2.1"); res.Status != 0 {
			s.t.Errorf("ping from %s: %s", source, res.Stdout)
		}
	}
	time.Sleep(50 * time.Millisecond) // what was on the veths is heard
	ways := make(map[int]string)
	target := netip.MustParseAddr("192.0.2.1").As4()
	for port, sniffer := range s.heard {
		for _, f := range sniffer.Frames() {
			if len(f.Data) > 34 && f.Data[12] == 8 && f.Data[23] == 1 && [4]byte(f.Data[30:34]) == target {
				source := int(f.Data[29]) - 100
				if was := ways[source]; was != "" && was != port {
					s.t.Errorf("flow %d left by %s and by %s", source, was, port)
				}
				ways[source] = port
			}
		}
	}
	return ways
}

// count is how many flows left by each port.
func count(ways map[int]string) map[string]int {
	n := make(map[string]int)
	for _, port := range ways {
		n[port]++
	}
	return n
}

// TestMultipath: flows are spread over two gateways by their weights; one that fails moves its own flows only, and none
// is lost; when it is back, so are they.
func TestMultipath(t *testing.T) {
	s := newSpread(t)
	s.r.Must("route add 192.0.2.0/24 nexthop via 10.0.2.2 weight 1 nexthop via 10.0.3.2 weight 3")
	before := s.ways()
	if n := count(before); n["p2"] < 4 || n["p3"] < 24 {
		t.Errorf("shares of 1 and 3: %v", n)
	}
	s.r.Must("link set p2 down")
	down := s.ways()
	if n := count(down); n["p3"] != sources {
		t.Errorf("p2 is down: %v", n)
	}
	s.r.Must("link set p2 up")
	back := s.ways()
	for i, port := range before {
		if back[i] != port {
			t.Errorf("flow %d left by %s, then by %s", i, port, back[i])
		}
	}
	s.conserved()
}

// TestNextHopObjects: routes by objects follow them, in one step, as do routes whose gateway is routed.
func TestNextHopObjects(t *testing.T) {
	s := newSpread(t)
	s.r.Must(`
		nexthop add id 1 via 10.0.2.2 dev p2
		nexthop add id 2 via 10.0.3.2 dev p3
		nexthop add id 10 group 1/2
		route add 172.16.0.1/32 nhid 10
		route add 192.0.2.0/24 via 172.16.0.1`)
	if n := count(s.ways()); n["p2"] < 12 || n["p3"] < 12 {
		t.Errorf("equal shares: %v", n)
	}
	s.r.Must("nexthop replace id 10 group 2")
	if n := count(s.ways()); n["p3"] != sources {
		t.Errorf("only nexthop 2: %v", n)
	}
	s.r.Must("route replace 172.16.0.1/32 via 10.0.2.2")
	if n := count(s.ways()); n["p2"] != sources {
		t.Errorf("the gateway is behind p2 now: %v", n)
	}
	out := s.r.Must("-d route get 192.0.2.1")
	if !strings.Contains(out, "via 10.0.2.2 dev p2") || !strings.Contains(out, "192.0.2.0/24") {
		t.Errorf("route get: %s", out)
	}
	s.r.Kill()
	s.r.Start()
	if n := count(s.ways()); n["p2"] != sources {
		t.Errorf("after a restart: %v", n)
	}
	s.conserved()
}

// TestForeignGateway: IPv4 goes by an IPv6 gateway (RFC 8950).
func TestForeignGateway(t *testing.T) {
	s := newSpread(t)
	s.r.Must("route add 192.0.2.0/24 via inet6 2001:db8:3::2")
	if n := count(s.ways()); n["p3"] != sources {
		t.Errorf("%v", n)
	}
	s.conserved()
}
