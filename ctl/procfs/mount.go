package procfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fsType = "router" // mount(8) shows it as fuse.router
	// maxRead is how many bytes the kernel asks for at once: what cat(1) does.
	maxRead = 128 << 10
	// maxLeftovers is how many mounts may lie upon another.
	maxLeftovers = 16
)

// mount is a FUSE mount.
type mount struct {
	dir string
	fd  int // of /dev/fuse; the library's once it serves
}

// newMount mounts at a directory that is made if it is not there.
func newMount(dir string) (*mount, error) {
	dir, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	if err := removeLeftovers(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/fuse: %w (modprobe fuse)", err)
	}
	// allow_other: this is for all users. The kernel checks no mode bits then, the answers are by rights.
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,max_read=%d", fd, maxRead)
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount(fsType, dir, "fuse."+fsType, flags, options); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("mount: %w", err)
	}
	return &mount{dir: dir, fd: fd}, nil
}

// resolve is where a directory is by the names that the kernel knows mounts by, without symbolic links. Its parents are made,
// and it is not itself looked into.
func resolve(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if to, err := os.Readlink(dir); err == nil {
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(dir), to)
		}
		dir = to
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	if parent, err = filepath.EvalSymlinks(parent); err != nil {
		return "", err
	}
	return filepath.Join(parent, filepath.Base(dir)), nil
}

// device is the name by which the library takes the mount over.
func (m *mount) device() string { return fmt.Sprintf("/dev/fd/%d", m.fd) }

// unmount takes the mount away, and ends what is being asked: MNT_FORCE aborts the connection (fuse_umount_begin of the
// kernel's fs/fuse/inode.c), so that neither who is in the tree nor who has a file open keeps it.
func (m *mount) unmount() { _ = unix.Unmount(m.dir, unix.MNT_FORCE|unix.MNT_DETACH) }

// errAlive says that somebody answers at the directory.
var errAlive = errors.New("another router that runs shows its namespaces there: give this one a directory of its own")

// removeLeftovers takes away what daemons that do not live any more have mounted at dir. The directory itself is looked at
// only where nothing of FUSE is mounted, since that may answer late or never.
func removeLeftovers(dir string) error {
	for range maxLeftovers {
		kind, err := mountedAt(dir)
		if err != nil || kind != "fuse."+fsType {
			return err
		}
		if answers(dir) {
			return errAlive
		}
		if err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
			return fmt.Errorf("what a daemon before has left there cannot be unmounted: %w (umount -l %s)", err, dir)
		}
	}
	return errAlive
}

// answerTime is how long a living daemon may take to answer.
const answerTime = 2 * time.Second

// answers tells whether the daemon of a FUSE mount lives: that of a dead one says ENOTCONN. One that does not answer in time
// is taken for alive.
func answers(dir string) bool {
	result := make(chan error, 1)
	go func() {
		var st unix.Statfs_t
		result <- unix.Statfs(dir, &st)
	}()
	select {
	case err := <-result:
		return !errors.Is(err, unix.ENOTCONN)
	case <-time.After(answerTime):
		return true
	}
}

// mountedAt is the type of what is mounted at a directory, the uppermost; "" if nothing is (proc_pid_mountinfo(5)).
func mountedAt(dir string) (kind string, err error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		const mountPoint = 4
		if len(fields) > mountPoint && len(rest) > 0 && unescape(fields[mountPoint]) == dir {
			kind = rest[0]
		}
	}
	return kind, nil
}

// unescape undoes what mountinfo does to blanks and backslashes.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
