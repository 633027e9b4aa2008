package load_test

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// addresses are n of one family, 256 apart.
func addresses(first string, n int) []netip.Addr {
	out := make([]netip.Addr, n)
	for i := range out {
		b := netip.MustParseAddr(first).AsSlice()
		b[len(b)-2] += byte(i)
		out[i], _ = netip.AddrFromSlice(b)
	}
	return out
}

// TestThroughKernel sends load through the kernel's forwarding, paced and at full rate, and looks for every packet at
// the sink.
func TestThroughKernel(t *testing.T) {
	t.Run("IPv4", func(t *testing.T) {
		throughKernel(t, "10.0.1.2/24", "10.0.1.1/24", "10.0.2.2/24", "10.0.2.1/24", "10.1.0.0/16")
	})
	t.Run("IPv6", func(t *testing.T) {
		throughKernel(t, "fd00:1::2/64", "fd00:1::1/64", "fd00:2::2/64", "fd00:2::1/64", "fd01::/64")
	})
}

func throughKernel(t *testing.T, near, nearPort, far, farPort, routed string) {
	l := lab.New(t)
	a, r, b := l.Host("a"), l.Host("r"), l.Host("b")
	out, in := l.Link(a.End("eth0", near), r.End("p1", nearPort), lab.LinkOptions{})
	_, end := l.Link(r.End("p2", farPort), b.End("eth0", far), lab.LinkOptions{})
	r.Sysctl("net.ipv4.ip_forward", "1")
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	farHost := netip.MustParsePrefix(far).Addr()
	r.Neighbor("p2", farHost.String(), end.MAC.String())
	r.Route(routed, farHost.String())
	detach, err := load.Pass(in)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(detach)
	sink, err := load.NewSink(end, load.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	bothRates(t, sink, load.SourceOptions{
		Devices: []*lab.Interface{out}, To: in.MAC, Src: netip.MustParsePrefix(near).Addr(), Flows: 16,
		Destinations: addresses(netip.MustParsePrefix(routed).Addr().Next().String(), 64),
	})
}

// bothRates sends at a rate and at full rate.
func bothRates(t *testing.T, sink *load.Sink, options load.SourceOptions) {
	for _, rate := range []int{20_000, 0} {
		options.Rate = rate
		source, err := load.NewSource(options)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a source can be started again
			before, err := sink.Counts()
			if err != nil {
				t.Fatal(err)
			}
			started := time.Now()
			if err := source.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(150 * time.Millisecond)
			used, err := source.CPUTime()
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(150 * time.Millisecond)
			usedLater, err := source.CPUTime()
			if err != nil {
				t.Fatal(err)
			}
			if d := usedLater - used; d <= 0 || d > time.Since(started) {
				t.Errorf("CPU time %v within %v", d, time.Since(started))
			}
			sent, err := source.Stop()
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(started)
			time.Sleep(100 * time.Millisecond) // what is on the way
			after, err := sink.Counts()
			if err != nil {
				t.Fatal(err)
			}
			got := after.Packets - before.Packets
			t.Logf("rate %d: sent %d in %v, arrived %d, bad %d", rate, sent, took, got, after.Bad-before.Bad)
			if after.Bad != 0 {
				t.Errorf("rate %d: %d packets with a wrong MAC or TTL", rate, after.Bad)
			}
			// At full rate the rings overflow: then it is enough that much goes out and something arrives.
			if low := sent < 20_000 || got == 0; rate == 0 && low {
				t.Errorf("full rate: sent %d, arrived %d", sent, got)
			}
			if limit := uint64(took.Seconds()*float64(rate)) + 1; rate != 0 && (sent == 0 || sent > limit || got != sent) {
				t.Errorf("rate %d: sent %d in %v, want at most %d; arrived %d", rate, sent, took, limit, got)
			}
		}
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSourceOptions(t *testing.T) {
	l := lab.New(t)
	a := l.Host("a")
	near, far := l.Link(a.End("eth0"), a.End("eth1"), lab.LinkOptions{})
	good := load.SourceOptions{
		Devices: []*lab.Interface{near}, To: far.MAC, Src: netip.MustParseAddr("10.0.1.2"),
		Destinations: []netip.Addr{netip.MustParseAddr("10.0.2.2")},
	}
	for what, change := range map[string]func(*load.SourceOptions){
		"odd number of flows": func(o *load.SourceOptions) { o.Flows = 3 },
		"too many flows":      func(o *load.SourceOptions) { o.Flows = 1 << 16 },
		"odd destinations":    func(o *load.SourceOptions) { o.Destinations = addresses("10.0.2.2", 5) },
		"no destination":      func(o *load.SourceOptions) { o.Destinations = nil },
		"IPv6 destination":    func(o *load.SourceOptions) { o.Destinations = []netip.Addr{netip.IPv6Loopback()} },
		"no source address":   func(o *load.SourceOptions) { o.Src = netip.Addr{} },
		"odd number of VLANs": func(o *load.SourceOptions) { o.VLANs = 3 },
		"too many VLANs":      func(o *load.SourceOptions) { o.VLANs = 1 << 12 },
		"no device":           func(o *load.SourceOptions) { o.Devices = nil },
	} {
		o := good
		change(&o)
		if s, err := load.NewSource(o); err == nil {
			s.Close()
			t.Errorf("%s: accepted", what)
		}
	}
	if s, err := load.NewSink(far, load.SinkOptions{VLANs: 3}); err == nil {
		s.Close()
		t.Error("a sink with an odd number of VLANs is accepted")
	}
	good.CPU = runtime.NumCPU() + 1000
	s, err := load.NewSource(good)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stop(); err == nil {
		t.Error("a source on a CPU that is not there reports no error")
	}
	if _, err := s.Stop(); err == nil {
		t.Error("Stop of a source that does not send reports no error")
	}
}
