package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestNextHopSession(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ link add d0 type dummy
$ link add d1 type dummy
$ link set d0 up
$ link set d1 up
$ addr add 10.0.0.1/24 dev d0
$ addr add 10.1.0.1/24 dev d1
$ nexthop
$ -j nexthop
[]
$ nex a id 1 via 10.0.0.7 dev d0
$ nex add id 2 via 10.1.0.7 proto bgp
$ nex add id 10 group 1,3/2 type mpath
$ nex add id 10 group 1
! Error: File exists: nexthop id 10 (replace changes it)
? 2
$ nex change id 11 group 1
! Error: No such file or directory: there is no nexthop id 11 (replace makes one)
? 2
$ nex add id 11 group
! Error: command line is not complete: "group" needs a value
? 1
$ nex add id 11 group 1/x
! Error: argument "x" is wrong: "group" takes a number
? 1
$ nex add id 11 group 1/9
! Error: Invalid nexthop id: there is no nexthop 9 for the group
? 2
$ nex add id 11 group 1 type resilient
! Error: nexthop type "resilient" is not supported: leave it out; every group is resilient
? 1
$ nex add id 11 via 10.0.0.9 dev d0 encap mpls 3
! Error: "encap" is not supported yet
? 1
$ -4 nex add id 11 via inet6 fe80::1 dev d0
! Error: address family mismatch: "inet6" with the option for inet
? 1
$ nex del id 11
! Error: No such file or directory: there is no nexthop id 11 (see nexthop show)
? 2
$ nex get id 11
! Error: No such file or directory: there is no nexthop id 11 (see nexthop show)
? 2
$ nexthop
id 1 via 10.0.0.7 dev d0 scope link 
id 2 via 10.1.0.7 dev d1 scope link proto bgp 
id 10 group 1,3/2 
$ nexthop show proto bgp
id 2 via 10.1.0.7 dev d1 scope link proto bgp 
$ route add 10.9.0.0/16 nhid 10
$ route add 10.8.0.0/16 nhid 9
! Error: Nexthop id does not exist: nhid 9 (see nexthop show)
? 2
$ route add 10.8.0.1/16 nhid 10
! Error: Invalid prefix for given prefix length: 10.8.0.1/16 has host bits, 10.8.0.0/16 has not
? 2
$ route show nhid 10
10.9.0.0/16 nhid 10 
	nexthop via 10.0.0.7 dev d0 weight 3 
	nexthop via 10.1.0.7 dev d1 weight 1 
$ nex replace id 10 group 1/2,255
$ -j route show nhid 10
[{"dst":"10.9.0.0/16","nhid":10,"flags":[],"nexthops":[{"gateway":"10.0.0.7","dev":"d0","weight":1,"flags":[]},`+
		`{"gateway":"10.1.0.7","dev":"d1","weight":255,"flags":[]}]}]
$ nex del id 1
$ route show nhid 10
10.9.0.0/16 nhid 10 via 10.1.0.7 dev d1 
$ nex flush
Flushed 2 nexthops
$ nex flush
Nothing to flush
$ route show nhid 10
`)
}

func TestRecursiveRoutes(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ link add d0 type dummy
$ link add d1 type dummy
$ link set d0 up
$ link set d1 up
$ addr add 10.0.0.1/24 dev d0
$ addr add 10.1.0.1/24 dev d1
$ route add 192.0.2.0/24 nexthop via 10.0.0.7 nexthop via 10.1.0.7
$ route add 198.51.100.0/24 via 192.0.2.1
$ nexthop add id 5 via 192.0.2.9
$ route add 203.0.113.0/24 nexthop via 192.0.2.1 weight 2 nexthop via 10.0.0.8
$ route show root 192.0.0.0/2
192.0.2.0/24 
	nexthop via 10.0.0.7 dev d0 weight 1 
	nexthop via 10.1.0.7 dev d1 weight 1 
198.51.100.0/24 via 192.0.2.1 recursive 
203.0.113.0/24 
	nexthop via 192.0.2.1 weight 2 recursive 
	nexthop via 10.0.0.8 dev d0 weight 1 
$ nexthop
id 5 via 192.0.2.9 recursive 
$ route add 192.0.2.1 via 198.51.100.7
! Error: Too many levels of symbolic links...
? 2
$ link set d0 down
$ route del 192.0.2.0/24
$ route
10.1.0.0/24 dev d1 proto kernel scope link src 10.1.0.1 
198.51.100.0/24 via 192.0.2.1 unresolved recursive 
203.0.113.0/24 
	nexthop via 192.0.2.1 weight 2 unresolved recursive 
	nexthop via 10.0.0.8 dev d0 weight 1 dead linkdown 
$ -j route show 198.51.100.0/24
[{"dst":"198.51.100.0/24","gateway":"192.0.2.1","flags":["unresolved","recursive"]}]
$ -j nexthop show id 5
[{"id":5,"gateway":"192.0.2.9","flags":["unresolved","recursive"]}]
$ route get 198.51.100.1
! Error: Network is unreachable...
? 2
`)
}

