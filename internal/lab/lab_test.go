package lab_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nsrouter/internal/lab"
	"nsrouter/internal/netns"
)

func TestMain(m *testing.M) {
	if os.Getenv("LAB_TEST_VICTIM") != "" {
		victim()
	}
	goleak.VerifyTestMain(m)
}

// victim makes a lab with a process in it, says so, and waits to be killed.
func victim() {
	err := lab.Main(func(t lab.T) {
		l := lab.New(t)
		sleeper := l.Host("a").Start("sleep", "600")
		fmt.Println(l.Prefix, l.Dir, sleeper.Pid())
		time.Sleep(10 * time.Minute)
	})
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// left returns what there is of a lab: names of namespaces, and its directory.
func left(t *testing.T, prefix, dir string) []string {
	t.Helper()
	names, err := netns.List()
	if err != nil {
		t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) })
	if _, err := os.Stat(dir); err == nil {
		names = append(names, dir)
	}
	return names
}

// TestKernelForwards joins two hosts by a third, which forwards with the kernel: addresses, routes, sysctls, both
// families.
func TestKernelForwards(t *testing.T) {
	l := lab.New(t)
	a, r, b := l.Host("a"), l.Host("r"), l.Host("b")
	l.Link(a.End("eth0", "10.0.1.2/24", "2001:db8:1::2/64"),
		r.End("p1", "10.0.1.1/24", "2001:db8:1::1/64"), lab.LinkOptions{})
	end := b.End("eth0", "10.0.2.2/24", "2001:db8:2::2/64")
	end.MAC = "02:00:00:00:00:b2"
	_, eth0 := l.Link(r.End("p2", "10.0.2.1/24", "2001:db8:2::1/64"), end, lab.LinkOptions{Queues: 2, MTU: 1400})
	if eth0.MAC.String() != end.MAC {
		t.Errorf("MAC %s, want %s", eth0.MAC, end.MAC)
	}
	if mtu := strings.Fields(b.Run("ip", "-o", "link", "show", "eth0"))[4]; mtu != "1400" {
		t.Errorf("MTU %s, want 1400", mtu)
	}
	r.Sysctl("net.ipv4.ip_forward", "1")
	r.Sysctl("net.ipv6.conf.all.forwarding", "1")
	a.Route("default", "10.0.1.1")
	a.Route("default", "2001:db8:1::1")
	b.Route("10.0.1.0/24", "10.0.2.1")
	b.Route("2001:db8:1::/64", "2001:db8:2::1")

	for addr, want := range map[string]int{
		"10.0.2.2": 5, "2001:db8:2::2": 5, // across
		r.Interface("p1").LinkLocal().String() + "%eth0": 5,
		"10.0.2.77": 0, "2001:db8:3::1": 0, // no such host, no such network
	} {
		if got := a.Ping(addr, 5, 10*time.Millisecond); got != want {
			t.Errorf("%s answers %d of 5 pings, want %d", addr, got, want)
		}
	}
	if got := l.Host("lonely").Ping("10.0.2.2", 1, 0); got != 0 {
		t.Errorf("a host without a route gets %d answers", got)
	}
	for _, addr := range []string{"10.0.2.2", "2001:db8:2::2"} {
		if got := banner(t, b, a, addr); got != "hello from b" {
			t.Errorf("%s: got %q", addr, got)
		}
	}
}

