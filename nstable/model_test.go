package nstable

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// words are what random commands are made of; few, so that they meet.
var ( //nolint:gochecknoglobals // constant tables
	modelNamespaces = []string{"init", "red", "blue", "none"}
	modelDevices    = []string{"a", "b", "c", "lo"}
	modelAddresses  = []string{
		"10.0.0.1/24",
		"10.0.0.2/24",
		"10.0.1.1/30",
		"2001:db8::1/64",
		"2001:db8:1::1/128",
		"192.0.2.7/32",
	}
	modelPrefixes = []string{"10.5.0.0/16", "10.6.0.0/16", "0.0.0.0/0", "2001:db8:5::/48", "::/0", "10.0.0.0/24"}
	modelGateways = []string{"", "10.0.0.9", "10.0.1.2", "2001:db8::9", "10.99.0.1", "10.5.0.9"}
)

// randomCommand makes one command; most are refused for some reason, which is as good.
func randomCommand(t *rapid.T, b *bench) (string, error) {
	pick := func(what string, from []string) string { return rapid.SampledFrom(from).Draw(t, what) }
	ns, dev := pick("namespace", modelNamespaces), pick("device", modelDevices)
	yes := rapid.Bool().Draw(t, "yes")
	switch kind := rapid.IntRange(-5, 16).Draw(t, "command"); kind {
	case -5, -4, -3, -2, -1:
		return randomLink(t, b, ns, dev, kind)
	case 0:
		return "netns add " + ns, b.addNamespace(ns)
	case 1:
		return "netns del " + ns, b.DeleteNamespace(ns)
	case 2:
		_, err := b.AddLink(ns, LinkSpec{Name: dev, Kind: Dummy})
		return "add dummy " + ns + dev, err
	case 3:
		peer, other := pick("peer", modelDevices), pick("other", modelNamespaces)
		_, err := b.AddLink(ns, LinkSpec{Name: dev, Kind: Veth, Peer: peer, PeerNamespace: other})
		return fmt.Sprintf("add veth %s %s to %s %s", ns, dev, other, peer), err
	case 4:
		_, err := b.AddLink(
			ns,
			LinkSpec{Name: dev, Kind: XDP, XDP: XDPSpec{Host: pick("host", []string{"eth1", "eth2"})}},
		)
		return "add xdp " + ns + dev, err
	case 5:
		return "del " + ns + dev, b.DeleteLink(ns, dev)
	case 6, 7:
		return fmt.Sprintf("up %s %s %v", ns, dev, yes), b.up(ns, dev, yes)
	case 8:
		to := pick("to", modelNamespaces)
		return fmt.Sprintf("move %s %s to %s", ns, dev, to), b.SetLink(ns, dev, LinkChange{Namespace: to})
	case 9, 10:
		a := netip.MustParsePrefix(pick("address", modelAddresses))
		return fmt.Sprintf("addr %s %s %v", ns, dev, a), b.Do(func(tx *Tx) error {
			switch rapid.IntRange(0, 3).Draw(t, "verb") {
			case 0:
				return tx.ReplaceAddress(ns, dev, AddressSpec{Prefix: a, NoDAD: yes})
			case 1:
				return tx.DeleteAddress(ns, dev, a)
			}
			return tx.AddAddress(ns, dev, AddressSpec{Prefix: a, NoDAD: yes})
		})
	case 11:
		mac := [6]byte{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "mac")}
		addr := netip.MustParsePrefix(pick("address", modelAddresses)).Addr().Next()
		return fmt.Sprintf("neigh %s %s %v", ns, dev, addr), b.Do(func(tx *Tx) error {
			return tx.SetNeighbor(ReplaceNeighbor, ns, dev, addr, mac, neigh.Permanent)
		})
	case 12, 13:
		return randomNextHop(t, b, ns, dev)
	default:
		s := via(pick("prefix", modelPrefixes), pick("gateway", modelGateways), dev)
		for range rapid.IntRange(0, 2).Draw(t, "more") {
			s.Legs = append(s.Legs, viaLeg(pick("gateway", modelGateways), pick("device", append(modelDevices, ""))))
		}
		if rapid.IntRange(0, 3).Draw(t, "by object") == 0 {
			s.Legs, s.Object = nil, fib.ObjectID(rapid.IntRange(1, 4).Draw(t, "nhid"))
		}
		if rapid.IntRange(0, 4).Draw(t, "into") == 0 {
			s = into(s.Prefix.String(), pick("other namespace", modelNamespaces))
		}
		s.Metric = uint32(rapid.IntRange(0, 2).Draw(t, "metric"))
		op := rapid.SampledFrom([]fib.Op{fib.Add, fib.Replace, fib.Append, fib.Change}).Draw(t, "op")
		return fmt.Sprintf("route %d %s %+v", op, ns, s), b.Do(func(tx *Tx) error {
			if yes {
				return tx.Route(op, ns, s)
			}
			return tx.DeleteRoute(ns, s)
		})
	}
}

