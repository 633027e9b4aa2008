package dataplane

import (
	"net/netip"
	"testing"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// BenchmarkCrossing is what a crossing between two namespaces costs: packets from p1 that leave by p2 in their own namespace
// (none), and by p3 in the other one, behind a veth pair or by a route into it. Mpps are packets that leave. To forward twice
// in one namespace is the measure for it: the two look-ups and rewrites are there without any crossing.
func BenchmarkCrossing(b *testing.B) {
	for _, c := range []struct {
		name     string
		out      nstable.DeviceID
		dst, ip6 string
	}{
		{"none", p2, "10.0.2.2", "2001:db8:2::2"},
		{"veth", p3, "198.51.100.1", "2001:db8:51::1"},
		{"route", p3, "203.0.113.7", "2001:db8:b::7"},
	} {
		b.Run("ip4/"+c.name, func(b *testing.B) {
			benchmarkCrossing(b, udp4(b, p1, ip4("192.0.2.7", c.dst, 64), 22), c.out)
		})
		b.Run("ip6/"+c.name, func(b *testing.B) {
			benchmarkCrossing(b, udp6(b, p1, ip6("2001:db8:a::7", c.ip6, 64), 2), c.out)
		})
	}
}

func benchmarkCrossing(b *testing.B, template []byte, out nstable.DeviceID) {
	r := leakRig(b)
	to := func(a string) fib.Addr { return fib.AddrOf(netip.MustParseAddr(a)) }
	via := func(dev nstable.DeviceID, a string) fib.NextHop {
		return fib.NextHop{Kind: fib.Unicast, Device: dev, Gateway: to(a)}
	}
	r.route(0, "198.51.100.0/24", via(v1, "10.0.9.2"))
	r.route(1, "198.51.100.0/24", via(p3, "10.0.1.2"))
	r.route(0, "2001:db8:51::/64", via(v1, "2001:db8:9::2"))
	r.route(1, "2001:db8:51::/64", via(p3, "2001:db8:1::2"))
	for _, a := range []string{"10.0.9.2", "2001:db8:9::2"} {
		e := r.view.Devices[v1].Neighbors.Add(to(a), r.now)
		e.Set(neigh.Permanent, deviceMAC(v2), r.now)
	}
	r.loopBy(256, out, template)
	b.ReportAllocs()
	for b.Loop() {
		r.w.round()
	}
	sent := r.totals(out).TxPackets
	if sent == 0 {
		b.Fatal("nothing left")
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds()/1e6, "Mpps")
}
