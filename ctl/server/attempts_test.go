package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
)

func ownerSet(ns, who string, role v1.Role) *v1.ChangeRequest {
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsSet{NetnsSet: &v1.NetnsSet{
		Name: ns, Owners: []*v1.NetnsOwner{{Principal: who, Role: role}},
	}}}
}

func netnsSet(ns, name, value string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsSet{NetnsSet: &v1.NetnsSet{
		Name: ns, Settings: []*v1.Setting{{Name: name, Value: value}},
	}}}
}

func linkAdd(ns string, add *v1.LinkAdd) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_LinkAdd{LinkAdd: add}}
}

func linkSet(ns string, set *v1.LinkSet) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_LinkSet{LinkSet: set}}
}

func linkDelete(ns, name string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_LinkDelete{LinkDelete: &v1.LinkDelete{Name: name}}}
}

func vethAdd(ns, name, peerNS, peer string) *v1.ChangeRequest {
	return linkAdd(ns, &v1.LinkAdd{Name: name, Kind: &v1.LinkAdd_Veth{Veth: &v1.VethSpec{PeerNetns: peerNS, PeerName: peer}}})
}

func ref[T any](v T) *T { return &v }

// attempt is something that somebody may try in a namespace.
type attempt struct {
	name string // of the call, or of the change, and what is special
	need right
	do   func(c nsrouterv1connect.RouterServiceClient, ns string) error
}

func change(name string, need right, request func(ns string) *v1.ChangeRequest) attempt {
	return attempt{name, need, func(c nsrouterv1connect.RouterServiceClient, ns string) error {
		_, err := c.Change(context.Background(), request(ns))
		return err
	}}
}

// changeAttempts are all changes, in an order in which they can be made in a namespace that tenants prepares.
func changeAttempts() []attempt { return slices.Concat(ownerChanges(), rootChanges()) }

// ownerChanges are those that an owner may make.
func ownerChanges() []attempt {
	neighbor := func(ns string, verb v1.Verb) *v1.ChangeRequest {
		return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_Neighbor{Neighbor: &v1.NeighborChange{
			Verb: verb, Address: "10.0.0.9", Dev: "d0", Mac: "02:00:00:00:00:09",
		}}}
	}
	return []attempt{
		change("link_set up", toOperate, func(ns string) *v1.ChangeRequest { return linkUp(ns, "d0") }),
		change("neighbor", toOperate, func(ns string) *v1.ChangeRequest { return neighbor(ns, v1.Verb_VERB_REPLACE) }),
		change("neighbor_flush", toOperate, func(ns string) *v1.ChangeRequest {
			return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_NeighborFlush{NeighborFlush: &v1.NeighborFlush{Dev: "d0"}}}
		}),
		change("link_set mtu", toAdmin, func(ns string) *v1.ChangeRequest {
			return linkSet(ns, &v1.LinkSet{Name: "d0", Up: ref(true), Mtu: ref(uint32(1400))})
		}),
		change("link_set setting", toAdmin, func(ns string) *v1.ChangeRequest {
			return linkSet(ns, &v1.LinkSet{Name: "d0", Settings: []*v1.Setting{{Name: "rp-filter", Value: "loose"}}})
		}),
		change("link_add dummy", toAdmin, func(ns string) *v1.ChangeRequest { return dummyAdd(ns, "d1") }),
		change("link_add veth", toAdmin, func(ns string) *v1.ChangeRequest { return vethAdd(ns, "w0", "", "w1") }),
		change("link_add vlan", toAdmin, func(ns string) *v1.ChangeRequest {
			return linkAdd(ns, &v1.LinkAdd{Name: "d0.5", Kind: &v1.LinkAdd_Vlan{Vlan: &v1.VlanSpec{Link: "d0", Id: ref(uint32(5))}}})
		}),
		change("link_set name", toAdmin, func(ns string) *v1.ChangeRequest {
			return linkSet(ns, &v1.LinkSet{Name: "d1", NewName: ref("d2")})
		}),
		change("link_delete", toAdmin, func(ns string) *v1.ChangeRequest { return linkDelete(ns, "d2") }),
		change("address", toAdmin, func(ns string) *v1.ChangeRequest { return addrAdd(ns, "d0", "10.0.0.1/24") }),
		change("route", toAdmin, func(ns string) *v1.ChangeRequest { return routeAdd(ns, "10.5.0.0/16", "10.0.0.9") }),
		change("nexthop", toAdmin, func(ns string) *v1.ChangeRequest {
			return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_Nexthop{Nexthop: &v1.NexthopChange{
				Verb: v1.Verb_VERB_ADD, Id: 7, Gateway: "10.0.0.9",
			}}}
		}),
		change("route_flush", toAdmin, func(ns string) *v1.ChangeRequest {
			return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_RouteFlush{RouteFlush: &v1.RouteFlush{
				Filter: &v1.RouteFilter{Prefix: "10.5.0.0/16"}}}}
		}),
		change("nexthop_flush", toAdmin, func(ns string) *v1.ChangeRequest {
			return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_NexthopFlush{NexthopFlush: &v1.NexthopFlush{}}}
		}),
		change("address_flush", toAdmin, func(ns string) *v1.ChangeRequest {
			return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_AddressFlush{AddressFlush: &v1.AddressFlush{Dev: "d0"}}}
		}),
		change("netns_set", toAdmin, func(ns string) *v1.ChangeRequest { return netnsSet(ns, "martians", "rfc1812") }),
	}
}

