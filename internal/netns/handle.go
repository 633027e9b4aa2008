// Package netns makes, opens and enters Linux network namespaces. It is the one place of this project where a thread
// changes its network namespace.
//
// A [Handle] holds a namespace by an open descriptor, which keeps it alive whether or not it has a name or a process. A
// named namespace is a bind mount in [Dir], as `ip netns` makes it, so that both see each other's.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// threadNS is the namespace of the thread that opens it.
const threadNS = "/proc/thread-self/ns/net"

// Handle is a reference to a Linux network namespace. It is safe for concurrent use but for Close.
type Handle struct {
	file  *os.File
	inode uint64
}

// Current returns the namespace of the calling thread: outside [Handle.Do], the one that the process was started in.
func Current() (*Handle, error) { return open(threadNS) }

// Anonymous makes a namespace without a name: it ends with the last handle, process or socket in it.
func Anonymous() (*Handle, error) {
	var h *Handle
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w (it needs root: CAP_SYS_ADMIN)", err)
		}
		return nil
	}, func() (err error) {
		h, err = open(threadNS)
		return err
	})
	return h, err
}

// OfPid returns the namespace that a process (its main thread) is in.
func OfPid(pid int) (*Handle, error) { return open(fmt.Sprintf("/proc/%d/ns/net", pid)) }

// OfPath returns the namespace that a file leads to, such as the /proc/PID/fd/N of another process.
func OfPath(path string) (*Handle, error) { return open(path) }

// OfSocket returns the namespace of a socket, which is the one it was made in, for its whole life; fd remains the
// caller's. For a connection accepted from a unix socket that is the client's namespace. It needs CAP_NET_ADMIN in that
// namespace.
func OfSocket(fd int) (*Handle, error) {
	nsfd, err := unix.IoctlRetInt(fd, unix.SIOCGSKNS)
	if err != nil {
		return nil, fmt.Errorf("network namespace of socket %d: %w", fd, err)
	}
	unix.CloseOnExec(nsfd)
	return wrap(os.NewFile(uintptr(nsfd), "netns of a socket"))
}

// open makes a handle from a path that leads to a network namespace.
func open(path string) (*Handle, error) {
	// Without O_NONBLOCK a leftover that is a FIFO would block.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return wrap(file)
}

// wrap makes a handle of an open file, which it takes over, also when it fails.
func wrap(file *os.File) (*Handle, error) {
	kind, err := unix.IoctlRetInt(int(file.Fd()), unix.NS_GET_NSTYPE)
	if err != nil || kind != unix.CLONE_NEWNET {
		file.Close()
		return nil, fmt.Errorf("%s: %w", file.Name(), ErrNotNamespace)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		file.Close()
		return nil, fmt.Errorf("stat %s: %w", file.Name(), err)
	}
	return &Handle{file: file, inode: st.Ino}, nil
}

// Close gives the reference up.
func (h *Handle) Close() error { return h.file.Close() }

// FD is the handle's descriptor. It remains the handle's.
func (h *Handle) FD() int { return int(h.file.Fd()) }

// Path is a name of the namespace for other processes, good as long as the handle is open: /proc/PID/fd/N.
func (h *Handle) Path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.FD()) }

// Inode is the number that names the namespace in /proc/PID/ns/net. It may be used again after the namespace's end.
func (h *Handle) Inode() uint64 { return h.inode }

// Cookie is the number that the kernel gave the namespace, never used again until the next boot (SO_NETNS_COOKIE).
func (h *Handle) Cookie() (cookie uint64, err error) {
	err = h.Do(func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("socket in the network namespace: %w", err)
		}
		defer unix.Close(fd)
		if cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil {
			return fmt.Errorf("cookie of the network namespace: %w", err)
		}
		return nil
	})
	return cookie, err
}

// Do runs fn inside the namespace and returns its error. What fn makes there (sockets, devices, processes) stays there;
// goroutines that it starts are outside. fn runs on a goroutine of its own, which is locked to its thread; a panic or a
// runtime.Goexit (as of testing's Fatal) in fn becomes one in the caller.
func (h *Handle) Do(fn func() error) error { return onThread(h.setns, fn) }

// Enter moves the calling goroutine's thread into the namespace and locks it there for good: for a process that is
// about to exec.
func (h *Handle) Enter() error {
	runtime.LockOSThread()
	return h.setns()
}

func (h *Handle) setns() error {
	if err := unix.Setns(h.FD(), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w (it needs root: CAP_SYS_ADMIN)", h.file.Name(), err)
	}
	return nil
}

// errExit says that fn ended its goroutine.
var errExit = errors.New("goroutine ended")

// onThread runs enter and then fn on a locked thread, and puts the thread back to its namespace. A thread that cannot
// be put back is not unlocked: it ends with its goroutine, and no other goroutine ever runs on it.
func onThread(enter, fn func() error) error {
	var panicked any
	err := errExit
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		runtime.LockOSThread()
		home, openErr := os.Open(threadNS)
		if openErr != nil {
			err = openErr
			return
		}
		defer home.Close()
		if enterErr := enter(); enterErr != nil {
			runtime.UnlockOSThread()
			err = enterErr
			return
		}
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		err = fn()
	}()
	<-done
	switch {
	case panicked != nil:
		panic(panicked)
	case errors.Is(err, errExit):
		runtime.Goexit()
	}
	return err
}
