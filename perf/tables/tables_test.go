package tables

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestReadFile(t *testing.T) {
	v4, v6, err := ReadFile(write(t, "10.0.0.0/8\n2001:db8::/32\n0.0.0.0/0\n9.0.0.0/8\n10.0.0.0/8\n::/0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(v4, prefixes("9.0.0.0/8", "10.0.0.0/8")) || !slices.Equal(v6, prefixes("2001:db8::/32")) {
		t.Errorf("%v, %v", v4, v6)
	}
	if _, _, err := ReadFile(write(t, "10.0.0.0/8\nfoo\n")); err == nil {
		t.Error("foo is a prefix")
	}
	if _, _, err := ReadFile("/nowhere"); err == nil {
		t.Error("a file that is not there can be read")
	}
}

// TestRead checks that the module's data is what the reports speak of.
func TestRead(t *testing.T) {
	v4, v6, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if len(v4) != 901_899 || len(v6) != 160_147 {
		t.Errorf("%d and %d prefixes", len(v4), len(v6))
	}
	part := Sample(v4, 1000)
	if len(part) != 1000 || !slices.Equal(part, Sample(v4, 1000)) || !slices.IsSortedFunc(part, netip.Prefix.Compare) {
		t.Errorf("a sample of 1000 has %d routes, is unsorted, or differs from the next", len(part))
	}
	if len(Sample(v6, 0)) != len(v6) || len(Sample(v6, 1<<30)) != len(v6) {
		t.Error("a sample of all is not all")
	}
	for _, table := range [][]netip.Prefix{v4, v6} {
		const n = 10_000
		addrs, err := Under(table, n)
		if err != nil || len(addrs) != n {
			t.Fatalf("%d addresses, %v", len(addrs), err)
		}
		if first := slices.Compact(slices.Sorted(func(yield func(string) bool) {
			for _, a := range addrs {
				p, _ := a.Prefix(min(16+a.BitLen()/8, 32)) // 20, 32
				if !yield(p.String()) {
					return
				}
			}
		})); len(first) < 2000 {
			t.Errorf("%d addresses are all in %d short prefixes", n, len(first))
		}
	}
}

func TestUnder(t *testing.T) {
	of := prefixes("0.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
	addrs, err := Under(of, 1000, prefixes("10.1.2.0/24")...)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if !of[1].Contains(a) || of[2].Contains(a) {
			t.Errorf("%v", a)
		}
	}
	again, _ := Under(of, 1000, of[2])
	if !slices.Equal(addrs, again) {
		t.Error("other addresses the second time")
	}
	for _, none := range [][]netip.Prefix{nil, prefixes("ff00::/8"), prefixes("127.0.0.0/8")} {
		if got, err := Under(none, 5); err == nil {
			t.Errorf("%v: %v", none, got)
		}
	}
}

func TestRandomIn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for _, p := range prefixes(
		"0.0.0.0/0", "10.32.0.0/11", "10.1.2.128/25", "10.1.2.3/32", "2001:db8::/29", "2001:db8::1/128", "::/0",
	) {
		seen := map[netip.Addr]bool{}
		for range 100 {
			a := randomIn(p, rnd)
			if !p.Contains(a) {
				t.Fatalf("%v is not in %v", a, p)
			}
			seen[a] = true
		}
		if free := p.Addr().BitLen() - p.Bits(); len(seen) < min(50, 1<<min(free, 6)) {
			t.Errorf("%v: only %d addresses of 100", p, len(seen))
		}
	}
}
