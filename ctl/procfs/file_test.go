package procfs

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"go.uber.org/zap"

	"nsrouter/nstable"
)

// TestRightsTaken: a user who may not read any more reads nothing more of what is open; what root has opened goes on.
func TestRightsTaken(t *testing.T) {
	table, err := nstable.Open(nstable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	allowed := true
	tree := newTree(Options{
		Table: table, Log: zap.NewNop(),
		MayRead: func(r Reader, _ string) bool { return r.UID == 0 || allowed },
	})
	written := 0
	node := &fileNode{space: tree.space(nstable.InitName), file: &file{name: "long", write: func(_ *space, o *output) error {
		return lines(50_000, &written)(o)
	}}}
	as := func(uid uint32) context.Context {
		return fuse.NewContext(context.Background(), &fuse.Caller{Owner: fuse.Owner{Uid: uid}, Pid: 1})
	}
	open := func(uid uint32) *handle {
		t.Helper()
		h, flags, errno := node.Open(as(uid), syscall.O_RDONLY)
		if errno != 0 || flags != fuse.FOPEN_DIRECT_IO {
			t.Fatalf("user %d: %v, %x", uid, errno, flags)
		}
		return h.(*handle) //nolint:forcetypeassert // as Open makes it
	}
	read := func(h *handle, uid uint32, at int64) string {
		r, errno := h.Read(as(uid), make([]byte, 10), at)
		if errno != 0 {
			return errno.Error()
		}
		b, _ := r.Bytes(nil)
		return string(b)
	}
	users, roots := open(7), open(0)
	if got := read(users, 7, 0); got != "line 0\nlin" {
		t.Errorf("at first: %q", got)
	}
	allowed = false
	if got := read(users, 7, 10); got != syscall.ENOENT.Error() {
		t.Errorf("without the right: %q", got)
	}
	if _, _, errno := node.Open(as(7), syscall.O_RDONLY); errno != syscall.ENOENT {
		t.Errorf("open without the right: %v", errno)
	}
	if got := read(roots, 7, 0); got != "line 0\nlin" {
		t.Errorf("what root lends: %q", got)
	}
	if got := read(roots, 0, int64(len(whole(40_000)))); got != fmt.Sprintf("line %d", 40_000)[:10] {
		t.Errorf("further on: %q", got)
	}
	if got := read(roots, 0, 0); got != "line 0\nlin" {
		t.Errorf("back at the beginning: %q", got)
	}
	users.Release(as(7))
	users.Release(as(7)) // the kernel does so once, and the end of the tree besides
	tree.open.end()
	if len(tree.open.all) != 0 || tree.open.sum != 0 || len(tree.open.users) != 0 {
		t.Errorf("after the end: %+v", &tree.open)
	}
	if got := read(roots, 0, 0); got != syscall.EBADF.Error() {
		t.Errorf("a closed file: %q", got)
	}
}
