package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/client"
	"nsrouter/nstable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a server on a socket, over a table in memory.
type service struct {
	t      testing.TB
	socket string
	table  *nstable.Table
	disk   *fullDisk
	client *client.Client
	server *Server
}

func newService(t testing.TB) *service { return newServiceWith(t, Options{}) }

// newServiceWith serves a new table with the options, of which Table is set here.
func newServiceWith(t testing.TB, o Options) *service {
	t.Helper()
	disk := &fullDisk{}
	s := newServiceOver(t, nstable.Options{Ports: pretendPorts{}, Store: disk}, o)
	s.disk = disk
	return s
}

func newServiceOver(t testing.TB, in nstable.Options, o Options) *service {
	t.Helper()
	table, err := nstable.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	o.Table = table
	s := &service{t: t, socket: filepath.Join(t.TempDir(), "s"), table: table}
	l, err := Listen(s.socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(s.socket)), 0o711); err != nil { // for other users
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s.server = New(o)
	if err := s.server.Delegate(s.socket + DelegateSuffix); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- s.server.Serve(ctx, l) }()
	s.client = client.New(s.socket)
	t.Cleanup(func() {
		s.client.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		table.Close()
	})
	return s
}

// pretendPorts attach anything.
type pretendPorts struct{}

func (pretendPorts) Attach(nstable.DeviceID, nstable.XDPSpec) (nstable.PortInfo, error) {
	return nstable.PortInfo{
		MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Mode: nstable.ModeCopy, Queues: 1, Carrier: true,
	}, nil
}
func (pretendPorts) Detach(nstable.DeviceID) error                        { return nil }
func (pretendPorts) Configure(nstable.DeviceID, nstable.PortConfig) error { return nil }

// fullDisk is a store that keeps nothing, and fails while it is full.
type fullDisk struct{ full atomic.Bool }

func (d *fullDisk) Commit([]nstable.Op) error {
	if d.full.Load() {
		return syscall.ENOSPC
	}
	return nil
}
func (*fullDisk) Load(func(nstable.Bucket, []byte, []byte) error) error { return nil }

func netnsAdd(name string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsAdd{NetnsAdd: &v1.NetnsAdd{Name: name}}}
}

func dummyAdd(ns, name string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_LinkAdd{LinkAdd: &v1.LinkAdd{
		Name: name, Kind: &v1.LinkAdd_Dummy{Dummy: &v1.DummySpec{}},
	}}}
}

func linkUp(ns, name string) *v1.ChangeRequest {
	up := true
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_LinkSet{LinkSet: &v1.LinkSet{Name: name, Up: &up}}}
}

func addrAdd(ns, dev, cidr string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_Address{Address: &v1.AddressChange{
		Verb: v1.Verb_VERB_ADD, Cidr: cidr, Dev: dev,
	}}}
}

func routeAdd(ns, prefix, via string) *v1.ChangeRequest {
	return &v1.ChangeRequest{Netns: ns, Op: &v1.ChangeRequest_Route{Route: &v1.RouteChange{
		Verb: v1.Verb_VERB_ADD, Prefix: prefix, Gateway: via,
	}}}
}

func (s *service) must(changes ...*v1.ChangeRequest) {
	s.t.Helper()
	for _, c := range changes {
		if _, err := s.client.Change(s.t.Context(), c); err != nil {
			s.t.Fatalf("%v: %v", c, err)
		}
	}
}

// TestCodes: what is refused has the code of its kind and names the word; nothing is changed.
func TestCodes(t *testing.T) {
	s := newService(t)
	s.must(netnsAdd("red"), dummyAdd("red", "d0"), addrAdd("red", "d0", "10.0.0.1/24"))
	before := s.listings()
	for _, c := range []struct {
		change *v1.ChangeRequest
		code   connect.Code
		word   string
	}{
		{&v1.ChangeRequest{}, connect.CodeInvalidArgument, "nothing"},
		{netnsAdd("red"), connect.CodeAlreadyExists, "red"},
		{netnsAdd("../x"), connect.CodeInvalidArgument, "../x"},
		{dummyAdd("blue", "d0"), connect.CodeNotFound, "blue"},
		{dummyAdd("red", "d0"), connect.CodeAlreadyExists, "d0"},
		{dummyAdd("red", "much-too-long-a-name"), connect.CodeInvalidArgument, "much-too-long-a-name"},
		{addrAdd("red", "d0", "10.0.0.1"), connect.CodeInvalidArgument, "10.0.0.1"},
		{addrAdd("red", "d0", "10.0.0.1/24"), connect.CodeAlreadyExists, "10.0.0.1/24"},
		{addrAdd("red", "d9", "10.0.0.1/24"), connect.CodeNotFound, "d9"},
		{addrAdd("red", "d0", "10.0.0.1/99"), connect.CodeInvalidArgument, "10.0.0.1/99"},
		{routeAdd("red", "10.5.0.1/16", "10.0.0.9"), connect.CodeInvalidArgument, "10.5.0.1/16"},
		{routeAdd("red", "10.5.0.0/16", "10.9.0.9"), connect.CodeFailedPrecondition, "10.9.0.9"},
		{linkUp("red", "d9"), connect.CodeNotFound, "d9"},
	} {
		_, err := s.client.Change(t.Context(), c.change)
		if connect.CodeOf(err) != c.code || err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v: %v (%v), want %v and %q", c.change, err, connect.CodeOf(err), c.code, c.word)
		}
	}
	s.disk.full.Store(true)
	if _, err := s.client.Change(t.Context(), netnsAdd("blue")); connect.CodeOf(err) != connect.CodeResourceExhausted {
		t.Errorf("full disk: %v", err)
	}
	if after := s.listings(); after != before {
		t.Errorf("a refused change left something:\nbefore\n%s\nafter\n%s", before, after)
	}
}

