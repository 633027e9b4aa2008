package server

import (
	"fmt"
	"testing"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

func routeInto(ns, prefix, netns string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_Route{Route: &v1.RouteChange{
		Verb: v1.Verb_VERB_ADD, Prefix: prefix, NexthopNetns: netns,
	}}}
}

// TestRouteIntoRights: who sends packets into another namespace needs the right to change both, by each call that can do it;
// who may not read that one is not told its name.
func TestRouteIntoRights(t *testing.T) {
	s := tenancy(t, Options{})
	who := fmt.Sprintf("user:%d", alice)
	s.must(ownerSet("red", who, v1.Role_ROLE_ADMIN), ownerSet("blue", who, v1.Role_ROLE_READ))
	c := s.as(alice)
	before := s.everything()
	for _, ns := range []string{"blue", "other", "init", "nowhere"} {
		if _, err := c.Change(t.Context(), routeInto("red", "10.0.0.0/8", ns)); !isDenied(err) {
			t.Errorf("route into %s: %v", ns, err)
		}
		if r, err := batchOf(c, false, routeInto("red", "10.0.0.0/8", ns)); err != nil || len(r.Failures) != 1 {
			t.Errorf("batch into %s: %v %v", ns, r, err)
		}
		load := &v1.LoadRoutesRequest{
			Netns: "red", Verb: v1.Verb_VERB_ADD, Prefixes: []byte{0, 8, 20},
			Routes: []*v1.RouteChange{{Prefix: "0.0.0.0/0", NexthopNetns: ns}},
		}
		if err := loadOf(c, load); !isDenied(err) {
			t.Errorf("load into %s: %v", ns, err)
		}
	}
	if after := s.everything(); after != before {
		t.Errorf("changed:\n%s\nbefore:\n%s", after, before)
	}
	s.must(ownerSet("blue", who, v1.Role_ROLE_ADMIN))
	if _, err := c.Change(t.Context(), routeInto("red", "10.0.0.0/8", "blue")); err != nil {
		t.Errorf("into a namespace of her own: %v", err)
	}
	s.must(routeInto("red", "10.1.0.0/16", "other"))
	for address, want := range map[string]string{"10.0.0.1": "blue", "10.1.0.1": ""} {
		r, err := c.GetRoute(t.Context(), &v1.GetRouteRequest{Netns: "red", Address: address})
		if err != nil || r.Route.GetNexthopNetns() != want {
			t.Errorf("route of %s: %v, %v", address, r, err)
		}
	}
	named := map[string]string{}
	stream, err := c.ListRoutes(t.Context(), &v1.ListRoutesRequest{Netns: "red", Filter: &v1.RouteFilter{Root: "10.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
		for _, r := range stream.Msg().Routes {
			named[r.Prefix] = r.NexthopNetns
		}
	}
	if fmt.Sprint(named) != "map[10.0.0.0/8:blue 10.1.0.0/16:]" || stream.Err() != nil {
		t.Errorf("she sees %v, %v", named, stream.Err())
	}
}
