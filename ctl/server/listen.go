package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what a sockaddr_un holds, less the zero byte.
const maxSocketPath = 107

// socketMode lets root and the socket's group drive the router.
const socketMode = 0o660

// Listen makes the control socket, with the directory that it is in. A socket that nobody serves any more is replaced;
// one that is served, and a file that is no socket, are refused. Closing the listener removes the socket.
func Listen(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("socket %s: the path has more than %d bytes: give a shorter --socket", path, maxSocketPath)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	// Two daemons that start at once must not both take the same socket for stale.
	lock, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("socket %s: lock %s: %w", path, dir, err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// The mode is that of the socket before bind less the umask: nobody else gets in before the chmod below.
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if ctlErr := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), socketMode) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	if err := shareSocket(path); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	return l, nil
}

// shareSocket lets the administrators' group open a socket, if there is such a group.
func shareSocket(path string) error {
	if gid := FindAdminGroup(); gid != 0 && os.Geteuid() == 0 {
		if err := os.Chown(path, -1, int(gid)); err != nil {
			return err
		}
	}
	return os.Chmod(path, socketMode)
}

// dying is how long a daemon that is just ending may still hold the socket.
const dying = 2 * time.Second

// removeStale makes way for a new socket.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("socket %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("socket %s: a file that is no socket is there: remove it, or give another --socket", path)
	}
	// A daemon that was killed keeps its socket until the kernel has freed its memory.
	for end := time.Now().Add(dying); ; time.Sleep(dying / 40) {
		var conn net.Conn
		if conn, err = net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(end) {
			break
		}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("socket %s: a daemon serves it already: stop that, or give this one another --socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the stale socket %s: %w", path, err)
	}
	return nil
}

// What a client may cost. There is no limit to the time that a request takes: changes wait for drivers, and a monitor
// lasts.
const (
	headerTimeout   = 10 * time.Second // to send the head of a request, the first on a connection included
	idleTimeout     = 2 * time.Minute  // between requests
	maxHeader       = 64 << 10         // bytes
	shutdownTimeout = 3 * time.Second  // for requests that run when the daemon ends
)

// Serve answers on l, and on the sockets of [Server.Delegate], until ctx is done, and closes them. Every connection has a
// goroutine of its own, so that those who keep theirs open, or send junk, keep nobody out.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	server := &http.Server{
		Handler:           s.Handler(),
		Protocols:         &protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withCaller,
		ErrorLog:          s.errorLog(),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(&peerListener{Listener: l}) }()
	var delegated sync.WaitGroup
	s.sockets.start(func(l *peerListener) {
		delegated.Go(func() { _ = server.Serve(l) }) // ends when the socket is taken away
	})
	defer delegated.Wait()
	defer s.sockets.close()
	select {
	case err := <-done:
		return fmt.Errorf("control socket %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	// The end of base has ended the monitors; changes are let through.
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer stop()
	if server.Shutdown(end) != nil {
		_ = server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket %s: %w", l.Addr(), err)
	}
	return nil
}
