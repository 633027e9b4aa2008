package fib

import (
	"net/netip"
	"slices"
)

// LearnedFrom appends the ways of the routes of one prefix that are of an origin, in their order.
func LearnedFrom(ways []*Way, list []*Route, o Origin) []*Way {
	for _, r := range list {
		if r.Origin == o {
			ways = append(ways, r.Way)
		}
	}
	return ways
}

// SetLearned returns the routes of one prefix with those of an origin replaced by routes of the given ways, which are of
// that origin, of one RIB, and in their order where the metric is the same. The given list is left as it is, and returned
// where nothing changes.
func SetLearned(list []*Route, o Origin, p netip.Prefix, ways []*Way) []*Route {
	if len(list) == 0 && len(ways) == 1 { // the usual case
		return []*Route{{Way: ways[0], Prefix: p, Order: firstOrder(o)}}
	}
	out := make([]*Route, 0, len(list)+len(ways))
	for _, r := range list {
		if r.Origin != o {
			out = append(out, r)
		}
	}
	for i, w := range ways {
		order := firstOrder(o)
		for _, before := range ways[:i] {
			if before.Metric == w.Metric {
				order++
			}
		}
		same := func(r *Route) bool { return r.Way == w && r.Order == order }
		if at := slices.IndexFunc(list, same); at >= 0 {
			out = append(out, list[at])
		} else {
			out = append(out, &Route{Way: w, Prefix: p, Order: order})
		}
	}
	slices.SortFunc(out, compareRoutes)
	switch {
	case slices.Equal(out, list):
		return list
	case len(out) == 0:
		return nil
	}
	return out
}
