package tap

import (
	"encoding/binary"
	"errors"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// vnetLen is the length of struct virtio_net_hdr, which each frame has before it (linux/virtio_net.h).
const vnetLen = 10

// readLen is room for what Linux sends at once: a vnet header, an Ethernet header with tags, 64 KiB.
const readLen = vnetLen + 14 + 2*4 + 1<<16

// readsAtOnce bounds the frames read before an interruption is looked for.
const readsAtOnce = 64

// buffers are used only while there is something to read: there are thousands of TAPs.
var buffers = sync.Pool{New: func() any { return new([readLen]byte) }} //nolint:gochecknoglobals // a pool is meant to be shared

// ReadFrames waits for what Linux sends by the TAP and calls yield with each Ethernet frame, without vnet header and FCS.
// None is longer than an Ethernet header and the MTU that Linux has for the TAP, and all checksums are right. A frame is
// valid during the call only. It returns nil after [Device.Interrupt], or why nothing can be read any more. For one
// goroutine.
func (d *Device) ReadFrames(yield func(frame []byte)) error {
	conn, err := d.file.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var readErr error
		err := conn.Read(func(uintptr) bool {
			readErr = d.drain(yield)
			return !errors.Is(readErr, unix.EAGAIN)
		})
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		case readErr != nil:
			return readErr
		}
	}
}

// drain yields frames until there are none (EAGAIN), or for a while (nil).
func (d *Device) drain(yield func(frame []byte)) error {
	buf := buffers.Get().(*[readLen]byte)
	defer buffers.Put(buf)
	for range readsAtOnce {
		n, err := unix.Read(d.fd, buf[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n > vnetLen:
			finish(readHeader(buf[:]), buf[vnetLen:n], yield)
		}
	}
	return nil
}

// vnetHeader is struct virtio_net_hdr, in the byte order of the machine.
type vnetHeader struct {
	flags, gso           uint8
	size                 int // of the payload of a segment, bytes
	csumStart, csumField int // where the checksummed part begins, and in it where the checksum goes
}

func readHeader(b []byte) vnetHeader {
	ne := binary.NativeEndian
	return vnetHeader{
		flags: b[0], gso: b[1], size: int(ne.Uint16(b[4:])), csumStart: int(ne.Uint16(b[6:])), csumField: int(ne.Uint16(b[8:])),
	}
}
