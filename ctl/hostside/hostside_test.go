package hostside

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a table whose namespaces red and blue are shown in a Linux namespace each.
type rig struct {
	*testing.T
	table  *nstable.Table
	server *Server
	linux  map[string]*netns.Handle
	logs   *observer.ObservedLogs

	follows atomic.Int32 // addresses that were to be taken from Linux, or taken away

	mu       sync.Mutex
	hosts    map[nstable.DeviceID]TAP // as SetHost said
	resolved map[netip.Addr]*nstable.Device
}

func newRig(t *testing.T) *rig {
	r := &rig{
		T: t, linux: make(map[string]*netns.Handle), hosts: make(map[nstable.DeviceID]TAP),
		resolved: make(map[netip.Addr]*nstable.Device),
	}
	r.start()
	var err error
	r.table, err = nstable.Open(nstable.Options{
		Publishing: func(old, next *nstable.View) { r.server.Publishing(old, next) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.table.Close)
	for _, name := range []string{"red", "blue"} {
		r.do(func(tx *nstable.Tx) error { return tx.AddNamespace(name) })
		if r.linux[name], err = netns.Anonymous(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.linux[name].Close() })
		r.attach(name)
	}
	t.Cleanup(func() {
		if err := r.server.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// start makes the server: of a daemon that starts.
func (r *rig) start() {
	core, logs := observer.New(zap.WarnLevel)
	r.logs = logs
	r.server = New(Options{
		Open: openTAP,
		SetHost: func(dev *nstable.Device, t TAP) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if t == nil {
				delete(r.hosts, dev.ID)
			} else {
				r.hosts[dev.ID] = t
			}
		},
		Resolve: func(dev *nstable.Device, addr netip.Addr) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.resolved[addr] = dev
		},
		Follow: func(dev *nstable.Device, c nstable.LinkChange) error { return r.table.SetLinkOf(dev, c) },
		FollowAddress: func(dev *nstable.Device, p netip.Prefix, added bool) error {
			r.follows.Add(1)
			return r.table.DoFor(dev, func(tx *nstable.Tx, ns, name string) error {
				if !added {
					return tx.DeleteAddress(ns, name, p)
				}
				return tx.ReplaceAddress(ns, name, nstable.AddressSpec{Prefix: p, NoDAD: true})
			})
		},
		FollowNeighbor: func(dev *nstable.Device, addr netip.Addr, mac *[6]byte) error {
			return r.table.DoFor(dev, func(tx *nstable.Tx, ns, name string) error {
				if mac == nil {
					return tx.DeleteNeighbor(ns, name, addr)
				}
				return tx.SetNeighbor(nstable.ReplaceNeighbor, ns, name, addr, *mac, neigh.Permanent)
			})
		},
		Log: zap.New(core),
	})
}

func (r *rig) attach(name string) {
	r.Helper()
	ns, err := r.table.Namespace(name)
	if err != nil {
		r.Fatal(err)
	}
	if err := r.server.Attach(ns, r.linux[name]); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) do(fn func(*nstable.Tx) error) {
	r.Helper()
	if err := r.table.Do(fn); err != nil {
		r.Fatal(err)
	}
}

// host is the TAP that a device is connected with, or nil.
func (r *rig) host(id nstable.DeviceID) TAP {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hosts[id]
}

// settle waits until Linux shows all.
func (r *rig) settle() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	r.server.Settle(ctx)
	if ctx.Err() != nil {
		r.Fatal("Linux does not show what was published")
	}
}

func (r *rig) link(ns string, spec nstable.LinkSpec) *nstable.Device {
	r.Helper()
	if _, err := r.table.AddLink(ns, spec); err != nil {
		r.Fatal(err)
	}
	return r.device(ns, spec.Name)
}

// dummy makes a dummy device that is up, with addresses.
func (r *rig) dummy(ns, name string, addrs ...string) *nstable.Device {
	r.Helper()
	r.link(ns, nstable.LinkSpec{Name: name, Kind: nstable.Dummy})
	r.set(ns, name, nstable.LinkChange{Up: new(true)})
	r.addresses(ns, name, addrs...)
	r.settle()
	return r.device(ns, name)
}

func (r *rig) addresses(ns, name string, addrs ...string) {
	r.Helper()
	for _, a := range addrs {
		r.do(func(tx *nstable.Tx) error {
			return tx.AddAddress(ns, name, nstable.AddressSpec{Prefix: netip.MustParsePrefix(a)})
		})
	}
}

func (r *rig) set(ns, name string, c nstable.LinkChange) {
	r.Helper()
	if err := r.table.SetLink(ns, name, c); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) device(ns, name string) *nstable.Device {
	r.Helper()
	for _, d := range r.table.View().Devices {
		if d != nil && d.Name == name && d.Namespace.Name() == ns {
			return d
		}
	}
	r.Fatalf("no device %s in %s", name, ns)
	return nil
}

// inside runs fn in the Linux namespace of a router namespace.
func (r *rig) inside(ns string, fn func() error) {
	r.Helper()
	if err := r.linux[ns].Do(fn); err != nil {
		r.Fatal(err)
	}
}

// shown is the interfaces of a Linux namespace but lo, with their addresses, as text. What the kernel makes by itself in
// every namespace (sit0, ...) is left out.
func (r *rig) shown(ns string) string {
	r.Helper()
	var out strings.Builder
	r.inside(ns, func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			a := l.Attrs()
			if l.Type() != "tuntap" {
				continue
			}
			fmt.Fprintf(&out, "%d %s %s mtu %d up %v carrier %v state %s", a.Index, a.Name, a.HardwareAddr, a.MTU,
				a.RawFlags&unix.IFF_UP != 0, a.RawFlags&unix.IFF_LOWER_UP != 0, a.OperState)
			addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
			if err != nil {
				return err
			}
			text := make([]string, len(addrs))
			for i := range addrs {
				text[i] = addrs[i].IPNet.String()
				if addrs[i].Flags&unix.IFA_F_TENTATIVE != 0 {
					text[i] += " tentative"
				}
			}
			slices.Sort(text)
			fmt.Fprintf(&out, " %v\n", text)
		}
		return nil
	})
	return out.String()
}

