package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/internal/netns"
	"nsrouter/nstable/setting"
)

// about is what something that can be asked for is about.
type about uint8

const (
	ofOne  about = iota + 1 // the namespace of who asks, where none is named
	ofTwo                   // that and another one, which it names
	ofHost                  // the whole daemon or its host: it knows no namespaces, and is refused outside init
)

// awareness says of all attempts what they are about: what is in docs/namespaces.md, "What is per namespace". A call, a
// change, or a kind of device that has no line here fails TestAwareness.
func awareness() map[string]about {
	return map[string]about{
		"ListLinks": ofOne, "ListRoutes": ofOne, "ListNexthops": ofOne, "ListNeighbors": ofOne, "ListDrops": ofOne,
		"GetRoute": ofOne, "Monitor": ofOne, "ListPids": ofOne, "Batch": ofOne, "LoadRoutes": ofOne,
		"ListDrops of all": ofHost, "Monitor of all": ofHost, "GetNetnsPath": ofHost, "GetFrames": ofHost,
		"ListWorkers": ofHost, "SetWorker": ofHost,

		"link_set up": ofOne, "link_set mtu": ofOne, "link_set setting": ofOne, "link_set name": ofOne, "link_delete": ofOne,
		"link_add dummy": ofOne, "link_add veth": ofOne, "link_add vlan": ofOne, "link_delete xdp": ofOne,
		"neighbor": ofOne, "neighbor_flush": ofOne, "address": ofOne, "address_flush": ofOne,
		"route": ofOne, "route_flush": ofOne, "nexthop": ofOne, "nexthop_flush": ofOne,
		"netns_set": ofOne, "netns_set max-routes": ofOne, "netns_set devices-max": ofOne, "netns_set neigh-max": ofOne,
		"netns_set punt-rate": ofOne, "netns_set owner": ofOne, "netns_set name": ofOne,
		"link_delete veth of another's": ofTwo, "link_add veth to another's": ofTwo, "link_set to another's": ofTwo,
		"route into another's": ofTwo,
		"link_add xdp":         ofHost, "netns_add": ofHost, "netns_delete": ofHost,
	}
}

// awareAttempts are all that can be asked for.
func awareAttempts() []attempt { return slices.Concat(changeAttempts(), callAttempts()) }

// insiders is a service, and root in the Linux namespace of red.
func insiders(t *testing.T) (*service, peer) {
	t.Helper()
	home, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { home.Close() })
	cookie, err := home.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	s := tenancy(t, Options{Hosts: &listedHosts{red: cookie}})
	s.must(dummyAdd("red", "only"), linkUp("red", "only"), addrAdd("red", "only", "10.200.0.1/24"),
		routeAdd("red", "10.201.0.0/16", "10.200.0.9"), dummyAdd("blue", "hidden"), addrAdd("blue", "hidden", "10.200.0.7/24"))
	return s, peer{from: home}
}

// TestAwareness: all that can be asked for, asked by root inside red without the name of a namespace, is about red alone, or
// about red and the other namespace that it names, or is refused, since it is about no namespace.
func TestAwareness(t *testing.T) {
	table := awareness()
	for _, socket := range []string{"main", SelfSocket} {
		t.Run(socket, func(t *testing.T) {
			s, root := insiders(t)
			path := s.socket
			if socket != "main" {
				path = s.delegated(socket)
			}
			c := root.client(t, path)
			for _, a := range awareAttempts() {
				s.tryAware(t, c, a, table[a.name])
			}
		})
	}
	s := tenancy(t, Options{})
	red := peer{}.client(t, s.delegated("red.sock"))
	for _, a := range awareAttempts() {
		if table[a.name] == ofHost {
			s.refusedOutside(t, red, a)
		}
	}
}

func (s *service) tryAware(t *testing.T, c nsrouterv1connect.RouterServiceClient, a attempt, of about) {
	t.Helper()
	spared := []string{"red"}
	switch of {
	case ofHost:
		s.refusedOutside(t, c, a)
		return
	case ofTwo:
		spared = append(spared, "other")
	case ofOne:
	default:
		t.Errorf("%s is not in the table: say what it is about", a.name)
	}
	before := s.without(spared...)
	if err := a.do(c, unnamed(a)); err != nil {
		t.Errorf("%s inside red: %v", a.name, err)
	}
	if after := s.without(spared...); after != before {
		t.Errorf("%s inside red changed others:\n%s\nbefore:\n%s", a.name, after, before)
	}
}

