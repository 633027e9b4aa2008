package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"nsrouter/ctl/feed"
	"nsrouter/ctl/hostside"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// testHosts makes hosts whose Linux namespaces no other process uses, removed at the test's end.
func testHosts(t *testing.T) (*hosts, *observer.ObservedLogs) {
	t.Helper()
	return testHostsWith(t, nil) // there is but lo
}

// testHostsWith makes hosts with a way to make TAPs.
func testHostsWith(t *testing.T, open func(string, int) (hostside.TAP, error)) (*hosts, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	side := hostside.New(hostside.Options{Log: zap.New(core), Open: open})
	table, err := nstable.Open(nstable.Options{Publishing: side.Publishing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	for _, name := range []string{"red", "ours", "theirs"} {
		if err := table.Do(func(tx *nstable.Tx) error { return tx.AddNamespace(name) }); err != nil {
			t.Fatal(err)
		}
	}
	h := newHosts(fmt.Sprintf("nsth%d-", os.Getpid()), side, feed.New(feed.Options{Table: table, Log: zap.New(core)}), table,
		zap.New(core))
	t.Cleanup(func() {
		if err := h.close(true); err != nil {
			t.Error(err)
		}
	})
	return h, logs
}

// exists tells whether a Linux namespace has a name in /run/netns.
func exists(name string) bool {
	_, err := os.Stat(filepath.Join(netns.Dir, name))
	return err == nil
}

// TestHeldNamespace: what a living daemon has, another does not take; when it has ended, it does.
func TestHeldNamespace(t *testing.T) {
	first, _ := testHosts(t)
	second, _ := testHosts(t)
	if err := first.Add("red"); err != nil {
		t.Fatal(err)
	}
	if err := second.Add("red"); !errors.Is(err, errHeld) {
		t.Errorf("held by another: %v, want %v", err, errHeld)
	}
	if err := first.Delete("red"); err != nil {
		t.Fatal(err)
	}
	if err := second.Add("red"); err != nil {
		t.Errorf("given up by the other: %v", err)
	}
	if err := second.Delete("red"); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(lockDir, first.prefix+"*")); len(left) != 0 {
		t.Errorf("locks are left: %v", left)
	}
}

// TestAdoptedNamespace: a namespace that was there before is used, and is there afterwards; an own one goes.
func TestAdoptedNamespace(t *testing.T) {
	h, _ := testHosts(t)
	theirs, ours := h.prefix+"theirs", h.prefix+"ours"
	handle, err := netns.Create(theirs)
	if err != nil {
		t.Fatal(err)
	}
	defer handle.Close()
	t.Cleanup(func() { _ = netns.Delete(theirs) })
	for _, name := range []string{"theirs", "ours"} {
		if err := h.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok := h.ByInode(handle.Inode()); !ok || got != "theirs" {
		t.Errorf("the adopted namespace is %q, %v", got, ok)
	}
	for _, name := range []string{"theirs", "ours"} {
		if err := h.Delete(name); err != nil {
			t.Fatal(err)
		}
	}
	if !exists(theirs) || exists(ours) {
		t.Errorf("adopted: there %v; made: there %v", exists(theirs), exists(ours))
	}
}

// TestLostName: a name that somebody has removed comes back, and is reported; one that another has taken is not touched.
func TestLostName(t *testing.T) {
	h, logs := testHosts(t)
	if err := h.Add("red"); err != nil {
		t.Fatal(err)
	}
	name := h.prefix + "red"
	if err := netns.Delete(name); err != nil {
		t.Fatal(err)
	}
	h.restoreNames()
	if !exists(name) || logs.Len() != 1 {
		t.Fatalf("there %v, %d messages", exists(name), logs.Len())
	}
	if err := netns.Delete(name); err != nil {
		t.Fatal(err)
	}
	other, err := netns.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	t.Cleanup(func() {
		if err := netns.Delete(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	h.restoreNames()
	h.restoreNames()
	if logs.Len() != 2 {
		t.Errorf("%d messages, want one more", logs.Len())
	}
	if err := h.Delete("red"); err != nil {
		t.Fatal(err)
	}
	if !exists(name) {
		t.Error("another's namespace was removed")
	}
}

// TestOrphans: the Linux namespace of a deleted namespace is known as long as a process lives in it.
func TestOrphans(t *testing.T) {
	h, _ := testHosts(t)
	if err := h.Add("red"); err != nil {
		t.Fatal(err)
	}
	n := h.byName["red"]
	sleep := exec.Command("sleep", "100")
	if err := n.handle.Do(sleep.Start); err != nil {
		t.Fatal(err)
	}
	if err := h.Delete("red"); err != nil {
		t.Fatal(err)
	}
	h.forgetOrphans()
	if got, ok := h.ByInode(n.inode); !ok || got != "red (deleted)" {
		t.Errorf("with a process in it: %q, %v", got, ok)
	}
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = sleep.Wait() // killed
	h.forgetOrphans()
	if got, ok := h.ByInode(n.inode); ok {
		t.Errorf("without one: %q", got)
	}
}

// TestSlowDeletion: whose process asks is known while a Linux namespace takes its time to go, and of those inside the one
// that goes nobody is taken to be in init.
func TestSlowDeletion(t *testing.T) {
	opening, proceed := make(chan struct{}, 1), make(chan struct{})
	h, _ := testHostsWith(t, func(string, int) (hostside.TAP, error) {
		select {
		case opening <- struct{}{}:
		default:
		}
		<-proceed
		return nil, errors.New("there are no TAPs")
	})
	release := sync.OnceFunc(func() { close(proceed) })
	t.Cleanup(release)
	for _, name := range []string{"red", "ours"} {
		if err := h.Add(name); err != nil {
			t.Fatal(err)
		}
	}
	red, ours := h.byName["red"].inode, h.byName["ours"].inode
	if _, err := h.table.AddLink("red", nstable.LinkSpec{Name: "d0", Kind: nstable.Dummy}); err != nil {
		t.Fatal(err)
	}
	<-opening
	deleted, asked := make(chan error, 1), make(chan string, 1)
	go func() { deleted <- h.Delete("red") }()
	go func() {
		for {
			name, _ := h.ByInode(ours)
			if gone, _ := h.ByInode(red); gone != "red" {
				asked <- name + ", " + gone
				return
			}
		}
	}()
	select {
	case got := <-asked:
		if got != "ours, red (deleted)" {
			t.Errorf("known as %s", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("no answer while a namespace is deleted")
	}
	select {
	case err := <-deleted:
		t.Errorf("deleted though its TAP is still being made: %v", err)
	default:
	}
	release()
	if err := <-deleted; err != nil {
		t.Error(err)
	}
}
