package daemon

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockDir has a file for each name in [netns.Dir] that a daemon uses, which locks it. It is not in the Linux namespace,
// where programs could hold such a lock as well.
const lockDir = "/run/nsrouter/netns"

// errHeld says that another daemon lives that has a Linux namespace.
var errHeld = errors.New("another router that runs holds it: give this one names of its own with --netns-prefix")

// lockName takes a name for this daemon until it ends, or [unlockName] is called. Names that nobody else sees are free.
func (h *hosts) lockName(name string) (*os.File, error) {
	if !h.named {
		return nil, nil
	}
	if err := os.MkdirAll(lockDir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(lockDir, name)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				err = errHeld
			}
			return nil, err
		}
		// It may have been removed between the two by who had it before.
		mine, err := f.Stat()
		if now, statErr := os.Stat(path); err == nil && statErr == nil && os.SameFile(mine, now) {
			return f, nil
		}
		f.Close()
	}
}

func unlockName(lock *os.File) {
	if lock != nil {
		_ = os.Remove(lock.Name())
		lock.Close()
	}
}