// unnamed is the namespace that is named where none is: changes of namespaces cannot do without.
func unnamed(a attempt) string {
	if strings.HasPrefix(a.name, "netns_") {
		return "red"
	}
	return ""
}

// refusedOutside: what is about the whole daemon is refused to who is in red, whatever namespace is named.
func (s *service) refusedOutside(t *testing.T, c nsrouterv1connect.RouterServiceClient, a attempt) {
	t.Helper()
	before := s.without()
	for _, ns := range []string{unnamed(a), "red", "init"} {
		err := a.do(c, ns)
		if text := fmt.Sprint(err); !isDenied(err) || !strings.Contains(text, "red") ||
			!strings.Contains(text, "run it in init") && !strings.Contains(text, `serves namespace "red" alone`) {
			t.Errorf("%s in %q, asked in red: %v", a.name, ns, err)
		}
	}
	if after := s.without(); after != before {
		t.Errorf("%s was refused and changed something:\n%s\nbefore:\n%s", a.name, after, before)
	}
}

// TestAwarenessIsWhole: nothing can be asked for that TestAwareness does not try.
func TestAwarenessIsWhole(t *testing.T) {
	table := awareness()
	tried := make(map[string]bool)
	for _, a := range awareAttempts() {
		tried[a.name], tried[strings.Fields(a.name)[0]] = true, true
		if table[a.name] == 0 {
			t.Errorf("%s is not in the table", a.name)
		}
	}
	for name := range table {
		if !tried[name] {
			t.Errorf("the table has %s, which nobody tries", name)
		}
	}
	methods := v1.File_nsrouter_v1_router_proto.Services().ByName("RouterService").Methods()
	for i := range methods.Len() {
		name := string(methods.Get(i).Name())
		if !tried[name] && !slices.Contains([]string{"Change", "ListNetns", "IdentifyNetns"}, name) { // the last two: TestListsInside
			t.Errorf("call %s is not tried", name)
		}
	}
	ops := (&v1.ChangeRequest{}).ProtoReflect().Descriptor().Oneofs().ByName("op").Fields()
	for i := range ops.Len() {
		if name := string(ops.Get(i).Name()); !tried[name] {
			t.Errorf("change %s is not tried", name)
		}
	}
	kinds := (&v1.LinkAdd{}).ProtoReflect().Descriptor().Oneofs().ByName("kind").Fields()
	for i := range kinds.Len() {
		if name := "link_add " + string(kinds.Get(i).Name()); !tried[name] {
			t.Errorf("%s is not tried", name)
		}
	}
}

// recorder keeps all that a client is answered.
type recorder struct{ answers []string }

func (r *recorder) note(msg any) {
	if m, ok := msg.(proto.Message); ok {
		r.answers = append(r.answers, prototext.MarshalOptions{}.Format(m))
	}
}

func (r *recorder) take() string {
	text := strings.Join(r.answers, "\n")
	r.answers = nil
	return strings.ReplaceAll(text, "  ", " ") // prototext varies its spaces between builds
}

func (r *recorder) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err == nil {
			r.note(res.Any())
		}
		return res, err
	}
}

func (r *recorder) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return recorded{next(ctx, spec), r}
	}
}

func (*recorder) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

type recorded struct {
	connect.StreamingClientConn
	r *recorder
}

func (c recorded) Receive(msg any) error {
	err := c.StreamingClientConn.Receive(msg)
	if err == nil {
		c.r.note(msg)
	}
	return err
}

