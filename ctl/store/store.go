// Package store keeps a table's state on disk: routes in a log, all else in a bbolt database.
//
// bbolt writes a transaction to fresh pages and then switches to them by one page with a checksum, so that a crash at
// any time leaves the state before the transaction or after it. What bbolt does not notice is damage that comes later:
// therefore the structure is verified before bbolt sees the file (verify.go), each value has a CRC of bucket, key and value
// in front, and each bucket counts its entries in the number that bbolt calls its sequence. There is no free list in the
// file: bbolt finds the free pages when it opens it.
//
// The routes of a commit are one group in the log (frame.go), with checksums, written and made durable at once: that
// is what lets hundreds of thousands a second through. Groups follow each other without a gap. In the background the log
// is rewritten to what is live when it has grown to twice that (compact.go).
//
// A commit about both kinds is one unit, too. Such commits are numbered. The group, with the next number, becomes durable
// within the transaction of the database that writes that number, before it is committed. So the database decides:
// when the log is read, a last group with a number that the database has not seen never was, and the next group takes
// its place. Other commits touch the log or the database only.
//
// A crash may leave one incomplete group at the end, which is ignored; how that differs from damage, see [torn]. Files in
// which anything is wrong are refused and left as they are, also a log without its database, a database without its log,
// and two that do not belong together. The lock on the database is the lock on both.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"

	"nsrouter/nstable"
)

// Store is an open state. It implements [nstable.Store]; one goroutine at a time may use it.
type Store struct {
	path  string // of the database
	files files  // where the log is
	db    *bbolt.DB
	last  int // id of the last transaction that is known to be on disk

	mu  sync.Mutex // against the compaction, which takes it for a moment
	log *routeLog
	// broken is set when nobody can tell whether a commit is on disk or not.
	broken     error
	compaction compaction
	background sync.WaitGroup // the compaction
}

// Open opens the state in a directory, which it makes, with an empty state, where there is none. It fails if another
// daemon uses the state, and if a file is damaged in any way that can be seen.
func Open(dir string) (*Store, error) { return openOn(dir, diskFiles{}) }

func openOn(dir string, files files) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	s := &Store{path: filepath.Join(dir, fileName), files: files}
	s.compaction.minimum, s.compaction.pause = minCompaction, maxPause
	if _, err := os.Lstat(s.path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(s.logPath()); err == nil {
			return nil, s.damaged(fmt.Errorf("it is missing, and %s is there", logName))
		}
		if err := create(dir, s.path); err != nil {
			return nil, err
		}
	}
	if err := s.guard(s.open); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) logPath() string { return filepath.Join(filepath.Dir(s.path), logName) }

// open opens both files, once they are locked and verified.
func (s *Store) open() error {
	if err := s.openDatabase(); err != nil {
		return err
	}
	var id, state uint64
	err := s.db.View(func(tx *bbolt.Tx) (err error) {
		s.last = tx.ID()
		id, state, err = s.check(tx)
		return err
	})
	if errors.Is(err, errOldFormat) {
		id, err = s.migrate()
	}
	if err != nil {
		return err
	}
	if s.log, err = openLog(s.files, s.logPath(), id, state); err != nil {
		return err
	}
	// A compaction that was killed may have left it; the next one takes the same name.
	_ = s.files.remove(temporary(s.logPath()))
	return nil
}

// guard runs fn, and makes an error of what bbolt does about a broken file: it panics, or reads memory that is not
// there.
func (s *Store) guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover(); {
		case r != nil:
			// bbolt may hold its own locks now, so that Close would hang: the file stays open until the process ends,
			// which is soon.
			err = s.damaged(fmt.Errorf("%v", r))
		case err != nil && s.db != nil:
			err = errors.Join(err, s.db.Close())
		}
	}()
	return fn()
}

// Commit implements [nstable.Store].
func (s *Store) Commit(ops []nstable.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	routes := s.log.encode(ops)
	var err error
	switch {
	case routes < len(ops):
		err = s.commitDatabase(ops, routes > 0)
	case routes > 0:
		err = s.log.append(s.log.last.state)
	}
	if err != nil && s.log.unknown {
		s.setBroken(err)
	}
	if s.broken != nil {
		return s.broken
	}
	if err == nil && routes > 0 {
		s.compactIfDue()
	}
	return err
}

// setBroken refuses all further commits.
func (s *Store) setBroken(err error) {
	s.broken = fmt.Errorf("%w: whether the last change is on disk is unknown: mend the disk and restart the daemon", err)
}

// commitDatabase commits what is not about routes, and with it the group that was encoded, if there is one.
func (s *Store) commitDatabase(ops []nstable.Op, withRoutes bool) error {
	id, before, size := 0, s.log.last, s.log.size
	err := s.db.Update(func(tx *bbolt.Tx) error {
		id = tx.ID()
		if err := apply(tx, ops); err != nil || !withRoutes {
			return err
		}
		if err := putLogState(tx, before.store, before.state+1); err != nil {
			return err
		}
		return s.log.append(before.state + 1)
	})
	if err == nil {
		s.last = id
		return nil
	}
	err = fmt.Errorf("state file %s: %w", s.path, err)
	// A disk that fails at the very last write leaves the transaction in the file, maybe, although it is not acknowledged.
	if viewErr := s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); viewErr != nil || id != s.last {
		s.setBroken(err)
		return err
	}
	if s.log.size != size {
		s.log.last, s.log.size = before, size
		err = s.log.takeBack(err)
	}
	return err
}

// Load implements [nstable.Store].
func (s *Store) Load(f func(b nstable.Bucket, key, value []byte) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.View(func(tx *bbolt.Tx) error {
		for b := range nstable.NumBuckets {
			if err := s.loadBucket(tx.Bucket(bucketName(b)), b, f); err != nil {
				return err
			}
			if b != nstable.BucketRoute {
				continue
			}
			if err := s.loadRoutes(f); err != nil {
				return err
			}
		}
		return nil
	})
}

// loadRoutes calls f for the routes in the log. It needs twice the memory of the log, for as long as it runs.
func (s *Store) loadRoutes(f func(b nstable.Bucket, key, value []byte) error) error {
	log, free, err := readAll(s.log.file, s.log.size)
	if err != nil {
		return fmt.Errorf("state file %s: %w", s.log.path, err)
	}
	defer free()
	live, needed, err := liveRecords(log, s.log.last)
	if err != nil {
		return damaged(s.log.path, err)
	}
	s.compaction.needed = needed
	for _, r := range live {
		key, value := r.op(log)
		if err := f(nstable.BucketRoute, key, value); err != nil {
			return fmt.Errorf("state file %s: entry %x: %w", s.log.path, key, err)
		}
	}
	return nil
}

// Close closes the files, and ends a compaction.
func (s *Store) Close() error {
	s.compaction.stop.Store(true)
	s.background.Wait()
	return errors.Join(s.log.file.Close(), s.db.Close())
}
