package dataplane

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	tickInterval = int64(100 * time.Millisecond)
	// longNap bounds a sleep with nothing due. Packets, mail and peers wake the worker; only ageing needs the clock.
	longNap = time.Second
	// shortNap is how long a frame at first waits in a transmit ring which the kernel did not empty at once.
	shortNap = 200 * time.Microsecond
)

// loop is the worker's life, on a thread that is its own for good.
func (w *Worker) loop(started chan<- error) {
	runtime.LockOSThread() // never unlocked: a thread with a CPU mask of its own ends with its goroutine
	defer close(w.done)
	if w.cpu >= 0 {
		var set unix.CPUSet
		set.Set(w.cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			started <- err
			return
		}
	}
	started <- nil
	w.now = nanotime()
	for !w.stop {
		began, n := w.now, w.round()
		w.now = nanotime()
		if w.now-began >= slowRound {
			w.countSlow(w.now - began)
		}
		if n > 0 || len(w.crossings) > 0 {
			w.lastWork = w.now
			w.spin.worked()
			w.handled.Add(uint64(n))
			w.busy.Add(uint64(w.now - began))
		} else {
			w.pause()
		}
	}
	w.release()
}

// sleep waits for packets, mail, a peer or the next tick. A peer or a poster that sees sleeping set writes to the
// waker; whoever came before that is seen by the check after it is set. (sync/atomic is sequentially consistent, so one
// of the two sees the other.)
func (w *Worker) sleep() {
	w.leave()
	w.reader.Offline()
	w.sleeping.Store(true)
	defer w.sleeping.Store(false)
	if w.mail.pending() {
		return
	}
	for i := range w.inbox {
		if w.inbox[i].len() > 0 {
			return
		}
	}
	if w.fromHost.ring.len() > 0 {
		return
	}
	nap := longNap
	switch {
	case w.transmitting():
		// Twice as long each time, while nothing comes back: an interface that is down sends nothing for a long time.
		nap = w.nap
		w.nap = min(2*w.nap, time.Duration(tickInterval))
	case w.neighbors.waiting() || w.starved() || len(w.view.Probing) > 0:
		nap = time.Duration(tickInterval)
	}
	w.naps.Add(1)
	began := nanotime()
	w.wake.wait(nap)
	w.now = nanotime()
	if w.poll == PollAdaptive {
		w.spin.slept(w.now - began)
	}
}

// transmitting tells whether the kernel still has frames to send or to give back, which no descriptor announces.
func (w *Worker) transmitting() bool {
	for _, p := range w.ports {
		if p.Pending() > 0 {
			return true
		}
	}
	return false
}

// starved tells whether a fill ring lacks frames that others may free meanwhile.
func (w *Worker) starved() bool {
	for _, p := range w.ports {
		if p.lacking > 0 {
			return true
		}
	}
	return false
}

// waker is the set of descriptors that end a sleep: an eventfd first, then the queues.
type waker struct {
	event int
	fds   []unix.PollFd
}

func newWaker() (waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return waker{}, err
	}
	return waker{event: fd, fds: []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}}, nil
}

// watch replaces the queues waited for.
func (k *waker) watch(ports []*boundPort) {
	k.fds = k.fds[:1]
	for _, p := range ports {
		if fd := p.FD(); fd >= 0 {
			k.fds = append(k.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
	}
}

// wake ends a sleep; any goroutine.
func (k *waker) wake() {
	one := [8]byte{1}
	// A full counter (EAGAIN) wakes as well; nothing else can fail on an eventfd that is open.
	_, _ = unix.Write(k.event, one[:])
}

// wait sleeps until a descriptor is ready, the time is over, or a signal comes (the runtime preempts with signals). The
// call goes through Syscall, so that the runtime can stop the world meanwhile. A queue whose interface has vanished
// reports an error for ever: it is not waited for any more.
func (k *waker) wait(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&k.fds[0])), uintptr(len(k.fds)),
		uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	if errno != 0 || n == 0 {
		return
	}
	if k.fds[0].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(k.event, b[:])
	}
	for i := range k.fds[1:] {
		if f := &k.fds[1+i]; f.Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			f.Fd = -1
		}
	}
}

// processStart and startNanos are one instant on the runtime's clock and on the kernel's.
var processStart, startNanos = time.Now(), kernelTime() //nolint:gochecknoglobals // never written again

// nanotime is CLOCK_MONOTONIC in nanoseconds, so that others can tell the age of what bears its time. The runtime reads
// that clock without a system call.
func nanotime() int64 { return startNanos + int64(time.Since(processStart)) }

func kernelTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the clock is always there
	}
	return ts.Nano()
}
