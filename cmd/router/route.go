package main

import (
	"context"
	"slices"
	"strconv"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const routeUsage = `
router route { add | replace | append | change | delete } [ TYPE ] PREFIX [ via ADDR ] [ dev NAME ]
                [ src ADDR ] [ metric N ] [ proto P ] [ mtu N ] [ scope S ] [ onlink ]
router route show [ SELECTOR ]
router route flush SELECTOR
router route get ADDR [ from ADDR ] [ iif NAME ]
TYPE := { unicast | blackhole | unreachable | prohibit | local | throw }
SELECTOR := [ [ exact ] PREFIX | match ADDR | root PREFIX ] [ dev NAME ] [ proto P ] [ type TYPE ] [ via ADDR ]
              [ metric N ]
`

func routeCommands() []command {
	return []command{
		{names: []string{"add"}, change: routeChange(v1.Verb_VERB_ADD)},
		{names: []string{"change", "chg"}, change: routeChange(v1.Verb_VERB_CHANGE)},
		{names: []string{"replace"}, change: routeChange(v1.Verb_VERB_REPLACE)},
		{names: []string{"append"}, change: routeChange(v1.Verb_VERB_APPEND)},
		{names: []string{"delete"}, change: routeChange(v1.Verb_VERB_DELETE)},
		{names: []string{"list", "show", "lst"}, run: (*cli).routeShow},
		{names: []string{"get"}, run: (*cli).routeGet},
		{names: []string{"flush"}, change: routeFlush},
		{names: []string{"import"}, run: (*cli).routeImport},
	}
}

func routeChange(verb v1.Verb) func(*cli, *args) *v1.ChangeRequest {
	return func(c *cli, a *args) *v1.ChangeRequest {
		r := &v1.RouteChange{Verb: verb}
		dst := ""
		for a.more() {
			if w := a.next(); !routeWord(a, w, c.family, r) {
				dst = routeTarget(a, w, dst, r)
			}
		}
		switch {
		case dst == "":
			a.fail("not enough information: the prefix is missing")
		case isDefault(dst):
			// "default via 2001:db8::1" means ::/0 without -6, too.
			family := c.family
			if family == 0 && slices.ContainsFunc([]byte(r.Gateway), func(b byte) bool { return b == ':' }) {
				family = v1.Family_FAMILY_IPV6
			}
			r.Prefix = defaultPrefix(family)
		default:
			r.Prefix = a.toPrefix(dst, c.family)
		}
		return &v1.ChangeRequest{Op: &v1.ChangeRequest_Route{Route: r}}
	}
}

// routeWord reads keyword w and its value into r, or tells that it is none.
func routeWord(a *args, w string, family v1.Family, r *v1.RouteChange) bool {
	switch {
	case w == "via":
		if a.more() && (a.peek() == "inet6" || a.peek() == "inet") {
			a.at++
			family = v1.Family_FAMILY_UNSPECIFIED
		}
		r.Gateway = a.address("via", family)
	case w == "dev", w == "oif":
		r.Dev = a.device("dev")
	case w == "src":
		r.Src = a.address("src", family)
	case w == "metric", matches(w, "priority") && len(w) > 2, matches(w, "preference") && len(w) > 4:
		r.Metric = new(a.number("metric"))
	case matches(w, "protocol"):
		r.Protocol = a.protocol()
	case w == "mtu":
		if r.Mtu = a.number("mtu"); r.Mtu == 0 {
			a.fail("argument \"0\" is wrong: \"mtu\" takes a number of bytes")
		}
	case w == "scope":
		r.Scope = new(a.scope())
	case w == "onlink":
		r.Onlink = true
	case w == "table":
		a.mainTable()
	case unsupportedRouteWord(w):
		a.fail("%q is not supported yet", w)
	default:
		return false
	}
	return true
}

// routeTarget reads w as a type or as the destination, of which dst is the one before. It returns the destination.
func routeTarget(a *args, w, dst string, r *v1.RouteChange) string {
	if t := routeType(w); t != 0 {
		a.once("type")
		r.Type = t
		return dst
	}
	if w == "to" {
		w = a.value("to")
	}
	if dst != "" {
		if _, err := parsePrefix(dst); err != nil && !isDefault(dst) {
			a.fail("any valid prefix, or a type of route, is expected rather than %q", dst)
		}
		a.garbage(w, "to")
	}
	return w
}

// unsupportedRouteWord tells keywords of "ip route add" that must not be taken for a destination.
func unsupportedRouteWord(w string) bool {
	switch w {
	case "nexthop", "nhid", "nexthop-netns", "weight", "vrf", "tos", "dsfield", "encap", "multicast", "nat", "advmss",
		"expires", "realms", "hoplimit", "window", "cwnd", "initcwnd", "initrwnd", "rtt", "rttvar", "rto_min", "quickack",
		"congctl", "features", "as", "pref", "ttl-propagate", "pervasive", "uid", "mark", "ipproto", "sport", "dport",
		"fibmatch":
		return true
	}
	return false
}

// mainTable reads the value of "table": there is one.
func (a *args) mainTable() {
	if s := a.value("table"); s != "main" && s != "254" {
		a.fail("table %q is not supported yet: a namespace has the table main only", s)
	}
}

func routeTypeNames() []string {
	return []string{
		v1.RouteType_ROUTE_TYPE_UNICAST: "unicast", v1.RouteType_ROUTE_TYPE_LOCAL: "local",
		v1.RouteType_ROUTE_TYPE_BROADCAST: "broadcast", v1.RouteType_ROUTE_TYPE_ANYCAST: "anycast",
		v1.RouteType_ROUTE_TYPE_BLACKHOLE: "blackhole", v1.RouteType_ROUTE_TYPE_UNREACHABLE: "unreachable",
		v1.RouteType_ROUTE_TYPE_PROHIBIT: "prohibit", v1.RouteType_ROUTE_TYPE_THROW: "throw",
	}
}

// routeType is the type that a word names, or 0.
func routeType(w string) v1.RouteType {
	if w == "" || w[0] >= '0' && w[0] <= '9' {
		return 0 // a prefix: the usual case in a batch
	}
	return v1.RouteType(max(0, slices.Index(routeTypeNames(), w)))
}

func routeTypeName(t v1.RouteType) string {
	if names := routeTypeNames(); t > 0 && int(t) < len(names) {
		return names[t]
	}
	return strconv.Itoa(int(t))
}

// protocolNames are those of iproute2's rt_protos; any other number is allowed.
func protocolNames() map[uint32]string {
	return map[uint32]string{
		0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt", 11: "zebra",
		12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived", 42: "babel", 99: "openr", 186: "bgp",
		187: "isis", 188: "ospf", 189: "rip", 192: "eigrp",
	}
}

func protocolName(n uint32) string {
	if s, ok := protocolNames()[n]; ok {
		return s
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (a *args) protocol() uint32 {
	s := a.value("proto")
	if n, err := strconv.ParseUint(s, 0, 8); err == nil {
		return uint32(n)
	}
	for n, name := range protocolNames() {
		if name == s {
			return n
		}
	}
	a.fail("argument %q is wrong: \"protocol\" is kernel, boot, static, another name or a number up to 255", s)
	return 0
}

// routeFilter reads a selector.
func routeFilter(c *cli, a *args) *v1.RouteFilter {
	f := &v1.RouteFilter{Family: c.family}
	for a.more() {
		switch w := a.next(); {
		case w == "dev", w == "oif":
			f.Dev = a.device("dev")
		case matches(w, "protocol"):
			f.Protocol = a.protocol()
		case w == "type":
			s := a.value("type")
			if f.Type = routeType(s); f.Type == 0 {
				a.fail("node type %q is unknown: it is unicast, blackhole, unreachable, prohibit, local or throw", s)
			}
		case w == "via":
			f.Gateway = a.address("via", v1.Family_FAMILY_UNSPECIFIED)
		case w == "metric":
			f.Metric = new(a.number("metric"))
		case w == "table":
			a.mainTable()
		case w == "root":
			f.Root = a.selector("root", c.family)
		case w == "match":
			f.Match = a.selector("match", c.family)
		default:
			if w == "to" || w == "exact" {
				w = a.value("to")
			} else if f.Prefix != "" || slices.Contains(a.seen, "all") {
				a.garbage(w, "to")
			}
			if w == "all" || w == "any" {
				a.once("all")
			} else {
				f.Prefix = a.toPrefix(w, c.family)
			}
		}
	}
	if f.Family == 0 && f.Prefix+f.Root+f.Match == "" {
		f.Family = v1.Family_FAMILY_IPV4 // as ip(8): IPv6 needs -6
	}
	return f
}

func (a *args) selector(keyword string, family v1.Family) string {
	return a.toPrefix(a.value(keyword), family)
}

func routeFlush(c *cli, a *args) *v1.ChangeRequest {
	if !a.more() {
		a.fail("\"route flush\" requires arguments, such as \"dev NAME\" or \"root 0/0\"")
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_RouteFlush{RouteFlush: &v1.RouteFlush{Filter: routeFilter(c, a)}}}
}

func (c *cli) routeShow(ctx context.Context, a *args) error {
	req := &v1.ListRoutesRequest{Netns: c.netns, Filter: routeFilter(c, a)}
	if err := a.done(); err != nil {
		return err
	}
	stream, err := c.client.ListRoutes(ctx, req)
	if err != nil {
		return err
	}
	return show(c, stream, (*v1.ListRoutesResponse).GetRoutes, func(r *v1.Route) (record, bool) {
		return c.routeRecord(r, req.Filter), true
	})
}

func (c *cli) routeGet(ctx context.Context, a *args) error {
	req := &v1.GetRouteRequest{Netns: c.netns}
	for a.more() {
		switch w := a.next(); {
		case w == "from":
			req.From = a.address("from", c.family)
		case w == "iif":
			req.Iif = a.device("iif")
		case w == "dev", w == "oif", unsupportedRouteWord(w):
			a.fail("%q is not supported yet", w)
		default:
			if w == "to" {
				w = a.value("to")
			} else if req.Address != "" {
				a.garbage(w, "to")
			}
			if a.err == nil {
				req.Address = a.toAddress(w, c.family)
			}
		}
	}
	if req.Address == "" {
		a.fail("need at least a destination address: \"route get ADDR\"")
	}
	if err := a.done(); err != nil {
		return err
	}
	got, err := c.client.GetRoute(ctx, req)
	if err != nil {
		return err
	}
	return c.print(routeGetRecord(got.Route, req))
}
