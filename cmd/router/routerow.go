package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// routeJSON is a route as "ip -j route show" has it, and with the last fields as "ip -j route get" has it.
type routeJSON struct {
	Type     string        `json:"type,omitempty"`
	Dst      string        `json:"dst"`
	From     string        `json:"from,omitempty"`
	Gateway  string        `json:"gateway,omitempty"`
	Via      *viaJSON      `json:"via,omitempty"`
	Dev      string        `json:"dev,omitempty"`
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
}

// viaJSON is a gateway of the other family.
type viaJSON struct {
	Family string `json:"family"`
	Host   string `json:"host"`
}

type metricsJSON struct {
	MTU uint32 `json:"mtu"`
}

// routeObject is what all forms have in common.
func routeObject(r *v1.Route) (o routeJSON, v6 bool) {
	p, _ := netip.ParsePrefix(r.Prefix)
	v6 = p.Addr().Is6()
	o = routeJSON{
		Dst: p.String(), Dev: r.Dev, PrefSrc: r.Src, Flags: make([]string, 0, 2),
	}
	if r.Metric != 0 {
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
	if gw, err := netip.ParseAddr(r.Gateway); err == nil && gw.Is6() != v6 {
		o.Via = &viaJSON{"inet6", r.Gateway}
	} else {
		o.Gateway = r.Gateway
	}
	if r.Mtu != 0 {
		o.Metrics = []metricsJSON{{r.Mtu}}
	}
	if r.Onlink {
		o.Flags = append(o.Flags, "onlink")
	}
	if r.Linkdown {
		o.Flags = append(o.Flags, "linkdown")
	}
	if v6 {
		o.Pref = "medium"
	}
	return o, v6
}

// routeRecord is a route of a listing. As in ip(8), what the filter chose is not repeated, and neither are the usual
// protocol and scope.
func (c *cli) routeRecord(r *v1.Route, filter *v1.RouteFilter) record {
	o, v6 := routeObject(r)
	if r.Protocol != 3 || c.details {
		o.Protocol = protocolName(r.Protocol)
	}
	if r.Scope != scopeUniverse && !v6 || c.details {
		o.Scope = scopeName(r.Scope)
	}
	if c.details {
		o.Type = routeTypeName(r.Type)
	}
	if filter.GetDev() != "" {
		o.Dev = ""
	}
	if filter.GetProtocol() != 0 {
		o.Protocol = ""
	}
	if filter.GetGateway() != "" {
		o.Gateway = ""
	}
	if filter.GetMetric() != 0 {
		o.Metric = nil
	}
	return record{json: o, text: func() string { return routeText(&o) + "\n" }}
}

// routeText is the line of a route without its end.
func routeText(o *routeJSON) string {
	var b strings.Builder
	word := func(keyword, value string) {
		if value != "" {
			b.WriteString(keyword + value + " ")
		}
	}
	word("", o.Type)
	word("", o.Dst)
	word("from ", o.From)
	word("via ", o.Gateway)
	if o.Via != nil {
		word("via "+o.Via.Family+" ", o.Via.Host)
	}
	word("dev ", o.Dev)
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
	if o.Pref != "" {
		b.WriteString("pref " + o.Pref) // the last word, and without a blank after it
	}
	return b.String()
}

// routeGetRecord is the answer to "route get", which has some fields for IPv4 and others for IPv6.
func routeGetRecord(r *v1.Route, req *v1.GetRouteRequest) record {
	o, v6 := routeObject(r)
	o.Dst = req.Address // never "default"
	o.From = req.From
	if v6 {
		return routeGet6(r, &o)
	}
	o.Metric, o.Cache = nil, new(cacheFlags(r.Type))
	if req.From != "" {
		o.PrefSrc = ""
	}
	cache := "cache "
	if len(*o.Cache) > 0 {
		cache += "<" + strings.Join(*o.Cache, ",") + "> "
	}
	if r.Mtu != 0 {
		cache += fmt.Sprintf("mtu %d ", r.Mtu)
	}
	if req.Iif != "" {
		o.IIF = req.Iif
		cache += "iif " + req.Iif + " "
	} else {
		o.UID = new(os.Getuid())
	}
	return record{json: o, text: func() string { return routeText(&o) + "\n    " + cache + "\n" }}
}

func routeGet6(r *v1.Route, o *routeJSON) record {
	if o.From == "" {
		o.From = "::"
	}
	if r.Protocol != 3 {
		o.Protocol = protocolName(r.Protocol)
	}
	if r.Type == v1.RouteType_ROUTE_TYPE_LOCAL || r.Type == v1.RouteType_ROUTE_TYPE_ANYCAST {
		o.Table = "local"
	}
	o.Metric = &r.Metric
	return record{json: o, text: func() string { return routeText(o) + "\n" }}
}

// cacheFlags are those of the kernel's answer for IPv4.
func cacheFlags(t v1.RouteType) []string {
	switch t {
	case v1.RouteType_ROUTE_TYPE_LOCAL:
		return []string{"local"}
	case v1.RouteType_ROUTE_TYPE_BROADCAST:
		return []string{"local", "brd"}
	}
	return []string{}
}
