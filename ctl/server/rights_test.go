package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/nstable"
)

// TestRightsCoverTheService: every call and every change has its entry in the tables, and the tables have no others.
func TestRightsCoverTheService(t *testing.T) {
	table := procedures()
	service := v1.File_nsrouter_v1_router_proto.Services().ByName("RouterService")
	for i := range service.Methods().Len() {
		name := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(i).Name())
		if n := table[name]; n == (need{}) {
			t.Errorf("%s has no entry in procedures: it is refused to everybody", name)
		}
		delete(table, name)
	}
	for name := range table {
		t.Errorf("procedures has %s, which is not there", name)
	}
	ops := changes()
	fields := (&v1.ChangeRequest{}).ProtoReflect().Descriptor().Oneofs().ByName("op").Fields()
	for i := range fields.Len() {
		name := fields.Get(i).Name()
		if ops[name] == nil {
			t.Errorf("change %s has no entry in changes: it is refused to owners", name)
		}
		delete(ops, name)
	}
	for name := range ops {
		t.Errorf("changes has %s, which is not there", name)
	}
}

// TestFailClosed: a call without an entry is refused to root too, a change without one to owners.
func TestFailClosed(t *testing.T) {
	s := newService(t)
	s.must(netnsAdd("red"), ownerSet("red", "user:64001", v1.Role_ROLE_ADMIN))
	delete(s.server.procedures, nsrouterv1connect.RouterServiceGetRouteProcedure)
	delete(s.server.procedures, nsrouterv1connect.RouterServiceListLinksProcedure)
	if _, err := s.client.GetRoute(t.Context(), &v1.GetRouteRequest{Address: "10.0.0.1"}); !isDenied(err) {
		t.Errorf("call without an entry: %v", err)
	}
	if err := drain(s.client.ListLinks(t.Context(), &v1.ListLinksRequest{})); !isDenied(err) {
		t.Errorf("stream without an entry: %v", err)
	}
	delete(s.server.changes, "link_add")
	if _, err := s.as(alice).Change(t.Context(), dummyAdd("red", "d0")); !isDenied(err) {
		t.Errorf("change without an entry: %v", err)
	}
}

func isDenied(err error) bool { return connect.CodeOf(err) == connect.CodePermissionDenied }

// drain reads a stream to its end.
func drain[T any](stream *connect.ServerStreamForClient[T], err error) error {
	if err != nil {
		return err
	}
	for stream.Receive() { // to the end
	}
	return errors.Join(stream.Err(), stream.Close())
}

// TestDelegation: an owner does in the namespace what the role allows, by every call and every change, and nothing anywhere
// else: neither in a namespace that exists nor in one that does not, and is told the same of both.
func TestDelegation(t *testing.T) {
	tried := make(map[string]bool)
	for api, role := range map[v1.Role]right{
		v1.Role_ROLE_NONE: noRight, v1.Role_ROLE_READ: toRead, v1.Role_ROLE_OPERATE: toOperate, v1.Role_ROLE_ADMIN: toAdmin,
	} {
		t.Run(role.String(), func(t *testing.T) {
			s := tenancy(t, Options{})
			// She is known to the router in any case, so that each call is judged by itself.
			s.must(netnsAdd("elsewhere"), ownerSet("elsewhere", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
			if role != noRight {
				s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), api))
			}
			c := s.as(alice)
			for _, a := range slices.Concat(changeAttempts(), callAttempts()) {
				tried[a.name] = true
				before := s.everything()
				blue, void := a.do(c, "blue"), a.do(c, "void")
				if !isDenied(blue) || strings.ReplaceAll(fmt.Sprint(blue), "blue", "void") != fmt.Sprint(void) {
					t.Errorf("%s in namespaces of others: %v; %v", a.name, blue, void)
				}
				if after := s.everything(); after != before {
					t.Errorf("%s was refused and changed something:\n%s\nbefore:\n%s", a.name, after, before)
				}
				err := a.do(c, "red")
				if role >= a.need {
					if err != nil {
						t.Errorf("%s in red: %v", a.name, err)
					}
					continue
				}
				if !isDenied(err) || !strings.Contains(err.Error(), a.need.String()) && a.need != toAll {
					t.Errorf("%s in red: %v", a.name, err)
				}
				if _, err := s.client.Change(t.Context(), dummyAdd("red", "d1")); err == nil { // what the next ones need
					s.must(linkDelete("red", "d1"))
				}
			}
		})
	}
	for name := range procedures() {
		name = name[strings.LastIndex(name, "/")+1:]
		if !tried[name] && !slices.Contains([]string{"Change", "ListNetns", "IdentifyNetns"}, name) { // the last: TestOwnOnly
			t.Errorf("%s was not tried", name)
		}
	}
	for name := range changes() {
		if !slices.ContainsFunc(changeAttempts(), func(a attempt) bool { return strings.Fields(a.name)[0] == string(name) }) {
			t.Errorf("%s was not tried", name)
		}
	}
}

