// Package tables is what the benchmarks route by: the real tables of the Internet, or others from a file, and addresses all over them.
package tables

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"nsrouter/ctl/tabledump"
)

// prefixFile is a list of the Internet's prefixes, in the test data of the module gaissmai/bart.
const prefixFile = "internal/tests/testdata/prefixes.txt.gz"

// Read reads the real tables of both families: sorted, each prefix once, without a default route, which not every contender can hold.
func Read() (v4, v6 []netip.Prefix, err error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("find gaissmai/bart, whose test data is the table: %w (run in the checkout)", err)
	}
	v4, v6, err = ReadFile(filepath.Join(strings.TrimSpace(string(out)), prefixFile))
	if err == nil && (len(v4) == 0 || len(v6) == 0) {
		err = fmt.Errorf("%s in gaissmai/bart lacks a family", prefixFile)
	}
	return v4, v6, err
}

// ReadFile reads tables from a dump in any of the formats of package tabledump: sorted, each prefix once, without a default route. One
// of the two may be empty.
func ReadFile(path string) (v4, v6 []netip.Prefix, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	dump, err := tabledump.NewReader(path, f, tabledump.Options{})
	if err != nil {
		return nil, nil, err
	}
	for route, err := range dump.Routes() {
		if err != nil {
			return nil, nil, err
		}
		switch p := route.Prefix; {
		case p.Bits() == 0:
		case p.Addr().Is4():
			v4 = append(v4, p)
		default:
			v6 = append(v6, p)
		}
	}
	return sorted(v4), sorted(v6), nil
}

func sorted(prefixes []netip.Prefix) []netip.Prefix {
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	return slices.Compact(prefixes)
}

// Sample takes n prefixes at random, the same ones each time, in order; zero or more than there are means all.
func Sample(prefixes []netip.Prefix, n int) []netip.Prefix {
	if n == 0 || n >= len(prefixes) {
		return prefixes
	}
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	out := make([]netip.Prefix, n)
	for i, at := range rnd.Perm(len(prefixes))[:n] {
		out[i] = prefixes[at]
	}
	return sorted(out)
}

// Under draws n addresses, each a random one under a random prefix of those given; the same ones each time. Only such that any router
// forwards to are drawn, and none that an excluded prefix contains; it fails if there are next to none.
func Under(prefixes []netip.Prefix, n int, exclude ...netip.Prefix) ([]netip.Addr, error) {
	if len(prefixes) == 0 {
		return nil, errors.New("no prefixes to draw addresses under")
	}
	rnd := rand.New(rand.NewPCG(42, 'R'))
	out := make([]netip.Addr, 0, n)
	for tries := 0; len(out) < n; tries++ {
		if tries > 100*n {
			return nil, fmt.Errorf("%d prefixes, first %v: hardly an address below them is unicast", len(prefixes), prefixes[0])
		}
		a := randomIn(prefixes[rnd.IntN(len(prefixes))], rnd)
		if forwarded(a) && !slices.ContainsFunc(exclude, func(p netip.Prefix) bool { return p.Contains(a) }) {
			out = append(out, a)
		}
	}
	return out, nil
}

// forwarded tells whether routers forward to an address that they have a route for.
func forwarded(a netip.Addr) bool {
	if a.Is4() {
		first := a.As4()[0]
		return first != 0 && first != 127 && first < 224 && !a.IsLinkLocalUnicast()
	}
	return !a.IsMulticast() && !a.IsLinkLocalUnicast() && !a.IsLoopback() && !a.IsUnspecified() && !a.Is4In6()
}

// randomIn is a random address in a prefix.
func randomIn(p netip.Prefix, rnd *rand.Rand) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		host := byte(0xff) >> max(0, min(p.Bits()-8*i, 8))
		b[i] = b[i]&^host | byte(rnd.Uint32())&host
	}
	a, _ := netip.AddrFromSlice(b) // of 4 or 16 bytes, as it was
	return a
}
