package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestRouteIntoSession: routes into another namespace as an operator types and reads them.
func TestRouteIntoSession(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ netns add red
$ netns add blue
$ -n red link add d type dummy
$ -n red addr add 192.0.2.1/24 dev d
$ -n red link set d up
$ -n red route add 10.0.0.0/8 nexthop-netns blue metric 5 proto static src 192.0.2.1 mtu 1400
$ -n red route add 10.0.0.0/8 nexthop-netns blue metric 5
! Error: File exists...
? 2
$ -n red r a 2001:db8::/32 nexthop-netns init
$ -n red route show
10.0.0.0/8 nexthop-netns blue proto static src 192.0.2.1 metric 5 mtu 1400 
192.0.2.0/24 dev d proto kernel scope link src 192.0.2.1 
$ -n red -6 route show nexthop-netns init
2001:db8::/32 metric 1024 pref medium
$ -n red -j route show nexthop-netns blue
[{"dst":"10.0.0.0/8","protocol":"static","prefsrc":"192.0.2.1","metric":5,"flags":[],"metrics":[{"mtu":1400}]}]
$ -n red -j route show 10.0.0.0/8
[{"dst":"10.0.0.0/8","nexthop_netns":"blue","protocol":"static","prefsrc":"192.0.2.1","metric":5,"flags":[],"metrics":[{"mtu":1400}]}]
$ -n red route get 10.1.1.1
10.1.1.1 nexthop-netns blue src 192.0.2.1 uid 0 
    cache mtu 1400 
$ -n red -d route get 2001:db8::1
unicast 2001:db8::1 from :: nexthop-netns init table main proto boot scope global metric 1024 pref medium
    prefix 2001:db8::/32 group...
$ -n red route change 10.0.0.0/8 nexthop-netns init metric 5
$ -n red route show 10.0.0.0/8
10.0.0.0/8 nexthop-netns init metric 5
$ -n red route add 10.1.0.0/16 nexthop-netns red
! Error: route 10.1.0.0/16 of namespace red leads into that itself...
? 2
$ -n red route add 10.1.0.0/16 nexthop-netns green
! Error: Cannot open network namespace "green": No such file or directory
? 2
$ -n red route add 10.1.0.0/16 nexthop-netns blue dev d
! Error: nexthop-netns and gateway, device or nhid are mutually exclusive: route 10.1.0.0/16
? 2
$ -n red route add blackhole 10.1.0.0/16 nexthop-netns blue
! Error: "nexthop-netns" is for unicast routes...
? 1
$ -n red route add 10.1.0.0/16 nexthop-netns
! Error: ...
? 1
$ -n red route del 10.0.0.0/8 nexthop-netns blue
! Error: No such process...
? 2
$ -n red route del 10.0.0.0/8 nexthop-netns init
$ -n red -6 route flush nexthop-netns init
$ -n red -6 route show nexthop-netns init
$ -s netns list
init
    received 0 forwarded 0 delivered 0 held 0 dropped 0 leaked in 0 out 0
blue
    received 0 forwarded 0 delivered 0 held 0 dropped 0 leaked in 0 out 0
red
    received 0 forwarded 0 delivered 0 held 0 dropped 0 leaked in 0 out 0
`)
	// Many of them in a batch go as a load.
	var lines strings.Builder
	for i := range 300 {
		fmt.Fprintf(&lines, "route add 10.%d.%d.0/24 nexthop-netns blue\n", i/256, i%256)
	}
	if r := d.runWith(lines.String(), "-n", "red", "-batch", "-"); r.status != 0 {
		t.Fatalf("batch: %s", r.err)
	}
	if r := d.run("-n red route show nexthop-netns blue"); strings.Count(r.out, "\n") != 300 {
		t.Errorf("%d routes", strings.Count(r.out, "\n"))
	}
	script(t, d, `
$ netns del blue
$ -n red route show
192.0.2.0/24 dev d proto kernel scope link src 192.0.2.1
`)
}
