package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"nsrouter/nstable"
)

// filled makes a state file of several levels of pages, and returns its bytes and what is in it.
func filled(t testing.TB, dir string) (file []byte, all string) {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		ops := []nstable.Op{put(nstable.BucketDevice, fmt.Sprint("inline", round), "x")}
		for i := range 150 {
			ops = append(ops, put(nstable.BucketNeighbor, fmt.Sprintf("key%05d", 4*i+round), strings.Repeat("v", 30)))
		}
		if err := s.Commit(ops); err != nil {
			t.Fatal(err)
		}
	}
	all, err = list(s)
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	file, err = os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return file, all
}

func list(s *Store) (string, error) {
	var out strings.Builder
	err := s.Load(func(b nstable.Bucket, k, v []byte) error {
		_, err := fmt.Fprintf(&out, "%d/%s=%s ", b, k, v)
		return err
	})
	return out.String(), err
}

// TestFlippedBits: with one bit of the file another one, the state is refused, or it is all there and can be written.
func TestFlippedBits(t *testing.T) {
	t.Setenv("TMPDIR", "/dev/shm") // thousands of files
	dir := t.TempDir()
	good, want := filled(t, dir)
	path := filepath.Join(dir, fileName)
	refused, harmless := 0, 0
	for at := range good {
		if in := at % os.Getpagesize(); in > 88 && in%509 != 0 {
			continue // page headers and elements are what matters most
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		if err != nil {
			refused++
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("byte %d: the error does not name the file: %v", at, err)
			}
			if left, _ := os.ReadFile(path); !bytes.Equal(left, bad) {
				t.Fatalf("byte %d: the file was changed", at)
			}
			continue
		}
		got, err := list(s)
		switch {
		case err != nil:
			refused++
		case got != want:
			t.Fatalf("byte %d: another state, and nobody noticed", at)
		default:
			harmless++
			s.db.NoSync = true // for speed
			if err := s.Commit([]nstable.Op{put(nstable.BucketNeighbor, "key00000", "new")}); err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d refused, %d harmless", refused, harmless)
	if refused == 0 || harmless == 0 {
		t.Error("one of them cannot be")
	}
}

// TestUnknownOutcome: after a commit that failed and yet is in the file, nothing more is accepted.
func TestUnknownOutcome(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	failing := s.db.Update(func(tx *bbolt.Tx) error { return apply(tx, []nstable.Op{put(nstable.BucketDevice, "d", "")}) })
	if failing != nil {
		t.Fatal(failing)
	}
	// bbolt refuses empty keys; s does not know of the transaction before.
	err := s.Commit([]nstable.Op{put(nstable.BucketDevice, "", "")})
	if err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("the outcome is not called unknown: %v", err)
	}
	if again := s.Commit(nil); again == nil {
		t.Error("goes on")
	}
}

func FuzzVerify(f *testing.F) {
	good, _ := filled(f, f.TempDir())
	f.Add(good)
	f.Add(good[:5*4096])
	f.Add([]byte("state"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = verify(bytes.NewReader(b), int64(len(b))) // does not panic, and ends
	})
}
