package main

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const addrUsage = `
router address { add | replace } CIDR dev NAME [ nodad ]
router address delete CIDR dev NAME
router address flush dev NAME
router address show [ [ dev ] NAME ] [ up ] [ type T ] [ to PREFIX ] [ scope { global | link | host } ]
                    [ [-]secondary ] [ [-]nodad ] [ [-]tentative ] [ [-]dadfailed ]

An IPv6 address is tentative for a second or two, until nobody on the link claims it: then it is used. If another node
has it, it is dadfailed, and not used until the device comes up again. nodad uses an address at once; link set NAME
dad-transmits 0 all addresses of a device.
`

func addrCommands() []command {
	return []command{
		{names: []string{"add"}, change: addrChange(v1.Verb_VERB_ADD)},
		{names: []string{"change", "replace"}, change: addrChange(v1.Verb_VERB_REPLACE)},
		{names: []string{"delete"}, change: addrChange(v1.Verb_VERB_DELETE)},
		{names: []string{"show", "lst", "list"}, run: (*cli).addrShow},
		{names: []string{"flush"}, change: addrFlush},
	}
}

func addrChange(verb v1.Verb) func(*cli, *args) *v1.ChangeRequest {
	return func(c *cli, a *args) *v1.ChangeRequest {
		change := &v1.AddressChange{Verb: verb}
		for a.more() {
			switch w := a.next(); {
			case w == "dev":
				change.Dev = a.device("dev")
			case w == "nodad":
				change.Nodad = true
			case unsupportedAddrWord(w):
				a.fail("%q is not supported yet", w)
			default:
				if w == "local" {
					w = a.value("local")
				} else if change.Cidr != "" {
					a.garbage(w, "local")
				}
				change.Cidr = a.localAddress(w, c.family, verb)
			}
		}
		switch {
		case change.Cidr == "":
			a.fail("not enough information: the address is missing")
		case change.Dev == "":
			a.fail("not enough information: \"dev\" argument is required")
		}
		return &v1.ChangeRequest{Op: &v1.ChangeRequest_Address{Address: change}}
	}
}

// localAddress is an address with its length. To delete one, the length may be left out, and is left out then.
func (a *args) localAddress(s string, family v1.Family, verb v1.Verb) string {
	if isDefault(s) {
		a.fail("any valid address is expected rather than %q", s)
	}
	p := a.toPrefix(s, family)
	if verb == v1.Verb_VERB_DELETE && !strings.Contains(s, "/") {
		p, _, _ = strings.Cut(p, "/")
	}
	return p
}

func unsupportedAddrWord(w string) bool {
	switch w {
	case "peer", "remote", "broadcast", "brd", "anycast", "scope", "label", "metric", "priority",
		"valid_lft", "preferred_lft", "home", "mngtmpaddr", "noprefixroute", "autojoin", "proto":
		return true
	}
	return false
}

func addrFlush(c *cli, a *args) *v1.ChangeRequest {
	flush := &v1.AddressFlush{Family: c.family}
	for a.more() {
		flush.Dev = a.bareDevice(a.next())
	}
	if flush.Dev == "" {
		a.fail("flush requires arguments: \"address flush dev NAME\"")
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_AddressFlush{AddressFlush: flush}}
}

// addrFilter chooses addresses to show. With one, links without such an address are left out.
type addrFilter struct {
	family v1.Family
	to     netip.Prefix
	scope  string
	flags  map[string]bool // whether an address is to have a flag, by its name
}

func (f *addrFilter) set() bool { return f.layer3() || f.scope != "" || len(f.flags) > 0 }

// layer3 tells whether the link's own address is left out too.
func (f *addrFilter) layer3() bool { return f.family != v1.Family_FAMILY_UNSPECIFIED || f.to.IsValid() }

