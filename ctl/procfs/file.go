package procfs

import (
	"context"
	"maps"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// file is a file of a namespace.
type file struct {
	name string // with the path below the namespace's directory
	// write writes what the file says now. It is called in a goroutine of its own, which rests while nobody reads.
	write func(s *space, o *output) error
	// weight is for how many it counts among those that are open; 0 is 1.
	weight int
	// set, of a switch, sets it.
	set func(s *space, r Reader, value string) error
}

func (f *file) mode() uint32 {
	if f.set != nil {
		return switchMode
	}
	return fileMode
}

// files are those of a namespace, with the names of their models in /proc/net. ndisc_cache has none there: it is the IPv6
// neighbours in the columns of arp.
//
//nolint:gochecknoglobals // a constant table
var files = []file{
	{name: "arp", write: writeARP},
	{name: "dev", write: writeDev},
	{name: "fib_trie", write: writeTrie, weight: 8}, // a list of all routes is in memory
	{name: "if_inet6", write: writeInet6},
	{name: "ipv6_route", write: writeRoute6},
	{name: "ndisc_cache", write: writeNDisc},
	{name: "route", write: writeRoute},
	{name: "snmp", write: writeSNMP},
	{name: "snmp6", write: writeSNMP6},
	{name: "sockstat", write: writeSockets("sockstat")},
	{name: "sockstat6", write: writeSockets("sockstat6")},
}

// fileNode is a file as the kernel sees it.
type fileNode struct {
	fs.Inode
	space *space
	file  *file
}

var (
	_ = fs.NodeOpener((*fileNode)(nil))
	_ = fs.NodeGetattrer((*fileNode)(nil))
	_ = fs.NodeSetattrer((*fileNode)(nil))
)

// Getattr tells what the file is; it is gone for who may not read it any more.
func (n *fileNode) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	setAttr(&out.Attr, n.file.mode())
	return n.space.check(ctx)
}

// Setattr lets who may write truncate, as a shell does before it writes; nothing else can be changed.
func (n *fileNode) Setattr(ctx context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	setAttr(&out.Attr, n.file.mode())
	if _, ok := in.GetSize(); !ok || n.file.set == nil || readerOf(ctx).UID != 0 {
		return syscall.EPERM
	}
	return n.space.check(ctx)
}

// Open begins the file: what is read is what was true then, or, of one that is long, while it is read.
func (n *fileNode) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if errno := n.space.check(ctx); errno != 0 {
		return nil, 0, errno
	}
	r := readerOf(ctx)
	if flags&syscall.O_ACCMODE != syscall.O_RDONLY && (n.file.set == nil || r.UID != 0) {
		return nil, 0, syscall.EACCES
	}
	h := &handle{node: n, uid: r.UID}
	if !n.space.tree.open.enter(h) {
		return nil, 0, syscall.ENFILE
	}
	if flags&syscall.O_ACCMODE != syscall.O_WRONLY {
		if errno := h.begin(); errno != 0 {
			h.close()
			return nil, 0, errno
		}
	}
	// The size is not known: reads go past the page cache, until one finds the end.
	return h, fuse.FOPEN_DIRECT_IO, 0
}

// handle is an open file.
type handle struct {
	node *fileNode
	uid  uint32

	mu     sync.Mutex
	stream *stream
	ended  bool
}

var (
	_ = fs.FileReader((*handle)(nil))
	_ = fs.FileWriter((*handle)(nil))
	_ = fs.FileReleaser((*handle)(nil))
)

// begin makes the first piece. Who made it was the namespace that was meant: it is asked once more.
func (h *handle) begin() syscall.Errno {
	h.stream.stop()
	s, write := h.node.space, h.node.file.write
	h.stream = newStream(func(o *output) error { return write(s, o) })
	if err := h.stream.fill(); err != nil {
		s.tree.Log.Sugar().Warnf("%s/%s/%s: %v", s.tree.Dir, s.name, h.node.file.name, err)
		return syscall.EIO
	}
	if !s.lives() {
		return syscall.ENOENT
	}
	return 0
}

// Read reads on. Who goes back gets the file made anew, as from /proc.
//
// A user who has lost the right meanwhile reads no more, whoever opened the file; what root has opened is for whom root gives it.
func (h *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if h.uid != 0 {
		if errno := h.node.space.check(ctx); errno != 0 {
			return nil, errno
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || h.stream == nil {
		return nil, syscall.EBADF
	}
	if off < h.stream.start {
		if errno := h.begin(); errno != 0 {
			return nil, errno
		}
	}
	n, err := h.stream.readAt(dest, off)
	if err != nil {
		return nil, syscall.EIO
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// maxValue is longer than what any setting takes.
const maxValue = 4096

// Write sets a switch: each call of write(2) for itself, wherever it writes, as with sysctls.
func (h *handle) Write(ctx context.Context, data []byte, _ int64) (uint32, syscall.Errno) {
	n := h.node
	switch {
	case n.file.set == nil:
		return 0, syscall.EBADF
	case len(data) > maxValue:
		return 0, syscall.EINVAL
	}
	// Who opened it may have lent it to somebody with less rights: that one must have been root, too.
	r := readerOf(ctx)
	if h.uid != 0 || r.UID != 0 {
		return 0, syscall.EPERM
	}
	if !n.space.lives() {
		return 0, syscall.ENOENT
	}
	if err := n.file.set(n.space, r, string(data)); err != nil {
		n.space.tree.Log.Sugar().Infof("%s/%s/%s: %v", n.space.tree.Dir, n.space.name, n.file.name, err)
		return 0, errnoOf(err)
	}
	return uint32(len(data)), 0
}

// Release ends the file.
func (h *handle) Release(context.Context) syscall.Errno {
	h.close()
	return 0
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.ended = true
		h.stream.stop()
		h.node.space.tree.open.leave(h)
	}
}

func (h *handle) weight() int { return max(1, h.node.file.weight) }

// Limits to the files that are open at once, each of which has a piece of a file in memory.
const (
	maxOpen     = 4096
	maxOpenUser = 64 // of a user other than root
)

// openFiles are the files that are open.
type openFiles struct {
	mu    sync.Mutex
	all   map[*handle]struct{}
	sum   int // of the weights
	users map[uint32]int
}

// enter takes a file in, unless its user or all have too many.
func (l *openFiles) enter(h *handle) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Root gets in when the others have used up their share.
	n := h.weight()
	if h.uid != 0 && (l.users[h.uid]+n > maxOpenUser || l.sum+n > maxOpen/2) || l.sum+n > maxOpen {
		return false
	}
	if l.users == nil {
		l.all, l.users = make(map[*handle]struct{}), make(map[uint32]int)
	}
	l.users[h.uid] += n
	l.sum += n
	l.all[h] = struct{}{}
	return true
}

func (l *openFiles) leave(h *handle) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, h)
	l.sum -= h.weight()
	if l.users[h.uid] -= h.weight(); l.users[h.uid] == 0 {
		delete(l.users, h.uid)
	}
}

// end ends all files: those whose readers hold them beyond the life of the mount are never released.
func (l *openFiles) end() {
	l.mu.Lock()
	list := slices.Collect(maps.Keys(l.all))
	l.mu.Unlock()
	for _, h := range list {
		h.close()
	}
}
