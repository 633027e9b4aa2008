package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"

	"nsrouter/internal/netns"
)

// mark is the alias of lo in a Linux namespace that the router has made, so that it knows its own again after a crash,
// and deletes no other.
const mark = "made by router"

// hosts keeps the Linux network namespace of each router namespace: /run/netns/PREFIXNAME.
type hosts struct {
	prefix string
	log    *zap.Logger

	mu     sync.Mutex
	byName map[string]*host
}

type host struct {
	handle        *netns.Handle
	cookie, inode uint64
	ours          bool
}

func newHosts(prefix string, log *zap.Logger) (*hosts, error) {
	return &hosts{prefix: prefix, log: log, byName: make(map[string]*host)}, nil
}

// Add gives a router namespace its Linux namespace. One that exists under that name is taken as it is.
func (h *hosts) Add(namespace string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byName[namespace] != nil {
		return nil
	}
	name := h.prefix + namespace
	handle, created, err := netns.Adopt(name)
	if err != nil {
		return fmt.Errorf("Linux network namespace %s: %w", name, err)
	}
	n := &host{handle: handle, inode: handle.Inode()}
	if n.cookie, err = handle.Cookie(); err == nil {
		err = handle.Do(func() error { return prepare(n, created) })
	}
	if err != nil {
		_ = handle.Close()
		return fmt.Errorf("Linux network namespace %s: %w", name, err)
	}
	h.byName[namespace] = n
	return nil
}

// prepare runs inside a Linux namespace: a new one gets its mark and its loopback up, an old one is looked at.
func prepare(n *host, created bool) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if created {
		if err := netlink.LinkSetAlias(lo, mark); err != nil {
			return fmt.Errorf("mark lo: %w", err)
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return fmt.Errorf("set lo up: %w", err)
		}
	}
	n.ours = created || lo.Attrs().Alias == mark
	return nil
}

// Delete takes the name of the Linux namespace away, if the router made it. Processes inside keep it until they end.
func (h *hosts) Delete(namespace string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.byName[namespace]
	if n == nil {
		return nil
	}
	delete(h.byName, namespace)
	return h.drop(namespace, n, n.ours)
}

// drop lets go of a Linux namespace. Its name is removed only while it is that of this namespace, and not of another
// that somebody has made under it since.
func (h *hosts) drop(namespace string, n *host, remove bool) error {
	err := n.handle.Close()
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

// Path implements [server.HostNamespaces].
func (h *hosts) Path(namespace string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.byName[namespace]
	if n == nil {
		return "", fmt.Errorf("namespace %q has no Linux network namespace", namespace)
	}
	return n.handle.Path(), nil
}

// ByCookie implements [server.HostNamespaces].
func (h *hosts) ByCookie(cookie uint64) (string, bool) {
	return h.find(func(n *host) bool { return n.cookie == cookie })
}

// ByInode implements [server.HostNamespaces].
func (h *hosts) ByInode(inode uint64) (string, bool) {
	return h.find(func(n *host) bool { return n.inode == inode })
}

func (h *hosts) find(match func(*host) bool) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, n := range h.byName {
		if match(n) {
			return name, true
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
		return nil, fmt.Errorf("namespace %q has no Linux network namespace", namespace)
	}
	return netns.Pids(n.inode)
}

// close lets go of all namespaces. Those that the router made go, unless processes live in them that may expect the
// router back.
func (h *hosts) close(forever bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for name, n := range h.byName {
		pids, err := netns.Pids(n.inode)
		inhabited := err != nil || len(pids) > 0
		errs = append(errs, h.drop(name, n, n.ours && (forever || !inhabited)))
	}
	clear(h.byName)
	return errors.Join(errs...)
}