// rootChanges are the changes that no owner may make.
func rootChanges() []attempt {
	return []attempt{
		change("netns_set max-routes", toAll, func(ns string) *v1.ChangeRequest { return netnsSet(ns, "max_routes", "0") }),
		change("netns_set devices-max", toAll, func(ns string) *v1.ChangeRequest { return netnsSet(ns, "devices-max", "0") }),
		change("netns_set neigh-max", toAll, func(ns string) *v1.ChangeRequest { return netnsSet(ns, "neigh-max", "100") }),
		change("netns_set punt-rate", toAll, func(ns string) *v1.ChangeRequest { return netnsSet(ns, "punt-rate", "100") }),
		change("netns_set owner", toAll, func(ns string) *v1.ChangeRequest {
			return ownerSet(ns, fmt.Sprintf("user:%d", bob), v1.Role_ROLE_ADMIN)
		}),
		change("link_add xdp", toAll, func(ns string) *v1.ChangeRequest {
			return linkAdd(ns, &v1.LinkAdd{Name: "p9", Kind: &v1.LinkAdd_Xdp{Xdp: &v1.XdpSpec{Host: "h9-" + ns}}})
		}),
		change("link_delete xdp", toAll, func(ns string) *v1.ChangeRequest { return linkDelete(ns, "p1") }),
		change("link_delete veth of another's", toAll, func(ns string) *v1.ChangeRequest { return linkDelete(ns, "v0") }),
		change("link_add veth to another's", toAll, func(ns string) *v1.ChangeRequest { return vethAdd(ns, "v5", "other", "x-"+ns) }),
		change("link_set to another's", toAll, func(ns string) *v1.ChangeRequest {
			return linkSet(ns, &v1.LinkSet{Name: "w0", NewNetns: ref("other"), NewName: ref("y-" + ns)})
		}),
		change("route into another's", toAll, func(ns string) *v1.ChangeRequest {
			r := routeAdd(ns, "10.6.0.0/16", "")
			r.GetRoute().NexthopNetns = "other"
			return r
		}),
		{"netns_set name", toAll, func(c nsrouterv1connect.RouterServiceClient, ns string) error {
			err := renameBy(c, ns, ns+"-x")
			if err == nil {
				err = renameBy(c, ns+"-x", ns)
			}
			return err
		}},
		change("netns_add", toAll, func(ns string) *v1.ChangeRequest { return netnsAdd(ns + "-more") }),
		change("netns_delete", toAll, func(ns string) *v1.ChangeRequest { return netnsDelete(ns) }),
	}
}

func renameBy(c nsrouterv1connect.RouterServiceClient, ns, to string) error {
	_, err := c.Change(context.Background(), &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsSet{NetnsSet: &v1.NetnsSet{
		Name: ns, NewNetns: to,
	}}})
	return err
}