// listings is all that can be seen of red, and the namespaces.
func (s *service) listings() string {
	s.t.Helper()
	var b strings.Builder
	links, err := s.table.Links("red", "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range links {
		l.Counters = nil
		fmt.Fprintf(&b, "%+v\n", l)
	}
	addrs, _ := s.table.Addresses("red", "")
	neighbors, _ := s.table.Neighbors("red", "")
	fmt.Fprintf(&b, "%+v\n%+v\n%+v\n", s.table.Namespaces(), addrs, neighbors)
	if err := s.table.Routes("red", nstable.RouteRange{}, func(r *nstable.RouteInfo) error {
		fmt.Fprintf(&b, "%+v\n", r)
		return nil
	}); err != nil {
		s.t.Fatal(err)
	}
	return b.String()
}

// TestFrames: the count of frames comes from the data plane, and is refused where there is none.
func TestFrames(t *testing.T) {
	s := newServiceWith(t, Options{Frames: func() *v1.GetFramesResponse { return &v1.GetFramesResponse{Total: 7, Free: 7} }})
	if f, err := s.client.GetFrames(t.Context(), &v1.GetFramesRequest{}); err != nil || f.Total != 7 || f.Free != 7 {
		t.Errorf("%v, %v", f, err)
	}
	_, err := newService(t).client.GetFrames(t.Context(), &v1.GetFramesRequest{})
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("without a data plane: %v", err)
	}
}