// everything is the state of all namespaces but red.
func (s *service) everything() string { return s.without("red") }

// without is the state of all namespaces but some.
func (s *service) without(names ...string) string {
	var b strings.Builder
	for _, ns := range s.table.Namespaces() {
		if slices.Contains(names, ns.Name) {
			continue
		}
		fmt.Fprintf(&b, "%+v\n", ns)
		links, _ := s.table.Links(ns.Name, "")
		for _, l := range links {
			l.XDP, l.Counters, l.PeerIndex, l.PeerName, l.PeerNamespace = nil, nil, 0, "", ""
			fmt.Fprintf(&b, "%+v\n", l)
		}
		addrs, _ := s.table.Addresses(ns.Name, "")
		nexthops, _ := s.table.NextHops(ns.Name)
		neighbors, _ := s.table.Neighbors(ns.Name, "")
		for i := range neighbors { // what time alone changes
			neighbors[i].Used = 0
		}
		fmt.Fprintf(&b, "%+v\n%+v\n%+v\n", addrs, nexthops, neighbors)
		err := s.table.Routes(ns.Name, nstable.RouteRange{}, func(r *nstable.RouteInfo) error {
			fmt.Fprintf(&b, "%+v\n", *r)
			return nil
		})
		if err != nil {
			s.t.Error(err)
		}
	}
	return b.String()
}

// TestRootMayAll: root and the administrators' group do all that owners may not, by the same sockets.
func TestRootMayAll(t *testing.T) {
	const group = 64099
	for name, who := range map[string]peer{
		"root": {}, "group": {uid: bob, gid: bob, groups: []uint32{7, group}}, "primary group": {uid: bob, gid: group},
	} {
		t.Run(name, func(t *testing.T) {
			s := tenancy(t, Options{AdminGroup: group})
			c := who.client(t, s.delegated(SelfSocket))
			for _, a := range slices.Concat(changeAttempts()[:len(changeAttempts())-1], callAttempts()) {
				if err := a.do(c, "red"); err != nil {
					t.Errorf("%s: %v", a.name, err)
				}
			}
		})
	}
}

