package procfs

import (
	"errors"
	"fmt"
	"iter"
)

// chunk is how much of a file is made at once, in bytes.
const chunk = 32 << 10

// errStopped says that nobody reads on.
var errStopped = errors.New("nobody reads on")

// output is what a file is written to. Where it is full, the writer rests until somebody reads: it must hold no lock when it
// calls ready.
type output struct {
	buf     []byte
	yield   func([]byte) bool
	stopped bool
}

// printf appends a formatted line.
func (o *output) printf(format string, v ...any) { o.buf = fmt.Appendf(o.buf, format, v...) }

// ready passes on what was written if that is enough; it fails with errStopped if no more is wanted.
func (o *output) ready() error {
	if len(o.buf) < chunk {
		return nil
	}
	return o.flush()
}

func (o *output) flush() error {
	if !o.stopped && len(o.buf) > 0 {
		o.stopped = !o.yield(o.buf)
		o.buf = o.buf[:0]
	}
	if o.stopped {
		return errStopped
	}
	return nil
}

// stream reads what a function writes, piece by piece. It has one user at a time.
type stream struct {
	// next runs the writer until it has written a piece, and halt ends it.
	next func() ([]byte, bool)
	halt func()
	err  error // of the writer, once it has ended

	buf   []byte // the piece; the writer's again when it runs on
	start int64  // where it begins
	end   bool   // no piece follows
}

func newStream(write func(*output) error) *stream {
	s := new(stream)
	s.next, s.halt = iter.Pull(iter.Seq[[]byte](func(yield func([]byte) bool) {
		o := &output{yield: yield}
		err := write(o)
		if err == nil {
			err = o.flush()
		}
		if !errors.Is(err, errStopped) {
			s.err = err
		}
	}))
	return s
}

// fill replaces the piece by the next one.
func (s *stream) fill() error {
	s.start += int64(len(s.buf))
	piece, ok := s.next()
	s.buf, s.end = piece, !ok
	return s.err
}

// readAt reads from a place that is not before the piece, and returns fewer bytes than there is room for only at the end.
func (s *stream) readAt(dest []byte, off int64) (n int, err error) {
	for n < len(dest) && !s.end {
		if at := off + int64(n) - s.start; at < int64(len(s.buf)) {
			n += copy(dest[n:], s.buf[at:])
			continue
		}
		if err := s.fill(); err != nil {
			return n, err
		}
	}
	return n, nil
}

// stop ends the writer. A nil stream has none.
func (s *stream) stop() {
	if s != nil {
		s.halt()
	}
}
