package tabledump

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// readAhead is the size of the buffers before and after unpacking, in bytes. Most MRT records fit, and need no copy then.
const readAhead = 256 << 10

// counter counts what passes.
type counter struct {
	r io.Reader
	n atomic.Int64 // bytes; read by those who show progress
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// packing is a form of compression, and how it is told.
type packing struct {
	name   string
	magic  string
	reader func(io.Reader) (io.Reader, error) // nil: known, but not read
}

func packings() []packing {
	return []packing{
		{"gzip", "\x1f\x8b", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"bzip2", "BZh", func(r io.Reader) (io.Reader, error) { return bzip2.NewReader(r), nil }},
		{"xz", "\xfd7zXZ\x00", nil},
		{"zstd", "\x28\xb5\x2f\xfd", nil},
	}
}

// unpack returns the data in a file that may be packed.
func unpack(file io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(file, readAhead)
	head, err := in.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	for _, p := range packings() {
		if !bytes.HasPrefix(head, []byte(p.magic)) {
			continue
		}
		if p.reader == nil {
			return nil, fmt.Errorf("it is packed with %s, which is not supported: unpack it, or pack it with gzip or bzip2", p.name)
		}
		unpacked, err := p.reader(in)
		if err != nil {
			return nil, packedError(p.name, err)
		}
		return bufio.NewReaderSize(&unpacker{p.name, unpacked}, readAhead), nil
	}
	return in, nil
}

// unpacker names the packing in its errors.
type unpacker struct {
	name string
	r    io.Reader
}

func (u *unpacker) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = packedError(u.name, err)
	}
	return n, err
}

// packedError is about packed data. A cut is told by its name: the library's io.ErrUnexpectedEOF says too little.
func packedError(name string, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("the %s data is cut off", name)
	}
	return fmt.Errorf("the %s data is damaged: %w", name, err)
}
