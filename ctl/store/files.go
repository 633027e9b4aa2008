package store

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// files is what the log needs of a file system. Tests put faults and crashes in its place.
type files interface {
	open(path string, flag int) (file, error)
	rename(from, to string) error
	remove(path string) error
	// syncDir makes what was renamed in a directory durable.
	syncDir(dir string) error
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync makes the contents and the size durable.
	Sync() error
	// Size is in bytes.
	Size() (int64, error)
}

// diskFiles are the files of the operating system.
type diskFiles struct{}

func (diskFiles) open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

func (diskFiles) rename(from, to string) error { return os.Rename(from, to) }
func (diskFiles) remove(path string) error     { return os.Remove(path) }
func (diskFiles) syncDir(dir string) error     { return syncDir(dir) }

type diskFile struct{ *os.File }

// Sync leaves out the time of the last change, which costs a write of its own.
func (f diskFile) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readAll reads the first bytes of a file into memory outside Go's heap, which free gives back at once: a log may have
// hundreds of megabytes, and is needed for a second.
func readAll(f io.ReaderAt, size int64) (b []byte, free func(), err error) {
	if size == 0 {
		return nil, func() {}, nil
	}
	b, err = unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	free = func() { _ = unix.Munmap(b) }
	if _, err = io.ReadFull(io.NewSectionReader(f, 0, size), b); err != nil {
		free()
		return nil, nil, err
	}
	return b, free, nil
}
