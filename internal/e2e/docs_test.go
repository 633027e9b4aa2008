package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNamespacesPage: the commands that docs/namespaces.md shows do what they are said to do, section by section, in a
// namespace red that is as the first section makes it.
func TestNamespacesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/namespaces.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	ran := 0
	for i, section := range strings.Split(string(page), "\n## ") {
		if i > 0 {
			w.r.Must("netns add red\n-n red link add d0 type dummy\n-n red addr add 192.0.2.1/24 dev d0\n-n red link set d0 up")
		}
		for line := range strings.Lines(section) {
			command, example := strings.CutPrefix(line, "    router ")
			if example {
				command, _, _ = strings.Cut(command, "  #")
				w.shown(strings.Fields(command))
				ran++
			}
		}
		for _, ns := range []string{"red", "rouge", "shared"} {
			w.r.CLI("netns", "del", ns) // those that are there
		}
	}
	if ran < 30 {
		t.Errorf("%d commands ran", ran)
	}
}

// shown runs an example. Names that stand for others are replaced.
func (w *world) shown(words []string) {
	w.t.Helper()
	for i, word := range words {
		switch {
		case word == "4711":
			words[i] = "self"
		case strings.HasPrefix(word, "user:"):
			words[i] = "user:1000"
		case word == "monitor": // it lasts
			m := w.r.Host.Start(w.r.Binary, append([]string{"--socket", w.r.Socket}, words...)...)
			time.Sleep(200 * time.Millisecond)
			m.Signal(unix.SIGINT)
			if status, err := m.Wait(5 * time.Second); err != nil || status != 0 {
				w.t.Errorf("router %s: status %d, %v: %s", strings.Join(words, " "), status, err, m.Output())
			}
			return
		}
	}
	if res := w.r.CLI(words...); res.Status != 0 {
		w.t.Errorf("router %s: status %d: %s%s", strings.Join(words, " "), res.Status, res.Stdout, res.Stderr)
	}
}
