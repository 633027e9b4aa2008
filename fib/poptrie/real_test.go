package poptrie

import (
	"bufio"
	"compress/gzip"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gaissmai/bart"
)

type route struct {
	prefix netip.Prefix
	id     ID
}

// realTables are the prefixes of the Internet's tables, from the test data of the module gaissmai/bart, sorted; their ids are 1 to
// 250.
var realTables = sync.OnceValues(func() (v4, v6 []route) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		panic("find the module gaissmai/bart: " + err.Error())
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(dir)), "internal/tests/testdata/prefixes.txt.gz"))
	if err != nil {
		panic(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		panic(err)
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for lines := bufio.NewScanner(z); lines.Scan(); {
		r := route{netip.MustParsePrefix(lines.Text()).Masked(), 1 + ID(rnd.IntN(250))}
		if r.prefix.Addr().Is4() {
			v4 = append(v4, r)
		} else {
			v6 = append(v6, r)
		}
	}
	order := func(a, b route) int { return a.prefix.Compare(b.prefix) }
	slices.SortFunc(v4, order)
	slices.SortFunc(v6, order)
	return v4, v6
})

func realTable(f Family) []route {
	v4, v6 := realTables()
	if f == IPv4 {
		return v4
	}
	return v6
}

func seq(routes []route) iter.Seq2[netip.Prefix, ID] {
	return func(yield func(netip.Prefix, ID) bool) {
		for _, r := range routes {
			if !yield(r.prefix, r.id) {
				return
			}
		}
	}
}

func loaded(t testing.TB, f Family, routes []route, o Options) *Table {
	t.Helper()
	tbl := newTable(t, f, o)
	if err := tbl.Load(seq(routes)); err != nil {
		t.Fatal(err)
	}
	return tbl
}

// under are n random addresses under random prefixes.
func under(routes []route, rnd *rand.Rand, n int) []Addr {
	keys := make([]Addr, n)
	for i := range keys {
		p := routes[rnd.IntN(len(routes))].prefix
		keys[i] = randomIn(p, rnd)
	}
	return keys
}

func randomIn(p netip.Prefix, rnd *rand.Rand) Addr {
	k, r := keyOf(p.Addr()), Addr{rnd.Uint64(), rnd.Uint64()}
	m := r.mask(uint8(p.Bits()))
	k.Hi, k.Lo = k.Hi|r.Hi&^m.Hi, k.Lo|r.Lo&^m.Lo
	if uint8(p.Bits()) < 64 {
		k = Addr{keyOf(p.Addr()).Hi | r.Hi&(^uint64(0)>>p.Bits()), r.Lo}
	} else {
		k = Addr{keyOf(p.Addr()).Hi, keyOf(p.Addr()).Lo | r.Lo&(^uint64(0)>>(p.Bits()-64))}
	}
	if p.Addr().Is4() {
		k = Addr{Hi: k.Hi &^ (1<<32 - 1)}
	}
	return k
}

// compare looks keys up in the table and in the oracle.
func compare(t *testing.T, tbl *Table, oracle *bart.Table[ID], keys []Addr) {
	t.Helper()
	ids := batchIDs(t, tbl, keys)
	for i, k := range keys {
		a := addrOf(tbl.family, k)
		if want, _ := oracle.Lookup(a); ids[i] != want {
			t.Fatalf("%v: id %d, want %d", a, ids[i], want)
		}
	}
}

// TestRealTable loads the full table, by Load and one by one in random order, and compares it with another library's.
func TestRealTable(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			routes := realTable(f)
			if raceEnabled {
				routes = sample(routes, 60_000) // unsorted, and in a tenth of the time
			}
			oracle := new(bart.Table[ID])
			for _, r := range routes {
				oracle.Insert(r.prefix, r.id)
			}
			rnd := rand.New(rand.NewPCG(1, 2))
			keys := under(routes, rnd, 300_000)
			for _, r := range routes {
				keys = append(keys, keyOf(r.prefix.Addr()))
			}
			tbl := loaded(t, f, routes, Options{})
			compare(t, tbl, oracle, keys)
			st := tbl.Memory()
			t.Logf("%d prefixes: %+v", tbl.Len(), st)
			if limit := 6 << 20; st.Held > limit || tbl.Len() != len(routes) {
				t.Errorf("%d prefixes in %d bytes, want %d in at most %d", tbl.Len(), st.Held, len(routes), limit)
			}
			one := newTable(t, f, Options{})
			for _, i := range rnd.Perm(len(routes)) {
				if err := one.Insert(routes[i].prefix, routes[i].id); err != nil {
					t.Fatal(err)
				}
			}
			compare(t, one, oracle, keys)
			t.Logf("one by one: %+v", one.Memory())
			for _, i := range rnd.Perm(len(routes))[:len(routes)-50] {
				oracle.Delete(routes[i].prefix)
				if ok, err := one.Delete(routes[i].prefix); !ok || err != nil {
					t.Fatalf("delete %v: %v, %v", routes[i].prefix, ok, err)
				}
			}
			compare(t, one, oracle, keys)
			t.Logf("50 left: %+v", one.Memory())
		})
	}
}
