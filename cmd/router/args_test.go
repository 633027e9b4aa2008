package main

import "testing"

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
`)
}
