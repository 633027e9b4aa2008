// Package tap opens Linux TAP devices: the end of a device of the router that programs see.
//
// A TAP is persistent: it stays when who has it open ends, without carrier, and is opened again by its name.
//
// Linux leaves to a TAP what it leaves to a network card (tun(4): IFF_VNET_HDR, TUNSETOFFLOAD): to cut what TCP sends into
// segments and to complete checksums, so that a byte stream passes the system call boundary in pieces of up to 64 KiB.
// [Device.ReadFrames] does both. [Device.WriteFrames] joins the segments of the other direction, as a network card does (GRO).
package tap

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// clone is the file that each opening of is a TAP, once it has a name.
const clone = "/dev/net/tun"

// Device is an open TAP. Its frames have a struct virtio_net_hdr before them (IFF_VNET_HDR).
type Device struct {
	file  *os.File
	fd    int // of file, which is open while anything here is used
	name  string
	index int
}

// Open makes a TAP in the network namespace of the calling thread, or takes one of that name which is there and which
// nobody has open. ifindex is that of a new one; 0: any.
func Open(name string, ifindex int) (*Device, error) {
	fd, err := unix.Open(clone, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w (modprobe tun)", clone, err)
	}
	d := &Device{name: name, fd: fd}
	if err := d.attach(fd, ifindex); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TAP %s: %w", name, err)
	}
	d.file = os.NewFile(uintptr(fd), clone) // not before: it can be polled only once it has a name
	return d, nil
}

func (d *Device) attach(fd, ifindex int) error {
	if ifindex != 0 {
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETIFINDEX, ifindex); err != nil {
			return fmt.Errorf("choose ifindex %d: %w", ifindex, err)
		}
	}
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); {
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("make it: %w: another kind of interface has the name", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("make it: %w: another program has it open, or its ifindex is taken", err)
	case err != nil:
		return fmt.Errorf("make it: %w", err)
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("make it persistent: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		return fmt.Errorf("choose the size of the vnet header: %w", err)
	}
	const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
		return fmt.Errorf("take over segmentation and checksums: %w", err)
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	if err := unix.IoctlIfreq(sock, unix.SIOCGIFINDEX, req); err != nil {
		return fmt.Errorf("read its ifindex: %w", err)
	}
	d.index = int(req.Uint32())
	return nil
}

// Index is Linux's ifindex.
func (d *Device) Index() int { return d.index }

// Name is the name that the TAP was opened by.
func (d *Device) Name() string { return d.name }

// Interrupt has [Device.ReadFrames] return, now or when it is called.
func (d *Device) Interrupt() {
	_ = d.file.SetReadDeadline(time.Unix(1, 0)) // a file that can be polled takes one
}

// Close ends the use of the TAP, which stays.
func (d *Device) Close() error { return d.file.Close() }

// Remove closes the TAP and deletes it.
func (d *Device) Remove() error {
	conn, err := d.file.SyscallConn()
	if err == nil {
		ctlErr := conn.Control(func(fd uintptr) { err = unix.IoctlSetInt(int(fd), unix.TUNSETPERSIST, 0) })
		err = errors.Join(err, ctlErr)
	}
	return errors.Join(err, d.file.Close())
}
