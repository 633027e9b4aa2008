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
)

// memStore is a Store in memory that can be told to fail.
type memStore struct {
	mu      sync.Mutex
	data    [NumBuckets]map[string][]byte
	commits int
	full    bool
}

var errFull = errors.New("no space left on device")

func (s *memStore) Commit(ops []Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return errFull
	}
	s.commits++
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

// bench is a table under test with its surroundings.
type bench struct {
	*Table
	t     testing.TB
	store *memStore
	ports *fakePorts
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, store: new(memStore), ports: &fakePorts{refuse: make(map[string]error)}}
	b.open()
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	table, err := Open(Options{Store: b.store, Workers: 2, Ports: b.ports})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := table.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.Table = table
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
	return b.Do(func(tx *Tx) error { return tx.AddAddress(ns, dev, netip.MustParsePrefix(a)) })
}

func (b *bench) route(op fib.Op, ns string, s RouteSpec) error {
	return b.Do(func(tx *Tx) error { return tx.Route(op, ns, s) })
}

// via makes the spec of a route.
func via(prefix, gateway, dev string) RouteSpec {
	s := RouteSpec{Prefix: netip.MustParsePrefix(prefix), Device: dev}
	if gateway != "" {
		s.Via = netip.MustParseAddr(gateway)
	}
	return s
}

// dump prints all that an operator can see, and the forwarding tables.
func dump(t *Table) string {
	var b strings.Builder
	for _, ns := range t.Namespaces() {
		fmt.Fprintf(&b, "netns %d %s %d %d\n", ns.ID, ns.Name, ns.Devices, ns.Routes)
		links, _ := t.Links(ns.Name, "")
		for _, l := range links {
			l.Counters = nil
			x := ""
			if l.XDP != nil {
				x = fmt.Sprintf("%+v", *l.XDP)
				l.XDP = nil
			}
			fmt.Fprintf(&b, "  link %+v %s\n", l, x)
		}
		addrs, _ := t.Addresses(ns.Name, "")
		for _, a := range addrs {
			fmt.Fprintf(&b, "  addr %+v\n", a)
		}
		_ = t.Routes(ns.Name, netip.Prefix{}, func(r RouteInfo) error {
			fmt.Fprintf(&b, "  route %s\n", routeLine(r))
			return nil
		})
		neighbors, _ := t.Neighbors(ns.Name, "")
		for _, n := range neighbors {
			fmt.Fprintf(&b, "  neigh %+v\n", n)
		}
		public, _ := t.Namespace(ns.Name)
		snapshot := public.FIB.Load()
		for p, id := range snapshot.All() {
			fmt.Fprintf(&b, "  fib %s %+v\n", p, *snapshot.NextHop(id))
		}
	}
	return b.String()
}

func routeLine(r RouteInfo) string {
	return fmt.Sprintf("%s kind %d via %s dev %s src %s metric %d proto %d scope %d mtu %d order %d down %v",
		r.Prefix, r.Kind, r.Gateway, r.DeviceName, r.Source, r.Metric, r.Protocol, r.Scope, r.MTU, r.Order, r.LinkDown)
}

var _ = neigh.Permanent
