package server

import (
	"context"
	"net/netip"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// step is a change that was understood. One of the two is set.
type step struct {
	ns  string // that of the request, or of who makes it
	req *v1.ChangeRequest
	// quick changes the table only, so that many can share a transaction. It returns how many objects a flush removed.
	quick func(*nstable.Tx) (int, error)
	// slow may wait for host interfaces.
	slow func() error
}

// Change makes one change.
func (s *Server) Change(ctx context.Context, req *v1.ChangeRequest) (*v1.ChangeResponse, error) {
	ns := s.namespace(ctx, req.Netns)
	removed, err := s.change(ctx, ns, req)
	s.audit(ctx, ns, req, err)
	s.auditDone()
	if err != nil {
		return nil, apiError(err)
	}
	s.options.Settle(ctx)
	return &v1.ChangeResponse{Removed: uint64(removed)}, nil
}

// change judges and makes a change, and tells how many objects a flush removed.
func (s *Server) change(ctx context.Context, ns string, req *v1.ChangeRequest) (removed int, err error) {
	defer s.holdRights(ctx)()
	if err := s.judgeChange(ctx, ns, req); err != nil {
		return 0, err
	}
	st, err := s.plan(ns, req)
	if err != nil {
		return 0, err
	}
	if st.slow != nil {
		return 0, st.slow()
	}
	err = s.table.Do(func(tx *nstable.Tx) (err error) {
		removed, err = st.quick(tx)
		return err
	})
	return removed, err
}

// plan reads a change. Nothing is looked up yet: an earlier change of the same batch may make what this one names.
func (s *Server) plan(ns string, req *v1.ChangeRequest) (step, error) {
	switch op := req.Op.(type) {
	case *v1.ChangeRequest_NetnsAdd:
		values, err := readSettings(setting.Namespaces, op.NetnsAdd.GetSettings())
		return step{slow: func() error { return s.addNamespace(op.NetnsAdd.GetName(), values) }}, err
	case *v1.ChangeRequest_NetnsDelete:
		return step{slow: func() error { return s.deleteNamespace(op.NetnsDelete.GetName()) }}, nil
	case *v1.ChangeRequest_LinkAdd:
		spec, err := linkSpec(op.LinkAdd)
		return step{slow: func() error { _, err := s.table.AddLink(ns, spec); return err }}, err
	case *v1.ChangeRequest_LinkSet:
		change, err := linkChange(op.LinkSet)
		return step{slow: func() error { return s.table.SetLink(ns, op.LinkSet.GetName(), change) }}, err
	case *v1.ChangeRequest_LinkDelete:
		return step{slow: func() error { return s.table.DeleteLink(ns, op.LinkDelete.GetName()) }}, nil
	case *v1.ChangeRequest_Address:
		return planAddress(ns, op.Address)
	case *v1.ChangeRequest_AddressFlush:
		flush := op.AddressFlush
		return step{quick: func(tx *nstable.Tx) (int, error) {
			return tx.FlushAddresses(ns, flush.GetDev(), func(a nstable.AddressInfo) bool {
				return inFamily(flush.GetFamily(), a.Prefix.Addr())
			})
		}}, nil
	case *v1.ChangeRequest_Route:
		return planRoute(ns, op.Route)
	case *v1.ChangeRequest_RouteFlush:
		filter, err := readRouteFilter(op.RouteFlush.GetFilter())
		return step{quick: func(tx *nstable.Tx) (int, error) { return tx.FlushRoutes(ns, filter.wants) }}, err
	case *v1.ChangeRequest_Nexthop:
		return planNexthop(ns, op.Nexthop)
	case *v1.ChangeRequest_NexthopFlush:
		filter, err := readNexthopFilter(op.NexthopFlush.GetFilter())
		return step{quick: func(tx *nstable.Tx) (int, error) { return tx.FlushNextHops(ns, filter.wants) }}, err
	case *v1.ChangeRequest_NetnsSet:
		return s.planNetnsSet(op.NetnsSet)
	case *v1.ChangeRequest_Neighbor:
		return planNeighbor(ns, op.Neighbor)
	case *v1.ChangeRequest_NeighborFlush:
		return s.planNeighborFlush(ns, op.NeighborFlush)
	}
	return step{}, invalid("the change says nothing to do")
}

// done is a step that removes nothing.
func done(f func(*nstable.Tx) error) (step, error) {
	return step{quick: func(tx *nstable.Tx) (int, error) { return 0, f(tx) }}, nil
}

func linkSpec(add *v1.LinkAdd) (nstable.LinkSpec, error) {
	spec := nstable.LinkSpec{Name: add.GetName(), MTU: add.GetMtu()}
	if add.Mtu != nil && spec.MTU == 0 {
		return spec, invalid("argument \"0\" is wrong: \"mtu\" takes a number of bytes")
	}
	switch kind := add.GetKind().(type) {
	case *v1.LinkAdd_Xdp:
		x := kind.Xdp
		spec.Kind = nstable.XDP
		mode, ok := modes()[x.GetMode()]
		if !ok {
			return spec, invalid("mode %d is unknown: use auto, zerocopy, copy or generic", x.GetMode())
		}
		if x.GetQueues() > maxQueues {
			return spec, invalid("queues %d are too many: %d at most", x.GetQueues(), maxQueues)
		}
		spec.XDP = nstable.XDPSpec{Host: x.GetHost(), Mode: mode, Queues: int(x.GetQueues()), Force: x.GetForce()}
	case *v1.LinkAdd_Veth:
		spec.Kind, spec.Peer, spec.PeerNamespace = nstable.Veth, kind.Veth.GetPeerName(), kind.Veth.GetPeerNetns()
	case *v1.LinkAdd_Dummy:
		spec.Kind = nstable.Dummy
	case *v1.LinkAdd_Vlan:
		if err := vlanSpec(&spec, kind.Vlan); err != nil {
			return spec, err
		}
	default:
		return spec, invalid("not enough information: the type of link %q is missing: xdp, veth, vlan or dummy", spec.Name)
	}
	if add.Mac != nil {
		mac, err := readMAC(*add.Mac)
		spec.MAC = &mac
		return spec, err
	}
	return spec, nil
}

func vlanSpec(spec *nstable.LinkSpec, v *v1.VlanSpec) error {
	protocol, ok := vlanProtocols()[v.GetProtocol()]
	switch {
	case v.GetLink() == "":
		return invalid("link not specified: say what the VLAN device %s is on", spec.Name)
	case v.Id == nil:
		return invalid("VLAN id not specified")
	case v.GetId() > nstable.MaxVLAN:
		return invalid("Invalid VLAN id: %d, an id is 0 to %d", v.GetId(), nstable.MaxVLAN)
	case !ok:
		return invalid("VLAN protocol %d is unknown: use 802.1q or 802.1ad", v.GetProtocol())
	}
	spec.Kind, spec.Lower = nstable.VLAN, v.GetLink()
	spec.Tag = nstable.Tag{Protocol: protocol, ID: uint16(v.GetId())}
	return nil
}

// maxQueues is far beyond what any interface has.
const maxQueues = 4096

func linkChange(set *v1.LinkSet) (nstable.LinkChange, error) {
	c := nstable.LinkChange{Up: set.Up, MTU: set.GetMtu(), Name: set.GetNewName(), Namespace: set.GetNewNetns()}
	settings, err := readSettings(setting.Devices, set.GetSettings())
	c.Settings = settings
	switch {
	case err != nil:
		return c, err
	case set.Mtu != nil && c.MTU == 0:
		return c, invalid("argument \"0\" is wrong: \"mtu\" takes a number of bytes")
	case set.NewName != nil && c.Name == "":
		return c, invalid("\"\" is not a valid ifname")
	case set.NewNetns != nil && c.Namespace == "":
		return c, invalid("the name of the namespace to move to is empty")
	case set.Mac != nil:
		mac, err := readMAC(set.GetMac())
		c.MAC = &mac
		return c, err
	}
	return c, nil
}

func planAddress(ns string, a *v1.AddressChange) (step, error) {
	if addr, err := netip.ParseAddr(a.GetCidr()); err == nil && a.GetVerb() == v1.Verb_VERB_DELETE {
		return done(func(tx *nstable.Tx) error { return deleteAnyLength(tx, ns, a.GetDev(), addr) })
	}
	p, err := netip.ParsePrefix(a.GetCidr())
	if err != nil {
		return step{}, invalid("any valid address with a prefix length is expected rather than %q", a.GetCidr())
	}
	spec := nstable.AddressSpec{Prefix: p, NoDAD: a.GetNodad()}
	switch a.GetVerb() {
	case v1.Verb_VERB_ADD:
		return done(func(tx *nstable.Tx) error { return tx.AddAddress(ns, a.GetDev(), spec) })
	case v1.Verb_VERB_REPLACE, v1.Verb_VERB_CHANGE:
		return done(func(tx *nstable.Tx) error { return tx.ReplaceAddress(ns, a.GetDev(), spec) })
	case v1.Verb_VERB_DELETE:
		return done(func(tx *nstable.Tx) error { return tx.DeleteAddress(ns, a.GetDev(), p) })
	}
	return step{}, invalid("an address can be added, replaced or deleted")
}

// deleteAnyLength deletes an address whatever its prefix length: the first of that address, as "ip addr del ADDR" does.
func deleteAnyLength(tx *nstable.Tx, ns, dev string, addr netip.Addr) error {
	first := true
	n, err := tx.FlushAddresses(ns, dev, func(a nstable.AddressInfo) bool {
		match := first && a.Prefix.Addr() == addr
		first = first && !match
		return match
	})
	if err == nil && n == 0 {
		err = tx.DeleteAddress(ns, dev, netip.PrefixFrom(addr, addr.BitLen())) // knows how to say that it is not there
	}
	return err
}