// wanted is what shown has to be.
func (r *rig) wanted(ns string) string {
	r.Helper()
	var out strings.Builder
	devices := slices.DeleteFunc(slices.Clone(r.table.View().Devices), func(d *nstable.Device) bool {
		return d == nil || d.Namespace.Name() != ns || d.Kind == nstable.Loopback
	})
	slices.SortFunc(devices, func(a, b *nstable.Device) int { return a.Index - b.Index })
	for _, d := range devices {
		text := make([]string, len(d.Addrs))
		for i, a := range d.Addrs {
			text[i] = a.String()
		}
		slices.Sort(text)
		fmt.Fprintf(&out, "%d %s %s mtu %d up %v carrier %v state %s %v\n", d.Index, d.Name, net.HardwareAddr(d.MAC[:]), d.MTU,
			d.Up, d.Up && d.Carrier, map[bool]string{true: "up", false: "down"}[d.Up && d.Carrier], text)
	}
	return out.String()
}

// same compares Linux with the router.
func (r *rig) same(when string) {
	r.Helper()
	r.settle()
	for ns := range r.linux {
		want := r.wanted(ns)
		// The kernel has a carrier's change told by a work queue.
		r.eventually(fmt.Sprintf("%s, %s:\n%swant:\n%s", when, ns, r.shown(ns), want), func() bool { return r.shown(ns) == want })
	}
}

func (r *rig) eventually(what string, cond func() bool) {
	r.Helper()
	r.within(3*time.Second, what, cond)
}

func (r *rig) within(limit time.Duration, what string, cond func() bool) {
	r.Helper()
	for deadline := time.Now().Add(limit); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not in time: %s", what)
		}
	}
}

func TestMirror(t *testing.T) {
	r := newRig(t)
	d := r.dummy("red", "d1", "10.0.0.1/24", "10.0.0.9/24", "2001:db8::1/64")
	r.same("made")
	if len(d.Addrs) != 4 {
		t.Fatalf("addresses %v: no link-local one", d.Addrs)
	}
	if r.host(d.ID) == nil {
		t.Error("the device is not connected with its TAP")
	}
	r.set("red", "d1", nstable.LinkChange{MTU: 1300, MAC: &[6]byte{2, 0, 0, 0, 0, 7}, Name: "d2"})
	r.same("other MTU, MAC, name")
	r.do(func(tx *nstable.Tx) error { return tx.DeleteAddress("red", "d2", netip.MustParsePrefix("10.0.0.1/24")) })
	r.same("without its first address")
	r.set("red", "d2", nstable.LinkChange{Up: new(false)})
	r.same("down")
	r.set("red", "d2", nstable.LinkChange{Up: new(true)})
	r.same("up")
	r.set("red", "d2", nstable.LinkChange{Name: "d3", Namespace: "blue"})
	r.same("moved")
	r.addresses("blue", "d3", "10.0.0.1/24")
	r.set("blue", "d3", nstable.LinkChange{Up: new(true)})
	r.same("up, elsewhere")
	if err := r.table.DeleteLink("blue", "d3"); err != nil {
		t.Fatal(err)
	}
	r.same("deleted")
	if len(r.hosts) != 0 {
		t.Errorf("devices that are no more are connected: %v", r.hosts)
	}
	if n := r.logs.Len(); n != 0 {
		t.Errorf("%d messages: %v", n, r.logs.All())
	}
}

