package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// routeJSON is a route as "ip -j route show" has it, and with the last fields as "ip -j route get" has it.
type routeJSON struct {
	Type string `json:"type,omitempty"`
	Dst  string `json:"dst"`
	From string `json:"from,omitempty"`
	NhID uint32 `json:"nhid,omitempty"`
	wayJSON
	Netns    string        `json:"nexthop_netns,omitempty"`
	Table    string        `json:"table,omitempty"`
	Protocol string        `json:"protocol,omitempty"`
	Scope    string        `json:"scope,omitempty"`
	PrefSrc  string        `json:"prefsrc,omitempty"`
	Metric   *uint32       `json:"metric,omitempty"`
	Flags    []string      `json:"flags"`
	Metrics  []metricsJSON `json:"metrics,omitempty"`
	Pref     string        `json:"pref,omitempty"`
	UID      *int          `json:"uid,omitempty"`
	Cache    *[]string     `json:"cache,omitempty"`
	IIF      string        `json:"iif,omitempty"`
	NhInfo   *nexthopJSON  `json:"nh_info,omitempty"`
	Nexthops []hopJSON     `json:"nexthops,omitempty"`
	FIB      *fibJSON      `json:"fib,omitempty"`
}

// wayJSON is by what packets are sent.
type wayJSON struct {
	Gateway string   `json:"gateway,omitempty"`
	Via     *viaJSON `json:"via,omitempty"`
	Dev     string   `json:"dev,omitempty"`
}

// viaJSON is a gateway of the other family.
type viaJSON struct {
	Family string `json:"family"`
	Host   string `json:"host"`
}

// hopJSON is one of several ways of a route.
type hopJSON struct {
	wayJSON
	Weight uint32   `json:"weight"`
	Flags  []string `json:"flags"`
	Chosen bool     `json:"chosen,omitempty"`
}

type metricsJSON struct {
	MTU uint32 `json:"mtu"`
}

// wayObject is a gateway and device of a route for packets of IPv6 or not.
func wayObject(gateway, dev string, v6 bool) wayJSON {
	o := wayJSON{Dev: dev}
	if !v6 && strings.Contains(gateway, ":") {
		o.Via = &viaJSON{"inet6", gateway}
	} else {
		o.Gateway = gateway
	}
	return o
}

// hopFlags are those that the kernel gives a next hop, in iproute2's order, and the router's own. A device that is down
// has no link either.
func hopFlags(dead, onlink, linkdown, unresolved, recursive bool) []string {
	flags := make([]string, 0, 2)
	for _, f := range [...]struct {
		set  bool
		name string
	}{
		{dead, "dead"}, {onlink, "onlink"}, {dead || linkdown, "linkdown"},
		{unresolved, "unresolved"}, {recursive, "recursive"},
	} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	return flags
}

func hopObjects(hops []*v1.RouteHop, v6 bool) []hopJSON {
	var out []hopJSON
	for _, h := range hops {
		out = append(out, hopJSON{
			wayJSON: wayObject(h.Gateway, h.Dev, v6), Weight: max(1, h.Weight),
			Flags: hopFlags(h.Dead, h.Onlink, h.Linkdown, h.Unresolved, h.Recursive), Chosen: h.Chosen,
		})
	}
	return out
}

// routeObject is what all forms have in common.
func routeObject(r *v1.Route) (o routeJSON, v6 bool) {
	p, _ := netip.ParsePrefix(r.Prefix)
	v6 = p.Addr().Is6()
	o = routeJSON{
		Dst: r.Prefix, NhID: r.Nhid, wayJSON: wayObject(r.Gateway, r.Dev, v6), PrefSrc: r.Src, Netns: r.NexthopNetns,
		Flags: hopFlags(r.Dead, r.Onlink, r.Linkdown, r.Unresolved, r.Recursive), Nexthops: hopObjects(r.Nexthops, v6),
	}
	if r.Metric != 0 || v6 {
		o.Metric = &r.Metric
	}
	switch {
	case p.Bits() == 0:
		o.Dst = "default"
	case p.IsSingleIP():
		o.Dst = p.Addr().String()
	}
	if r.Type != v1.RouteType_ROUTE_TYPE_UNICAST {
		o.Type = routeTypeName(r.Type)
	}
	usable := func(h *v1.RouteHop) bool { return !h.Linkdown && !h.Dead }
	if !v6 && len(r.Nexthops) > 0 && !slices.ContainsFunc(r.Nexthops, usable) {
		o.Flags = append(o.Flags, "linkdown") // the kernel tells it of the route, too
	}
	if r.Mtu != 0 {
		o.Metrics = []metricsJSON{{r.Mtu}}
	}
	if v6 {
		o.Pref = "medium"
	}
	return o, v6
}

