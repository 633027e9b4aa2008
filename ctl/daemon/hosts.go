package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"

	"nsrouter/ctl/feed"
	"nsrouter/ctl/hostside"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// mark is the alias of lo in a Linux namespace that the router has made, so that it knows its own again after a crash,
// and deletes no other.
const mark = "made by router"

// hosts keeps the Linux network namespace of each router namespace: /run/netns/PREFIXNAME.
type hosts struct {
	prefix string
	side   *hostside.Server
	feed   *feed.Server
	table  *nstable.Table
	log    *zap.Logger
	// named says that the Linux namespaces have names in /run/netns, where the host sees them. A daemon in a mount
	// namespace of its own (as `ip netns exec` makes one) would leave files there that are namespaces to nobody else.
	named bool

	// changing is held by who makes, renames and ends Linux namespaces, which takes the kernel its time; mu never for long, as
	// requests ask who sent them. Who writes byName holds both.
	changing sync.Mutex
	mu       sync.Mutex
	byName   map[string]*host
	// orphaned are the Linux namespaces of deleted router namespaces in which processes may live on: what those ask for is
	// refused, not done in init. The name says so.
	orphaned []orphan
}

// orphan is the Linux namespace of a deleted router namespace.
type orphan struct {
	name          string
	cookie, inode uint64
}

type host struct {
	namespace     *nstable.Namespace
	handle        *netns.Handle
	lock          *os.File // of the name; nil where there is none
	cookie, inode uint64
	ours          bool
	nameless      bool // told that it has lost its name
}

// newHosts makes hosts without Linux namespaces; side shows the devices in them, feed learns the routes there.
func newHosts(
	prefix string, side *hostside.Server, feed *feed.Server, table *nstable.Table, log *zap.Logger,
) *hosts {
	h := &hosts{
		prefix: prefix, side: side, feed: feed, table: table, log: log, named: sharesMounts(), byName: make(map[string]*host),
	}
	if !h.named {
		log.Info("the daemon has a mount namespace of its own: its Linux namespaces have no names in " + netns.Dir +
			"; \"router netns exec\" works, \"ip netns exec\" does not")
	}
	return h
}

// Add gives a router namespace its Linux namespace. One that exists under that name is taken as it is.
func (h *hosts) Add(namespace string) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	if h.byName[namespace] != nil {
		return nil
	}
	public, err := h.table.Namespace(namespace)
	if err != nil {
		return err
	}
	name := h.prefix + namespace
	lock, err := h.lockName(name)
	if err != nil {
		return fmt.Errorf("Linux network namespace %s: %w", name, err)
	}
	handle, created, err := h.open(name)
	if err != nil {
		unlockName(lock)
		return fmt.Errorf("Linux network namespace %s: %w", name, err)
	}
	n := &host{namespace: public, handle: handle, lock: lock, inode: handle.Inode()}
	if n.cookie, err = handle.Cookie(); err == nil {
		err = handle.Do(func() error { return prepare(n, created) })
	}
	if err == nil {
		err = h.side.Attach(public, handle)
	}
	if err == nil {
		if err = h.feed.Attach(public, handle); err != nil {
			err = errors.Join(err, h.side.Detach(public, created))
		}
	}
	if err != nil {
		_ = handle.Close()
		unlockName(lock)
		return fmt.Errorf("Linux network namespace %s: %w", name, err)
	}
	h.mu.Lock()
	h.byName[namespace] = n
	h.mu.Unlock()
	return nil
}

// open takes or makes a Linux namespace.
func (h *hosts) open(name string) (handle *netns.Handle, created bool, err error) {
	if h.named {
		return netns.Adopt(name)
	}
	handle, err = netns.Anonymous()
	return handle, true, err
}

// sharesMounts tells whether what this process mounts in /run/netns is seen by the host. It is not where that, or the
// root, is a slave in a copy of the host's mounts (proc_pid_mountinfo(5): an optional field master:N and none shared:N).
func sharesMounts() bool {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		const mountPoint, firstOptional = 4, 6
		if len(fields) <= firstOptional || fields[mountPoint] != "/" && fields[mountPoint] != netns.Dir {
			continue
		}
		optional := strings.Join(fields[firstOptional:], " ")
		optional, _, _ = strings.Cut(optional, "- ")
		if strings.Contains(optional, "master:") && !strings.Contains(optional, "shared:") {
			return false
		}
	}
	return true
}

// prepare runs inside a Linux namespace: a new one gets its mark, an old one is looked at.
func prepare(n *host, created bool) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if created {
		if err := netlink.LinkSetAlias(lo, mark); err != nil {
			return fmt.Errorf("mark lo: %w", err)
		}
	}
	n.ours = created || lo.Attrs().Alias == mark
	return nil
}

// Delete takes the name of the Linux namespace away, if the router made it. Processes inside keep it until they end.
func (h *hosts) Delete(namespace string) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	n := h.byName[namespace]
	if n == nil {
		return nil
	}
	h.mu.Lock()
	delete(h.byName, namespace)
	h.orphaned = append(h.orphaned, orphan{namespace + " (deleted)", n.cookie, n.inode})
	h.mu.Unlock()
	return h.drop(namespace, n, n.ours, true)
}

