package main

import "testing"

// multipath is a set-up with several next hops and next-hop objects, for both sides.
const multipath = `
link set lo up
link add v0 address 02:00:00:00:00:01 type veth peer name v1
link set v1 address 02:00:00:00:00:02
link set dev v0 up
link set dev v1 up
addr add 10.0.0.1/24 dev v0
addr add 10.20.0.1/24 dev v1
addr add 2001:db8::1/64 dev v0 nodad
addr add 2001:db8:20::1/64 dev v1 nodad
route add 10.1.0.0/16 nexthop via 10.0.0.7 dev v0 weight 3 nexthop via 10.20.0.7 dev v1
route add 10.2.0.0/16 via inet6 2001:db8::7 dev v0
route add 10.3.0.0/16 metric 5 nexthop via inet6 2001:db8::7 dev v0 weight 256 nexthop via 99.0.0.1 dev v1 onlink
route add 10.4.0.0/16 proto static mtu 1400 nexthop dev v0 nexthop dev v1 weight 0x10
route add 10.5.0.0/16 nexthop via 10.0.0.7
route append 10.5.0.0/16 nexthop via 10.0.0.8 nexthop via 10.20.0.8
route add default nexthop via 10.0.0.8 nexthop via 10.20.0.8 src 10.0.0.1
route add default src 10.0.0.1 nexthop via 10.0.0.8 nexthop via 10.20.0.8
-6 route add 2001:db8:1::/48 nexthop via 2001:db8::7 dev v0 weight 2 nexthop via 2001:db8:20::7 dev v1
-6 route append 2001:db8:1::/48 nexthop via 2001:db8::8 dev v0
-6 route add 2001:db8:2::/48 via 2001:db8::7
route append 2001:db8:2::/48 via 2001:db8::8
nexthop add id 1 via 10.0.0.7 dev v0
nexthop add id 2 via 10.20.0.7 dev v1 proto static
nexthop add id 3 blackhole
nexthop add id 4 dev v0
nexthop add id 5 via 2001:db8::7 dev v0
nexthop add id 6 via 99.9.9.9 dev v0 onlink proto bgp
-6 nexthop add id 7 dev v1
-6 nexthop add id 8 blackhole
nexthop add id 10 group 1/2
nexthop add id 11 group 1,5/2,256 proto zebra
nexthop add id 12 group 5 type mpath
nexthop add id 13 group 4/1
nexthop replace id 13 group 1/6,2
nexthop add id 14 via 10.0.0.14 dev v0
nexthop add id 15 group 14/1
route add 10.6.0.0/16 nhid 1
route add 10.7.0.0/16 nhid 10
route add 10.8.0.0/16 nhid 3
route add 10.9.0.0/16 nhid 5
route add 10.10.0.0/16 nhid 12 metric 3 proto bgp
route add 10.11.0.0/16 nhid 15
route add 10.12.0.0/16 nhid 14
-6 route add 2001:db8:3::/48 nhid 5
-6 route add 2001:db8:4::/48 nhid 12
-6 route add 2001:db8:5::/48 nhid 8
-6 route add unreachable 2001:db8:6::/48
nexthop del id 14
nexthop delete id 99
route replace 10.6.0.0/16 nhid 11
route change 10.9.0.0/16 nexthop via 10.0.0.9 nexthop via 10.0.0.10
route add 10.13.0.0/16 nexthop via 10.0.0.9 nexthop via 10.0.0.10
route del 10.13.0.0/16 nexthop via 10.0.0.9
route del 10.13.0.0/16 nexthop via 10.0.0.9 nexthop via 10.0.0.10
route add 10.14.0.0/16 nhid 1
route del 10.14.0.0/16 nhid 2
route del 10.14.0.0/16 nhid 1
route add 10.15.0.0/16 nhid 77
route add 10.15.0.0/16 nhid 1 via 10.0.0.9
route add 10.15.0.0/16 nexthop
route add 10.15.0.0/16 nexthop via 10.0.0.9 metric 5
route add 10.15.0.0/16 nexthop via 10.0.0.9 weight 0
route add 10.15.0.0/16 nexthop via 10.0.0.9 weight 257
route add 10.15.0.0/16 via 2001:db8::7
route add 2001:db8:6::/48 via 10.0.0.7
nexthop add id 10 via 10.0.0.7 dev v0
nexthop add id 30 group 99
nexthop add id 30 group 10
nexthop add id 30
nexthop add id 30 group 1/1
nexthop add id 30 group 1,0
nexthop add id 30 group 1,257
nexthop add id 30 group 3/1
nexthop replace id 10 blackhole
nexthop replace id 1 group 2
nexthop del
nexthop get
`

