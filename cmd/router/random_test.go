package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// commands makes commands about a few IPv4 routes and next-hop objects, so that they often meet.
type commands struct{ *rand.Rand }

func (c commands) pick(words ...string) string { return words[c.IntN(len(words))] }

func (c commands) gateway() string {
	return c.pick("10.0.0.7", "10.0.0.8", "10.20.0.7", "10.20.0.8", "99.0.0.1", "inet6 2001:db8::7")
}

func (c commands) way() string {
	switch c.IntN(5) {
	case 0:
		return "via " + c.gateway() + " dev " + c.pick("v0", "v1")
	case 1:
		return "dev " + c.pick("v0", "v1")
	}
	return "via " + c.gateway()
}

func (c commands) nexthop() string {
	line := "nexthop " + c.pick("add", "replace") + " id " + c.pick("1", "2", "3", "4")
	switch c.IntN(6) {
	case 0:
		return line + " blackhole"
	case 1:
		return line + " dev " + c.pick("v0", "v1")
	}
	via := c.gateway()
	if strings.HasPrefix(via, "inet6") {
		return line + " via " + via + " dev v0"
	}
	return line + " via " + via + " dev " + c.pick("v0", "v1")
}

func (c commands) route() string {
	verb := c.pick("add", "add", "replace", "append", "change", "del", "del")
	line := "route " + verb + " " + c.pick("10.1.0.0/16", "10.2.0.0/16") + c.pick("", "", " metric 5", " proto bgp")
	switch c.IntN(8) {
	case 0:
		return strings.Replace(line, verb, verb+c.pick(" blackhole", " unreachable", " prohibit"), 1)
	case 1, 2:
		return line + " nhid " + c.pick("1", "2", "3", "4", "10", "11")
	case 3, 4:
		if verb == "del" { // Linux compares the weights wrongly
			return line
		}
		return line + " nexthop " + c.way() + c.pick("", " weight 3") + " nexthop " + c.way()
	}
	return line + c.pick("", " mtu 1400") + " " + c.way()
}

func (c commands) next() string {
	switch c.IntN(10) {
	case 0, 1:
		return c.nexthop()
	case 2:
		return "nexthop " + c.pick("add", "replace") + " id " + c.pick("10", "11") +
			" group " + c.pick("1", "2", "1/2", "1,3/2", "2/3/4", "3", "4/10")
	case 3:
		return "nexthop del id " + c.pick("1", "2", "3", "4", "10", "11", "12")
	}
	return c.route()
}

// TestRandomChangesAreThoseOfIP gives the same commands to both sides and compares what is there after each.
func TestRandomChangesAreThoseOfIP(t *testing.T) {
	for seed := range uint64(4) {
		d, l := newTestDaemon(t), newLinux(t)
		l.run("link set lo up")
		for line := range strings.Lines(`link add v0 address 02:00:00:00:00:01 type veth peer name v1
link set v1 address 02:00:00:00:00:02
link set dev v0 up
link set dev v1 up
addr add 10.0.0.1/24 dev v0
addr add 10.20.0.1/24 dev v1
addr add 2001:db8::1/64 dev v0 nodad
`) {
			l.run(line)
			d.must(line)
		}
		c := commands{rand.New(rand.NewPCG(seed, 0))}
		var log strings.Builder
		for range 80 {
			line := c.next()
			want, got := l.run(line), d.run(line)
			fmt.Fprintf(&log, "%s: ip %d, router %d\n", line, want.status, got.status)
			failed := (want.status == 0) != (got.status == 0)
			for _, listing := range []string{"route", "nexthop"} {
				if w, g := common(listing, l.run(listing).out), common(listing, d.run(listing).out); w != g {
					failed = true
					log.WriteString(listing + "\n" + differences(w, g))
				}
			}
			if failed {
				t.Errorf("seed %d:\n%s%s%s", seed, &log, want.err, got.err)
				break
			}
		}
	}
}
