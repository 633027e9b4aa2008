package server

import (
	"context"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
)

func monitorKinds() map[string]nstable.EventKind {
	return map[string]nstable.EventKind{
		"netns": nstable.NamespaceEvent, "link": nstable.LinkEvent, "address": nstable.AddressEvent,
		"route": nstable.RouteEvent, "nexthop": nstable.NextHopEvent, "neighbor": nstable.NeighborEvent,
	}
}

// Monitor sends events until the client, or the daemon, goes away. A client that does not read makes nobody else wait: the
// subscription lets events go.
func (s *Server) Monitor(
	ctx context.Context, req *v1.MonitorRequest, stream *connect.ServerStream[v1.MonitorResponse],
) error {
	interest := nstable.Interest{Snapshot: req.GetSnapshot()}
	for _, o := range req.GetObjects() {
		kind, ok := monitorKinds()[o]
		if !ok {
			return apiError(invalid("argument %q is unknown: use netns, link, address, route, nexthop or neighbor", o))
		}
		interest.Kinds = append(interest.Kinds, kind)
	}
	if !req.GetAllNetns() {
		interest.Namespace = s.namespace(ctx, req.GetNetns())
	}
	sub, err := s.table.Subscribe(interest)
	if err != nil {
		return apiError(err)
	}
	defer sub.Close()
	if err := stream.Send(&v1.MonitorResponse{}); err != nil {
		return err
	}
	for {
		events, err := sub.Next(ctx)
		if ctx.Err() != nil {
			return nil // who listened, or the daemon, has gone
		}
		if err != nil {
			return apiError(err)
		}
		out := &v1.MonitorResponse{Events: make([]*v1.Event, len(events))}
		for i := range events {
			out.Events[i] = apiEvent(&events[i])
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
}

func apiEvent(e *nstable.Event) *v1.Event {
	out := &v1.Event{Seq: e.Seq, NetnsName: e.Namespace, Deleted: e.Deleted, Snapshot: e.Snapshot, Was: e.Was}
	switch e.Kind {
	case nstable.NamespaceEvent:
		out.Object = &v1.Event_Netns{Netns: apiNetns(e.Netns)}
	case nstable.LinkEvent:
		out.Object = &v1.Event_Link{Link: apiLink(e.Link)}
	case nstable.AddressEvent:
		out.Object = &v1.Event_Address{Address: &v1.AddressEvent{
			Address: apiAddress(e.Address), Dev: e.Address.Device, Index: uint32(e.Address.Index),
		}}
	case nstable.RouteEvent:
		out.Object = &v1.Event_Route{Route: apiRoute(e.Route)}
	case nstable.NextHopEvent:
		out.Object = &v1.Event_Nexthop{Nexthop: apiNexthop(e.NextHop)}
	case nstable.NeighborEvent:
		out.Object = &v1.Event_Neighbor{Neighbor: apiNeighbor(e.Neighbor, monotonic())}
	case nstable.MissedEvent:
		out.Object = &v1.Event_Missed{Missed: e.Missed}
	case nstable.SnapshotEvent:
		out.Object = &v1.Event_SnapshotEnd{SnapshotEnd: true}
	}
	return out
}
