package server

import (
	"context"
	"net/netip"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/dataplane/neigh"
	"nsrouter/nstable"
)

func planNeighbor(ns string, n *v1.NeighborChange) (step, error) {
	addr, err := netip.ParseAddr(n.GetAddress())
	if err != nil {
		return step{}, invalid("an address is expected rather than %q", n.GetAddress())
	}
	if n.GetVerb() == v1.Verb_VERB_DELETE {
		return done(func(tx *nstable.Tx) error { return tx.DeleteNeighbor(ns, n.GetDev(), addr) })
	}
	var mac [6]byte
	if n.GetMac() != "" {
		if mac, err = readMAC(n.GetMac()); err != nil {
			return step{}, err
		}
		if mac == [6]byte{} {
			return step{}, invalid("%q is no neighbour's MAC address", n.GetMac())
		}
	}
	state := neigh.Permanent
	if n.GetState() != v1.NeighborState_NEIGHBOR_STATE_UNSPECIFIED {
		var ok bool
		if state, ok = neighStates()[n.GetState()]; !ok {
			return step{}, invalid("nud state %d is bad", n.GetState())
		}
	}
	op := nstable.AddNeighbor
	switch n.GetVerb() {
	case v1.Verb_VERB_ADD:
	case v1.Verb_VERB_REPLACE:
		op = nstable.ReplaceNeighbor
	case v1.Verb_VERB_CHANGE:
		op = nstable.ChangeNeighbor
	default:
		return step{}, invalid("a neighbour can be added, replaced, changed or deleted")
	}
	return done(func(tx *nstable.Tx) error { return tx.SetNeighbor(op, ns, n.GetDev(), addr, mac, state) })
}

// neighborFilter chooses neighbours; permanent ones only by their state, where it is to delete them.
type neighborFilter struct {
	family v1.Family
	within netip.Prefix
	state  v1.NeighborState
}

func readNeighborFilter(family v1.Family, prefix string, state v1.NeighborState) (*neighborFilter, error) {
	f := &neighborFilter{family: family, state: state}
	if prefix != "" {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return nil, invalid("any valid prefix is expected rather than %q", prefix)
		}
		f.within = p.Masked()
	}
	return f, nil
}

func (f *neighborFilter) wants(n *nstable.NeighborInfo) bool {
	return inFamily(f.family, n.Addr) && (!f.within.IsValid() || f.within.Contains(n.Addr)) &&
		(f.state == 0 || f.state == apiNeighStates()[n.State])
}

// planNeighborFlush lists first and deletes then: what the data plane learns meanwhile stays, and what it forgets is no
// fault.
func (s *Server) planNeighborFlush(ns string, flush *v1.NeighborFlush) (step, error) {
	filter, err := readNeighborFilter(flush.GetFamily(), flush.GetPrefix(), flush.GetState())
	if err != nil {
		return step{}, err
	}
	return step{slow: func() error {
		all, err := s.table.Neighbors(ns, flush.GetDev())
		if err != nil {
			return err
		}
		return s.table.Do(func(tx *nstable.Tx) error {
			for i := range all {
				n := &all[i]
				if !filter.wants(n) || n.State == neigh.Permanent && filter.state == 0 {
					continue
				}
				err := tx.DeleteNeighbor(ns, n.Device, n.Addr)
				if err != nil && nstable.KindOf(err) != nstable.NotFound {
					return err
				}
			}
			return nil
		})
	}}, nil
}

// ListNeighbors sends the neighbours of a namespace.
func (s *Server) ListNeighbors(
	ctx context.Context, req *v1.ListNeighborsRequest, stream *connect.ServerStream[v1.ListNeighborsResponse],
) error {
	filter, err := readNeighborFilter(req.GetFamily(), req.GetPrefix(), req.GetState())
	if err != nil {
		return apiError(err)
	}
	all, err := s.table.Neighbors(s.namespace(ctx, req.GetNetns()), req.GetDev())
	if err != nil {
		return apiError(err)
	}
	now := monotonic()
	rows := rows(func(r []*v1.Neighbor) error { return stream.Send(&v1.ListNeighborsResponse{Neighbors: r}) })
	for i := range all {
		if !filter.wants(&all[i]) {
			continue
		}
		if err := rows.add(apiNeighbor(&all[i], now)); err != nil {
			return err
		}
	}
	return rows.end()
}

// monotonic is the clock of the neighbour tables, in nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

func apiNeighbor(n *nstable.NeighborInfo, now int64) *v1.Neighbor {
	out := &v1.Neighbor{Address: n.Addr.String(), Dev: n.Device, State: apiNeighStates()[n.State], Router: n.Router}
	if n.HasMAC {
		out.Mac = macString(n.MAC)
	}
	age := func(at int64) uint64 {
		if at == 0 || now <= at {
			return 0
		}
		return uint64(time.Duration(now - at).Seconds())
	}
	out.Updated, out.Confirmed, out.Used, out.Probes = age(n.Changed), age(n.Confirmed), age(n.Used), n.Probes
	return out
}
