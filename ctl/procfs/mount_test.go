package procfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMountByLink: what a daemon has left is found by whatever name its directory is given, and removed; what lives is not.
func TestMountByLink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "real name")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	byLink, itself := filepath.Join(filepath.Dir(dir), "link"), filepath.Join(filepath.Dir(dir), "itself")
	if err := errors.Join(os.Symlink(dir, byLink), os.Symlink("real name/net", itself)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(byLink, "net"), itself, filepath.Join(dir, "net")} {
		m, err := newMount(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(m.unmount)
		if want := filepath.Join(dir, "net"); m.dir != want {
			t.Errorf("%s is mounted at %s", name, m.dir)
		}
		if kind, err := mountedAt(m.dir); err != nil || kind != "fuse.router" {
			t.Errorf("%s: %q is mounted, %v", name, kind, err)
		}
		unix.Close(m.fd) // the daemon dies
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if n := strings.Count(string(table), filepath.Base(filepath.Dir(dir))); err != nil || n != 1 {
		t.Errorf("%d mounts, %v", n, err)
	}
	living, err := newMount(itself)
	if err != nil {
		t.Fatal(err)
	}
	defer living.unmount()
	defer unix.Close(living.fd)
	if _, err := newMount(dir + "/net"); !errors.Is(err, errAlive) { // it never answers, even
		t.Errorf("beside one that lives: %v", err)
	}
}
