package main

import (
	"strings"
	"testing"
)

// TestVLANSession: VLAN devices in the words of iproute2, whose output for the same devices this is (ip -d link show;
// the kernel of the tests has no VLANs to compare with).
func TestVLANSession(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ netns add red
$ link add p1 address 02:00:00:00:00:01 mtu 1400 type dummy
$ link add link p1 name p1.5 type vlan id 5
$ link add s0 link p1 address 02:00:00:00:00:09 mtu 1300 type vlan protocol 802.1ad id 4094
$ link add link s0 name c0 type vlan id 0
$ link add link p1 name x type vlan id 5
! Error: VLAN device already exists: 802.1Q id 5 of p1 is device "p1.5" in namespace init
? 2
$ link add link p1 name x type vlan id 65536
! Error: argument "65536" is wrong: "id" takes a number up to 65535
? 1
$ link add link p1 name x type vlan id 4095
! Error: Invalid VLAN id: 4095, an id is 0 to 4094
? 2
$ link add link p1 name x mtu 1401 type vlan id 6
! Error: Invalid argument: mtu 1401 is more than the 1400 of p1
? 2
$ link add link lo name x type vlan id 6
! Error: VLANs not supported on device lo
? 2
$ link add link c0 name x type vlan id 6
! Error: Operation not supported: c0 has 2 tags already, more are not possible
? 2
$ link set p1.5 mtu 1401
! Error: Numerical result out of range: mtu 1401 is more than the 1400 of p1
? 2
$ link set s0 up
$ link show type vlan
3: p1.5@p1: <BROADCAST,MULTICAST,M-DOWN> mtu 1400 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff
4: s0@p1: <NO-CARRIER,BROADCAST,MULTICAST,UP,M-DOWN> mtu 1300 qdisc noqueue state LOWERLAYERDOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:09 brd ff:ff:ff:ff:ff:ff
5: c0@s0: <BROADCAST,MULTICAST> mtu 1300 qdisc noop state DOWN mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:09 brd ff:ff:ff:ff:ff:ff
$ link set p1 up
$ link set p1.5 netns red
$ -n red link set p1.5 up
$ -n red -br link show type vlan
p1.5@if2         UP             02:00:00:00:00:01 <BROADCAST,MULTICAST,UP,LOWER_UP> 
$ -n red -j link show p1.5
[{"ifindex":3,"link_index":2,"ifname":"p1.5","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1400,"qdisc":"noqueue",...
$ -j -d link show s0
[{"ifindex":4,"link":"p1","ifname":"s0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1300,"qdisc":"noqueue",...
$ link del p1
$ -n red link show type vlan
`)
	d.must("link add p1 type dummy")
	d.must("link add link p1 name s0 type vlan protocol 802.1ad id 4094")
	if out := d.must("-d link show s0"); !strings.Contains(out, "\n    vlan protocol 802.1ad id 4094 <REORDER_HDR>\n") {
		t.Error(out)
	}
	d.must("link del p1")
	for _, words := range []string{
		`"operstate":"UP"`, `"link_netns":"init"`,
		`"linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":7,"flags":["REORDER_HDR"]}}`,
	} {
		d.must("link add p1 type dummy")
		d.must("link set p1 up")
		d.must("link add link p1 name p1.7 type vlan id 7")
		d.must("link set p1.7 netns red")
		d.must("-n red link set p1.7 up")
		if out := d.must("-n red -j -d link show p1.7"); !strings.Contains(out, words) {
			t.Errorf("%s is not in %s", words, out)
		}
		d.must("link del p1")
	}
}