func (f *addrFilter) wants(a *v1.Address) bool {
	p, _ := netip.ParsePrefix(a.Cidr)
	scope := scopeName(a.Scope)
	has := map[string]bool{
		"secondary": a.Secondary, "nodad": a.Nodad, "tentative": a.Tentative, "dadfailed": a.Dadfailed,
	}
	for name, want := range f.flags {
		if has[name] != want {
			return false
		}
	}
	return fits(f.family, p.Addr()) && (!f.to.IsValid() || f.to.Contains(p.Addr())) && (f.scope == "" || f.scope == scope)
}

func (c *cli) addrShow(ctx context.Context, a *args) error {
	req := &v1.ListLinksRequest{Netns: c.netns, Stats: c.stats}
	filter := addrFilter{family: c.family, flags: make(map[string]bool)}
	upOnly := false
	for a.more() {
		switch w := a.next(); w {
		case "up":
			upOnly = true
		case "type":
			req.Type = a.value("type")
		case "to":
			filter.to, _ = netip.ParsePrefix(a.toPrefix(a.value("to"), c.family))
			filter.to = filter.to.Masked()
		case "scope":
			filter.scope = scopeName(a.scope())
		case "secondary", "nodad", "tentative", "dadfailed", "-secondary", "-nodad", "-tentative", "-dadfailed":
			name, not := strings.CutPrefix(w, "-")
			filter.flags[name] = !not
		default:
			req.Dev = a.bareDevice(w)
		}
	}
	if err := a.done(); err != nil {
		return err
	}
	stream, err := c.client.ListLinks(ctx, req)
	if err != nil {
		return err
	}
	return show(c, stream, (*v1.ListLinksResponse).GetLinks, func(l *v1.Link) (record, bool) {
		addrs := addrObjects(l.Name, l.Addresses, &filter)
		bare := !filter.set() && (!c.oneline || c.brief) // a link without addresses is shown too
		return c.addrRecord(l, addrs, filter.layer3()), (l.Up || !upOnly) && (len(addrs) > 0 || bare)
	})
}

// addrJSON is an address as "ip -j addr show" has it; with its link, where that is left out (-o).
type addrJSON struct {
	Index     uint32 `json:"index,omitempty"`
	Dev       string `json:"dev,omitempty"`
	Family    string `json:"family"`
	Local     string `json:"local"`
	PrefixLen int    `json:"prefixlen"`
	Broadcast string `json:"broadcast,omitempty"`
	Scope     string `json:"scope"`
	Secondary bool   `json:"secondary,omitempty"`
	NoDAD     bool   `json:"nodad,omitempty"`
	DADFailed bool   `json:"dadfailed,omitempty"`
	Tentative bool   `json:"tentative,omitempty"`
	Label     string `json:"label,omitempty"`
	Valid     uint32 `json:"valid_life_time"`
	Preferred uint32 `json:"preferred_life_time"`
}

// forever is the lifetime of an address that has no end, in seconds.
const forever = 1<<32 - 1

func addrObject(dev string, a *v1.Address) addrJSON {
	p, _ := netip.ParsePrefix(a.Cidr)
	o := addrJSON{
		Family: "inet6", Local: p.Addr().String(), PrefixLen: p.Bits(), Broadcast: a.Broadcast, Scope: scopeName(a.Scope),
		Secondary: a.Secondary, NoDAD: a.Nodad, DADFailed: a.Dadfailed, Tentative: a.Tentative,
		Valid: forever, Preferred: forever,
	}
	if p.Addr().Is4() {
		o.Family, o.Label = "inet", dev
	}
	return o
}

