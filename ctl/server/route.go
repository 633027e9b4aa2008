package server

import (
	"context"
	"net/netip"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// routeFilter chooses routes.
type routeFilter struct {
	family             v1.Family
	table              v1.RouteTable
	exact, match, root netip.Prefix
	gateway, src       netip.Addr
	dev                string
	protocol           fib.Protocol
	kind               *fib.Kind
	metric, scope      *uint32
	object             fib.ObjectID
	netns              string
}

func readRouteFilter(f *v1.RouteFilter) (*routeFilter, error) {
	out := &routeFilter{
		family: f.GetFamily(), table: f.GetTable(), dev: f.GetDev(), object: fib.ObjectID(f.GetNhid()),
		netns: f.GetNexthopNetns(),
	}
	if f.GetProtocol() > maxByte {
		return nil, invalid("protocol %d is wrong: it goes up to 255", f.GetProtocol())
	}
	out.protocol = fib.Protocol(f.GetProtocol())
	if f != nil {
		out.metric, out.scope = f.Metric, f.Scope
	}
	for _, p := range []struct {
		text string
		to   *netip.Prefix
	}{{f.GetPrefix(), &out.exact}, {f.GetMatch(), &out.match}, {f.GetRoot(), &out.root}} {
		if p.text == "" {
			continue
		}
		var err error
		if *p.to, err = readPrefix(p.text); err != nil {
			return nil, err
		}
	}
	var err error
	if out.gateway, err = optionalAddr("via", f.GetGateway()); err != nil {
		return nil, err
	}
	if out.src, err = optionalAddr("src", f.GetSrc()); err != nil {
		return nil, err
	}
	if t := f.GetType(); t != v1.RouteType_ROUTE_TYPE_UNSPECIFIED {
		kind, ok := kinds()[t]
		if !ok {
			return nil, invalid("route type %d is unknown", t)
		}
		out.kind = &kind
	}
	return out, nil
}

// readPrefix reads a prefix or an address, and clears host bits.
func readPrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, invalid("any valid prefix is expected rather than %q", s)
	}
	return p.Masked(), nil
}

func (f *routeFilter) wants(r *nstable.RouteInfo) bool {
	p := r.Prefix
	switch {
	case !f.wantsTable(r.InLocalTable()), f.kind != nil && *f.kind != shownKind(r):
		return false
	case f.netns != "" && f.netns != r.Netns:
		return false
	case !inFamily(f.family, p.Addr()):
		return false
	case f.exact.IsValid() && f.exact != p:
		return false
	case f.match.IsValid() && !covers(p, f.match):
		return false
	case f.root.IsValid() && !covers(f.root, p):
		return false
	case (f.gateway.IsValid() || f.dev != "") && (several(r) || len(r.Hops) == 0):
		return false // a route that sends by several is chosen by none of them, as ip(8) has it
	case f.gateway.IsValid() && r.Hops[0].Gateway != f.gateway, f.dev != "" && r.Hops[0].Device != f.dev:
		return false
	case f.src.IsValid() && f.src != r.Source:
		return false
	}
	return (f.protocol == 0 || f.protocol == r.Protocol) && (f.object == 0 || f.object.Number() == r.Object.Number()) &&
		(f.metric == nil || *f.metric == r.Metric) && (f.scope == nil || *f.scope == uint32(r.Scope))
}

// shownKind is the kind that a route is shown as: one that leads into another namespace is unicast.
func shownKind(r *nstable.RouteInfo) fib.Kind {
	if r.Kind == fib.Netns {
		return fib.Unicast
	}
	return r.Kind
}

func (f *routeFilter) wantsTable(local bool) bool {
	switch f.table {
	case v1.RouteTable_ROUTE_TABLE_MAIN:
		return !local
	case v1.RouteTable_ROUTE_TABLE_LOCAL:
		return local
	case v1.RouteTable_ROUTE_TABLE_ALL:
		return true
	}
	return !local || f.kind != nil
}

// covers tells whether all addresses of inner are in outer.
func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// namespaceOf is the namespace that a listing is about, which has the device that was named, if any.
func (s *Server) namespaceOf(ctx context.Context, netns, dev string) (string, error) {
	ns := s.namespace(ctx, netns)
	if dev == "" {
		return ns, nil
	}
	_, err := s.table.Links(ns, dev)
	return ns, err
}

// ListRoutes sends the routes of a namespace that the filter chooses.
func (s *Server) ListRoutes(
	ctx context.Context, req *v1.ListRoutesRequest, stream *connect.ServerStream[v1.ListRoutesResponse],
) error {
	filter, err := readRouteFilter(req.GetFilter())
	if err != nil {
		return apiError(err)
	}
	ns, err := s.namespaceOf(ctx, req.GetNetns(), filter.dev)
	if err != nil {
		return apiError(err)
	}
	out := rows(func(r []*v1.Route) error { return stream.Send(&v1.ListRoutesResponse{Routes: r}) })
	err = s.table.Routes(
		ns,
		nstable.RouteRange{Exact: filter.exact, Match: filter.match, Root: filter.root},
		func(r *nstable.RouteInfo) error {
			if !filter.wants(r) {
				return nil
			}
			return out.add(apiRoute(r))
		},
	)
	if err != nil {
		return apiError(err)
	}
	return out.end()
}

// several tells a route that is shown with each way that it sends by: as in the kernel, an IPv6 one by a group, too.
func several(r *nstable.RouteInfo) bool {
	return len(r.Hops) > 1 || r.Group && len(r.Hops) > 0 && r.Prefix.Addr().Is6()
}

