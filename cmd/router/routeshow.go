package main

import (
	"context"
	"slices"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// routeFilter reads a selector.
func routeFilter(c *cli, a *args) *v1.RouteFilter {
	f := &v1.RouteFilter{Family: c.family}
	for a.more() {
		if w := a.next(); !filterKeyword(c, a, w, f) {
			filterPrefix(c, a, w, f)
		}
	}
	if f.Family == 0 && f.Prefix+f.Root+f.Match == "" && f.Table != v1.RouteTable_ROUTE_TABLE_ALL {
		f.Family = v1.Family_FAMILY_IPV4 // as ip(8): IPv6 needs -6
	}
	return f
}

// filterKeyword reads keyword w and its value into f, or tells that it is none.
func filterKeyword(c *cli, a *args, w string, f *v1.RouteFilter) bool {
	all := a.more() && a.peek() == "all" // after some keywords: no choice
	switch {
	case w == "dev", w == "oif":
		f.Dev = a.device("dev")
	case matches(w, "table") && all:
		a.value("table")
		f.Table = v1.RouteTable_ROUTE_TABLE_ALL
	case matches(w, "table"):
		f.Table = a.table()
	case matches(w, "protocol") && all:
		a.value("proto")
	case matches(w, "protocol"):
		f.Protocol = a.protocol()
	case matches(w, "scope") && all:
		a.value("scope")
	case matches(w, "scope"):
		f.Scope = new(a.scope())
	case matches(w, "type"):
		s := a.value("type")
		if f.Type = routeType(s); f.Type == 0 {
			a.fail("node type %q is unknown: it is unicast, blackhole, unreachable, prohibit, local or throw", s)
		}
	case w == "via":
		family := v1.Family_FAMILY_UNSPECIFIED
		if a.more() && (a.peek() == "inet" || a.peek() == "inet6") {
			a.at++
		} else {
			family = c.family
		}
		f.Gateway = a.address("via", family)
	case w == "src":
		f.Src = a.address("src", c.family)
	case w == "metric":
		f.Metric = new(a.number("metric"))
	case w == "nexthop-netns":
		f.NexthopNetns = a.value("nexthop-netns")
	case w == "nhid":
		f.Nhid = a.id("nhid")
	case slices.Contains([]string{"cached", "cloned", "tos", "dsfield", "iif", "mark", "realms", "from", "vrf"}, w):
		a.fail("%q is not supported yet", w)
	default:
		return false
	}
	return true
}

// filterPrefix reads the choice of prefixes that begins with w.
func filterPrefix(c *cli, a *args, w string, f *v1.RouteFilter) {
	said := w == "to"
	if said {
		w = a.value("to")
	}
	switch w {
	case "root":
		f.Root = a.toPrefix(a.value("root"), c.family)
		return
	case "match":
		f.Match = a.toPrefix(a.value("match"), c.family)
		return
	case "exact":
		w = a.value("exact")
	}
	if f.Prefix != "" || slices.Contains(a.seen, "all") {
		a.garbage(w, "to")
	}
	if w == "all" || w == "any" {
		a.once("all")
	} else {
		f.Prefix = a.toPrefix(w, c.family)
	}
}

func routeFlush(c *cli, a *args) *v1.ChangeRequest {
	if !a.more() {
		a.fail("\"route flush\" requires arguments, such as \"dev NAME\" or \"root 0/0\"")
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_RouteFlush{RouteFlush: &v1.RouteFlush{Filter: routeFilter(c, a)}}}
}

func (c *cli) routeShow(ctx context.Context, a *args) error {
	f := routeFilter(c, a)
	if err := a.done(); err != nil {
		return err
	}
	style := routeStyle{filter: f, table: f.Table == v1.RouteTable_ROUTE_TABLE_ALL}
	if c.details {
		var err error
		if style.objects, err = c.nexthopsByID(ctx); err != nil {
			return err
		}
	}
	p := printer{c: c}
	for _, part := range routeParts(f) {
		stream, err := c.client.ListRoutes(ctx, &v1.ListRoutesRequest{Netns: c.netns, Filter: part})
		if err != nil {
			return err
		}
		err = receive(&p, stream, (*v1.ListRoutesResponse).GetRoutes, func(r *v1.Route) (record, bool) {
			return c.routeRecord(r, &style), true
		})
		if err != nil {
			return err
		}
	}
	return p.end()
}

// routeParts are the listings that a filter asks for: with "table all", one for each family and table, as ip(8) has
// them.
func routeParts(f *v1.RouteFilter) []*v1.RouteFilter {
	if f.Table != v1.RouteTable_ROUTE_TABLE_ALL {
		return []*v1.RouteFilter{f}
	}
	var out []*v1.RouteFilter
	for _, family := range []v1.Family{v1.Family_FAMILY_IPV4, v1.Family_FAMILY_IPV6} {
		if f.Family != 0 && f.Family != family {
			continue
		}
		for _, table := range []v1.RouteTable{v1.RouteTable_ROUTE_TABLE_MAIN, v1.RouteTable_ROUTE_TABLE_LOCAL} {
			part := &v1.RouteFilter{
				Family: family, Prefix: f.Prefix, Match: f.Match, Root: f.Root, Dev: f.Dev, Protocol: f.Protocol, Type: f.Type,
				Gateway: f.Gateway, Metric: f.Metric, Nhid: f.Nhid, Scope: f.Scope, Src: f.Src, NexthopNetns: f.NexthopNetns,
				Table: table,
			}
			out = append(out, part)
		}
	}
	return out
}
