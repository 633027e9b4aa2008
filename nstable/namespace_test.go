package nstable

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"nsrouter/nstable/setting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func (b *bench) namespaceNames() string {
	var names []string
	for _, ns := range b.Namespaces() {
		names = append(names, ns.Name)
	}
	return strings.Join(names, " ")
}

func TestNamespaceNames(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"red", "a.b-c_d", "0", "größe", strings.Repeat("x", 255)} {
		b.ok(b.addNamespace(name))
		b.refused(b.addNamespace(name), Exists, name)
		b.ok(b.DeleteNamespace(name))
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", "a\x00", "a\n", "\x7f", strings.Repeat("x", 256)} {
		b.refused(b.addNamespace(name), Invalid, "Invalid netns name")
	}
	b.want(b.namespaceNames(), "init")
}

func TestNamespaceList(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"red", "blue", "a"} {
		b.ok(b.addNamespace(name))
	}
	b.want(b.namespaceNames(), "init a blue red")
	b.refused(b.DeleteNamespace("init"), Refused, "init")
	b.refused(b.DeleteNamespace("green"), NotFound, "green")
	b.refused(b.addNamespace("init"), Exists, "init")
	b.reopen()
	b.want(b.namespaceNames(), "init a blue red")
}

// TestRenameNamespace: all that a namespace has goes by the new name, also after a restart; the old one is free.
func TestRenameNamespace(t *testing.T) {
	b := newBench(t)
	rename := func(from, to string) error {
		return b.Do(func(tx *Tx) error { return tx.RenameNamespace(from, to) })
	}
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	b.ok(b.Do(func(tx *Tx) error { return tx.SetNamespace("red", []setting.Value{{Name: "max-routes", Value: "77"}}) }))
	for _, c := range []struct {
		from, to string
		kind     ErrorKind
	}{
		{"red", "blue", Exists}, {"red", "init", Exists}, {"init", "home", Refused}, {"green", "x", NotFound}, {"red", "a/b", Invalid},
	} {
		b.refused(rename(c.from, c.to), c.kind, "")
	}
	b.want(b.namespaceNames(), "init blue red")
	public, err := b.Namespace("red")
	b.ok(err)
	of, all := b.subscribe("red"), b.subscribe("")
	defer of.Close()
	defer all.Close()
	b.ok(rename("red", "rouge"))
	b.want(fmt.Sprint(b.events(of)), "[red -netns]")
	b.want(fmt.Sprint(b.events(all)), "[red -netns rouge +netns was red]")
	b.ok(rename("rouge", "rouge"))
	b.ok(b.addNamespace("red"))
	for range 2 {
		b.want(b.namespaceNames(), "init blue red rouge")
		b.want(b.addrsOf("rouge", "lo"), "127.0.0.1/8, ::1/128")
		if got := b.Namespaces()[3].Settings.MaxRoutes; got != 77 {
			t.Errorf("max-routes %d", got)
		}
		if public.Name() != "rouge" {
			t.Errorf("workers and others know it as %s", public.Name())
		}
		b.reopen()
	}
	b.ok(b.DeleteNamespace("rouge"))
	b.want(b.namespaceNames(), "init blue red")
}

// TestNamespaceHasLo: lo is there and up from the start, with its addresses, and stays what it is.
func TestNamespaceHasLo(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	for _, ns := range []string{"init", "red"} {
		links, err := b.Links(ns, "")
		b.ok(err)
		if l := links[0]; len(links) != 1 || l.Name != "lo" || l.Index != 1 || !l.Up || !l.Carrier || l.MTU != 65536 {
			t.Fatalf("namespace %s has %+v", ns, links)
		}
		b.want(b.addrsOf(ns, "lo"), "127.0.0.1/8, ::1/128")
	}
	b.refused(b.DeleteLink("red", "lo"), Refused, "lo")
	b.refused(b.SetLink("red", "lo", LinkChange{Namespace: "init", Name: "lo2"}), Invalid, "lo")
	b.refused(b.SetLink("red", "lo", LinkChange{Name: "lo2"}), Invalid, "lo")
	b.refused(b.SetLink("red", "lo", LinkChange{MAC: &[6]byte{2}}), Invalid, "lo")
	_, err := b.AddLink("red", LinkSpec{Name: "lo2", Kind: Loopback})
	b.refused(err, Refused, "lo")
	b.ok(b.up("red", "lo", false))
	b.ok(b.up("red", "lo", true))
}

