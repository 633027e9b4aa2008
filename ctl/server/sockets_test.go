package server

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/internal/netns"
)

// TestNamespaceSocket: the socket of a namespace serves it alone, root too, and not another one of its name later.
func TestNamespaceSocket(t *testing.T) {
	s := tenancy(t, Options{})
	who := fmt.Sprintf("user:%d", alice)
	s.must(ownerSet("red", who, v1.Role_ROLE_ADMIN), ownerSet("blue", who, v1.Role_ROLE_ADMIN))
	for name, u := range map[string]peer{"root": {}, "owner": {uid: alice, gid: alice}} {
		c := u.client(t, s.delegated("red.sock"))
		for _, a := range callAttempts() {
			if err := a.do(c, "blue"); !isDenied(err) || !strings.Contains(err.Error(), `serves namespace "red" alone`) &&
				!strings.Contains(err.Error(), "for root") && !strings.Contains(err.Error(), "run it in init") {
				t.Errorf("%s: %s in blue: %v", name, a.name, err)
			}
			if err := a.do(c, ""); (err == nil) != (a.need <= toAdmin) {
				t.Errorf("%s: %s without a namespace: %v", name, a.name, err)
			}
		}
		if _, err := c.Change(t.Context(), netnsAdd("green-"+name)); !isDenied(err) {
			t.Errorf("%s: another namespace: %v", name, err)
		}
		if err := drain(c.ListNetns(t.Context(), &v1.ListNetnsRequest{})); err != nil {
			t.Error(err)
		}
	}
	root := peer{}.client(t, s.delegated("red.sock"))
	if _, err := root.Change(t.Context(), ownerSet("red", "user:1", v1.Role_ROLE_READ)); err != nil {
		t.Errorf("owner by the namespace's socket: %v", err)
	}
	old := peer{uid: alice, gid: alice}.client(t, s.delegated("red.sock"))
	if err := drain(old.ListLinks(t.Context(), &v1.ListLinksRequest{})); err != nil {
		t.Fatal(err)
	}
	s.must(netnsDelete("red"))
	if _, err := os.Lstat(s.delegated("red.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("socket of a deleted namespace: %v", err)
	}
	s.must(netnsAdd("red"), ownerSet("red", who, v1.Role_ROLE_ADMIN))
	if err := drain(old.ListLinks(t.Context(), &v1.ListLinksRequest{})); !isDenied(err) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("old connection: %v", err)
	}
	again := peer{uid: alice, gid: alice}.client(t, s.delegated("red.sock"))
	if err := drain(again.ListLinks(t.Context(), &v1.ListLinksRequest{})); err != nil {
		t.Errorf("new connection: %v", err)
	}
}

// TestInside: a process inside the Linux namespace of a router namespace reads that, and nothing more.
func TestInside(t *testing.T) {
	home, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	cookie, err := home.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	s := tenancy(t, Options{Hosts: &listedHosts{red: cookie}})
	c := peer{uid: alice, gid: alice, from: home}.client(t, s.delegated(SelfSocket))
	for _, a := range slices.Concat(changeAttempts(), callAttempts()) {
		for ns, may := range map[string]bool{"red": a.need <= toRead, "": a.need <= toRead, "blue": false, "init": false} {
			if ns == "" && strings.HasPrefix(a.name, "netns_") {
				continue // these name one
			}
			if err := a.do(c, ns); may && err != nil || !may && !isDenied(err) {
				t.Errorf("%s in %q: %v", a.name, ns, err)
			}
		}
	}
	if got, err := c.IdentifyNetns(t.Context(), &v1.IdentifyNetnsRequest{}); err != nil || got.Netns != "red" {
		t.Errorf("identify: %v, %v", got, err)
	}
}

// TestOwners: what is no owner, and no role, is refused; so is taking away what is not there.
func TestOwners(t *testing.T) {
	s := newService(t)
	s.must(netnsAdd("red"), ownerSet("red", "user:root", v1.Role_ROLE_READ), ownerSet("red", "group:root", v1.Role_ROLE_OPERATE))
	for who, word := range map[string]string{
		"alice": "alice", "user:": "user:", "user:no-such-user": "no-such-user", "group:no-such-group": "no-such-group",
		"user:4294967295": "4294967295", "user:4294967296": "4294967296", "users:1": "users:1", "user:7": "user:7",
	} {
		if _, err := s.client.Change(t.Context(), ownerSet("red", who, v1.Role_ROLE_NONE)); !strings.Contains(fmt.Sprint(err), word) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if _, err := s.client.Change(t.Context(), ownerSet("red", "user:7", 9)); !strings.Contains(fmt.Sprint(err), "role 9") {
		t.Error(err)
	}
	stream, err := s.client.ListNetns(t.Context(), &v1.ListNetnsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for stream.Receive() {
		for _, n := range stream.Msg().Netns {
			for _, o := range n.Owners {
				got = append(got, fmt.Sprint(n.Name, " ", o.Principal, " ", o.Role))
			}
		}
	}
	if want := []string{"red user:root ROLE_READ", "red group:root ROLE_OPERATE"}; !slices.Equal(got, want) {
		t.Errorf("owners %q", got)
	}
}

// TestAudit: each change has a line, with who asked for it and what came of it.
func TestAudit(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := tenancy(t, Options{Audit: zap.New(core)})
	s.must(ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	logs.TakeAll()
	c := s.as(alice)
	if _, err := c.Change(t.Context(), addrAdd("red", "d0", "10.0.0.1/24")); err != nil {
		t.Fatal(err)
	}
	if _, err := batchOf(c, true, dummyAdd("blue", "d3"), routeAdd("red", "10.8.0.0/16", "10.99.0.1"),
		addrAdd("red", "d0", "10.0.0.2/24"), linkUp("red", "d0")); err != nil {
		t.Fatal(err)
	}
	if err := drain(c.ListLinks(t.Context(), &v1.ListLinksRequest{Netns: "red"})); err != nil {
		t.Fatal(err)
	}
	if err := loadOf(c, &v1.LoadRoutesRequest{Netns: "red", Verb: v1.Verb_VERB_ADD, Prefixes: []byte{0, 8, 20},
		Routes: []*v1.RouteChange{{Type: v1.RouteType_ROUTE_TYPE_BLACKHOLE, Prefix: "0.0.0.0/0"}}}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range logs.TakeAll() {
		f := l.ContextMap()
		if f["uid"] != uint32(alice) || f["gid"] != uint32(alice) || f["pid"] != int32(os.Getpid()) || f["comm"] == "" {
			t.Errorf("who: %v", f)
		}
		outcome, _, _ := strings.Cut(fmt.Sprint(f["outcome"]), ":")
		got = append(got, fmt.Sprint(f["netns"], " ", f["what"], " ", outcome))
	}
	want := []string{
		"red map[address:map[cidr:10.0.0.1/24 dev:d0 verb:VERB_ADD]] done",
		"blue map[link_add:map[dummy:map[] name:d3]] Operation not permitted",
		"red map[route:map[gateway:10.99.0.1 prefix:10.8.0.0/16 verb:VERB_ADD]] Nexthop has invalid gateway",
		"red map[address:map[cidr:10.0.0.2/24 dev:d0 verb:VERB_ADD]] done",
		"red map[link_set:map[name:d0 up:true]] done",
		"red map[load_routes:map[applied:1 verb:VERB_ADD whole:false]] done",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("audit:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
