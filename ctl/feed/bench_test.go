package feed

import (
	"flag"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/fib"
)

var benchRoutes = flag.Int("routes", 1_000_000, "routes of BenchmarkFullTable") //nolint:gochecknoglobals // a flag

// routes is how many routes the router has.
func (r *rig) routes() int {
	for _, ns := range r.table.Namespaces() {
		if ns.Name == "red" {
			return ns.Routes
		}
	}
	return 0
}

// until waits for a number of routes.
func (r *rig) until(n int) {
	r.Helper()
	for began := time.Now(); r.routes() != n; time.Sleep(time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			r.Fatalf("%d routes, want %d", r.routes(), n)
		}
	}
}

// BenchmarkFullTable: a million routes that a program makes in Linux, that a daemon which starts reads, and that are withdrawn.
// made/s, read/s and withdrawn/s count from the first to the last that the router has; alone/s is what the program and
// the kernel do where nobody listens. lost is how often messages of the kernel were.
func BenchmarkFullTable(b *testing.B) {
	n := *benchRoutes
	for b.Loop() {
		r := newRig(b)
		base := r.routes()
		r.server.Detach(r.namespace())
		rate := func(fn func()) float64 {
			began := time.Now()
			fn()
			return float64(n) / time.Since(began).Seconds()
		}
		b.ReportMetric(rate(func() { r.bulk(unix.RTM_NEWROUTE, n) }), "alone/s")
		r.bulk(unix.RTM_DELROUTE, n)
		r.attach()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.ReportMetric(rate(func() { r.bulk(unix.RTM_NEWROUTE, n); r.until(base + n) }), "made/s")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/route")
		r.server.Detach(r.namespace())
		r.until(base)
		b.ReportMetric(rate(func() { r.attach(); r.until(base + n) }), "read/s")
		b.ReportMetric(rate(func() { r.bulk(unix.RTM_DELROUTE, n); r.until(base) }), "withdrawn/s")
		b.ReportMetric(float64(r.losses.Load()), "lost")
		r.server.Close()
	}
}

// BenchmarkFPM: a million routes that a routing daemon tells by FPM.
func BenchmarkFPM(b *testing.B) {
	n := *benchRoutes
	r := newRig(b)
	r.ip("link set lo up")
	r.set("fpm-port", testPort)
	device := r.index("p1")
	var tell []byte
	for j := range n {
		way := &fib.Way{Protocol: 186, Metric: 20, Legs: []fib.Leg{
			{Gateway: netip.AddrFrom4([4]byte{10, 0, 1, byte(2 + j%200)}), Device: device, Weight: 1},
		}}
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(100 + j>>16), byte(j >> 8), byte(j), 0}), 24)
		tell = append(tell, fpmMessage(unix.RTM_NEWROUTE, appendRoute(nil, p, way))...)
	}
	base := r.routes()
	for b.Loop() {
		d := r.dial()
		began := time.Now()
		if _, err := d.conn.Write(tell); err != nil {
			b.Fatal(err)
		}
		r.until(base + n)
		b.ReportMetric(float64(n)/time.Since(began).Seconds(), "routes/s")
		r.set("fpm-port", "0")
		r.until(base)
		r.set("fpm-port", testPort)
	}
}