// callAttempts are all calls but Change, in a namespace as the changes find it.
func callAttempts() []attempt {
	background := context.Background()
	type client = nsrouterv1connect.RouterServiceClient
	return []attempt{
		{"ListLinks", toRead, func(c client, ns string) error {
			return drain(c.ListLinks(background, &v1.ListLinksRequest{Netns: ns, Stats: true}))
		}},
		{"ListRoutes", toRead, func(c client, ns string) error {
			return drain(c.ListRoutes(background, &v1.ListRoutesRequest{Netns: ns}))
		}},
		{"ListNexthops", toRead, func(c client, ns string) error {
			return drain(c.ListNexthops(background, &v1.ListNexthopsRequest{Netns: ns}))
		}},
		{"ListNeighbors", toRead, func(c client, ns string) error {
			return drain(c.ListNeighbors(background, &v1.ListNeighborsRequest{Netns: ns}))
		}},
		{"ListDrops", toRead, func(c client, ns string) error {
			return drain(c.ListDrops(background, &v1.ListDropsRequest{Netns: ns}))
		}},
		{"ListDrops of all", toAll, func(c client, ns string) error {
			return drain(c.ListDrops(background, &v1.ListDropsRequest{Netns: ns, AllNetns: true}))
		}},
		{"GetRoute", toRead, func(c client, ns string) error {
			_, err := c.GetRoute(background, &v1.GetRouteRequest{Netns: ns, Address: "127.0.0.1"})
			return err
		}},
		{"Monitor", toRead, func(c client, ns string) error { return monitorBriefly(c, &v1.MonitorRequest{Netns: ns}) }},
		{"Monitor of all", toAll, func(c client, ns string) error {
			return monitorBriefly(c, &v1.MonitorRequest{Netns: ns, AllNetns: true})
		}},
		{"ListPids", toRead, func(c client, ns string) error {
			_, err := c.ListPids(background, &v1.ListPidsRequest{Netns: ns})
			return err
		}},
		{"GetNetnsPath", toAll, func(c client, ns string) error {
			_, err := c.GetNetnsPath(background, &v1.GetNetnsPathRequest{Netns: ns})
			if connect.CodeOf(err) == connect.CodeFailedPrecondition { // there is none in this test
				return nil
			}
			return err
		}},
		{"ListWorkers", toAll, func(c client, _ string) error {
			_, err := c.ListWorkers(background, &v1.ListWorkersRequest{})
			return err
		}},
		{"SetWorker", toAll, func(c client, ns string) error {
			_, err := c.SetWorker(background, &v1.SetWorkerRequest{Queues: []*v1.WorkerQueue{{Netns: ns, Dev: "p1"}}})
			return err
		}},
		{"GetFrames", toAll, func(c client, _ string) error {
			_, err := c.GetFrames(background, &v1.GetFramesRequest{})
			return err
		}},
		{"Batch", toAdmin, func(c client, ns string) error {
			r, err := batchOf(c, false, dummyAdd(ns, "d7"), linkDelete(ns, "d7"))
			if err == nil && len(r.Failures) > 0 {
				return connect.NewError(codeOfText(r.Failures[0].Message), errors.New(r.Failures[0].Message))
			}
			return err
		}},
		{"LoadRoutes", toAdmin, func(c client, ns string) error {
			return loadOf(c, &v1.LoadRoutesRequest{
				Netns: ns, Verb: v1.Verb_VERB_REPLACE, Prefixes: []byte{0, 8, 20},
				Routes: []*v1.RouteChange{{Type: v1.RouteType_ROUTE_TYPE_BLACKHOLE, Prefix: "0.0.0.0/0"}},
			})
		}},
	}
}

// codeOfText is the code of an error of which only the words are told.
func codeOfText(text string) connect.Code {
	if strings.HasPrefix(text, "Operation not permitted: ") {
		return connect.CodePermissionDenied
	}
	return connect.CodeUnknown
}

func batchOf(c nsrouterv1connect.RouterServiceClient, force bool, changes ...*v1.ChangeRequest) (*v1.BatchResponse, error) {
	stream, err := c.Batch(context.Background())
	if err != nil {
		return nil, err
	}
	err = stream.Send(&v1.BatchRequest{Force: force, Changes: changes})
	if err != nil && !errors.Is(err, io.EOF) { // that is refused, and the answer says why
		return nil, err
	}
	return stream.CloseAndReceive()
}

func loadOf(c nsrouterv1connect.RouterServiceClient, parts ...*v1.LoadRoutesRequest) error {
	stream, err := c.LoadRoutes(context.Background())
	if err != nil {
		return err
	}
	for _, p := range parts {
		if stream.Send(p) != nil {
			break // the answer says why
		}
	}
	r, err := stream.CloseAndReceive()
	if err == nil && len(r.Failures) > 0 {
		return connect.NewError(codeOfText(r.Failures[0].Message), errors.New(r.Failures[0].Message))
	}
	return err
}

// monitorBriefly returns when the monitor listens, or is refused.
func monitorBriefly(c nsrouterv1connect.RouterServiceClient, req *v1.MonitorRequest) error {
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	stream, err := c.Monitor(ctx, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	if stream.Receive() {
		return nil
	}
	return stream.Err()
}

// tenancy is a service with the namespaces red, blue and other, alike but for their owners.
func tenancy(t *testing.T, o Options) *service {
	o.Frames = func() *v1.GetFramesResponse { return &v1.GetFramesResponse{} }
	o.SetWorker = func(*v1.SetWorkerRequest) error { return nil }
	s := newServiceWith(t, o)
	s.must(netnsAdd("other"))
	for _, ns := range []string{"red", "blue"} {
		s.must(netnsAdd(ns), dummyAdd(ns, "d0"), vethAdd(ns, "v0", "other", "to-"+ns),
			linkAdd(ns, &v1.LinkAdd{Name: "p1", Kind: &v1.LinkAdd_Xdp{Xdp: &v1.XdpSpec{Host: "h-" + ns}}}))
	}
	return s
}
