package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// script runs lines against one daemon: "$ WORDS" is a command; what follows is its output, "! " before an error line,
// and "? N" its status unless 0. A line that ends in "..." may go on otherwise.
func script(t *testing.T, d *testDaemon, text string) {
	t.Helper()
	for _, step := range strings.Split(strings.TrimSpace(text), "$ ")[1:] {
		line, want, _ := strings.Cut(step, "\n")
		r := d.run(line)
		got := r.out
		if r.err != "" {
			got += "! " + r.err
		}
		if r.status != 0 {
			got += "? " + string(rune('0'+r.status)) + "\n"
		}
		if !alike(got, want) {
			t.Errorf("router %s\n got:\n%s\nwant:\n%s", line, got, want)
		}
	}
}

func alike(got, want string) bool {
	g, w := strings.Split(strings.TrimSpace(got), "\n"), strings.Split(strings.TrimSpace(want), "\n")
	return slices.EqualFunc(g, w, func(g, w string) bool {
		start, open := strings.CutSuffix(w, "...")
		return g == w || open && strings.HasPrefix(g, start)
	})
}

func TestSession(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ netns list
init
$ netns add red
$ netns add red
! Error: Cannot create network namespace "red": File exists...
? 2
$ -j netns
[{"name":"init"},{"name":"red"}]
$ netns list-id
! Error: command "list-id" is unknown, try "router netns help"
? 1
$ link add p1 type xdp host eth7 queues 2
$ link add p2 type xdp host busy0
! Error: Cannot attach ...
? 2
$ l
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN mode DEFAULT group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
2: p1: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff
    xdp host eth7 mode copy asked auto queues 2 maxmtu 1770
$ l s p1 up
$ -j link show p1
[{"ifindex":2,"ifname":"p1","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"qdisc":"noqueue","operstate":"UP",`+
		`"linkmode":"DEFAULT","group":"default","txqlen":1000,"link_type":"ether","address":"02:00:00:00:00:01",`+
		`"broadcast":"ff:ff:ff:ff:ff:ff","linkinfo":{"info_kind":"xdp","info_data":{"host":"eth7","mode_asked":"auto",`+
		`"mode":"copy","queues_asked":2,"queues":2,"attached":true,"max_mtu":1770}}}]
$ a a 10.0.0.1/24 dev p1
$ addr add 10.0.0.1/24 dev p1
! Error: ipv4: Address already assigned...
? 2
$ addr add 10.0.0.300/24 dev p1
! Error: any valid prefix is expected rather than "10.0.0.300/24"
? 1
$ addr add 10.0.0.2/24 dev p9
! Error: Cannot find device "p9"
? 2
$ r a 10.1.0.0/16 via 10.0.0.2
$ r a 10.1.0.0/16 via 10.0.0.2
! Error: File exists: route 10.1.0.0/16...
? 2
$ route add 10.2.0.0/16 via 10.0.0.2 proto static metric 50 mtu 1400 src 10.0.0.1
$ route add blackhole 10.3.0.0/16
$ route add unreachable 10.4.0.0/16 metric 3
$ route add 10.5.0.1 via 99.1.1.1 dev p1 onlink proto bgp
$ r
10.0.0.0/24 dev p1 proto kernel scope link src 10.0.0.1 
10.1.0.0/16 via 10.0.0.2 dev p1 
10.2.0.0/16 via 10.0.0.2 dev p1 proto static src 10.0.0.1 metric 50 mtu 1400 
blackhole 10.3.0.0/16 
unreachable 10.4.0.0/16 metric 3 
10.5.0.1 via 99.1.1.1 dev p1 proto bgp onlink 
$ r s proto static
10.2.0.0/16 via 10.0.0.2 dev p1 src 10.0.0.1 metric 50 mtu 1400 
$ r s match 10.1.2.3
10.1.0.0/16 via 10.0.0.2 dev p1 
$ -j r s dev p1 10.1/16
[{"dst":"10.1.0.0/16","gateway":"10.0.0.2","flags":[]}]
$ r g 10.1.2.3 from 10.0.0.1
10.1.2.3 from 10.0.0.1 via 10.0.0.2 dev p1 uid 0 
    cache 
$ r get 10.0.0.1
local 10.0.0.1 dev lo src 10.0.0.1 uid 0 
    cache <local> 
$ r get 10.9.9.9
! Error: Network is unreachable...
? 2
$ r add 10.6.0.0/16 via 10.99.0.1
! Error: Nexthop has invalid gateway: ...
? 2
$ route del 10.4.0.0/16
$ route flush
! Error: "route flush" requires arguments, such as "dev NAME" or "root 0/0"
? 1
$ route flush root 10.0.0.0/8
$ route
10.0.0.0/24 dev p1 proto kernel scope link src 10.0.0.1 
$ n add 10.0.0.7 lladdr 02:00:00:00:00:07 dev p1
$ n
10.0.0.7 dev p1 lladdr 02:00:00:00:00:07 PERMANENT 
$ -j neigh show dev p1
[{"dst":"10.0.0.7","lladdr":"02:00:00:00:00:07","state":["PERMANENT"]}]
$ neigh get 10.0.0.7 dev p1
10.0.0.7 dev p1 lladdr 02:00:00:00:00:07 PERMANENT 
$ neigh get 10.0.0.8 dev p1
! Error: Neighbour entry not found: 10.0.0.8 is no neighbour of p1 (see neigh show dev p1)
? 2
$ neigh add 10.0.0.8 dev p1 nud stale
! Error: No link layer address given...
? 2
$ neigh add 10.0.0.8 dev p1 nud incomplete
! Error: nud state INCOMPLETE cannot be set...
? 2
$ neigh change 10.0.0.7 dev p1 nud permanent
$ -s n
10.0.0.7 dev p1 lladdr 02:00:00:00:00:07  used 0/0/0probes 0 PERMANENT 
$ -s -j n
[{"dst":"10.0.0.7","dev":"p1","lladdr":"02:00:00:00:00:07","used":0,"confirmed":0,"updated":0,"probes":0,"state":["PERMANENT"]}]
$ neigh flush dev p1
$ neigh del 10.0.0.7 dev p1
$ -j neigh
[]
$ link set p1 netns red name up0
$ -n red -br link
lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> 
up0              DOWN           02:00:00:00:00:01 <BROADCAST,MULTICAST> 
$ -n red -o -4 addr
1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
$ -n blue link
! Error: Cannot open network namespace "blue"...
? 2
$ -n red link set up0 address 02:00:00:00:00:99 mtu 1400 up
$ -n red -br link show up
lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> 
up0              UP             02:00:00:00:00:99 <BROADCAST,MULTICAST,UP,LOWER_UP> 
$ netns del red
$ netns
init
$ -br l
lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP> 
up0              DOWN           02:00:00:00:00:99 <BROADCAST,MULTICAST> 
$ link del up0
$ -br link
lo               UNKNOWN        00:00:00:00:00:00 <LOOPBACK,UP,LOWER_UP>
`)
}

func TestStatsHaveDropsAndQueues(t *testing.T) {
	d := newTestDaemon(t)
	d.must("link add p1 type xdp")
	var links []struct {
		Stats64 struct {
			Rx struct {
				OverErrors uint64 `json:"over_errors"`
			}
		}
		Drops map[string]uint64
		XDP   []struct {
			Worker     uint32
			RxPackets  uint64 `json:"rx_packets"`
			TxPackets  uint64 `json:"tx_packets"`
			RxRingFull uint64 `json:"rx_ring_full"`
		}
	}
	if err := json.Unmarshal([]byte(d.must("-s -j link show p1")), &links); err != nil {
		t.Fatal(err)
	}
	if l := links[0]; l.Drops == nil || l.Stats64.Rx.OverErrors != 7 || len(l.XDP) != 1 || l.XDP[0].RxRingFull != 7 ||
		l.XDP[0].Worker != 1 || l.XDP[0].RxPackets != 5 || l.XDP[0].TxPackets != 6 {
		t.Errorf("link -s: %+v", l)
	}
	text := d.must("-s link show p1")
	for _, want := range []string{
		"    RX:  bytes packets errors dropped  missed   mcast           \n             0       0      0       0       7       0 \n",
		"    TX:  bytes packets errors dropped carrier collsns           \n             0       0      0       0       0       0 \n",
		"    queue 0: worker 1 rx 5 tx 6 rx_dropped 0", "rx_ring_full 7",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("link -s has no %q:\n%s", want, text)
		}
	}
}

func TestUnreachableDaemon(t *testing.T) {
	d := &testDaemon{t: t, socket: "/nonexistent/s"}
	r := d.run("link")
	if r.status != 2 || !strings.HasPrefix(r.err, "Error: no router daemon listens at /nonexistent/s: ") ||
		strings.Count(r.err, "\n") != 1 {
		t.Errorf("status %d: %q", r.status, r.err)
	}
}
