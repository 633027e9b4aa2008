package netns_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"nsrouter/internal/netns"
)

// name returns a name that no other test process uses, deleted at the test's end.
func name(t *testing.T, suffix string) string {
	t.Helper()
	n := fmt.Sprintf("nst%d-%s", os.Getpid(), suffix)
	t.Cleanup(func() {
		if err := netns.Delete(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	return n
}

func closed(t *testing.T, h *netns.Handle) *netns.Handle {
	t.Helper()
	t.Cleanup(func() { h.Close() })
	return h
}

// inode is that of the namespace that the calling thread is in.
func inode(t *testing.T) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestCreateOpenDelete(t *testing.T) {
	n := name(t, "a")
	made, err := netns.Create(n)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, made)
	if made.Inode() == inode(t) {
		t.Fatal("the new namespace is the test's own")
	}
	if _, err := netns.Create(n); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second Create: got %v, want an error that is fs.ErrExist", err)
	}
	for what, open := range map[string]func() (*netns.Handle, error){
		"Open":  func() (*netns.Handle, error) { return netns.Open(n) },
		"Adopt": func() (*netns.Handle, error) { h, _, err := netns.Adopt(n); return h, err },
	} {
		h, err := open()
		if err != nil {
			t.Fatal(what, err)
		}
		if closed(t, h).Inode() != made.Inode() {
			t.Errorf("%s leads to another namespace", what)
		}
	}
	if list, err := netns.List(); err != nil || !slices.Contains(list, n) {
		t.Errorf("List: %v, %v, want %s among them", list, err, n)
	}
	if out, err := exec.Command("ip", "netns", "exec", n, "readlink", "/proc/self/ns/net").Output(); err != nil ||
		strings.TrimSpace(string(out)) != fmt.Sprintf("net:[%d]", made.Inode()) {
		t.Errorf("ip netns exec: %q, %v, want inode %d", out, err, made.Inode())
	}
	if err := netns.Delete(n); err != nil {
		t.Fatal(err)
	}
	if err := netns.Delete(n); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("second Delete: got %v, want an error that is fs.ErrNotExist", err)
	}
	if _, err := netns.Open(n); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of a deleted name: got %v, want an error that is fs.ErrNotExist", err)
	}
	if err := made.Do(func() error { return nil }); err != nil {
		t.Errorf("the handle does not outlive the name: %v", err)
	}
}

func TestLeftoverIsReplaced(t *testing.T) {
	n := name(t, "left")
	// What a namespace leaves when its mount is gone (a reboot with /run kept, or another mount namespace): a plain file.
	if err := os.MkdirAll(netns.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(netns.Dir, n), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if _, err := netns.Open(n); !errors.Is(err, netns.ErrNotNamespace) {
		t.Errorf("Open of a leftover: got %v, want ErrNotNamespace", err)
	}
	h, created, err := netns.Adopt(n)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, h)
	if !created {
		t.Error("a leftover was adopted")
	}
}

func TestNames(t *testing.T) {
	for _, bad := range []string{"", ".", "..", "a/b", "../x", strings.Repeat("x", 256)} {
		if _, err := netns.Create(bad); !errors.Is(err, netns.ErrName) {
			t.Errorf("Create(%q): got %v, want ErrName", bad, err)
		}
	}
}

func TestDo(t *testing.T) {
	h, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	closed(t, h)
	home := inode(t)
	if err := h.Do(func() error {
		if got := inode(t); got != h.Inode() {
			t.Errorf("fn runs in namespace %d, want %d", got, h.Inode())
		}
		links, err := net.Interfaces()
		if err == nil && len(links) != 1 {
			t.Errorf("a new namespace has %d interfaces, want lo alone", len(links))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	want := errors.New("mine")
	if err := h.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want the error of fn", err)
	}
	func() {
		defer func() {
			if got := recover(); got != "mine" {
				t.Errorf("recovered %v, want the panic of fn", got)
			}
		}()
		_ = h.Do(func() error { panic("mine") })
	}()
	returned := true
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.Do(func() error { runtime.Goexit(); return nil }) // as t.Fatal does
		returned = false
	}()
	<-ended
	if !returned {
		t.Error("Do returned after fn ended its goroutine")
	}
	var others sync.WaitGroup
	for range 64 {
		others.Go(func() {
			if got := inode(t); got != home {
				t.Errorf("a goroutine runs in namespace %d, want %d", got, home)
			}
		})
	}
	others.Wait()
}

func TestIdentity(t *testing.T) {
	a, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	closed(t, a)
	b, err := netns.Current()
	if err != nil {
		t.Fatal(err)
	}
	closed(t, b)
	ca, err := a.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	cb, err := b.Cookie()
	if err != nil {
		t.Fatal(err)
	}
	if ca == 0 || ca == cb {
		t.Errorf("cookies %d and %d, want two", ca, cb)
	}
	out, err := exec.Command("stat", "-L", "-c", "%i", a.Path()).Output()
	if err != nil || strings.TrimSpace(string(out)) != fmt.Sprint(a.Inode()) {
		t.Errorf("Path as seen by another process: inode %q, %v, want %d", out, err, a.Inode())
	}
}

func TestSocketAndProcesses(t *testing.T) {
	h, err := netns.Anonymous()
	if err != nil {
		t.Fatal(err)
	}
	closed(t, h)
	cmd := exec.Command("sleep", "60")
	var fd int
	if err := h.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return cmd.Start()
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	defer cmd.Wait()
	defer cmd.Process.Kill()

	if pids, err := netns.Pids(h.Inode()); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Errorf("Pids: %v, %v, want %d", pids, err, cmd.Process.Pid)
	}
	byPid, err := netns.OfPid(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	bySocket, err := netns.OfSocket(fd)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := closed(t, byPid).Inode(), closed(t, bySocket).Inode(); a != h.Inode() || b != h.Inode() {
		t.Errorf("OfPid %d, OfSocket %d, want %d", a, b, h.Inode())
	}
}

// TestRestore: a name that was taken away leads to the same namespace again; one that is another's now does not.
func TestRestore(t *testing.T) {
	n := name(t, "restored")
	h, err := netns.Create(n)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, h)
	if restored, err := h.Restore(n); err != nil || restored {
		t.Errorf("with its name: %v, %v", restored, err)
	}
	if err := netns.Delete(n); err != nil {
		t.Fatal(err)
	}
	if restored, err := h.Restore(n); err != nil || !restored {
		t.Errorf("without its name: %v, %v", restored, err)
	}
	now, err := netns.Open(n)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, now)
	if now.Inode() != h.Inode() {
		t.Error("the name leads elsewhere")
	}
	if err := netns.Delete(n); err != nil {
		t.Fatal(err)
	}
	other, err := netns.Create(n)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, other)
	if restored, err := h.Restore(n); !errors.Is(err, fs.ErrExist) || restored {
		t.Errorf("with another of the name: %v, %v", restored, err)
	}
}
