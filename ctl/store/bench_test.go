package store

import (
	"encoding/binary"
	"fmt"
	"testing"

	"nsrouter/nstable"
)

// routeOps are n routes with keys and values of the sizes that a table of IPv4 routes has.
func routeOps(n int) []nstable.Op {
	ops := make([]nstable.Op, n)
	for i := range ops {
		key := make([]byte, 4+1+4+1+1+4+8)
		key[4] = 4
		binary.BigEndian.PutUint32(key[5:], uint32(i)<<8)
		key[9], key[10] = 24, 1
		ops[i] = nstable.Op{Bucket: nstable.BucketRoute, Key: key, Value: make([]byte, 20)}
	}
	return ops
}

// BenchmarkCommit is a commit of routes, to the disk and to a file that takes no time.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 4096, 32768, 65536} {
		for name, files := range map[string]files{"disk": diskFiles{}, "memory": memoryFiles{}} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				s, err := openOn(b.TempDir(), files)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				s.compaction.minimum = 1 << 40
				ops := routeOps(n)
				b.ReportAllocs()
				for b.Loop() {
					if err := s.Commit(ops); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/route")
			})
		}
	}
}

// memoryFiles take what is written and forget it.
type memoryFiles struct{ diskFiles }

func (m memoryFiles) open(path string, flag int) (file, error) {
	f, err := m.diskFiles.open(path, flag)
	return forgetful{f}, err
}

type forgetful struct{ file }

func (f forgetful) WriteAt(b []byte, at int64) (int, error) {
	if at > 0 {
		return len(b), nil
	}
	return f.file.WriteAt(b, at)
}

func (forgetful) Sync() error { return nil }

// BenchmarkLoad loads a million routes that were stored out of order.
func BenchmarkLoad(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ops := routeOps(1_000_000)
	for i := range ops {
		binary.BigEndian.PutUint32(ops[i].Key[5:], uint32(i)*2654435761)
	}
	if err := s.Commit(ops); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := s.Load(func(nstable.Bucket, []byte, []byte) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
