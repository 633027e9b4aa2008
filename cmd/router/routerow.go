package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// routeJSON is a route as "ip -j route show" has it, and with the last fields as "ip -j route get" has it.
type routeJSON struct {
	Type     string          `json:"type,omitempty"`
	Dst      string          `json:"dst"`
	From     string          `json:"from,omitempty"`
	Gateway  string          `json:"gateway,omitempty"`
	Via      *viaJSON        `json:"via,omitempty"`
	Dev      string          `json:"dev,omitempty"`
	Protocol string          `json:"protocol,omitempty"`
	Scope    string          `json:"scope,omitempty"`
	PrefSrc  string          `json:"prefsrc,omitempty"`
	Metric   uint32          `json:"metric,omitempty"`
	Flags    []string        `json:"flags"`
	Metrics  []metricsJSON   `json:"metrics,omitempty"`
	Pref     string          `json:"pref,omitempty"`
	UID      *int            `json:"uid,omitempty"`
	Cache    *[]string       `json:"cache,omitempty"`
	IIF      json.RawMessage `json:"iif,omitempty"`
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
		Dst: p.String(), Dev: r.Dev, PrefSrc: r.Src, Metric: r.Metric, Flags: make([]string, 0, 2),
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

// routeRecord is a route of a listing. As in ip(8), what the filter chose is not repeated, and neither are the usual protocol and
// scope.
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
	if filter.GetType() != 0 {
		o.Type = ""
	}
	if filter.GetMetric() != 0 {
		o.Metric = 0
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
	word("proto ", o.Protocol)
	word("scope ", o.Scope)
	word("src ", o.PrefSrc)
	if o.Metric != 0 {
		fmt.Fprintf(&b, "metric %d ", o.Metric)
	}
	word("", strings.Join(o.Flags, " "))
	if o.UID != nil {
		fmt.Fprintf(&b, "uid %d ", *o.UID)
	}
	if len(o.Metrics) > 0 {
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
		if o.From == "" {
			o.From = "::"
		}
		if r.Protocol != 3 {
			o.Protocol = protocolName(r.Protocol)
		}
		return record{json: o, text: func() string { return routeText(&o) + "\n" }}
	}
	cache := []string{}
	mark := ""
	if r.Type == v1.RouteType_ROUTE_TYPE_LOCAL {
		cache, mark = append(cache, "local"), "<local> "
	}
	o.UID, o.Metric, o.Cache = new(os.Getuid()), 0, &cache
	if req.From != "" {
		o.PrefSrc = ""
	}
	iif := ""
	if req.Iif != "" {
		o.IIF, _ = json.Marshal(req.Iif)
		iif = "iif " + req.Iif + " "
	}
	return record{json: o, text: func() string { return routeText(&o) + "\n    cache " + mark + iif + "\n" }}
}
