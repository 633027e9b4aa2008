package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

// wire is a veth with a sink at its far end.
type wire struct {
	near    *lab.Interface
	far     *lab.Interface
	threads []int // kernel threads that receive at the far end; none: the sender's softirq does
}

func newWire(t lab.T, l *lab.Lab, s sink, o options) wire {
	tag := [...]string{"h", "a", "i", "p"}[s]
	name := func(end string) string { return fmt.Sprintf("%s%s%d", tag, end, os.Getpid()) }
	var w wire
	w.near, w.far = l.Link(l.Host(tag+"-near").End(name("n")), l.Host(tag+"-far").End(name("f")), lab.LinkOptions{})
	if s == plain {
		return w
	}
	drop, err := load.NewSink(w.far, load.SinkOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = drop.Close() })
	if s == softirq {
		return w
	}
	cpu := o.cpu
	if s == threadApart {
		cpu = o.apartCPU
	}
	if err := load.PinNAPI(w.far, cpu); err != nil {
		t.Fatalf("%v", err)
	}
	if w.threads, err = napiThreads(w.far.Name); err != nil {
		t.Fatalf("%v", err)
	}
	return w
}

// napiThreads are the kernel's threads that receive on an interface, whose name is unique on the machine.
func napiThreads(name string) (threads []int, err error) {
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	for _, file := range comms {
		if comm, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(comm), "napi/"+name+"-") {
			id, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				return nil, err
			}
			threads = append(threads, id)
		}
	}
	return threads, nil
}

// measurement is one turn of a variant.
type measurement struct {
	both, sender float64 // ns for a packet that the veth took
	rate         float64 // of these a second
	lost         float64 // of those sent, in percent
	quiet        bool
}

// reading is what all has come to at one time.
type reading struct {
	at           time.Time
	sender, sink time.Duration // CPU time
	passed, lost uint64        // packets, at the near end
}

// turn sends on a thread of its own, in the namespace of the near end.
func (w *wire) turn(v *variant, memory []byte, o options) (m measurement, err error) {
	err = w.near.Host.NS.Do(func() error {
		runtime.LockOSThread() // never unlocked: a thread with a CPU mask of its own ends with its goroutine
		var one unix.CPUSet
		one.Set(o.cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			return fmt.Errorf("pin to CPU %d: %w", o.cpu, err)
		}
		w.address(memory, v.frames)
		s, err := w.open(v, memory)
		if err != nil {
			return err
		}
		defer s.close()
		m, err = w.measure(s, v, o)
		return err
	})
	return m, err
}

// open makes the socket. The kernel frees the queue of the turn before only some time after its socket was closed.
func (w *wire) open(v *variant, memory []byte) (*socket, error) {
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(time.Millisecond) {
		s, err := newSocket(w.near.Index, memory, v.ring, v.budget)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return s, err
		}
	}
}

func (w *wire) measure(s *socket, v *variant, o options) (m measurement, err error) {
	l := looper{s: s, v: v}
	if err := l.run(o.measure / 10); err != nil {
		return m, err
	}
	begin, err := w.read()
	if err != nil {
		return m, err
	}
	if err := l.run(o.measure); err != nil {
		return m, err
	}
	end, err := w.read()
	if err != nil {
		return m, err
	}
	passed, gone := float64(end.passed-begin.passed), float64(end.lost-begin.lost)
	if passed == 0 {
		return m, fmt.Errorf("no packet came through: %s took none", w.near.Name)
	}
	mine, sinks := end.sender-begin.sender, end.sink-begin.sink
	wall := end.at.Sub(begin.at)
	used := mine
	if v.sink == threadHere {
		used += sinks
	}
	return measurement{
		both: float64((mine + sinks).Nanoseconds()) / passed, sender: float64(mine.Nanoseconds()) / passed,
		rate: passed / wall.Seconds(), lost: 100 * gone / (passed + gone), quiet: float64(used) >= 0.9*float64(wall),
	}, nil
}

// read is for the sender's thread.
func (w *wire) read() (r reading, err error) {
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used); err != nil {
		return r, err
	}
	r.at, r.sender = time.Now(), time.Duration(used.Nano())
	for _, id := range w.threads {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", id))
		if err != nil {
			return r, fmt.Errorf("CPU time of the sink: %w", err)
		}
		ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return r, fmt.Errorf("CPU time of the sink: %w", err)
		}
		r.sink += time.Duration(ns)
	}
	link, err := netlink.LinkByName(w.near.Name)
	if err != nil {
		return r, err
	}
	c := link.Attrs().Statistics
	r.passed, r.lost = c.TxPackets, c.TxDropped
	return r, nil
}

// address writes Ethernet and IPv4 headers to the far end into all frames; what follows them does not matter to the sinks.
func (w *wire) address(memory []byte, frames int) {
	for k := range frames {
		b := memory[k*frameSize:]
		copy(b, w.far.MAC)
		copy(b[6:], w.near.MAC)
		copy(b[12:], []byte{0x08, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, unix.IPPROTO_UDP})
		copy(b[34:], []byte{0x40, 0, 0, load.Port})
	}
}

// looper sends as a worker does.
type looper struct {
	s     *socket
	v     *variant
	sent  uint32 // transmit ring's producer
	freed uint32 // completion ring's consumer
	since int    // packets since the last yield
}

// run sends for a time.
func (l *looper) run(length time.Duration) error {
	for begin := time.Now(); time.Since(begin) < length; {
		for range 16 { // looks at the clock seldom
			if err := l.batch(); err != nil {
				return err
			}
		}
	}
	return nil
}

// batch queues as many packets as there are frames and room for, at most a batch, sends and takes back what is done.
func (l *looper) batch() error {
	n := min(l.v.batch, l.v.frames-int(l.sent-l.freed), l.v.ring-int(l.sent-l.s.consumer.Load()))
	for range n {
		l.s.descs[int(l.sent)%l.v.ring] = unix.XDPDesc{
			Addr: uint64(int(l.sent)%l.v.frames) * frameSize, Len: uint32(l.v.length),
		}
		l.sent++
	}
	l.s.producer.Store(l.sent)
	switch errno := l.s.kick(); errno {
	case 0, unix.EAGAIN, unix.EBUSY, unix.ENOBUFS, unix.EINTR:
	default:
		return fmt.Errorf("send: %w", errno)
	}
	l.freed = l.s.completed.Load() // frames are used in turn: which ones came back does not matter
	l.s.recovered.Store(l.freed)
	if l.since += n; l.v.yield > 0 && (l.since >= l.v.yield || n == 0) {
		l.since = 0
		yield()
	}
	return nil
}