// TestListsInside: what is asked inside red without the name of a namespace is answered as what is asked in init about red,
// and nothing else is: not even that there are others.
func TestListsInside(t *testing.T) {
	s, root := insiders(t)
	var here, there recorder
	inside := root.client(t, s.socket, connect.WithInterceptors(&here))
	outside := peer{}.client(t, s.socket, connect.WithInterceptors(&there))
	for _, a := range callAttempts() {
		if awareness()[a.name] != ofOne {
			continue
		}
		errs := []error{a.do(inside, ""), a.do(outside, "red")}
		got, want := here.take(), there.take()
		if errs[0] != nil || errs[1] != nil || got != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", a.name, errs, got, want)
		}
		if err := a.do(outside, "blue"); err != nil {
			t.Errorf("%s in blue: %v", a.name, err)
		}
		if list := slices.Contains([]string{"ListLinks", "ListRoutes"}, a.name); there.take() == want && list {
			t.Errorf("%s: red and blue are alike: that shows nothing", a.name)
		}
	}
	if err := drain(inside.ListNetns(t.Context(), &v1.ListNetnsRequest{Stats: true})); err != nil {
		t.Error(err)
	}
	if got := here.take(); !strings.Contains(got, `"red"`) || strings.Contains(got, `"blue"`) || strings.Contains(got, `"init"`) {
		t.Errorf("namespaces inside red: %s", got)
	}
	if got, err := inside.IdentifyNetns(t.Context(), &v1.IdentifyNetnsRequest{}); err != nil || got.Netns != "red" {
		t.Errorf("identify: %v, %v", got, err)
	}
	here.take()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	events, err := inside.Monitor(ctx, &v1.MonitorRequest{Snapshot: true})
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	s.must(dummyAdd("blue", "more"), dummyAdd("red", "last"))
	for last := false; !last && events.Receive(); {
		for _, e := range events.Msg().Events {
			last = last || e.GetLink().GetName() == "last"
			if e.NetnsName != "red" {
				t.Errorf("event %v inside red", e)
			}
		}
	}
	if got := here.take(); !strings.Contains(got, `"last"`) || !strings.Contains(got, `"only"`) {
		t.Errorf("monitor inside red: %s", got)
	}
}

// TestSettingsInside: each setting, made inside red, is one of red, or of its device, alone.
func TestSettingsInside(t *testing.T) {
	s, root := insiders(t)
	c := root.client(t, s.socket)
	try := func(name, value string, req *v1.ChangeRequest, get func() []setting.Value) {
		t.Helper()
		before := s.everything()
		if _, err := c.Change(t.Context(), req); err != nil {
			t.Errorf("%s %s: %v", name, value, err)
		}
		if after := s.everything(); after != before {
			t.Errorf("%s %s changed others:\n%s\nbefore:\n%s", name, value, after, before)
		}
		if !slices.ContainsFunc(get(), func(v setting.Value) bool { return v.Name == name && v.Value == value && v.Changed }) {
			t.Errorf("%s %s is not set", name, value)
		}
	}
	for _, r := range setting.Namespaces {
		value := another(t, setting.Namespaces, r.Name, r.Values, r.Default)
		try(r.Name, value, netnsSet("red", r.Name, value), func() []setting.Value {
			ns, err := s.table.Namespace("red")
			if err != nil {
				t.Fatal(err)
			}
			return setting.Namespaces.Values(ns.Settings(), true)
		})
	}
	for _, r := range setting.Devices {
		value := another(t, setting.Devices, r.Name, r.Values, r.Default)
		req := linkSet("", &v1.LinkSet{Name: "d0", Settings: []*v1.Setting{{Name: r.Name, Value: value}}})
		try(r.Name, value, req, func() []setting.Value {
			links, err := s.table.Links("red", "d0")
			if err != nil {
				t.Fatal(err)
			}
			return setting.Devices.Values(links[0].Settings, true)
		})
	}
}

// another is a value of a setting that is not its default.
func another[T any](t *testing.T, table setting.Table[T], name, values, standard string) string {
	t.Helper()
	tries := strings.FieldsFunc(values, func(r rune) bool { return strings.ContainsRune(" {}|[],.", r) })
	for _, value := range append(tries, standard+"1", strings.TrimSuffix(standard, "0"), "0", "1", "17", "1280", "2001:db8::1") {
		if v, err := table.Parse(name, value); err == nil && v.Changed {
			return v.Value
		}
	}
	t.Fatalf("no value found for %s: add one", name)
	return ""
}
