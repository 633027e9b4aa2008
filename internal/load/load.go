// Package load makes and counts benchmark traffic on veths, faster than any router there: the smallest frames of UDP over IPv4 and
// IPv6, to any number of destinations, with VLAN tags if wanted.
//
// The source is an XDP program that the kernel runs on frames of its own (BPF_PROG_TEST_RUN with
// BPF_F_TEST_XDP_LIVE_FRAMES), on a thread pinned to a CPU; it redirects each frame into a veth, whose peer must have
// an XDP program. The sink is an XDP program on the far veth, which counts and drops. Neither builds an skb. See
// perf/README.md for how to measure with them.
package load

import (
	"fmt"
	"net"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// Port is the UDP destination port of all load: discard.
const Port = 9

// TTL is what the source sends with, as TTL or hop limit; one hop takes one off.
const TTL = 64

// program loads one program of the object, with its settings, and what it uses. The maps named in entries have as many as these say.
func program(name string, settings map[string]any, entries map[string]int) (*ebpf.Collection, error) {
	spec, err := loadLoad()
	if err != nil {
		return nil, fmt.Errorf("parse the load programs: %w", err)
	}
	for key, value := range settings {
		if err := spec.Variables[key].Set(value); err != nil {
			return nil, fmt.Errorf("set %s: %w", key, err)
		}
	}
	for key, n := range entries {
		spec.Maps[key].MaxEntries = uint32(n)
	}
	for other := range spec.Programs {
		if other != name {
			delete(spec.Programs, other)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, fmt.Errorf("load XDP program %s: %w (it needs root: CAP_BPF and CAP_NET_ADMIN)", name, err)
	}
	return coll, nil
}

// attach attaches the program of a collection to an interface in native mode.
func attach(coll *ebpf.Collection, name string, to *lab.Interface) (l link.Link, err error) {
	err = to.Host.NS.Do(func() error {
		l, err = link.AttachXDP(link.XDPOptions{
			Program: coll.Programs[name], Interface: to.Index, Flags: link.XDPDriverMode,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("attach XDP program %s to %s: %w", name, to.Name, err)
	}
	return l, nil
}

// Pass attaches a program that passes every packet to the kernel, until the returned function is called.
func Pass(to *lab.Interface) (detach func(), err error) {
	coll, err := program("pass", nil, nil)
	if err != nil {
		return nil, err
	}
	l, err := attach(coll, "pass", to)
	if err != nil {
		coll.Close()
		return nil, err
	}
	return func() { l.Close(); coll.Close() }, nil
}

// SinkOptions are what a sink expects.
type SinkOptions struct {
	// TTL is what packets have to have left, TTL or hop limit; zero: one less than the source sends with.
	TTL uint8
	// VLANs has each packet, IPv4, carry the VLAN id 1 + (destination >> 8) modulo VLANs, a power of two. Zero: any tag, or none.
	VLANs int
}

// Sink counts and drops the load that arrives on an interface.
type Sink struct {
	coll *ebpf.Collection
	link link.Link
	mac  net.HardwareAddr
}

// Counts are totals since a sink was made.
type Counts struct {
	Packets uint64
	// Bad are those of Packets that did not come with the interface's MAC as destination, and TTL and VLAN as expected; and
	// of one packet of 64, those whose IPv4 header checksum is wrong.
	Bad uint64
}

// sample is how many packets there are to one whose header checksum is looked at.
const sample = 64

// NewSink attaches a sink.
func NewSink(to *lab.Interface, o SinkOptions) (*Sink, error) {
	coll, err := sinkProgram(to.MAC, o, sample)
	if err != nil {
		return nil, err
	}
	l, err := attach(coll, "sink", to)
	if err != nil {
		coll.Close()
		return nil, err
	}
	return &Sink{coll: coll, link: l, mac: to.MAC}, nil
}

// MAC is the destination that packets must have at the sink.
func (s *Sink) MAC() net.HardwareAddr { return s.mac }

// sinkProgram loads the program of a sink with a MAC address, which looks at the checksum of one packet of each so many.
func sinkProgram(mac net.HardwareAddr, o SinkOptions, each int) (*ebpf.Collection, error) {
	if o.VLANs&(o.VLANs-1) != 0 {
		return nil, fmt.Errorf("sink: %d VLANs: want a power of two", o.VLANs)
	}
	left, tagged := o.TTL, uint8(0)
	if left == 0 {
		left = TTL - 1
	}
	if o.VLANs > 0 {
		tagged = 1
	}
	return program("sink", map[string]any{
		"want_mac": [6]byte(mac), "want_ttl": left, "want_port": htons(Port), "sample_mask": uint64(each - 1),
		"want_vlan": tagged, "want_vlan_mask": uint16(max(o.VLANs, 1) - 1),
	}, nil)
}

// Counts reads the totals, over all CPUs.
func (s *Sink) Counts() (total Counts, err error) {
	var perCPU []loadCounts
	if err := s.coll.Maps["received"].Lookup(uint32(0), &perCPU); err != nil {
		return total, fmt.Errorf("read the sink's counters: %w", err)
	}
	for _, c := range perCPU {
		total.Packets += c.Packets
		total.Bad += c.Bad
	}
	return total, nil
}

// Close detaches the sink.
func (s *Sink) Close() error {
	err := s.link.Close()
	s.coll.Close()
	return err
}

// pin locks the calling goroutine to its thread and that to one CPU, and returns what puts both back.
func pin(cpu int) (unpin func() error, err error) {
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("read CPU affinity: %w", err)
	}
	one.Set(cpu)
	runtime.LockOSThread()
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return func() error {
		defer runtime.UnlockOSThread()
		return unix.SchedSetaffinity(0, &before)
	}, nil
}
