package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir holds the named namespaces, as for `ip netns`.
const Dir = "/run/netns"

var (
	// ErrNotNamespace says that a file is no network namespace: in [Dir], a leftover of one.
	ErrNotNamespace = errors.New("not a network namespace")
	// ErrName says that a name cannot be a file in [Dir].
	ErrName = errors.New("not a name for a network namespace: 1 to 255 bytes, no '/', neither '.' nor '..'")
)

// Create makes a namespace and names it. A file of that name that is no namespace is a leftover and is replaced; a
// namespace of that name is an error that is fs.ErrExist. The name stays until [Delete], also after the handle is
// closed.
func Create(name string) (*Handle, error) {
	h, created, err := Adopt(name)
	if err == nil && !created {
		h.Close()
		return nil, fmt.Errorf("create network namespace %s: %w", name, fs.ErrExist)
	}
	return h, err
}

// Adopt opens the namespace of a name, or makes it as [Create] does where there is none; created tells which.
func Adopt(name string) (h *Handle, created bool, err error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, false, err
	}
	unlock, err := lockDir()
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	switch h, err = open(path); {
	case err == nil:
		return h, false, nil
	case errors.Is(err, ErrNotNamespace):
		if err := remove(path); err != nil {
			return nil, false, fmt.Errorf("replace leftover: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, false, fmt.Errorf("open network namespace %s: %w", name, err)
	}
	if h, err = Anonymous(); err != nil {
		return nil, false, err
	}
	if err := bind(h, path); err != nil {
		h.Close()
		return nil, false, err
	}
	return h, true, nil
}

// Restore gives the namespace a name again that it had, where that was taken away; restored tells whether it was. A
// name that is another namespace's now is an error that is fs.ErrExist.
func (h *Handle) Restore(name string) (restored bool, err error) {
	path, err := pathOf(name)
	if err != nil {
		return false, err
	}
	if is, err := named(path); err == nil && is == h.inode { // as nearly always, without the lock
		return false, nil
	}
	unlock, err := lockDir()
	if err != nil {
		return false, err
	}
	defer unlock()
	switch is, err := named(path); {
	case err == nil && is == h.inode:
		return false, nil
	case err == nil:
		return false, fmt.Errorf("name network namespace %s: another one has the name: %w", name, fs.ErrExist)
	case errors.Is(err, ErrNotNamespace):
		if err := remove(path); err != nil {
			return false, fmt.Errorf("replace leftover: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, fmt.Errorf("open network namespace %s: %w", name, err)
	}
	return true, bind(h, path)
}

// named is the inode of the namespace that a file leads to.
func named(path string) (uint64, error) {
	h, err := open(path)
	if err != nil {
		return 0, err
	}
	return h.inode, h.Close()
}

// Open opens a named namespace.
func Open(name string) (*Handle, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	return open(path)
}

// Delete removes a name. The namespace itself lives on while a process, a socket or a handle is in it. A name that is
// not there is an error that is fs.ErrNotExist.
func Delete(name string) error {
	path, err := pathOf(name)
	if err != nil {
		return err
	}
	return remove(path)
}

// List returns the names in [Dir], sorted, leftovers included.
func List() ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

func pathOf(name string) (string, error) {
	if name == "" || name == "." || name == ".." || len(name) > unix.NAME_MAX || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%q: %w", name, ErrName)
	}
	return filepath.Join(Dir, name), nil
}

// bind gives a namespace its name: an empty file, mounted over.
func bind(h *Handle, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return fmt.Errorf("name network namespace: %w", err)
	}
	file.Close()
	if err := unix.Mount(h.Path(), path, "none", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("mount network namespace on %s: %w", path, err)
	}
	return nil
}

// remove takes mounts and file of a name away.
func remove(path string) error {
	// EINVAL: nothing is mounted there, a leftover. A missing file is told by Remove.
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return os.Remove(path)
}

// lockDir makes [Dir] and its mount point, and locks it against other makers of names (newer `ip netns` does the same)
// until unlock is called. The mount is shared, so that a name removed here is removed in the mount namespaces made from
// this one too.
func lockDir() (unlock func(), err error) {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(Dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		dir.Close()
		return nil, fmt.Errorf("lock %s: %w", Dir, err)
	}
	if err := shareDir(); err != nil {
		dir.Close()
		return nil, err
	}
	return func() { dir.Close() }, nil
}

// shareDir makes [Dir] a shared mount.
func shareDir() error {
	share := func() error { return unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err := share()
	if errors.Is(err, unix.EINVAL) { // no mount point yet
		if err := unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mount %s: %w (it needs root: CAP_SYS_ADMIN)", Dir, err)
		}
		err = share()
	}
	if err != nil {
		return fmt.Errorf("share mount %s: %w (it needs root: CAP_SYS_ADMIN)", Dir, err)
	}
	return nil
}
