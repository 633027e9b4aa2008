package server

import (
	"context"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/dataplane/counters"
	"nsrouter/nstable"
)

// ListDrops sends the devices of one namespace or all, each with what it dropped.
func (s *Server) ListDrops(
	ctx context.Context, req *v1.ListDropsRequest, stream *connect.ServerStream[v1.ListDropsResponse],
) error {
	links, err := s.linksForDrops(ctx, req)
	if err != nil {
		return apiError(err)
	}
	out := rows(func(r []*v1.DeviceDrops) error { return stream.Send(&v1.ListDropsResponse{Devices: r}) })
	for i := range links {
		if err := out.add(deviceDrops(&links[i], req.GetZero())); err != nil {
			return err
		}
	}
	return out.end()
}

func (s *Server) linksForDrops(ctx context.Context, req *v1.ListDropsRequest) ([]nstable.LinkInfo, error) {
	if !req.GetAllNetns() {
		return s.table.Links(s.namespace(ctx, req.GetNetns()), req.GetDev())
	}
	var all []nstable.LinkInfo
	var missing error
	for _, ns := range s.table.Namespaces() {
		links, err := s.table.Links(ns.Name, req.GetDev())
		if err != nil { // the namespace has just gone, or has no such device
			missing = err
			continue
		}
		all = append(all, links...)
	}
	if len(all) == 0 {
		return nil, missing
	}
	return all, nil
}

func deviceDrops(l *nstable.LinkInfo, zero bool) *v1.DeviceDrops {
	var t counters.Totals
	if l.Counters != nil {
		l.Counters.Sum(&t)
	}
	out := &v1.DeviceDrops{
		Netns: l.Namespace, Dev: l.Name,
		Received: t.RxPackets, Forwarded: t.Forwarded, Delivered: t.Delivered, Held: t.Held,
		Suppressed: apiSuppressed(&t),
	}
	for i, n := range t.Drops {
		if n > 0 || zero {
			r := counters.Reason(i)
			out.Drops = append(out.Drops, &v1.DropReason{Reason: r.String(), Packets: n, Explanation: r.Help()})
		}
	}
	return out
}

// apiSuppressed lists the kinds of answers that there were.
func apiSuppressed(t *counters.Totals) []*v1.SuppressedAnswers {
	var out []*v1.SuppressedAnswers
	for k, n := range t.Suppressed {
		if n > 0 {
			out = append(out, &v1.SuppressedAnswers{Kind: counters.Answer(k).String(), Packets: n})
		}
	}
	return out
}
