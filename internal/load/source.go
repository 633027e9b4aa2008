package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// FrameLen is the length of each frame without FCS, bytes.
const FrameLen = 60

// SourceOptions describe traffic.
type SourceOptions struct {
	Device *lab.Interface   // sends; its peer must have an XDP program
	To     net.HardwareAddr // the router's port
	Src    netip.Addr       // IPv4
	Dst    netip.Addr       // IPv4, the first destination
	// Destinations and Flows are how many addresses from Dst on, and source ports, follow each other, a packet each;
	// powers of two. Zero is one.
	Destinations int
	Flows        int
	// Rate is in packets per second; 0 for as many as can be.
	Rate int
	// CPU that the source keeps busy while it runs.
	CPU int
}

// Source sends traffic from Start to Stop. It is not safe for concurrent use.
type Source struct {
	coll *ebpf.Collection
	o    SourceOptions
	run  *run // nil while it does not send
}

// NewSource loads a source.
func NewSource(o SourceOptions) (*Source, error) {
	destinations, flows := max(o.Destinations, 1), max(o.Flows, 1)
	if destinations&(destinations-1) != 0 || flows&(flows-1) != 0 || flows > 1<<15 {
		return nil, fmt.Errorf("source: %d destinations, %d flows: want powers of two, at most 32768 flows",
			destinations, flows)
	}
	if !o.Src.Is4() || !o.Dst.Is4() {
		return nil, fmt.Errorf("source: %v to %v: want IPv4 addresses", o.Src, o.Dst)
	}
	coll, err := program("source", map[string]any{
		"template": headers(o), "destination_mask": uint32(destinations - 1), "flow_mask": uint16(flows - 1),
		"rate": uint64(o.Rate),
	})
	if err != nil {
		return nil, err
	}
	// The kernel looks the ifindex up in the namespace of the caller.
	if err := o.Device.Host.NS.Do(func() error {
		return coll.Maps["device"].Put(uint32(0), uint32(o.Device.Index))
	}); err != nil {
		coll.Close()
		return nil, fmt.Errorf("source on %s: %w", o.Device.Name, err)
	}
	return &Source{coll: coll, o: o}, nil
}

// headers are the Ethernet, IPv4 and UDP headers of the first packet, without checksums.
func headers(o SourceOptions) []byte {
	const firstPort = 16384
	src, dst := o.Src.As4(), o.Dst.As4()
	b := append(append([]byte{}, o.To...), o.Device.MAC...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, FrameLen-14)
	b = append(b, 0, 0, 0, 0, ttl, unix.IPPROTO_UDP, 0, 0)
	b = append(append(b, src[:]...), dst[:]...)
	b = binary.BigEndian.AppendUint16(b, firstPort)
	b = binary.BigEndian.AppendUint16(b, Port)
	b = binary.BigEndian.AppendUint16(b, FrameLen-14-20)
	return append(b, 0, 0)
}

// htons is v as it stands in memory in network byte order.
func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// run is one time of sending.
type run struct {
	thread atomic.Int32 // kernel id of the sending thread, 0 before it is known
	stop   atomic.Bool
	err    error // valid once ended is closed
	ended  chan struct{}
}

// Start begins to send.
func (s *Source) Start() error {
	if s.run != nil {
		return errors.New("source: it sends already")
	}
	if err := s.coll.Variables["started"].Set(uint64(0)); err != nil {
		return err
	}
	if err := s.coll.Variables["sent"].Set(uint64(0)); err != nil {
		return err
	}
	r := &run{ended: make(chan struct{})}
	s.run = r
	go func() {
		defer close(r.ended)
		r.err = s.o.Device.Host.NS.Do(func() (err error) {
			unpin, err := pin(s.o.CPU)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, unpin()) }()
			r.thread.Store(int32(unix.Gettid()))
			return s.send(r)
		})
	}()
	return nil
}

// send sends until it is told to stop. One call to the kernel lasts until a signal comes, since each ends in an RCU
// grace period.
func (s *Source) send(r *run) error {
	frame := make([]byte, FrameLen)
	for !r.stop.Load() {
		// A signal may also be one of the Go scheduler's.
		if err := runLive(s.coll.Programs["source"], frame); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("run the source on %s: %w", s.o.Device.Name, err)
		}
	}
	return nil
}

// Stop ends sending and returns the number of packets sent since Start. The source can be started again.
func (s *Source) Stop() (sent uint64, err error) {
	r := s.run
	if r == nil {
		return 0, errors.New("source: it does not send")
	}
	s.run = nil
	r.stop.Store(true)
	for ended := false; !ended; {
		select {
		case <-r.ended:
			ended = true
		case <-time.After(time.Millisecond):
			// Go's own preemption signal: its handler takes one at any time. Again and again, since one may come just
			// before the call.
			if tid := r.thread.Load(); tid != 0 {
				_ = unix.Tgkill(unix.Getpid(), int(tid), unix.SIGURG)
			}
		}
	}
	if r.err != nil {
		return 0, r.err
	}
	return s.Sent()
}

// Sent returns the number of packets sent since Start. What the veth's ring had no room for is counted here, and lost.
func (s *Source) Sent() (n uint64, err error) {
	err = s.coll.Variables["sent"].Get(&n)
	return n, err
}

// CPUTime returns the processor time that the sending thread has used in its life, which may be longer than the
// source's. A source that gets less than the time that passes shares its CPU with somebody. It is an error while the
// source does not send.
func (s *Source) CPUTime() (time.Duration, error) {
	if s.run == nil || s.run.thread.Load() == 0 {
		return 0, errors.New("source: it does not send")
	}
	// The clock of another thread of this process: include/linux/posix-timers.h, make_thread_cpuclock with
	// CPUCLOCK_SCHED.
	const perThread, sched = 4, 2
	var used unix.Timespec
	if err := unix.ClockGettime(^s.run.thread.Load()<<3|perThread|sched, &used); err != nil {
		return 0, fmt.Errorf("CPU time of the source: %w", err)
	}
	return time.Duration(used.Nano()), nil
}

// Close stops the source and unloads it.
func (s *Source) Close() error {
	var err error
	if s.run != nil {
		_, err = s.Stop()
	}
	s.coll.Close()
	return err
}
