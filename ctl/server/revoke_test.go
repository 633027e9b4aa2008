package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/nstable"
)

// slowPorts configure an interface when they are told to go on.
type slowPorts struct {
	pretendPorts
	configuring, goOn chan struct{}
}

func (p slowPorts) Configure(_ nstable.DeviceID, c nstable.PortConfig) error {
	if c.MTU == 1400 {
		p.configuring <- struct{}{}
		<-p.goOn
	}
	return nil
}

// TestRevokeWaits: when the command that takes a right away has returned, nothing that the owner was allowed is under way: what
// waits for a driver is waited for.
func TestRevokeWaits(t *testing.T) {
	ports := slowPorts{configuring: make(chan struct{}), goOn: make(chan struct{})}
	s := newServiceOver(t, nstable.Options{Ports: ports}, Options{})
	who := fmt.Sprintf("user:%d", alice)
	s.must(netnsAdd("red"), ownerSet("red", who, v1.Role_ROLE_ADMIN),
		linkAdd("red", &v1.LinkAdd{Name: "p1", Kind: &v1.LinkAdd_Xdp{Xdp: &v1.XdpSpec{Host: "h"}}}))
	c, slow := s.as(alice), make(chan error, 1)
	go func() {
		_, err := c.Change(t.Context(), linkSet("red", &v1.LinkSet{Name: "p1", Mtu: new(uint32(1400))}))
		slow <- err
	}()
	<-ports.configuring
	revoked := make(chan error, 1)
	go func() {
		_, err := s.client.Change(t.Context(), ownerSet("red", who, v1.Role_ROLE_NONE))
		revoked <- err
	}()
	select {
	case err := <-revoked:
		t.Errorf("the right was taken away while it was in use: %v", err)
		revoked <- err
	case <-time.After(100 * time.Millisecond):
	}
	close(ports.goOn)
	if err := <-slow; err != nil {
		t.Errorf("the change that was allowed: %v", err)
	}
	if err := <-revoked; err != nil {
		t.Errorf("taking the right away: %v", err)
	}
	if _, err := c.Change(t.Context(), linkUp("red", "p1")); !isDenied(err) {
		t.Errorf("after that: %v", err)
	}
}

// TestRenameWaits: what an owner was allowed in a namespace is not done in another that has got its name since: a rename waits
// for it. The socket of the old name is gone then, and the owner has the namespace by its new one.
func TestRenameWaits(t *testing.T) {
	s := newService(t)
	s.must(netnsAdd("red"), ownerSet("red", fmt.Sprintf("user:%d", alice), v1.Role_ROLE_ADMIN))
	alice := peer{uid: alice, gid: alice}
	own := alice.client(t, s.delegated("red.sock"))
	if err := s.list(own); err != nil {
		t.Fatal(err)
	}
	s.server.rights.RLock() // as a change of hers has it
	renamed := make(chan error, 1)
	go func() { renamed <- renameBy(s.client, "red", "green") }()
	select {
	case err := <-renamed:
		t.Errorf("it was renamed while a right was in use: %v", err)
		renamed <- err
	case <-time.After(100 * time.Millisecond):
	}
	s.server.rights.RUnlock()
	if err := <-renamed; err != nil {
		t.Fatal(err)
	}
	if err := s.list(own); !isDenied(err) {
		t.Errorf("by the socket of the old name: %v", err)
	}
	if _, err := alice.client(t, s.delegated("green.sock")).Change(t.Context(), dummyAdd("", "d0")); err != nil {
		t.Errorf("by that of the new name: %v", err)
	}
}

// TestRevokedMeanwhile: what was let in and then waited is judged again where it is done, by each call that changes something.
func TestRevokedMeanwhile(t *testing.T) {
	for name, try := range map[string]func(c nsrouterv1connect.RouterServiceClient) error{
		"change": func(c nsrouterv1connect.RouterServiceClient) error {
			_, err := c.Change(t.Context(), dummyAdd("red", "d1"))
			return err
		},
		"batch": func(c nsrouterv1connect.RouterServiceClient) error {
			r, err := batchOf(c, false, dummyAdd("red", "d1"))
			if err == nil && len(r.Failures) > 0 {
				err = denied("%s", strings.TrimPrefix(r.Failures[0].Message, "Operation not permitted: "))
			}
			return err
		},
		"load":       func(c nsrouterv1connect.RouterServiceClient) error { return loadOf(c, blackhole(false)) },
		"whole load": func(c nsrouterv1connect.RouterServiceClient) error { return loadOf(c, blackhole(true)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			user := nstable.Principal{ID: alice}
			s.must(netnsAdd("red"), netnsAdd("blue"), ownerSet("red", user.String(), v1.Role_ROLE_ADMIN),
				ownerSet("blue", user.String(), v1.Role_ROLE_READ))
			c, done := s.as(alice), make(chan error, 1)
			routes := s.table.Namespaces()[2].Routes
			s.server.rights.Lock()
			go func() { done <- try(c) }()
			time.Sleep(50 * time.Millisecond) // so that it waits; if it comes later it is refused at once, as it must
			err := s.table.Do(func(tx *nstable.Tx) error {
				return tx.SetOwners("red", []nstable.Owner{{Principal: user, Role: nstable.NoRole}})
			})
			s.server.rights.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			if err := <-done; !isDenied(err) {
				t.Errorf("it was done: %v", err)
			}
			red := s.table.Namespaces()[2]
			if red.Name != "red" || red.Devices != 1 || red.Routes != routes {
				t.Errorf("%s was changed: %d devices, %d routes", red.Name, red.Devices, red.Routes)
			}
		})
	}
}

func blackhole(whole bool) *v1.LoadRoutesRequest {
	return &v1.LoadRoutesRequest{
		Netns: "red", Verb: v1.Verb_VERB_ADD, Whole: whole, Prefixes: []byte{0, 8, 20},
		Routes: []*v1.RouteChange{{Type: v1.RouteType_ROUTE_TYPE_BLACKHOLE, Prefix: "0.0.0.0/0"}},
	}
}
