package afxdp

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// startChild starts a process in the thread's network namespace that opens the lab's interface and holds it, and
// returns the first line that it says: "open", or an error.
func startChild(t *testing.T, frames int, attributes *syscall.SysProcAttr) (*exec.Cmd, string) {
	t.Helper()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), childVariable+"="+strconv.Itoa(frames))
	child.SysProcAttr = attributes
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return child, strings.TrimSpace(line)
}

// holdInterface is what the child does.
func holdInterface(frames string) {
	n, err := strconv.Atoi(frames)
	var pool *frame.Pool
	if err == nil {
		pool, err = frame.NewPool(n)
	}
	if err == nil {
		_, err = Open(pool, Options{Host: hostName})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("open")
	time.Sleep(time.Minute)
}

// TestKilled kills a process that holds an interface: no program stays, and the interface can be had at once.
func TestKilled(t *testing.T) {
	newLab(t, 1)
	child, said := startChild(t, 2048, nil)
	if said != "open" {
		t.Fatal(said)
	}
	if !xdpAttached(t, hostName) {
		t.Fatal("no XDP program while the child lives")
	}
	must(t, child.Process.Kill())
	_ = child.Wait()
	eventually(t, "the XDP program is gone", func() bool { return !xdpAttached(t, hostName) })
	openPort(t, newPool(t, 4096), Options{Host: hostName}).shut()
}

// TestPrivilege opens an interface as a user without privilege: with nothing, with the capabilities that the error
// names, and with too little locked memory.
func TestPrivilege(t *testing.T) {
	const nobody = 65534
	user := func(capabilities ...uintptr) *syscall.SysProcAttr {
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
	}
	named := []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_BPF}
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit))
	tooMany := int(min(limit.Cur, 64<<20)/frame.Size) + 64
	tests := []struct {
		name       string
		frames     int
		attributes *syscall.SysProcAttr
		want       string
	}{
		{"no capabilities", 2048, user(), "start the daemon as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF"},
		{"CAP_NET_RAW alone", 2048, user(unix.CAP_NET_RAW), "start the daemon as root"},
		{"the capabilities named", 2048, user(named...), "open"},
		{"too little locked memory", tooMany, user(named...), "too little locked memory: the limit is"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			newLab(t, 1)
			before := settings(t, hostName)
			_, said := startChild(t, test.frames, test.attributes)
			if !strings.Contains(said, test.want) {
				t.Errorf("the child says %q, want %q", said, test.want)
			}
			if after := settings(t, hostName); said != "open" && after != before {
				t.Errorf("settings before: %s\nafter: %s", before, after)
			}
		})
	}
}
