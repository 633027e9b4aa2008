package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsrouter/fib/poptrie"
)

// TestReadTables checks that the module's data is what the reports speak of.
func TestReadTables(t *testing.T) {
	v4, v6, err := readTables()
	if err != nil {
		t.Fatal(err)
	}
	if len(v4) != 901_899 || len(v6) != 160_147 {
		t.Errorf("%d and %d prefixes", len(v4), len(v6))
	}
	again, _, err := readTables()
	if err != nil || !slices.Equal(again, v4) {
		t.Errorf("read again the table differs, %v", err)
	}
	part := sample(v4, 1000)
	if len(part) != 1000 || !slices.Equal(part, sample(v4, 1000)) || !slices.IsSortedFunc(part, func(a, b route) int {
		return a.prefix.Compare(b.prefix)
	}) {
		t.Errorf("a sample of 1000 has %d routes, is unsorted, or differs from the next", len(part))
	}
	if len(sample(v6, 0)) != len(v6) || len(sample(v6, 1<<30)) != len(v6) {
		t.Error("a sample of all is not all")
	}
}

func TestGroupsBelow(t *testing.T) {
	for _, c := range []struct {
		prefixes string
		want     int
	}{
		{"10.0.0.0/8 10.0.0.0/24", 0},
		{"10.0.0.0/25 10.0.0.128/32 10.0.1.0/30", 2},
		{"2001:db8::/32", 1},                                   // below 2001:d::/24
		{"2001:db8::/48 2001:db8:0:1::/64", 1 + 1 + 1 + 1 + 1}, // /24, /32, /40, /48, /56
		{"2001:db8:0:1::/64 2001:db8:0:2::/64 2001:db8:0:100::/64", 1 + 1 + 1 + 1 + 2},
	} {
		var routes []route
		for p := range strings.FieldsSeq(c.prefixes) {
			routes = append(routes, route{netip.MustParsePrefix(p), 1})
		}
		if got := groupsBelow(routes); got != c.want {
			t.Errorf("%s: %d groups, want %d", c.prefixes, got, c.want)
		}
	}
}

func TestTenant(t *testing.T) {
	rnd := newRand(4)
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		for range 200 {
			if routes := tenant(f, rnd); len(routes) != few {
				t.Fatalf("%v: %v", f, routes)
			}
		}
	}
}
