package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"nsrouter/nstable"
)

// logged makes a state with several groups in its log, of routes only and of both kinds, and returns its directory and
// the states before the last commit and after it.
func logged(t testing.TB) (dir string, before, after model) {
	t.Helper()
	dir = t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, after = model{}, model{}
	for i := range 9 { // the last two are of routes only
		ops := []nstable.Op{
			put(nstable.BucketRoute, fmt.Sprint("route", i), strings.Repeat("v", 100*i)),
			put(nstable.BucketRoute, "same", fmt.Sprint(i)),
		}
		if i%3 == 0 {
			ops = append(ops, put(nstable.BucketDevice, fmt.Sprint("device", i), "d"))
		}
		if err := s.Commit(ops); err != nil {
			t.Fatal(err)
		}
		before, after = after, after.apply(ops)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, before, after
}

// reopened tells what is in a state; damage of the log must be called that, and must leave it alone.
func reopened(t testing.TB, dir string) (model, error) {
	t.Helper()
	path := filepath.Join(dir, logName)
	was, _ := os.ReadFile(path)
	s, err := Open(dir)
	if err != nil {
		if now, _ := os.ReadFile(path); !bytes.Equal(was, now) {
			t.Error("a log that was refused was changed")
		}
		if text := err.Error(); !strings.Contains(text, dir) || !strings.Contains(text, "is damaged: ") {
			t.Errorf("another error: %v", err)
		}
		return nil, err
	}
	got, err := loaded(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return got, nil
}

func readLog(t testing.TB, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeLog(t testing.TB, dir string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, logName), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// starts returns where the groups of a log begin.
func starts(log []byte) (at []int) {
	for i := 0; i < len(log); {
		h, _ := parseHeader(log[i:])
		at = append(at, i)
		i += headerSize + int(h.length)
	}
	return at
}

// TestLogBits: with one bit of the log another one, wherever, the state is refused.
func TestLogBits(t *testing.T) {
	dir, _, _ := logged(t)
	good := readLog(t, dir)
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := 0; at < len(good); at += step {
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		h, _ := parseHeader(good)
		if _, _, err := scan(bad, h.store, 3); err == nil {
			t.Fatalf("byte %d: nobody noticed", at)
		}
	}
	bad := bytes.Clone(good)
	bad[len(bad)/2] ^= 1
	writeLog(t, dir, bad)
	if _, err := reopened(t, dir); err == nil {
		t.Error("opened")
	}
}

// TestLogCut: a log that ends within its last group has the groups before it; it may not end earlier than the database
// knows, nor within its snapshot.
func TestLogCut(t *testing.T) {
	dir, before, after := logged(t)
	good := readLog(t, dir)
	at := starts(good)
	last := at[len(at)-1]
	for _, size := range []int{last, last + 1, last + headerSize - 1, last + headerSize, last + 600, len(good) - 1, len(good)} {
		writeLog(t, dir, good[:size])
		want := before
		if size == len(good) {
			want = after
		}
		if got, err := reopened(t, dir); err != nil || !maps.Equal(got, want) {
			t.Errorf("%d of %d bytes: %v, %v", size, len(good), got, err)
		}
	}
	for _, size := range []int{0, 1, headerSize, at[1], at[6], at[7]} {
		writeLog(t, dir, good[:size])
		if got, err := reopened(t, dir); err == nil {
			t.Errorf("%d of %d bytes: opened, with %v", size, len(good), got)
		}
	}
	writeLog(t, dir, append(bytes.Clone(good[:at[8]]), good[at[9]:]...))
	if got, err := reopened(t, dir); err == nil {
		t.Errorf("without a group in the middle: opened, with %v", got)
	}
}

// TestLogHoles: sectors of the last group that are not there are the work of a crash; elsewhere they are damage.
func TestLogHoles(t *testing.T) {
	dir, before, _ := logged(t)
	good := readLog(t, dir)
	at := starts(good)
	last := at[len(at)-1]
	bad := bytes.Clone(good)
	clear(bad[at[8] : at[8]+headerSize])
	writeLog(t, dir, bad)
	if got, err := reopened(t, dir); err == nil {
		t.Errorf("the header before the last one: opened, with %v", got)
	}
	for sector := 0; sector < len(good); sector += sectorSize {
		bad := bytes.Clone(good)
		from, to := max(sector, last), min(sector+sectorSize, len(bad))
		if to > last {
			clear(bad[from:to])
			writeLog(t, dir, bad)
			if got, err := reopened(t, dir); err != nil || !maps.Equal(got, before) {
				t.Errorf("sector at %d of the last group: %v, %v", sector, got, err)
			}
		}
		bad = bytes.Clone(good)
		if clear(bad[sector:to]); sector < last {
			writeLog(t, dir, bad)
			if got, err := reopened(t, dir); err == nil {
				t.Errorf("sector at %d: opened, with %v", sector, got)
			}
		}
	}
}

// TestLogOfOthers: a log that is missing, of another state, or older or newer than its database is refused; also a
// log without a database.
func TestLogOfOthers(t *testing.T) {
	dir, _, after := logged(t)
	good := readLog(t, dir)
	database := filepath.Join(dir, fileName)
	old, err := os.ReadFile(database)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	ops := []nstable.Op{put(nstable.BucketDevice, "d", ""), put(nstable.BucketRoute, "r", "")}
	for range 2 {
		if err := s.Commit(ops); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := after.apply(ops)
	recent := readLog(t, dir)
	other, _, _ := logged(t)
	for name, log := range map[string][]byte{"missing": nil, "another": readLog(t, other), "older": good} {
		if writeLog(t, dir, log); log == nil {
			if err := os.Remove(filepath.Join(dir, logName)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := reopened(t, dir); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	writeLog(t, dir, recent)
	if got, err := reopened(t, dir); err != nil || !maps.Equal(got, want) {
		t.Errorf("put back: %v, %v", got, err)
	}
	if err := os.WriteFile(database, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reopened(t, dir); err == nil {
		t.Error("opened with an older database")
	}
	if err := os.Remove(database); err != nil {
		t.Fatal(err)
	}
	if _, err := reopened(t, dir); err == nil {
		t.Error("opened without a database")
	}
}

// TestDatabaseFails: a group in the log is taken back when the database cannot follow.
func TestDatabaseFails(t *testing.T) {
	dir, _, after := logged(t)
	s := open(t, dir)
	s.db.MaxSize = 1 << 15
	long := strings.Repeat("x", 1<<20)
	big := []nstable.Op{put(nstable.BucketDevice, "big", long), put(nstable.BucketRoute, "r", long)}
	if err := s.Commit(big); err == nil || !strings.Contains(err.Error(), fileName) {
		t.Fatalf("the database takes it: %v", err)
	}
	if size := len(readLog(t, dir)); int64(size) != s.log.size {
		t.Errorf("the log has %d bytes, %d count", size, s.log.size)
	}
	ops := []nstable.Op{put(nstable.BucketDevice, "small", ""), put(nstable.BucketRoute, "r2", "")}
	if err := s.Commit(ops); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := reopened(t, dir); err != nil || !maps.Equal(got, after.apply(ops)) {
		t.Errorf("%v, %v", got, err)
	}
}

// previous makes a state of the format before.
func previous(t testing.TB, routes int) (dir string, want model) {
	t.Helper()
	dir, want = t.TempDir(), model{}
	path := filepath.Join(dir, fileName)
	if err := create(dir, path); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if err := tx.DeleteBucket(bucketName(nstable.BucketNextHop)); err != nil { // which that format did not have
			return err
		}
		for _, b := range []nstable.Bucket{nstable.BucketDevice, nstable.BucketRoute} {
			bucket := tx.Bucket(bucketName(b))
			for i := range routes {
				key, value := fmt.Sprintf("key%06d", i), strings.Repeat("v", i%60)
				if err := bucket.Put([]byte(key), seal(b, []byte(key), []byte(value))); err != nil {
					return err
				}
				want[modelKey(b, []byte(key))] = value
			}
			if err := bucket.SetSequence(uint64(routes)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// TestMigration: a state of the format before is brought to this one, wherever it crashes on the way.
func TestMigration(t *testing.T) {
	dir, want := previous(t, 30_000)
	path := filepath.Join(dir, fileName)
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := newFaulty(1)
	for well := 0; ; well++ {
		files.crashAfter(well)
		s, err := openOn(dir, files)
		files.fail = 0
		if err == nil {
			if got, err := loaded(s); err != nil || !maps.Equal(got, want) {
				t.Fatalf("%d steps: %v, %v", well, got, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if well < 8 {
				t.Errorf("done in %d steps", well)
			}
			break
		}
		if !errors.Is(err, unix.EIO) {
			t.Fatalf("%d steps: %v", well, err)
		}
		if err := files.losePower(); err != nil {
			t.Fatal(err)
		}
		// Once the next daemon has started, or crashed as well.
		if well%2 == 0 {
			if got, err := reopened(t, dir); err != nil || !maps.Equal(got, want) {
				t.Fatalf("after %d steps: %v, %v", well, got, err)
			}
			if err := errors.Join(os.WriteFile(path, old, 0o600), os.Remove(filepath.Join(dir, logName))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := reopened(t, dir); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestMigrationOfDamage: a value that is damaged stops the migration before it has changed anything.
func TestMigrationOfDamage(t *testing.T) {
	dir, _ := previous(t, 1000)
	path := filepath.Join(dir, fileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.ReplaceAll(b, bytes.Repeat([]byte("v"), 59), append(bytes.Repeat([]byte("v"), 58), 'w'))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reopened(t, dir); err == nil {
		t.Error("opened")
	}
	if left, _ := os.ReadFile(path); !bytes.Equal(left, b) {
		t.Error("the file was changed")
	}
	if names, _ := filepath.Glob(filepath.Join(dir, logName+"*")); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
}

// FuzzLog: a log of anything is read without a panic; what is taken for groups can be loaded or is refused.
func FuzzLog(f *testing.F) {
	dir, _, _ := logged(f)
	good := readLog(f, dir)
	end := starts(good)[3] // a small one: the fuzzer spends its time on making them small otherwise
	f.Add(good[:end], false)
	f.Add(good[:end-100], false)
	f.Add([]byte("\x01\x02kv\x03\x00key"), true)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02kv"), true)
	h, _ := parseHeader(good)
	f.Fuzz(func(t *testing.T, b []byte, body bool) {
		if body { // one that got a header
			group := append(append(make([]byte, headerSize), b...), endMark)
			head := header{store: h.store, ops: 2}
			head.seal(group)
			b = group
		}
		last, end, err := scan(b, h.store, 3)
		if end > int64(len(b)) {
			t.Fatalf("%d of %d bytes", end, len(b))
		}
		if err != nil && !body {
			return
		}
		_, size, err := liveRecords(b[:end], last)
		if err != nil {
			return
		}
		if end > 0 && size > int64(len(b)) {
			t.Errorf("what is live in %d bytes has %d", len(b), size)
		}
	})
}
