package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// startTimeout bounds the time from the start of the daemon to its first answer, with its state restored.
	startTimeout = 30 * time.Second
	// stopTimeout bounds its orderly end.
	stopTimeout = 15 * time.Second
)

// RouterOptions describe a daemon to be started.
type RouterOptions struct {
	Name string   // of its host; "router" if empty
	Args []string // further arguments of `router run`
	// Memory has it keep no state on disk.
	Memory bool
}

// Router is the daemon in a Linux network namespace of its own, with a socket and a state directory in the lab's. It is
// for the goroutine of the lab's T but for CLI, which is safe for concurrent use.
type Router struct {
	Host   *Host
	Binary string
	Socket string
	State  string // directory, or "none"
	// NetnsPrefix goes before the names of the Linux network namespaces that belong to the router's namespaces.
	NetnsPrefix string
	o           RouterOptions
	process     *Process
}

// Router builds the daemon, makes its host, starts it there and waits until it answers.
func (l *Lab) Router(o RouterOptions) *Router {
	l.t.Helper()
	if o.Name == "" {
		o.Name = "router"
	}
	binary, err := Build()
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	dir := filepath.Join(l.Dir, o.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatalf("%v", err)
	}
	r := &Router{
		Host: l.Host(o.Name), Binary: binary, o: o,
		Socket: filepath.Join(dir, "router.sock"), State: filepath.Join(dir, "state"),
		NetnsPrefix: l.Prefix + o.Name + "-",
	}
	if o.Memory {
		r.State = "none"
	}
	l.t.Cleanup(func() {
		if l.t.Failed() && r.process != nil {
			l.t.Logf("log of %s, the end:\n%s", o.Name, tail(r.Log(), 60))
		}
	})
	r.Start()
	return r
}

// Start starts the daemon, after Stop or Kill, and waits until it answers.
func (r *Router) Start() {
	r.Host.lab.t.Helper()
	if err := r.TryStart(); err != nil {
		r.Host.lab.t.Fatalf("%v", err)
	}
}

// TryStart is Start with the reason if the daemon ends, or does not answer in time, instead of failing.
func (r *Router) TryStart() error {
	args := []string{"run", "--socket", r.Socket, "--state", r.State, "--netns-prefix", r.NetnsPrefix}
	args = append(args, r.o.Args...)
	cmd := exec.Command(r.Binary, args...)
	var err error
	if r.process, err = r.Host.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", r.Binary, err)
	}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(5 * time.Millisecond) {
		if !r.process.Running() {
			status, _ := r.process.Wait(0)
			return fmt.Errorf("the router ended with status %d:\n%s", status, tail(r.Log(), 60))
		}
		if conn, err := net.Dial("unix", r.Socket); err == nil {
			conn.Close()
			if r.CLI("netns", "list").Status == 0 {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the router does not answer after %v:\n%s", startTimeout, tail(r.Log(), 60))
		}
	}
}

// Stop ends the daemon with SIGTERM, which must give status 0.
func (r *Router) Stop() {
	r.Host.lab.t.Helper()
	r.process.Signal(syscall.SIGTERM)
	status, err := r.process.Wait(stopTimeout)
	if err != nil || status != 0 {
		r.Host.lab.t.Fatalf("stop of the router: status %d, %v:\n%s", status, err, tail(r.Log(), 60))
	}
}

// Kill ends the daemon with SIGKILL.
func (r *Router) Kill() {
	r.Host.lab.t.Helper()
	r.process.Signal(syscall.SIGKILL)
	if _, err := r.process.Wait(stopTimeout); err != nil {
		r.Host.lab.t.Fatalf("%v", err)
	}
}

// Process is the daemon's process, that of the last start.
func (r *Router) Process() *Process { return r.process }

// Log is what the daemon has written since its last start.
func (r *Router) Log() string { return r.process.Output() }

// CLI runs the client with the arguments given.
func (r *Router) CLI(args ...string) Result { return r.Input("", args...) }

// Input runs the client with the arguments and the standard input given.
func (r *Router) Input(stdin string, args ...string) Result {
	r.Host.lab.t.Helper()
	return r.client(r.Binary, stdin, args, nil)
}

// CLIAs runs the client as a user without privileges, who need not exist.
func (r *Router) CLIAs(uid uint32, args ...string) Result {
	r.Host.lab.t.Helper()
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return r.client(r.ClientProgram(), "", args, as)
}

// ClientProgram is a client that users without privileges can run: they may not come to where it was built. The sockets are
// in the lab's directory, and so is the program then.
func (r *Router) ClientProgram() string {
	t, dir := r.Host.lab.t, r.Host.lab.Dir
	t.Helper()
	path := filepath.Join(dir, "client")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	program, err := os.ReadFile(r.Binary)
	if err == nil {
		err = errors.Join(os.WriteFile(path, program, 0o755), os.Chmod(dir, 0o711))
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return path
}

func (r *Router) client(binary, stdin string, args []string, as *syscall.SysProcAttr) Result {
	r.Host.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.SysProcAttr = as
	cmd.Env = append(os.Environ(), "ROUTER_SOCKET="+r.Socket)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := result(cmd, func(start func() error) error { return start() })
	if err != nil {
		r.Host.lab.t.Fatalf("run %s: %v", cmd, err)
	}
	return out
}

// Must runs commands, one a line and each without the word `router` and without quotes, which must succeed, and returns
// what they print. Empty lines are left out.
func (r *Router) Must(lines string) string {
	r.Host.lab.t.Helper()
	var out strings.Builder
	for line := range strings.Lines(lines) {
		args := strings.Fields(line)
		if len(args) == 0 {
			continue
		}
		res := r.CLI(args...)
		if res.Status != 0 {
			r.Host.lab.t.Fatalf("router %s: status %d: %s%s",
				strings.Join(args, " "), res.Status, res.Stdout, res.Stderr)
		}
		out.WriteString(res.Stdout)
	}
	return out.String()
}

// Refused runs a command that must fail with the status given, and returns what it says on stderr.
func (r *Router) Refused(status int, line string) string {
	r.Host.lab.t.Helper()
	res := r.CLI(strings.Fields(line)...)
	if res.Status != status {
		r.Host.lab.t.Fatalf("router %s: status %d, want %d: %s%s", line, res.Status, status, res.Stdout, res.Stderr)
	}
	return res.Stderr
}

// Batch runs commands, one a line, by `router -batch -`, which must succeed, and returns what it prints.
func (r *Router) Batch(lines string) string {
	r.Host.lab.t.Helper()
	res := r.Input(lines, "-batch", "-")
	if res.Status != 0 {
		r.Host.lab.t.Fatalf("router -batch -: status %d: %s%s", res.Status, tail(res.Stdout, 10), tail(res.Stderr, 10))
	}
	return res.Stdout
}

// tail is the last n lines of a text.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
