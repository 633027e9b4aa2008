package afxdp

import (
	"cmp"
	"fmt"
	"sync"

	"github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// Options say what to open and how.
type Options struct {
	// Host is the name of the Linux interface.
	Host string
	// Mode is the mode wanted. One asked for by name is had, or Open fails.
	Mode Mode
	// Queues is the number of queues the interface is set to have; 0 leaves it as it is.
	Queues int
	// Force takes an interface that has addresses, a master or the default route.
	Force bool
	// Journal, if there is one, outlives a process that is killed with settings changed.
	Journal Journal

	several uint16 // tests: the flag of bind for packets of several frames; 0: that which the kernel knows
}

// Interface is a Linux network interface taken over by AF_XDP sockets.
type Interface struct {
	host  string
	index int
	mac   [6]byte
	pool  *frame.Pool
	asked Mode
	// several is the flag of bind for packets of several frames.
	several uint16

	nl     *netlink.Handle  // in the Linux network namespace of Open, like eth
	eth    *ethtool.Ethtool // addresses interfaces by name
	packet int              // packet socket that holds promiscuous and allmulti reception; -1 if none
	cookie uint64           // of that namespace

	got    Mode     // set by Open
	notes  []string // set by Open
	pieces int      // set by Open: frames that a packet may have
	strips bool     // set by Open
	queues []*Queue // set by Open

	mu       sync.Mutex // guards what follows, and the descriptors of the queues against Close
	mtu      int        // of the host interface, bytes
	promisc  bool
	program  xdpObjects
	attached link.Link // nil when detached
	changed  []Setting // what is to be put back, in the order of the changes
	journal  Journal   // has the same; may be nil
	closed   bool
}

// Open takes over the interface o.Host of the thread's Linux network namespace: checks whether it may, prepares it,
// binds a socket to each of its queues and attaches the program. After an error everything is as it was before.
func Open(pool *frame.Pool, o Options) (*Interface, error) {
	i := &Interface{host: o.Host, pool: pool, asked: o.Mode, packet: -1, several: cmp.Or(o.several, unix.XDP_USE_SG)}
	if err := i.open(o); err != nil {
		err = fmt.Errorf("attach %s: %w", o.Host, err)
		if left := i.Close(); left != nil {
			err = fmt.Errorf("%w; and then: %w", err, left)
		}
		return nil, err
	}
	return i, nil
}

func (i *Interface) open(o Options) error {
	if err := i.handles(); err != nil {
		return err
	}
	attributes, err := i.check(o.Force)
	if err != nil {
		return err
	}
	i.index, i.mtu = attributes.Index, attributes.MTU
	copy(i.mac[:], attributes.HardwareAddr)
	i.take(o.Journal)
	if err := i.prepare(); err != nil {
		return err
	}
	n, err := i.setQueues(o.Queues, attributes)
	if err != nil {
		return err
	}
	return i.attach(n)
}

// handles opens what settings are read and changed through.
func (i *Interface) handles() error {
	var err error
	if i.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	if i.eth, err = ethtool.NewEthtool(); err != nil {
		return fmt.Errorf("open ethtool: %w", err)
	}
	// Protocol 0: it receives no packets, it only holds memberships.
	if i.packet, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return privilege(fmt.Errorf("make a packet socket: %w", err))
	}
	if i.cookie, err = unix.GetsockoptUint64(i.packet, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); err != nil {
		return fmt.Errorf("ask for the Linux network namespace's cookie: %w", err)
	}
	return nil
}

// Host is the name of the Linux interface, as it was at Open.
func (i *Interface) Host() string { return i.host }

// HostIndex is its ifindex in the Linux network namespace of Open.
func (i *Interface) HostIndex() int { return i.index }

// NetnsCookie identifies that namespace among all of this boot; with HostIndex, the interface among all.
func (i *Interface) NetnsCookie() uint64 { return i.cookie }

// MAC is the host interface's address at Open.
func (i *Interface) MAC() [6]byte { return i.mac }

// Mode is the mode that was asked for, and the one that was got, which is never Auto.
func (i *Interface) Mode() (asked, got Mode) { return i.asked, i.got }

// Notes are remarks for the log: modes that could not be had, settings that the driver cannot change.
func (i *Interface) Notes() []string { return i.notes }

// StripsTags tells that the interface takes VLAN tags off received frames, and cannot be told to leave them.
func (i *Interface) StripsTags() bool { return i.strips }

// Queues are all receive queues of the interface, in their order.
func (i *Interface) Queues() []*Queue { return i.queues }

// MTU is the host interface's MTU in bytes, as far as this package knows.
func (i *Interface) MTU() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mtu
}

// Gone looks whether the interface has vanished or left the namespace: its sockets are unbound then, and do not come
// back.
func (i *Interface) Gone() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.look()
}

// look is Gone under the lock.
func (i *Interface) look() bool {
	for _, q := range i.queues {
		// A bound socket answers 0 or EAGAIN, or ENETDOWN while the interface is down. The worker learns it from the flag.
		if !q.gone.Load() && kickReceive(q.fd) == unix.ENXIO {
			q.gone.Store(true)
		}
		if q.gone.Load() {
			return true
		}
	}
	return false
}

// Detach takes the program off, so that the kernel gets the interface's packets again. Sending still works. It is the
// first step of closing; see the package's documentation.
func (i *Interface) Detach() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.detach()
}

func (i *Interface) detach() {
	if i.attached != nil {
		i.restoreNAPI()
		_ = i.attached.Close() // closes a descriptor; the kernel does the rest
		i.attached = nil
	}
}

// Close detaches if need be, closes the sockets and puts every changed setting back, in reverse order. No worker may
// be in a call of a queue, and all that its worker calls later find it gone. It works as well when the interface has
// vanished. Frames are freed by [Queue.Reclaim] afterwards.
func (i *Interface) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil
	}
	i.closed = true
	if i.look() {
		i.changed = nil // its settings have vanished with it, or are another namespace's matter
	}
	i.release()
	err := i.restore()
	if i.packet >= 0 {
		_ = unix.Close(i.packet)
	}
	if i.eth != nil {
		i.eth.Close()
	}
	if i.nl != nil {
		i.nl.Close()
	}
	return err
}
