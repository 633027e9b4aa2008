package nstable

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// memStore is a Store in memory that can be told to fail.
type memStore struct {
	mu      sync.Mutex
	data    [NumBuckets]map[string][]byte
	commits int
	full    bool
	forget  bool // keep nothing: for benchmarks
}

var errFull = errors.New("no space left on device")

func (s *memStore) Commit(ops []Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return errFull
	}
	s.commits++
	if s.forget {
		return nil
	}
	for _, op := range ops {
		if s.data[op.Bucket] == nil {
			s.data[op.Bucket] = make(map[string][]byte)
		}
		if op.Value == nil {
			delete(s.data[op.Bucket], string(op.Key))
		} else {
			s.data[op.Bucket][string(op.Key)] = bytes.Clone(op.Value)
		}
	}
	return nil
}

func (s *memStore) Load(f func(Bucket, []byte, []byte) error) error {
	for b := range s.data {
		for _, k := range slices.Sorted(maps.Keys(s.data[b])) {
			if err := f(Bucket(b), []byte(k), s.data[b][k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *memStore) setFull(full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = full
}

func (s *memStore) dump() string {
	var b strings.Builder
	_ = s.Load(func(bucket Bucket, key, value []byte) error {
		_, err := fmt.Fprintf(&b, "%s %x = %x\n", bucketNames[bucket], key, value)
		return err
	})
	return b.String()
}

// fakePorts attaches anything but what is in refuse, and notes the calls.
type fakePorts struct {
	mu     sync.Mutex
	refuse map[string]error
	calls  []string
	config map[DeviceID]PortConfig
}

func (p *fakePorts) note(format string, args ...any) {
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
}

func (p *fakePorts) Attach(id DeviceID, spec XDPSpec) (PortInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note("attach %d %s", id, spec.Host)
	if err := p.refuse[spec.Host]; err != nil {
		return PortInfo{}, err
	}
	return PortInfo{MAC: [6]byte{2, 0, 0, 0, 0, byte(id)}, MTU: 1500, Mode: ModeCopy, Queues: 1, Carrier: true}, nil
}

func (p *fakePorts) Detach(id DeviceID) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note("detach %d", id)
	delete(p.config, id)
	return nil
}

func (p *fakePorts) Configure(id DeviceID, c PortConfig) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.note("configure %d %v %d %x", id, c.Up, c.MTU, c.MAC)
	if err := p.refuse[fmt.Sprintf("configure %d", id)]; err != nil {
		return err
	}
	if p.config == nil {
		p.config = make(map[DeviceID]PortConfig)
	}
	p.config[id] = c
	return nil
}

// fakeDatapath keeps neighbours as workers do, and notes the calls. It fails the test when it is called about a device
// other than the published one.
type fakeDatapath struct {
	b     *bench
	mu    sync.Mutex
	calls []string
	// atQuiesce is what workers do in the rounds that Quiesce waits for.
	atQuiesce func()
}

func (p *fakeDatapath) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, fmt.Sprintf(format, args...))
}

// take returns the calls since the last take.
func (p *fakeDatapath) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := p.calls
	p.calls = nil
	return calls
}

func (p *fakeDatapath) Quiesce() {
	p.note("quiesce")
	if p.atQuiesce != nil {
		p.atQuiesce()
	}
}

func (p *fakeDatapath) SetNeighbor(d *Device, addr netip.Addr, mac [6]byte, state neigh.State) error {
	p.note("set %s@%s %s %s", d.Name, d.Namespace.Name(), addr, state)
	if p.b.Table != nil && p.b.View().Device(d.ID) != d {
		p.b.t.Errorf("neighbour %s of %s: the device is not published", addr, d.Name)
	}
	e := d.Neighbors.Lookup(fib.AddrOf(addr))
	if e == nil {
		e = d.Neighbors.Add(fib.AddrOf(addr), 0)
	}
	var word uint64
	for _, b := range mac {
		word = word<<8 | uint64(b)
	}
	e.Set(state, word, 0)
	return nil
}

