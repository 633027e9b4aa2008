package poptrie

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestBadInput(t *testing.T) {
	tbl := newTable(t, IPv4, Options{})
	for _, c := range []struct {
		prefix netip.Prefix
		id     ID
		want   error
	}{
		{netip.MustParsePrefix("10.0.0.1/8"), 1, ErrPrefix},
		{netip.MustParsePrefix("2001:db8::/32"), 1, ErrPrefix},
		{netip.MustParsePrefix("::ffff:10.0.0.0/104"), 1, ErrPrefix},
		{netip.Prefix{}, 1, ErrPrefix},
		{netip.MustParsePrefix("10.0.0.0/8"), 0, ErrID},
		{netip.MustParsePrefix("10.0.0.0/8"), maxID + 1, ErrID},
	} {
		if err := tbl.Insert(c.prefix, c.id); !errors.Is(err, c.want) {
			t.Errorf("Insert(%v, %d): %v, want %v", c.prefix, c.id, err, c.want)
		}
		if err := tbl.Load(seq([]route{{c.prefix, c.id}})); !errors.Is(err, c.want) {
			t.Errorf("Load(%v, %d): %v, want %v", c.prefix, c.id, err, c.want)
		}
		if ok, err := tbl.Delete(c.prefix); ok || err != nil {
			t.Errorf("Delete(%v): %v, %v", c.prefix, ok, err)
		}
	}
	if tbl.Len() != 0 {
		t.Errorf("%d prefixes", tbl.Len())
	}
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:1.2.3.4")} {
		if id := tbl.Lookup(a); id != 0 {
			t.Errorf("Lookup(%v) = %d", a, id)
		}
	}
	if _, err := New(5, Options{}); err == nil {
		t.Error("family 5 accepted")
	}
	if _, err := New(IPv4, Options{RootBits: 25}); err == nil {
		t.Error("root of 25 bits accepted")
	}
}

// TestMemoryLimit fills tables until they refuse: a refused change, of a long prefix, of one that covers much, of an id that needs
// the wide form, or a whole Load, must leave everything as it was.
func TestMemoryLimit(t *testing.T) {
	for _, limit := range []int{3000, 40_000, 200_000, 2 << 20} {
		for _, f := range []Family{IPv4, IPv6} {
			tbl := newTable(t, f, Options{MemoryLimit: limit})
			rnd := rand.New(rand.NewPCG(uint64(limit), uint64(f)))
			all := golden{}
			var prefixes []netip.Prefix
			refused := 0
			for refused < 50 {
				n := uint8(4 + rnd.IntN(24))
				p := f.prefix(Addr{Hi: rnd.Uint64()}.mask(n), n)
				id := ID(1 + rnd.IntN(1<<15))
				if rnd.IntN(2000) == 0 || refused > 0 && rnd.IntN(2) == 0 {
					id += 1 << 16
				}
				switch err := tbl.Insert(p, id); {
				case err == nil:
					all[p] = id
					prefixes = append(prefixes, p)
				case !errors.Is(err, ErrMemory):
					t.Fatal(err)
				default:
					refused++
				}
				if m := tbl.Memory(); m.Held+m.Trie > limit {
					t.Fatalf("limit %d: %+v", limit, m)
				}
			}
			rnd.Shuffle(len(prefixes), func(i, j int) { prefixes[i], prefixes[j] = prefixes[j], prefixes[i] })
			some := prefixes[:min(len(prefixes), 300)]
			check(t, tbl, all, probes(f, some, rnd, 100))
			if err := tbl.Load(seq(realTable(f))); !errors.Is(err, ErrMemory) {
				t.Fatalf("Load of the full table with a limit of %d: %v", limit, err)
			}
			check(t, tbl, all, probes(f, some, rnd, 100))
			for p := range all {
				if ok, err := tbl.Delete(p); !ok || err != nil {
					t.Fatal(p, ok, err)
				}
			}
			check(t, tbl, golden{}, probes(f, some, rnd, 0))
		}
	}
}

// TestSmallTable bounds what the table of a small namespace takes.
func TestSmallTable(t *testing.T) {
	for _, c := range []struct {
		family   Family
		prefixes string
		limit    int // bytes
	}{
		{IPv4, "0.0.0.0/0 10.1.0.0/16 10.3.7.0/24 10.41.9.0/24 10.77.2.0/24 10.90.0.0/24 10.120.33.0/24 10.155.8.0/24 10.201.1.0/24" +
			" 10.254.255.0/24", 1536},
		{IPv6, "::/0 2001:db8::/32 2001:db8:1::/48 2001:db8:2:7::/64 2001:db8:3:1::/64 2001:db8:9::/48 2001:db8:a:b::/64" +
			" 2001:db8:10::/48 2001:db8:ffff::/48 fe80::/10", 2048},
	} {
		tbl := newTable(t, c.family, Options{})
		for i, p := range strings.Fields(c.prefixes) {
			if err := tbl.Insert(netip.MustParsePrefix(p), ID(i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if m := tbl.Memory(); tbl.Len() != 10 || m.Held > c.limit {
			t.Errorf("%d prefixes take %+v, want at most %d bytes", tbl.Len(), m, c.limit)
		} else {
			t.Logf("%v: %+v", c.family, m)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for _, kernel := range kernels() {
		testNoAllocation(t, kernel)
	}
}

func testNoAllocation(t *testing.T, kernel Kernel) {
	t4 := loaded(t, IPv4, sample(realTable(IPv4), 10_000), Options{Kernel: kernel})
	t6 := loaded(t, IPv6, sample(realTable(IPv6), 50), Options{Kernel: kernel})
	dst4, dst6, ids := make([]uint32, 256), make([]Addr, 256), make([]ID, 256)
	if n := testing.AllocsPerRun(100, func() { t4.Lookup4(dst4, ids); t6.Lookup6(dst6, ids) }); n != 0 {
		t.Errorf("%v allocations for two batches", n)
	}
	a := netip.MustParseAddr("10.0.0.1")
	if n := testing.AllocsPerRun(100, func() { t4.Lookup(a) }); n != 0 {
		t.Errorf("%v allocations for a look-up", n)
	}
}

// TestCompiledLoops asks the compiler: in the loops nothing may be called, and no index checked.
func TestCompiledLoops(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m -d=ssa/check_bce", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	for _, want := range []string{"can inline index[", "can inline upTo", "can inline Addr.stride"} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("the compiler no longer says %q", want)
		}
	}
	inlined := 0
	for _, l := range lines {
		if !strings.HasPrefix(l, "./lookup_unsafe.go") {
			continue
		}
		if strings.Contains(l, "Found IsInBounds") {
			t.Errorf("an index is checked: %s", l)
		}
		if strings.Contains(l, "inlining call to index[") || strings.Contains(l, "inlining call to upTo") ||
			strings.Contains(l, "inlining call to Addr.stride") {
			inlined++
		}
	}
	// Each of the four loops (two families, two forms of leaves) indexes root, nodes twice, and leaves, and masks twice.
	if want := 4*6 + 2*2; inlined < want {
		t.Errorf("%d calls are inlined in the loops, want %d", inlined, want)
	}
}
