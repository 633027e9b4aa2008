package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sniffer is a packet socket on an interface of a host: it collects the Ethernet frames that arrive there, and sends
// raw ones. It is safe for concurrent use.
type Sniffer struct {
	iface *Interface
	file  *os.File
	conn  syscall.RawConn

	mu     sync.Mutex
	frames []Frame
	more   chan struct{} // closed and replaced when a frame is added
}

// Frame is a received Ethernet frame, without FCS, and with the VLAN tags that it had on the wire.
type Frame struct {
	Data []byte
	At   time.Time // when it was read from the socket, later than its arrival
}

// Sniff opens a sniffer on an interface; it collects from now until the lab's end, what arrives and not what the host
// sends.
func (h *Host) Sniff(dev string) *Sniffer {
	h.lab.t.Helper()
	s := &Sniffer{iface: h.Interface(dev), more: make(chan struct{})}
	h.must("sniff "+dev, h.NS.Do(s.open))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.collect()
	}()
	h.lab.onClose(func() { s.file.Close(); <-ended })
	return s
}

func (s *Sniffer) open() error {
	// Protocol 0 receives nothing until bind names the interface.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	s.file = os.NewFile(uintptr(fd), "packet socket")
	for _, option := range []struct{ level, name, value int }{
		{unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{unix.SOL_PACKET, unix.PACKET_AUXDATA, 1},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16 << 20},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			s.file.Close()
			return fmt.Errorf("packet socket option %d: %w", option.name, err)
		}
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: s.iface.Index}); err != nil {
		s.file.Close()
		return fmt.Errorf("bind packet socket: %w", err)
	}
	s.conn, err = s.file.SyscallConn()
	return err
}

// collect reads until the socket is closed. An interface that goes down is reported once by the socket and read over.
func (s *Sniffer) collect() {
	buf, aux := make([]byte, 1<<16), make([]byte, 256)
	for {
		n, auxLen, err := s.read(buf, aux)
		if errors.Is(err, unix.ENETDOWN) {
			continue
		}
		if err != nil {
			return
		}
		s.mu.Lock()
		s.frames = append(s.frames, Frame{Data: withTag(slices.Clone(buf[:n]), aux[:auxLen]), At: time.Now()})
		close(s.more)
		s.more = make(chan struct{})
		s.mu.Unlock()
	}
}

// read reads a frame and what the kernel says of it.
func (s *Sniffer) read(buf, aux []byte) (n, auxLen int, err error) {
	readErr := s.conn.Read(func(fd uintptr) bool {
		n, auxLen, _, _, err = unix.Recvmsg(int(fd), buf, aux, 0)
		return !errors.Is(err, unix.EAGAIN)
	})
	if readErr != nil {
		return 0, 0, readErr
	}
	return n, auxLen, err
}

// withTag puts the outer VLAN tag back, which the kernel takes off what it receives (packet(7), PACKET_AUXDATA).
func withTag(frame, aux []byte) []byte {
	const statusAt, tciAt, tpidAt, size = 0, 16, 18, 20 // struct tpacket_auxdata of linux/if_packet.h
	messages, err := unix.ParseSocketControlMessage(aux)
	if err != nil || len(frame) < 14 {
		return frame
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < size {
			continue
		}
		if binary.NativeEndian.Uint32(m.Data[statusAt:])&unix.TP_STATUS_VLAN_VALID == 0 {
			return frame
		}
		tag := binary.BigEndian.AppendUint16(nil, binary.NativeEndian.Uint16(m.Data[tpidAt:]))
		tag = binary.BigEndian.AppendUint16(tag, binary.NativeEndian.Uint16(m.Data[tciAt:]))
		return slices.Insert(frame, 12, tag...)
	}
	return frame
}

// Send sends a whole Ethernet frame.
func (s *Sniffer) Send(frame []byte) {
	s.iface.Host.lab.t.Helper()
	_, err := s.file.Write(frame)
	if errors.Is(err, unix.ENETDOWN) { // perhaps the report of an earlier down, which comes once, to the next call
		_, err = s.file.Write(frame)
	}
	s.iface.Host.must("send on "+s.iface.Name, err)
}

// Frames returns what has been collected so far, oldest first.
func (s *Sniffer) Frames() []Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.frames)
}

// Take returns what has been collected since the last call, oldest first, and forgets it.
func (s *Sniffer) Take() []Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	frames := s.frames
	s.frames = nil
	return frames
}

// Reset forgets what has been collected.
func (s *Sniffer) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames = nil
}

// Wait returns the first collected frame, past or to come, that match is true of; false if there is none within
// timeout.
func (s *Sniffer) Wait(timeout time.Duration, match func(frame []byte) bool) (Frame, bool) {
	expired := time.After(timeout)
	for seen := 0; ; {
		s.mu.Lock()
		frames, more := s.frames, s.more
		s.mu.Unlock()
		for _, f := range frames[min(seen, len(frames)):] {
			if match(f.Data) {
				return f, true
			}
		}
		seen = len(frames)
		select {
		case <-more:
		case <-expired:
			return Frame{}, false
		}
	}
}
