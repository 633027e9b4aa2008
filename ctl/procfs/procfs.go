// Package procfs is a file system that shows each namespace as /proc/net shows that of a process: `router run --procfs DIR`.
//
//	DIR/self           a symbolic link to the namespace of who reads it, by its Linux network namespace
//	DIR/NS/dev ...     what is in a namespace, in the formats of /proc/net, see [files]
//	DIR/NS/conf/NAME   its settings, by the names of sysctls; root writes them
//
// It is FUSE. The kernel keeps nothing of it: each step of a path is asked for anew, with the thread that takes it, and each
// file is made when it is opened. A namespace that its reader may not read is not there. Nobody else waits for a reader: what
// an open file needs is a piece of it, no lock is held between two reads, and how many files may be open is limited. The
// daemon itself must not read the tree.
package procfs

import (
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"go.uber.org/zap"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
)

// Reader is who asks, as the kernel tells it: the user and group by which it looks at files, and its thread; Pid is 0 if
// that is of no pid namespace that the daemon sees.
type Reader struct{ UID, GID, Pid uint32 }

// Options of a tree.
type Options struct {
	Dir   string // where it is mounted; it is made if it is not there
	Table *nstable.Table
	// MayRead tells whether a reader may read a namespace.
	MayRead func(r Reader, namespace string) bool
	// NamespaceOf is the namespace of a process.
	NamespaceOf func(pid uint32) (string, error)
	// Change changes settings on behalf of a reader.
	Change func(r Reader, req *v1.ChangeRequest) error
	// LinuxFile reads a file of /proc/net in the Linux namespace of a namespace; of one without, in the daemon's, and tells so.
	LinuxFile func(namespace, name string) (text []byte, own bool, err error)
	Log       *zap.Logger
}

// Server is a mounted tree.
type Server struct {
	tree  *tree
	mount *mount
	fuse  *fuse.Server
}

// Start mounts the tree and answers in goroutines of its own until [Server.Close]. What a daemon that was killed has left at
// its place is taken away.
func Start(o Options) (*Server, error) {
	m, err := newMount(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("--procfs %s: %w", o.Dir, err)
	}
	root := &rootNode{tree: newTree(o)}
	options := &fs.Options{Logger: logger(o.Log)}
	options.MountOptions = fuse.MountOptions{
		Name: fsType, FsName: fsType, DisableXAttrs: true, MaxWrite: maxRead, Logger: options.Logger,
	}
	server, err := fuse.NewServer(fs.NewNodeFS(root, options), m.device(), &options.MountOptions)
	if err != nil {
		m.unmount()
		return nil, fmt.Errorf("--procfs %s: %w", o.Dir, err)
	}
	go server.Serve()
	return &Server{tree: root.tree, mount: m, fuse: server}, nil
}

// Close takes the tree away, also from those who are in it, and returns when nothing answers any more.
func (s *Server) Close() {
	s.mount.unmount()
	s.fuse.Wait()
	s.tree.open.end()
}

// logger has what the library says in the daemon's log.
func logger(l *zap.Logger) *log.Logger { return log.New(logWriter{l}, "", 0) }

type logWriter struct{ log *zap.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	w.log.Warn("file system", zap.String("message", strings.TrimSpace(string(b))))
	return len(b), nil
}

// started is the time that all files have.
var started = time.Now() //nolint:gochecknoglobals // a constant
