package server

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/client"
	"nsrouter/ctl/store"
	"nsrouter/nstable"
)

// table4 makes n different IPv4 prefixes in order.
func table4(n int) []netip.Prefix {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	seen := make(map[netip.Prefix]bool)
	var out []netip.Prefix
	for len(out) < n {
		a := netip.AddrFrom4([4]byte{byte(11 + rnd.IntN(100)), byte(rnd.Uint32()), byte(rnd.Uint32())})
		p := netip.PrefixFrom(a, 16+rnd.IntN(9)).Masked()
		if !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return out
}

func template(prefix, via string) *v1.RouteChange {
	return &v1.RouteChange{Prefix: prefix, Gateway: via, Protocol: 186}
}

func TestLoadRoutes(t *testing.T) {
	s := newService(t)
	s.must(netnsAdd("red"), dummyAdd("red", "d0"), linkUp("red", "d0"), addrAdd("red", "d0", "10.0.0.1/24"),
		addrAdd("red", "d0", "2001:db8::1/64"))
	load := func(verb v1.Verb, refusal client.Refusal, routes []*v1.RouteChange, prefixes ...string) (*v1.LoadRoutesResponse, error) {
		t.Helper()
		l, err := s.client.NewLoader(t.Context(), "red", verb, refusal)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			l.Route(r)
		}
		for i, p := range prefixes {
			l.Put(uint32(i%len(routes)), netip.MustParsePrefix(p))
		}
		return l.Finish()
	}
	both := []*v1.RouteChange{template("0.0.0.0/0", "10.0.0.9"), template("::/0", "2001:db8::9")}
	got, err := load(v1.Verb_VERB_ADD, client.KeepBefore, both, "192.0.2.0/24", "2001:db8:1::/48", "0.0.0.0/0", "2001:db8:2::1/128")
	if err != nil || got.Applied != 4 || len(got.Failures) != 0 {
		t.Fatalf("%v, %v", got, err)
	}
	if list := s.listings(); !strings.Contains(list, "2001:db8:2::1/128") || !strings.Contains(list, "0.0.0.0/0") {
		t.Fatal(list)
	}
	one := both[:1]
	got, err = load(v1.Verb_VERB_ADD, client.KeepBefore, one, "198.51.100.0/24", "192.0.2.0/24", "203.0.113.0/24")
	if err != nil || got.Applied != 1 || len(got.Failures) != 1 || got.Failures[0].Index != 1 ||
		!strings.Contains(got.Failures[0].Message, "192.0.2.0/24") {
		t.Errorf("one that is there: %v, %v", got, err)
	}
	got, err = load(v1.Verb_VERB_ADD, client.GoOn, one, "198.51.100.0/24", "192.0.2.0/24", "203.0.113.0/24")
	if err != nil || got.Applied != 1 || len(got.Failures) != 2 {
		t.Errorf("forced: %v, %v", got, err)
	}
	before := s.listings()
	got, err = load(v1.Verb_VERB_ADD, client.KeepNone, one, "100.64.0.0/24", "100.64.1.0/24", "192.0.2.0/24", "100.64.2.0/24")
	if err != nil || got.Applied != 0 || len(got.Failures) != 1 || got.Failures[0].Index != 2 ||
		s.listings() != before {
		t.Errorf("all or nothing: %v, %v", got, err)
	}
	if got, err = load(v1.Verb_VERB_ADD, client.KeepNone, one, "100.64.0.0/24", "100.64.1.0/24"); err != nil || got.Applied != 2 {
		t.Errorf("all: %v, %v", got, err)
	}
	got, err = load(v1.Verb_VERB_REPLACE, client.KeepBefore, one, "198.51.100.0/24", "192.0.2.0/24")
	if err != nil || got.Applied != 2 {
		t.Errorf("replace: %v, %v", got, err)
	}
	got, err = load(v1.Verb_VERB_ADD, client.KeepBefore, []*v1.RouteChange{template("0.0.0.0/0", "172.16.0.1")}, "5.0.0.0/8")
	if err != nil || got.Applied != 1 { // recursive by the default route
		t.Errorf("%v, %v", got, err)
	}
	s.disk.full.Store(true)
	got, err = load(v1.Verb_VERB_ADD, client.KeepBefore, one, "6.0.0.0/8")
	if err != nil || got.Applied != 0 || len(got.Failures) != 1 {
		t.Errorf("full disk: %v, %v", got, err)
	}
	s.disk.full.Store(false)
	for _, c := range []struct {
		change func(*v1.LoadRoutesRequest)
		word   string
	}{
		{func(r *v1.LoadRoutesRequest) { r.Verb = v1.Verb_VERB_DELETE }, "add, replace or append"},
		{func(r *v1.LoadRoutesRequest) { r.Netns = "blue" }, "blue"},
		{func(r *v1.LoadRoutesRequest) { r.Force, r.Whole = true, true }, "either"},
		{func(r *v1.LoadRoutesRequest) { r.Prefixes = []byte{1, 8, 7} }, "not sent"},
		{func(r *v1.LoadRoutesRequest) { r.Prefixes = []byte{0, 24, 7, 7} }, "24 bits"},
		{func(r *v1.LoadRoutesRequest) { r.Prefixes = []byte{0, 33, 7, 7, 7, 7, 7} }, "33 bits"},
		{func(r *v1.LoadRoutesRequest) { r.Prefixes = []byte{0} }, "end early"},
		{func(r *v1.LoadRoutesRequest) { r.Routes[0].Gateway = "x" }, "route 0"},
	} {
		stream, err := s.client.LoadRoutes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		req := &v1.LoadRoutesRequest{
			Netns: "red", Verb: v1.Verb_VERB_ADD, Routes: []*v1.RouteChange{template("0.0.0.0/0", "10.0.0.9")},
		}
		c.change(req)
		_ = stream.Send(req)
		_, err = stream.CloseAndReceive()
		var refused *connect.Error
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v: %v, want %q", req, err, c.word)
		}
	}
	if before == s.listings() {
		t.Error("nothing was loaded")
	}
}

