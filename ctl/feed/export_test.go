package feed

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// exported prints the routes that Linux has of the router.
func (r *rig) exported() []string {
	r.Helper()
	out := []string{}
	for _, family := range []string{"-4", "-6"} {
		var text []byte
		err := r.linux.Do(func() (err error) {
			text, err = exec.Command("ip", family, "-d", "-N", "-json", "route", "show", "proto", "110").Output()
			return err
		})
		if err != nil {
			r.Fatal(err)
		}
		var routes []jsonRoute
		if err := json.Unmarshal(text, &routes); err != nil {
			r.Fatal(err)
		}
		for _, j := range routes {
			hops := j.Nexthops
			if len(hops) == 0 && j.Type == "1" {
				hops = []jsonHop{j.jsonHop}
			}
			var list []string
			for _, h := range hops {
				list = append(list, fmt.Sprintf("%s %s %d", h.Gateway+h.Via.Host, h.Dev, max(h.Weight, 1)))
			}
			out = append(out, fmt.Sprintf("%s %s %d [%s]", j.Type, r.prefix(family, j.Dst), j.Metric, strings.Join(list, ", ")))
		}
	}
	slices.Sort(out)
	return out
}

func (r *rig) wantExported(want ...string) {
	r.Helper()
	var got []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = r.exported(); slices.Equal(got, want) {
			return
		}
	}
	r.Fatalf("Linux has %q, want %q", got, want)
}

func (r *rig) route(op fib.Op, prefix string, metric uint32, legs ...nstable.LegSpec) {
	r.Helper()
	r.do(func(tx *nstable.Tx) error {
		return tx.Route(op, "red", nstable.RouteSpec{
			Prefix: netip.MustParsePrefix(prefix), Metric: metric, Protocol: fib.ProtoStatic, Legs: legs,
		})
	})
}

func leg(via, dev string) nstable.LegSpec {
	l := nstable.LegSpec{Device: dev, Weight: 1}
	if via != "" {
		l.Via = netip.MustParseAddr(via)
	}
	return l
}

// addresses gives the router the addresses that Linux has.
func (r *rig) addresses() {
	r.Helper()
	r.do(func(tx *nstable.Tx) error {
		for i, dev := range []string{"p1", "p2"} {
			for _, p := range []string{fmt.Sprintf("10.0.%d.1/24", i+1), fmt.Sprintf("2001:db8:%d::1/64", i+1)} {
				s := nstable.AddressSpec{Prefix: netip.MustParsePrefix(p), NoDAD: true}
				if err := tx.AddAddress("red", dev, s); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// settles fails the test if Linux never has a route when Settle returns. It may not have it each time: the wait is short, and
// the machine has others to serve.
func (r *rig) settles() {
	r.Helper()
	before := r.exported()
	for i := range 10 {
		prefix := fmt.Sprintf("198.18.%d.0/24", i)
		r.route(fib.Add, prefix, 0, leg("10.0.1.2", ""))
		r.server.Settle(r.Context())
		had := len(r.exported()) == len(before)+1
		r.do(func(tx *nstable.Tx) error {
			return tx.DeleteRoute("red", nstable.RouteSpec{Prefix: netip.MustParsePrefix(prefix)})
		})
		r.wantExported(before...)
		if had {
			return
		}
	}
	r.Errorf("Linux has not once what it was given when Settle returns")
}

// TestExport: what the operator says appears to Linux, follows, and is put back; what others have in Linux stays.
func TestExport(t *testing.T) {
	r := newRig(t)
	r.addresses()
	r.route(fib.Add, "192.0.2.0/24", 5, leg("10.0.1.2", ""))
	one := "1 192.0.2.0/24 5 [10.0.1.2 p1 1]"
	r.wantExported(one)
	r.settles()
	if got := r.learned(); len(got) != 0 {
		t.Errorf("learned back: %q", got)
	}
	r.route(fib.Add, "2001:db8:f::/48", 7, leg("2001:db8:1::2", ""), leg("2001:db8:2::2", ""))
	six := "1 2001:db8:f::/48 7 [2001:db8:1::2 p1 1, 2001:db8:2::2 p2 1]"
	r.wantExported(one, six)
	r.do(func(tx *nstable.Tx) error {
		return tx.Route(fib.Add, "red", nstable.RouteSpec{
			Prefix: netip.MustParsePrefix("203.0.113.0/24"), Kind: fib.Blackhole, HasKind: true,
		})
	})
	black := "6 203.0.113.0/24 0 []"
	r.wantExported(one, six, black)
	r.route(fib.Replace, "192.0.2.0/24", 5, leg("10.0.2.2", ""), leg("10.0.1.3", ""))
	one = "1 192.0.2.0/24 5 [10.0.2.2 p2 1, 10.0.1.3 p1 1]"
	r.wantExported(one, six, black)

	r.do(func(tx *nstable.Tx) error {
		_, err := tx.NextHop(fib.Add, "red", nstable.NextHopSpec{ID: 7, Leg: leg("10.0.1.2", "p1")})
		if err != nil {
			return err
		}
		return tx.Route(fib.Add, "red", nstable.RouteSpec{Prefix: netip.MustParsePrefix("100.64.0.0/16"), Object: 7})
	})
	r.wantExported("1 100.64.0.0/16 0 [10.0.1.2 p1 1]", one, six, black)
	r.do(func(tx *nstable.Tx) error {
		_, err := tx.NextHop(fib.Replace, "red", nstable.NextHopSpec{ID: 7, Leg: leg("10.0.2.9", "p2")})
		return err
	})
	r.wantExported("1 100.64.0.0/16 0 [10.0.2.9 p2 1]", one, six, black)
	r.do(func(tx *nstable.Tx) error { return tx.DeleteNextHop("red", 7) })
	r.wantExported(one, six, black)

	r.ip("route del 192.0.2.0/24 proto 110") // behind the router's back
	r.wantExported(one, six, black)
	r.ip("link set p1 down\nlink set p1 up\naddr replace 2001:db8:1::1/64 dev p1 nodad")
	r.wantExported(one, six, black)
	r.ip("route add 198.51.100.0/24 via 10.0.1.2 metric 9 proto 186")
	r.route(fib.Append, "198.51.100.0/24", 9, leg("10.0.2.2", "")) // the same place in Linux
	r.same()
	r.wantExported(one, six, black)

	// A daemon that starts takes over what the last one has left.
	r.server.Detach(r.namespace())
	r.do(func(tx *nstable.Tx) error {
		return tx.DeleteRoute("red", nstable.RouteSpec{Prefix: netip.MustParsePrefix("203.0.113.0/24")})
	})
	r.attach()
	r.wantExported(one, six)
	r.server.mu.Lock()
	sp := r.server.spaces[r.namespace()]
	r.server.mu.Unlock()
	sp.export.add(nil, true)
	sp.poke()
	time.Sleep(100 * time.Millisecond)
	r.server.Close()
	if sp.export.wrote > 0 {
		t.Errorf("%d routes were written that were there", sp.export.wrote)
	}
}
