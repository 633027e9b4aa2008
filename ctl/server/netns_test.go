package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// listedHosts note the Linux namespaces that the server asks for.
type listedHosts struct {
	noHosts
	mu    sync.Mutex
	names []string
	full  bool // Add fails

	red, redInode uint64 // cookie and inode of red
}

var errNoRoom = errors.New("no room")

func (h *listedHosts) Add(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return errNoRoom
	}
	h.names = append(h.names, name)
	return nil
}

func (h *listedHosts) Delete(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = slices.DeleteFunc(h.names, func(n string) bool { return n == name })
	return nil
}

func (h *listedHosts) ByCookie(cookie uint64) (string, bool) { return "red", cookie == h.red }

func (h *listedHosts) ByInode(inode uint64) (string, bool) { return "red", inode == h.redInode }

func netnsDelete(name string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsDelete{NetnsDelete: &v1.NetnsDelete{Name: name}}}
}

// TestHostNamespaces: a namespace and its Linux namespace come and go together.
func TestHostNamespaces(t *testing.T) {
	hosts := &listedHosts{}
	s := newServiceWith(t, Options{Hosts: hosts})
	s.must(netnsAdd("red"), netnsAdd("blue"), netnsDelete("red"), netnsAdd("red"), netnsDelete("blue"))
	if !slices.Equal(hosts.names, []string{"red"}) {
		t.Errorf("Linux namespaces %v", hosts.names)
	}
	hosts.full = true
	if _, err := s.client.Change(t.Context(), netnsAdd("green")); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("without room: %v", err)
	}
	if _, err := s.table.Namespace("green"); nstable.KindOf(err) != nstable.NotFound {
		t.Errorf("half a namespace is left: %v", err)
	}
}

// dialFrom makes a client whose connections come from a Linux namespace.
func dialFrom(t *testing.T, from *netns.Handle, socket string) nsrouterv1connect.RouterServiceClient {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols: &protocols,
		DialContext: func(context.Context, string, string) (conn net.Conn, err error) {
			err = from.Do(func() error {
				conn, err = net.Dial("unix", socket)
				return err
			})
			return conn, err
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return nsrouterv1connect.NewRouterServiceClient(&http.Client{Transport: transport}, "http://router")
}

// TestCaller: a request without a namespace is about that of the caller's socket, also within a batch.
func TestCaller(t *testing.T) {
	home, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	cookie, err := home.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	s := newServiceWith(t, Options{Hosts: &listedHosts{red: cookie}})
	s.must(netnsAdd("red"))
	inside := dialFrom(t, home, s.socket)
	if _, err := inside.Change(t.Context(), dummyAdd("", "d0")); err != nil {
		t.Fatal(err)
	}
	stream, err := inside.Batch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&v1.BatchRequest{Changes: []*v1.ChangeRequest{addrAdd("", "d0", "10.0.0.1/24")}}); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.CloseAndReceive(); err != nil || len(r.Failures) != 0 {
		t.Fatal(r, err)
	}
	if addrs, err := s.table.Addresses("red", "d0"); err != nil || len(addrs) != 1 {
		t.Errorf("addresses of d0 in red: %v, %v", addrs, err)
	}
	for c, want := range map[nsrouterv1connect.RouterServiceClient]string{inside: "red", s.client: "init"} {
		if got, err := c.IdentifyNetns(t.Context(), &v1.IdentifyNetnsRequest{}); err != nil || got.Netns != want {
			t.Errorf("identify: %v, %v, want %s", got, err, want)
		}
	}
}
