package fib

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// TestOrigins: what is learned and what the operator says are apart, also with one metric; each is changed by its origin
// alone.
func TestOrigins(t *testing.T) {
	p := netip.MustParsePrefix("10.0.0.0/8")
	rib := newRIB()
	way := func(o Origin, gateway string, metric uint32) *Way {
		return rib.Way(Way{
			Origin: o, Metric: metric, Legs: []Leg{{Gateway: netip.MustParseAddr(gateway), Device: 1, Weight: 1}},
		})
	}
	show := func(list []*Route) string {
		var out []string
		for _, r := range list {
			out = append(out, fmt.Sprintf("%d:%s/%d", r.Origin, r.Gateway(), r.Metric))
		}
		return strings.Join(out, " ")
	}
	want := func(list []*Route, s string) {
		t.Helper()
		if got := show(list); got != s {
			t.Errorf("%s, want %s", got, s)
		}
		if !slices.IsSortedFunc(list, compareRoutes) {
			t.Errorf("%s: out of order", show(list))
		}
	}
	a, b, c := way(FromKernel, "192.0.2.1", 5), way(FromKernel, "192.0.2.2", 5), way(FromKernel, "192.0.2.3", 9)
	list := SetLearned(nil, FromKernel, p, []*Way{a})
	want(list, "2:192.0.2.1/5")
	list = SetLearned(list, FromKernel, p, []*Way{b, a, c})
	want(list, "2:192.0.2.2/5 2:192.0.2.1/5 2:192.0.2.3/9")
	if again := SetLearned(list, FromKernel, p, []*Way{b, a, c}); &again[0] != &list[0] {
		t.Error("what changes nothing makes a new list")
	}
	if _, err := rib.Insert(list, Add, Route{Prefix: p, Way: way(FromAPI, "192.0.2.9", 5)}); !errors.Is(err, ErrExists) {
		t.Errorf("the operator adds to a learned metric: %v", err)
	}
	var owner OriginError
	if _, err := rib.Insert(list, Replace, Route{Prefix: p, Way: way(FromAPI, "192.0.2.9", 5)}); !errors.As(err, &owner) ||
		owner.Owner != FromKernel || !errors.Is(err, ErrOrigin) {
		t.Errorf("the operator replaces a learned route: %v", err)
	}
	list, err := rib.Insert(list, Append, Route{Prefix: p, Way: way(FromAPI, "192.0.2.9", 5)})
	if err != nil {
		t.Fatal(err)
	}
	want(list, "0:192.0.2.9/5 2:192.0.2.2/5 2:192.0.2.1/5 2:192.0.2.3/9") // the operator's first
	list, err = rib.Insert(list, Replace, Route{Prefix: p, Way: way(FromAPI, "192.0.2.8", 5)})
	if err != nil {
		t.Fatal(err)
	}
	list = SetLearned(list, FromKernel, p, []*Way{c, a})
	want(list, "0:192.0.2.8/5 2:192.0.2.1/5 2:192.0.2.3/9")
	if _, err := rib.Remove(list, &Match{Metric: 9}, FromAPI); !errors.As(err, &owner) || owner.Owner != FromKernel {
		t.Errorf("the operator deletes a learned route: %v", err)
	}
	list, err = rib.Remove(list, &Match{}, FromAPI)
	if err != nil {
		t.Fatal(err)
	}
	want(list, "2:192.0.2.1/5 2:192.0.2.3/9")
	if list = SetLearned(list, FromKernel, p, nil); list != nil {
		t.Errorf("%s is left", show(list))
	}
}