// FuzzUnpack: packed prefixes of anything are read without a panic, and what is read is what it was made of.
func FuzzUnpack(f *testing.F) {
	specs := make([]nstable.RouteSpec, 2)
	for i, p := range []string{"0.0.0.0/0", "::/0"} {
		specs[i].Prefix = netip.MustParsePrefix(p)
	}
	f.Add([]byte{0, 24, 192, 0, 2, 1, 48, 0x20, 1, 0xd, 0xb8, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := unpack(b, specs)
		if err != nil {
			return
		}
		left := 0
		for _, r := range list {
			if !r.prefix.IsValid() || r.prefix.Addr().Is6() != (r.spec == 1) {
				t.Fatalf("%+v", r)
			}
			left += 2 + (r.prefix.Bits()+7)/8 // a number may be padded
		}
		if left > len(b) {
			t.Fatalf("%d prefixes of %d bytes", len(list), len(b))
		}
	})
}

// BenchmarkLoadRoutes is a table of a million routes, in order, from the client to the disk and the FIB.
func BenchmarkLoadRoutes(b *testing.B) {
	const n = 1_000_000
	prefixes := table4(n)
	for b.Loop() {
		b.StopTimer()
		s := newStoredService(b)
		s.must(netnsAdd("red"), dummyAdd("red", "d0"), linkUp("red", "d0"), addrAdd("red", "d0", "10.0.0.1/24"))
		b.StartTimer()
		l, err := s.client.NewLoader(b.Context(), "red", v1.Verb_VERB_ADD, client.KeepBefore)
		if err != nil {
			b.Fatal(err)
		}
		for i := range 250 {
			l.Route(template("0.0.0.0/0", netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + i)}).String()))
		}
		for i, p := range prefixes {
			l.Put(uint32(i%250), p)
		}
		if got, err := l.Finish(); err != nil || got.Applied != n {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "routes/s")
}

// newStoredService keeps its state on disk.
func newStoredService(t testing.TB) *service {
	disk, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = disk.Close() })
	return newServiceOver(t, nstable.Options{Ports: pretendPorts{}, Store: disk}, Options{})
}
