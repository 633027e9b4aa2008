package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"nsrouter/fib/poptrie"
)

// route is a prefix and the id that it leads to.
type route struct {
	prefix netip.Prefix
	id     poptrie.ID
}

// nextHops is how many ids the routes of a table share.
const nextHops = 250

// prefixFile is a list of the Internet's prefixes, in the test data of the module gaissmai/bart.
const prefixFile = "internal/tests/testdata/prefixes.txt.gz"

// readTables reads the real prefixes of both families.
func readTables() (v4, v6 []route, err error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gaissmai/bart").Output()
	if err != nil {
		return nil, nil, fmt.Errorf("find gaissmai/bart, whose test data is the table: %w (run in the checkout)", err)
	}
	f, err := os.Open(filepath.Join(strings.TrimSpace(string(out)), prefixFile))
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return parseTables(z)
}

// parseTables reads a prefix a line. The tables are sorted, and a prefix has the same random id in every run. There is no default
// route in them: not every contender can hold one.
func parseTables(r io.Reader) (v4, v6 []route, err error) {
	rnd := rand.New(rand.NewPCG(7, 7))
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p, err := netip.ParsePrefix(lines.Text())
		if err != nil {
			return nil, nil, err
		}
		one := route{p.Masked(), 1 + poptrie.ID(rnd.IntN(nextHops))}
		switch {
		case p.Bits() == 0:
		case p.Addr().Is4():
			v4 = append(v4, one)
		default:
			v6 = append(v6, one)
		}
	}
	if len(v4) == 0 || len(v6) == 0 {
		return nil, nil, errors.Join(errors.New("the list of prefixes lacks a family"), lines.Err())
	}
	return sorted(v4), sorted(v6), lines.Err()
}

// sorted sorts routes and drops the repeated ones.
func sorted(routes []route) []route {
	slices.SortFunc(routes, func(a, b route) int { return a.prefix.Compare(b.prefix) })
	return slices.CompactFunc(routes, func(a, b route) bool { return a.prefix == b.prefix })
}

// sample takes n routes at random, the same ones each time, in order; zero or more than there are means all.
func sample(routes []route, n int) []route {
	if n == 0 || n >= len(routes) {
		return routes
	}
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	out := make([]route, n)
	for i, at := range rnd.Perm(len(routes))[:n] {
		out[i] = routes[at]
	}
	return sorted(out)
}

// shuffled is a copy of routes in an order that is random and the same each time.
func shuffled(routes []route) []route {
	out := slices.Clone(routes)
	rand.New(rand.NewPCG(1, 9)).Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// groupsBelow counts how many blocks of 256 entries a table has that takes the first 24 bits in one step and the others by eight:
// one for each step and each prefix of its length that longer routes lie below.
func groupsBelow(routes []route) int {
	n := 0
	for step := 24; step < 128; step += 8 {
		var last netip.Prefix
		for _, r := range routes {
			if r.prefix.Bits() <= step {
				continue
			}
			if p, _ := r.prefix.Addr().Prefix(step); p != last {
				last = p
				n++
			}
		}
	}
	return n
}
