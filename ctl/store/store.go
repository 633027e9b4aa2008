// Package store keeps a table's state on disk: one bbolt file with a bucket for each kind of object.
//
// bbolt writes a transaction to fresh pages and then switches to them by one page with a checksum, so that a crash at
// any time leaves the state before the transaction or after it. What bbolt does not notice is damage that comes later:
// therefore the structure is verified before bbolt sees the file (verify.go), each value has a CRC of bucket, key and value
// in front, and each bucket counts its entries in the number that bbolt calls its sequence. A file in which anything is
// wrong is refused and left as it is.
//
// There is no free list in the file: bbolt finds the free pages when it opens it.
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
	"golang.org/x/sys/unix"

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
	last int // id of the last transaction that is known to be on disk
	// broken is set when nobody can tell whether a commit is on disk or not.
	broken error
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
	db, err := bbolt.Open(temporary, 0o600, &bbolt.Options{Timeout: lockTimeout, NoFreelistSync: true})
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

// open opens the file, once it is locked and verified.
func (s *Store) open() error {
	var err error
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
		Timeout:        lockTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		OpenFile:       s.openFile,
	})
	if err != nil {
		return err
	}
	return s.db.View(s.check)
}

// openFile opens the file for bbolt and holds it to be whole. bbolt takes the lock a second time, which is no conflict on
// the same open file.
func (s *Store) openFile(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag&^os.O_CREATE, mode)
	if err != nil {
		return nil, fmt.Errorf("state file: %w", err)
	}
	if err = s.lock(f); err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			if err = verify(f, info.Size()); err != nil {
				err = s.damaged(err)
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// lock waits a while for a daemon that is just ending.
func (s *Store) lock(f *os.File) error {
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockTimeout / 40) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock state file %s: %w", s.path, err)
		case time.Now().After(end):
			return fmt.Errorf(
				"state file %s: another daemon uses it: stop that, or give this one a --state directory of its own",
				s.path,
			)
		}
	}
}

// check looks whether the file is one that this router can read.
func (s *Store) check(tx *bbolt.Tx) error {
	s.last = tx.ID()
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
	if s.broken != nil {
		return s.broken
	}
	id := 0
	err := s.db.Update(func(tx *bbolt.Tx) error {
		id = tx.ID()
		return apply(tx, ops)
	})
	if err == nil {
		s.last = id
		return nil
	}
	err = fmt.Errorf("state file %s: %w", s.path, err)
	// A disk that fails at the very last write leaves the transaction in the file, maybe, although it is not acknowledged.
	if viewErr := s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); viewErr != nil || id != s.last {
		s.broken = fmt.Errorf("%w: whether the last change is on disk is unknown: mend the disk and restart the daemon", err)
		return s.broken
	}
	return err
}

func apply(tx *bbolt.Tx, ops []nstable.Op) error {
	var more [nstable.NumBuckets]int // entries
	for _, op := range ops {
		b := tx.Bucket(bucketName(op.Bucket))
		had := b.Get(op.Key) != nil
		var err error
		switch {
		case op.Value != nil:
			err = b.Put(op.Key, seal(op.Bucket, op.Key, op.Value))
			if !had {
				more[op.Bucket]++
			}
		case had:
			err = b.Delete(op.Key)
			more[op.Bucket]--
		}
		if err != nil {
			return err
		}
	}
	for i, n := range more {
		if n == 0 {
			continue
		}
		b := tx.Bucket(bucketName(nstable.Bucket(i)))
		if err := b.SetSequence(b.Sequence() + uint64(n)); err != nil {
			return err
		}
	}
	return nil
}

// Load implements [nstable.Store].
func (s *Store) Load(f func(b nstable.Bucket, key, value []byte) error) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		for b := range nstable.NumBuckets {
			if err := s.loadBucket(tx.Bucket(bucketName(b)), b, f); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) loadBucket(from *bbolt.Bucket, b nstable.Bucket, f func(b nstable.Bucket, key, value []byte) error) error {
	n := uint64(0)
	err := from.ForEach(func(key, sealed []byte) error {
		n++
		value, ok := unseal(b, key, sealed)
		if !ok {
			return s.damaged(fmt.Errorf("the checksum of entry %x in bucket %d is wrong", key, b))
		}
		if err := f(b, key, value); err != nil {
			return fmt.Errorf("state file %s: entry %x in bucket %d: %w", s.path, key, b, err)
		}
		return nil
	})
	if err == nil && n != from.Sequence() {
		err = s.damaged(fmt.Errorf("bucket %d has %d entries, it had %d", b, n, from.Sequence()))
	}
	return err
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// seal puts the CRC in front of a value.
func seal(b nstable.Bucket, key, value []byte) []byte {
	sealed := make([]byte, crcSize, crcSize+len(value))
	binary.BigEndian.PutUint32(sealed, checksum(b, key, value))
	return append(sealed, value...)
}

func unseal(b nstable.Bucket, key, sealed []byte) ([]byte, bool) {
	if len(sealed) < crcSize {
		return nil, false
	}
	value := sealed[crcSize:]
	return value, binary.BigEndian.Uint32(sealed) == checksum(b, key, value)
}

// checksum is that of Castagnoli, which CPUs have an instruction for.
func checksum(b nstable.Bucket, key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(crc32.Checksum([]byte{byte(b)}, table), table, key), table, value)
}