// TestCarrier: a veth has a carrier while its peer is up.
func TestCarrier(t *testing.T) {
	r := newRig(t)
	r.link("red", nstable.LinkSpec{Name: "v0", Kind: nstable.Veth, Peer: "v1", PeerNamespace: "blue"})
	r.set("red", "v0", nstable.LinkChange{Up: new(true)})
	r.same("peer down")
	r.set("blue", "v1", nstable.LinkChange{Up: new(true)})
	r.same("peer up")
	r.set("blue", "v1", nstable.LinkChange{Up: new(false)})
	r.same("peer down again")
}

// TestSwap: devices take each other's names in one transaction, of which Linux sees no step between.
func TestSwap(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "a", "10.0.0.1/24")
	r.dummy("red", "b", "10.0.1.1/24")
	view := r.table.View()
	a, b := r.device("red", "a"), r.device("red", "b")
	next := &nstable.View{Devices: slices.Clone(view.Devices), Namespaces: view.Namespaces}
	swapped := func(d *nstable.Device, name string) {
		c := *d
		c.Name = name
		next.Devices[d.ID] = &c
	}
	swapped(a, "b")
	swapped(b, "a")
	r.server.Publishing(view, next)
	r.settle()
	out := r.shown("red")
	if !strings.Contains(out, fmt.Sprintf("%d b ", a.Index)) || !strings.Contains(out, fmt.Sprintf("%d a ", b.Index)) {
		t.Errorf("not swapped:\n%s", out)
	}
}

// TestSmallMTU: below 1280 Linux has no IPv6, and gets it back above.
func TestSmallMTU(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1")
	r.set("red", "d1", nstable.LinkChange{MTU: 600})
	r.settle()
	r.set("red", "d1", nstable.LinkChange{MTU: 1500})
	r.addresses("red", "d1", "2001:db8::1/64")
	r.same("large again")
}

// TestDeleted: a TAP that somebody deletes is made again, and the log tells.
func TestDeleted(t *testing.T) {
	r := newRig(t)
	d := r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64")
	before := r.host(d.ID)
	r.inside("red", func() error {
		l, err := netlink.LinkByName("d1")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	r.eventually("the TAP is made again", func() bool {
		now := r.host(d.ID)
		return now != nil && now != before
	})
	r.same("made again")
	if r.logs.FilterMessageSnippet("deleted").Len() != 1 {
		t.Errorf("messages: %v", r.logs.All())
	}
}

// TestMovedAway: a TAP that somebody takes into another Linux namespace is deleted there, and made again where it belongs.
func TestMovedAway(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64")
	r.inside("red", func() error {
		l, err := netlink.LinkByName("d1")
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(l, r.linux["blue"].FD())
	})
	r.eventually("the TAP is made again", func() bool { return r.logs.FilterMessageSnippet("moved away").Len() == 1 })
	r.same("made again")
	r.eventually("nothing of it in blue", func() bool { return r.shown("blue") == r.wanted("blue") })
}

// TestFollow: state and MTU that somebody gives the TAP are the device's then; name, MAC address, and an MTU that no device
// can have, are put back.
func TestFollow(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64")
	change := func(f func(netlink.Link) error) {
		t.Helper()
		r.inside("red", func() error {
			l, err := netlink.LinkByName("d1")
			if err != nil {
				return err
			}
			return f(l)
		})
	}
	change(netlink.LinkSetDown)
	r.eventually("the device is down", func() bool { return !r.device("red", "d1").Up })
	r.same("down")
	change(netlink.LinkSetUp)
	r.eventually("the device is up", func() bool { return r.device("red", "d1").Up })
	r.same("up")
	change(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1400) })
	r.eventually("the device has the MTU", func() bool { return r.device("red", "d1").MTU == 1400 })
	r.same("MTU")
	if n := r.logs.Len(); n != 0 {
		t.Errorf("%d messages: %v", n, r.logs.All())
	}
	change(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 9600) })
	r.same("MTU put back")
	change(func(l netlink.Link) error { return netlink.LinkSetHardwareAddr(l, net.HardwareAddr{2, 0, 0, 0, 0, 9}) })
	r.same("MAC put back")
	change(func(l netlink.Link) error { return netlink.LinkSetName(l, "other") })
	r.same("name put back")
	if n := r.logs.Len(); n != 3 {
		t.Errorf("%d messages, want 3: %v", n, r.logs.All())
	}
}

