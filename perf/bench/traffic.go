package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"

	"nsrouter/perf/tables"
)

// destinations is how many addresses the packets of a table of routes go to, one after the other: more than caches have routes for.
const destinations = 1 << 17

// traffic is what packets of a family say, and the routes that they take. It is not changed once it is made.
type traffic struct {
	nearHost, nearPort netip.Prefix // the source's address, and that of the forwarder beside it
	farHost, farPort   netip.Prefix // the sink's address, to which all routes lead, and that of the forwarder beside it
	routes             []netip.Prefix
	destinations       []netip.Addr // a power of two
}

// links are the addresses of a family: of the ranges that RFC 2544 and RFC 5180 keep for benchmarks, which no table has.
func links(family int) traffic {
	p := netip.MustParsePrefix
	if family == 6 {
		return traffic{
			nearHost: p("2001:2:0:1::2/64"), nearPort: p("2001:2:0:1::1/64"),
			farHost: p("2001:2:0:2::2/64"), farPort: p("2001:2:0:2::1/64"),
			routes:       []netip.Prefix{p("2001:2:0:8000::/49")},
			destinations: []netip.Addr{netip.MustParseAddr("2001:2:0:8000::1")},
		}
	}
	return traffic{
		nearHost: p("198.18.1.2/24"), nearPort: p("198.18.1.1/24"),
		farHost: p("198.18.2.2/24"), farPort: p("198.18.2.1/24"),
		routes:       []netip.Prefix{p("198.19.0.0/16")},
		destinations: []netip.Addr{netip.MustParseAddr("198.19.0.1")},
	}
}

// newTraffic reads the routes of a scenario.
func newTraffic(family int, routes string) (*traffic, error) {
	t := links(family)
	if routes == "1" || routes == "" {
		return &t, nil
	}
	read, n := tables.Read, 0
	if count, err := strconv.Atoi(routes); err == nil {
		if count < 1 {
			return nil, fmt.Errorf("-routes %s: want one or more, full, or a file", routes)
		}
		n = count
	} else if routes != "full" {
		read = func() (v4, v6 []netip.Prefix, err error) { return tables.ReadFile(routes) }
	}
	v4, v6, err := read()
	if err != nil {
		return nil, err
	}
	table := v4
	if family == 6 {
		table = v6
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("%s has no IPv%d routes", routes, family)
	}
	t.routes = tables.Sample(table, n)
	t.destinations, err = tables.Under(t.routes, destinations, t.nearHost.Masked(), t.farHost.Masked())
	return &t, err
}

// routeName is what names of scenarios have of a table.
func routeName(routes string) string {
	if _, err := strconv.Atoi(routes); err != nil {
		return filepath.Base(routes)
	}
	if routes == "1" {
		return "1route"
	}
	return routes + "routes"
}

func (t *traffic) String() string {
	if len(t.routes) == 1 {
		return "one route, one destination"
	}
	return fmt.Sprintf("%d routes, %d destinations below random ones of them", len(t.routes), len(t.destinations))
}

// pick is v4 or v6, by the family.
func (t *traffic) pick(v4, v6 string) string {
	if t.nearHost.Addr().Is6() {
		return v6
	}
	return v4
}