// TestBatch: a long batch goes through; one stops at its first failure, or goes on with force; slow changes keep their
// place.
func TestBatch(t *testing.T) {
	s := newService(t)
	send := func(force bool, changes ...*v1.ChangeRequest) *v1.BatchResponse {
		t.Helper()
		stream, err := s.client.Batch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for len(changes) > 0 {
			n := min(1000, len(changes))
			if err := stream.Send(&v1.BatchRequest{Force: force, Changes: changes[:n]}); err != nil &&
				!errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			changes = changes[n:]
		}
		r, err := stream.CloseAndReceive()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	// The address needs the device, the routes the address: kept in order, though devices are slow and routes quick.
	changes := []*v1.ChangeRequest{
		netnsAdd("red"),
		dummyAdd("red", "d0"),
		addrAdd("red", "d0", "10.0.0.1/24"),
		linkUp("red", "d0"),
	}
	const routes = 100_000
	for i := range routes {
		changes = append(changes, routeAdd("red", fmt.Sprintf("20.%d.%d.%d/32", i>>16, i>>8&255, i&255), "10.0.0.9"))
	}
	if r := send(false, changes...); len(r.Failures) != 0 || r.Applied != routes+4 {
		t.Fatalf("applied %d, failures %v", r.Applied, r.Failures)
	}
	wrong := []*v1.ChangeRequest{
		routeAdd("red", "30.0.0.0/8", "10.0.0.9"),
		routeAdd("red", "30.0.0.0/8", "10.0.0.9"),
		routeAdd("red", "31.0.0.0/8", "10.0.0.9"),
	}
	if r := send(false, wrong...); r.Applied != 1 || len(r.Failures) != 1 || r.Failures[0].Index != 1 {
		t.Errorf("applied %d, failures %v", r.Applied, r.Failures)
	}
	if r := send(true, wrong...); r.Applied != 1 || len(r.Failures) != 2 || r.Failures[1].Index != 1 {
		t.Errorf("with force: applied %d, failures %v", r.Applied, r.Failures)
	}
	s.disk.full.Store(true)
	more := []*v1.ChangeRequest{routeAdd("red", "40.0.0.0/8", "10.0.0.9"), routeAdd("red", "41.0.0.0/8", "10.0.0.9")}
	if r := send(false, more...); r.Applied != 0 || len(r.Failures) != 1 || r.Failures[0].Index != 0 ||
		!strings.Contains(r.Failures[0].Message, "no space left on device") {
		t.Errorf("full disk: applied %d, failures %v", r.Applied, r.Failures)
	}
	s.disk.full.Store(false)
	list, err := s.client.ListRoutes(t.Context(), &v1.ListRoutesRequest{Netns: "red"})
	if err != nil {
		t.Fatal(err)
	}
	n, messages := 0, 0
	for list.Receive() {
		n += len(list.Msg().Routes)
		messages++
	}
	if err := list.Err(); err != nil || n != routes+4 || messages < 10 {
		t.Errorf("%d routes in %d messages, %v", n, messages, err)
	}
}

// TestRudeClients: hundreds of connections that say nothing, or junk, keep nobody out.
func TestRudeClients(t *testing.T) {
	s := newService(t)
	for i := range 300 {
		c, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		switch i % 4 {
		case 1:
			_, _ = c.Write([]byte("\x16\x03\x01 junk \x00\xff"))
		case 2:
			_, _ = io.WriteString(c, "POST /nsrouter.v1.RouterService/Change HTTP/1.1\r\n"+
				"Host: r\r\nContent-Length: 1000000\r\n\r\n{")
		case 3:
			_, _ = c.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := s.client.Change(ctx, netnsAdd("red")); err != nil {
		t.Error(err)
	}
}

// TestMonitorIsolation: who listens to a namespace hears of no other.
func TestMonitorIsolation(t *testing.T) {
	s := newService(t)
	s.must(netnsAdd("red"), netnsAdd("blue"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := s.client.Monitor(ctx, &v1.MonitorRequest{Netns: "red"})
	if err != nil {
		t.Fatal(err)
	}
	// The stream is there once its first event comes; changes are made until then.
	heard := make(chan string, 1000)
	go func() {
		defer close(heard)
		for m.Receive() {
			for _, e := range m.Msg().Events {
				heard <- e.NetnsName + " " + e.GetLink().GetName()
			}
		}
	}()
	names := map[string]bool{}
	for i := 0; len(names) == 0; i++ {
		s.must(dummyAdd("blue", fmt.Sprintf("b%d", i)), dummyAdd("red", fmt.Sprintf("r%d", i)))
		select {
		case n := <-heard:
			names[n] = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	s.must(dummyAdd("blue", "end"), dummyAdd("red", "end"))
	for n := range heard {
		names[n] = true
		if n == "red end" {
			break
		}
	}
	cancel()
	for range heard { // until the stream has ended
	}
	for n := range names {
		if !strings.HasPrefix(n, "red ") {
			t.Errorf("heard %q", n)
		}
	}
}

// FuzzAPI posts any bytes to any method, as JSON and as protobuf: the server answers, and serves the next.
func FuzzAPI(f *testing.F) {
	f.Add("Change", "application/json", []byte(`{"netns":"red","linkSet":{"name":"d0","up":true}}`))
	f.Add("Change", "application/json", []byte(`{"route":{"verb":"VERB_ADD","prefix":"10.0.0.0/8","dev":"lo"}}`))
	f.Add("Change", "application/proto", []byte{0x12, 5, 10, 3, 'r', 'e', 'd'})
	f.Add("GetRoute", "application/json", []byte(`{"address":"10.0.0.1","from":"::1","iif":"lo"}`))
	f.Add("ListRoutes", "application/connect+json", []byte("\x00\x00\x00\x00\x02{}"))
	f.Add("Batch", "application/connect+proto", []byte("\x00\x00\x00\x00\x00"))
	f.Add("GetFrames", "application/json", []byte(`{}`))
	f.Fuzz(func(t *testing.T, method, contentType string, body []byte) {
		if method == "Monitor" || strings.ContainsAny(method, "/?#%") {
			return // a monitor lasts
		}
		s := newService(t)
		s.must(netnsAdd("red"), dummyAdd("red", "d0"))
		handler := New(Options{Table: s.table}).Handler()
		url := "http://r/nsrouter.v1.RouterService/" + method
		req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", contentType)
		handler.ServeHTTP(&discard{header: http.Header{}}, req)
		if _, err := s.client.Change(t.Context(), dummyAdd("init", "after0")); err != nil &&
			connect.CodeOf(err) != connect.CodeAlreadyExists {
			t.Error(err)
		}
	})
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Flush()                      {}
