package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// lines writes n lines, and counts those that it has written.
func lines(n int, written *int) func(*output) error {
	return func(o *output) error {
		for i := range n {
			o.printf("line %d\n", i)
			*written = i + 1
			if err := o.ready(); err != nil {
				return err
			}
		}
		return nil
	}
}

func whole(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()
}

// TestStream: what is read, in steps of any size, is what was written; nothing is written long before it is read.
func TestStream(t *testing.T) {
	const n = 50_000
	want, written := whole(n), 0
	s := newStream(lines(n, &written))
	defer s.stop()
	random := rand.New(rand.NewPCG(1, 2))
	var got []byte
	for {
		dest := make([]byte, 1+random.IntN(3*chunk))
		k, err := s.readAt(dest, int64(len(got)))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, dest[:k]...)
		if k < len(dest) {
			break
		}
		if ahead := len(whole(written)) - len(got); ahead > 2*chunk {
			t.Fatalf("%d bytes were written ahead of the reader", ahead)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were read, %d written, or others", len(got), len(want))
	}
	if k, err := s.readAt(make([]byte, 10), int64(len(want))+5); k != 0 || err != nil {
		t.Errorf("beyond the end: %d bytes, %v", k, err)
	}
}

// TestStreamEnds: a writer whose reader goes away ends at once, one that fails says so.
func TestStreamEnds(t *testing.T) {
	ended := false
	s := newStream(func(o *output) error {
		defer func() { ended = true }()
		for {
			o.printf("%s", whole(chunk/8))
			if err := o.ready(); err != nil {
				return err
			}
		}
	})
	if k, err := s.readAt(make([]byte, 10), 0); k != 10 || err != nil {
		t.Fatalf("%d, %v", k, err)
	}
	s.stop()
	if !ended {
		t.Error("the writer goes on without a reader")
	}
	broken := errors.New("broken")
	s = newStream(func(*output) error { return broken })
	if _, err := s.readAt(make([]byte, 10), 0); !errors.Is(err, broken) {
		t.Errorf("a writer that fails: %v", err)
	}
	s.stop()
}

// TestOpenFiles: a user may have so many files open, all of them half of what there may be; root comes in besides.
func TestOpenFiles(t *testing.T) {
	var l openFiles
	enterFile := func(uid uint32, f *file) *handle {
		h := &handle{uid: uid, node: &fileNode{file: f}}
		if !l.enter(h) {
			return nil
		}
		return h
	}
	enter := func(uid uint32) *handle { return enterFile(uid, &file{}) }
	first := enter(1)
	for range maxOpenUser - 1 {
		enter(1)
	}
	if enter(1) != nil {
		t.Error("one more than a user may have")
	}
	l.leave(first)
	if enterFile(1, &file{weight: 2}) != nil {
		t.Error("a file that counts for two in the place of one")
	}
	if enter(1) == nil {
		t.Error("one after another was closed")
	}
	for uid := uint32(2); l.sum < maxOpen/2; uid++ {
		for range maxOpenUser {
			enter(uid)
		}
	}
	if enter(1<<20) != nil {
		t.Error("a user when all users have half")
	}
	if enter(0) == nil {
		t.Error("root when users have half")
	}
}
