package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

func (c *cli) routeGet(ctx context.Context, a *args) error {
	req := &v1.GetRouteRequest{Netns: c.netns}
	match := false
	for a.more() {
		switch w := a.next(); {
		case w == "fibmatch":
			match = true
		case w == "from":
			req.From = a.address("from", c.family)
		case w == "iif":
			req.Iif = a.device("iif")
		case w == "ipproto":
			req.Protocol = a.ipProtocol()
		case w == "sport":
			req.SourcePort = a.numberUpTo(math.MaxUint16, "sport")
		case w == "dport":
			req.DestinationPort = a.numberUpTo(math.MaxUint16, "dport")
		case w == "flowlabel":
			req.FlowLabel = a.numberUpTo(1<<20-1, "flowlabel")
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
	if match {
		return c.printMatched(ctx, got.Matched)
	}
	return c.print(c.routeGetRecord(got, req))
}

// printMatched prints a route as a listing has it.
func (c *cli) printMatched(ctx context.Context, r *v1.Route) (err error) {
	style := routeStyle{table: c.details || strings.Contains(r.Prefix, ":")} // as ip(8)
	if c.details {
		if style.objects, err = c.nexthopsByID(ctx); err != nil {
			return err
		}
	}
	return c.print(c.routeRecord(r, &style))
}

// ipProtocol reads a protocol of layer 4.
func (a *args) ipProtocol() uint32 {
	switch s := a.value("ipproto"); s {
	case "icmp":
		return 1
	case "tcp":
		return 6
	case "udp":
		return 17
	case "ipv6-icmp", "icmpv6":
		return 58
	case "sctp":
		return 132
	default:
		n, err := strconv.ParseUint(s, 0, 8)
		if err != nil {
			a.fail("argument %q is wrong: \"ipproto\" is tcp, udp, icmp, ipv6-icmp, sctp or a number up to 255", s)
		}
		return uint32(n)
	}
}

// fibJSON explains what was found: the prefix, the next-hop object that its route names, the group of next hops that it
// leads to, the bucket of the packet's flow, all ways of the route, the routes that lead to the gateway if it is no neighbour, and
// the neighbour that the packet is sent to.
type fibJSON struct {
	Prefix   string     `json:"prefix"`
	NhID     uint32     `json:"nhid,omitempty"`
	Group    uint32     `json:"group"`
	Bucket   uint32     `json:"bucket"`
	Buckets  uint32     `json:"buckets"`
	Nexthops []hopJSON  `json:"nexthops,omitempty"`
	Through  []string   `json:"through,omitempty"`
	Neighbor *neighJSON `json:"neighbor,omitempty"`
}

// routeGetRecord is the answer to "route get", which has some fields for IPv4 and others for IPv6.
func (c *cli) routeGetRecord(got *v1.GetRouteResponse, req *v1.GetRouteRequest) record {
	r := got.Route
	o, v6 := routeObject(r)
	o.Dst = req.Address // never "default"
	o.NhID = 0
	o.From = req.From
	o.FIB = c.explain(got, req, v6)
	if c.details {
		o.Type, o.Table = routeTypeName(r.Type), "main"
	}
	cache := ""
	if v6 {
		c.routeGet6(r, &o)
	} else {
		cache = routeGet4(r, req, &o)
	}
	return record{json: o, text: func() string {
		s := routeText(&o) + cache + "\n"
		if c.details {
			s += o.FIB.text()
		}
		return s
	}}
}

// routeGet4 completes an answer for IPv4 and returns its second line.
func routeGet4(r *v1.Route, req *v1.GetRouteRequest, o *routeJSON) string {
	o.Metric, o.Cache = nil, new(cacheFlags(r.Type))
	if req.From != "" {
		o.PrefSrc = ""
	}
	cache := "\n    cache "
	if len(*o.Cache) > 0 {
		cache += "<" + strings.Join(*o.Cache, ",") + "> "
	}
	if r.Mtu != 0 {
		cache += fmt.Sprintf("mtu %d ", r.Mtu)
	}
	if req.Iif != "" {
		o.IIF = req.Iif
		return cache + "iif " + req.Iif + " "
	}
	o.UID = new(os.Getuid())
	return cache
}

func (c *cli) routeGet6(r *v1.Route, o *routeJSON) {
	if o.From == "" {
		o.From = "::"
	}
	if r.Protocol != protocolBoot || c.details {
		o.Protocol = protocolName(r.Protocol)
	}
	if c.details {
		o.Scope = scopeName(r.Scope)
	}
	if inLocalTable(r.Type) {
		o.Table = "local"
	}
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

// explain tells how an answer was found.
func (c *cli) explain(got *v1.GetRouteResponse, req *v1.GetRouteRequest, v6 bool) *fibJSON {
	e := &fibJSON{
		Prefix: got.Prefix, NhID: got.Matched.GetNhid(), Group: got.Group, Bucket: got.Bucket, Buckets: got.Buckets,
		Nexthops: hopObjects(got.Nexthops, v6), Through: got.Through,
	}
	switch {
	case got.Neighbor != nil:
		n := c.neighObject(got.Neighbor)
		e.Neighbor = &n
	case got.Route.Type == v1.RouteType_ROUTE_TYPE_UNICAST && got.Route.NexthopNetns == "":
		n := neighJSON{Dst: got.Route.Gateway, Dev: got.Route.Dev, State: []string{"NONE"}}
		if n.Dst == "" {
			n.Dst = req.Address
		}
		e.Neighbor = &n
	}
	return e
}

func (e *fibJSON) text() string {
	s := "    prefix " + e.Prefix + " "
	if e.NhID != 0 {
		s += fmt.Sprintf("nhid %d ", e.NhID)
	}
	s += fmt.Sprintf("group %d bucket %d of %d %s\n", e.Group, e.Bucket, e.Buckets, hopsText(e.Nexthops))
	if len(e.Through) > 0 {
		s = strings.TrimSuffix(s, "\n") + "\n    gateway by route " + strings.Join(e.Through, " by route ") + "\n"
	}
	if e.Neighbor == nil {
		return s
	}
	s += "    neighbor " + neighText(e.Neighbor)
	if e.Neighbor.State[0] == "NONE" {
		s = strings.TrimSuffix(s, "\n") + "(not resolved yet)\n"
	}
	return s
}
