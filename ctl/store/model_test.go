package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"nsrouter/nstable"
)

// model is what a store must hold: values by bucket and key.
type model map[string]string

func modelKey(b nstable.Bucket, key []byte) string { return fmt.Sprintf("%d/%s", b, key) }

func (m model) apply(ops []nstable.Op) model {
	after := maps.Clone(m)
	for _, op := range ops {
		if op.Value == nil {
			delete(after, modelKey(op.Bucket, op.Key))
		} else {
			after[modelKey(op.Bucket, op.Key)] = string(op.Value)
		}
	}
	return after
}

// String leaves out the most of long values.
func (m model) String() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "\n%s = %d bytes %.5q", k, len(m[k]), m[k])
	}
	return b.String()
}

// loaded reads a store, and asserts the order.
func loaded(s *Store) (model, error) {
	m, last := model{}, ""
	err := s.Load(func(b nstable.Bucket, key, value []byte) error {
		k := modelKey(b, key)
		if k <= last {
			return fmt.Errorf("%s comes after %s", k, last)
		}
		last, m[k] = k, string(value)
		return nil
	})
	return m, err
}

func drawOps(t *rapid.T) []nstable.Op {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) nstable.Op {
		op := nstable.Op{
			Bucket: rapid.SampledFrom([]nstable.Bucket{
				nstable.BucketNamespace, nstable.BucketDevice, nstable.BucketRoute, nstable.BucketRoute, nstable.BucketRoute,
			}).Draw(t, "bucket"),
			Key: []byte(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")),
		}
		if rapid.Bool().Draw(t, "long key") {
			op.Key = append(op.Key, "-and-what-is-beyond-the-head-of-a-key-"[:rapid.IntRange(15, 38).Draw(t, "length")]...)
		}
		switch rapid.IntRange(0, 3).Draw(t, "value") {
		case 0:
			op.Value = []byte(rapid.StringN(0, 9, 9).Draw(t, "text"))
		case 1:
			op.Value = make([]byte, rapid.IntRange(0, 3000).Draw(t, "zeros"))
		case 2:
			op.Value = []byte(fmt.Sprintf("%0*d", rapid.IntRange(1, 2000).Draw(t, "digits"), 7))
		}
		return op
	}), 1, 6).Draw(t, "ops")
}

// machine is a store on a faulty file system, and what it must hold.
type machine struct {
	*rapid.T
	dir   string
	files *faulty
	store *Store
	want  model
}

func (m *machine) open() {
	s, err := openOn(m.dir, m.files)
	if err != nil {
		m.Fatal(err)
	}
	s.db.NoSync = true // for speed: the kernel goes on
	s.compaction.minimum = 1 << 40
	m.store = s
}

// compact runs in the foreground what compactIfDue starts.
func (m *machine) compact() error {
	s := m.store
	return s.compact(s.log.file, s.log.last, s.log.size)
}

// act does something that is about to fail or crash, or not; the state afterwards is one of two.
func (m *machine) act() (after model, err error) {
	if rapid.IntRange(0, 3).Draw(m.T, "compact") == 0 {
		return m.want, m.compact()
	}
	ops := drawOps(m.T)
	return m.want.apply(ops), m.store.Commit(ops)
}

// reopen opens the store again, which must hold what it held, or what was not acknowledged.
func (m *machine) reopen(after model, lostPower bool) {
	if err := m.store.Close(); err != nil {
		m.Fatal(err)
	}
	m.files.fail = 0
	if lostPower {
		if err := m.files.losePower(); err != nil {
			m.Fatal(err)
		}
	}
	m.open()
	got, err := loaded(m.store)
	if err != nil {
		m.Fatal(err)
	}
	if !maps.Equal(got, m.want) && !maps.Equal(got, after) {
		m.Fatalf("%v is neither %v nor %v", got, m.want, after)
	}
	m.want = got
}

// TestModel: whatever fails, and whenever it crashes, a commit has happened or has not, and what was acknowledged has.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("/dev/shm", "nsrouter-store-*") // the power goes here only: no need of a disk
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &machine{T: t, dir: dir, files: newFaulty(rapid.Uint64().Draw(t, "seed")), want: model{}}
		m.open()
		t.Repeat(map[string]func(*rapid.T){
			"good": func(t *rapid.T) {
				m.T = t
				after, err := m.act()
				if err != nil {
					t.Fatal(err)
				}
				m.want = after
			},
			"fail": func(t *rapid.T) {
				m.T = t
				m.files.failAfter(rapid.IntRange(0, 8).Draw(t, "well"), rapid.IntRange(1, 3).Draw(t, "fail"), unix.ENOSPC)
				after, err := m.act()
				m.files.fail = 0
				switch {
				case err == nil:
					m.want = after
				case !errors.Is(err, unix.ENOSPC):
					t.Fatal(err)
				case m.store.broken != nil:
					m.reopen(after, false)
				}
			},
			"crash": func(t *rapid.T) {
				m.T = t
				m.files.crashAfter(rapid.IntRange(0, 8).Draw(t, "well"))
				after, err := m.act()
				if err == nil {
					m.want = after
				}
				m.reopen(after, rapid.Bool().Draw(t, "power"))
			},
			"reopen": func(t *rapid.T) {
				m.T = t
				m.reopen(m.want, rapid.Bool().Draw(t, "power"))
			},
			"": func(t *rapid.T) {
				got, err := loaded(m.store)
				if err != nil || !maps.Equal(got, m.want) {
					t.Fatalf("%v, %v, want\n%v", got, err, m.want)
				}
			},
		})
		if err := m.store.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