// TestAdopt: what a daemon has left is taken as it is: a TAP that is up stays so. What is of no use any more goes; what
// others have added stays.
func TestAdopt(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1", "10.0.0.1/24", "10.0.1.1/24", "2001:db8::1/64")
	r.dummy("red", "d2")
	r.settle()
	foreign := "192.0.2.1/24"
	var downs int
	updates, done := make(chan netlink.LinkUpdate, 64), make(chan struct{})
	r.inside("red", func() error {
		l, err := netlink.LinkByName("d1")
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(foreign)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
		return netlink.LinkSubscribe(updates, done)
	})
	if err := r.server.Close(); err != nil {
		t.Fatal(err)
	}
	r.do(func(tx *nstable.Tx) error { return tx.DeleteAddress("red", "d1", netip.MustParsePrefix("10.0.1.1/24")) })
	if err := r.table.DeleteLink("red", "d2"); err != nil {
		t.Fatal(err)
	}
	view := r.table.View()
	r.start()
	r.server.Publishing(new(nstable.View), view)
	r.attach("red")
	r.attach("blue")
	r.settle()
	close(done)
	for u := range updates {
		if u.Attrs().Name == "d1" && u.IfInfomsg.Flags&unix.IFF_UP == 0 {
			downs++
		}
	}
	if downs > 0 {
		t.Errorf("d1 was down %d times", downs)
	}
	out := r.shown("red")
	if !strings.Contains(out, " d1 ") || strings.Contains(out, " d2 ") || strings.Contains(out, "10.0.1.1/24") ||
		!strings.Contains(out, foreign) || !strings.Contains(out, "10.0.0.1/24") {
		t.Errorf("adopted:\n%s", out)
	}
}

// TestLoopback: lo of Linux has the addresses of the router's lo.
func TestLoopback(t *testing.T) {
	r := newRig(t)
	has := func(addr string) (found bool) {
		r.inside("red", func() error {
			lo, err := netlink.LinkByName("lo")
			if err != nil {
				return err
			}
			addrs, err := netlink.AddrList(lo, netlink.FAMILY_ALL)
			found = slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IPNet.String() == addr }) &&
				lo.Attrs().RawFlags&unix.IFF_UP != 0
			return err
		})
		return found
	}
	r.addresses("red", "lo", "192.0.2.1/32", "2001:db8::1/128")
	r.settle()
	for _, a := range []string{"127.0.0.1/8", "::1/128", "192.0.2.1/32", "2001:db8::1/128"} {
		if !has(a) {
			t.Errorf("lo is down or has no %s", a)
		}
	}
	r.do(func(tx *nstable.Tx) error {
		return tx.DeleteAddress("red", "lo", netip.MustParsePrefix("192.0.2.1/32"))
	})
	r.settle()
	if has("192.0.2.1/32") {
		t.Error("lo has an address that the router's has not")
	}
}

// neighbor is what Linux knows of a neighbour.
func (r *rig) neighbor(ns, addr string) (n netlink.Neigh) {
	r.Helper()
	r.inside(ns, func() error {
		list, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for i := range list {
			if list[i].IP.String() == addr {
				n = list[i]
			}
		}
		return err
	})
	return n
}

