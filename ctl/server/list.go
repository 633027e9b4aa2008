package server

import (
	"context"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/dataplane/counters"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// ListNetns sends the namespaces that the caller may read; inside another one than init, that alone.
func (s *Server) ListNetns(
	ctx context.Context, req *v1.ListNetnsRequest, stream *connect.ServerStream[v1.ListNetnsResponse],
) error {
	out := rows(func(r []*v1.Netns) error { return stream.Send(&v1.ListNetnsResponse{Netns: r}) })
	own := s.caller(ctx)
	for _, ns := range s.table.Namespaces() {
		if own != initNamespace && ns.Name != own || !s.may(ctx, toRead, ns.Name) {
			continue
		}
		n := apiNetns(&ns)
		if req.GetStats() {
			n.Stats = s.netnsStats(ns.Name)
		}
		if err := out.add(n); err != nil {
			return err
		}
	}
	return out.end()
}

func apiNetns(ns *nstable.NamespaceInfo) *v1.Netns {
	return &v1.Netns{Id: uint32(ns.ID), Name: ns.Name, Routes: uint64(ns.Routes),
		Settings: apiSettings(setting.Namespaces, ns.Settings), Owners: apiOwners(ns.Owners)}
}

// netnsStats is nil for a namespace that has just gone.
func (s *Server) netnsStats(name string) *v1.NetnsStats {
	t, err := s.table.NamespaceCounters(name)
	if err != nil {
		return nil
	}
	return &v1.NetnsStats{
		Received: t.RxPackets, Forwarded: t.Forwarded, Delivered: t.Delivered, Held: t.Held, Drops: apiDrops(&t),
		Suppressed: apiSuppressed(&t), LeakedIn: t.LeakedIn, LeakedOut: t.LeakedOut,
	}
}

// apiDrops lists the reasons that there were.
func apiDrops(t *counters.Totals) []*v1.Drop {
	var out []*v1.Drop
	for r, n := range t.Drops {
		if n > 0 {
			out = append(out, &v1.Drop{Reason: counters.Reason(r).String(), Packets: n})
		}
	}
	return out
}

// ListLinks sends the links of a namespace with their addresses.
func (s *Server) ListLinks(
	ctx context.Context, req *v1.ListLinksRequest, stream *connect.ServerStream[v1.ListLinksResponse],
) error {
	ns := s.namespace(ctx, req.GetNetns())
	links, err := s.table.Links(ns, req.GetDev())
	if err != nil {
		return apiError(err)
	}
	if err := checkLinkType(req.GetType()); err != nil {
		return apiError(err)
	}
	addrs, err := s.table.Addresses(ns, req.GetDev())
	if err != nil {
		return apiError(err)
	}
	byIndex := make(map[int][]*v1.Address)
	for i := range addrs {
		byIndex[addrs[i].Index] = append(byIndex[addrs[i].Index], apiAddress(&addrs[i]))
	}
	out := rows(func(r []*v1.Link) error { return stream.Send(&v1.ListLinksResponse{Links: r}) })
	for i := range links {
		l := apiLink(&links[i])
		if req.GetType() != "" && req.GetType() != l.Kind {
			continue
		}
		l.Addresses = byIndex[links[i].Index]
		if req.GetStats() {
			l.Stats = s.linkStats(&links[i])
		}
		if err := out.add(l); err != nil {
			return err
		}
	}
	return out.end()
}

func checkLinkType(kind string) error {
	switch kind {
	case "", kindName(nstable.Loopback), kindName(nstable.XDP), kindName(nstable.Veth), kindName(nstable.Dummy),
		kindName(nstable.VLAN):
		return nil
	}
	return invalid("unknown link type %q: it is xdp, veth, vlan, dummy or loopback", kind)
}

func apiLink(l *nstable.LinkInfo) *v1.Link {
	out := &v1.Link{
		Index: uint32(l.Index), Name: l.Name, Netns: l.Namespace, Kind: kindName(l.Kind),
		Up: l.Up, Carrier: l.Carrier, Mtu: l.MTU, Mac: macString(l.MAC), Settings: apiSettings(setting.Devices, l.Settings),
	}
	if l.Kind == nstable.Veth || l.Kind == nstable.VLAN {
		out.Peer = &v1.LinkPeer{Index: uint32(l.PeerIndex), Name: l.PeerName, Netns: l.PeerNamespace, Up: l.PeerUp}
	}
	if l.Kind == nstable.VLAN {
		out.Vlan = &v1.VlanState{Id: uint32(l.Tag.ID), Protocol: apiVLANProtocol(l.Tag.Protocol)}
	}
	if x := l.XDP; x != nil {
		out.Xdp = &v1.XdpState{
			Host: x.Host, ModeAsked: apiMode(x.Asked), QueuesAsked: uint32(x.QueuesAsked), Queues: uint32(x.Queues),
			Attached: x.Present, StripsTags: x.Strips, MaxMtu: x.MaxMTU,
		}
		if x.Present {
			out.Xdp.ModeObtained = apiMode(x.Mode)
		}
	}
	return out
}

func apiAddress(a *nstable.AddressInfo) *v1.Address {
	return &v1.Address{
		Cidr: a.Prefix.String(), Scope: uint32(a.Scope), Secondary: a.Secondary, Nodad: a.NoDAD, Tentative: a.Tentative,
		Dadfailed: a.DADFailed,
	}
}

func (s *Server) linkStats(l *nstable.LinkInfo) *v1.LinkStats {
	var t counters.Totals
	if l.Counters != nil {
		l.Counters.Sum(&t)
	}
	out := &v1.LinkStats{
		RxPackets: t.RxPackets, RxBytes: t.RxBytes, TxPackets: t.TxPackets, TxBytes: t.TxBytes, RxMulticast: t.Multicast,
		Forwarded: t.Forwarded, Delivered: t.Delivered, Held: t.Held, PartialChecksums: t.PartialSum, Drops: apiDrops(&t),
		Suppressed: apiSuppressed(&t),
	}
	if s.options.Queues != nil && l.Kind == nstable.XDP {
		out.Queues = s.options.Queues(l.ID)
	}
	return out
}

// IdentifyNetns tells the namespace of a process, or of the caller.
func (s *Server) IdentifyNetns(ctx context.Context, req *v1.IdentifyNetnsRequest) (*v1.IdentifyNetnsResponse, error) {
	if req.GetPid() == 0 {
		return &v1.IdentifyNetnsResponse{Netns: s.caller(ctx)}, nil
	}
	name, err := s.identify(req.GetPid())
	if !s.unbound(callerOf(ctx)) && (err != nil || !s.may(ctx, toRead, name)) {
		return nil, denied("pid %d: no such process, or it is in no namespace that %s may read", req.GetPid(), callerOf(ctx))
	}
	if err != nil {
		return nil, connect.NewError(connect.CodeNotFound, err)
	}
	return &v1.IdentifyNetnsResponse{Netns: name}, nil
}

// GetNetnsPath tells where the Linux namespace of a namespace can be opened.
func (s *Server) GetNetnsPath(ctx context.Context, req *v1.GetNetnsPathRequest) (*v1.GetNetnsPathResponse, error) {
	name := s.namespace(ctx, req.GetNetns())
	if _, err := s.table.Namespace(name); err != nil {
		return nil, apiError(err)
	}
	path, err := s.options.Hosts.Path(name)
	if err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return &v1.GetNetnsPathResponse{Netns: name, Path: path}, nil
}

// ListPids tells the processes in a namespace.
func (s *Server) ListPids(ctx context.Context, req *v1.ListPidsRequest) (*v1.ListPidsResponse, error) {
	name := s.namespace(ctx, req.GetNetns())
	if _, err := s.table.Namespace(name); err != nil {
		return nil, apiError(err)
	}
	pids, err := s.options.Hosts.Pids(name)
	if err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	out := &v1.ListPidsResponse{}
	for _, pid := range pids {
		out.Pids = append(out.Pids, uint32(pid))
	}
	return out, nil
}
