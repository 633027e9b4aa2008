package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// SourceOptions describe traffic. Packet n is the n-th of each list, which begins anew after its end; all have a power of two of
// elements.
type SourceOptions struct {
	// Devices send; the peers of all must have an XDP program.
	Devices []*lab.Interface
	To      net.HardwareAddr // the router's ports
	Src     netip.Addr
	// Destinations are addresses of the family of Src.
	Destinations []netip.Addr
	// VLANs is the number of VLANs on each device, with the ids from 1 on; a packet for each device follows before the next id.
	// Zero: frames have no tag.
	VLANs int
	Flows int // source ports; zero is one
	// Rate is in packets per second; 0 for as many as can be. SetRate changes it.
	Rate int
	// CPU that the source keeps busy while it runs.
	CPU int
}

// FrameLen is the length of each frame without FCS, bytes: as short as Ethernet and the headers allow.
func (o *SourceOptions) FrameLen() int {
	length := 60
	if o.Src.Is6() {
		length = ethernetLen + ipv6Len + udpLen
	}
	if o.VLANs > 0 {
		length += vlanLen
	}
	return length
}

const (
	ethernetLen, vlanLen, ipv4Len, ipv6Len, udpLen = 14, 4, 20, 40, 8

	firstPort  = 16384 // source ports
	maxFlows   = 1 << 15
	maxVLANs   = 1 << 11
	maxDevices = 1 << 7
)

func (o *SourceOptions) check() error {
	for _, c := range []struct {
		what   string
		n, max int
	}{
		{"devices", len(o.Devices), maxDevices}, {"destinations", len(o.Destinations), 1 << 24}, {"flows", o.Flows, maxFlows},
		{"VLANs", max(o.VLANs, 1), maxVLANs},
	} {
		if c.n < 1 || c.n > c.max || c.n&(c.n-1) != 0 {
			return fmt.Errorf("source: %d %s: want a power of two, at most %d", c.n, c.what, c.max)
		}
	}
	if !o.Src.IsValid() || o.Src.Is4In6() {
		return fmt.Errorf("source: %v: want an IPv4 or IPv6 address", o.Src)
	}
	for _, to := range o.Destinations {
		if to.Is4() != o.Src.Is4() || to.Is4In6() {
			return fmt.Errorf("source: %v to %v: want addresses of one family", o.Src, to)
		}
	}
	return nil
}

// Source sends traffic from Start to Stop. It is not safe for concurrent use.
type Source struct {
	coll *ebpf.Collection
	o    SourceOptions
	run  *run // nil while it does not send
}

// NewSource loads a source.
func NewSource(o SourceOptions) (*Source, error) {
	o.Flows = max(o.Flows, 1)
	if err := o.check(); err != nil {
		return nil, err
	}
	frame, sum := o.headers()
	var template [ethernetLen + vlanLen + ipv6Len + udpLen]byte
	copy(template[:], frame)
	flag := map[bool]uint8{true: 1}
	coll, err := program("source", map[string]any{
		"template": template, "udp_sum": sum, "ipv6": flag[o.Src.Is6()], "tagged": flag[o.VLANs > 0],
		"destination_mask": uint32(len(o.Destinations) - 1), "flow_mask": uint16(o.Flows - 1),
		"device_mask": uint32(len(o.Devices) - 1), "device_shift": uint8(bits.TrailingZeros(uint(len(o.Devices)))),
		"vlan_mask": uint16(max(o.VLANs, 1) - 1), "interval": interval(o.Rate),
	}, map[string]int{"devices": len(o.Devices), "destinations": len(o.Destinations)})
	if err != nil {
		return nil, err
	}
	s := &Source{coll: coll, o: o}
	if err := s.fill(); err != nil {
		coll.Close()
		return nil, err
	}
	return s, nil
}

