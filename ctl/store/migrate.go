package store

import (
	"fmt"
	"math/rand/v2"

	"go.etcd.io/bbolt"

	"nsrouter/nstable"
)

// migrate moves the routes of a database of the format before into a new log, and returns the log's number. The
// transaction that empties the bucket tells the database of the log, so that until it is committed the log does not
// count, and the next try replaces it.
func (s *Store) migrate() (uint64, error) {
	id := rand.Uint64()
	err := s.db.Update(func(tx *bbolt.Tx) error {
		routes := tx.Bucket(bucketName(nstable.BucketRoute))
		if err := s.exportRoutes(routes, id); err != nil {
			return err
		}
		if err := tx.DeleteBucket(bucketName(nstable.BucketRoute)); err != nil {
			return err
		}
		for b := range nstable.NumBuckets {
			if _, err := tx.CreateBucketIfNotExists(bucketName(b)); err != nil {
				return err
			}
		}
		if err := putLogState(tx, id, 0); err != nil {
			return err
		}
		s.last = tx.ID()
		return tx.Bucket(metaBucket()).Put(versionKey(), []byte{format})
	})
	if err != nil {
		return 0, fmt.Errorf("bring the state in %s to format %d: %w", s.path, format, err)
	}
	return id, nil
}

// exportRoutes makes a log of the routes in a bucket.
func (s *Store) exportRoutes(routes *bbolt.Bucket, id uint64) error {
	n, err := makeLog(s.files, s.logPath(), header{store: id})
	if err != nil {
		return err
	}
	err = s.loadBucket(routes, nstable.BucketRoute, func(_ nstable.Bucket, key, value []byte) error {
		return n.put(key, value)
	})
	if err == nil {
		err = n.finish()
	}
	if err == nil {
		err = n.install()
	}
	if err != nil {
		_ = n.discard()
		return err
	}
	return n.file.Close()
}
