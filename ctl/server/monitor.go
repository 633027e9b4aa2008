package server

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
)

// Monitor sends events until the client, or the daemon, goes away.
func (s *Server) Monitor(
	ctx context.Context, req *v1.MonitorRequest, stream *connect.ServerStream[v1.MonitorResponse],
) error {
	objects := req.GetObjects()
	for _, o := range objects {
		if !slices.Contains([]string{"netns", "link", "address", "route", "nexthop", "neighbor"}, o) {
			return apiError(invalid("argument %q is unknown: use netns, link, address, route, nexthop or neighbor", o))
		}
	}
	ns := ""
	if !req.GetAllNetns() {
		ns = s.namespace(ctx, req.GetNetns())
		if _, err := s.table.Namespace(ns); err != nil {
			return apiError(err)
		}
	}
	sub := s.table.Subscribe(ns)
	defer sub.Close()
	if err := stream.Send(&v1.MonitorResponse{}); err != nil {
		return err
	}
	for {
		e, err := sub.Next(ctx)
		if ctx.Err() != nil {
			return nil // who listened, or the daemon, has gone
		}
		if err != nil {
			return apiError(err)
		}
		out, object := apiEvent(&e)
		if out == nil || object != "" && len(objects) > 0 && !slices.Contains(objects, object) {
			continue
		}
		if err := stream.Send(&v1.MonitorResponse{Events: []*v1.Event{out}}); err != nil {
			return err
		}
	}
}

// apiEvent returns an event and the name of its object, or nil.
func apiEvent(e *nstable.Event) (*v1.Event, string) {
	out := &v1.Event{NetnsName: e.Namespace, Deleted: e.Deleted}
	switch e.Kind {
	case nstable.NamespaceEvent:
		out.Object = &v1.Event_Netns{Netns: &v1.Netns{Name: e.Namespace}}
		return out, "netns"
	case nstable.LinkEvent:
		out.Object = &v1.Event_Link{Link: apiLink(e.Link)}
		return out, "link"
	case nstable.AddressEvent:
		out.Object = &v1.Event_Address{Address: &v1.AddressEvent{
			Address: apiAddress(e.Address), Dev: e.Address.Device, Index: uint32(e.Address.Index),
		}}
		return out, "address"
	case nstable.RouteEvent:
		if e.Route.InLocalTable() {
			return nil, ""
		}
		out.Object = &v1.Event_Route{Route: apiRoute(e.Route)}
		return out, "route"
	case nstable.NextHopEvent:
		out.Object = &v1.Event_Nexthop{Nexthop: apiNexthop(e.NextHop)}
		return out, "nexthop"
	case nstable.NeighborEvent:
		out.Object = &v1.Event_Neighbor{Neighbor: apiNeighbor(e.Neighbor, monotonic())}
		return out, "neighbor"
	case nstable.MissedEvent:
		out.Object = &v1.Event_Missed{Missed: e.Missed}
		return out, ""
	}
	return nil, ""
}