// TestStranger: who has no right anywhere is told so, whatever is asked; the main socket is closed to all but root.
func TestStranger(t *testing.T) {
	s := tenancy(t, Options{AdminGroup: 64099})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	c := s.as(bob)
	for _, a := range slices.Concat(changeAttempts(), callAttempts()) {
		if err := a.do(c, "red"); !isDenied(err) || !strings.Contains(err.Error(), "64002 has no right in any namespace") {
			t.Errorf("%s: %v", a.name, err)
		}
	}
	if err := drain(c.ListNetns(t.Context(), &v1.ListNetnsRequest{})); !isDenied(err) {
		t.Errorf("list of namespaces: %v", err)
	}
	if _, err := (peer{uid: alice, gid: alice}).dial(s.socket); !errors.Is(err, os.ErrPermission) {
		t.Errorf("main socket: %v", err)
	}
	for path, mode := range map[string]os.FileMode{
		s.socket: 0o660, s.socket + DelegateSuffix: 0o711, s.delegated("red.sock"): 0o666, s.delegated(SelfSocket): 0o666,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

// TestOwnOnly: what an owner sees names no other namespace, be it in a list, of a peer, of a process, or in an error.
func TestOwnOnly(t *testing.T) {
	s := tenancy(t, Options{})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN),
		linkAdd("red", &v1.LinkAdd{Name: "p1.5", Kind: &v1.LinkAdd_Vlan{Vlan: &v1.VlanSpec{Link: "p1", Id: ref(uint32(5))}}}),
		linkSet("red", &v1.LinkSet{Name: "p1.5", NewNetns: ref("other")}))
	c := s.as(alice)
	names, err := c.ListNetns(t.Context(), &v1.ListNetnsRequest{Stats: true})
	if err != nil {
		t.Fatal(err)
	}
	for names.Receive() {
		for _, n := range names.Msg().Netns {
			if n.Name != "red" || len(n.Owners) != 1 || n.Owners[0].Id != alice {
				t.Errorf("she sees %v", n)
			}
		}
	}
	links, err := c.ListLinks(t.Context(), &v1.ListLinksRequest{Netns: "red"})
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for links.Receive() {
		for _, l := range links.Msg().Links {
			if l.Name == "v0" {
				seen++
				if l.Netns != "red" || l.Peer == nil || l.Peer.Netns != "" || l.Peer.Name != "" || l.Peer.Index == 0 {
					t.Errorf("link %v", l)
				}
			}
		}
	}
	if seen != 1 {
		t.Errorf("she sees v0 %d times", seen)
	}
	for pid, want := range map[uint32]string{1 << 30: "", uint32(os.Getpid()): ""} {
		_, err := c.IdentifyNetns(t.Context(), &v1.IdentifyNetnsRequest{Pid: pid})
		if text := fmt.Sprintf("pid %d: no such process, or it is in no namespace that user 64001 may read", pid); !isDenied(err) ||
			!strings.Contains(err.Error(), text) {
			t.Errorf("process %d: %v, want %q", pid, err, want)
		}
	}
	taken := linkAdd("red", &v1.LinkAdd{Name: "p1.6", Kind: &v1.LinkAdd_Vlan{Vlan: &v1.VlanSpec{Link: "p1", Id: ref(uint32(5))}}})
	_, err = c.Change(t.Context(), taken)
	r, batchErr := batchOf(c, false, taken)
	if batchErr != nil || len(r.Failures) != 1 {
		t.Fatal(r, batchErr)
	}
	for _, text := range []string{fmt.Sprint(err), r.Failures[0].Message} {
		if !strings.Contains(text, "is in another namespace") || strings.Contains(text, "other\"") || strings.Contains(text, "p1.5") {
			t.Errorf("VLAN that is taken: %s", text)
		}
	}
	if _, err = s.client.Change(t.Context(), taken); !strings.Contains(fmt.Sprint(err), "in namespace other") {
		t.Errorf("VLAN that is taken, for root: %v", err)
	}
}