// routeStyle says how the routes of a listing are shown.
type routeStyle struct {
	filter  *v1.RouteFilter // what it chose is not repeated; nil: nothing
	table   bool            // say the table
	objects map[uint32]*v1.Nexthop
}

// routeRecord is a route of a listing. As in ip(8), what the filter chose is not repeated, and neither are the usual
// protocol and scope.
func (c *cli) routeRecord(r *v1.Route, style *routeStyle) record {
	o, v6 := routeObject(r)
	if r.Protocol != protocolBoot || c.details {
		o.Protocol = protocolName(r.Protocol)
	}
	if r.Scope != scopeUniverse && !v6 || c.details {
		o.Scope = scopeName(r.Scope)
	}
	if c.details {
		o.Type = routeTypeName(r.Type)
	}
	switch {
	case style.table && inLocalTable(r.Type):
		o.Table = "local"
	case style.table && c.details:
		o.Table = "main"
	}
	if object := style.objects[r.Nhid]; object != nil {
		o.NhInfo = c.nexthopObject(object)
	}
	f := style.filter
	if f.GetDev() != "" {
		o.Dev = ""
	}
	if f.GetProtocol() != 0 {
		o.Protocol = ""
	}
	if f.GetGateway() != "" {
		o.Gateway, o.Via = "", nil
	}
	if f.GetNexthopNetns() != "" {
		o.Netns = ""
	}
	if f.GetSrc() != "" {
		o.PrefSrc = ""
	}
	if f != nil && f.Scope != nil {
		o.Scope = ""
	}
	if f.GetMetric() != 0 {
		o.Metric = nil
	}
	return record{json: o, text: func() string { return routeText(&o) + "\n" }}
}

// routeText is the text of a route without its end: a line, and one more for each of several ways.
func routeText(o *routeJSON) string {
	var b strings.Builder
	word := func(keyword, value string) {
		if value != "" {
			b.WriteString(keyword)
			b.WriteString(value)
			b.WriteByte(' ')
		}
	}
	word("", o.Type)
	word("", o.Dst)
	word("from ", o.From)
	if o.NhID != 0 {
		fmt.Fprintf(&b, "nhid %d ", o.NhID)
	}
	b.WriteString(wayText(&o.wayJSON))
	word("nexthop-netns ", o.Netns)
	word("table ", o.Table)
	word("proto ", o.Protocol)
	word("scope ", o.Scope)
	word("src ", o.PrefSrc)
	if o.Metric != nil {
		fmt.Fprintf(&b, "metric %d ", *o.Metric)
	}
	word("", strings.Join(o.Flags, " "))
	if o.UID != nil {
		fmt.Fprintf(&b, "uid %d ", *o.UID)
	}
	if o.Cache == nil && len(o.Metrics) > 0 {
		fmt.Fprintf(&b, "mtu %d ", o.Metrics[0].MTU)
	}
	word("pref ", o.Pref)
	s := b.String()
	if o.Pref != "" {
		s = s[:len(s)-1] // the last word, and without a blank after it
	}
	if o.NhInfo != nil {
		s += "\n\tnh_info " + nexthopText(o.NhInfo)
	}
	return s + hopsText(o.Nexthops)
}

func wayText(o *wayJSON) string {
	s := ""
	switch {
	case o.Via != nil:
		s = "via " + o.Via.Family + " " + o.Via.Host + " "
	case o.Gateway != "":
		s = "via " + o.Gateway + " "
	}
	if o.Dev != "" {
		s += "dev " + o.Dev + " "
	}
	return s
}

func hopsText(hops []hopJSON) string {
	var b strings.Builder
	for i := range hops {
		h := &hops[i]
		fmt.Fprintf(&b, "\n\tnexthop %sweight %d ", wayText(&h.wayJSON), h.Weight)
		for _, f := range h.Flags {
			b.WriteString(f + " ")
		}
		if h.Chosen {
			b.WriteString("chosen ")
		}
	}
	return b.String()
}
