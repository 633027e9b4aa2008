package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/netns"
)

// withHost makes a router namespace with a Linux namespace.
func (d *testDaemon) withHost(name string) {
	d.t.Helper()
	ns, err := netns.Anonymous()
	if err != nil {
		d.t.Fatal(err)
	}
	d.must("netns add " + name)
	d.hosts.mu.Lock()
	defer d.hosts.mu.Unlock()
	d.hosts.byName[name] = ns
	d.t.Cleanup(func() {
		d.hosts.mu.Lock()
		defer d.hosts.mu.Unlock()
		delete(d.hosts.byName, name)
		ns.Close()
	})
}

// TestExec: a process that "netns exec" starts is in the namespace, sees its devices in /sys, has its commands without
// -n answered about it, and hands its status on.
func TestExec(t *testing.T) {
	d := newTestDaemon(t)
	d.withHost("red")
	d.must("-n red link add d0 type dummy")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]string{
		"$0 netns identify":         "red\n",
		"$0 netns identify self":    "red\n",
		"$0 netns identify $$":      "red\n",
		"$0 -br link show d0":       "d0",
		"$0 -n init netns identify": "red\n",
		"ls /sys/class/net":         "lo\n",
		"ip -br link show":          "lo ",
	} {
		cmd := d.program("netns", "exec", "red", "--", "sh", "-c", script, self)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: %v, %q, want %q", script, err, out, want)
		}
	}
	if out, err := d.program("netns", "identify").Output(); err != nil || string(out) != "init\n" {
		t.Errorf("identify outside: %v, %q", err, out)
	}
	cmd := d.program("netns", "exec", "red", "sh", "-c", "exit 7")
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("status is not handed on: %v", err)
	}
}

// TestExecEverywhere: with -all the command runs in each namespace that programs can be in, also behind one where it fails.
func TestExecEverywhere(t *testing.T) {
	d := newTestDaemon(t)
	d.must("netns add nowhere") // nor is there one of init here
	d.withHost("red")
	d.withHost("vert")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := d.program("-all", "netns", "exec", "--", "sh", "-c", "cat; $0 netns identify; exit 3", self)
	var errOut bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader("once "), &errOut
	out, err := cmd.Output()
	if want := "\nnetns: init\n\nnetns: nowhere\n\nnetns: red\nonce red\n\nnetns: vert\nvert\n"; string(out) != want {
		t.Errorf("%q, want %q", out, want)
	}
	if err == nil || strings.Count(errOut.String(), "has no Linux network namespace") < 2 ||
		!strings.Contains(errOut.String(), "netns exec init: ") {
		t.Errorf("%v, errors %q", err, &errOut)
	}
	if r := d.run("-all netns exec"); r.status != 1 || !strings.Contains(r.err, "no command specified") {
		t.Errorf("without a command: %+v", r)
	}
}

// TestExecEtc: the files of /etc/netns/NAME are those of /etc for the command, and for nobody else; one that has no namesake
// there is told of, and the command runs.
func TestExecEtc(t *testing.T) {
	d := newTestDaemon(t)
	name := "etc" + strconv.Itoa(os.Getpid())
	d.withHost(name)
	dir := filepath.Join("/etc/netns", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		os.RemoveAll(dir)
		os.Remove(filepath.Dir(dir)) // if it is empty
	})
	for _, file := range []string{"hosts", "no-such-file"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte("192.0.2.7 "+name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := d.program("netns", "exec", name, "cat", "/etc/hosts")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil || out.String() != "192.0.2.7 "+name+"\n" {
		t.Errorf("/etc/hosts inside: %v, %q, %q", err, &out, &errOut)
	}
	if got := errOut.String(); !strings.HasPrefix(got, "Bind "+dir+"/no-such-file -> /etc/no-such-file failed: ") ||
		strings.Count(got, "\n") != 1 {
		t.Errorf("what cannot be bound is told so: %q", got)
	}
	if outside, err := os.ReadFile("/etc/hosts"); err != nil || bytes.Contains(outside, []byte(name)) {
		t.Errorf("/etc/hosts outside: %v, %q", err, outside)
	}
}

// TestExecRefused: what cannot be started ends with status 2 and one line that names it.
func TestExecRefused(t *testing.T) {
	d := newTestDaemon(t)
	d.withHost("red")
	d.must("netns add blue")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for line, word := range map[string]string{
		"netns exec red no-such-command": "no-such-command",
		"netns exec green true":          "green",
		"netns exec blue true":           "blue",
	} {
		cmd := d.program(strings.Fields(line)...)
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		err := cmd.Run()
		if cmd.ProcessState.ExitCode() != statusRefused || strings.Count(errOut.String(), "\n") != 1 ||
			!strings.Contains(errOut.String(), word) {
			t.Errorf("%s: %v, %q", line, err, &errOut)
		}
	}
	cmd := exec.Command("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin",
		self, "netns", "exec", "red", "true")
	cmd.Env = d.program().Env
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != statusRefused ||
		!strings.Contains(string(out), "CAP_SYS_ADMIN") {
		t.Errorf("without CAP_SYS_ADMIN: %v, %q", err, out)
	}
}

// TestPids: the processes of a namespace are listed, and each is known by its pid.
func TestPids(t *testing.T) {
	d := newTestDaemon(t)
	d.withHost("red")
	if got := d.must("netns pids red"); got != "" {
		t.Errorf("processes in a new namespace: %q", got)
	}
	cmd := d.program("netns", "exec", "red", "sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	pid := strconv.Itoa(cmd.Process.Pid)
	for deadline := time.Now().Add(20 * time.Second); d.must("netns pids red") != pid+"\n"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("pid %s is not listed: %q", pid, d.must("netns pids red"))
		}
	}
	if got := d.must("-j netns pids red"); got != `[{"pid":`+pid+"}]\n" {
		t.Errorf("JSON: %q", got)
	}
	if got := d.must("netns identify " + pid); got != "red\n" {
		t.Errorf("identify %s: %q", pid, got)
	}
}

// TestExecInBatch: within a batch the command is a child, and its failure that of the line.
func TestExecInBatch(t *testing.T) {
	d := newTestDaemon(t)
	d.withHost("red")
	cmd := d.program("-batch", "-")
	cmd.Stdin = strings.NewReader("netns exec red echo one\nnetns exec red sh -c 'exit 3'\nnetns exec red echo two\n")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "one\nError: ") || !strings.Contains(string(out), "-:2") ||
		strings.Contains(string(out), "two") {
		t.Errorf("%v, %q", err, out)
	}
}
