package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsrouter/nstable"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(b nstable.Bucket, key, value string) nstable.Op {
	return nstable.Op{Bucket: b, Key: []byte(key), Value: []byte(value)}
}

func contents(t *testing.T, s *Store) string {
	t.Helper()
	var out []string
	err := s.Load(func(b nstable.Bucket, k, v []byte) error {
		out = append(out, fmt.Sprintf("%d/%s=%s", b, k, v))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestCommitAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "too")
	s := open(t, dir)
	for _, ops := range [][]nstable.Op{
		{put(nstable.BucketRoute, "b", "2"), put(nstable.BucketNamespace, "red", ""), put(nstable.BucketRoute, "a", "1")},
		{
			put(nstable.BucketRoute, "b", "3"), {Bucket: nstable.BucketRoute, Key: []byte("a")},
			{Bucket: nstable.BucketDevice, Key: []byte("none")},
		},
	} {
		if err := s.Commit(ops); err != nil {
			t.Fatal(err)
		}
	}
	const want = "0/red= 4/b=3"
	if got := contents(t, s); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if got := contents(t, s); got != want {
		t.Errorf("after opening again: %q, want %q", got, want)
	}
}

// TestDamaged: whatever is wrong with the file, Open or Load say so and name it, and it stays as it is.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var ops []nstable.Op
	for i := range 5000 {
		ops = append(ops, put(nstable.BucketNeighbor, fmt.Sprintf("key%05d", i), strings.Repeat("v", 50)))
	}
	if err := s.Commit(ops); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fileName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, logName))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		b := append([]byte(nil), good...)
		for i := range 40 {
			b[at+i] ^= 0x55
		}
		return b
	}
	value := strings.Index(string(good), strings.Repeat("v", 50))
	cases := map[string][]byte{
		"empty": {}, "short": good[:100], "two pages": good[:8192], "half": good[:len(good)/2/4096*4096],
		"text":  []byte(strings.Repeat("hello ", 5000)),
		"metas": append(append([]byte(nil), flip(0)[:4096]...), flip(4096)[4096:]...), "a value": flip(value),
	}
	for at := 2 * 4096; at < len(good); at += 37 * 4096 {
		cases[fmt.Sprintf("page %d", at/4096)] = flip(at)
	}
	// Pages that nothing refers to may be damaged without harm: then all must be there.
	for name, bad := range cases {
		dir := t.TempDir()
		path := filepath.Join(dir, fileName)
		if err := errors.Join(os.WriteFile(path, bad, 0o600), os.WriteFile(filepath.Join(dir, logName), log, 0o600)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir)
		n := 0
		if err == nil {
			err = s.guard(
				func() error { return s.Load(func(nstable.Bucket, []byte, []byte) error { n++; return nil }) },
			)
			_ = s.Close()
		}
		switch {
		case err == nil && n == len(ops):
		case err == nil:
			t.Errorf("%s: opened, with %d of %d entries", name, n, len(ops))
		case !strings.Contains(err.Error(), path):
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
		if left, _ := os.ReadFile(path); string(left) != string(bad) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// TestDiskFull: a commit that finds no room fails as a whole; what was there is there, also after opening again, and
// there is room again later.
func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	s := open(t, dir)
	good := 0
	var err error
	for ; good < 1000; good++ {
		if err = s.Commit([]nstable.Op{put(nstable.BucketRoute, fmt.Sprintf("%04d", good), strings.Repeat("x", 4000))}); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk does not fill: %v", err)
	}
	// Both kinds, which may fail in either file.
	both := []nstable.Op{put(nstable.BucketRoute, "last", strings.Repeat("x", 4000)), put(nstable.BucketDevice, "d", "")}
	if err := s.Commit(both); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("there is room: %v", err)
	}
	before := contents(t, s)
	if strings.Count(before, "4/") != good {
		t.Errorf("%d routes, want %d", strings.Count(before, "4/"), good)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	defer s.Close()
	if got := contents(t, s); got != before {
		t.Error("opened again, it is another state")
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=2m"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(both); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if got := contents(t, s); !strings.HasPrefix(got, "1/d= 4/0000=") || !strings.Contains(got, " 4/last=xxx") {
		t.Error("the last commit is missing")
	}
}

// writerEnv makes the test binary a writer that is killed.
const writerEnv = "NSROUTER_STORE_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		s, err := Open(dir)
		if err != nil {
			panic(err)
		}
		s.compaction.minimum = 1 << 11
		for i := 0; ; i++ {
			number := fmt.Sprint(i)
			ops := []nstable.Op{put(nstable.BucketRoute, number, "v"), put(nstable.BucketRoute, "last", number)}
			if i%3 == 0 {
				ops = append(ops, put(nstable.BucketDevice, "last", number))
			}
			if i >= 100 {
				ops = append(ops, nstable.Op{Bucket: nstable.BucketRoute, Key: fmt.Append(nil, i-100)})
			}
			if err := s.Commit(ops); err != nil {
				panic(err)
			}
			fmt.Println(i) // acknowledged
		}
	}
	os.Exit(m.Run())
}

// TestKilled: a writer is killed with SIGKILL at some moment; all that it acknowledged is there, and each commit is
// there as a whole or not at all.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), writerEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := ""
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			last = lines.Text()
			if n == 120*(round+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait()
		s := open(t, dir)
		got, err := loaded(s)
		if err != nil {
			t.Fatal(err)
		}
		if got["4/"+last] != "v" {
			t.Errorf("round %d: %s was acknowledged and is not there", round, last)
		}
		if n, err := strconv.Atoi(got["4/last"]); err != nil || got["1/last"] != fmt.Sprint(n-n%3) {
			t.Errorf("round %d: half a commit: route %s and device %s", round, got["4/last"], got["1/last"])
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
