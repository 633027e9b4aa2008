package store

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// chunkSize is how much of a new log is written and made durable at a time, in bytes: a file system that has much to
// write at once lets others wait, too.
const chunkSize = 1 << 20

// newLog is a log that is being made: it has no effect until install gives it its name.
type newLog struct {
	files files
	path  string // of the log that it replaces
	file  file
	head  header
	buf   []byte
	size  int64 // bytes that are in the file
}

func temporary(path string) string { return path + ".new" }

// makeLog starts a log beside the one at path. Of head only the numbers of the store, the sequence and the state are
// used.
func makeLog(files files, path string, head header) (*newLog, error) {
	f, err := files.open(temporary(path), os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	// There is no header yet, but room for it.
	n := &newLog{files: files, path: path, file: f, head: head, buf: make([]byte, headerSize, chunkSize+chunkSize/4)}
	n.head.length, n.head.ops, n.head.sum = 0, 0, 0
	return n, nil
}

// put adds a route to the snapshot. Keys must ascend.
func (n *newLog) put(key, value []byte) error {
	n.buf = appendOp(n.buf, key, value)
	n.head.ops++
	if len(n.buf) < chunkSize {
		return nil
	}
	return n.flush()
}

// flush writes what is buffered.
func (n *newLog) flush() error {
	body := n.buf
	if n.size == 0 {
		body = body[headerSize:]
	}
	n.head.sum = crc(n.head.sum, body)
	n.head.length += uint64(len(body))
	start := time.Now()
	err := n.write()
	time.Sleep(time.Since(start)) // half of the disk is for the commits that go on
	return err
}

// write makes what is buffered durable, whatever it is.
func (n *newLog) write() error {
	if _, err := n.file.WriteAt(n.buf, n.size); err != nil {
		return err
	}
	n.size += int64(len(n.buf))
	n.buf = n.buf[:0]
	return n.file.Sync()
}

// finish ends the snapshot.
func (n *newLog) finish() error {
	n.buf = append(n.buf, endMark)
	if err := n.flush(); err != nil {
		return err
	}
	var b [headerSize]byte
	n.head.put(b[:])
	if _, err := n.file.WriteAt(b[:], 0); err != nil {
		return err
	}
	return n.file.Sync()
}

// follow adds the groups that another log has between two places.
func (n *newLog) follow(from file, start, end int64) error {
	for start < end {
		n.buf = n.buf[:min(chunkSize, end-start)]
		if _, err := from.ReadAt(n.buf, start); err != nil {
			return err
		}
		start += int64(len(n.buf))
		if err := n.write(); err != nil {
			return err
		}
	}
	return nil
}

// install gives the log its name. After an error either log may have it.
func (n *newLog) install() error {
	if err := n.files.rename(temporary(n.path), n.path); err != nil {
		return err
	}
	return n.files.syncDir(filepath.Dir(n.path))
}

// discard closes a log that does not count, and removes it. Its error does not matter: the next one takes the same place.
func (n *newLog) discard() error {
	return errors.Join(n.file.Close(), n.files.remove(temporary(n.path)))
}
