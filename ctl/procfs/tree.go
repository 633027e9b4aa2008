package procfs

import (
	"context"
	"maps"
	"slices"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"nsrouter/nstable"
)

// tree is what all nodes share. It is safe for concurrent use.
type tree struct {
	Options
	open openFiles

	mu     sync.Mutex
	spaces map[string]*space
	serial uint64 // of the space made last
}

// space is a namespace for as long as it lives: another one of the same name is another space, with files of its own.
type space struct {
	tree   *tree
	name   string
	public *nstable.Namespace
	serial uint64

	mu   sync.Mutex
	inos map[string]uint64 // of the paths that were looked up, below the namespace's directory
}

func newTree(o Options) *tree { return &tree{Options: o, spaces: make(map[string]*space)} }

// space finds a namespace by its name, or is nil.
func (t *tree) space(name string) *space {
	public, err := t.Table.Namespace(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.spaces[name]
	switch {
	case err != nil:
		delete(t.spaces, name)
		return nil
	case s != nil && s.public == public:
		return s
	}
	t.prune()
	t.serial++
	s = &space{tree: t, name: name, public: public, serial: t.serial, inos: make(map[string]uint64)}
	t.spaces[name] = s
	return s
}

// prune forgets namespaces that have gone, now and then.
func (t *tree) prune() {
	list := t.Table.Namespaces()
	if len(t.spaces) < 2*len(list)+16 {
		return
	}
	there := make(map[string]bool, len(list))
	for i := range list {
		there[list[i].Name] = true
	}
	maps.DeleteFunc(t.spaces, func(name string, _ *space) bool { return !there[name] })
}

// lives tells whether the name is still that of this namespace.
func (s *space) lives() bool {
	public, err := s.tree.Table.Namespace(s.name)
	return err == nil && public == s.public
}

// check is ENOENT for a reader who may not read the namespace, or if that is gone.
func (s *space) check(ctx context.Context) syscall.Errno {
	if !s.lives() || !s.tree.MayRead(readerOf(ctx), s.name) {
		return syscall.ENOENT
	}
	return 0
}

// readerOf is who makes a request.
func readerOf(ctx context.Context) Reader {
	c, ok := fuse.FromContext(ctx)
	if !ok {
		const nobody = 65534
		return Reader{UID: nobody, GID: nobody}
	}
	return Reader{UID: c.Uid, GID: c.Gid, Pid: c.Pid}
}

// maxPaths bounds the numbers that a namespace gives to paths below its own directory: a device each, and its settings.
const maxPaths = 1 << 20

// ino is the number of a file or directory of the namespace: the same for as long as both live, so that the kernel knows it
// again, and never one that another namespace has had. 0 has the library choose one.
func (s *space) ino(path string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.inos[path]
	if !ok {
		if n = uint64(len(s.inos)) + 1; n >= maxPaths {
			return 0
		}
		s.inos[path] = n
	}
	return s.serial*maxPaths + n
}

// node makes a node of the namespace known to the kernel, and tells what it is.
func (s *space) node(
	ctx context.Context, parent *fs.Inode, path string, ops fs.InodeEmbedder, mode uint32, out *fuse.EntryOut,
) *fs.Inode {
	setAttr(&out.Attr, mode)
	return parent.NewInode(ctx, ops, fs.StableAttr{Mode: mode & syscall.S_IFMT, Ino: s.ino(path)})
}

// setAttr fills in what stat(2) tells besides the number. As in /proc, no file has a size.
func setAttr(a *fuse.Attr, mode uint32) {
	a.Mode, a.Nlink = mode, 1
	a.SetTimes(&started, &started, &started)
}

// Modes of what there is.
const (
	dirMode    = syscall.S_IFDIR | 0o555
	fileMode   = syscall.S_IFREG | 0o444
	switchMode = syscall.S_IFREG | 0o644
	linkMode   = syscall.S_IFLNK | 0o777
)

// selfName is the link to the reader's own namespace. A namespace of that name is not shown.
const selfName = "self"

// rootNode is the tree's directory.
type rootNode struct {
	fs.Inode
	tree *tree
}

var (
	_ = fs.NodeLookuper((*rootNode)(nil))
	_ = fs.NodeReaddirer((*rootNode)(nil))
	_ = fs.NodeGetattrer((*rootNode)(nil))
)

// Lookup finds a namespace that the caller may read.
func (r *rootNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if name == selfName {
		setAttr(&out.Attr, linkMode)
		return r.NewInode(ctx, &selfNode{tree: r.tree}, fs.StableAttr{Mode: syscall.S_IFLNK, Ino: selfIno}), 0
	}
	s := r.tree.space(name)
	if s == nil {
		return nil, syscall.ENOENT
	}
	if errno := s.check(ctx); errno != 0 {
		return nil, errno
	}
	return s.node(ctx, &r.Inode, "", &dirNode{space: s, dir: topDir{}}, dirMode, out), 0
}

// selfIno is the number of the link: the root has 1, namespaces begin above maxPaths.
const selfIno = 2

// Readdir lists the namespaces that the caller may read.
func (r *rootNode) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	reader := readerOf(ctx)
	list := []fuse.DirEntry{{Name: selfName, Mode: syscall.S_IFLNK}}
	for _, ns := range r.tree.Table.Namespaces() {
		if ns.Name != selfName && r.tree.MayRead(reader, ns.Name) {
			list = append(list, fuse.DirEntry{Name: ns.Name, Mode: syscall.S_IFDIR})
		}
	}
	return fs.NewListDirStream(list), 0
}

