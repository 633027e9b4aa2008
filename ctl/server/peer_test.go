package server

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"connectrpc.com/connect"

	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/internal/netns"
)

// nobody are numbers that no user of the test machine needs to have.
const (
	alice   = 64001
	bob     = 64002
	tenants = 64010 // a group
)

// peer is who makes a connection, and from where.
type peer struct {
	uid, gid uint32
	groups   []uint32
	from     *netns.Handle // nil: the Linux namespace of the test
}

// do runs f on a thread that has the user's credentials.
func (u peer) do(f func() error) error {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its credentials
		ended <- func() error {
			groups := append([]uint32{u.gid}, u.groups...)
			_, _, errno := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
			if errno == 0 {
				_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESGID, uintptr(u.gid), uintptr(u.gid), uintptr(u.gid))
			}
			if errno == 0 {
				_, _, errno = syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(u.uid), uintptr(u.uid), uintptr(u.uid))
			}
			if errno != 0 {
				return errno
			}
			return f()
		}()
	}()
	return <-ended
}

// dial connects to a socket as the user.
func (u peer) dial(socket string) (conn net.Conn, err error) {
	open := func() error {
		return u.do(func() (err error) {
			conn, err = net.Dial("unix", socket)
			return err
		})
	}
	if u.from == nil {
		err = open()
		return conn, err
	}
	// A new thread starts in the namespace of the one that made it only by chance: the user enters it first.
	err = u.enter(func() (err error) {
		conn, err = net.Dial("unix", socket)
		return err
	})
	return conn, err
}

// enter is do inside the user's Linux namespace.
func (u peer) enter(f func() error) error {
	return u.from.Do(func() error {
		groups, none := []uint32{u.gid}, []uint32{0}
		set := func(groups []uint32, gid, uid uint32) error {
			const keep = ^uintptr(0)
			// The real and saved numbers stay those of root, who comes back.
			_, _, e1 := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 0, keep)
			_, _, e2 := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
			_, _, e3 := syscall.RawSyscall(syscall.SYS_SETRESGID, keep, uintptr(gid), keep)
			_, _, e4 := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep)
			for _, e := range []syscall.Errno{e1, e2, e3, e4} {
				if e != 0 {
					return e
				}
			}
			return nil
		}
		if err := set(groups, u.gid, u.uid); err != nil {
			return err
		}
		err := f()
		if back := set(none, 0, 0); back != nil {
			panic(back) // the thread would go on as somebody else
		}
		return err
	})
}

// client is the service as a user has it by a socket.
func (u peer) client(t testing.TB, socket string, o ...connect.ClientOption) nsrouterv1connect.RouterServiceClient {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:   &protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return u.dial(socket) },
	}
	t.Cleanup(transport.CloseIdleConnections)
	return nsrouterv1connect.NewRouterServiceClient(&http.Client{Transport: transport}, "http://router", o...)
}

// delegated is the path of a socket for everybody.
func (s *service) delegated(name string) string { return filepath.Join(s.socket+DelegateSuffix, name) }

func (s *service) as(uid uint32) nsrouterv1connect.RouterServiceClient {
	s.t.Helper()
	return peer{uid: uid, gid: uid}.client(s.t, s.delegated(SelfSocket))
}
