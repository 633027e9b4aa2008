// Package client reaches a router daemon over its unix socket.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"connectrpc.com/connect"

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
func New(socket string) *Client {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{
		Protocols: &protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: dialTimeout}
			return d.DialContext(ctx, "unix", socket)
		},
	}
	service := nsrouterv1connect.NewRouterServiceClient(&http.Client{Transport: t}, "http://router")
	return &Client{service, t}
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
		return fmt.Sprintf("may not open %s: permission denied: run as root or as a member of the socket's group", socket)
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