// Getattr tells what the root is.
func (r *rootNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	setAttr(&out.Attr, dirMode)
	return 0
}

// selfNode is a link that leads each reader to its own namespace.
type selfNode struct {
	fs.Inode
	tree *tree
}

var (
	_ = fs.NodeReadlinker((*selfNode)(nil))
	_ = fs.NodeGetattrer((*selfNode)(nil))
)

// Readlink is asked by the kernel each time that somebody follows the link.
func (n *selfNode) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	r := readerOf(ctx)
	if r.Pid == 0 {
		return nil, syscall.ENOENT
	}
	name, err := n.tree.NamespaceOf(r.Pid)
	if err != nil || n.tree.space(name) == nil {
		return nil, syscall.ENOENT
	}
	return []byte(name), 0
}

// Getattr tells what the link is.
func (n *selfNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	setAttr(&out.Attr, linkMode)
	return 0
}

// directory is what a directory of a namespace holds: it finds an entry, and lists all.
type directory interface {
	// path is where it is below the namespace's directory, "" or ending with a slash.
	path() string
	// find returns the file or the directory of a name, or nothing.
	find(s *space, name string) (*file, directory)
	list(s *space) []fuse.DirEntry
}

// dirNode is a directory of a namespace.
type dirNode struct {
	fs.Inode
	space *space
	dir   directory
}

var (
	_ = fs.NodeLookuper((*dirNode)(nil))
	_ = fs.NodeReaddirer((*dirNode)(nil))
	_ = fs.NodeGetattrer((*dirNode)(nil))
)

// Lookup finds an entry.
func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if errno := d.space.check(ctx); errno != 0 {
		return nil, errno
	}
	f, sub := d.dir.find(d.space, name)
	switch {
	case f != nil:
		n := &fileNode{space: d.space, file: f}
		return d.space.node(ctx, &d.Inode, d.dir.path()+name, n, f.mode(), out), 0
	case sub != nil:
		return d.space.node(ctx, &d.Inode, sub.path(), &dirNode{space: d.space, dir: sub}, dirMode, out), 0
	}
	return nil, syscall.ENOENT
}

// Readdir lists the entries.
func (d *dirNode) Readdir(ctx context.Context) (fs.DirStream, syscall.Errno) {
	if errno := d.space.check(ctx); errno != 0 {
		return nil, errno
	}
	return fs.NewListDirStream(d.dir.list(d.space)), 0
}

// Getattr tells what the directory is; it is gone for who may not read it any more.
func (d *dirNode) Getattr(ctx context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	setAttr(&out.Attr, dirMode)
	return d.space.check(ctx)
}

// confName is the directory of a namespace's settings.
const confName = "conf"

// topDir is the directory of a namespace.
type topDir struct{}

func (topDir) path() string { return "" }

func (topDir) find(_ *space, name string) (*file, directory) {
	if name == confName {
		return nil, confDir{}
	}
	if i := slices.IndexFunc(files, func(f file) bool { return f.name == name }); i >= 0 {
		return &files[i], nil
	}
	return nil, nil
}

func (topDir) list(*space) []fuse.DirEntry {
	list := []fuse.DirEntry{{Name: confName, Mode: syscall.S_IFDIR}}
	for i := range files {
		list = append(list, fuse.DirEntry{Name: files[i].name, Mode: syscall.S_IFREG})
	}
	return list
}
