package server

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// HostNamespaces knows the Linux network namespaces that belong to the router's. The daemon implements it; any
// goroutine may call.
type HostNamespaces interface {
	// Add gives a router namespace its Linux namespace; no fault if it has one. Delete takes it away.
	Add(namespace string) error
	Delete(namespace string) error
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

type callerKey struct{}

// withCaller notes the network namespace of who connected. A connection that was accepted on a unix socket belongs to
// the namespace of the connecting socket, which is that of its process when it made it: nothing that a process can say
// of itself.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ctx
	}
	var cookie uint64
	ctlErr := raw.Control(func(fd uintptr) {
		cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	})
	if ctlErr != nil || err != nil {
		return ctx
	}
	return context.WithValue(ctx, callerKey{}, cookie)
}

// caller is the router namespace of who sent a request.
func (s *Server) caller(ctx context.Context) string {
	if cookie, ok := ctx.Value(callerKey{}).(uint64); ok {
		if name, ok := s.options.Hosts.ByCookie(cookie); ok {
			return name
		}
	}
	return initNamespace
}

// namespace is the one that a request names, or else the caller's.
func (s *Server) namespace(ctx context.Context, name string) string {
	if name != "" {
		return name
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

func (noHosts) Add(string) error    { return nil }
func (noHosts) Delete(string) error { return nil }
func (noHosts) Path(namespace string) (string, error) {
	return "", fmt.Errorf("namespace %q has no Linux network namespace", namespace)
}
func (noHosts) ByCookie(uint64) (string, bool) { return "", false }
func (noHosts) ByInode(uint64) (string, bool)  { return "", false }
func (noHosts) Pids(string) ([]int, error)     { return nil, nil }