// send has a program in the namespace send to an address.
func (r *rig) send(ns, addr string) {
	r.Helper()
	r.inside(ns, func() error {
		c, err := net.Dial("udp", net.JoinHostPort(addr, "9"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	})
}

// TestNeighbors: Linux asks the router, and is told what the router finds out: at once, and what changes later.
func TestNeighbors(t *testing.T) {
	r := newRig(t)
	d := r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64")
	const macA, macB = 0x02000000aa01, 0x02000000bb02
	for _, to := range []string{"10.0.0.7", "2001:db8::7"} {
		addr := netip.MustParseAddr(to)
		r.send("red", to)
		r.eventually("the data plane is asked for "+to, func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.resolved[addr] != nil && r.resolved[addr].ID == d.ID
		})
		e := d.Neighbors.Add(fib.AddrOf(addr), 0)
		for _, c := range []struct {
			state neigh.State
			mac   uint64
			want  int
		}{
			{neigh.Reachable, macA, netlink.NUD_REACHABLE},
			{neigh.Stale, macB, netlink.NUD_REACHABLE},
			{neigh.Failed, 0, netlink.NUD_FAILED},
		} {
			e.Set(c.state, c.mac, 0)
			r.server.NeighborChanged(d.ID, e)
			r.eventually(fmt.Sprintf("%s is %v: %+v", to, c.state, r.neighbor("red", to)), func() bool {
				n := r.neighbor("red", to)
				mac := header.MACBytes(c.mac)
				return n.State == c.want && (c.mac == 0 || n.HardwareAddr.String() == net.HardwareAddr(mac[:]).String())
			})
		}
		// Known already when it is asked for: the router's entry is in use from then on.
		e.Set(neigh.Stale, macA, 0)
		r.send("red", to)
		r.eventually(to+" is told at once", func() bool { return r.neighbor("red", to).State == netlink.NUD_REACHABLE })
		if !e.InUse() {
			t.Errorf("%s: the data plane does not know that it is used", to)
		}
		d.Neighbors.Delete(e)
		r.server.NeighborChanged(d.ID, e)
		r.eventually(to+" is forgotten", func() bool { return r.neighbor("red", to).State&netlink.NUD_REACHABLE == 0 })
	}
	// What nobody asked for is not told.
	other := d.Neighbors.Add(fib.AddrOf(netip.MustParseAddr("10.0.0.8")), 0)
	other.Set(neigh.Reachable, macA, 0)
	r.server.NeighborChanged(d.ID, other)
	time.Sleep(50 * time.Millisecond)
	if n := r.neighbor("red", "10.0.0.8"); n.IP != nil {
		t.Errorf("Linux has %+v, without asking", n)
	}
}

// TestRefused: what cannot be is logged once, hinders nothing else, and is there when it can be.
func TestRefused(t *testing.T) {
	r := newRig(t)
	r.inside("red", func() error {
		a := netlink.NewLinkAttrs()
		a.Name = "taken"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: a, PeerName: "peer"})
	})
	r.dummy("red", "taken", "10.0.0.1/24")
	r.dummy("red", "d2", "10.0.1.1/24")
	r.addresses("red", "d2", "10.0.2.1/24")
	r.settle()
	if out := r.shown("red"); !strings.Contains(out, "10.0.2.1/24") || strings.Contains(out, "taken") {
		t.Errorf("shown:\n%s", out)
	}
	if n := r.logs.Len(); n != 1 {
		t.Errorf("%d messages, want 1: %v", n, r.logs.All())
	}
	r.inside("red", func() error {
		l, err := netlink.LinkByName("taken")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	r.addresses("red", "d2", "10.0.3.1/24")
	r.settle()
	if out := r.shown("red"); !strings.Contains(out, "taken") {
		t.Errorf("the name is free, and not used:\n%s", out)
	}
}

// TestQuiet: Linux says nothing by itself on a TAP about who has which address.
func TestQuiet(t *testing.T) {
	r := newRig(t)
	d := r.dummy("red", "d1", "10.0.0.1/24", "2001:db8::1/64")
	r.send("red", "10.0.0.7")
	r.send("red", "2001:db8::7")
	file := r.host(d.ID).(*testTAP).file
	buf := make([]byte, 2048)
	for {
		if err := file.SetReadDeadline(time.Now().Add(1500 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := file.Read(buf)
		if os.IsTimeout(err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		const neighborSolicitation, neighborAdvertisement, routerSolicitation = 135, 136, 133
		switch e := header.Ethernet(buf[:n]); e.Type() {
		case header.TypeARP:
			t.Errorf("ARP: % x", e)
		case header.TypeIPv6:
			if kind := buf[14+40]; buf[14+6] == 58 &&
				(kind == neighborSolicitation || kind == neighborAdvertisement || kind == routerSolicitation) {
				t.Errorf("ND, type %d: % x", kind, e)
			}
		}
	}
}
