package main

import (
	"strings"
	"testing"
)

// TestFaultyWords: what is wrong with a word is said by its name and with what it takes.
func TestFaultyWords(t *testing.T) {
	d := newDropsDaemon(t)
	script(t, d, `
$ link set p1 up down
! Error: duplicate "up" or "down": give it once
? 1
$ link add v0 type veth peer name
! Error: command line is not complete: "peer name" needs a value
? 1
$ link add v0 type veth peer name v1 v2
! Error: duplicate "peer name": give it once
? 1
$ link set p1 mtu -1
! Error: argument "-1" is wrong: "mtu" takes a number that is not negative
? 1
$ link set p1 mtu many
! Error: argument "many" is wrong: "mtu" takes a number
? 1
$ route add 10.1.0.0/16 dev p1 metric 4294967296
! Error: argument "4294967296" is wrong: "metric" takes a number up to 4294967295
? 1
$ link add link p1 name x type vlan id 4294967296
! Error: argument "4294967296" is wrong: "id" takes a number up to 65535
? 1
$ route add 10.1.0.0/16 nexthop dev p1 weight 4294967296 nexthop dev p1
! Error: argument "4294967296" is wrong: "weight" is invalid, use 1 to 256
? 1
$ link set p1 rp-filtr strict
! Error: either "dev" is duplicate, or "rp-filtr" is a garbage: did you mean "rp-filter"?
? 1
$ link set p1 upp
! Error: either "dev" is duplicate, or "upp" is a garbage: "link help" lists what can be set
? 1
$ link set p1 max-routes 7
! Error: either "dev" is duplicate, or "max-routes" is a garbage: it is a setting of namespaces: "netns set NS max-routes VALUE"
? 1
$ netns set red rp_filter strict
! Error: "netns set" does not know "rp_filter": it is a setting of devices: "link set DEV rp_filter VALUE"
? 1
$ netns set red max_route 7
! Error: "netns set" does not know "max_route": did you mean "max-routes"?
? 1
`)
}

// TestSettingHelp: help is where it is looked for, and about a part of a name where one is given.
func TestSettingHelp(t *testing.T) {
	d := newDropsDaemon(t)
	whole := d.must("link help")
	for _, line := range []string{"link set help", "link set p1 help", "link help no-such"} {
		if got := d.must(line); got != whole || !strings.HasPrefix(got, "Usage: router link add") {
			t.Errorf("%s:\n%s", line, got)
		}
	}
	for _, line := range []string{"netns help", "netns set help", "netns set red help"} {
		if got := d.must(line); !strings.HasPrefix(got, "Usage: router netns list") {
			t.Errorf("%s:\n%s", line, got)
		}
	}
	if got := d.must("link help ra"); strings.Contains(got, "echo-rate") || strings.Contains(got, "Usage") ||
		!strings.Contains(got, "ra-rdnss") {
		t.Error(got)
	}
	d.must("netns add help")
	d.must("netns set help max-routes 7")
	d.must("netns del help")
}