// Rename implements [server.HostNamespaces]. An adopted Linux namespace keeps its old name besides.
func (h *hosts) Rename(namespace, to string) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	n := h.byName[namespace]
	if n == nil {
		return nil
	}
	lock, err := h.lockName(h.prefix + to)
	if err != nil {
		return fmt.Errorf("Linux network namespace %s: %w", h.prefix+to, err)
	}
	if h.named {
		if _, err := n.handle.Restore(h.prefix + to); err != nil {
			unlockName(lock)
			return err
		}
		if err := h.unname(namespace, n, n.ours); err != nil {
			h.log.Warn("remove the old name of a Linux network namespace", zap.Error(err))
		}
	}
	h.mu.Lock()
	delete(h.byName, namespace)
	h.byName[to] = n
	h.mu.Unlock()
	n.lock, n.ours = lock, true // it goes by a name that the router has made
	return nil
}

// drop lets go of a Linux namespace, and deletes the TAPs in it if removeTAPs is set. Its name is removed only while it
// is that of this namespace, and not of another that somebody has made under it since.
func (h *hosts) drop(namespace string, n *host, remove, removeTAPs bool) error {
	h.feed.Detach(n.namespace)
	err := errors.Join(h.side.Detach(n.namespace, removeTAPs), n.handle.Close())
	if !h.named {
		return err
	}
	return errors.Join(err, h.unname(namespace, n, remove))
}

// unname ends the use of a name, and removes it, if that is wanted, while it is that of this namespace.
func (h *hosts) unname(namespace string, n *host, remove bool) (err error) {
	defer unlockName(n.lock)
	if now, openErr := netns.Open(h.prefix + namespace); openErr == nil {
		remove = remove && now.Inode() == n.inode
		err = errors.Join(err, now.Close())
	}
	if remove {
		if e := netns.Delete(h.prefix + namespace); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// nameInterval is how often the names in [netns.Dir] are looked at.
const nameInterval = 2 * time.Second

// watch gives the Linux namespaces their names again when somebody has taken those away, until ctx is done. The
// namespaces themselves are held by their handles. It forgets those of deleted namespaces that nobody is in any more: the
// kernel gives their inodes to others.
func (h *hosts) watch(ctx context.Context) {
	ticker := time.NewTicker(nameInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if h.named {
				h.restoreNames()
			}
			h.forgetOrphans()
		}
	}
}

func (h *hosts) forgetOrphans() {
	h.mu.Lock()
	old := slices.Clone(h.orphaned)
	h.mu.Unlock()
	if len(old) == 0 {
		return
	}
	inhabited, err := netns.Inhabited()
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.orphaned = slices.DeleteFunc(h.orphaned, func(o orphan) bool {
		return !inhabited[o.inode] && slices.Contains(old, o)
	})
}

func (h *hosts) restoreNames() {
	h.changing.Lock()
	defer h.changing.Unlock()
	for namespace, n := range h.byName {
		name := h.prefix + namespace
		restored, err := n.handle.Restore(name)
		switch {
		case err != nil && !n.nameless:
			h.log.Warn("the Linux network namespace has lost its name, and cannot have it back", zap.String("netns", name),
				zap.Error(err))
		case restored:
			h.log.Warn("the name of the Linux network namespace was removed; it is there again", zap.String("netns", name))
		}
		n.nameless = err != nil
	}
}

// withoutLinux says that no process can be in a namespace.
func withoutLinux(namespace string) error {
	return fmt.Errorf("namespace %q has no Linux network namespace (router netns set %s host netns)", namespace, namespace)
}

// Path implements [server.HostNamespaces].
func (h *hosts) Path(namespace string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.byName[namespace]
	if n == nil {
		return "", withoutLinux(namespace)
	}
	return n.handle.Path(), nil
}

// ByCookie implements [server.HostNamespaces].
func (h *hosts) ByCookie(cookie uint64) (string, bool) {
	return h.find(func(c, _ uint64) bool { return c == cookie })
}

// ByInode implements [server.HostNamespaces].
func (h *hosts) ByInode(inode uint64) (string, bool) {
	return h.find(func(_, i uint64) bool { return i == inode })
}

func (h *hosts) find(match func(cookie, inode uint64) bool) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, n := range h.byName {
		if match(n.cookie, n.inode) {
			return name, true
		}
	}
	for _, o := range h.orphaned {
		if match(o.cookie, o.inode) {
			return o.name, true
		}
	}
	return "", false
}

// Pids implements [server.HostNamespaces].
func (h *hosts) Pids(namespace string) ([]int, error) {
	h.mu.Lock()
	n := h.byName[namespace]
	h.mu.Unlock()
	if n == nil {
		return nil, withoutLinux(namespace)
	}
	return netns.Pids(n.inode)
}

// close lets go of all namespaces. Those that the router made go, and the TAPs in all, unless processes live in them that
// may expect the router back.
func (h *hosts) close(forever bool) error {
	h.changing.Lock()
	defer h.changing.Unlock()
	h.feed.Close() // the routes end with the daemon anyway
	inhabited, pidsErr := netns.Inhabited()
	const atOnce = 32 // the kernel waits for grace periods
	slots := make(chan struct{}, atOnce)
	results := make(chan error, len(h.byName))
	for name, n := range h.byName {
		slots <- struct{}{}
		go func() {
			gone := forever || pidsErr == nil && !inhabited[n.inode]
			results <- h.drop(name, n, n.ours && gone, gone)
			<-slots
		}()
	}
	errs := []error{pidsErr}
	for range h.byName {
		errs = append(errs, <-results)
	}
	h.mu.Lock()
	clear(h.byName)
	h.mu.Unlock()
	return errors.Join(errs...)
}
