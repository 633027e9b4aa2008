package e2e

import (
	"strings"
	"testing"

	"nsrouter/internal/lab"
)

// TestInsideNamespace: root in the Linux namespace of red, or by the socket of red, gets nothing done that is about the whole
// router, and hears of no other namespace where it names none; from init the same is done for red.
func TestInsideNamespace(t *testing.T) {
	w := newWorld(t)
	w.Link(w.Host("red1").End("eth0", "10.0.1.2/24"), w.r.Host.End("red1"), lab.LinkOptions{})
	w.r.Must("netns add red\nnetns add blue\n-n red link add mine type dummy\n-n blue link add theirs type dummy")
	inside := []string{"netns", "exec", "red", "--", w.r.Binary, "--socket", w.r.Socket}
	refused := map[string]string{
		"link add x type xdp host red1":         "an interface of the host",
		"-n red link add x type xdp host red1":  "an interface of the host",
		"-n init link add x type xdp host red1": "an interface of the host",
		"netns add green":                       "added to the whole router",
		"netns del blue":                        "taken from the whole router",
		"netns exec blue true":                  "one of the daemon's host",
		"--all-netns drops":                     "all namespaces",
		"monitor --all-netns":                   "all namespaces",
	}
	for command, reason := range refused {
		res := w.r.CLI(append(inside, strings.Fields(command)...)...)
		if res.Status != 2 || !strings.Contains(res.Stderr, reason) || !strings.Contains(res.Stderr, `inside namespace "red"`) ||
			!strings.Contains(res.Stderr, "run it in init") {
			t.Errorf("%s inside red: status %d: %s%s", command, res.Status, res.Stdout, res.Stderr)
		}
		res = w.r.Host.Try(w.r.Binary, append([]string{"--socket", w.r.Socket + ".d/red.sock"}, strings.Fields(command)...)...)
		if res.Status != 2 || !strings.Contains(res.Stderr, `namespace "red"`) {
			t.Errorf("%s by red's socket: status %d: %s%s", command, res.Status, res.Stdout, res.Stderr)
		}
	}
	for command, want := range map[string]string{"link show": "mine", "netns list": "red", "-s link show": "mine"} {
		res := w.r.CLI(append(inside, strings.Fields(command)...)...)
		if res.Status != 0 || !strings.Contains(res.Stdout, want) || strings.Contains(res.Stdout, "theirs") ||
			strings.Contains(res.Stdout, "blue") {
			t.Errorf("%s inside red: status %d: %s%s", command, res.Status, res.Stdout, res.Stderr)
		}
	}
	if out := w.r.Must("netns list"); !strings.Contains(out, "blue") || strings.Contains(out, "green") {
		t.Errorf("namespaces: %s", out)
	}
	w.r.Must("-n red link add x type xdp host red1\nnetns exec blue true\n--all-netns drops\nnetns del blue")
	w.conserved()
}
