// Package server answers the control API over a namespace table.
//
// A request without a namespace is about that of the caller, which is known by the connection (caller.go). Who may do what
// is said by the tables of rights.go. Errors have the connect code of their kind, and a message of one line for the operator.
package server

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/nstable"
)

// Options of a server.
type Options struct {
	Table *nstable.Table
	// Hosts knows the Linux namespaces; nil: there are none.
	Hosts HostNamespaces
	// Queues reads the kernel's statistics of a device's queues; nil: there are none.
	Queues func(nstable.DeviceID) []*v1.QueueStats
	// Workers tells what workers do; nil: there are none.
	Workers func() []*v1.Worker
	// SetWorker does what a caller, who may, wants of a worker; nil: there are none.
	SetWorker func(*v1.SetWorkerRequest) error
	// Frames counts the packet frames; nil: there are none.
	Frames func() *v1.GetFramesResponse
	// Settle returns when Linux shows what was changed before, or with ctx; nil: nothing shows it.
	Settle func(ctx context.Context)
	// Log hears of faults that no client can be told; nil: nobody does.
	Log func(msg string)
	// AdminGroup is the group whose members may do everything; 0: there is none.
	AdminGroup uint32
	// Audit has a line for each change that was asked for, done or refused; nil: nobody listens. It is synced before the
	// change is answered.
	Audit *zap.Logger
}

// AdminGroupName is the group of the host whose members may do everything, where there is one.
const AdminGroupName = "router"

// FindAdminGroup is the number of that group; 0: there is none.
func FindAdminGroup() uint32 {
	g, err := user.LookupGroup(AdminGroupName)
	if err != nil {
		return 0
	}
	gid, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(gid)
}

// Server is the service. It is safe for concurrent use.
type Server struct {
	nsrouterv1connect.UnimplementedRouterServiceHandler
	table   *nstable.Table
	options Options
	netns   sync.Mutex // one namespace is made or deleted at a time, here and in Linux

	procedures map[string]need
	changes    map[protoreflect.Name]func(*v1.ChangeRequest) need
	uid        uint32 // the daemon's own
	sockets    *sockets
	// What callers without all rights have at once: share.go.
	connections, requests, bulk tally
	// rights is held for reading from when a change of an owner is judged until it is done, and for writing while rights are
	// taken away: what was allowed to somebody before is not done after.
	rights sync.RWMutex
}

// New makes a server of a table.
func New(o Options) *Server {
	if o.Hosts == nil {
		o.Hosts = noHosts{}
	}
	if o.Settle == nil {
		o.Settle = func(context.Context) {}
	}
	return &Server{
		table: o.Table, options: o, procedures: procedures(), changes: changes(), uid: uint32(os.Geteuid()),
	}
}

// Delegate makes the sockets beside the main one that everybody may open: one for each namespace, and [SelfSocket]. They are
// served, and removed, by Serve. It is called before that, if at all.
func (s *Server) Delegate(dir string) (err error) {
	log := s.options.Log
	if log == nil {
		log = func(string) {}
	}
	s.sockets, err = newSockets(dir, s.enterConnection, log)
	if err != nil {
		return err
	}
	if err := s.sockets.listen(SelfSocket, nil); err != nil {
		return fmt.Errorf("socket %s: %w", filepath.Join(dir, SelfSocket), err)
	}
	for _, ns := range s.table.Namespaces() {
		s.sockets.add(ns.Name)
	}
	return nil
}

// holdRights keeps the rights of a caller from being taken away until what it returns is called.
func (s *Server) holdRights(ctx context.Context) (release func()) {
	if s.admin(callerOf(ctx)) {
		return func() {}
	}
	s.rights.RLock()
	return s.rights.RUnlock
}

// takeRights waits until nothing is under way that an owner was allowed.
func (s *Server) takeRights(change func() error) error {
	s.rights.Lock()
	defer s.rights.Unlock()
	return change()
}

// ListWorkers tells what the workers do.
func (s *Server) ListWorkers(context.Context, *v1.ListWorkersRequest) (*v1.ListWorkersResponse, error) {
	if s.options.Workers == nil {
		return &v1.ListWorkersResponse{}, nil
	}
	return &v1.ListWorkersResponse{Workers: s.options.Workers()}, nil
}

// SetWorker changes what a worker does.
func (s *Server) SetWorker(ctx context.Context, req *v1.SetWorkerRequest) (*v1.SetWorkerResponse, error) {
	err := error(&nstable.Error{Kind: nstable.Refused, Msg: "there is no data plane"})
	if s.options.SetWorker != nil {
		err = s.options.SetWorker(req)
	}
	if s.options.Audit != nil {
		what := loggedMessage{req.ProtoReflect()}
		s.auditOf(ctx, "", zap.Dict("what", zap.Object("set_worker", what)), err)
		s.auditDone()
	}
	if err != nil {
		return nil, apiError(err)
	}
	return &v1.SetWorkerResponse{}, nil
}

// GetFrames counts where the packet frames are.
func (s *Server) GetFrames(context.Context, *v1.GetFramesRequest) (*v1.GetFramesResponse, error) {
	if s.options.Frames == nil {
		return nil, apiError(&nstable.Error{Kind: nstable.Refused, Msg: "there is no data plane"})
	}
	return s.options.Frames(), nil
}

// Handler serves connect, gRPC and gRPC-Web.
func (s *Server) Handler() http.Handler { return s.admit() }

func (s *Server) errorLog() *log.Logger { return log.New(logWriter{s.options.Log}, "", 0) }

type logWriter struct{ log func(string) }

func (w logWriter) Write(b []byte) (int, error) {
	if w.log != nil {
		w.log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// invalid is an error of the request itself.
func invalid(format string, v ...any) error {
	return &nstable.Error{Kind: nstable.Invalid, Msg: fmt.Sprintf(format, v...)}
}

// apiError gives an error its code.
func apiError(err error) error {
	if err == nil {
		return nil
	}
	var already *connect.Error
	if errors.As(err, &already) {
		return err
	}
	code := connect.CodeUnknown
	switch nstable.KindOf(err) {
	case nstable.Invalid:
		code = connect.CodeInvalidArgument
	case nstable.NotFound:
		code = connect.CodeNotFound
	case nstable.Exists:
		code = connect.CodeAlreadyExists
	case nstable.Busy:
		code = connect.CodeUnavailable
	case nstable.Refused:
		code = connect.CodeFailedPrecondition
	case nstable.Storage:
		code = connect.CodeResourceExhausted
	}
	return connect.NewError(code, err)
}
