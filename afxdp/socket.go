package afxdp

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

const (
	// sendBuffer is the socket's send buffer in bytes: what a full transmit ring weighs where the kernel copies, so that
	// the ring and not the buffer is the limit.
	sendBuffer = ringEntries * 2048
	// sendBudget is how many packets one system call sends at most, in kernels that let us choose (others send 32). At 0.7
	// us each it bounds the time that the call keeps the Go scheduler waiting.
	sendBudget = 256
)

// modeError is a refusal that another mode may not meet.
type modeError struct{ err error }

func (e *modeError) Error() string { return e.err.Error() }
func (e *modeError) Unwrap() error { return e.err }

// newSocket makes an AF_XDP socket in the thread's Linux network namespace.
func newSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return -1, fmt.Errorf("make an AF_XDP socket: %w: use a kernel built with CONFIG_XDP_SOCKETS", err)
	case err != nil:
		return -1, privilege(fmt.Errorf("make an AF_XDP socket: %w", err))
	}
	return fd, nil
}

// privilege names the mend if err is for want of a capability.
func privilege(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: start the daemon as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF", err)
	}
	return err
}

// register makes the frame area the socket's packet memory.
func register(fd int, pool *frame.Pool) error {
	err := registerUMEM(fd, pool.Bytes(), frame.Size)
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EPERM) {
		// Without CAP_IPC_LOCK the limit counts. Raising it may be denied too, which is no fault by itself.
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		err = registerUMEM(fd, pool.Bytes(), frame.Size)
	}
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EPERM) {
		var limit unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit)
		return fmt.Errorf("register %d KiB of frames: too little locked memory: the limit is %d KiB for all interfaces: "+
			"raise it (ulimit -l, LimitMEMLOCK= of the service) or give the daemon CAP_IPC_LOCK",
			len(pool.Bytes())>>10, limit.Cur>>10)
	}
	if err != nil {
		return fmt.Errorf("register %d KiB of frames: %w", len(pool.Bytes())>>10, err)
	}
	return nil
}

// open makes the queue's socket and rings, lends frames to it and binds it. shared is the first queue's socket, or -1
// for the first queue itself. What it made is undone by close, also after an error.
// pieces is how many frames a packet may have at most; several is the flag that asks for more than one (XDP_USE_SG), or 0.
func (q *Queue) open(ifindex int, mode Mode, several uint16, pieces, shared int, c *frame.Cache) error {
	var err error
	if q.fd, err = newSocket(); err != nil {
		return err
	}
	if shared < 0 {
		if err := register(q.fd, q.pool); err != nil {
			return err
		}
	}
	if err := q.mapRings(); err != nil {
		return err
	}
	// Some drivers leak or stall when there is nothing in the fill ring at bind.
	if q.held = q.fill.lend(q.pool, c, q.rxOwner, q.target); q.held < q.target {
		return missing(q.target, q.target-q.held)
	}
	// Both only serve speed, and older kernels refuse the second.
	_ = unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	_ = unix.SetsockoptInt(q.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, sendBudget)

	address := unix.SockaddrXDP{Ifindex: uint32(ifindex), QueueID: q.id}
	switch {
	case shared >= 0:
		// Copy or zero-copy and need_wakeup are the first queue's.
		address.Flags, address.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(shared)
	case mode == ZeroCopy:
		address.Flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_ZEROCOPY
	default:
		address.Flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_COPY
	}
	if shared < 0 { // the others' is the first queue's
		address.Flags |= several
	}
	q.tx.maxPieces = pieces
	return bind(q.fd, &address)
}

// missing says that there are too few free frames.
func missing(need, lacks int) error {
	return fmt.Errorf("it needs %d free frames, %d are missing: start the daemon with more --frames", need, lacks)
}

func (q *Queue) mapRings() error {
	o, err := ringOffsets(q.fd)
	if err != nil {
		return fmt.Errorf("ask for ring offsets: %w", err)
	}
	for _, err := range []error{
		q.fill.mapTo(q.fd, unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_PGOFF_FILL_RING, o.Fr),
		q.completion.mapTo(q.fd, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_UMEM_PGOFF_COMPLETION_RING, o.Cr),
		q.rx.mapTo(q.fd, unix.XDP_RX_RING, unix.XDP_PGOFF_RX_RING, o.Rx),
		q.tx.mapTo(q.fd, unix.XDP_TX_RING, unix.XDP_PGOFF_TX_RING, o.Tx),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// bind binds the socket to its queue.
func bind(fd int, address *unix.SockaddrXDP) error {
	err := patiently(unix.EBUSY, func() error { return unix.Bind(fd, address) })
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("bind: %w: another program holds it: stop that program (bpftool net show)", err)
	case err != nil:
		return &modeError{fmt.Errorf("bind: %w", err)}
	}
	return nil
}

// patience is how long a queue that seems to be in use is tried: the kernel frees that of a closed socket only some
// time later.
const patience = 3 * time.Second

// patiently tries until it does not fail with the error given, or patience ends.
func patiently(passing error, try func() error) error {
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := try()
		if !errors.Is(err, passing) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(wait)
	}
}

// close unmaps the rings and closes the socket. The frames stay the queue's until Reclaim.
func (q *Queue) close() {
	q.gone.Store(true)
	// The mappings hold the socket open: they go first.
	q.fill.unmap()
	q.completion.unmap()
	q.rx.unmap()
	q.tx.unmap()
	if q.fd >= 0 {
		_ = unix.Close(q.fd)
		q.fd = -1
	}
}