func (p *fakeDatapath) DeleteNeighbor(d *Device, addr netip.Addr) bool {
	p.note("delete %s@%s %s", d.Name, d.Namespace.Name(), addr)
	e := d.Neighbors.Lookup(fib.AddrOf(addr))
	if e != nil {
		d.Neighbors.Delete(e)
	}
	return e != nil
}

func (p *fakeDatapath) FlushNeighbors(d *Device, keepPermanent bool) {
	p.note("flush %s@%s %v", d.Name, d.Namespace.Name(), keepPermanent)
	d.Neighbors.All(func(e *neigh.Entry) bool {
		if !keepPermanent || e.State() != neigh.Permanent {
			d.Neighbors.Delete(e)
		}
		return true
	})
}

func (p *fakeDatapath) Announce(d *Device, addrs []netip.Addr) {
	p.note("announce %s@%s %v", d.Name, d.Namespace.Name(), addrs)
}

// bench is a table under test with its surroundings.
type bench struct {
	*Table
	t        testing.TB
	store    *memStore
	ports    *fakePorts
	datapath *fakeDatapath
	detect   bool // duplicate addresses
	logged   []string
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, store: new(memStore), ports: &fakePorts{refuse: make(map[string]error)}}
	b.datapath = &fakeDatapath{b: b}
	b.open()
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	table, err := Open(Options{
		Store: b.store, Workers: 2, Ports: b.ports, Datapath: b.datapath, DetectDuplicates: b.detect,
		Log: func(msg string, _ error) { b.logged = append(b.logged, msg) },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Table = table
	if err := table.Start(); err != nil {
		b.t.Fatal(err)
	}
}

// reopen ends the table and restores it from its store.
func (b *bench) reopen() {
	b.t.Helper()
	b.Close()
	b.open()
}

func (b *bench) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// refused checks that an error has a kind and names a word.
func (b *bench) refused(err error, kind ErrorKind, word string) {
	b.t.Helper()
	if err == nil {
		b.t.Fatalf("no error, want one with %q", word)
	}
	if KindOf(err) != kind || !strings.Contains(err.Error(), word) {
		b.t.Fatalf("error %q of kind %d, want kind %d and %q", err, KindOf(err), kind, word)
	}
}

func (b *bench) addNamespace(name string) error {
	return b.Do(func(tx *Tx) error { return tx.AddNamespace(name) })
}

// dummy makes a dummy that is up and has the given addresses.
func (b *bench) dummy(ns, name string, addrs ...string) {
	b.t.Helper()
	b.link(ns, LinkSpec{Name: name, Kind: Dummy}, addrs...)
}

func (b *bench) xdp(ns, name string, addrs ...string) {
	b.t.Helper()
	b.link(ns, LinkSpec{Name: name, Kind: XDP}, addrs...)
}

func (b *bench) link(ns string, s LinkSpec, addrs ...string) {
	b.t.Helper()
	_, err := b.AddLink(ns, s)
	b.ok(err)
	b.ok(b.up(ns, s.Name, true))
	for _, a := range addrs {
		b.ok(b.addr(ns, s.Name, a))
	}
}

func (b *bench) up(ns, name string, up bool) error {
	return b.SetLink(ns, name, LinkChange{Up: &up})
}

func (b *bench) addr(ns, dev, a string) error {
	return b.Do(func(tx *Tx) error { return tx.AddAddress(ns, dev, AddressSpec{Prefix: netip.MustParsePrefix(a)}) })
}

func (b *bench) route(op fib.Op, ns string, s RouteSpec) error {
	return b.Do(func(tx *Tx) error { return tx.Route(op, ns, s) })
}

// via makes the spec of a route.
func via(prefix, gateway, dev string) RouteSpec {
	s := RouteSpec{Prefix: netip.MustParsePrefix(prefix)}
	l := LegSpec{Device: dev}
	if gateway != "" {
		l.Via = netip.MustParseAddr(gateway)
	}
	if l != (LegSpec{}) {
		s.Legs = []LegSpec{l}
	}
	return s
}

// dump prints all that an operator can see, and the forwarding tables.
func dump(t *Table) string {
	var b strings.Builder
	for _, ns := range t.Namespaces() {
		fmt.Fprintf(&b, "netns %d %s %d %d %v %v\n", ns.ID, ns.Name, ns.Devices, ns.Routes,
			setting.Namespaces.Values(ns.Settings, false), ns.Owners)
		links, _ := t.Links(ns.Name, "")
		for _, l := range links {
			l.Counters = nil
			x := ""
			if l.XDP != nil {
				x = fmt.Sprintf("%+v", *l.XDP)
				l.XDP = nil
			}
			settings := setting.Devices.Values(l.Settings, false)
			l.Settings = nil
			fmt.Fprintf(&b, "  link %+v %s %v\n", l, x, settings)
		}
		addrs, _ := t.Addresses(ns.Name, "")
		for _, a := range addrs {
			fmt.Fprintf(&b, "  addr %+v\n", a)
		}
		_ = t.Routes(ns.Name, RouteRange{}, func(r *RouteInfo) error {
			fmt.Fprintf(&b, "  route %s\n", routeLine(r))
			return nil
		})
		neighbors, _ := t.Neighbors(ns.Name, "")
		for _, n := range neighbors {
			fmt.Fprintf(&b, "  neigh %+v\n", n)
		}
		public, _ := t.Namespace(ns.Name)
		for p, id := range public.FIB.All() {
			fmt.Fprintf(&b, "  fib %s %+v\n", p, hopsOf(public.FIB.Group(id)))
		}
		objects, _ := t.NextHops(ns.Name)
		for _, o := range objects {
			fmt.Fprintf(&b, "  nexthop %+v\n", o)
		}
	}
	return b.String()
}

// hopsOf are the next hops of a group in an order of their own: that in the group depends on its history.
func hopsOf(g *fib.Group) []string {
	count := make(map[fib.NextHop]int)
	for i := range g.Buckets() {
		count[*g.Pick(uint32(i))]++
	}
	var out []string
	for h, n := range count {
		out = append(out, fmt.Sprintf("%+v x %d", h, n))
	}
	slices.Sort(out)
	return out
}

func routeLine(r *RouteInfo) string {
	var hop HopInfo
	rest := ""
	if len(r.Hops) > 0 {
		hop = r.Hops[0]
	}
	if len(r.Hops) > 1 {
		rest = fmt.Sprintf(" %+v", r.Hops)
	}
	if r.Netns != "" {
		rest += " netns " + r.Netns
	}
	if r.Object != 0 {
		rest += fmt.Sprintf(" nhid %d", r.Object)
	}
	return fmt.Sprintf("%s kind %d via %s dev %s src %s metric %d proto %d scope %d mtu %d order %d down %v%s",
		r.Prefix, r.Kind, hop.Gateway, hop.Device, r.Source, r.Metric, r.Protocol, r.Scope, r.MTU, r.Order, hop.LinkDown, rest)
}

// deviceID finds the id of a device.
func (b *bench) deviceID(ns, dev string) DeviceID {
	b.t.Helper()
	links, err := b.Links(ns, dev)
	b.ok(err)
	return links[0].ID
}

// fibOf prints the forwarding table of a namespace less what its lo brings.
func (b *bench) fibOf(ns string) string {
	b.t.Helper()
	public, err := b.Namespace(ns)
	b.ok(err)
	var lines []string
	for p, id := range public.FIB.All() {
		if p.Addr().IsLoopback() {
			continue
		}
		g := public.FIB.Group(id)
		line := p.String()
		for _, hop := range g.Hops() {
			line += fmt.Sprintf(" kind %d dev %s", hop.Kind, b.deviceName(hop.Device))
			if hop.Gateway != (fib.Addr{}) {
				line += " via " + hop.Gateway.Netip().String()
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (b *bench) deviceName(id DeviceID) string {
	if d := b.View().Device(id); d != nil {
		return d.Name
	}
	return fmt.Sprint(id)
}

// addrsOf prints the addresses of a device.
func (b *bench) addrsOf(ns, dev string) string {
	b.t.Helper()
	addrs, err := b.Addresses(ns, dev)
	b.ok(err)
	var out []string
	for _, a := range addrs {
		s := a.Prefix.String()
		if a.Secondary {
			s += " secondary"
		}
		if a.Automatic {
			s = "auto" // its bits are random for virtual devices
		}
		if a.NoDAD {
			s += " nodad"
		}
		if a.DADFailed {
			s += " dadfailed"
		}
		if a.Tentative {
			s += " tentative"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// devicesOf are the devices that a route sends by.
func devicesOf(r *RouteInfo) string {
	var names []string
	for i := range r.Hops {
		names = append(names, r.Hops[i].Device)
	}
	return strings.Join(names, "+")
}

// routesOf prints the routes of a namespace that an operator made.
func (b *bench) routesOf(ns string) string {
	b.t.Helper()
	var out []string
	b.ok(b.Routes(ns, RouteRange{}, func(r *RouteInfo) error {
		if r.Origin == fib.FromAPI {
			out = append(out, fmt.Sprintf("%s metric %d dev %s", r.Prefix, r.Metric, devicesOf(r)))
		}
		return nil
	}))
	return strings.Join(out, ", ")
}

// events takes what a subscription has got, one line an event.
func (b *bench) events(s *Subscription) []string {
	b.t.Helper()
	var out []string
	for {
		events, _ := s.take()
		if len(events) == 0 {
			return out
		}
		for _, e := range events {
			out = append(out, eventLine(e))
		}
	}
}

// subscribe listens to everything in a namespace, or in all for "".
func (b *bench) subscribe(namespace string) *Subscription {
	b.t.Helper()
	s, err := b.Subscribe(Interest{Namespace: namespace, LocalTable: true})
	b.ok(err)
	return s
}

func eventLine(e Event) string {
	sign := "+"
	if e.Deleted {
		sign = "-"
	}
	line := fmt.Sprintf("%s %s", e.Namespace, sign)
	switch e.Kind {
	case NamespaceEvent:
		if line += "netns"; e.Was != "" {
			line += " was " + e.Was
		}
		return line
	case LinkEvent:
		return fmt.Sprintf("%slink %s up=%v carrier=%v", line, e.Link.Name, e.Link.Up, e.Link.Carrier)
	case AddressEvent:
		return fmt.Sprintf("%saddr %s %s", line, e.Address.Device, e.Address.Prefix)
	case RouteEvent:
		return fmt.Sprintf("%sroute %s dev %s kind %d", line, e.Route.Prefix, devicesOf(e.Route), e.Route.Kind)
	case NeighborEvent:
		return fmt.Sprintf("%sneigh %s %s %s", line, e.Neighbor.Device, e.Neighbor.Addr, e.Neighbor.State)
	case SnapshotEvent:
		return "that is all"
	}
	return fmt.Sprintf("missed %d", e.Missed)
}

// want compares what was got with what was expected, as text.
func (b *bench) want(got, expected string) {
	b.t.Helper()
	if got != expected {
		b.t.Fatalf("got:\n%s\nwant:\n%s", got, expected)
	}
}

const permanent = neigh.Permanent

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }

func linkNames(b *bench, ns string) string {
	b.t.Helper()
	links, err := b.Links(ns, "")
	b.ok(err)
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
	}
	return strings.Join(names, " ")
}

const reachable = neigh.Reachable