// TestNamespaceDelete: XDP devices go home, down and unconfigured, renamed where the name is taken; the virtual ones
// go, and their peers.
func TestNamespaceDelete(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	b.xdp("red", "p1", "192.0.2.1/24", "2001:db8::1/64")
	b.xdp("red", "p2", "198.51.100.1/24")
	b.dummy("init", "p2")
	b.dummy("init", "dev0")
	b.dummy("red", "d")
	b.link("red", LinkSpec{Name: "v", Kind: Veth, Peer: "w", PeerNamespace: "blue"})
	b.link("red", LinkSpec{Name: "in1", Kind: Veth, Peer: "in2"})
	b.ok(b.route(0, "red", via("203.0.113.0/24", "192.0.2.2", "")))
	b.ok(b.Do(func(tx *Tx) error {
		return tx.SetNeighbor(AddNeighbor, "red", "p1", addrOf("192.0.2.9"), [6]byte{2, 9}, permanent)
	}))
	port := b.deviceID("red", "p1")
	b.ok(b.DeleteNamespace("red"))

	b.want(linkNames(b, "init"), "lo p2 dev0 p1 dev1")
	b.want(linkNames(b, "blue"), "lo")
	for _, name := range []string{"p1", "dev1"} {
		links, err := b.Links("init", name)
		b.ok(err)
		if links[0].Up || links[0].Kind != XDP {
			t.Errorf("%s came home as %+v", name, links[0])
		}
		b.want(b.addrsOf("init", name), "")
	}
	if c := b.ports.config[port]; c.Up {
		t.Errorf("the host interface of p1 is still up: %+v", c)
	}
	b.want(b.routesOf("init"), "")
	if n, err := b.Neighbors("init", ""); err != nil || len(n) > 0 {
		t.Errorf("neighbours came home too: %v %v", n, err)
	}
	before := dump(b.Table)
	b.reopen()
	b.want(dump(b.Table), before)
	for bucket, records := range b.store.data {
		if want := map[Bucket]int{BucketNamespace: 2, BucketDevice: 6, BucketAddress: 4}[Bucket(bucket)]; len(
			records,
		) != want {
			t.Errorf("%d %s records are stored, want %d", len(records), bucketNames[bucket], want)
		}
	}
}

// TestNamespaceAgain: a namespace of the same name can be made at once, and has nothing of the old one.
func TestNamespaceAgain(t *testing.T) {
	b := newBench(t)
	for range 3 {
		b.ok(b.addNamespace("red"))
		b.dummy("red", "d", "192.0.2.1/24")
		old, err := b.Namespace("red")
		b.ok(err)
		b.ok(b.DeleteNamespace("red"))
		if n := old.FIB.Len(); n != 0 {
			t.Errorf("the deleted namespace still has %d routes", n)
		}
	}
	// Both in one transaction.
	b.ok(b.addNamespace("red"))
	b.dummy("red", "d")
	b.ok(b.Do(func(tx *Tx) error {
		if err := tx.deleteNamespace(b.byName["red"]); err != nil {
			return err
		}
		return tx.AddNamespace("red")
	}))
	b.want(linkNames(b, "red"), "lo")
}

// TestNamespaceUndone: a namespace that a failing transaction made is nowhere, and its number is free again.
func TestNamespaceUndone(t *testing.T) {
	b := newBench(t)
	before := dump(b.Table)
	b.refused(b.Do(func(tx *Tx) error {
		if err := tx.AddNamespace("red"); err != nil {
			return err
		}
		return tx.AddNamespace("init")
	}), Exists, "init")
	b.want(dump(b.Table), before)
	b.ok(b.addNamespace("red"))
	if ns, err := b.Namespace("red"); err != nil || ns.ID != 1 {
		t.Errorf("namespace %+v, %v", ns, err)
	}
}
