package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"nsrouter/nstable"
)

// churn makes commits that replace and remove what earlier ones have put, and returns what is there then.
func churn(t testing.TB, s *Store, want model, rounds int) model {
	t.Helper()
	for i := range rounds {
		ops := make([]nstable.Op, 0, 201)
		for j := range 200 {
			op := put(nstable.BucketRoute, fmt.Sprintf("key%05d", (i*97+j*31)%3000), fmt.Sprintf("value %d of %d", j, i))
			if (i+j)%5 == 0 {
				op.Value = nil
			}
			ops = append(ops, op)
		}
		if i%10 == 0 {
			ops = append(ops, put(nstable.BucketDevice, "d", fmt.Sprint(i)))
		}
		if err := s.Commit(ops); err != nil {
			t.Fatal(err)
		}
		want = want.apply(ops)
	}
	return want
}

func logSize(s *Store) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.size
}

// TestCompaction: commits go on while the log is rewritten behind them; it stays small and nothing is lost.
func TestCompaction(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	s := open(t, dir)
	const minimum = 1 << 16
	s.compaction.minimum, s.compaction.pause = minimum, 0
	want := churn(t, s, model{}, 400)
	s.background.Wait()
	limit := func() int64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return 3*s.compaction.needed + minimum
	}
	for i := 0; logSize(s) > limit() && i < 5; i++ { // what was written while the last compaction ran may be due for another
		want = churn(t, s, want, 1)
		s.background.Wait()
	}
	if done, err := s.Compactions(); done < 3 || err != nil {
		t.Errorf("%d compactions, %v", done, err)
	}
	got, err := loaded(s)
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%d entries, %v, want %d", len(got), err, len(want))
	}
	if size := logSize(s); size > limit() {
		t.Errorf("the log has %d bytes, allowed are %d", size, limit())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := reopened(t, dir); err != nil || !maps.Equal(got, want) {
		t.Errorf("opened again: %d entries, %v, want %d", len(got), err, len(want))
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) != 2 {
		t.Errorf("left: %v", names)
	}
}

// TestCompactionStops: Close does not wait for a compaction to do its work.
func TestCompactionStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	for i := range 20 {
		dir := t.TempDir()
		s := open(t, dir)
		s.compaction.minimum = 1 << 14
		want := churn(t, s, model{}, 10+i)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := reopened(t, dir); err != nil || !maps.Equal(got, want) {
			t.Fatalf("%d entries, %v, want %d", len(got), err, len(want))
		}
	}
}

// TestCompactionFails: a compaction that fails is told of, leaves the log and no other file, and is tried again when the
// log has grown by a quarter.
func TestCompactionFails(t *testing.T) {
	dir := t.TempDir()
	files := newFaulty(1)
	s, err := openOn(dir, files)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := churn(t, s, model{}, 50)
	for well := range 4 {
		files.failAfter(well, 1, unix.ENOSPC)
		if err := s.compact(s.log.file, s.log.last, s.log.size); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("after %d steps: %v", well, err)
		}
		if _, err := os.Stat(temporary(s.log.path)); err == nil && well > 0 {
			t.Errorf("after %d steps: the new log is still there", well)
		}
	}
	s.compaction.minimum = 1 << 10
	files.failAfter(3, 1, unix.ENOSPC) // the commit takes two steps
	want = churn(t, s, want, 1)
	s.background.Wait()
	if done, err := s.Compactions(); done != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("%d compactions, %v", done, err)
	}
	size := logSize(s)
	want = churn(t, s, want, 1)
	if s.background.Wait(); s.compaction.err == nil {
		t.Error("tried again at once")
	}
	for logSize(s) <= size*5/4 {
		want = churn(t, s, want, 1)
	}
	s.background.Wait()
	if done, err := s.Compactions(); done != 1 || err != nil {
		t.Errorf("%d compactions, %v", done, err)
	}
	if got, err := loaded(s); err != nil || !maps.Equal(got, want) {
		t.Errorf("%d entries, %v, want %d", len(got), err, len(want))
	}
}

// BenchmarkCommitUnderCompaction is the worst commit while half a million routes are rewritten again and again.
func BenchmarkCommitUnderCompaction(b *testing.B) {
	const routes, group = 500_000, 4096
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ops := routeOps(routes)
	if err := s.Commit(ops); err != nil {
		b.Fatal(err)
	}
	var alone, beside time.Duration
	for i := 0; b.Loop(); i++ {
		from := i * group % (routes - group)
		s.mu.Lock()
		running := s.compaction.running
		s.mu.Unlock()
		start := time.Now()
		if err := s.Commit(ops[from : from+group]); err != nil {
			b.Fatal(err)
		}
		if took := time.Since(start); running {
			beside = max(beside, took)
		} else {
			alone = max(alone, took)
		}
	}
	s.background.Wait()
	done, err := s.Compactions()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(done), "compactions")
	b.ReportMetric(float64(alone.Microseconds())/1000, "ms-worst-alone")
	b.ReportMetric(float64(beside.Microseconds())/1000, "ms-worst-beside")
}
