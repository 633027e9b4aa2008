package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"nsrouter/nstable"
)

// HostNamespaces knows the Linux network namespaces that belong to the router's. The daemon implements it; any
// goroutine may call.
type HostNamespaces interface {
	// Add gives a router namespace its Linux namespace; no fault if it has one. Delete takes it away.
	Add(namespace string) error
	Delete(namespace string) error
	// Rename gives the Linux namespace of a router namespace that has another name now its name, if there is one.
	Rename(namespace, to string) error
	// Path is where another process can open the Linux namespace of a router namespace: /proc/PID/fd/N.
	Path(namespace string) (string, error)
	// ByCookie and ByInode find the router namespace that a Linux namespace belongs to, by its SO_NETNS_COOKIE or by
	// the inode of /proc/PID/ns/net.
	ByCookie(cookie uint64) (namespace string, ok bool)
	ByInode(inode uint64) (namespace string, ok bool)
	// Pids lists the processes in the Linux namespace of a router namespace.
	Pids(namespace string) ([]int, error)
}

// initNamespace is where a caller is that is in no other.
const initNamespace = "init"

// caller is who made a connection, as the kernel has it: nothing that a process can say of itself. It is immutable.
type caller struct {
	uid, gid uint32 // effective, when it connected
	groups   []uint32
	pid      int32  // 0: not of the daemon's pid namespace
	comm     string // of the process, for the audit log; empty if it has ended
	cookie   uint64 // of its Linux network namespace; 0: not known
	inode    uint64 // of that, where the cookie is not known
	// scope is what the socket serves that it connected to; nil: all namespaces.
	scope *scope
}

type callerKey struct{}

// callerOf is who sent a request; nil where that is not known, which nobody has a right for.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// readCaller asks the kernel about the peer of a connection that was accepted on a unix socket. It has the credentials with
// which the peer connected (unix(7), SO_PEERCRED): a program with more rights that only inherits the connection does not
// lend them. The network namespace is that of the connecting socket, which is that of its process when it made it.
func readCaller(conn syscall.Conn) (*caller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := new(caller)
	ctlErr := raw.Control(func(fd uintptr) { err = c.read(int(fd)) })
	return c, errors.Join(ctlErr, err)
}

func (c *caller) read(fd int) error {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return fmt.Errorf("SO_PEERCRED: %w", err)
	}
	c.uid, c.gid, c.pid = cred.Uid, cred.Gid, cred.Pid
	if c.groups, err = peerGroups(fd); err != nil {
		return fmt.Errorf("SO_PEERGROUPS: %w", err)
	}
	if c.cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil {
		return fmt.Errorf("SO_NETNS_COOKIE: %w", err)
	}
	c.comm = peerComm(fd, c.pid)
	return nil
}

// peerComm is the name of the peer's process. Where the kernel has SO_PEERPIDFD (6.5) it is certain that the pid was not
// another process's by the time that its name was read.
func peerComm(fd int, pid int32) string {
	if pid <= 0 {
		return ""
	}
	comm := processComm(uint32(pid))
	if comm == "" {
		return ""
	}
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case errors.Is(err, unix.ENOPROTOOPT): // an older kernel
	case err != nil: // it has ended
		return ""
	default:
		defer unix.Close(pidfd)
		if unix.PidfdSendSignal(pidfd, 0, nil, 0) != nil {
			return ""
		}
	}
	return comm
}

// processComm is the name of a process, or empty if it has ended.
func processComm(pid uint32) string {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(comm))
}

// has tells whether the caller is a user, or belongs to a group.
func (c *caller) has(p nstable.Principal) bool {
	if p.Group {
		return c.gid == p.ID || slices.Contains(c.groups, p.ID)
	}
	return c.uid == p.ID
}

// inside is the router namespace whose Linux namespace the caller is in; false where it is in none.
func (s *Server) inside(c *caller) (string, bool) {
	if c == nil {
		return "", false
	}
	switch {
	case c.cookie != 0:
		return s.options.Hosts.ByCookie(c.cookie)
	case c.inode != 0:
		return s.options.Hosts.ByInode(c.inode)
	}
	return "", false
}

// caller is the router namespace of who sent a request.
func (s *Server) caller(ctx context.Context) string {
	if name, ok := s.inside(callerOf(ctx)); ok {
		return name
	}
	return initNamespace
}

// namespace is the one that a request names; or else the one that the socket serves; or else the caller's.
func (s *Server) namespace(ctx context.Context, name string) string {
	if name != "" {
		return name
	}
	if c := callerOf(ctx); c != nil && c.scope != nil {
		return c.scope.namespace
	}
	return s.caller(ctx)
}

// identify is the router namespace of a process.
func (s *Server) identify(pid uint32) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st); err != nil {
		return "", fmt.Errorf("pid %d: %w", pid, err)
	}
	if name, ok := s.options.Hosts.ByInode(st.Ino); ok {
		return name, nil
	}
	return initNamespace, nil
}

// noHosts serves a router without Linux namespaces.
type noHosts struct{}

func (noHosts) Add(string) error            { return nil }
func (noHosts) Delete(string) error         { return nil }
func (noHosts) Rename(string, string) error { return nil }
func (noHosts) Path(namespace string) (string, error) {
	return "", fmt.Errorf("namespace %q has no Linux network namespace", namespace)
}
func (noHosts) ByCookie(uint64) (string, bool) { return "", false }
func (noHosts) ByInode(uint64) (string, bool)  { return "", false }
func (noHosts) Pids(string) ([]int, error)     { return nil, nil }
