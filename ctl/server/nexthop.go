package server

import (
	"context"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/fib"
	"nsrouter/nstable"
)

func planNexthop(ns string, n *v1.NexthopChange) (step, error) {
	id := fib.ObjectID(n.GetId())
	if n.GetVerb() == v1.Verb_VERB_DELETE {
		return done(func(tx *nstable.Tx) error { return tx.DeleteNextHop(ns, id) })
	}
	op, ok := routeOp(n.GetVerb())
	if !ok || op == fib.Append {
		return step{}, invalid("a nexthop can be added, replaced, changed or deleted")
	}
	if n.GetProtocol() > maxByte {
		return step{}, invalid("protocol %d is wrong: it goes up to 255", n.GetProtocol())
	}
	spec := nstable.NextHopSpec{
		ID: id, Blackhole: n.GetBlackhole(), Protocol: fib.Protocol(n.GetProtocol()),
		IPv6: n.GetFamily() == v1.Family_FAMILY_IPV6,
		Leg:  nstable.LegSpec{Device: n.GetDev(), OnLink: n.GetOnlink()},
	}
	var err error
	if spec.Leg.Via, err = optionalAddr("via", n.GetGateway()); err != nil {
		return step{}, err
	}
	if n.GetIsGroup() || len(n.GetGroup()) > 0 {
		spec.Members = make([]fib.Member, len(n.GetGroup()))
		for i, m := range n.GetGroup() {
			spec.Members[i] = fib.Member{ID: fib.ObjectID(m.GetId()), Weight: max(1, m.GetWeight())}
		}
	}
	return step{quick: func(tx *nstable.Tx) (int, error) {
		_, err := tx.NextHop(op, ns, spec)
		return 0, err
	}}, nil
}

// nexthopFilter chooses next-hop objects.
type nexthopFilter struct {
	id       fib.ObjectID
	dev      string
	groups   bool
	protocol fib.Protocol
	family   v1.Family
}

func readNexthopFilter(f *v1.NexthopFilter) (*nexthopFilter, error) {
	if f.GetProtocol() > maxByte {
		return nil, invalid("protocol %d is wrong: it goes up to 255", f.GetProtocol())
	}
	return &nexthopFilter{
		id: fib.ObjectID(f.GetId()), dev: f.GetDev(), groups: f.GetGroups(), protocol: fib.Protocol(f.GetProtocol()),
		family: f.GetFamily(),
	}, nil
}

func (f *nexthopFilter) wants(n *nstable.NextHopInfo) bool {
	return (f.id == 0 || f.id.Number() == n.ID.Number()) && (f.dev == "" || f.dev == n.Hop.Device) &&
		(!f.groups || n.IsGroup()) && (f.protocol == 0 || f.protocol == n.Protocol) &&
		(f.family == v1.Family_FAMILY_UNSPECIFIED || !n.IsGroup() && (f.family == v1.Family_FAMILY_IPV6) == n.IPv6)
}

// ListNexthops sends the next-hop objects of a namespace that the filter chooses.
func (s *Server) ListNexthops(
	ctx context.Context, req *v1.ListNexthopsRequest, stream *connect.ServerStream[v1.ListNexthopsResponse],
) error {
	filter, err := readNexthopFilter(req.GetFilter())
	if err != nil {
		return apiError(err)
	}
	ns, err := s.namespaceOf(ctx, req.GetNetns(), filter.dev)
	if err != nil {
		return apiError(err)
	}
	all, err := s.table.NextHops(ns)
	if err != nil {
		return apiError(err)
	}
	out := rows(func(n []*v1.Nexthop) error { return stream.Send(&v1.ListNexthopsResponse{Nexthops: n}) })
	for i := range all {
		if filter.wants(&all[i]) {
			if err := out.add(apiNexthop(&all[i])); err != nil {
				return err
			}
		}
	}
	return out.end()
}

func apiNexthop(n *nstable.NextHopInfo) *v1.Nexthop {
	out := &v1.Nexthop{
		Id: n.ID.Number(), Blackhole: n.Blackhole, Protocol: uint32(n.Protocol), Family: v1.Family_FAMILY_IPV4,
	}
	if n.IPv6 {
		out.Family = v1.Family_FAMILY_IPV6
	}
	for _, m := range n.Members {
		out.Group = append(out.Group, &v1.NexthopMember{Id: m.ID.Number(), Weight: m.Weight})
	}
	if !n.IsGroup() && !n.Blackhole {
		out.Hop = apiHop(&n.Hop)
		out.Scope = uint32(hopScope(n))
	}
	return out
}

// hopScope is the kernel's: a gateway is on a link, and a link without one is, for IPv4, the host's.
func hopScope(n *nstable.NextHopInfo) fib.Scope {
	switch {
	case n.Hop.Recursive:
		return fib.ScopeUniverse
	case !n.Hop.Gateway.IsValid() && !n.IPv6:
		return fib.ScopeHost
	}
	return fib.ScopeLink
}
