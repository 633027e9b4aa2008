package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"nsrouter/internal/lab"
)

// tenant and neighbour are users that nobody made.
const (
	tenant    = 64001
	neighbour = 64002
)

// TestOwners: two tenants with the same addresses on one router, neither of them root, each set up a namespace of their own
// so that packets pass, see nothing of the other's, and are still who they were when the router has been killed; the audit
// log tells who did what.
func TestOwners(t *testing.T) {
	w := newWorld(t)
	hosts := map[string][]*lab.Host{}
	for _, ns := range []string{"red", "blue"} {
		w.r.Must("netns add " + ns)
		for i, port := range []string{ns + "1", ns + "2"} {
			h := w.Host(port)
			address, gateway := []string{"10.0.1.2/24", "10.0.2.2/24"}[i], []string{"10.0.1.1", "10.0.2.1"}[i]
			w.Link(h.End("eth0", address), w.r.Host.End(port), lab.LinkOptions{})
			h.Route("default", gateway)
			hosts[ns] = append(hosts[ns], h)
			w.r.Must("-n " + ns + " link add " + port + " type xdp")
		}
	}
	w.r.Must("netns set red owner user:64001 role admin\nnetns set blue owner group:64002 role admin")
	as := func(uid uint32, line string) lab.Result { return w.r.CLIAs(uid, strings.Fields(line)...) }
	for ns, uid := range map[string]uint32{"red": tenant, "blue": neighbour} {
		for _, line := range []string{
			"addr add 10.0.1.1/24 dev " + ns + "1", "addr add 10.0.2.1/24 dev " + ns + "2",
			"link set " + ns + "1 up", "link set " + ns + "2 up",
		} {
			if r := as(uid, "-n "+ns+" "+line); r.Status != 0 {
				t.Fatalf("%s: %s: %+v", ns, line, r)
			}
		}
		w.ping(hosts[ns][0], "10.0.2.2", 3)
	}
	w.r.Kill()
	w.r.Start()
	for _, line := range []string{
		"-n blue link set blue1 down", "-n blue link", "-n red link del red1", "-n red link set red1 netns blue",
		"netns del blue", "netns set red max-routes 0", "netns exec red true", "-n red link add x type xdp host red1",
	} {
		if r := as(tenant, line); r.Status != 2 || !strings.Contains(r.Stderr, "Operation not permitted") {
			t.Errorf("%s: %+v", line, r)
		}
	}
	if r := as(tenant, "netns list"); r.Status != 0 || r.Stdout != "red\n" {
		t.Errorf("what the tenant sees: %+v", r)
	}
	if r := as(tenant, "-n red link set red1 mtu 1400"); r.Status != 0 {
		t.Errorf("after the restart: %+v", r)
	}
	for ns := range hosts {
		w.ping(hosts[ns][0], "10.0.2.2", 3)
	}
	w.wantAudit("red", tenant, `{"link_set":{"name":"red1","mtu":1400}}`, "done")
	w.wantAudit("blue", tenant, `{"link_set":{"name":"blue1","up":false}}`, "Operation not permitted")
	w.insideReads(as)
	w.r.Must("netns del red")
	for _, name := range []string{"red.sock", "self", "blue.sock", "init.sock"} {
		if _, err := os.Stat(w.r.Socket + ".d/" + name); os.IsNotExist(err) != (name == "red.sock") {
			t.Errorf("socket %s: %v", name, err)
		}
	}
	w.r.Stop()
	if _, err := os.Stat(w.r.Socket + ".d"); !os.IsNotExist(err) {
		t.Errorf("sockets of a daemon that has ended: %v", err)
	}
}

// insideReads checks what a program may do that runs in the Linux namespace of red as a user who is nobody's owner: look.
func (w *world) insideReads(as func(uint32, string) lab.Result) {
	w.t.Helper()
	const stranger = 64003
	if r := as(stranger, "link"); r.Status != 2 || !strings.Contains(r.Stderr, "64003 has no right in any namespace") {
		w.t.Errorf("stranger outside: %+v", r)
	}
	inside := func(line string) lab.Result { // as exec'd by root, and as itself then: no way back to root's rights
		return w.r.CLI(strings.Fields("netns exec red setpriv --reuid 64003 --regid 64003 --clear-groups " +
			w.r.ClientProgram() + " " + line)...)
	}
	if r := inside("-br link show red1"); r.Status != 0 || !strings.HasPrefix(r.Stdout, "red1") {
		w.t.Errorf("inside: %+v", r)
	}
	if r := inside("netns list"); r.Status != 0 || r.Stdout != "red\n" {
		w.t.Errorf("inside: %+v", r)
	}
	for _, line := range []string{
		"link set red1 down", "addr add 10.0.9.1/24 dev red1", "-n blue link", "-n init link",
		"netns exec red true", "--all-netns monitor",
	} {
		if r := inside(line); r.Status != 2 || !strings.Contains(r.Stderr, "Operation not permitted") {
			w.t.Errorf("inside: %s: %+v", line, r)
		}
	}
	if r := w.r.CLI(strings.Fields("netns exec red " + w.r.ClientProgram() + " link set red1 up")...); r.Status != 0 {
		w.t.Errorf("root inside: %+v", r)
	}
}

// wantAudit fails the test unless the daemon has written a line about a change.
func (w *world) wantAudit(ns string, uid uint32, what, outcome string) {
	w.t.Helper()
	type line struct {
		Logger, TS, Netns, Outcome, Comm string
		UID, Pid                         uint32
		What                             json.RawMessage
	}
	if !slices.ContainsFunc(strings.Split(w.r.Log(), "\n"), func(text string) bool {
		var l line
		return json.Unmarshal([]byte(text), &l) == nil && l.Logger == "audit" && l.TS != "" && l.Netns == ns && l.UID == uid &&
			l.Pid != 0 && l.Comm == "client" && string(l.What) == what && strings.HasPrefix(l.Outcome, outcome)
	}) {
		w.t.Errorf("no audit line about %s in %s by user %d, %s:\n%s", what, ns, uid, outcome, w.r.Log())
	}
}