func TestRouteGetExplains(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ link add d0 type dummy
$ link add d1 type dummy
$ link set d0 up
$ link set d1 up
$ addr add 10.0.0.1/24 dev d0
$ addr add 10.1.0.1/24 dev d1
$ neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev d0
$ route add 10.5.0.0/16 via 10.0.0.7
$ route add 192.0.2.0/24 via 10.0.0.7
$ route add 10.6.0.0/16 via 192.0.2.1
$ -d route get 10.5.1.1
unicast 10.5.1.1 via 10.0.0.7 dev d0 table main src 10.0.0.1 uid 0 
    cache 
    prefix 10.5.0.0/16 group ...
	nexthop via 10.0.0.7 dev d0 weight 1 chosen 
    neighbor 10.0.0.7 dev d0 lladdr 02:00:00:00:00:07 PERMANENT 
$ -d route get 10.6.1.1
unicast 10.6.1.1 via 10.0.0.7 dev d0 table main src 10.0.0.1 uid 0 
    cache 
    prefix 10.6.0.0/16 group ...
	nexthop via 192.0.2.1 weight 1 recursive chosen 
    gateway by route 192.0.2.0/24
    neighbor 10.0.0.7 dev d0 lladdr 02:00:00:00:00:07 PERMANENT 
$ nexthop add id 4 via 10.1.0.8 dev d1
$ route add 10.9.0.0/16 nhid 4
$ -d route get 10.9.0.1
unicast 10.9.0.1 via 10.1.0.8 dev d1 table main src 10.1.0.1 uid 0 
    cache 
    prefix 10.9.0.0/16 nhid 4 group ...
	nexthop via 10.1.0.8 dev d1 weight 1 chosen 
    neighbor 10.1.0.8 dev d1 NONE (not resolved yet)
$ -d route get 10.1.0.99
unicast 10.1.0.99 dev d1 table main src 10.1.0.1 uid 0 
    cache 
    prefix 10.1.0.0/24 group ...
	nexthop dev d1 weight 1 chosen 
    neighbor 10.1.0.99 dev d1 NONE (not resolved yet)
$ -d route get 10.1.0.1
local 10.1.0.1 dev lo table main src 10.1.0.1 uid 0 
    cache <local> 
    prefix 10.1.0.1/32 group ...
	nexthop dev d1 weight 1 chosen 
`)
	d.must("route add 198.51.100.0/24 via 10.1.0.7\n" +
		"route add 10.7.0.0/16 nexthop via 10.0.0.7 nexthop via 10.1.0.7 weight 3\n" +
		"route add 10.8.0.0/16 nexthop via 192.0.2.1 nexthop via 198.51.100.1 weight 3")
	for _, prefix := range []string{"10.7.0.0/16", "10.8.0.0/16"} {
		ways := map[string]bool{}
		for port := range 64 {
			ways[d.explained(prefix, port)] = true
		}
		if len(ways) != 2 {
			t.Errorf("64 flows to %s all go by %v", prefix, ways)
		}
	}
}

// explained checks the explanation of a flow to a route by 10.0.0.7 and, with weight 3, by 10.1.0.7, and returns by which
// it goes.
func (d *testDaemon) explained(prefix string, port int) string {
	d.t.Helper()
	addr := strings.TrimSuffix(prefix, "0/16") + "1"
	words := append(strings.Fields("-j route get ipproto udp sport 1000 dport"), strconv.Itoa(port), addr)
	var got []struct {
		Gateway string
		FIB     struct {
			Prefix          string
			Bucket, Buckets int
			Nexthops        []struct {
				Weight int
				Chosen bool
			}
		}
	}
	decode(d.t, d.runWith("", words...).out, &got)
	f := got[0].FIB
	if f.Prefix != prefix || f.Bucket >= f.Buckets || len(f.Nexthops) != 2 || f.Nexthops[1].Weight != 3 ||
		f.Nexthops[0].Chosen == f.Nexthops[1].Chosen || f.Nexthops[0].Chosen != (got[0].Gateway == "10.0.0.7") {
		d.t.Fatalf("%s, dport %d: %+v", prefix, port, got)
	}
	return got[0].Gateway
}

func TestNetnsLimit(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ netns add red
$ netns set red max-routes 8
$ -n red link add d0 type dummy
$ -n red link set d0 up
$ -n red route add 10.1.0.0/16 dev d0
$ -n red route add 10.2.0.0/16 dev d0
! Error: No space left on device: namespace red has 8 routes, and may have 8 (netns set red max-routes N allows more)
? 2
`)
	if got := d.must("-d netns"); !strings.Contains(got, "init routes 4 \n    max-routes 0 ") ||
		!strings.Contains(got, "\nred routes 8 \n    max-routes 8 ") {
		t.Errorf("-d netns: %s", got)
	}
	script(t, d, `
$ netns
init
red
$ -j netns
[{"name":"init"},{"name":"red","settings":{"max_routes":8}}]
$ netns set red max-routes 0
$ -n red route add 10.2.0.0/16 dev d0
$ netns set red
! Error: command line is not complete: "netns set NS" ...
? 1
$ netns set blue max-routes 5
! Error: ...
? 2
`)
}

