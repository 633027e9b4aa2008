// Package lab builds topologies of Linux network namespaces and veth pairs, with the real router in one of them, for
// tests, the demo and the benchmarks.
//
// A [Lab] belongs to a [T], which is a testing.TB or what [Main] gives to a program. Everything that fails ends the
// test or the program, so that topologies read as they would be drawn; everything that was made is removed at the end,
// also after a failure or a panic. What a lab that was killed left behind is removed by the next lab: names carry the
// process id.
//
//	l := lab.New(t)
//	r := l.Router(lab.RouterOptions{})
//	a := l.Host("a")
//	l.Link(a.End("eth0", "10.0.0.2/24"), r.Host.End("p1"), lab.LinkOptions{})
//	a.Route("default", "10.0.0.1")
//	r.Must("link add p1 type xdp")
package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/netns"
)

// T is what a lab needs of a testing.TB.
type T interface {
	Helper()
	Logf(format string, args ...any)
	// Fatalf says what failed and ends the calling goroutine, which must be that of the test or of [Main].
	Fatalf(format string, args ...any)
	Failed() bool
	// Cleanup has fn called at the end, last registered first.
	Cleanup(fn func())
}

// stem begins the names of all labs that end with their process.
const stem = "nsrlab-"

// Lab is a set of hosts that end together. Its methods are for the goroutine of its T.
type Lab struct {
	t T
	// Dir holds files of this lab (sockets, state, logs). It is removed with the lab.
	Dir string
	// Prefix goes before the name of each Linux network namespace of this lab.
	Prefix string
	kept   bool

	mu     sync.Mutex
	closed bool
	undo   []func() // in the order in which things were made
}

// New makes an empty lab, which ends with t, and removes what dead labs have left.
func New(t T) *Lab {
	t.Helper()
	sweep()
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-*", stem, os.Getpid()))
	if err != nil {
		t.Fatalf("make the lab's directory: %v", err)
	}
	l := &Lab{t: t, Dir: dir, Prefix: filepath.Base(dir) + "-"}
	t.Cleanup(l.close)
	return l
}

// keptDir is where a kept lab has its files.
func keptDir(name string) string { return filepath.Join("/run", "nsrouter-"+name) }

// NewKept makes a lab that outlives the process unless t fails, under a fixed name, and replaces an earlier one of that
// name. [Remove] ends it.
func NewKept(t T, name string) *Lab {
	t.Helper()
	Remove(name)
	l := &Lab{t: t, Dir: keptDir(name), Prefix: name + "-", kept: true}
	t.Cleanup(func() {
		if t.Failed() {
			l.close()
		}
	})
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		t.Fatalf("make the lab's directory: %v", err)
	}
	return l
}

// Remove ends a kept lab, and tells whether there was one.
func Remove(name string) bool {
	_, err := os.Stat(keptDir(name))
	wipe(name+"-", keptDir(name))
	return err == nil
}

// onClose has fn called at the lab's end, last registered first. A lab that has ended already calls it at once.
func (l *Lab) onClose(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		fn()
		return
	}
	l.undo = append(l.undo, fn)
}

func (l *Lab) close() {
	l.mu.Lock()
	l.closed = true
	undo := l.undo
	l.undo = nil
	l.mu.Unlock()
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
	// What the router itself named, or started, and did not end.
	wipe(l.Prefix, l.Dir)
}

// sweep removes what labs of processes that are no more have left.
func sweep() {
	names, err := netns.List()
	if err != nil {
		return // nothing to see, nothing to sweep
	}
	if dirs, err := filepath.Glob(filepath.Join(os.TempDir(), stem+"*")); err == nil {
		for _, dir := range dirs {
			names = append(names, filepath.Base(dir)+"-")
		}
	}
	for _, name := range names {
		rest, ours := strings.CutPrefix(name, stem)
		parts := strings.SplitN(rest, "-", 3)
		if !ours || len(parts) != 3 {
			continue
		}
		pid, err := strconv.Atoi(parts[0])
		if err != nil || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		lab := stem + parts[0] + "-" + parts[1]
		wipe(lab+"-", filepath.Join(os.TempDir(), lab))
	}
}

// wipe ends the processes in the namespaces whose names begin with prefix, and removes the names and the directory.
// What cannot be removed is left to the next sweep.
func wipe(prefix, dir string) {
	names, err := netns.List()
	if err != nil {
		names = nil
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if h, err := netns.Open(name); err == nil {
			endProcesses(h.Inode())
			h.Close()
		}
		if err := netns.Delete(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(os.Stderr, "lab: %v\n", err)
		}
	}
	unmountBelow(dir)
	_ = os.RemoveAll(dir)
}

// unmountBelow takes away what a killed router has left mounted in a lab's directory.
func unmountBelow(dir string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(table)) {
		const mountPoint = 4
		if f := strings.Fields(line); len(f) > mountPoint && strings.HasPrefix(f[mountPoint], dir+"/") {
			_ = unix.Unmount(f[mountPoint], unix.MNT_DETACH)
		}
	}
}

// endProcesses asks the processes in a namespace to end, and kills those that have not done so after three seconds.
func endProcesses(inode uint64) {
	const patience, step = 3 * time.Second, 10 * time.Millisecond
	signal := unix.SIGTERM
	for waited := time.Duration(0); ; waited += step {
		pids, err := netns.Pids(inode)
		if err != nil || len(pids) == 0 || waited > patience+time.Second {
			return
		}
		if waited == patience {
			signal = unix.SIGKILL
		}
		for _, pid := range pids {
			// The caller itself is never in there, but a mistake would be costly.
			if pid != os.Getpid() && (waited == 0 || waited == patience) {
				_ = unix.Kill(pid, signal) // it may have ended meanwhile
			}
		}
		time.Sleep(step)
	}
}
