// Package store keeps a table's state on disk: one bbolt file with a bucket for each kind of object.
//
// bbolt writes a transaction to fresh pages and then switches to them by one page with a checksum, so that a crash at
// any time leaves the state before the transaction or after it. What bbolt does not notice is a flipped bit in a data
// page; therefore each value has a CRC of its own in front. A file in which anything is wrong is refused and left as it
// is.
package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"nsrouter/nstable"
)

const (
	fileName = "state.db"
	// lockTimeout is how long a daemon waits for another one that is just ending.
	lockTimeout = 2 * time.Second
	// format is the version of what nstable writes; a file of another one is refused.
	format  = 1
	crcSize = 4
)

// Store is an open state file. It implements [nstable.Store]; one goroutine at a time may use it.
type Store struct {
	path string
	db   *bbolt.DB
}

// Open opens the state in a directory, which it makes, with an empty state, where there is none. It fails if another
// daemon uses the state, and if the file is damaged in any way that can be seen.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	path := filepath.Join(dir, fileName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(dir, path); err != nil {
			return nil, err
		}
	}
	s := &Store{path: path}
	if err := s.guard(s.open); err != nil {
		return nil, err
	}
	return s, nil
}

// create makes an empty state file. It appears under its name only when it is whole, so that an empty file there is a
// damaged one.
func create(dir, path string) error {
	f, err := os.CreateTemp(dir, fileName+".new-*")
	if err != nil {
		return fmt.Errorf("make a state file in %s: %w", dir, err)
	}
	temporary := f.Name()
	defer func() { _ = os.Remove(temporary) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err == nil {
		err = errors.Join(db.Update(initialize), db.Close())
	}
	if err == nil {
		// Not a rename: of two daemons that start at once only one makes the file.
		err = os.Link(temporary, path)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make state file %s: %w", path, err)
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func initialize(tx *bbolt.Tx) error {
	for b := range nstable.NumBuckets {
		if _, err := tx.CreateBucket(bucketName(b)); err != nil {
			return err
		}
	}
	meta, err := tx.CreateBucket(metaBucket())
	if err != nil {
		return err
	}
	return meta.Put(versionKey(), []byte{format})
}

func bucketName(b nstable.Bucket) []byte { return []byte{'b', byte(b)} }
func metaBucket() []byte                 { return []byte("meta") }
func versionKey() []byte                 { return []byte("version") }

// open opens the file and looks through all of its pages.
func (s *Store) open() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("state file %s: %w", s.path, err)
	}
	if info.Size() == 0 {
		return s.damaged(errors.New("it is empty"))
	}
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf(
			"state file %s: another daemon uses it: stop that, or give this one a --state directory of its own",
			s.path,
		)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("state file: %w", err)
	case err != nil:
		return s.damaged(err)
	}
	return s.db.View(s.check)
}

// check verifies the file's structure and version. What it reads beyond the file's end faults: see guard.
func (s *Store) check(tx *bbolt.Tx) error {
	// bbolt checks on a goroutine of its own, where a fault could not be caught; a walk over all of it here comes
	// first.
	if err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
		return b.ForEach(func(_, _ []byte) error { return nil })
	}); err != nil {
		return s.damaged(err)
	}
	var first error
	for err := range tx.Check() { // to its end: the goroutine behind it waits for who reads
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return s.damaged(first)
	}
	meta := tx.Bucket(metaBucket())
	if meta == nil {
		return s.damaged(errors.New("it is no state of this router"))
	}
	version := meta.Get(versionKey())
	if len(version) != 1 {
		return s.damaged(errors.New("it has no version"))
	}
	if version[0] != format {
		return fmt.Errorf(
			"state file %s: it has format %d, this router knows %d: use the version that wrote it",
			s.path,
			version[0],
			format,
		)
	}
	for b := range nstable.NumBuckets {
		if tx.Bucket(bucketName(b)) == nil {
			return s.damaged(fmt.Errorf("bucket %d is missing", b))
		}
	}
	return nil
}

func (s *Store) damaged(err error) error {
	return fmt.Errorf(
		"state file %s is damaged: %w: nothing was changed; restore it from a backup, or move it away to start empty",
		s.path,
		err,
	)
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
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, op := range ops {
			b := tx.Bucket(bucketName(op.Bucket))
			if op.Value == nil {
				if err := b.Delete(op.Key); err != nil {
					return err
				}
				continue
			}
			if err := b.Put(op.Key, seal(op.Value)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("state file %s: %w", s.path, err)
	}
	return nil
}

// Load implements [nstable.Store].
func (s *Store) Load(f func(b nstable.Bucket, key, value []byte) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		for b := range nstable.NumBuckets {
			err := tx.Bucket(bucketName(b)).ForEach(func(key, sealed []byte) error {
				value, ok := unseal(sealed)
				if !ok {
					return s.damaged(fmt.Errorf("the checksum of entry %x in bucket %d is wrong", key, b))
				}
				if err := f(b, key, value); err != nil {
					return fmt.Errorf("state file %s: entry %x in bucket %d: %w", s.path, key, b, err)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// seal puts the CRC in front of a value: Castagnoli, which CPUs have an instruction for.
func seal(value []byte) []byte {
	sealed := make([]byte, crcSize, crcSize+len(value))
	binary.BigEndian.PutUint32(sealed, crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli)))
	return append(sealed, value...)
}

func unseal(sealed []byte) ([]byte, bool) {
	if len(sealed) < crcSize {
		return nil, false
	}
	value := sealed[crcSize:]
	return value, binary.BigEndian.Uint32(sealed) == crc32.Checksum(value, crc32.MakeTable(crc32.Castagnoli))
}
