package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"nsrouter/nstable"
)

const (
	fileName = "state.db"
	// lockTimeout is how long a daemon waits for another one that is just ending.
	lockTimeout = 2 * time.Second
	// format is the version of what nstable writes, and of where it is; a file of another one is refused.
	format = 2
	// formatRoutes is the one before, which had routes in the database: see [Store.migrate].
	formatRoutes = 1
	crcSize      = 4
	// logSeal goes into the checksum of what the database says of the log, in place of a bucket.
	logSeal = nstable.Bucket(255)
)

// create makes an empty database. It appears under its name only when it is whole, so that an empty file there is a
// damaged one. It is of the format before: who has the lock on it makes the log, as for any of that format.
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
	return meta.Put(versionKey(), []byte{formatRoutes})
}

func bucketName(b nstable.Bucket) []byte { return []byte{'b', byte(b)} }
func metaBucket() []byte                 { return []byte("meta") }
func versionKey() []byte                 { return []byte("version") }
func logKey() []byte                     { return []byte("log") }

// openDatabase opens the database, once it is locked and verified.
func (s *Store) openDatabase() (err error) {
	s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{
		Timeout:        lockTimeout,
		FreelistType:   bbolt.FreelistMapType,
		NoFreelistSync: true,
		OpenFile:       s.openFile,
	})
	return err
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
	if err == nil {
		err = f.Sync() // what a daemon that was killed has left to the kernel: the log relies on it
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

// errOldFormat says that the database is of the format before.
var errOldFormat = errors.New("it has the format before")

// check looks whether the database is one that this router can read, and returns what it says of its log: the log's
// random number, and the number of the last commit that was about both.
func (s *Store) check(tx *bbolt.Tx) (id, state uint64, err error) {
	meta := tx.Bucket(metaBucket())
	if meta == nil {
		return 0, 0, s.damaged(errors.New("it is no state of this router"))
	}
	version, log := meta.Get(versionKey()), meta.Get(logKey())
	buckets := nstable.NumBuckets
	if len(version) == 1 && version[0] == formatRoutes {
		buckets = nstable.BucketRoute + 1 // those that came later are made by migrate
	}
	for b := range buckets {
		if tx.Bucket(bucketName(b)) == nil {
			return 0, 0, s.damaged(fmt.Errorf("bucket %d is missing", b))
		}
	}
	switch {
	case len(version) != 1:
		return 0, 0, s.damaged(errors.New("it has no version"))
	case version[0] == formatRoutes && log == nil:
		return 0, 0, errOldFormat
	case version[0] != format && version[0] != formatRoutes:
		return 0, 0, fmt.Errorf(
			"state file %s: it has format %d, this router knows %d: use the version that wrote it",
			s.path,
			version[0],
			format,
		)
	}
	numbers, ok := unseal(logSeal, logKey(), log)
	key, _ := tx.Bucket(bucketName(nstable.BucketRoute)).Cursor().First()
	if !ok || len(numbers) != 16 || key != nil || version[0] == formatRoutes {
		return 0, 0, s.damaged(errors.New("what it says of its log is wrong"))
	}
	return binary.BigEndian.Uint64(numbers), binary.BigEndian.Uint64(numbers[8:]), nil
}

// putLogState writes what check returns.
func putLogState(tx *bbolt.Tx, id, state uint64) error {
	numbers := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, id), state)
	return tx.Bucket(metaBucket()).Put(logKey(), seal(logSeal, logKey(), numbers))
}

func (s *Store) damaged(err error) error { return damaged(s.path, err) }

func damaged(path string, err error) error {
	return fmt.Errorf(
		"state file %s is damaged: %w: nothing was changed; restore its directory from a backup, or move it away to start empty",
		path,
		err,
	)
}

// apply makes the changes that are not about routes.
func apply(tx *bbolt.Tx, ops []nstable.Op) error {
	var more [nstable.NumBuckets]int // entries
	for _, op := range ops {
		if op.Bucket == nstable.BucketRoute {
			continue
		}
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

// loadBucket calls f for all entries of a bucket.
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

func checksum(b nstable.Bucket, key, value []byte) uint32 {
	return crc(crc(crc(0, []byte{byte(b)}), key), value)
}
