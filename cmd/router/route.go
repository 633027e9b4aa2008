package main

import (
	"strconv"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const routeUsage = `
router route { add | replace | append | change | delete } [ TYPE ] PREFIX
                [ WAY | nhid ID | nexthop-netns NAME ] [ src ADDR ] [ metric N ] [ proto P ] [ mtu N ] [ scope S ] [ nexthop HOP ] ...
router route show [ SELECTOR ]
router route flush SELECTOR
router route get [ fibmatch ] ADDR [ from ADDR ] [ iif NAME ] [ ipproto P ] [ sport N ] [ dport N ] [ flowlabel N ]
router route import FILE [ TARGET ] [ map { ADDR | PREFIX | default } TARGET ] ... [ peer ADDR ] [ peer-as N ]
                [ proto P ] [ metric N ] [ limit N ] [ partial ] [ replace ]
TYPE := { unicast | blackhole | unreachable | prohibit | local | throw }
WAY := [ via [ inet | inet6 ] ADDR ] [ dev NAME ] [ onlink ]
HOP := WAY [ weight N ]
SELECTOR := [ [ exact ] PREFIX | match ADDR | root PREFIX ] [ dev NAME ] [ proto P ] [ type TYPE ] [ scope S ]
              [ via ADDR ] [ src ADDR ] [ metric N ] [ nhid ID ] [ nexthop-netns NAME ]
              [ table { main | local | all } ]
TARGET := { [ via ADDR ] [ dev NAME ] | nhid ID }
"nexthop-netns NAME" looks the destination up again in the namespace NAME; see docs/namespaces.md.
With -d, "route get" explains which route, next hop and neighbour are meant.
"route import" puts the routes of a table dump (MRT, or a list of prefixes with next hops; gz, bz2; "-" is standard
input), all of them or none, as "proto mrt" if nothing else is said, in place of what is there. Routes go to their next
hop in the file, or where a "map" of it or the first TARGET says. "partial" keeps what comes before damage or a refusal;
"replace" removes the routes of the same protocol that the file does not have.
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
		readRoute(a, c.family, r)
		return &v1.ChangeRequest{Op: &v1.ChangeRequest_Route{Route: r}}
	}
}

// routeWords reads the words of a route.
type routeWords struct {
	*args

	family v1.Family // that the options ask for
	route  *v1.RouteChange
	dst    string
	local  bool // the table is local
	// gateway is the first that was given; plain4 and plain6 are the last of each family that was given without
	// "inet" or "inet6" before it.
	gateway, plain4, plain6 string
}

// readRoute reads the words of a change into r, of which the verb is set.
func readRoute(a *args, family v1.Family, r *v1.RouteChange) {
	w := routeWords{args: a, family: family, route: r}
	for a.more() {
		if word := a.next(); !w.keyword(word) {
			w.target(word)
		}
	}
	w.finish()
}

// keyword reads a keyword and its value, or tells that it is none.
func (w *routeWords) keyword(word string) bool {
	r := w.route
	switch {
	case word == "via":
		r.Gateway = w.via()
	case word == "dev", word == "oif":
		r.Dev = w.device("dev")
	case word == "nexthop":
		w.nexthops()
	case word == "nexthop-netns":
		r.NexthopNetns = w.value("nexthop-netns")
	case word == "nhid":
		r.Nhid = w.id("nhid")
	case word == "src":
		r.Src = w.address("src", w.family)
	case word == "metric", matches(word, "priority") && len(word) > 2, matches(word, "preference") && len(word) > 4:
		r.Metric = new(w.number("metric"))
	case matches(word, "protocol"):
		r.Protocol = w.protocol()
	case word == "mtu":
		if r.Mtu = w.number("mtu"); r.Mtu == 0 {
			w.fail("argument \"0\" is wrong: \"mtu\" takes a number of bytes")
		}
	case word == "scope":
		r.Scope = new(w.scope())
	case word == "onlink":
		r.Onlink = true
	case word == "table":
		w.local = w.table() == v1.RouteTable_ROUTE_TABLE_LOCAL
	case word == "weight":
		w.fail("\"weight\" belongs to a \"nexthop\": nexthop via ADDR dev NAME weight N")
	case unsupportedRouteWord(word):
		w.fail("%q is not supported yet", word)
	default:
		return false
	}
	return true
}

// via reads a gateway and, before it, perhaps its family.
func (w *routeWords) via() string {
	family, said := w.family, false
	if w.more() {
		switch w.peek() {
		case "inet":
			family, said = v1.Family_FAMILY_IPV4, true
		case "inet6":
			family, said = v1.Family_FAMILY_IPV6, true
		}
	}
	if said {
		w.at++
	}
	addr := w.address("via", family)
	if w.gateway == "" {
		w.gateway = addr
	}
	switch {
	case said:
	case strings.Contains(addr, ":"):
		w.plain6 = addr
	default:
		w.plain4 = addr
	}
	return addr
}

// nexthops reads all that comes after the first "nexthop".
func (w *routeWords) nexthops() {
	for more := true; more; {
		if !w.more() {
			w.fail("unexpected end of line after \"nexthop\"")
			return
		}
		w.seen = w.seen[:0]
		hop := &v1.RouteHop{}
		w.route.Nexthops = append(w.route.Nexthops, hop)
		for more = false; w.more() && !more; {
			switch word := w.next(); word {
			case "via":
				hop.Gateway = w.via()
			case "dev":
				hop.Dev = w.device("dev")
			case "weight":
				hop.Weight = w.weight(w.value("weight"))
			case "onlink":
				hop.Onlink = true
			case "nexthop":
				more = true
			case "realms", "encap", "as":
				w.fail("%q is not supported yet", word)
			default:
				w.fail("\"nexthop\" or end of line is expected instead of %q", word)
			}
		}
	}
}

// target reads a word as a type or as the destination.
func (w *routeWords) target(word string) {
	if t := routeType(word); t != 0 {
		w.once("type")
		w.route.Type = t
		return
	}
	if word == "to" {
		word = w.value("to")
	}
	if w.dst != "" {
		if _, err := parsePrefix(w.dst); err != nil && !isDefault(w.dst) {
			w.fail("any valid prefix, or a type of route, is expected rather than %q", w.dst)
		}
		w.garbage(word, "to")
	}
	w.dst = word
}

// finish checks what only all words together tell.
func (w *routeWords) finish() {
	r := w.route
	switch {
	case w.dst == "":
		w.fail("not enough information: the prefix is missing")
	case isDefault(w.dst):
		// "default via 2001:db8::1" means ::/0 without -6, too.
		family := w.family
		if family == 0 && strings.Contains(w.gateway, ":") {
			family = v1.Family_FAMILY_IPV6
		}
		r.Prefix = defaultPrefix(family)
	default:
		r.Prefix = w.toPrefix(w.dst, w.family)
	}
	if len(r.Nexthops) > 0 && r.Scope == nil && r.Verb != v1.Verb_VERB_DELETE {
		r.Scope = new(uint32(scopeUniverse)) // as ip(8), also without gateways
	}
	is6 := strings.Contains(r.Prefix, ":")
	switch {
	case is6 && w.plain4 != "":
		w.fail("inet6 address is expected rather than %q", w.plain4)
	case !is6 && w.plain6 != "":
		w.fail("inet address is expected rather than %q (or say \"via inet6 %s\")", w.plain6, w.plain6)
	case r.NexthopNetns != "" && r.Type != 0 && r.Type != v1.RouteType_ROUTE_TYPE_UNICAST:
		w.fail("\"nexthop-netns\" is for unicast routes: a route of another type is not looked up again")
	case w.local && !inLocalTable(r.Type):
		w.fail("table \"local\" has routes of the type local only, such as \"local %s\"", r.Prefix)
	}
}

// unsupportedRouteWord tells keywords of "ip route add" that must not be taken for a destination.
func unsupportedRouteWord(w string) bool {
	switch w {
	case "weight", "vrf", "tos", "dsfield", "encap", "multicast", "nat", "advmss",
		"expires", "realms", "hoplimit", "window", "cwnd", "initcwnd", "initrwnd", "rtt", "rttvar", "rto_min", "quickack",
		"congctl", "features", "as", "pref", "ttl-propagate", "pervasive", "uid", "mark", "ipproto", "sport", "dport",
		"fibmatch":
		return true
	}
	return false
}

// table reads the value of "table".
func (a *args) table() v1.RouteTable {
	switch s := a.value("table"); s {
	case "main", "254":
		return v1.RouteTable_ROUTE_TABLE_MAIN
	case "local", "255":
		return v1.RouteTable_ROUTE_TABLE_LOCAL
	default:
		a.fail("table %q is not supported yet: a namespace has the tables main and local", s)
		return 0
	}
}

// id is that of a next-hop object after keyword.
func (a *args) id(keyword string) uint32 {
	n := a.number(keyword)
	if n == 0 {
		a.fail("argument \"0\" is wrong: %q takes the id of a nexthop", keyword)
	}
	return n
}

// maxWeight is that of the kernel.
const maxWeight = 256

func (a *args) weight(s string) uint32 {
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil || n == 0 || n > maxWeight {
		a.fail("argument %q is wrong: \"weight\" is invalid, use 1 to %d", s, maxWeight)
	}
	return uint32(n)
}
