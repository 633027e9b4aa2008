package nstable

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// writer builds a record.
type writer struct{ b []byte }

func newWriter(size int) *writer { return &writer{append(make([]byte, 0, size), recordVersion)} }

func (w *writer) num(v uint64)    { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) bytes(p []byte)  { w.num(uint64(len(p))); w.b = append(w.b, p...) }
func (w *writer) string(s string) { w.num(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) flag(bit uint64, set bool) uint64 {
	if set {
		return bit
	}
	return 0
}

func (w *writer) addr(a netip.Addr) {
	switch {
	case !a.IsValid():
		w.num(0)
	case a.Is4():
		b := a.As4()
		w.bytes(b[:])
	default:
		b := a.As16()
		w.bytes(b[:])
	}
}

// reader takes a record apart; its error sticks.
type reader struct {
	b       []byte
	version uint64
	err     error
}

var errRecord = errors.New("the record is damaged, or of a newer router")

func newReader(b []byte) *reader {
	r := &reader{b: b}
	if r.version = r.num(recordVersion); r.version == 0 {
		r.err = errRecord
	}
	return r
}

// num reads a number of at most limit.
func (r *reader) num(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.err = errRecord
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.num(uint64(len(r.b)))
	if r.err != nil || n > uint64(len(r.b)) {
		r.err = errRecord
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) addr() netip.Addr {
	p := r.bytes()
	a, ok := netip.AddrFromSlice(p)
	if !ok && len(p) > 0 {
		r.err = errRecord
	}
	return a
}

func (r *reader) mac() (mac [6]byte) {
	if copy(mac[:], r.bytes()) != len(mac) {
		r.err = errRecord
	}
	return mac
}

// end returns the error, also if something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		return errRecord
	}
	return r.err
}