// randomLink changes settings, or makes a VLAN device, or changes a device.
func randomLink(t *rapid.T, b *bench, ns, dev string, kind int) (string, error) {
	switch kind {
	case -5:
		owners := []Owner{
			{
				Principal{rapid.Bool().Draw(t, "group"), rapid.Uint32Range(0, 2).Draw(t, "id")},
				Role(rapid.IntRange(0, 3).Draw(t, "role")),
			},
			{Principal{false, 1 << 31}, Role(rapid.IntRange(0, 1).Draw(t, "big"))},
		}
		return fmt.Sprintf("netns set %s owners %v", ns, owners), b.Do(func(tx *Tx) error { return tx.SetOwners(ns, owners) })
	case -4:
		routes := rapid.IntRange(0, 40).Draw(t, "routes")
		values := []setting.Value{
			{Name: "max-routes", Value: fmt.Sprint(routes)}, {Name: "martians", Value: "rfc1812"},
			{Name: "devices-max", Value: fmt.Sprint(rapid.IntRange(0, 4).Draw(t, "devices"))},
		}
		return fmt.Sprintf("netns set %s %d", ns, routes), b.Do(func(tx *Tx) error { return tx.SetNamespace(ns, values) })
	case -3:
		values := []setting.Value{{Name: "rp-filter", Value: rapid.SampledFrom([]string{"off", "strict", "more"}).Draw(t, "value")}}
		up := rapid.Bool().Draw(t, "up")
		return fmt.Sprintf("set %s %s %v", ns, dev, values), b.SetLink(ns, dev, LinkChange{Up: &up, Settings: values})
	case -2:
		tag := Tag{rapid.SampledFrom([]uint16{VLAN8021Q, VLAN8021AD}).Draw(t, "protocol"), rapid.Uint16Range(4, 5).Draw(t, "id")}
		lower := rapid.SampledFrom(modelDevices).Draw(t, "lower")
		_, err := b.AddLink(ns, LinkSpec{Name: dev, Kind: VLAN, Lower: lower, Tag: tag})
		return fmt.Sprintf("add vlan %s %s on %s %s", ns, dev, lower, tag), err
	default:
		mac := [6]byte{2, 0, 0, 0, 0, rapid.Byte().Draw(t, "mac")}
		mtu := rapid.SampledFrom([]uint32{0, 1000, 1400, 1500}).Draw(t, "mtu")
		return fmt.Sprintf("set %s %s %d %x", ns, dev, mtu, mac), b.SetLink(ns, dev, LinkChange{MTU: mtu, MAC: &mac})
	}
}

// randomNextHop makes, changes or deletes a next-hop object.
func randomNextHop(t *rapid.T, b *bench, ns, dev string) (string, error) {
	s := NextHopSpec{ID: fib.ObjectID(rapid.IntRange(1, 4).Draw(t, "id"))}
	switch rapid.IntRange(0, 5).Draw(t, "object") {
	case 0:
		return fmt.Sprintf("nexthop del %s %d", ns, s.ID), b.Do(func(tx *Tx) error { return tx.DeleteNextHop(ns, s.ID) })
	case 1:
		s.Blackhole = true
	case 2:
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			s.Members = append(s.Members, fib.Member{ID: fib.ObjectID(rapid.IntRange(1, 4).Draw(t, "member")), Weight: 2})
		}
	default:
		s.Leg = viaLeg(rapid.SampledFrom(modelGateways).Draw(t, "gateway"), dev)
	}
	op := rapid.SampledFrom([]fib.Op{fib.Add, fib.Replace, fib.Change}).Draw(t, "op")
	return fmt.Sprintf("nexthop %d %s %+v", op, ns, s), b.nexthop(op, ns, s)
}

