package hostside

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// testTAP is a TAP that nobody reads.
type testTAP struct {
	file  *os.File
	index int
}

// openTAP makes a persistent TAP or takes it.
func openTAP(name string, ifindex int) (TAP, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	t := new(testTAP)
	if err := t.attach(fd, name, ifindex); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("TAP %s: %w", name, err)
	}
	t.file = os.NewFile(uintptr(fd), "/dev/net/tun") // it can be polled from now on
	return t, nil
}

func (t *testTAP) attach(fd int, name string, ifindex int) error {
	if ifindex != 0 {
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETIFINDEX, ifindex); err != nil {
			return err
		}
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		return err
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(sock)
	if err := unix.IoctlIfreq(sock, unix.SIOCGIFINDEX, req); err != nil {
		return err
	}
	t.index = int(req.Uint32())
	return nil
}

func (t *testTAP) Index() int   { return t.index }
func (t *testTAP) Close() error { return t.file.Close() }
func (t *testTAP) Remove() error {
	return errors.Join(unix.IoctlSetInt(int(t.file.Fd()), unix.TUNSETPERSIST, 0), t.file.Close())
}
