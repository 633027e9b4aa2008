package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nsrouter/nstable"
)

const (
	logName = "routes.log"
	// keepBuffer is how large a buffer is kept for the next group, in bytes.
	keepBuffer = 16 << 20
)

// routeLog is the open log of routes. What guards it is the store's mutex.
type routeLog struct {
	files files
	path  string
	file  file
	last  header // of the last group
	size  int64  // where the last group ends, in bytes
	// rest tells that bytes of no group lie behind size: those of a crash, or of an append that failed.
	rest bool
	// unknown is set when an append failed and could not be taken back: it may count after a restart, or not.
	unknown bool
	buf     []byte // the next group: room for the header, operations
	ops     uint32
}

// openLog opens the log of a store whose database has seen the given state, and reads it through. It changes nothing, but
// makes durable what a daemon that was killed has left to the kernel: from now on others rely on it.
func openLog(files files, path string, store, state uint64) (*routeLog, error) {
	f, err := files.open(path, os.O_RDWR)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, damaged(path, errors.New("it is missing"))
	case err != nil:
		return nil, fmt.Errorf("state file: %w", err)
	}
	l := &routeLog{files: files, path: path, file: f}
	if err = l.read(store, state); err == nil {
		if err = errors.Join(f.Sync(), files.syncDir(filepath.Dir(path))); err != nil {
			err = fmt.Errorf("state file %s: %w", path, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

func (l *routeLog) read(store, state uint64) error {
	size, err := l.file.Size()
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	b, free, err := readAll(l.file, size)
	if err != nil {
		return fmt.Errorf("state file %s: %w", l.path, err)
	}
	defer free()
	if l.last, l.size, err = scan(b, store, state); err != nil {
		return damaged(l.path, err)
	}
	l.rest = l.size < size
	return nil
}

// scan checks all groups of a log, and returns the header of the last one that counts and where it ends. What may be
// behind it is a torn group, or one whose commit did not reach the database, which has seen the given state.
func scan(b []byte, store, state uint64) (last header, end int64, err error) {
	for at := 0; at < len(b); {
		h, ok := parseHeader(b[at:])
		body := b[min(at+headerSize, len(b)):]
		switch whole := ok && h.length <= uint64(len(body)) && h.sum == crc(0, body[:h.length]); {
		case ok && h.store != store:
			return last, end, fmt.Errorf("the group at byte %d is of another state", at)
		case ok && at > 0 && (h.sequence != last.sequence+1 || h.state-last.state > 1):
			return last, end, fmt.Errorf("the group at byte %d does not follow the one before it", at)
		case !whole && at > 0 && torn(b[at:], at):
			return last, end, checkState(last, state)
		case !whole:
			return last, end, fmt.Errorf("the checksum of the group at byte %d is wrong, or it is cut off", at)
		case at > 0 && h.state == state+1 && uint64(len(body)) == h.length:
			return last, end, checkState(last, state)
		}
		at += headerSize + int(h.length)
		last, end = h, int64(at)
	}
	if end == 0 {
		return last, end, errors.New("it is empty")
	}
	return last, end, checkState(last, state)
}

// checkState compares the state of the last group that counts with the one that the database has seen.
func checkState(last header, state uint64) error {
	switch {
	case last.state < state:
		return fmt.Errorf("it is older than %s", fileName)
	case last.state > state:
		return fmt.Errorf("%s is older than it", fileName)
	}
	return nil
}

// encode makes the next group of what is about routes, and returns how many operations that is.
func (l *routeLog) encode(ops []nstable.Op) int {
	if cap(l.buf) < headerSize {
		l.buf = make([]byte, headerSize, 1<<16)
	}
	l.buf, l.ops = l.buf[:headerSize], 0
	for i := range ops {
		if ops[i].Bucket == nstable.BucketRoute {
			l.buf = appendOp(l.buf, ops[i].Key, ops[i].Value)
			l.ops++
		}
	}
	return int(l.ops)
}

// append adds the group that was encoded, and makes it durable, with one write; or it takes it back.
func (l *routeLog) append(state uint64) error {
	if l.rest {
		if err := l.cut(); err != nil {
			return l.failed(err)
		}
	}
	l.buf = append(l.buf, endMark)
	h := header{store: l.last.store, sequence: l.last.sequence + 1, state: state, ops: l.ops}
	h.seal(l.buf)
	l.rest = true
	_, err := l.file.WriteAt(l.buf, l.size)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return l.takeBack(l.failed(err))
	}
	l.rest = false
	l.last = h
	l.size += int64(len(l.buf))
	if cap(l.buf) > keepBuffer {
		l.buf = nil
	}
	return nil
}

// seal puts the header, with what depends on the body, in front of the body of a group.
func (h *header) seal(group []byte) {
	h.length = uint64(len(group) - headerSize)
	h.sum = crc(0, group[headerSize:])
	h.put(group)
}

// takeBack removes what is behind the last group, because of an error, which it returns.
func (l *routeLog) takeBack(because error) error {
	l.rest = true
	if err := l.cut(); err != nil {
		l.unknown = true
		return fmt.Errorf("%w; take it back: %w", because, err)
	}
	return because
}

// failed names the log in an error: the file may have been opened under another name.
func (l *routeLog) failed(err error) error {
	if p := (*os.PathError)(nil); errors.As(err, &p) {
		err = p.Err
	}
	return fmt.Errorf("write %s: %w", l.path, err)
}

// cut removes durably what is behind the last group.
func (l *routeLog) cut() error {
	if err := l.file.Truncate(l.size); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.rest = false
	return nil
}
