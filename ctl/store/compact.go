package store

import (
	"errors"
	"fmt"
	"sync/atomic"
)

const (
	// minCompaction is the size below which a log is left alone, in bytes.
	minCompaction = 1 << 20
	// maxPause is how many bytes may be left to copy when commits are held up for the switch to the new log.
	maxPause = 1 << 20
	// maxRounds is how often a compaction tries to catch up with the commits that go on.
	maxRounds = 16
)

// compaction is what is known about rewriting the log. The store's mutex guards it.
type compaction struct {
	minimum int64 // minCompaction, but for tests
	pause   int64 // maxPause, but for tests
	needed  int64 // bytes that were needed for what is live, when that was last counted
	running bool
	stop    atomic.Bool // the store closes; anybody may look
	done    int         // how often the log was rewritten
	err     error
}

var errStopped = errors.New("the store is closed")

// compactIfDue starts a compaction when the log has twice the size that it needs. Only a compaction, or Load, can tell
// what it needs: a log that has grown by new routes alone is looked at each time it has doubled, and left as it is.
func (s *Store) compactIfDue() {
	c := &s.compaction
	if c.running || c.stop.Load() || s.log.size <= max(c.minimum, 2*c.needed) {
		return
	}
	c.running = true
	from, last, size := s.log.file, s.log.last, s.log.size
	s.background.Go(func() {
		err := s.compact(from, last, size)
		s.mu.Lock()
		defer s.mu.Unlock()
		c.running = false
		if c.err = err; err != nil {
			c.needed = size/2 + size/8 // do not try before it has grown by a quarter
		}
	})
}

// Compactions returns how often the log of routes was rewritten since the store was opened, and why the last try failed,
// if it did. Such a failure, on a full disk for instance, harms nothing but that the log goes on growing.
func (s *Store) Compactions() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compaction.done, s.compaction.err
}

// compact writes a log with only what is live in the given one, of which the given size counts and ends with the group
// of the given header. Commits go on; it ends by putting the new log in the place of the old one.
func (s *Store) compact(from file, last header, size int64) error {
	n, err := s.rewrite(from, last, size)
	if err == nil && n != nil {
		err = s.replace(n, from, size)
	}
	if err != nil && n != nil {
		_ = n.discard()
	}
	if err != nil {
		return fmt.Errorf("compact %s: %w", s.log.path, err)
	}
	return nil
}

// rewrite makes the snapshot; there is none if too little would be gained.
func (s *Store) rewrite(from file, last header, size int64) (*newLog, error) {
	log, free, err := readAll(from, size)
	if err != nil {
		return nil, err
	}
	defer free()
	live, needed, err := liveRecords(log, last)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.compaction.needed = needed
	s.mu.Unlock()
	if 2*needed > size {
		return nil, nil
	}
	n, err := makeLog(s.log.files, s.log.path, last)
	if err != nil {
		return nil, err
	}
	for i, r := range live {
		if i%4096 == 0 && s.compaction.stop.Load() {
			return n, errStopped
		}
		if err := n.put(r.op(log)); err != nil {
			return n, err
		}
	}
	return n, n.finish()
}

// replace puts the new log in the place of the old one, of which it has what is before the given place.
func (s *Store) replace(n *newLog, from file, size int64) error {
	size, err := s.catchUp(n, from, size)
	if err == nil {
		err = s.switchTo(n, size)
	}
	if err == nil {
		s.giveBack(from, size)
	}
	return err
}

// giveBack frees the space of a log that has lost its name, a little at a time: a file system that frees much at once
// (and tells the disk, with mount option discard) lets commits wait. Errors do not matter, Close frees what is left.
func (s *Store) giveBack(old file, size int64) {
	for size > 0 && !s.compaction.stop.Load() {
		size = max(size-chunkSize, 0)
		if old.Truncate(size) != nil || old.Sync() != nil {
			break
		}
	}
	_ = old.Close()
}

// catchUp copies the groups that were appended meanwhile, from a place on, until few are missing. It returns how far it
// has come.
func (s *Store) catchUp(n *newLog, from file, size int64) (int64, error) {
	for range maxRounds {
		s.mu.Lock()
		end := s.log.size
		s.mu.Unlock()
		switch {
		case s.compaction.stop.Load():
			return size, errStopped
		case end-size <= s.compaction.pause:
			return size, nil
		}
		if err := n.follow(from, size, end); err != nil {
			return size, err
		}
		size = end
	}
	return size, nil
}

// switchTo copies the last groups, from a place on, and goes on with the new log. Commits wait for it.
func (s *Store) switchTo(n *newLog, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.compaction.stop.Load() {
		return errStopped
	}
	if s.broken != nil {
		return s.broken
	}
	l := s.log
	if err := n.follow(l.file, size, l.size); err != nil {
		return err
	}
	if err := n.install(); err != nil {
		s.broken = fmt.Errorf("replace %s: %w: whether it was replaced is unknown: mend the disk and restart the daemon", l.path, err)
		return err
	}
	l.file, l.size, l.rest = n.file, n.size, false
	s.compaction.done++
	return nil
}