// TestMixedBatch: of a batch that is about several namespaces, what is not allowed is refused alone; a load stays in the
// namespace that it began with.
func TestMixedBatch(t *testing.T) {
	s := tenancy(t, Options{})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	c := s.as(alice)
	before := s.everything()
	r, err := batchOf(c, true, addrAdd("red", "d0", "10.0.0.1/24"), addrAdd("blue", "d0", "10.0.0.1/24"),
		netnsAdd("green"), addrAdd("red", "d0", "10.0.0.2/24"))
	if err != nil || r.Applied != 2 || len(r.Failures) != 2 || r.Failures[0].Index != 1 || r.Failures[1].Index != 2 ||
		codeOfText(r.Failures[0].Message) != connect.CodePermissionDenied {
		t.Errorf("forced batch: %v, %v", r, err)
	}
	r, err = batchOf(c, false, addrAdd("red", "d0", "10.0.0.3/24"), addrAdd("blue", "d0", "10.0.0.1/24"),
		addrAdd("red", "d0", "10.0.0.4/24"))
	if err != nil || r.Applied != 1 || len(r.Failures) != 1 || r.Failures[0].Index != 1 {
		t.Errorf("batch: %v, %v", r, err)
	}
	routes := []*v1.RouteChange{{Type: v1.RouteType_ROUTE_TYPE_BLACKHOLE, Prefix: "0.0.0.0/0"}}
	first := &v1.LoadRoutesRequest{Netns: "red", Verb: v1.Verb_VERB_ADD, Routes: routes, Prefixes: []byte{0, 8, 20}}
	if err := loadOf(c, first, &v1.LoadRoutesRequest{Netns: "blue", Prefixes: []byte{0, 8, 21}}); !isDenied(err) {
		t.Errorf("load that goes on in blue: %v", err)
	}
	if after := s.everything(); after != before {
		t.Errorf("others changed:\n%s\nbefore:\n%s", after, before)
	}
	if addrs, _ := s.table.Addresses("red", "d0"); len(addrs) != 3 {
		t.Errorf("addresses of red: %v", addrs)
	}
}

// TestRevoked: a monitor hears of no other namespace, and ends when the right is taken away.
func TestRevoked(t *testing.T) {
	s := tenancy(t, Options{})
	who := fmt.Sprintf("group:%d", tenants)
	s.must(ownerSet("red", who, v1.Role_ROLE_READ))
	c := peer{uid: alice, gid: alice, groups: []uint32{tenants}}.client(t, s.delegated(SelfSocket))
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	stream, err := c.Monitor(ctx, &v1.MonitorRequest{Netns: "red"})
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	s.must(dummyAdd("blue", "e0"), dummyAdd("red", "e1"))
	if !stream.Receive() {
		t.Fatal(stream.Err())
	}
	if e := stream.Msg().Events[0]; e.NetnsName != "red" || e.GetLink().GetName() != "e1" {
		t.Errorf("event %v", e)
	}
	s.must(ownerSet("red", who, v1.Role_ROLE_NONE), dummyAdd("red", "e2"))
	if stream.Receive() || !isDenied(stream.Err()) {
		t.Errorf("after the right was taken away: %v, %v", stream.Msg(), stream.Err())
	}
}

// TestSnapshotOfOwner: who owns a namespace is told its state, without what belongs to others.
func TestSnapshotOfOwner(t *testing.T) {
	s := tenancy(t, Options{})
	s.must(ownerSet("red", fmt.Sprintf("group:%d", tenants), v1.Role_ROLE_READ))
	c := peer{uid: alice, gid: alice, groups: []uint32{tenants}}.client(t, s.delegated(SelfSocket))
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	stream, err := c.Monitor(ctx, &v1.MonitorRequest{Netns: "red", Snapshot: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for ended := false; !ended && stream.Receive(); {
		for _, e := range stream.Msg().Events {
			if l := e.GetLink(); l != nil {
				names = append(names, l.Name)
				if l.Peer != nil && l.Peer.Netns != "" {
					t.Errorf("the peer of %s is in %q", l.Name, l.Peer.Netns)
				}
			}
			if e.NetnsName != "red" || e.Seq == 0 {
				t.Errorf("event %v", e)
			}
			ended = ended || e.GetSnapshotEnd()
		}
	}
	if slices.Sort(names); !slices.Equal(names, []string{"d0", "lo", "p1", "v0"}) {
		t.Errorf("links %v, %v", names, stream.Err())
	}
	err = monitorBriefly(c, &v1.MonitorRequest{AllNetns: true, Snapshot: true})
	if !isDenied(err) {
		t.Errorf("the state of all: %v", err)
	}
}
