package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// runTimeout bounds a command that is waited for.
const runTimeout = 60 * time.Second

// Result is what a command that has ended leaves.
type Result struct {
	Stdout, Stderr string
	// Status is the exit status; -1 if a signal ended it (also for taking longer than a minute).
	Status int
}

// Run runs a command in the host, which must succeed, and returns its standard output.
func (h *Host) Run(name string, args ...string) string {
	h.lab.t.Helper()
	r := h.Try(name, args...)
	if r.Status != 0 {
		h.lab.t.Fatalf("host %s: %s %s: status %d: %s%s",
			h.Name, name, strings.Join(args, " "), r.Status, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Try runs a command in the host and returns what became of it.
func (h *Host) Try(name string, args ...string) Result {
	h.lab.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	r, err := result(exec.CommandContext(ctx, name, args...), h.NS.Do)
	h.must("run "+name, err)
	return r
}

// result runs a command, started within do, to its end. The error is that of a command that could not be started.
func result(cmd *exec.Cmd, do func(func() error) error) (Result, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // a grandchild may keep the pipes open
	if err := do(cmd.Start); err != nil {
		return Result{}, err
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return Result{}, err
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Status: cmd.ProcessState.ExitCode()}, nil
}

// Process is a command that runs beside the test. It is killed at the lab's end at the latest, and when this process
// dies.
type Process struct {
	cmd   *exec.Cmd
	log   string // path of what it writes to stdout and stderr
	ended chan struct{}
}

// Start starts a command in the host.
func (h *Host) Start(name string, args ...string) *Process {
	h.lab.t.Helper()
	p, err := h.start(exec.Command(name, args...))
	h.must("start "+name, err)
	return p
}

func (h *Host) start(cmd *exec.Cmd) (*Process, error) {
	log, err := os.CreateTemp(h.lab.Dir, h.Name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !h.lab.kept {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	if err := h.NS.Do(cmd.Start); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the status is in ProcessState
		close(p.ended)
	}()
	h.lab.onClose(func() { p.Signal(syscall.SIGKILL); <-p.ended })
	return p, nil
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Signal sends a signal; one that comes too late does nothing.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Wait waits for the end and returns the exit status, -1 if a signal ended it.
func (p *Process) Wait(timeout time.Duration) (int, error) {
	select {
	case <-p.ended:
	case <-time.After(timeout):
	}
	if p.Running() { // a process that has ended is told from one that has not with a timeout of 0 too
		return 0, fmt.Errorf("%s still runs after %v", p.cmd, timeout)
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Output is what the process has written so far, stdout and stderr as they came.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Eventually calls cond every 10 ms until it is true, and fails with what if it is not within timeout.
func (l *Lab) Eventually(timeout time.Duration, what string, cond func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(timeout); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}