// TestModel makes random commands. One that is refused changes nothing, neither in memory nor in the store, whether it
// was wrong or the disk was full; and a table restored from the store is the same as the one that wrote it.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		defer b.Close()
		for range rapid.IntRange(1, 40).Draw(rt, "commands") {
			full := rapid.IntRange(0, 5).Draw(rt, "full") == 0
			before, stored := dump(b.Table), b.store.dump()
			b.store.setFull(full)
			command, err := randomCommand(rt, b)
			b.store.setFull(false)
			if err == nil {
				continue
			}
			if after := dump(b.Table); after != before {
				rt.Fatalf("%s was refused (%v) and changed something:\n%s\nbefore:\n%s", command, err, after, before)
			}
			if after := b.store.dump(); after != stored {
				rt.Fatalf("%s was refused (%v) and stored something:\n%s\nbefore:\n%s", command, err, after, stored)
			}
		}
		if wrong := portsThatDiffer(b); wrong != "" {
			rt.Fatalf("host interfaces that do not follow their devices:\n%s", wrong)
		}
		before := dump(b.Table)
		b.reopen()
		if after := dump(b.Table); after != before {
			rt.Fatalf("restored:\n%s\nbefore:\n%s", after, before)
		}
	})
}

// portsThatDiffer lists the host interfaces that are not configured as their devices want it.
func portsThatDiffer(b *bench) string {
	var wrong strings.Builder
	for _, d := range b.devices {
		if d == nil || d.kind != XDP {
			continue
		}
		got, configured := b.ports.config[d.id]
		if !configured {
			got = PortConfig{MTU: d.host.info.MTU, MAC: d.host.info.MAC}
		}
		if want := d.portConfig(); got != want {
			fmt.Fprintf(&wrong, "%s in %s: %+v, want %+v\n", d.name, d.ns.name, got, want)
		}
	}
	return wrong.String()
}

// TestConcurrent: callers that come together share commits, each of their changes is done or refused on its own, and a
// full disk takes all of a commit back.
func TestConcurrent(t *testing.T) {
	b := newBench(t)
	b.dummy("init", "d")
	var wait sync.WaitGroup
	for i := range 200 {
		wait.Go(func() {
			p := fmt.Sprintf("10.%d.0.0/16", i/2) // each prefix twice: one of the two is refused
			_ = b.route(fib.Add, "init", via(p, "", "d"))
		})
	}
	wait.Wait()
	routes := func() int {
		n := 0
		b.ok(b.Routes("init", RouteRange{}, func(r *RouteInfo) error {
			if r.Origin == fib.FromAPI {
				n++
			}
			return nil
		}))
		return n
	}
	if n := routes(); n != 100 {
		t.Errorf("%d routes, want 100", n)
	}
	if b.store.commits >= 200 {
		t.Errorf("%d commits for 200 callers: none was shared", b.store.commits)
	}
	b.store.setFull(true)
	for i := range 50 {
		wait.Go(func() {
			b.refused(b.route(fib.Add, "init", via(fmt.Sprintf("11.%d.0.0/16", i), "", "d")), Storage, "no space left")
		})
	}
	wait.Wait()
	if n := routes(); n != 100 {
		t.Errorf("%d routes after a full disk, want 100", n)
	}
}

func BenchmarkBulk(b *testing.B) {
	const routes = 100_000
	for b.Loop() {
		bench := newBench(b)
		bench.dummy("init", "d", "10.0.0.1/24")
		failed, err := bench.Bulk(routes, false, func(tx *Tx, i int) error {
			a := netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0})
			return tx.Route(
				fib.Add,
				"init",
				via(netip.PrefixFrom(a, 24).String(), "10.0.0.9", ""),
			)
		})
		if err != nil || len(failed) > 0 {
			b.Fatal(failed, err)
		}
	}
	b.ReportMetric(routes*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}

// BenchmarkLoad puts a sorted table, in the pieces in which it comes from a client.
func BenchmarkLoad(b *testing.B) {
	const routes, piece = 1_000_000, 32 << 10
	prefixes := make([]netip.Prefix, routes)
	for i := range prefixes {
		a := netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), 0})
		prefixes[i] = netip.PrefixFrom(a, 24)
	}
	for b.Loop() {
		b.StopTimer()
		bench := newBench(b)
		bench.store.forget = true
		bench.dummy("init", "d", "10.0.0.1/24")
		b.StartTimer()
		for rest := prefixes; len(rest) > 0; {
			n := min(piece, len(rest))
			var load *RouteLoad
			failed, err := bench.Bulk(n, false, func(tx *Tx, i int) (err error) {
				if load == nil {
					if load, err = tx.LoadRoutes(fib.Add, "init", via("0.0.0.0/0", "10.0.0.9", "")); err != nil {
						return err
					}
				}
				return load.Put(rest[i])
			})
			if err != nil || len(failed) > 0 {
				b.Fatal(failed, err)
			}
			rest = rest[n:]
		}
	}
	b.ReportMetric(routes*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}