func apiRoute(r *nstable.RouteInfo) *v1.Route {
	out := &v1.Route{
		Type: apiRouteType(r.Kind), Prefix: r.Prefix.String(), Metric: r.Metric, Protocol: uint32(r.Protocol),
		Scope: uint32(r.Scope), Mtu: r.MTU, Nhid: r.Object.Number(),
	}
	if r.Source.IsValid() {
		out.Src = r.Source.String()
	}
	switch {
	case several(r):
		out.Nexthops = apiHops(r.Hops)
	case len(r.Hops) == 1:
		h := &r.Hops[0]
		out.Gateway, out.Dev, out.Onlink = addrString(h.Gateway), h.Device, h.OnLink
		out.Linkdown, out.Dead, out.Recursive, out.Unresolved = h.LinkDown, h.Dead, h.Recursive, h.Unresolved
	case r.Kind == fib.Netns:
		out.NexthopNetns = r.Netns
	case r.Object != 0: // a blackhole is on "lo" in the kernel
		out.Type, out.Dev = v1.RouteType_ROUTE_TYPE_BLACKHOLE, "lo"
	case r.Prefix.Addr().Is6(): // so are all that do not send
		out.Dev = "lo"
	}
	return out
}

func apiHops(hops []nstable.HopInfo) []*v1.RouteHop {
	out := make([]*v1.RouteHop, len(hops))
	for i := range hops {
		out[i] = apiHop(&hops[i])
	}
	return out
}

func apiHop(h *nstable.HopInfo) *v1.RouteHop {
	return &v1.RouteHop{
		Gateway: addrString(h.Gateway), Dev: h.Device, Weight: h.Weight, Onlink: h.OnLink,
		Dead: h.Dead, Linkdown: h.LinkDown, Recursive: h.Recursive, Unresolved: h.Unresolved,
	}
}

// addrString is empty for an address that there is not.
func addrString(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// GetRoute tells what would become of a packet.
func (s *Server) GetRoute(ctx context.Context, req *v1.GetRouteRequest) (*v1.GetRouteResponse, error) {
	addr, err := netip.ParseAddr(req.GetAddress())
	if err != nil || addr.Zone() != "" {
		return nil, apiError(invalid("an address is expected rather than %q", req.GetAddress()))
	}
	from, err := optionalAddr("from", req.GetFrom())
	if err != nil {
		return nil, apiError(err)
	}
	if req.GetProtocol() > maxByte || max(req.GetSourcePort(), req.GetDestinationPort()) > maxPort {
		return nil, apiError(invalid("protocol %d or a port is wrong: they go up to 255 and 65535", req.GetProtocol()))
	}
	if req.GetFlowLabel() > maxLabel {
		return nil, apiError(invalid("flowlabel %#x is wrong: it goes up to %#x", req.GetFlowLabel(), maxLabel))
	}
	ns := s.namespace(ctx, req.GetNetns())
	if from.IsValid() {
		if err := s.checkSource(ns, addr, from, req.GetIif()); err != nil {
			return nil, apiError(err)
		}
	}
	addr = addr.Unmap()
	got, err := s.table.RouteGet(ns, nstable.GetQuery{
		Destination: addr, Source: from, InDevice: req.GetIif(), Protocol: uint8(req.GetProtocol()),
		SourcePort: uint16(req.GetSourcePort()), DestPort: uint16(req.GetDestinationPort()),
		Label: req.GetFlowLabel(),
	})
	if err != nil {
		return nil, apiError(err)
	}
	return getResponse(&got, addr, from, req.GetIif() != ""), nil
}

// The largest port and the largest flow label.
const (
	maxPort  = 1<<16 - 1
	maxLabel = 1<<20 - 1
)

func getResponse(got *nstable.GetInfo, addr, from netip.Addr, received bool) *v1.GetRouteResponse {
	r := apiRoute(&got.Route)
	out := &v1.GetRouteResponse{
		Route: r, Prefix: r.Prefix, Group: uint32(got.Group), Bucket: uint32(got.Bucket), Buckets: uint32(got.Buckets),
		Nexthops: apiHops(got.Route.Hops), Matched: apiRoute(&got.Route),
	}
	for _, p := range got.Through {
		out.Through = append(out.Through, p.String())
	}
	if i := got.Chosen; i >= 0 && i < len(out.Nexthops) {
		out.Nexthops[i].Chosen = true
	}
	r.Prefix = netip.PrefixFrom(addr, addr.BitLen()).String()
	r.Gateway, r.Dev, r.Nexthops = addrString(got.Hop.Gateway), got.Hop.Device, nil
	r.Dead, r.Linkdown, r.Recursive, r.Unresolved = false, false, false, false
	switch {
	case from.IsValid():
		r.Src = from.String()
	case got.Source.IsValid() && !received:
		r.Src = got.Source.String()
	default:
		r.Src = ""
	}
	if got.Neighbor != nil {
		out.Neighbor = apiNeighbor(got.Neighbor, monotonic())
	}
	return out
}

// checkSource refuses a source that the router could not send from: without iif it must be its own.
func (s *Server) checkSource(ns string, addr, from netip.Addr, iif string) error {
	if from.Is4() != addr.Unmap().Is4() {
		return invalid("inet or inet6: %s and %s are not of one family", addr, from)
	}
	if iif != "" {
		return nil
	}
	all, err := s.table.Addresses(ns, "")
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Prefix.Addr() == from {
			return nil
		}
	}
	return invalid(
		"Invalid argument: from %s is no address of the router: say where it is from with \"iif NAME\"",
		from,
	)
}