// addrObjects are the addresses that filter wants in the kernel's order: IPv4, of these the secondary ones last, then
// IPv6, link-local last.
func addrObjects(dev string, addrs []*v1.Address, filter *addrFilter) []addrJSON {
	all := make([]addrJSON, 0, len(addrs))
	for _, a := range addrs {
		if filter.wants(a) {
			all = append(all, addrObject(dev, a))
		}
	}
	rank := func(a addrJSON) int {
		switch {
		case a.Family == "inet" && !a.Secondary:
			return 0
		case a.Family == "inet":
			return 1
		case a.Scope == "link":
			return 3
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b addrJSON) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

func (c *cli) addrRecord(l *v1.Link, addrs []addrJSON, layer3 bool) record {
	o := linkObject(l)
	o.LinkMode = ""
	switch {
	case c.brief:
		return briefAddrs(&o, addrs)
	case c.oneline:
		return addrLines(&o, addrs)
	}
	if layer3 {
		o.LinkType, o.Address, o.Broadcast = "", "", ""
	}
	o.AddrInfo = &addrs
	if l.Stats != nil {
		o.statsJSON = statsObject(l.Stats)
	}
	return record{json: o, text: func() string {
		var b strings.Builder
		b.WriteString(linkHead(&o))
		if !layer3 {
			b.WriteString(linkAddress(&o))
		}
		for _, a := range addrs {
			fmt.Fprintf(&b, "    %s\n       valid_lft forever preferred_lft forever\n", addrText(&a))
		}
		b.WriteString(statsText(l.Stats))
		return b.String()
	}}
}

// addrLines has a line for each address, and none for the link.
func addrLines(o *linkJSON, addrs []addrJSON) record {
	list := struct {
		AddrInfo []addrJSON `json:"addr_info"`
	}{addrs}
	for i := range addrs {
		addrs[i].Index, addrs[i].Dev = o.IfIndex, o.IfName
	}
	return record{json: list, lines: true, text: func() string {
		var b strings.Builder
		for _, a := range addrs {
			fmt.Fprintf(&b, "%d: %s    %s\\       valid_lft forever preferred_lft forever\n", o.IfIndex, o.IfName, addrText(&a))
		}
		return b.String()
	}}
}

func addrText(a *addrJSON) string {
	s := fmt.Sprintf("%s %s/%d ", a.Family, a.Local, a.PrefixLen)
	if a.Broadcast != "" {
		s += "brd " + a.Broadcast + " "
	}
	s += "scope " + a.Scope + " "
	for _, flag := range []struct {
		name string
		set  bool
	}{{"secondary", a.Secondary}, {"nodad", a.NoDAD}, {"dadfailed", a.DADFailed}, {"tentative", a.Tentative}} {
		if flag.set {
			s += flag.name + " "
		}
	}
	return s + a.Label
}

func briefAddrs(o *linkJSON, addrs []addrJSON) record {
	short := make([]briefAddr, len(addrs))
	for i, a := range addrs {
		short[i] = briefAddr{a.Local, a.PrefixLen}
	}
	b := briefJSON{Link: o.Link, LinkIndex: o.LinkIndex, IfName: o.IfName, OperState: o.OperState, AddrInfo: &short}
	return record{json: b, text: func() string {
		s := briefHead(o)
		for _, a := range short {
			s += fmt.Sprintf("%s/%d ", a.Local, a.PrefixLen)
		}
		return s + "\n"
	}}
}

// scopes of rtnetlink that have a name.
const (
	scopeUniverse = 0
	scopeSite     = 200
	scopeLink     = 253
	scopeHost     = 254
	scopeNowhere  = 255
)

func scopeName(n uint32) string {
	switch n {
	case scopeUniverse:
		return "global"
	case scopeSite:
		return "site"
	case scopeLink:
		return "link"
	case scopeHost:
		return "host"
	case scopeNowhere:
		return "nowhere"
	}
	return strconv.FormatUint(uint64(n), 10)
}

func (a *args) scope() uint32 {
	s := a.value("scope")
	for _, n := range []uint32{scopeUniverse, scopeSite, scopeLink, scopeHost, scopeNowhere} {
		if s == scopeName(n) {
			return n
		}
	}
	n, err := strconv.ParseUint(s, 0, 8)
	if err != nil {
		a.fail("argument %q is wrong: \"scope\" is global, link, host or a number", s)
	}
	return uint32(n)
}
