package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// DelegateSuffix is what the path of the main socket gets to be that of the directory of the sockets that everybody may open:
// NS.sock for each namespace, which serves it alone, and SelfSocket.
const DelegateSuffix = ".d"

// SelfSocket serves what its caller may see and do anywhere, and is about the caller's own namespace where a request names
// none. It has no suffix, so that no namespace's is called that.
const SelfSocket = "self"

// NamespaceSocket is the name of the socket of a namespace.
func NamespaceSocket(namespace string) string { return namespace + socketSuffix }

const (
	socketSuffix = ".sock"
	// Who knows the name of a namespace may open its socket; the names are not listed.
	delegateDirMode = 0o711
	delegateMode    = 0o666
	// binding is the name that a socket is bound by before it gets its own; no namespace's ends so.
	binding = "binding"
)

// scope is what a namespace's socket serves. Another namespace that is made under the same name later has another one.
type scope struct {
	namespace string
	gone      atomic.Bool
}

// sockets are those that everybody may open.
type sockets struct {
	dir string
	log func(string)
	// enter counts a connection until leave is called; false: it is one too many.
	enter func(*caller) (leave func(), ok bool)

	mu     sync.Mutex
	open   map[string]*peerListener // by the name of the file
	serve  func(*peerListener)      // nil while nobody serves
	closed bool
}

// newSockets makes the directory, without what a daemon that was killed has left in it.
func newSockets(
	dir string, enter func(*caller) (leave func(), ok bool), log func(string),
) (*sockets, error) {
	if err := os.Mkdir(dir, delegateDirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("sockets of namespaces: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("sockets of namespaces: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("sockets of namespaces: %s is no directory of this user: remove it, or give another --socket",
			dir)
	}
	if err := os.Chmod(dir, delegateDirMode); err != nil { // whatever the umask
		return nil, fmt.Errorf("sockets of namespaces: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("sockets of namespaces: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		ours := name == SelfSocket || name == binding || strings.HasSuffix(name, socketSuffix)
		if !ours || e.Type() != fs.ModeSocket {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("remove a stale socket: %w", err)
		}
	}
	return &sockets{dir: dir, log: log, enter: enter, open: make(map[string]*peerListener)}, nil
}

// add makes the socket of a namespace. That it cannot is no reason not to make the namespace: its owners have SelfSocket.
func (s *sockets) add(namespace string) {
	if s == nil {
		return
	}
	if err := s.listen(NamespaceSocket(namespace), &scope{namespace: namespace}); err != nil {
		s.log(fmt.Sprintf("namespace %s has no socket of its own: %v", namespace, err))
	}
}

// remove takes the socket of a namespace away: what is asked for by its connections is refused.
func (s *sockets) remove(namespace string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := NamespaceSocket(namespace)
	if l := s.open[name]; l != nil {
		delete(s.open, name)
		s.drop(name, l)
	}
}

func (s *sockets) drop(name string, l *peerListener) {
	if l.scope != nil {
		l.scope.gone.Store(true)
	}
	_ = os.Remove(filepath.Join(s.dir, name)) // somebody may have done so
	_ = l.Close()
}

// listen makes a socket. It is bound by another name first: it gets its own when everybody may open it, and with that name it
// may be longer than an address of a socket (sun_path).
func (s *sockets) listen(name string, sc *scope) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.open[name] != nil {
		return nil
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	address := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), binding)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: address, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	at := filepath.Join(s.dir, binding)
	if err = os.Chmod(at, delegateMode); err == nil {
		err = unix.Rename(at, filepath.Join(s.dir, name))
	}
	if err != nil {
		_ = os.Remove(at)
		_ = l.Close()
		return err
	}
	peers := &peerListener{Listener: l, scope: sc, enter: s.enter}
	s.open[name] = peers
	if s.serve != nil {
		s.serve(peers)
	}
	return nil
}

// start has all sockets served, those that are made later too.
func (s *sockets) start(serve func(*peerListener)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve = serve
	for _, l := range s.open {
		serve(l)
	}
}

// close takes all sockets away.
func (s *sockets) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for name, l := range s.open {
		s.drop(name, l)
	}
	clear(s.open)
	_ = os.Remove(s.dir) // fails where something of somebody else's is in it
}

// peerListener accepts connections together with who makes them.
type peerListener struct {
	net.Listener
	scope *scope
	// enter counts connections; nil: they are not counted.
	enter func(*caller) (leave func(), ok bool)
}

// peerConn is a connection of a caller; nil where it is not known who that is.
type peerConn struct {
	net.Conn
	caller *caller
	closed sync.Once
	leave  func()
}

// Accept waits for a connection of somebody who does not have too many.
func (l *peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p := &peerConn{Conn: conn, leave: func() {}}
		if c, ok := conn.(syscall.Conn); ok {
			if who, err := readCaller(c); err == nil { // else who asked has gone, or is refused
				who.scope = l.scope
				p.caller = who
			}
		}
		if l.enter == nil {
			return p, nil
		}
		if leave, ok := l.enter(p.caller); ok {
			p.leave = leave
			return p, nil
		}
		_ = conn.Close()
	}
}

// Close closes the connection.
func (p *peerConn) Close() error {
	p.closed.Do(p.leave)
	return p.Conn.Close()
}

// withCaller gives requests who sends them.
func withCaller(ctx context.Context, conn net.Conn) context.Context {
	if p, ok := conn.(*peerConn); ok && p.caller != nil {
		return context.WithValue(ctx, callerKey{}, p.caller)
	}
	return ctx
}
