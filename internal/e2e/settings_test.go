package e2e

import (
	"os"
	"strings"
	"testing"

	"nsrouter/internal/lab"
)

// plug joins a host to an interface of the router's host that is not the router's yet.
func (w *world) plug(host *lab.Host, dev, port string) {
	w.Link(host.End(dev), w.r.Host.End(port), lab.LinkOptions{Queues: 2})
}

// settings tells what the router changes of an interface of its host, as Linux has it.
func (w *world) settings(port string) string {
	w.t.Helper()
	var b strings.Builder
	for _, file := range []string{"ipv6/conf/%/disable_ipv6", "ipv6/conf/%/addr_gen_mode", "ipv4/conf/%/arp_ignore"} {
		b.WriteString(file + " " + w.r.Host.Run("cat", "/proc/sys/net/"+strings.Replace(file, "%", port, 1)))
	}
	up := "down"
	out := w.r.Host.Run("ip", "-o", "link", "show", "dev", port)
	if flags, _, _ := strings.Cut(out, ">"); strings.Contains(flags, ",UP") {
		up = "up"
	}
	_, mtu, _ := strings.Cut(out, " mtu ")
	mtu, _, _ = strings.Cut(mtu, " ")
	channels := w.r.Host.Run("ethtool", "-l", port)
	return b.String() + "mtu " + mtu + " " + up + "\n" + channels[strings.Index(channels, "Current"):]
}

// same fails the test unless an interface has the settings given.
func (w *world) same(when, port, want string) {
	w.t.Helper()
	if got := w.settings(port); got != want {
		w.t.Errorf("%s: %s has\n%swant\n%s", when, port, got, want)
	}
}

// TestKilledSettings: what a daemon changed on host interfaces before it was killed is put back by its successor, when
// that gives them back. An interface that was made anew under a name that it had is another interface.
func TestKilledSettings(t *testing.T) {
	w := newWorld(t)
	host := w.Host("host")
	before := map[string]string{}
	for _, port := range []string{"p1", "p2", "p3", "p4"} {
		w.plug(host, port, port)
		w.r.Host.Interface(port).Down()
		before[port] = w.settings(port)
		w.r.Must("link add " + port + " type xdp mode generic queues 1\nlink set " + port + " mtu 1600 up")
	}
	during := w.settings("p1")
	for _, part := range []string{"disable_ipv6 1", "arp_ignore 8", "mtu 1600 up"} {
		if !strings.Contains(during, part) {
			t.Errorf("no %q while attached:\n%s", part, during)
		}
	}
	w.r.Kill()
	w.same("killed", "p1", during)
	w.r.Host.Interface("p3").Delete()
	w.plug(host, "p3", "p3")
	w.r.Host.Sysctl("net.ipv4.conf.p3.arp_ignore", "2")
	before["p3"] = w.settings("p3")

	w.r.Start()
	w.same("restarted", "p1", during)
	w.r.Must("link del p1\nlink del p3")
	w.same("deleted", "p1", before["p1"])
	w.same("made anew and deleted", "p3", before["p3"])

	w.r.Kill()
	w.r.Host.Interface("p4").Addr("192.0.2.1/24") // makes the router refuse it
	w.r.Start()
	w.same("killed again", "p1", before["p1"])
	w.same("killed again", "p2", strings.ReplaceAll(during, "p1", "p2"))
	w.same("refused", "p4", strings.ReplaceAll(during, "p1", "p4"))
	w.r.Must("link del p4")
	w.same("refused and deleted", "p4", before["p4"])
	w.r.Stop()
	w.same("stopped", "p2", before["p2"])
	w.noNotes()
}

// TestForgottenSettings: a successor that does not know the device any more puts its interface's settings back at once.
func TestForgottenSettings(t *testing.T) {
	w := newWorldWith(t, lab.RouterOptions{Memory: true})
	w.plug(w.Host("host"), "eth0", "p1")
	before := w.settings("p1")
	w.r.Must("link add p1 type xdp\nlink set p1 mtu 1600 up")
	w.r.Kill()
	if w.settings("p1") == before {
		t.Error("nothing was changed")
	}
	w.r.Start()
	w.same("restarted", "p1", before)
	w.noNotes()
}

// noNotes fails the test if a file tells of settings that are to be put back.
func (w *world) noNotes() {
	w.t.Helper()
	if left, err := os.ReadFile(w.r.Socket + ".interfaces"); err == nil {
		w.t.Errorf("still to be put back: %s", left)
	}
}