// fill writes the maps.
func (s *Source) fill() error {
	numbers := make([]uint32, len(s.o.Destinations))
	addresses := make([][16]byte, len(numbers))
	for i, to := range s.o.Destinations {
		numbers[i] = uint32(i)
		copy(addresses[i][:], to.AsSlice())
	}
	if _, err := s.coll.Maps["destinations"].BatchUpdate(numbers, addresses, nil); err != nil {
		return fmt.Errorf("source: write %d destinations: %w", len(numbers), err)
	}
	for i, device := range s.o.Devices {
		// The kernel looks the ifindex up in the namespace of the caller.
		if err := device.Host.NS.Do(func() error {
			return s.coll.Maps["devices"].Put(uint32(i), uint32(device.Index))
		}); err != nil {
			return fmt.Errorf("source on %s: %w", device.Name, err)
		}
	}
	return nil
}

// headers are a frame without destination address, VLAN id and checksums, and the sum of the words of what a UDP checksum over IPv6
// covers besides destination and source port.
func (o *SourceOptions) headers() (frame []byte, sum uint32) {
	b := append(append([]byte{}, o.To...), o.Devices[0].MAC...)
	payload := o.FrameLen() - ethernetLen
	if o.VLANs > 0 {
		b = append(b, 0x81, 0, 0, 0)
		payload -= vlanLen
	}
	if o.Src.Is4() {
		b = append(b, 0x08, 0, 0x45, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(payload))
		b = append(b, 0, 0, 0, 0, TTL, unix.IPPROTO_UDP, 0, 0)
		b = append(append(b, o.Src.AsSlice()...), 0, 0, 0, 0)
		payload -= ipv4Len
	} else {
		payload -= ipv6Len
		b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(payload))
		b = append(b, unix.IPPROTO_UDP, TTL)
		b = append(append(b, o.Src.AsSlice()...), make([]byte, net.IPv6len)...)
	}
	b = binary.BigEndian.AppendUint16(b, firstPort)
	b = binary.BigEndian.AppendUint16(b, Port)
	b = binary.BigEndian.AppendUint16(b, uint16(payload))
	b = append(b, 0, 0)
	pseudo := append(o.Src.AsSlice(), 0, unix.IPPROTO_UDP, byte(payload>>8), byte(payload))
	pseudo = append(pseudo, b[len(b)-udpLen+2:]...)
	for i := 0; i < len(pseudo); i += 2 {
		sum += uint32(binary.NativeEndian.Uint16(pseudo[i:]))
	}
	return b, sum
}

// htons is v as it stands in memory in network byte order.
func htons(v uint16) uint16 { return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v)) }

// run is one time of sending.
type run struct {
	thread atomic.Int32 // kernel id of the sending thread, 0 before it is known
	stop   atomic.Bool
	err    error         // valid once ended is closed
	pinned chan struct{} // closed once thread is known
	ended  chan struct{}
}

// Start begins to send.
func (s *Source) Start() error {
	if s.run != nil {
		return errors.New("source: it sends already")
	}
	for _, name := range []string{"started", "due", "missed", "sent"} {
		if err := s.coll.Variables[name].Set(uint64(0)); err != nil {
			return fmt.Errorf("source: reset %s: %w", name, err)
		}
	}
	r := &run{pinned: make(chan struct{}), ended: make(chan struct{})}
	s.run = r
	go func() {
		defer close(r.ended)
		r.err = s.o.Devices[0].Host.NS.Do(func() (err error) {
			unpin, err := pin(s.o.CPU)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, unpin()) }()
			r.thread.Store(int32(unix.Gettid()))
			close(r.pinned)
			return s.send(r)
		})
	}()
	select { // so that CPUTime has something to tell
	case <-r.pinned:
	case <-r.ended: // Stop tells why
	}
	return nil
}

// send sends until it is told to stop. One call to the kernel lasts until a signal comes, since each ends in an RCU
// grace period.
func (s *Source) send(r *run) error {
	frame := make([]byte, s.o.FrameLen())
	for !r.stop.Load() {
		// A signal may also be one of the Go scheduler's.
		if err := runLive(s.coll.Programs["source"], frame); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("run the source on %s: %w", s.o.Devices[0].Name, err)
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
