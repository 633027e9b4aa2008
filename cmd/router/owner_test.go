package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tenant is a user that the test machine need not know.
const tenant = 64001

// as runs a command line as a user without privileges, in a process of its own, with the input given.
func (d *testDaemon) as(uid uint32, input, line string) result {
	d.t.Helper()
	if os.Geteuid() != 0 {
		d.t.Skip("only root can be somebody else")
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(d.socket)), 0o711); err != nil {
		d.t.Fatal(err)
	}
	cmd := d.program(strings.Fields(line)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &errOut
	err := cmd.Run()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		d.t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// TestOwnerCommands: owners are set, changed, shown and taken away.
func TestOwnerCommands(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ netns add red
$ netns set red owner user:64001 role admin owner group:root role read max-routes 100
$ netns set red owner user:64002 role operate
$ netns set red owner user:64002 role none
$ netns set red owner user:64002 role none
! Error: user:64002 is no owner of namespace red...
? 2
$ netns set red name rouge max-routes 7
! Error: netns set red name rouge: a name is set by itself
? 2
$ netns set red name init
! Error: Cannot rename network namespace "red" to "init": File exists
? 2
$ netns set red name rouge
$ netns set rouge name red
$ netns set red owner user:64002
! Error: command line is not complete...
? 1
$ netns set red owner 64002 role read
! Error: argument "64002" is wrong: "owner" takes user:USER or group:GROUP
? 1
$ netns set red owner user:64002 roll read
! Error: either "role" is missing, or "roll" is a garbage...
? 1
$ netns set red owner user:64002 role Admin
! Error: argument "Admin" is wrong: "role" takes read, operate, admin or none
? 1
$ netns set red owner user:no-such-user role read
! Error: owner "user:no-such-user": the daemon's host knows no user no-such-user (give its number)
? 2
$ netns set void owner user:root role read
! Error: Cannot open network namespace "void"...
? 2
`)
	if got := d.must("-d netns"); !strings.Contains(got, "\n    owner user:64001 role admin \n    owner group:root role read \n") {
		t.Error(got)
	}
	if got := d.must("-d -j netns"); !strings.Contains(got,
		`"owners":[{"owner":"user:64001","id":64001,"role":"admin"},{"owner":"group:root","id":0,"role":"read"}]`) {
		t.Error(got)
	}
}

// TestTenant: somebody who is not root and owns one namespace works in it by the same commands, and by the sockets that are
// there for everybody; of the others nothing is to be found out.
func TestTenant(t *testing.T) {
	d := newTestDaemon(t)
	if r := d.as(tenant, "", "-n red link"); r.status != 2 || !strings.Contains(r.err, "64001 has no right in any namespace") {
		t.Errorf("a stranger: %+v", r)
	}
	d.withHost("red")
	d.must("netns add blue\nnetns set red owner user:64001 role admin")
	for _, step := range []struct {
		line, input, out, err string
	}{
		{"-n red link add d0 type dummy", "", "", ""},
		{"-n red -batch -", "link set d0 up\naddr add 10.0.0.1/24 dev d0\nroute add 10.1.0.0/16 via 10.0.0.9\n", "", ""},
		{"-n red route show", "", "10.1.0.0/16 via 10.0.0.9 dev d0", ""},
		{"-n red -br link show d0", "", "d0", ""},
		{"netns list", "", "red\n", ""},
		{"-n red netns list", "", "red\n", ""},
		{"netns pids red", "", "", ""},
		{"netns set red martians rfc1812", "", "", ""},
		{"netns set red devices-max 5", "", "", "devices-max is a quota"},
		{"netns set red owner user:64002 role read", "", "", "to choose the owners"},
		{"netns exec red true", "", "", "CAP_SYS_ADMIN"},
		{"netns add green", "", "", "to add a namespace"},
		{"-n red link add p1 type xdp", "", "", "to attach an interface"},
		{"-n red link set d0 netns blue", "", "", `lacks the right admin in namespace "blue"`},
		{"-n blue link", "", "", `lacks the right read in namespace "blue"`},
		{"-n void link", "", "", `lacks the right read in namespace "void"`},
		{"link", "", "", `lacks the right read in namespace "init"`},
		{"--all-netns monitor", "", "", "what is about all namespaces"},
		{"-n red -batch -", "link add d1 type dummy\nnetns del blue\nlink add d2 type dummy\n", "", "to delete a namespace" +
			" is not for its owners: it is for root and the members of group router, and user 64001 is neither (Command failed -:2)"},
	} {
		r := d.as(tenant, step.input, step.line)
		if (r.status != 0) != (step.err != "") || !strings.Contains(r.out, step.out) ||
			!strings.Contains(strings.ReplaceAll(r.err, "Error: Operation not permitted: ", ""), step.err) {
			t.Errorf("%s: %+v, want %q, %q", step.line, r, step.out, step.err)
		}
	}
	if got := d.as(tenant, "", "netns list").out; strings.Contains(got, "blue") || strings.Contains(got, "init") {
		t.Errorf("she sees %q", got)
	}
	if got := d.must("-n red -br link"); !strings.Contains(got, "\nd1 ") || strings.Contains(got, "\nd2 ") {
		t.Errorf("red has %q", got)
	}
	// She owns both ends of a move.
	d.must("netns set blue owner user:64001 role admin")
	if r := d.as(tenant, "", "-n red link set d0 netns blue"); r.status != 0 {
		t.Errorf("move: %+v", r)
	}
	d.must("-n blue link set d0 netns red")
	d.inContainer(t)
	d.insideRed(t)
}

// inContainer: where there is the socket of namespace red only, a tenant of red and blue has that alone.
func (d *testDaemon) inContainer(t *testing.T) {
	t.Helper()
	container := filepath.Join(t.TempDir(), "s")
	if err := errors.Join(os.Chmod(filepath.Dir(filepath.Dir(container)), 0o711), os.Mkdir(container+".d", 0o711),
		os.Link(d.socket+".d/red.sock", container+".d/red.sock")); err != nil {
		t.Fatal(err)
	}
	if r := d.as(tenant, "", "--socket "+container+" -n red link set d0 netns blue"); r.status != 2 ||
		!strings.Contains(r.err, `this socket serves namespace "red" alone`) {
		t.Errorf("by the namespace's socket: %+v", r)
	}
	if r := d.as(tenant, "", "--socket "+container+" -n red link set d0 up"); r.status != 0 {
		t.Errorf("by the namespace's socket: %+v", r)
	}
}

// insideRed: somebody else inside the Linux namespace of red reads it, and changes nothing.
func (d *testDaemon) insideRed(t *testing.T) {
	t.Helper()
	ns := d.hosts.byName["red"]
	if err := ns.Do(func() error {
		if r := d.as(64002, "", "-br link show d0"); r.status != 0 || !strings.Contains(r.out, "d0") {
			t.Errorf("inside: %+v", r)
		}
		if r := d.as(64002, "", "link set d0 down"); r.status != 2 || !strings.Contains(r.err, "lacks the right operate") {
			t.Errorf("inside: %+v", r)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestLongName: a namespace whose socket has a longer path than fits an address is served there all the same.
func TestLongName(t *testing.T) {
	d := newTestDaemon(t)
	name := strings.Repeat("n", 200)
	d.must("netns add " + name + "\nnetns set " + name + " owner user:64001 role read")
	if r := d.as(tenant, "", "-n "+name+" -br link"); r.status != 0 || !strings.HasPrefix(r.out, "lo ") {
		t.Errorf("%+v", r)
	}
	if _, err := os.Stat(filepath.Join(d.socket+".d", name+".sock")); err != nil {
		t.Error(err)
	}
	longest := strings.Repeat("n", 255) // with its suffix too long for a file
	d.must("netns add " + longest + "\nnetns set " + longest + " owner user:64001 role read")
	if r := d.as(tenant, "", "-n "+longest+" -br link"); r.status != 0 || !strings.HasPrefix(r.out, "lo ") {
		t.Errorf("%+v", r)
	}
}