// unnumbered finds the number of an event.
var unnumbered = regexp.MustCompile(`^{"seq":[0-9]+,`) //nolint:gochecknoglobals // a constant

// TestMonitorNextHops reads the events of next-hop objects, once the listener is there.
func TestMonitorNextHops(t *testing.T) {
	for options, want := range map[string]string{
		"monitor nexthop": `id 1 via 10.0.0.7 dev d0 scope link 
id 10 group 1 
Deleted id 1 via 10.0.0.7 dev d0 scope link 
Deleted id 10 group 1 `,
		"monitor all": `[NEXTHOP]id 1 via 10.0.0.7 dev d0 scope link 
[NEXTHOP]id 10 group 1 
[ROUTE]10.9.0.0/16 nhid 10 via 10.0.0.7 dev d0 
[ROUTE]Deleted 10.9.0.0/16 nhid 10 via 10.0.0.7 dev d0 
[NEXTHOP]Deleted id 1 via 10.0.0.7 dev d0 scope link 
[NEXTHOP]Deleted id 10 group 1 `,
		"-j monitor nexthop": `
{"event":"new","object":"nexthop","netns":"init","id":1,"gateway":"10.0.0.7","dev":"d0","scope":"link","flags":[]}
{"event":"new","object":"nexthop","netns":"init","id":10,"group":[{"id":1}],"flags":[]}
{"deleted":true,"event":"deleted","object":"nexthop","netns":"init","id":1,"gateway":"10.0.0.7","dev":"d0","scope":"link","flags":[]}
{"deleted":true,"event":"deleted","object":"nexthop","netns":"init","id":10,"group":[{"id":1}],"flags":[]}`,
	} {
		d := newTestDaemon(t)
		d.must("link add d0 type dummy\nlink set d0 up\naddr add 10.0.0.1/24 dev d0")
		lines := d.follow(options)
		d.must("nexthop add id 1 via 10.0.0.7 dev d0\nnexthop add id 10 group 1\nroute add 10.9.0.0/16 nhid 10\nnexthop del id 1")
		for line := range strings.SplitSeq(strings.TrimPrefix(want, "\n"), "\n") {
			if got := unnumbered.ReplaceAllString(<-lines, "{"); got != line {
				t.Errorf("%s:\n got %s\nwant %s", options, got, line)
			}
		}
	}
}