const multipathListings = `
route
-d route
-o route
-6 route
-d -6 route
-o -6 route show 2001:db8:1::/48
route show 10.1.0.0/16
route show dev v0
route show via 10.0.0.7
route show src 10.0.0.1
route show scope link
route show scope all
route show proto all
route show root 10.4.0.0/14
route show default
route show table main
route show table local
route show table local dev lo
-4 route show table all
-d -4 route show table all 10.0.0.0/24
-4 route show table all type local
-6 route show via 2001:db8::7
-6 route show dev v0
nexthop
nexthop list
-d nexthop
nexthop show id 11
nexthop show id 99
nexthop get id 10
nexthop show dev v0
nexthop show groups
nexthop show proto 186
-4 nexthop
-6 nexthop
-d route get 10.2.0.1
-d route get 2001:db8:3::1
route get 10.2.0.1
route get 10.9.9.9 ipproto udp sport 5 dport 300000
route get 10.2.0.1 ipproto udp sport 5 dport 300
route get fibmatch 10.1.2.3
route get fibmatch 10.7.2.3
-d route get fibmatch 10.7.2.3
route get fibmatch 10.0.0.5
route get fibmatch 10.0.0.1
route get fibmatch 10.0.0.255
route get fibmatch 2001:db8::1
route get fibmatch 2001:db8::77
route get fibmatch 2001:db8:3::77
route get 10.8.0.1
route get fibmatch 10.8.0.1
-6 route get 2001:db8:5::1
nexthop flush proto 99
nexthop flush proto 186
nexthop flush
nexthop
nexthop flush
route
`

// TestMultipathIsThatOfIP compares routes by several next hops and next-hop objects with those of Linux.
func TestMultipathIsThatOfIP(t *testing.T) { compareWithIP(t, multipath, multipathListings) }

// downDevice is a set-up of which one device goes down, and another loses its peer.
const downDevice = `
link set lo up
link add v0 address 02:00:00:00:00:01 type veth peer name v1
link set v1 address 02:00:00:00:00:02
link add w0 address 02:00:00:00:00:03 type veth peer name w1
link set w1 address 02:00:00:00:00:04
link set dev v0 up
link set dev v1 up
link set dev w0 up
link set dev w1 up
addr add 10.0.0.1/24 dev v0
addr add 10.20.0.1/24 dev w0
addr add 10.30.0.1/24 dev w1
route add 10.1.0.0/16 nexthop via 10.0.0.7 dev v0 weight 3 nexthop via 10.20.0.7 dev w0
route add 10.2.0.0/16 nexthop via 10.0.0.7 nexthop via 10.30.0.7
route add 10.3.0.0/16 nexthop via 10.20.0.7 nexthop via 10.30.0.7
route add 10.4.0.0/16 nexthop via 10.20.0.7 nexthop via 10.20.0.8
route add 10.5.0.0/16 via 10.20.0.7
route add 10.6.0.0/16 via 10.30.0.7
nexthop add id 1 via 10.0.0.7 dev v0
nexthop add id 2 via 10.20.0.7 dev w0
nexthop add id 10 group 1,2/2
nexthop add id 11 group 2
route add 10.7.0.0/16 nhid 10
route add 10.8.0.0/16 nhid 11
link set w0 down
`

const downListings = `
route
-d route
nexthop
route show dev w1
route get 10.1.2.3
route get 10.5.2.3
route get fibmatch 10.2.2.3
link set w0 up
route
nexthop
`

// TestDownDevicesAreThoseOfIP compares what is left of routes when a device goes down, and when it is up again.
func TestDownDevicesAreThoseOfIP(t *testing.T) { compareWithIP(t, downDevice, downListings) }
