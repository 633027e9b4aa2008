// Package client reaches a router daemon over its unix socket.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
)

// DefaultSocket is where a daemon listens that was not told otherwise.
const DefaultSocket = "/run/router/router.sock"

// SocketFromEnv is the socket that ROUTER_SOCKET names, or else [DefaultSocket].
func SocketFromEnv() string {
	if s := os.Getenv("ROUTER_SOCKET"); s != "" {
		return s
	}
	return DefaultSocket
}

// dialTimeout bounds the connect alone: a change may take as long as a driver needs to reset its link.
const dialTimeout = 5 * time.Second

// Client is the service of one daemon. It may be used by several goroutines.
type Client struct {
	nsrouterv1connect.RouterServiceClient
	transport *http.Transport
}

// New prepares a client; it connects with the first call. HTTP/2 without TLS carries it, so that streams run beside
// each other.
func New(socket string) *Client { return NewIn(socket, "") }

// NewIn is New for commands that are about a namespace, or, where that is empty, about the caller's. It matters to who may not
// open the daemon's socket: the one for everybody is tried then, and that of the namespace.
func NewIn(socket, namespace string) *Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			return dial(ctx, socket, namespace)
		},
	}
	service := nsrouterv1connect.NewRouterServiceClient(&http.Client{Transport: t}, "http://router")
	return &Client{service, t}
}

// What the daemon makes beside its socket for those who may not open that; see package server.
const (
	delegateSuffix  = ".d"
	selfSocket      = "self"
	namespaceSuffix = ".sock"
)

// dial opens the daemon's socket, or one of those that are there for everybody: each request is judged by who makes it, by
// whatever socket it comes.
func dial(ctx context.Context, socket, namespace string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err == nil || !errors.Is(err, syscall.EACCES) && !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOENT) {
		return conn, err
	}
	// The first serves all that the caller owns: a device moves from one such namespace to another by it. A container may have
	// been given that of its namespace alone.
	names := []string{selfSocket}
	if namespace != "" && !strings.Contains(namespace, "/") {
		names = append(names, namespace+namespaceSuffix)
	}
	for _, name := range names {
		if conn, ok := dialLong(ctx, filepath.Join(socket+delegateSuffix, name)); ok {
			return conn, nil
		}
	}
	return nil, err
}

// dialLong connects to a socket whose path may be longer than an address of a socket: by a descriptor of it.
func dialLong(ctx context.Context, path string) (net.Conn, bool) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, false
	}
	defer unix.Close(fd)
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
	return conn, err == nil
}

// Close ends the connections that are idle.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Message is the one line that tells what went wrong, be it with a call to the daemon behind socket.
func Message(err error, socket string) string {
	var answer *connect.Error
	var dial *net.OpError
	switch {
	case !errors.As(err, &answer):
		return err.Error()
	case connect.IsWireError(err):
		return answer.Message()
	case !errors.As(err, &dial) || dial.Op != "dial":
		return fmt.Sprintf("the connection to the daemon at %s broke: %v", socket, cause(err))
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no router daemon listens at %s: start it with \"router run\", or name its socket with --socket",
			socket)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Sprintf("may not open %s: permission denied: run as root, as a member of the group router, or have a role in"+
			" a namespace (netns set NS owner)", socket)
	}
	return fmt.Sprintf("cannot reach the daemon at %s: %v", socket, cause(err))
}

// cause is the innermost of the errors that err wraps.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
