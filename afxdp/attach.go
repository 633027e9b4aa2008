package afxdp

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// attach binds n queues and attaches the program in the first mode that can be had.
func (i *Interface) attach(n int) (err error) {
	if need, free := n*FillTarget, i.pool.FreeInDepot(); free < need {
		return missing(need, need-free)
	}
	owners, err := i.owners(n)
	defer func() {
		if err != nil {
			i.disown(owners)
		}
	}()
	if err != nil {
		return err
	}
	cache := i.pool.NewCache()
	defer cache.Drain()
	var missed []string
	for _, mode := range i.asked.candidates() {
		i.got = mode
		if err = i.tryMost(mode, owners, cache); err == nil {
			for _, note := range missed {
				i.notes = append(i.notes, fmt.Sprintf("%s: mode %s is used", note, mode))
			}
			return nil
		}
		var refused *modeError
		if !errors.As(err, &refused) {
			return err
		}
		missed = append(missed, refusal(mode, err))
	}
	if i.asked != Auto {
		return fmt.Errorf("mode %s cannot be had: %w: use mode auto", i.asked, err)
	}
	return err
}

// tryOrUndo is try, and undoes what it made after an error.
func (i *Interface) tryOrUndo(mode Mode, owners []queueOwners, c *frame.Cache) error {
	err := i.try(mode, owners, c)
	if err != nil {
		i.release()
		for _, q := range i.queues {
			q.reclaim(c)
		}
		i.queues = nil
	}
	return err
}

// refusal says why a mode was not taken. That a driver has none is usual, and no fault.
func refusal(mode Mode, err error) string {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Sprintf("mode %s is not offered by the driver (%v)", mode, err)
	}
	return fmt.Sprintf("mode %s cannot be had: %v", mode, err)
}

// queueOwners are a queue's two sides in the frame area's table.
type queueOwners struct{ rx, tx frame.Owner }

func (i *Interface) owners(n int) ([]queueOwners, error) {
	owners := make([]queueOwners, n)
	for k := range owners {
		var err error
		if owners[k].rx, err = i.pool.AddOwner(); err != nil {
			return owners, err
		}
		if owners[k].tx, err = i.pool.AddOwner(); err != nil {
			return owners, err
		}
	}
	return owners, nil
}

// disown gives owners back that no queue uses.
func (i *Interface) disown(owners []queueOwners) {
	for _, o := range owners {
		if o.rx != 0 {
			i.pool.RemoveOwner(o.rx)
		}
		if o.tx != 0 {
			i.pool.RemoveOwner(o.tx)
		}
	}
}

// try binds a queue for each of the owners and attaches the program, in one mode. What it made is undone by release.
func (i *Interface) try(mode Mode, owners []queueOwners, c *frame.Cache) error {
	if mode == Generic {
		// The kernel merges packets before it runs the program; merged ones fit no frame.
		i.featureOff("rx-gro")
	}
	shared, several := -1, uint16(0)
	if i.pieces > 1 {
		several = i.several
	}
	for k, owner := range owners {
		q := &Queue{
			parent: i, pool: i.pool, id: uint32(k), fd: -1, target: FillTarget, rxOwner: owner.rx, txOwner: owner.tx,
		}
		i.queues = append(i.queues, q)
		if err := q.open(i.index, mode, several, i.pieces, shared, c); err != nil {
			return fmt.Errorf("queue %d: %w", k, err)
		}
		shared = i.queues[0].fd
	}
	return i.load(mode)
}

// load loads the program, gives it the queues' sockets and attaches it.
func (i *Interface) load(mode Mode) error {
	spec, err := loadXdp()
	if err != nil {
		return fmt.Errorf("read the XDP program: %w", err)
	}
	if i.pieces > 1 {
		spec.Programs["to_socket"].Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	spec.Maps["sockets"].MaxEntries = uint32(len(i.queues))
	if err := spec.LoadAndAssign(&i.program, nil); err != nil {
		return privilege(fmt.Errorf("load the XDP program: %w", err))
	}
	for _, q := range i.queues {
		if err := i.program.Sockets.Update(q.id, uint32(q.fd), ebpf.UpdateAny); err != nil {
			return fmt.Errorf("queue %d: enter its socket in the program's table: %w", q.id, err)
		}
	}
	flags := link.XDPDriverMode
	if mode == Generic {
		flags = link.XDPGenericMode
	}
	i.attached, err = link.AttachXDP(link.XDPOptions{Program: i.program.ToSocket, Interface: i.index, Flags: flags})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EEXIST):
		return fmt.Errorf("attach the XDP program: %w: another program is attached: take it off (bpftool net show)", err)
	case errors.Is(err, os.ErrPermission):
		return privilege(fmt.Errorf("attach the XDP program: %w", err))
	case errors.Is(err, unix.ENOSPC):
		err = fmt.Errorf("%w: fewer receive queues than the veth peer has transmit queues (ethtool -L)", err)
	case errors.Is(err, unix.ERANGE):
		err = fmt.Errorf("%w: the MTU, or that of the veth peer, is too large for XDP (ip link set mtu)", err)
	}
	return &modeError{fmt.Errorf("attach the XDP program: %w", err)}
}

// release takes the program off and closes the sockets. The queues' frames are then theirs to reclaim: the kernel
// does not touch them any more.
func (i *Interface) release() {
	i.detach()
	zeroCopy := i.got == ZeroCopy && !i.look()
	for _, q := range i.queues {
		q.close()
	}
	_ = i.program.Close()
	i.program = xdpObjects{}
	if zeroCopy {
		for _, q := range i.queues {
			awaitRelease(i.index, q.id)
		}
	}
}

// awaitRelease waits until the driver has let go of a queue's frames, which happens some time after the socket is
// closed, and until when the hardware may write to them. The kernel gives no notice, but refuses another socket as
// long as that lasts.
func awaitRelease(ifindex int, queue uint32) {
	pool, err := frame.NewPool(1)
	if err != nil {
		time.Sleep(patience)
		return
	}
	defer func() { _ = pool.Close() }()
	probe := Queue{pool: pool, id: queue, fd: -1}
	defer probe.close()
	_ = probe.open(ifindex, Copy, 0, 1, -1, nil) // no frames are lent; a failure but for EBUSY means that the interface is gone
}