// banner has server greet, and returns the greeting that client reads. TCP needs the checksum offload to be off only
// across AF_XDP; here it shows that both directions work.
func banner(t *testing.T, server, client *lab.Host, addr string) string {
	t.Helper()
	var listener net.Listener
	if err := server.NS.Do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(addr, "0"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			fmt.Fprintf(conn, "hello from %s", server.Name)
			conn.Close()
		}
	}()
	var greeting []byte
	if err := client.NS.Do(func() error {
		// Not net.Dial: it opens the socket on this goroutine, but happy eyeballs and resolvers need not.
		conn, err := (&net.Dialer{Timeout: 5 * time.Second, FallbackDelay: -1}).Dial("tcp", listener.Addr().String())
		if err != nil {
			return err
		}
		defer conn.Close()
		greeting, err = io.ReadAll(conn)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return string(greeting)
}

func TestSniffer(t *testing.T) {
	l := lab.New(t)
	a, b := l.Host("a"), l.Host("b")
	near, far := l.Link(a.End("eth0"), b.End("eth0"), lab.LinkOptions{})
	out, in := a.Sniff("eth0"), b.Sniff("eth0")
	frame := slices.Concat(far.MAC, near.MAC, []byte{0x88, 0xb5}, bytes.Repeat([]byte{7}, 50))
	out.Send(frame)
	isIt := func(got []byte) bool { return bytes.Equal(got, frame) }
	if _, ok := in.Wait(time.Second, isIt); !ok {
		t.Error("the frame did not arrive")
	}
	if slices.ContainsFunc(out.Frames(), func(f lab.Frame) bool { return isIt(f.Data) }) {
		t.Error("the sniffer collected what its own host sent")
	}
	in.Reset()
	if _, ok := in.Wait(50*time.Millisecond, isIt); ok {
		t.Error("the frame is there after Reset")
	}
	near.Down()
	near.Up() // the socket lives through it
	l.Eventually(5*time.Second, "a frame after down and up", func() bool {
		out.Send(frame)
		_, ok := in.Wait(10*time.Millisecond, isIt)
		return ok
	})
}

func TestProcesses(t *testing.T) {
	l := lab.New(t)
	a := l.Host("a")
	want := lab.Result{Stdout: "out\n", Stderr: "err\n", Status: 3}
	if r := a.Try("sh", "-c", "echo out; echo err >&2; exit 3"); r != want {
		t.Errorf("got %+v", r)
	}
	p := a.Start("sh", "-c", "echo started; exec sleep 600")
	l.Eventually(5*time.Second, "output of the process", func() bool { return p.Output() == "started\n" })
	if rss, err := p.RSS(); err != nil || rss <= 0 {
		t.Errorf("RSS %d, %v", rss, err)
	}
	if cpu, err := p.CPU(); err != nil || cpu > time.Second {
		t.Errorf("CPU %v, %v", cpu, err)
	}
	if _, err := p.Wait(time.Millisecond); err == nil || !p.Running() {
		t.Error("the process ended by itself")
	}
	p.Signal(syscall.SIGTERM)
	if status, err := p.Wait(5 * time.Second); status != -1 || err != nil {
		t.Errorf("status %d, %v, want that of a signal", status, err)
	}
	a.WriteSysfs("lo/ifalias", "loop")
	if out := a.Run("ip", "link", "show", "lo"); !strings.Contains(out, "alias loop") {
		t.Errorf("WriteSysfs: %s", out)
	}
}

// TestMainCleansUp ends programs in each way that the language has, and looks for leftovers.
func TestMainCleansUp(t *testing.T) {
	for _, c := range []struct {
		name, want string
		body       func(t lab.T)
	}{
		{"return", "", func(lab.T) {}},
		{"failure", "no luck", func(t lab.T) { t.Fatalf("no luck") }},
		{"panic", "panic: oh", func(lab.T) { panic("oh") }},
		{"signal", "ended by terminated", func(t lab.T) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
			ended := make(chan struct{})
			t.Cleanup(func() { close(ended) })
			<-ended
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l *lab.Lab
			var p *lab.Process
			got := ""
			func() {
				defer func() {
					if v := recover(); v != nil {
						got = fmt.Sprint("panic: ", v)
					}
				}()
				if err := lab.Main(func(t lab.T) {
					l = lab.New(t)
					p = l.Host("a").Start("sleep", "600")
					c.body(t)
				}); err != nil {
					got = err.Error()
				}
			}()
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if rest := left(t, l.Prefix, l.Dir); len(rest) != 0 || p.Running() {
				t.Errorf("left behind: %v, process running: %v", rest, p.Running())
			}
		})
	}
}

func TestKept(t *testing.T) {
	name := fmt.Sprintf("nslt%d", os.Getpid())
	t.Cleanup(func() { lab.Remove(name) })
	var l *lab.Lab
	var p *lab.Process
	for range 2 { // the second replaces the first
		if err := lab.Main(func(t lab.T) {
			l = lab.NewKept(t, name)
			p = l.Host("a").Start("sleep", "600")
		}); err != nil {
			t.Fatal(err)
		}
		if rest := left(t, l.Prefix, l.Dir); len(rest) != 2 || !p.Running() {
			t.Errorf("kept: %v, process running: %v", rest, p.Running())
		}
	}
	if !lab.Remove(name) || lab.Remove(name) {
		t.Error("Remove does not tell whether there was a lab")
	}
	if _, err := p.Wait(5 * time.Second); err != nil {
		t.Error(err)
	}
	if rest := left(t, l.Prefix, l.Dir); len(rest) != 0 {
		t.Errorf("left behind: %v", rest)
	}
}

// TestSweep kills a process that has a lab, and makes one after it.
func TestSweep(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LAB_TEST_VICTIM=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var prefix, dir string
	var pid int
	_, err = fmt.Fscan(bufio.NewReader(stdout), &prefix, &dir, &pid)
	if err != nil {
		t.Error(err)
	}
	if rest := left(t, prefix, dir); len(rest) != 2 {
		t.Errorf("made: %v, want a namespace and a directory", rest)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	l := lab.New(t)
	if rest := left(t, prefix, dir); len(rest) != 0 {
		t.Errorf("not swept: %v", rest)
	}
	l.Eventually(5*time.Second, "end of the process that the victim started", func() bool {
		return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
	})
	if _, err := os.Stat(filepath.Join("/proc", fmt.Sprint(pid))); err == nil {
		t.Error("the sleeper lives")
	}
}
