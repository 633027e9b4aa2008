package afxdp

import "golang.org/x/sys/unix"

const (
	// busyPollTime is for how many microseconds the kernel may poll in one call (SO_BUSY_POLL). Calls that do not
	// block, as ours, poll once; the kernel asks only that it is not zero.
	busyPollTime = 20
	// busyPollBudget is how many packets one call takes from the driver at most: its own budget in an interrupt.
	busyPollBudget = 64
	// napiLook is how many empty calls of Receive come before the next look for the driver's NAPI instance. The kernel
	// knows it from the first packet on, or since 6.14 from the beginning, if the driver has told it then.
	napiLook = 4096
)

// busyPoller is a queue's part in the kernel's busy polling (Documentation/networking/napi.rst): a system call for the
// socket does the receive work of the driver's NAPI instance, on the caller's CPU. With SO_PREFER_BUSY_POLL interrupts
// leave it that work, for as long as the interface's napi_defer_hard_irqs and gro_flush_timeout say: these are the
// operator's to set.
type busyPoller struct {
	on   bool
	napi int // the NAPI instance of the queue; 0: not known, or there is none
	look int // empty calls until the next look for it
}

// BusyPoll has Receive do the driver's receive work when it finds nothing, or leaves that to interrupts again.
func (q *Queue) BusyPoll(on bool) {
	if q.gone.Load() || q.busy.on == on {
		return
	}
	q.busy = busyPoller{on: on}
	prefer, micros := 0, 0
	if on {
		prefer, micros = 1, busyPollTime
	}
	// A kernel or a driver that cannot do it goes on with interrupts: the worker polls the ring all the same.
	_ = unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, prefer)
	_ = unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, micros)
	_ = unix.SetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET, busyPollBudget)
}

// pollDriver does the driver's receive work once, and tells whether there is a driver that can be polled.
func (q *Queue) pollDriver() bool {
	b := &q.busy
	if b.napi == 0 {
		if b.look--; b.look > 0 {
			return false
		}
		b.look = napiLook
		if b.napi, _ = unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID); b.napi == 0 {
			return false
		}
	}
	q.heed(kickReceive(q.fd))
	return true
}
