package poptrie

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestChooseKernel(t *testing.T) {
	all := kernels()
	fastest := all[len(all)-1]
	for _, c := range []struct {
		variable    string
		asked, want Kernel
	}{
		{"", "", fastest}, {"avx512", "", fastest}, {"sse", "", fastest}, {"plain", "", Plain},
		{"plain", fastest, fastest}, {"avx512", Plain, Plain}, {string(all[len(all)/2]), "", all[len(all)/2]},
	} {
		t.Setenv(kernelVariable, c.variable)
		tbl := newTable(t, IPv4, Options{Kernel: c.asked})
		if got := tbl.Memory().Kernel; got != c.want {
			t.Errorf("%s=%s, option %q: kernel %s, want %s", kernelVariable, c.variable, string(c.asked), got, c.want)
		}
	}
	if _, err := New(IPv4, Options{Kernel: "neon"}); err == nil {
		t.Error("kernel neon accepted")
	}
	for kernel, has := range map[Kernel]bool{AVX512: hasAVX512(), BMI2: hasBMI2()} {
		if _, err := New(IPv4, Options{Kernel: kernel}); (err == nil) != has {
			t.Errorf("kernel %s: %v on a processor that has it: %v", kernel, err, has)
		}
	}
}

// TestKernels compares the kernels with the golden table and with each other: batches of any length, tables of all forms and sizes,
// prefixes of any length, so that addresses of one batch end at all depths.
func TestKernels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]Family{IPv4, IPv6}).Draw(t, "family")
		tbl, err := New(f, Options{RootBits: rapid.SampledFrom([]uint8{0, 12, 13, 14, 15, 16, 17, 18}).Draw(t, "root")})
		if err != nil {
			t.Fatal(err)
		}
		defer tbl.Close()
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		g := golden{}
		top := []ID{3, maxNarrow, maxID}[rapid.IntRange(0, 2).Draw(t, "ids")]
		for range rapid.SampledFrom([]int{0, 1, 10, 64, 65, 700, 5000}).Draw(t, "size") {
			p := nested(f, rnd)
			g[p] = 1 + ID(rnd.Int64N(int64(top)))
		}
		if err := tbl.Load(g.all); err != nil {
			t.Fatal(err)
		}
		var prefixes []netip.Prefix
		for p := range g {
			prefixes = append(prefixes, p)
		}
		keys := probes(f, prefixes, rnd, 10)
		rnd.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		keys = keys[:min(len(keys), rapid.IntRange(0, 600).Draw(t, "batch"))]
		for i, id := range batchIDs(t, tbl, keys) {
			if a := addrOf(f, keys[i]); id != g.lookup(a) {
				t.Fatalf("%v: id %d, want %d", a, id, g.lookup(a))
			}
		}
	})
}

// TestKernelBounds puts addresses and ids right before memory that cannot be touched.
func TestKernelBounds(t *testing.T) {
	page := os.Getpagesize()
	guarded := func() []byte {
		mem, err := unix.Mmap(-1, 0, 3*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Munmap(mem) })
		if err := unix.Mprotect(mem[2*page:], unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		return mem[:2*page]
	}
	addrs, answers := guarded(), guarded()
	for _, f := range []Family{IPv4, IPv6} {
		tbl := loaded(t, f, sample(realTable(f), 1000), Options{})
		s := tbl.current.Load()
		for n := 1; n <= 300; n++ {
			ids := unsafe.Slice((*ID)(unsafe.Pointer(&answers[2*page-4*n])), n)
			for _, kernel := range kernels() {
				if f == IPv4 {
					look4(s, kernel, unsafe.Slice((*uint32)(unsafe.Pointer(&addrs[2*page-4*n])), n), ids)
				} else {
					look6(s, kernel, unsafe.Slice((*Addr)(unsafe.Pointer(&addrs[2*page-16*n])), n), ids)
				}
			}
		}
	}
}

// all makes a golden table a sequence.
func (g golden) all(yield func(netip.Prefix, ID) bool) {
	for p, id := range g {
		if !yield(p, id) {
			return
		}
	}
}

// nested draws a prefix of any length of the family, near others in its upper bits.
func nested(f Family, rnd *rand.Rand) netip.Prefix {
	width := 33
	if f == IPv6 {
		width = 129
	}
	thin := func() uint64 { return rnd.Uint64() & rnd.Uint64() & rnd.Uint64() & rnd.Uint64() }
	n := uint8(rnd.IntN(width))
	return f.prefix(Addr{thin(), thin()}.mask(n), n)
}
